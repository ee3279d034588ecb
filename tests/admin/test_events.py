"""Events, event types, settings: what was typed is kept, what is wrong is told."""

from __future__ import annotations

import itertools
import json
import re
from datetime import datetime, timedelta
from html import unescape

import pytest

from admin.conftest import NASTY, PASSWORD, Person, problem_of

_numbers = itertools.count()
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


@pytest.fixture
def app(owner: Person) -> str:
    """An application of the test's own, for links: what other tests do is not in its lists."""
    name = f"events-{next(_numbers)}"
    owner.do("settings/applications", name=name, uid=name)
    return f"app={name}"


def emit(owner: Person, app: str, payload: str, event: str = "payment_received") -> str:
    """A real event of an application; its id."""
    where = owner.do(f"emit?{app}", event=event, payload=payload)
    return where.removeprefix("events/").partition("?")[0]


def webhook(owner: Person, app: str, **fields: str) -> str:
    given = {"name": "Mailing list", "event_types": "payment_received", "active": "on"}
    where = owner.do(f"webhooks?{app}", **given | {"url": owner.bin()[1]} | fields)
    found = re.search(r"new=(ep_\w+)", where)
    assert found is not None, where
    return found[1]


def listed(html: str) -> list[str]:
    """Ids of messages in the log, in order."""
    return re.findall(r'<td class="wide"><a href="/admin/events/(msg_\w+)', html)


def test_an_event_is_emitted_with_its_sample_and_shown(owner: Person) -> None:
    form = owner.see("emit?event=payment_received")
    assert "payment_reference_code" in form
    message = owner.emit('{"payment_id": 12345678901234567890.10, "note": "odd"}')
    html = owner.see(f"events/{message}")
    assert "12345678901234567890.10" in html
    assert message in owner.see("events?event=payment_received")
    assert message not in owner.see("events?event=customer_created")


def test_an_event_that_nobody_wants_says_so(owner: Person, app: str) -> None:
    message = emit(owner, app, '{"order_id": 1}')
    assert "No webhook wanted it." in owner.see(f"events/{message}?{app}")
    assert "no webhook wanted it" in owner.see(f"events?{app}")


def test_an_event_tells_who_wanted_it_and_what_became_of_that(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app, name="Shop & Söhne")
    webhook(owner, app, name="Not this", event_types="customer_created")
    message = emit(owner, app, '{"payment_id": 1}')
    delivery = f"/admin/deliveries/{message}/{endpoint}?{app}"
    for path in (f"events/{message}?{app}", f"events?{app}"):
        html = owner.see_once(path, '<span class="state succeeded">')
        assert f'href="{delivery}">Shop &amp; Söhne</a>' in html
        assert "Not this" not in html
    owner.do(f"webhooks/{endpoint}/delete?{app}", sure="yes")
    for path in (f"events/{message}?{app}", f"events?{app}"):
        assert f'href="{delivery}">(deleted)</a>' in owner.see(path)


def test_many_webhooks_are_counted_in_the_log(owner: Person, app: str) -> None:
    for _ in range(6):
        webhook(owner, app)
    message = emit(owner, app, "{}")
    assert "6 webhooks</a>" in owner.see(f"events?{app}")
    assert owner.see(f"events/{message}?{app}").count("/admin/deliveries/msg_") == 6


def test_a_payload_is_a_tree_and_raw(owner: Person, app: str) -> None:
    payload = (
        '{"customer": {"customer_user_email": "a@b.c"}, "total": 1.50,  "n": [1, {"deep": []}]}'
    )
    message = emit(owner, app, payload)
    html = owner.see(f"events/{message}?{app}")
    tree = html.partition('<ul class="tree" hx-ignore>')[2].partition("Raw</summary>")[0]
    assert '<summary><code>customer</code> <span class="hint">{1}</span></summary>' in tree
    assert '<code>total</code> <span class="value">1.50</span>' in tree
    assert '<span class="value">[]</span>' in tree
    assert re.search(r"customer_user_email</code> <span[^>]*>Sensitive</span>", tree)
    assert payload in unescape(html)
    assert "data-copies-next" in html
    answer = owner.client.get(f"events/{message}/payload?{app}")
    assert answer.text == payload
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_large_payload_is_shown_from_its_beginning(owner: Person, app: str) -> None:
    payload = json.dumps({"text": "x" * 300_000 + "END"})
    message = emit(owner, app, payload)
    html = owner.see(f"events/{message}?{app}")
    assert "only the beginning is shown" in html
    assert "END" not in html
    assert owner.client.get(f"events/{message}/payload?{app}").text == payload


