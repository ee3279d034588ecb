"""The built-in catalogue is complete and true to its own schemas; files of others are judged."""

from __future__ import annotations

import json
import re
import socket
from importlib import resources
from typing import Any

import jsonschema_rs
import pytest

from making import NOW
from stafett import catalog, errors
from stafett.model import EventType, PayloadCheck

EVENT_TYPES = catalog.load("multisite", now=NOW)
BY_NAME = {each.name: each for each in EVENT_TYPES}
MISSED = {
    "customer_deleted",
    "membership_canceled",
    "plan_changed",
    "refund_issued",
    "site_deleted",
    "domain_removed",
}
WITHOUT_REFERENCE = MISSED | {"demo_site_expiring"}  # whose real payload nobody has published
OLD = {name for name in BY_NAME if name.startswith("v1.")}


def schema_of(event_type: EventType) -> dict[str, Any]:
    assert event_type.schemas is not None
    return event_type.schemas["1"]


def files() -> list[Any]:
    folder = resources.files("stafett.catalog") / "multisite"
    return [json.loads(each.read_text()) for each in folder.iterdir()]


def test_all_events_of_the_reference_product_and_those_its_users_miss_are_there() -> None:
    assert len(OLD) == 8
    assert set(BY_NAME) >= MISSED
    assert len(set(BY_NAME) - OLD - MISSED) == 26
    assert {"v1.payment_received", "payment_received", "v1.payment_failed"} <= set(BY_NAME)


def test_every_file_has_the_shape_that_files_have() -> None:
    shape = resources.files("stafett.catalog") / "event-type.schema.json"
    validator = jsonschema_rs.validator_for(json.loads(shape.read_text()))
    for document in files():
        assert [each.message for each in validator.iter_errors(document)] == []


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda each: each.name)
def test_an_event_type_is_whole(event_type: EventType) -> None:
    schema = schema_of(event_type)
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(event_type.sample)
    if event_type.reference_sample is not None:
        assert validator.is_valid(event_type.reference_sample)
    for text in (event_type.label, event_type.group, event_type.description, event_type.fires_when):
        assert text
    assert schema["properties"]
    for field in schema["properties"].values():
        assert field["description"]
        assert field["type"]
    assert set(event_type.sensitive_fields) <= set(schema["properties"])
    assert event_type.check is PayloadCheck.WARN
    assert event_type.archived == event_type.name.startswith("v1.")
    assert (event_type.reference_sample is None) == (event_type.name in WITHOUT_REFERENCE)


PERSONAL = (
    *(
        "customer",
        "customer_name",
        "customer_avatar",
        "company_name",
        "user_name",
        "user_firstname",
    ),
    *("user_lastname", "user_login", "new_user_login", "billing_city", "billing_zip_code"),
    *("billing_state", "payment_url", "default_payment_url", "payment_invoice_url"),
    *("invoice_message", "verification_link"),
)
"""Who is meant, where they live, and links that need nothing more to be opened."""


def test_what_names_or_reaches_people_is_marked() -> None:
    met: set[str] = set()
    for event_type in EVENT_TYPES:
        for name in schema_of(event_type)["properties"]:
            met.add(name)
            reaches = "address" in name or ("email" in name and not name.endswith("_verification"))
            if name in PERSONAL or reaches:
                assert name in event_type.sensitive_fields, (event_type.name, name)
    assert met >= set(PERSONAL)


NAMES = ("Ada", "Nilsen", "ada@", "kari", "Storgata", "2. etg", "avatar/", "203.0.113.7")
NAMED_AFTER = ("site_title", "user_site_name", "user_site_slug", "user_site_url", "site_url")


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda each: each.name)
def test_a_sample_names_its_people_only_in_fields_that_are_marked(event_type: EventType) -> None:
    public = {*NAMED_AFTER, "site", "site_admin_url", *event_type.sensitive_fields}
    for name, value in event_type.sample.items():
        if name not in public:
            assert not any(each in str(value) for each in NAMES), name


PLACEHOLDER = re.compile(
    r"\.\.\.|…|example_|one sentence|lorem|foo|abc123|1a2b3c|0\.00|mock|john|dev\.dev|link ?to",
    re.IGNORECASE,
)


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda each: each.name)
def test_nothing_in_a_sample_only_holds_a_place(event_type: EventType) -> None:
    for name, value in event_type.sample.items():
        assert not PLACEHOLDER.search(str(value)), (name, value)
        assert value != "", name


def test_no_catalogue_is_a_choice_and_an_unknown_one_is_not() -> None:
    assert catalog.load("none", now=NOW) == ()
    with pytest.raises(errors.InvalidSettings, match="multisite"):
        catalog.load("multisit", now=NOW)


ONE = {"name": "order.paid_late", "description": "Paid, after all.", "sample": {"n": 1}}


@pytest.mark.parametrize("document", [ONE, [ONE], {"eventTypes": [ONE]}])
def test_a_file_holds_one_or_many(document: Any) -> None:
    [event_type] = catalog.parse(json.dumps(document), now=NOW)
    assert (event_type.name, event_type.label) == ("order.paid_late", "Order Paid Late")
    assert (event_type.sample, event_type.schemas, event_type.check) == (
        {"n": 1},
        None,
        PayloadCheck.WARN,
    )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{nope", ()),
        ("[]x", ()),
        ('{"name": "a"}', (0,)),
        ('{"name": "a b", "description": "d"}', (0, "name")),
        (
            '[{"name": "a", "description": "d"}, {"name": "b", "description": 1}]',
            (1, "description"),
        ),
        ('{"name": "a", "description": "d", "colour": 1}', (0,)),
        ('{"name": "a", "description": "d", "check": "loose"}', (0, "check")),
        ('{"name": "a", "description": "d", "schema": {"type": "strin"}}', (0, "schema")),
        ('{"name": "a", "description": "d", "schema": {"pattern": "("}}', (0, "schema")),
        (
            '[{"name": "a", "description": "d"}, {"name": "a", "description": "e"}]',
            (1, "name"),
        ),
        ('"text"', (0,)),
    ],
)
def test_a_bad_file_is_refused_with_the_place(text: str, place: tuple[Any, ...]) -> None:
    with pytest.raises(errors.Invalid) as caught:
        catalog.parse(text, now=NOW)
    assert caught.value.problems[0].loc == place


@pytest.mark.parametrize("keyword", ["$schema", "$ref"])
def test_judging_a_file_asks_nobody(keyword: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        content = {"name": "a", "description": "d", "schema": {keyword: address}}
        with pytest.raises(errors.Invalid) as caught:
            catalog.parse(json.dumps(content), now=NOW)
        assert caught.value.problems[0].loc == (0, "schema")
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("payment_status", {"completed", "failed", "cancelled", "partially-paid", "draft"}),
        ("membership_status", {"active", "on-hold", "cancelled"}),
        ("payment_gateway", {"manual", "free"}),
    ],
)
def test_the_values_of_a_status_are_all_named(field: str, values: set[str]) -> None:
    assert values <= set(schema_of(BY_NAME["payment_received"])["properties"][field]["examples"])
