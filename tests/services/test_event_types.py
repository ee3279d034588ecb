"""Event types over the real store, and the payload check; jsonschema-rs itself is not on trial."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import making
from services.set_clock import SetClock
from stafett import errors
from stafett.drivers.sqlite.store import SqliteStore
from stafett.engine.directory import Directory
from stafett.model import EventTypeChanges, PageQuery, PayloadCheck
from stafett.services.event_types import EventTypes, NewEventType

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["payment_id"],
    "properties": {
        "payment_id": {"type": "integer", "minimum": 1},
        "payment_total": {"type": "string"},
        "customer": {
            "type": "object",
            "properties": {"email": {"type": "string", "maxLength": 20}},
        },
        "lines": {"type": "array", "items": {"type": "string"}},
        "state": {"enum": ["on", "off"]},
    },
}


def payment(**given: Any) -> NewEventType:
    defaults: dict[str, Any] = {
        "name": "payment_received",
        "description": "A payment came in.",
        "schemas": {"1": SCHEMA},
    }
    return NewEventType(**defaults | given)


def raw(**given: Any) -> bytes:
    return json.dumps({"payment_id": 1} | given).encode()


async def test_a_new_event_type_is_in_the_catalogue_at_once(
    event_types: EventTypes, directory: Directory
) -> None:
    assert "payment_received" not in await directory.event_types()
    made = await event_types.create(payment(group="payment", feature_flags=["beta"]))
    assert await event_types.get("payment_received") == made
    assert (await directory.event_types())["payment_received"] == made
    assert (await event_types.list(PageQuery(ascending=True))).items == (made,)


async def test_what_is_left_open_has_a_usual_value(event_types: EventTypes) -> None:
    made = await event_types.create(NewEventType(name="site.was_moved", description=""))
    assert (made.label, made.check, made.schemas) == ("Site was moved", PayloadCheck.WARN, None)
    assert (made.sensitive_fields, made.fires_when, made.sample) == ((), "", None)


async def test_a_name_is_taken_once(event_types: EventTypes) -> None:
    await event_types.create(payment())
    with pytest.raises(errors.EventTypeExists):
        await event_types.create(payment(description="Another."))
    assert (await event_types.get("payment_received")).description == "A payment came in."


async def test_a_name_is_taken_once_also_at_the_same_time(event_types: EventTypes) -> None:
    answers = await asyncio.gather(
        *(event_types.create(payment()) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, errors.EventTypeExists) for answer in answers) == 4


async def test_creating_an_archived_one_brings_it_back_with_what_is_new(
    event_types: EventTypes,
) -> None:
    sample = {"payment_id": 7}
    await event_types.create(payment(sample=sample, label="Payment"))
    await event_types.delete("payment_received")
    back = await event_types.create(payment(description="New.", schemas=None))
    assert (back.archived, back.description, back.schemas) == (False, "New.", None)
    assert (back.label, back.sample) == ("Payment", sample)


async def test_archived_ones_are_listed_only_when_asked_for(event_types: EventTypes) -> None:
    await event_types.create(payment())
    await event_types.create(payment(name="old", archived=True))
    page = PageQuery(ascending=True)
    assert [each.name for each in (await event_types.list(page)).items] == ["payment_received"]
    everything = await event_types.list(page, include_archived=True)
    assert [each.name for each in everything.items] == ["old", "payment_received"]


async def test_deleting_archives_and_expunging_removes(
    event_types: EventTypes, directory: Directory
) -> None:
    await event_types.create(payment())
    await event_types.delete("payment_received")
    await event_types.delete("payment_received")
    assert (await directory.event_types())["payment_received"].archived
    await event_types.delete("payment_received", expunge=True)
    assert "payment_received" not in await directory.event_types()
    for again in (event_types.delete("payment_received"), event_types.get("payment_received")):
        with pytest.raises(errors.NotFound):
            await again


async def test_an_update_changes_only_what_it_names(
    event_types: EventTypes, clock: SetClock
) -> None:
    made = await event_types.create(payment(group="payment"))
    clock.move(timedelta(minutes=1))
    assert await event_types.update("payment_received", EventTypeChanges()) == made
    updated = await event_types.update("payment_received", EventTypeChanges(deprecated=True))
    assert updated == replace(made, deprecated=True, updated_at=clock.now)
    cleared = await event_types.update("payment_received", EventTypeChanges(group=None))
    assert cleared.group is None


async def test_an_upsert_replaces_but_keeps_what_only_stafett_knows_of(
    event_types: EventTypes,
) -> None:
    rich = payment(
        label="Payment",
        group="payment",
        fires_when="On payment.",
        sample={"payment_id": 1},
        reference_sample={"payment_id": 0},
        sensitive_fields=["payment_total"],
        check=PayloadCheck.OFF,
    )
    made, created = await event_types.upsert("payment_received", rich)
    assert created
    plain = NewEventType(name="payment_received", description="Plain.")
    replaced, created = await event_types.upsert("payment_received", plain)
    assert not created
    assert replaced == replace(made, description="Plain.", group=None, schemas=None)
    again, _ = await event_types.upsert("payment_received", rich)
    assert again == made


async def test_an_upsert_is_for_the_name_it_was_addressed_to(event_types: EventTypes) -> None:
    with pytest.raises(errors.Invalid):
        await event_types.upsert("other", payment())


async def test_seeding_adds_only_what_is_missing(event_types: EventTypes) -> None:
    await event_types.create(payment())
    built_in = [making.an_event_type("payment_received"), making.an_event_type("site_deleted")]
    assert await event_types.seed(built_in) == 1
    assert await event_types.seed(built_in) == 0
    assert await event_types.seed([]) == 0
    assert (await event_types.get("payment_received")).description == "A payment came in."
    assert (await event_types.get("site_deleted")).label == "Site Deleted"


@pytest.mark.parametrize(
    ("given", "loc"),
    [
        ({"name": "has space"}, ("name",)),
        ({"name": ""}, ("name",)),
        ({"name": "x" * 257}, ("name",)),
        ({"label": " "}, ("label",)),
        ({"group": ""}, ("group",)),
        ({"description": "\0"}, ("description",)),
        ({"fires_when": "x" * 65_537}, ("fires_when",)),
        ({"feature_flags": ["ok", "not ok"]}, ("feature_flags", 1)),
        ({"sensitive_fields": ["a,b"]}, ("sensitive_fields", 0)),
        ({"schemas": {"one": {}}}, ("schemas", "one")),
        ({"schemas": {"0": {}}}, ("schemas", "0")),
        ({"schemas": {"1": []}}, ("schemas", "1")),
        ({"schemas": {"1": {"type": "text"}}}, ("schemas", "1")),
        ({"schemas": {"1": {"pattern": "("}}}, ("schemas", "1")),
        ({"schemas": {"1": {"$ref": "https://example.com/schema"}}}, ("schemas", "1")),
        ({"schemas": {"1": {"$ref": "file:///etc/hostname"}}}, ("schemas", "1")),
        ({"schemas": {"1": {"$ref": "#/$defs/nothing"}}}, ("schemas", "1")),
        ({"sample": []}, ("sample",)),
        ({"reference_sample": 1}, ("reference_sample",)),
        ({"sample": {"payment_id": "1"}}, ("sample", "payment_id")),
        ({"sample": {}}, ("sample", "payment_id")),
    ],
)
async def test_what_breaks_a_rule_is_named_and_nothing_is_stored(
    event_types: EventTypes, given: dict[str, Any], loc: tuple[str | int, ...]
) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await event_types.create(payment(**given))
    assert [problem.loc for problem in raised.value.problems] == [("body", *loc)]
    page = PageQuery(ascending=True)
    assert (await event_types.list(page, include_archived=True)).items == ()


@pytest.mark.parametrize(
    ("dialect", "problems"),
    [
        (None, ("owner: is required",)),
        ("https://json-schema.org/draft/2020-12/schema", ("owner: is required",)),
        # In draft 7 the keyword does not exist: a schema means what its own dialect says.
        ("http://json-schema.org/draft-07/schema#", ()),
    ],
)
async def test_a_schema_is_read_in_its_own_dialect_and_else_in_that_of_2020(
    event_types: EventTypes, dialect: str | None, problems: tuple[str, ...]
) -> None:
    schema: dict[str, Any] = {"dependentRequired": {"card": ["owner"]}}
    if dialect is not None:
        schema["$schema"] = dialect
    await event_types.create(payment(schemas={"1": schema}))
    assert await event_types.check("payment_received", raw(card=1)) == problems


async def test_a_schema_in_a_dialect_that_nobody_knows_is_refused(event_types: EventTypes) -> None:
    schema = {"$schema": "https://schemas.example/mine"}
    with pytest.raises(errors.Invalid, match="Unknown meta-schema"):
        await event_types.create(payment(schemas={"1": schema}))


async def test_a_sample_has_to_fit_only_where_the_check_is_on(event_types: EventTypes) -> None:
    await event_types.create(payment(check=PayloadCheck.OFF, sample={"payment_id": "1"}))
    with pytest.raises(errors.Invalid):
        await event_types.update(
            "payment_received",
            EventTypeChanges(sample={"payment_id": "1"}, check=PayloadCheck.WARN),
        )
    await event_types.update("payment_received", EventTypeChanges(description="Still mine."))


# --- the check --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "problems"),
    [
        ({}, ()),
        ({"payment_total": 12}, ("payment_total: 12 is not of type string",)),
        ({"payment_id": "1"}, ('payment_id: "1" is not of type integer',)),
        ({"payment_id": 0}, ("payment_id: 0 is less than the minimum of 1",)),
        ({"customer": {"email": 1}}, ("customer.email: 1 is not of type string",)),
        ({"lines": ["a", 2]}, ("lines.1: 2 is not of type string",)),
        ({"state": "x"}, ('state: "x" is not one of "on" or "off"',)),
        ({"state": "x" * 90}, ('state: the value is not one of "on" or "off"',)),
        ({"payment_total": {"a": 1}}, ("payment_total: the value is not of type string",)),
    ],
)
async def test_problems_name_the_field_and_show_a_short_value(
    event_types: EventTypes, payload: dict[str, Any], problems: tuple[str, ...]
) -> None:
    await event_types.create(payment())
    assert await event_types.check("payment_received", raw(**payload)) == problems


async def test_a_missing_and_a_surplus_field_are_named_themselves(event_types: EventTypes) -> None:
    schema = SCHEMA | {"additionalProperties": False}
    await event_types.create(payment(schemas={"1": schema}))
    assert set(await event_types.check("payment_received", b'{"x":1,"y":2}')) == {
        "payment_id: is required",
        "x: is not in the schema",
        "y: is not in the schema",
    }


@pytest.mark.parametrize("field", ["email", "customer"])
async def test_the_value_of_a_sensitive_field_is_never_shown(
    event_types: EventTypes, field: str
) -> None:
    await event_types.create(payment(sensitive_fields=[field]))
    (problem,) = await event_types.check("payment_received", raw(customer={"email": 4711}))
    assert problem == "customer.email: the value is not of type string"


@pytest.mark.parametrize("field", ["shop.owner", "shop.owner.email", "shop.owner.0.email"])
async def test_a_dotted_name_hides_what_is_there_and_below(
    event_types: EventTypes, field: str
) -> None:
    owners = {"items": {"properties": {"email": {"type": "string"}}}}
    shop = {"properties": {"owner": owners, "size": {"type": "string"}}}
    schema = {"properties": {"shop": shop, "owner": {"type": "string"}}}
    await event_types.create(payment(schemas={"1": schema}, sensitive_fields=[field]))
    payload = raw(shop={"owner": [{"email": 4711}], "size": 4712}, owner=4713)
    assert set(await event_types.check("payment_received", payload)) == {
        "shop.owner.0.email: the value is not of type string",
        "shop.size: 4712 is not of type string",
        "owner: 4713 is not of type string",
    }


@pytest.mark.parametrize(
    "field", ["customer.name", "customer.e", "email.customer", "shop.customer"]
)
async def test_a_dotted_name_hides_nothing_elsewhere(event_types: EventTypes, field: str) -> None:
    await event_types.create(payment(sensitive_fields=[field]))
    (problem,) = await event_types.check("payment_received", raw(customer={"email": 4711}))
    assert problem == "customer.email: 4711 is not of type string"


async def test_at_most_ten_problems_are_named(event_types: EventTypes) -> None:
    await event_types.create(payment())
    problems = await event_types.check("payment_received", raw(lines=list(range(50))))
    assert len(problems) == 10


async def test_strict_refuses_with_the_fields(event_types: EventTypes) -> None:
    await event_types.create(payment(check=PayloadCheck.STRICT))
    with pytest.raises(errors.Invalid) as raised:
        await event_types.check("payment_received", b'{"payment_total": 12}')
    assert {problem.loc for problem in raised.value.problems} == {
        ("body", "payload", "payment_total"),
        ("body", "payload", "payment_id"),
    }
    assert await event_types.check("payment_received", raw()) == ()


async def test_nothing_is_checked_without_a_schema_or_when_it_is_off(
    event_types: EventTypes,
) -> None:
    await event_types.create(payment(name="free", schemas=None, check=PayloadCheck.STRICT))
    await event_types.create(payment(name="off", check=PayloadCheck.OFF))
    for name in ("free", "off", "unknown"):
        assert await event_types.check(name, b'{"payment_total": 12}') == ()


async def test_the_highest_version_is_in_force_from_the_next_check_on(
    event_types: EventTypes,
) -> None:
    await event_types.create(payment())
    assert await event_types.check("payment_received", b"{}") != ()
    looser: Mapping[str, Any] = {"9": SCHEMA, "10": {"type": "object"}}
    await event_types.update("payment_received", EventTypeChanges(schemas=looser))
    assert await event_types.check("payment_received", b"{}") == ()
    await event_types.update("payment_received", EventTypeChanges(schemas=None))
    assert await event_types.check("payment_received", b"[]") == ()


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b'{"payment_id":1e999}', b'{"a":"\xff"}', b"[" * 5_000 + b"]" * 5_000],
)
async def test_a_payload_that_cannot_be_read_is_a_problem_not_a_crash(
    event_types: EventTypes, payload: bytes
) -> None:
    await event_types.create(payment())
    (problem,) = await event_types.check("payment_received", payload)
    assert problem.startswith("payload: cannot be checked")


async def test_a_greedy_pattern_gives_up_instead_of_taking_the_processor(
    event_types: EventTypes,
) -> None:
    schema = {"properties": {"text": {"type": "string", "pattern": "(?=a)((a+)+)+$"}}}
    await event_types.create(payment(schemas={"1": schema}))
    text = json.dumps({"text": "a" * 5_000 + "b"}).encode()
    assert len(await event_types.check("payment_received", text)) == 1


async def test_a_stored_schema_that_no_longer_compiles_loses_no_event(
    event_types: EventTypes, store: SqliteStore
) -> None:
    broken = making.an_event_type("broken", schemas={"1": {"type": "nothing-known"}})
    await store.add_event_types([broken])
    assert await event_types.check("broken", b"{}") == (
        "payload: cannot be checked: the schema in force cannot be used",
    )


# --- samples ----------------------------------------------------------------------------------


async def test_a_sample_is_its_own_or_made_from_the_schema_or_empty(
    event_types: EventTypes,
) -> None:
    await event_types.create(payment(sample={"payment_id": 7}))
    await event_types.create(payment(name="made"))
    await event_types.create(payment(name="odd", schemas={"1": {"type": "string"}}))
    await event_types.create(payment(name="bare", schemas=None))
    assert await event_types.sample("payment_received") == {"payment_id": 7}
    assert (await event_types.sample("made"))["payment_id"] == 1
    assert await event_types.sample("odd") == {}
    assert await event_types.sample("bare") == {}
    assert await event_types.sample("svix.ping") == {"success": True}
    with pytest.raises(errors.NotFound):
        await event_types.sample("unknown")
