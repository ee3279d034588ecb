"""Events, event types, settings: what was typed is kept, what is wrong is told."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from admin.conftest import NASTY, PASSWORD, Person, problem_of

SCHEMA = {
    "type": "object",
    "required": ["order_id"],
    "properties": {"order_id": {"type": "integer", "description": "Its number."}},
}


def event_type(owner: Person, name: str, **fields: str) -> str:
    given = {
        "name": name,
        "description": "An order was placed.",
        "schema": json.dumps(SCHEMA),
        "sample": '{"order_id": 7}',
        "check": "strict",
    }
    return owner.do("event-types", **given | fields)


def test_an_event_is_emitted_with_its_sample_and_shown(owner: Person) -> None:
    form = owner.see("emit?event=payment_received")
    assert "payment_reference_code" in form
    message = owner.emit('{"payment_id": 12345678901234567890.10, "note": "odd"}')
    html = owner.see(f"events/{message}")
    assert "12345678901234567890.10" in html
    assert message in owner.see("events?event=payment_received")
    assert message not in owner.see("events?event=customer_created")


def test_an_event_that_nobody_wants_says_so(owner: Person) -> None:
    event_type(owner, "unwanted.event")
    where = owner.do("emit", event="unwanted.event", payload='{"order_id": 1}')
    html = owner.see(where)
    wanted = re.findall(r"deliveries/msg_", html)
    assert wanted or "No webhook wanted it." in html


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('{"a": 1', "line 1, column"),
        ("[1]", "Must be a JSON object"),
        ('{"order_id": "one"}', "'order_id'"),
        ("{}", "'order_id' is required"),
    ],
)
def test_a_wrong_payload_is_told_and_kept(owner: Person, payload: str, said: str) -> None:
    if "strict.order" not in owner.see("event-types"):
        event_type(owner, "strict.order")
    answer = owner.send("emit", event="strict.order", payload=payload)
    assert answer.status_code == 422
    assert said in problem_of(answer.text, "payload")
    assert payload in unescape(answer.text)


def test_an_event_type_is_added_changed_and_archived(owner: Person) -> None:
    where = event_type(owner, "order.placed", label="Order placed", group="Orders")
    html = owner.see(where)
    for text in ("Order placed", "Its number.", "&#34;order_id&#34;: 7", "are refused"):
        assert text in html
    assert "order.placed" in owner.see("webhooks")  # at its foot, at once
    edit = owner.see("event-types/order.placed/edit")
    assert "An order was placed." in edit
    owner.do(
        "event-types/order.placed",
        name="order.placed",
        description="Changed.",
        schema=json.dumps(SCHEMA),
        sample="",
        check="off",
    )
    assert "Changed." in owner.see("event-types/order.placed")
    owner.do("event-types/order.placed/archive")
    assert "order.placed" not in owner.see("event-types")
    assert "order.placed" in owner.see("event-types?archived=yes")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "has space"),
        ("name", "payment_received"),
        ("schema", "{"),
        ("schema", '{"type": "nonsense"}'),
        ("sample", '{"order_id": "seven"}'),
        ("sample", "{"),
    ],
)
def test_a_wrong_event_type_is_told_beside_its_field(owner: Person, field: str, value: str) -> None:
    form = {
        "name": "wrong.one",
        "description": "d",
        "schema": json.dumps(SCHEMA),
        "sample": "",
        "check": "warn",
    }
    answer = owner.send("event-types", **form | {field: value})
    assert answer.status_code == 422, answer.text
    assert problem_of(answer.text, field), answer.text
    assert "wrong.one" not in owner.see("event-types")


def test_a_sample_is_made_of_the_schema(owner: Person) -> None:
    answer = owner.send(
        "event-types", name="x.y", schema=json.dumps(SCHEMA), sample="", make_sample="yes"
    )
    assert answer.status_code == 200
    found = re.search(r'name="sample"[^>]*>(.*?)</textarea>', answer.text, re.DOTALL)
    assert found is not None
    assert "order_id" in json.loads(unescape(found[1]))


def test_a_token_is_shown_once_and_revoked(owner: Person) -> None:
    answer = owner.send("settings/tokens", name="For the shop")
    found = re.search(r"st_[0-9A-Za-z]{49}", answer.text)
    assert found is not None
    html = owner.see("settings/tokens")
    assert found[0] not in html
    start = html.index("For the shop")
    token = re.search(r'name="token" value="(tok_\w+)"', html[start:])
    assert token is not None
    api = {"authorization": f"Bearer {found[0]}"}
    url = f"{owner.site.url}/api/v1/app"
    assert owner.client.get(url, headers=api).status_code == 200
    owner.do("settings/tokens/revoke", token=token[1])
    assert owner.client.get(url, headers=api).status_code == 401
    assert problem_of(owner.send("settings/tokens", name="").text, "name")


def test_users_are_added_changed_and_removed(owner: Person) -> None:
    form = {"email": "ola@example.com", "name": "Ola", "password": PASSWORD, "role": "viewer"}
    for field, value in (("email", "ola"), ("password", "short"), ("name", "")):
        assert problem_of(owner.send("settings/users", **form | {field: value}).text, field)
    owner.do("settings/users", **form)
    taken = owner.send("settings/users", **form)
    assert "already" in problem_of(taken.text, "email")
    html = owner.see("settings/users")
    found = re.search(r"settings/users/(usr_\w+)", html[html.index('<td class="wide">Ola') :])
    assert found is not None
    ola = Person(owner.site)
    ola.sign_in("ola@example.com")
    owner.do(f"settings/users/{found[1]}", action="role", role="developer")
    assert "Add New Webhook" in ola.see("webhooks")
    owner.do(f"settings/users/{found[1]}", action="disable")
    assert ola.client.get("webhooks").status_code == 303
    owner.do(f"settings/users/{found[1]}", action="delete")
    assert "ola@example.com" not in owner.see("settings/users")


def test_an_application_has_webhooks_of_its_own(owner: Person) -> None:
    owner.do("settings/applications", name="Acme", uid="acme")
    assert problem_of(owner.send("settings/applications", name="A", uid="acme").text, "uid")
    owner.do(
        "webhooks?app=acme",
        name="Acme's own",
        url="https://acme.example/hook",
        event_types="payment_received",
        active="on",
    )
    html = owner.see("webhooks?app=acme")
    assert "acme.example" in html
    assert "app=acme" in re.findall(r'href="/admin/webhooks/ep_\w+[^"]*"', html)[0]
    assert "acme.example" not in owner.see("webhooks")


def test_settings_in_force_are_shown_without_secrets(owner: Person) -> None:
    html = owner.see("settings")
    assert "STAFETT_ALLOW_NETWORKS" in html
    assert "127.0.0.0/8" in html


def test_strangers_words_are_text_in_events_too(owner: Person) -> None:
    message = owner.emit(json.dumps({"payment_id": 1, "<script>alert(1)</script>": NASTY}))
    for path in (f"events/{message}", "events"):
        html = owner.see(path)
        assert "<script>alert" not in html
        assert "\u202e" not in html
