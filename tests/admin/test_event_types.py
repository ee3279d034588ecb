"""Event types in the admin: browsing, reading one, adding, changing, archiving."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

import making
from admin.conftest import NASTY, Person, problem_of
from stafett.web.admin.schema_fields import MAX_FIELDS, fields_of

SCHEMA = {
    "type": "object",
    "properties": {"order_id": {"type": "integer"}, "email": {"type": "string"}},
    "required": ["order_id"],
}
_names = iter(range(1_000))


def a_form(**fields: Any) -> dict[str, Any]:
    """A form that is all right, but for what a test says."""
    usual = {
        "name": f"order.made{next(_names)}",
        "label": "Order made",
        "group": "Shop",
        "description": "Somebody ordered.",
        "fires_when": "When the order is paid.",
        "schema": json.dumps(SCHEMA),
        "sample": '{"order_id": 7, "email": "kari@example.com"}',
        "sensitive_fields": "email, phone",
        "check": "warn",
    }
    return usual | fields


def made(owner: Person, **fields: Any) -> str:
    """A new event type; its name."""
    form = a_form(**fields)
    owner.do("event-types", **form)
    return form["name"]


def value_of(html: str, field: str) -> str:
    """What stands in a field of a form."""
    found = re.search(
        rf'<(?:input|textarea) id="{field}"(?:[^>]*? value="([^"]*)")?[^>]*>([^<]*)', html
    )
    assert found is not None, field
    return unescape(found[1] if found[1] is not None else found[2])


def table_row(html: str, field: str) -> str:
    """One row of the table of fields."""
    return html.partition(f"<code>{field}</code>")[2].partition("</tr>")[0]


# --- looking ----------------------------------------------------------------------------------


def test_the_catalogue_is_browsed_by_group(viewer: Person) -> None:
    html = viewer.see("event-types")
    groups = re.findall(r"<h2>(.*?)</h2>", html)
    assert groups == sorted(groups)
    assert len(groups) > 1
    assert 'href="/admin/event-types/payment_received"' in html
    assert "event-types/-/new" not in html


@pytest.mark.parametrize("text", ["PAYMENT_RECEIVED", "payment received"])
def test_searching_finds_names_and_labels(viewer: Person, text: str) -> None:
    html = viewer.see(f"event-types?text={text}")
    assert "event-types/payment_received" in html
    assert "event-types/site_published" not in html


def test_searching_in_vain_says_so(viewer: Person) -> None:
    html = viewer.see("event-types?text=%22%3E%3Cscript%3E")
    assert "There is no event type like that." in html
    assert '"&gt;' not in html.partition("<main")[0]
    assert "<script>" not in html


def test_one_shows_its_fields_samples_and_webhooks(owner: Person, viewer: Person) -> None:
    webhook = owner.webhook(name="Hears of payments")
    html = viewer.see("event-types/payment_received")
    assert "<h1>Payment Received</h1>" in html
    row = table_row(html, "payment_id")
    assert "integer, string" in row
    assert "always there" in row
    assert re.search(r'class="example">\d+</code>', row)
    assert ">Sensitive<" in table_row(html, "payment_invoice_url")
    assert "Sample payload of Payment Received" in html
    assert "Reference sample" in html
    assert f'href="/admin/webhooks/{webhook}"' in html
    assert "data-copies-next" in html
    assert "<form" not in html.partition("<main")[2].partition("</main>")[0]


def test_a_card_has_fields_and_sample_alone(viewer: Person) -> None:
    main = viewer.see("event-types/-/card?event_types=payment_received&event_types=payment_failed")
    main = main.partition("<main")[2].partition("</main>")[0]
    assert re.findall(r"<h2>(.*?)</h2>", main) == ["Payment Received", "Recurring Payment Failed"]
    assert "<code>payment_id</code>" in main
    assert "<form" not in main


@pytest.mark.parametrize(
    "path", ["event-types/nothing", "event-types/-/card?event_types=nothing", "event-types/-/card"]
)
def test_what_is_not_there_is_missing(viewer: Person, path: str) -> None:
    viewer.see(path, status=404)


# --- adding and changing ----------------------------------------------------------------------


def test_one_is_added_and_reads_as_it_was_written(owner: Person) -> None:
    name = made(owner, check="strict")
    html = owner.see(f"event-types/{name}?notice=event-type-saved")
    for text in (
        "Event type saved.",
        "Order made",
        "Somebody ordered.",
        "When the order is paid.",
        "payloads that do not fit are refused",
    ):
        assert text in html
    assert ">Sensitive<" in table_row(html, "email")
    assert ">Sensitive<" not in table_row(html, "order_id")
    assert f'href="/admin/event-types/{name}"' in owner.see("event-types?text=shop")


def test_a_label_is_made_of_the_name_where_none_is_given(owner: Person) -> None:
    name = made(owner, name="order_lost", label="")
    assert "<h1>Order lost</h1>" in owner.see(f"event-types/{name}")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "", "must not be empty"),
        ("name", "two words", "only letters, digits"),
        ("name", "payment_received", "exists already"),
        ("group", "a\x07b", "control characters"),
        ("schema", '{"type": "object",\n oops}', "line 2, column 2"),
        ("schema", "[]", "must be a JSON object"),
        ("schema", '{"type": "nonsense"}', "JSON Schema"),
        ("schema", '{"$ref": "https://example.com/x.json"}', "JSON Schema"),
        ("schema", "[" * 100_000, "is nested too deep"),
        ("sample", '{"order_id":', "line 1"),
        ("sample", '{"a": NaN}', "is not JSON"),
        pytest.param("sample", '{"a": %s}' % ("9" * 5_000), "is not JSON", id="a huge number"),
        ("sample", '{"order_id": "seven"}', "order_id"),
        ("sample", '"text"', "must be a JSON object"),
        ("check", "sometimes", "one of the choices"),
    ],
)
def test_wrong_input_comes_back_with_the_problem_beside_it(
    owner: Person, field: str, value: str, said: str
) -> None:
    form = a_form(**{field: value})
    answer = owner.send("event-types", **form)
    assert answer.status_code == 422
    assert said.lower() in problem_of(answer.text, field).lower()
    for name in ("description", "fires_when", "schema", "sample", "sensitive_fields"):
        assert value_of(answer.text, name) == form[name]


def test_a_number_too_large_for_anything_is_kept_or_refused_but_breaks_nothing(
    owner: Person,
) -> None:
    answer = owner.send("event-types", **a_form(schema="", sample='{"n": 1' + "0" * 400 + "}"))
    assert answer.status_code in {303, 422}


def test_editing_starts_from_what_is_there_and_keeps_the_rest(owner: Person) -> None:
    name = made(owner)
    form = owner.see(f"event-types/{name}/edit")
    assert json.loads(value_of(form, "schema")) == SCHEMA
    assert value_of(form, "sensitive_fields") == "email, phone"
    owner.do(f"event-types/{name}", **a_form(name="ignored", label="Order paid", sample=""))
    html = owner.see(f"event-types/{name}")
    assert "<h1>Order paid</h1>" in html
    assert "Sample payload of" not in html
    without_label = {key: value for key, value in a_form().items() if key != "label"}
    owner.do(f"event-types/{name}", **without_label)
    assert "<h1>Order paid</h1>" in owner.see(f"event-types/{name}")
    answer = owner.send(f"event-types/{name}", **a_form(label=""))
    assert answer.status_code == 422
    assert "must not be empty" in problem_of(answer.text, "label").lower()


def test_a_schema_that_is_changed_replaces_the_one_in_force(owner: Person) -> None:
    name = made(owner)
    other = json.dumps({"type": "object", "properties": {"number": {"type": "string"}}})
    owner.do(f"event-types/{name}", **a_form(schema=other, sample=""))
    html = owner.see(f"event-types/{name}")
    assert table_row(html, "number")
    assert not table_row(html, "order_id")


def test_a_sample_is_made_of_the_schema_and_nothing_is_saved_yet(owner: Person) -> None:
    form = a_form(sample="", make_sample="yes", description="Kept")
    answer = owner.send("event-types", **form)
    assert answer.status_code == 200
    assert set(json.loads(value_of(answer.text, "sample"))) == {"order_id", "email"}
    assert value_of(answer.text, "description") == "Kept"
    owner.see(f"event-types/{form['name']}", status=404)


@pytest.mark.parametrize("schema", ["", "{", "[1]"])
def test_no_sample_is_made_of_what_is_no_schema(owner: Person, schema: str) -> None:
    answer = owner.send("event-types", **a_form(schema=schema, make_sample="yes"))
    assert answer.status_code == 422
    assert "JSON" in problem_of(answer.text, "schema")


def test_archiving_hides_one_until_it_is_offered_again(owner: Person) -> None:
    name = made(owner)
    owner.do(f"event-types/{name}/archive")
    link = f'href="/admin/event-types/{name}"'
    assert link not in owner.see("event-types")
    assert link in owner.see("event-types?archived=yes")
    assert ">archived<" in owner.see(f"event-types/{name}")
    owner.do(f"event-types/{name}/restore")
    assert link in owner.see("event-types")


def test_changes_are_in_the_audit_log(owner: Person) -> None:
    name = made(owner)
    owner.do(f"event-types/{name}", **a_form())
    owner.do(f"event-types/{name}/archive")
    log = owner.see("settings/audit")
    for action in ("created", "changed", "archived"):
        row = log.partition(f"event_type.{action}</code>")[2].partition("</tr>")[0]
        assert name in row


@pytest.mark.parametrize("path", ["", "/payment_received", "/payment_received/archive"])
def test_a_viewer_changes_nothing(viewer: Person, path: str) -> None:
    assert viewer.send(f"event-types{path}", **a_form()).status_code == 403


def test_whatever_somebody_wrote_is_shown_as_text(owner: Person) -> None:
    schema = {
        "type": "object",
        "properties": {NASTY: {"type": "string", "description": NASTY, "title": NASTY}},
    }
    name = made(
        owner,
        label=NASTY,
        group=NASTY,
        description=NASTY,
        fires_when=NASTY,
        schema=json.dumps(schema),
        sample=json.dumps({NASTY: NASTY}),
        sensitive_fields="",
    )
    for path in ("event-types", f"event-types/{name}", f"event-types/-/card?event_types={name}"):
        html = owner.see(path)
        assert "<script>alert" not in html
        assert "\u202e" not in html, path
    edit = owner.see(f"event-types/{name}/edit")
    assert "<script>alert" not in edit
    assert value_of(edit, "description") == NASTY
    owner.do(f"event-types/{name}/archive")


# --- the table of fields ----------------------------------------------------------------------


def shown(schema: Any, sample: Any = None, sensitive: tuple[str, ...] = ()) -> dict[str, Any]:
    event_type = making.an_event_type(
        schemas={"1": schema}, sample=sample, sensitive_fields=sensitive
    )
    return {field.path: field for field in fields_of(event_type)}


def test_fields_within_fields_have_their_paths() -> None:
    person = {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]}
    item = {"type": "object", "properties": {"price": {"type": ["number", "null"]}}}
    schema = {
        "$defs": {"person": person},
        "properties": {
            "customer": {"$ref": "#/$defs/person"},
            "items": {"type": "array", "items": item},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "whatever": True,
        },
    }
    sample = {"customer": {"email": "kari@example.com"}, "items": [{"price": 1.5}], "either": 1}
    found = shown(schema, sample, ("customer.email",))
    assert list(found) == [
        "customer",
        "customer.email",
        "items",
        "items[].price",
        "either",
        "whatever",
    ]
    assert found["customer.email"].required
    assert found["customer.email"].sensitive
    assert not found["customer"].sensitive
    assert found["items[].price"].example == 1.5
    assert found["items[].price"].types == ("number", "null")
    assert found["either"].types == ("string", "integer")
    assert (found["whatever"].types, found["whatever"].has_example) == ((), False)


def test_a_plain_sensitive_name_counts_wherever_it_stands() -> None:
    inner = {"properties": {"email": {}, "city": {}}}
    found = shown({"properties": {"a": inner, "customer": inner}}, sensitive=("email", "customer"))
    hidden = {path for path, field in found.items() if field.sensitive}
    assert hidden == {"a.email", "customer", "customer.email", "customer.city"}


def test_a_schema_that_leads_into_itself_ends() -> None:
    found = shown({"properties": {"child": {"$ref": "#"}, "other": {"$ref": "#/nowhere"}}})
    assert next(iter(found)) == "child"
    assert len(found) < MAX_FIELDS


def test_a_table_has_an_end_however_much_a_schema_names() -> None:
    wide: dict[str, Any] = {"properties": {f"f{n}": {"$ref": "#"} for n in range(50)}}
    assert len(shown(wide)) == MAX_FIELDS


@pytest.mark.parametrize("schema", [{}, {"properties": []}, {"properties": {"a": 1}, "items": 3}])
def test_an_odd_schema_makes_a_short_table(schema: Any) -> None:
    assert set(shown(schema)) <= {"a"}
