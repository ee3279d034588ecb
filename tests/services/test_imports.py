"""Imports over the real store: what changes, what stays, and that it is all or nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

import making
from services.set_clock import SetClock
from stafett import errors
from stafett.drivers.sqlite.store import SqliteStore
from stafett.engine.directory import Directory
from stafett.model import EventType, EventTypeChanges, PayloadCheck
from stafett.services.event_types import EventTypes
from stafett.services.imports import Imports, changed, digest

SCHEMA: dict[str, Any] = {"type": "object", "required": ["id"]}
OTHER: dict[str, Any] = {"type": "object", "required": ["number"]}


@pytest.fixture
def imports(store: SqliteStore, directory: Directory, clock: SetClock) -> Imports:
    return Imports(store=store, directory=directory, clock=clock)


def an_operation(schema: Any = None, example: Any = None, **given: Any) -> dict[str, Any]:
    media = {"schema": schema, "example": example}
    content = {key: value for key, value in media.items() if value is not None}
    body = {"requestBody": {"content": {"application/json": content}}} if content else {}
    return {"post": body | given}


def a_document(**webhooks: Any) -> bytes:
    return json.dumps({"openapi": "3.1.0", "webhooks": webhooks}).encode()


async def add(store: SqliteStore, name: str, **given: Any) -> EventType:
    made = making.an_event_type(name, **given)
    await store.add_event_types([made])
    return made


async def shown(imports: Imports, document: bytes, **how: Any) -> list[tuple[str, str, set[str]]]:
    """What an import says that it does."""
    steps = await imports.openapi(document, **how)
    return [(each.name, each.action.value, set(each.changes)) for each in steps]


async def test_what_is_new_is_in_the_catalogue_at_once(
    imports: Imports, event_types: EventTypes, directory: Directory, clock: SetClock
) -> None:
    assert await directory.event_types() == {}
    document = a_document(pet=an_operation(SCHEMA, {"id": 1}, summary="Pet", description="Came."))
    assert await shown(imports, document) == [("pet", "added", set())]
    made = (await directory.event_types())["pet"]
    assert (made.label, made.description, made.schemas) == ("Pet", "Came.", {"1": SCHEMA})
    assert (made.sample, made.check, made.created_at) == ({"id": 1}, PayloadCheck.WARN, clock())
    assert await event_types.check("pet", b"{}") == ("id: is required",)


async def test_a_dry_run_tells_the_same_and_does_nothing(
    imports: Imports, store: SqliteStore
) -> None:
    await add(store, "known")
    document = a_document(pet=an_operation(SCHEMA), known=an_operation(summary="Other"))
    before = await store.all_event_types()
    told = await imports.openapi(document, replace_all=True, dry_run=True)
    assert await store.all_event_types() == before
    done = await imports.openapi(document, replace_all=True)
    assert digest(told) == digest(done)
    assert len(await store.all_event_types()) == 2


async def test_what_the_document_says_otherwise_is_changed_and_the_rest_stays(
    imports: Imports, store: SqliteStore, clock: SetClock
) -> None:
    known = await add(
        store,
        "pet",
        group="Pets",
        schemas={"1": {"title": "old"}, "2": OTHER},
        sample={"number": 1, "id": 1},
        reference_sample={"number": "1"},
        sensitive_fields=("email",),
        check=PayloadCheck.STRICT,
        feature_flags=("beta",),
    )
    clock.move(timedelta(minutes=1))
    document = a_document(pet=an_operation(SCHEMA, summary="New label"))
    assert await shown(imports, document) == [("pet", "changed", {"label", "schemas"})]
    stored = await store.get_event_type("pet")
    assert stored is not None
    assert stored.label == "New label"
    assert stored.schemas == {"1": {"title": "old"}, "2": SCHEMA}
    assert stored.updated_at == clock.now
    for field in ("group", "description", "fires_when", "sample", "reference_sample"):
        assert getattr(stored, field) == getattr(known, field)
    for field in ("sensitive_fields", "check", "feature_flags", "created_at"):
        assert getattr(stored, field) == getattr(known, field)


async def test_every_field_can_be_changed(imports: Imports, store: SqliteStore) -> None:
    await add(store, "pet")
    document = a_document(
        pet=an_operation(
            SCHEMA,
            {"id": 1},
            summary="L",
            description="D",
            tags=["G"],
            deprecated=True,
            **{
                "x-svix-feature-flags": ["beta"],
                "x-stafett-fires-when": "W",
                "x-stafett-sensitive-fields": ["id"],
            },
        )
    )
    ((_, action, fields),) = await shown(imports, document)
    assert action == "changed"
    everything = set(EventTypeChanges.__annotations__)
    assert fields == everything - {"archived", "check", "reference_sample"}
    assert await shown(imports, document) == [("pet", "unchanged", set())]


@pytest.mark.parametrize(
    ("one", "other", "action"),
    [
        ({"type": "object", "title": "T"}, {"title": "T", "type": "object"}, "unchanged"),
        ({"const": 1}, {"const": True}, "changed"),
    ],
)
async def test_the_order_of_a_schema_is_no_change(
    imports: Imports, store: SqliteStore, one: Any, other: Any, action: str
) -> None:
    await add(store, "pet", schemas={"1": one})
    ((_, found, _),) = await shown(imports, a_document(pet=an_operation(other)))
    assert found == action


async def test_nothing_is_written_where_nothing_changes(
    imports: Imports, store: SqliteStore, directory: Directory
) -> None:
    known = await add(store, "pet", schemas={"1": SCHEMA})
    loaded = await directory.event_types()
    steps = await imports.openapi(a_document(pet=an_operation(SCHEMA, summary=known.label)))
    assert list(changed(steps)) == []
    assert await directory.event_types() is loaded
    assert await store.get_event_type("pet") == known


# --- samples ----------------------------------------------------------------------------------


async def test_a_sample_that_no_longer_fits_makes_room_for_one_of_the_schema(
    imports: Imports, store: SqliteStore, event_types: EventTypes
) -> None:
    await add(store, "pet", schemas={"1": OTHER}, sample={"number": 1})
    document = a_document(pet=an_operation(SCHEMA | {"properties": {"id": {"type": "integer"}}}))
    assert await shown(imports, document) == [("pet", "changed", {"schemas", "sample"})]
    sample = await event_types.sample("pet")
    assert await event_types.check("pet", json.dumps(sample).encode()) == ()


async def test_where_nothing_is_checked_a_sample_stays(
    imports: Imports, store: SqliteStore
) -> None:
    await add(store, "pet", schemas={"1": OTHER}, sample={"number": 1}, check=PayloadCheck.OFF)
    assert await shown(imports, a_document(pet=an_operation(SCHEMA))) == [
        ("pet", "changed", {"schemas"})
    ]


async def test_a_sample_alone_has_to_fit_the_schema_that_stays(
    imports: Imports, store: SqliteStore
) -> None:
    await add(store, "pet", schemas={"1": OTHER})
    assert await shown(imports, a_document(pet=an_operation(example={"number": 2}))) == [
        ("pet", "changed", {"sample"})
    ]
    with pytest.raises(errors.Invalid) as caught:
        await imports.openapi(a_document(pet=an_operation(example={"id": 2})))
    (problem,) = caught.value.problems
    at = "#/webhooks/pet/post/requestBody/content/application~1json/example/number"
    assert (problem.loc, problem.msg) == (("body", "spec", at), "is required")


# --- the archive ------------------------------------------------------------------------------


async def test_an_archived_one_comes_back(imports: Imports, store: SqliteStore) -> None:
    await add(store, "pet", archived=True)
    document = a_document(pet=an_operation(summary="Pet again"))
    assert await shown(imports, document) == [("pet", "restored", {"label", "archived"})]
    stored = await store.get_event_type("pet")
    assert stored is not None
    assert not stored.archived


async def test_the_others_are_archived_only_when_all_is_to_be_replaced(
    imports: Imports, store: SqliteStore
) -> None:
    await add(store, "old")
    await add(store, "older", archived=True)
    document = a_document(pet=an_operation())
    assert await shown(imports, document) == [("pet", "added", set())]
    told = await shown(imports, document, replace_all=True)
    assert told == [("pet", "unchanged", set()), ("old", "archived", {"archived"})]
    stored = {each.name: each.archived for each in await store.all_event_types()}
    assert stored == {"old": True, "older": True, "pet": False}


# --- all or nothing ---------------------------------------------------------------------------


async def test_one_bad_webhook_keeps_all_out(imports: Imports, store: SqliteStore) -> None:
    known = await add(store, "known")
    document = a_document(good=an_operation(), known=an_operation(summary="Other"), bad={})
    with pytest.raises(errors.Invalid):
        await imports.openapi(document, replace_all=True)
    assert await store.all_event_types() == [known]


async def test_what_somebody_else_does_meanwhile_keeps_all_out(
    imports: Imports, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and writing, the name of the new one is taken."""
    known = await add(store, "known")
    save = store.save_event_types

    async def too_late(*given: Any, **more: Any) -> None:
        await add(store, "new")
        await save(*given, **more)

    monkeypatch.setattr(store, "save_event_types", too_late)
    with pytest.raises(errors.Conflict, match="look again"):
        await imports.openapi(a_document(new=an_operation(), known=an_operation(summary="Other")))
    assert await store.get_event_type("known") == known


async def test_only_what_was_shown_is_done(imports: Imports, store: SqliteStore) -> None:
    document = a_document(pet=an_operation(summary="Pet"))
    shown = digest(await imports.openapi(document, dry_run=True))
    known = await add(store, "pet")
    with pytest.raises(errors.Conflict, match="look again"):
        await imports.openapi(document, shown=shown)
    assert await store.get_event_type("pet") == known
    again = digest(await imports.openapi(document, dry_run=True))
    assert again != shown
    (step,) = await imports.openapi(document, shown=again)
    assert step.becomes.label == "Pet"


async def test_a_digest_is_that_of_what_is_done(imports: Imports) -> None:
    async def made(document: bytes) -> str:
        return digest(await imports.openapi(document, dry_run=True))

    documents = [
        a_document(pet=an_operation()),
        a_document(dog=an_operation()),
        a_document(pet=an_operation(SCHEMA)),
        a_document(pet=an_operation(example={"id": 1})),
    ]
    digests = [await made(each) for each in documents]
    assert len(set(digests)) == len(documents)
    assert digests == [await made(each) for each in documents]