class Api:
    """The application that emits, with a token of its own."""

    def __init__(self, owner: Person, app: str) -> None:
        answer = owner.send("settings/tokens", name="For the shop")
        token = re.search(r"st_[0-9A-Za-z]{49}", answer.text)
        assert token is not None
        self._headers = {"authorization": f"Bearer {token[0]}"}
        self._url = f"{owner.site.url}/api/v1/app/{app.removeprefix('app=')}"
        self._client = owner.client

    def emit(self, **body: object) -> dict[str, str]:
        answer = self._client.post(f"{self._url}/msg", headers=self._headers, json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def expunge(self, message: str) -> None:
        url = f"{self._url}/msg/{message}/content"
        assert self._client.delete(url, headers=self._headers).status_code == 204


def test_what_an_application_says_of_its_event_is_shown(owner: Person, app: str) -> None:
    api = Api(owner, app)
    event_type(owner, "said.event", check="warn")
    made = api.emit(
        eventType="said.event",
        eventId="order-7",
        channels=["north"],
        tags=["vip"],
        payload={"order_id": "seven"},
    )
    html = owner.see(f"events/{made['id']}?{app}")
    assert "order_id: " in html
    for text in ("order-7", "north", "vip", "does not fit its schema", "Payload kept until"):
        assert text in html
    assert "does not fit its schema" in owner.see(f"events?{app}")
    assert "Not sent before" not in html
    later = datetime.fromisoformat(made["timestamp"]) + timedelta(hours=1)
    made = api.emit(eventType="said.event", payload={"order_id": 7}, deliverAt=later.isoformat())
    assert "Not sent before" in owner.see(f"events/{made['id']}?{app}")


def test_a_payload_that_is_deleted_says_so(owner: Person, app: str) -> None:
    endpoint = webhook(owner, app)
    message = emit(owner, app, "{}")
    delivery = f"deliveries/{message}/{endpoint}"
    owner.see_once(f"{delivery}?{app}", ">delivered</span>")
    Api(owner, app).expunge(message)
    assert "Deleted" in owner.see(f"events/{message}?{app}")
    assert owner.client.get(f"events/{message}/payload?{app}").status_code == 404
    assert "deleted, so it cannot be sent again" in owner.see(f"{delivery}?{app}")
    answer = owner.send(f"{delivery}/resend?{app}")
    assert answer.status_code == 409
    assert "the payload of this message is gone" in answer.text


def test_the_log_is_searched_by_text_event_and_time(owner: Person, app: str) -> None:
    made = [
        emit(owner, app, '{"name": "Åse", "path": "a\\/b"}'),
        emit(owner, app, '{"name": "Kari"}'),
        emit(owner, app, '{"name": "KARI"}', event="customer_created"),
    ]

    def found(**asked: str) -> list[int]:
        query = {"app": app.removeprefix("app=")} | asked
        html = owner.client.get("events", params=query).text
        return [made.index(each) for each in listed(html)]

    assert found() == [2, 1, 0]
    assert found(text="kari") == [2, 1]
    assert found(text="Åse") == [0]
    assert found(text="a/b") == [0]
    assert found(text="kari", event="customer_created") == [2]
    assert found(text="nothing") == []
    assert found(event="payment_received") == [1, 0]
    assert found(after="2020-01-01T00:00") == [2, 1, 0]
    assert found(text="kari", before="2020-01-01T00:00") == []
    assert "No event is like that." in owner.see(f"events?{app}&text=nothing")


def test_what_cannot_be_searched_for_is_told_beside_its_field(owner: Person, app: str) -> None:
    for field, value, said in (
        ("text", "x" * 201, "1 to 200 characters"),
        ("after", "<yesterday>", "must be a time"),
        ("before", "0001-01-01T00:00+14:00", "between the years"),
    ):
        query = {"app": app.removeprefix("app="), field: value}
        answer = owner.client.get("events", params=query)
        assert answer.status_code == 422
        assert said in problem_of(answer.text, field).lower()
        assert f'value="{value}"' in answer.text.replace("&lt;", "<").replace("&gt;", ">")


@pytest.mark.parametrize("text", ["", "&text=payment"])
def test_older_events_follow_on_the_next_page(owner: Person, app: str, text: str) -> None:
    made = [emit(owner, app, '{"payment_id": 1}') for _ in range(51)]
    html = owner.see(f"events?{app}{text}")
    older = re.search(r'href="/admin/(events\?[^"]*from=[^"]*)"', html)
    assert older is not None
    first = listed(html)
    html = owner.see(unescape(older[1]))
    assert first + listed(html) == made[::-1]
    assert "Newest" in html


def test_a_log_without_events_says_how_to_begin(owner: Person, viewer: Person, app: str) -> None:
    assert 'href="/admin/emit?app=' in owner.see(f"events?{app}")
    html = viewer.see(f"events?{app}")
    assert "No events here" in html
    assert "/admin/emit" not in html


def test_a_form_to_emit_begins_with_a_sample(owner: Person) -> None:
    html = owner.see("emit")
    chosen = re.search(r'<option value="(\w+)" selected>', html)
    assert chosen is not None
    assert f'name="event" type="text" value="{chosen[1]}"' in html
    assert _payload(html) != {}
    assert "payment_reference_code" in _payload(owner.see("emit?event=payment_received"))
    assert _payload(owner.see("emit?event=never.heard_of")) == {}


def _payload(html: str) -> dict[str, object]:
    found = re.search(r'name="payload"[^>]*>(.*?)</textarea>', html, re.DOTALL)
    assert found is not None
    return json.loads(unescape(found[1]))


def test_an_emitted_event_reaches_a_channel_byte_for_byte(owner: Person, app: str) -> None:
    webhook(owner, app, channels="north")
    webhook(owner, app, name="South", channels="south")
    typed = '{"payment_id":  1,\r\n "total": 1.50}'
    where = owner.do(f"emit?{app}", event="payment_received", payload=typed, channels="north, x")
    html = owner.see(where)
    assert "Event emitted." in html
    assert "Mailing list" in html
    assert "South" not in html
    message = where.removeprefix("events/").partition("?")[0]
    answer = owner.client.get(f"events/{message}/payload?{app}")
    assert answer.text == typed.replace("\r\n", "\n")


def test_a_viewer_emits_nothing(owner: Person, viewer: Person) -> None:
    answer = viewer.send("emit", event="payment_received", payload='{"by": "a viewer"}')
    assert answer.status_code == 403
    assert viewer.client.get("emit").status_code == 403
    assert listed(owner.see("events?text=a+viewer")) == []


def test_an_event_of_another_application_is_not_there(owner: Person, app: str) -> None:
    message = owner.emit()
    owner.see(f"events/{message}?{app}", 404)
    owner.see(f"events/{message}/payload?{app}", 404)


def test_events_that_are_too_large_or_called_wrong_are_told_and_kept(owner: Person) -> None:
    payload = json.dumps({"text": "x" * 1_050_000})
    answer = owner.send("emit", event="payment_received", payload=payload)
    assert answer.status_code == 413
    assert "at most 1,048,576 bytes" in problem_of(answer.text, "payload")
    assert "x" * 1_050_000 in answer.text
    answer = owner.send("emit", event="has space", payload='{"a": 1}', channels="ok")
    assert answer.status_code == 422
    assert problem_of(answer.text, "event")
    assert 'value="has space"' in answer.text
    answer = owner.send("emit", event="ok", payload='{"a": 1}', channels="what?")
    assert problem_of(answer.text, "channels")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ('{"a": 1', "line 1, column"),
        ("[1]", "Must be a JSON object"),
        ('{"a": NaN}', "is no number in JSON"),
        ('{"order_id": ' + "9" * 5_000 + "}", "Cannot be checked"),
        ('{"order_id": "\u202e<b>"}', "\\u202e"),
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
