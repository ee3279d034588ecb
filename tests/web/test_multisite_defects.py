"""What a product that sends webhooks from a network of sites got wrong, and does not happen here.

Its catalogue is built in; these tests are about events, test events, verdicts, numbers, payloads.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import making
from stafett import catalog
from web.conftest import Recorder, settled
from web.test_deliveries_over_http import destination, eventually, later, nothing_but, time_of
from web.test_messages_over_http import EVENT, hook, send

BUILT_IN = catalog.load("multisite", now=making.NOW)
IN_USE = sorted(each.name for each in BUILT_IN if not each.archived)
OF_OLD = sorted(each.name for each in BUILT_IN if each.archived)


def entry(api: httpx.Client, name: str) -> dict[str, Any]:
    """An event type as the API shows it, with schema and samples."""
    answer = api.get(f"event-type/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def verdict_on(api: httpx.Client, app: str, ep: str, **wish: Any) -> dict[str, Any]:
    """The verdict on a test event."""
    answer = api.post(f"app/{app}/endpoint/{ep}/test", json=wish)
    assert answer.status_code == 200, answer.text
    return answer.json()


def endpoint(api: httpx.Client, app: str, ep: str) -> dict[str, Any]:
    return api.get(f"app/{app}/endpoint/{ep}").json()


# --- events -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IN_USE)
def test_01_an_event_that_can_be_chosen_is_delivered(
    api: httpx.Client, app: str, receiver: Recorder, name: str
) -> None:
    """Half of the events in the list were logged when they happened and never sent to anybody."""
    path, sample = f"/chosen/{app}", entry(api, name)["sample"]
    ep = hook(api, app, receiver.url(path), eventTypes=[name])
    verdict = verdict_on(api, app, ep)
    assert (verdict["ok"], verdict["eventType"]) == (True, name)
    assert json.loads(receiver.next(path).body) == sample
    other = next(each for each in IN_USE if each != name)
    send(api, app, eventType=other)  # which it has not chosen
    sent = api.post(f"app/{app}/msg", json={"eventType": name, "payload": sample}).json()
    assert (sent["endpointCount"], sent["problems"]) == (1, [])
    arrived = receiver.next(path)
    assert (arrived.headers["webhook-id"], json.loads(arrived.body)) == (sent["id"], sample)


@pytest.mark.parametrize("noun", ["customer", "membership", "payment"])
@pytest.mark.parametrize("verb", ["created", "updated"])
def test_02_what_is_announced_is_there(api: httpx.Client, noun: str, verb: str) -> None:
    """Events of creation and change were announced in the code, too late to be listed."""
    found = entry(api, f"{noun}_{verb}")
    assert found["archived"] is False
    assert found["sample"][f"{noun}_id"] > 0


def test_03_ends_are_events_too(api: httpx.Client) -> None:
    """Nothing told of a deletion, a cancellation, a refund or a change of plan."""
    ends = {"customer_deleted", "site_deleted", "membership_canceled", "refund_issued"}
    assert ends | {"plan_changed", "domain_removed"} <= set(IN_USE)
    assert all(entry(api, name)["firesWhen"] for name in ends)


def test_04_an_event_type_is_heard_as_soon_as_it_exists(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """Whatever was registered after a certain moment had no listener until the next start."""
    name, everything, chosen = f"late.{app}", f"/late/{app}", f"/late-chosen/{app}"
    hook(api, app, receiver.url(everything))
    wish = {"name": name, "description": "Made while it runs."}
    assert api.post("event-type", json=wish).status_code == 201
    hook(api, app, receiver.url(chosen), eventTypes=[name])
    message = send(api, app, eventType=name)
    for path in (everything, chosen):
        nothing_but(receiver, path, message)
    api.delete(f"event-type/{name}", params={"expunge": "true"})


@pytest.mark.parametrize("name", [OF_OLD[0], "account_create", "payment_recieved"])
def test_05_no_webhook_waits_for_an_event_that_never_comes(
    api: httpx.Client, app: str, receiver: Recorder, name: str
) -> None:
    """Any word was taken for an event, so old or mistyped ones kept webhooks silent for ever."""
    ep = hook(api, app, receiver.url("/never"), eventTypes=["payment_received"])
    one, wish = f"app/{app}/endpoint/{ep}", {"url": receiver.url("/never"), "eventTypes": [name]}
    for method, path in (("POST", f"app/{app}/endpoint"), ("PUT", one), ("PATCH", one)):
        answer = api.request(method, path, json=wish)
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert problem["loc"] == ["body", "eventTypes"]
        assert name in problem["msg"]
    assert endpoint(api, app, ep)["eventTypes"] == ["payment_received"]


def test_06_a_webhook_may_want_many_events_and_have_a_long_address(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """One event for each webhook, its name at most 40 letters, the address at most 191."""
    path = f"/long/{app}/" + "x" * 1_900
    name = f"long.{app}".ljust(256, "x")
    assert api.post("event-type", json={"name": name, "description": "Long."}).status_code == 201
    hook(api, app, receiver.url(path), eventTypes=[name, *IN_USE])
    for each in (name, IN_USE[0], IN_USE[-1]):
        nothing_but(receiver, path, send(api, app, eventType=each))
    api.delete(f"event-type/{name}", params={"expunge": "true"})


def test_07_the_catalogue_comes_in_pages(api: httpx.Client) -> None:
    """Lists came whole or not at all."""
    seen: list[str] = []
    page: dict[str, Any] = {"iterator": None, "done": False}
    while not page["done"]:
        asked = {"limit": 7, "include_archived": "true"}
        page = api.get(
            "event-type",
            params=asked | ({"iterator": page["iterator"]} if page["iterator"] else {}),
        ).json()
        assert len(page["data"]) <= 7
        seen += [each["name"] for each in page["data"]]
    assert len(seen) == len(set(seen))
    assert set(seen) >= {*IN_USE, *OF_OLD}
    assert seen == sorted(seen)


def test_08_an_event_that_nobody_wants_is_in_the_log(api: httpx.Client, app: str) -> None:
    """What happened was to be stored after it was sent, and a missing field forbade even that."""
    message = send(api, app, payload={"payment_id": 31})
    (listed,) = api.get(f"app/{app}/msg").json()["data"]
    assert (listed["id"], listed["payload"]) == (message, {"payment_id": 31})
    assert listed["endpointCount"] == 0


# --- webhooks ---------------------------------------------------------------------------------


def test_09_a_new_webhook_works(api: httpx.Client, app: str, receiver: Recorder) -> None:
    """A new one was off until somebody found the switch, and made by API it needed a source."""
    path = f"/new/{app}"
    ep = hook(api, app, receiver.url(path))
    found = endpoint(api, app, ep)
    assert (found["disabled"], found["integration"]) == (False, "manual")
    nothing_but(receiver, path, send(api, app))


def test_10_a_webhook_that_is_off_gets_nothing(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """The switch was shown and stored, and never looked at."""
    path = f"/off/{app}"
    ep = hook(api, app, receiver.url(path))
    accepted = send(api, app, deliverAt=later(api, app))  # before it is switched off
    assert api.patch(f"app/{app}/endpoint/{ep}", json={"disabled": True}).status_code == 200
    assert destination(api, app, accepted)["statusText"] == "canceled"
    refused = api.post(f"app/{app}/msg", json=EVENT).json()
    assert refused["endpointCount"] == 0
    assert api.get(f"app/{app}/msg/{refused['id']}/endpoint").json()["data"] == []
    assert api.patch(f"app/{app}/endpoint/{ep}", json={"disabled": False}).status_code == 200
    nothing_but(receiver, path, send(api, app))


def test_11_a_request_is_signed_and_carries_own_headers(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """A bare request came from anywhere: no signature, no header of one's own."""
    path = f"/signed/{app}"
    ep = hook(api, app, receiver.url(path), headers={"authorization": "Bearer tenant"})
    send(api, app)
    headers = receiver.next(path).headers
    assert headers["webhook-signature"].startswith("v1,")
    assert headers["authorization"] == "Bearer tenant"
    secret = api.get(f"app/{app}/endpoint/{ep}/secret").json()["key"]
    shown = [api.get(f"app/{app}/endpoint").text, api.get(f"app/{app}/endpoint/{ep}").text]
    assert not any(word in text for text in shown for word in (secret, "Bearer tenant"))


def test_12_what_comes_twice_can_be_told(api: httpx.Client, app: str, receiver: Recorder) -> None:
    """Nothing in a request said which event it was, so one that came twice was two."""
    path = f"/twice/{app}"
    receiver.script[path] = [(500, {}), (200, {})]
    hook(api, app, receiver.url(path))
    message = send(api, app)
    first, again = receiver.next(path), receiver.next(path)
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == message
    assert first.headers["stafett-attempt"] != again.headers["stafett-attempt"]
    settled(api, app, message, attempts=2)
    made = api.get(f"app/{app}/attempt/msg/{message}").json()["data"]
    assert [each["id"] for each in made] == [
        each.headers["stafett-attempt"] for each in (again, first)
    ]


def test_13_a_receiver_is_told_which_event_it_is(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """A receiver of several events had to guess from the fields which of them it got."""
    path = f"/which/{app}"
    hook(api, app, receiver.url(path), eventTypes=["payment_received", "payment_failed"])
    for name in ("payment_received", "payment_failed"):
        send(api, app, eventType=name)
        assert name in receiver.next(path).headers.values()


@pytest.mark.parametrize("where", ["api_key", "token", "api-key", "access_token"])
def test_14_a_token_in_an_address_opens_nothing(api: httpx.Client, app: str, where: str) -> None:
    """The keys to everything could be given in the query, and so lay in every access log."""
    token = str(api.headers["authorization"]).removeprefix("Bearer ")
    with httpx.Client(base_url=api.base_url) as anybody:
        assert anybody.get(f"app/{app}", params={where: token}).status_code == 401
        body = EVENT | {where: token}
        assert anybody.post(f"app/{app}/msg", json=body).status_code == 401


# --- test events ------------------------------------------------------------------------------


def test_15_a_test_goes_to_the_stored_address(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """It went wherever the request said: to nowhere from some screens, or to a host inside."""
    path = f"/stored/{app}"
    ep = hook(api, app, receiver.url(path))
    verdict = verdict_on(api, app, ep, url=receiver.url(f"/elsewhere/{app}"))
    assert verdict["ok"]
    nothing_but(receiver, path, verdict["messageId"])
    assert receiver.at(f"/elsewhere/{app}").empty()


def test_16_a_test_is_like_the_real_thing_and_marked(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """Test and reality differed in their fields, and nothing told one from the other."""
    path = f"/like/{app}"
    ep = hook(api, app, receiver.url(path), headers={"x-own": "1"})
    verdict = verdict_on(api, app, ep, eventType="payment_received")
    test = receiver.next(path)
    payload = entry(api, "payment_received")["sample"]
    message = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": payload})
    real = receiver.next(path)
    assert json.loads(test.body) == json.loads(real.body) == payload
    assert set(test.headers) == set(real.headers) | {"stafett-test"}
    assert test.headers["stafett-test"] == "true"
    settled(api, app, message.json()["id"])
    made = api.get(f"app/{app}/attempt/endpoint/{ep}").json()["data"]
    assert {each["id"]: each["test"] for each in made} == {
        verdict["attemptId"]: True,
        real.headers["stafett-attempt"]: False,
    }


@pytest.mark.parametrize(
    ("status", "length", "ok"),
    [(200, "0", True), (204, "0", True), (200, "2", True), (404, "2", False), (500, "0", False)],
)
def test_17_the_status_is_the_verdict(
    api: httpx.Client, app: str, receiver: Recorder, status: int, length: str, ok: bool
) -> None:
    """Any text was a success, an error page too; an empty answer was a failure, a 204 too."""
    path = f"/status/{app}"
    receiver.script[path] = [(status, {"content-length": length, "connection": "close"})]
    ep = hook(api, app, receiver.url(path))
    verdict = verdict_on(api, app, ep)
    assert (verdict["ok"], verdict["statusCode"]) == (ok, status)
    assert verdict["responseBody"] == "ok"[: int(length)]


def test_18_an_answer_is_shown_as_it_came(api: httpx.Client, app: str) -> None:
    """It was turned into entities on its way to whoever looked at it."""
    made = api.post("bin", json={}).json()
    text = "<p title='a'>\"1\" &amp; 2</p>"
    api.put(f"bin/{made['id']}/reply", json={"body": text, "headers": [["x-a", "<b>"]]})
    verdict = verdict_on(api, app, hook(api, app, made["url"]))
    assert verdict["responseBody"] == text
    assert ["x-a", "<b>"] in verdict["responseHeaders"]


def test_19_who_may_not_test_learns_nothing(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """A refused test answered with the list of all webhooks."""
    ep = hook(api, app, receiver.url(f"/private/{app}"))
    other = api.post("app", json={"name": "Other"}).json()["id"]
    token = api.post("token", json={"name": "other", "app": other}).json()["token"]
    headers = {"authorization": f"Bearer {token}"}
    answer = api.post(f"app/{app}/endpoint/{ep}/test", json={}, headers=headers)
    assert answer.status_code == 404
    assert set(answer.json()) == {"code", "detail"}
    assert "private" not in answer.text
    assert receiver.at(f"/private/{app}").empty()


def test_20_nobody_is_sent_elsewhere(api: httpx.Client, app: str, receiver: Recorder) -> None:
    """Up to five redirects were followed, wherever they led."""
    path, target = f"/moved/{app}", f"/target/{app}"
    receiver.script[path] = [(307, {"location": receiver.url(target)})]
    verdict = verdict_on(api, app, hook(api, app, receiver.url(path)))
    assert (verdict["ok"], verdict["statusCode"], verdict["cause"]) == (False, 307, "redirect")
    hook(api, app, receiver.url(target))
    nothing_but(receiver, target, send(api, app))


# --- verdicts on real events ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name"), [(201, "success"), (204, "success"), (403, "fail"), (404, "fail")]
)
def test_21_only_2xx_is_a_success(
    api: httpx.Client, app: str, receiver: Recorder, status: int, name: str
) -> None:
    """Whatever came back counted as delivered; the status was neither read nor kept."""
    path = f"/real/{app}"
    receiver.script[path] = [(status, {"content-length": "0", "connection": "close"})]
    ep = hook(api, app, receiver.url(path))
    message = send(api, app)
    found = settled(api, app, message, attempts=1 if name == "success" else 3)
    assert found["statusText"] == name
    attempts = api.get(f"app/{app}/attempt/msg/{message}").json()["data"]
    assert {each["responseStatusCode"] for each in attempts} == {status}
    stats = api.get(f"app/{app}/endpoint/{ep}/stats").json()
    assert stats == dict.fromkeys(stats, 0) | {name: 1}


def test_22_the_log_says_what_happened(api: httpx.Client, app: str, receiver: Recorder) -> None:
    """Rows read "no message", and those with an answer were the ones that did not show it."""
    path = f"/told/{app}"
    receiver.script[path] = [(500, {"x-why": "tired"}), (200, {"x-why": "rested"})]
    hook(api, app, receiver.url(path))
    message = send(api, app)
    settled(api, app, message, attempts=2)
    good, bad = api.get(f"app/{app}/attempt/msg/{message}").json()["data"]
    for each, why in ((bad, "tired"), (good, "rested")):
        assert each["response"] == "ok"
        assert ["x-why", why] in each["responseHeaders"]
        assert ["webhook-id", message] in each["requestHeaders"]
        assert each["url"] == receiver.url(path)
        assert each["responseDurationMs"] >= 0
    assert bad["note"].startswith("next try in ")
    assert bad["note"].endswith(": 500")
    assert (good["note"], bad["cause"]) == ("delivered in attempt 2", "status")


def test_23_a_dead_receiver_holds_nobody_up_and_is_not_forgotten(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """Either the shopper at the checkout waited for it, or nobody ever knew what came of it."""
    hook(api, app, receiver.url(f"/slow/checkout/{app}"))
    message = send(api, app)
    # Answered while the receiver still has the request.
    assert destination(api, app, message)["status"] in {1, 3}
    found = settled(api, app, message, attempts=3)
    assert (found["statusText"], found["lastCause"]) == ("fail", "timeout")


def test_24_when_it_failed_last_is_noted(api: httpx.Client, app: str, receiver: Recorder) -> None:
    """There was a field for it that nothing ever wrote."""
    path = f"/noted/{app}"
    receiver.script[path] = [(503, {})]
    ep = hook(api, app, receiver.url(path))
    assert "lastAttemptAt" not in endpoint(api, app, ep)
    message = send(api, app)
    settled(api, app, message, attempts=3)
    found = endpoint(api, app, ep)
    attempts = api.get(f"app/{app}/attempt/msg/{message}").json()["data"]
    assert time_of(found["lastAttemptAt"]) == time_of(attempts[0]["timestamp"])
    assert time_of(found["failingSince"]) == time_of(attempts[-1]["timestamp"])
    assert (found["lastStatusCode"], found["lastCause"]) == (503, "status")


# --- numbers ----------------------------------------------------------------------------------


def test_25_the_counter_loses_nothing_when_much_happens_at_once(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """It was read, raised and written back, so of two at once only one was counted."""
    path, count = f"/counted/{app}", 200
    ep = hook(api, app, receiver.url(path))

    def one(_: int) -> str:
        return send(api, app)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(count // 2)))
    api.post(f"app/{app}/msg/batch", json={"messages": [EVENT] * (count // 2)})
    for _ in range(count):
        receiver.next(path)
    stats = f"app/{app}/endpoint/{ep}/stats"
    eventually(lambda: api.get(stats).json(), lambda seen: seen["success"] == count)
    assert endpoint(api, app, ep)["eventCount"] == count


def test_26_the_counter_counts_what_was_delivered(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """It counted answers of any kind, perhaps tests, and could be set to anything by hand."""
    path = f"/counts/{app}"
    ep = hook(api, app, receiver.url(path))
    settled(api, app, message := send(api, app))
    verdict_on(api, app, ep)
    api.post(f"app/{app}/msg/{message}/endpoint/{ep}/resend")
    settled(api, app, message, attempts=2)  # the same message again is no other event
    receiver.script[path] = [(500, {})]
    settled(api, app, send(api, app), attempts=3)
    api.patch(f"app/{app}/endpoint/{ep}", json={"eventCount": 1_000})
    assert endpoint(api, app, ep)["eventCount"] == 1


# --- payloads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("check", ["warn", "strict"])
def test_27_a_required_field_is_required(
    api: httpx.Client, app: str, receiver: Recorder, check: str
) -> None:
    """The check for required fields compared the wrong thing and let everything pass."""
    name = f"checked.{app}.{check}"
    properties = {"payment_id": {"type": "integer"}, "paid": {"type": "boolean"}}
    schema = {"type": "object", "required": ["payment_id"], "properties": properties}
    wish = {"name": name, "description": "C.", "schemas": {"1": schema}, "check": check}
    assert api.post("event-type", json=wish).status_code == 201
    hook(api, app, receiver.url("/checked"))
    answer = api.post(f"app/{app}/msg", json={"eventType": name, "payload": {"paid": "true"}})
    if check == "strict":
        assert answer.status_code == 422
        found = [each["loc"] for each in answer.json()["detail"]]
        assert sorted(found) == [
            ["body", "payload", "paid"],
            ["body", "payload", "payment_id"],
        ]
        assert api.get(f"app/{app}/msg").json()["data"] == []
    else:
        assert answer.status_code == 202
        assert sorted(each.partition(":")[0] for each in answer.json()["problems"]) == [
            "paid",
            "payment_id",
        ]
    api.delete(f"event-type/{name}", params={"expunge": "true"})


def is_blank(name: str, value: object) -> bool:
    """Whether a value in a sample says nothing; a user 0 is a visitor who is not signed in."""
    return value in ("", None) or (name.endswith("_id") and name != "user_id" and value == 0)


@pytest.mark.parametrize("name", IN_USE)
def test_28_a_sample_is_worth_looking_at(api: httpx.Client, name: str) -> None:
    """Samples were zeros and blanks, money was spelled in entities, and fields had no types."""
    found = entry(api, name)
    sample: Mapping[str, Any] = found["sample"]
    properties: Mapping[str, Any] = found["schemas"]["1"]["properties"]
    assert sample
    assert set(sample) <= set(properties)
    for field, value in sample.items():
        assert not is_blank(field, value), field
        if "total" in field or "amount" in field or "subtotal" in field:
            assert "&" not in str(value), field
        kinds = properties[field]["type"]
        assert kinds, field
        if isinstance(value, dict | list):  # the rest is flat, and whoever flattens is told
            assert {"object", "array"} & {*([kinds] if isinstance(kinds, str) else kinds)}, field
    assert sample != found.get("referenceSample")


def test_29_a_secret_link_is_marked_and_not_repeated(
    api: httpx.Client, app: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole payloads, links that confirm an account among them, were written into logs."""
    name, link = "confirm_email_address", "https://network.example/?confirm=4f8a91"
    assert "verification_link" in entry(api, name)["sensitiveFields"]
    payload = {"verification_link": [link], "customer_user_email": [link], "customer_id": 0.5}
    with caplog.at_level(logging.DEBUG):
        sent = api.post(f"app/{app}/msg", json={"eventType": name, "payload": payload}).json()
        hook(api, app, "http://127.0.0.1:59999/")
        settled(api, app, send(api, app, eventType=name, payload=payload), attempts=3)
    assert {each.partition(":")[0] for each in sent["problems"]} >= {"customer_id"}
    assert link not in "".join(sent["problems"])
    assert "event=attempt.recorded" in caplog.text
    assert "4f8a91" not in caplog.text
