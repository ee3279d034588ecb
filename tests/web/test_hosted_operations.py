"""Operations of the format's hosted side that Stafett answers: what they really do."""

from __future__ import annotations

from typing import Any

import httpx

from web.conftest import Recorder, settled

EVENT = {"eventType": "payment_received", "payload": {"payment_id": "31"}}


def a_token(api: httpx.Client, app: str) -> dict[str, str]:
    made = api.post("token", json={"name": "leaving", "app": app})
    assert made.status_code == 201, made.text
    return {"authorization": f"Bearer {made.json()['token']}"}


def opens(api: httpx.Client, app: str, headers: dict[str, str]) -> int:
    return api.get(f"app/{app}", headers=headers).status_code


# --- tokens -------------------------------------------------------------------------------------


def test_a_token_that_logs_out_is_refused_from_then_on(api: httpx.Client, app: str) -> None:
    leaving, staying = a_token(api, app), a_token(api, app)
    assert api.post("auth/logout", headers=leaving).status_code == 204
    assert opens(api, app, leaving) == 401
    assert opens(api, app, staying) == 200


def test_an_owner_does_not_log_out(api: httpx.Client) -> None:
    answer = api.post("auth/logout")
    assert answer.status_code == 403
    assert "application" in answer.json()["detail"]
    assert api.get("app").status_code == 200


def test_all_tokens_of_one_application_expire_at_once(api: httpx.Client, app: str) -> None:
    other = api.post("app", json={"name": "Other"}).json()["id"]
    ours, theirs = [a_token(api, app), a_token(api, app)], a_token(api, other)
    assert [opens(api, app, each) for each in ours] == [200, 200]
    assert api.post(f"auth/app/{app}/expire-all", json={}).status_code == 204
    assert [opens(api, app, each) for each in ours] == [401, 401]
    assert opens(api, other, theirs) == 200


def test_they_may_have_a_while_and_what_ends_sooner_stays_so(api: httpx.Client, app: str) -> None:
    mine = a_token(api, app)
    assert api.post(f"auth/app/{app}/expire-all", json={"expiry": 3600}).status_code == 204
    assert opens(api, app, mine) == 200
    listed = api.get("token", params={"limit": 250}).json()["data"]
    (first,) = (each["expiresAt"] for each in listed if each.get("appId") == app)
    assert api.post(f"auth/app/{app}/expire-all", json={"expiry": 7200}).status_code == 204
    listed = api.get("token", params={"limit": 250}).json()["data"]
    assert [each["expiresAt"] for each in listed if each.get("appId") == app] == [first]


def test_what_has_no_session_expires_with_none(api: httpx.Client, app: str) -> None:
    mine = a_token(api, app)
    body = {"sessionIds": ["user_1FB8"]}
    assert api.post(f"auth/app/{app}/expire-all", json=body).status_code == 204
    assert opens(api, app, mine) == 200


def test_three_days_are_the_longest_while(api: httpx.Client, app: str) -> None:
    for expiry in (-1, 259_201):
        answer = api.post(f"auth/app/{app}/expire-all", json={"expiry": expiry})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "expiry"]


# --- messages -----------------------------------------------------------------------------------


def test_a_precheck_says_whether_anybody_would_get_it(api: httpx.Client, app: str) -> None:
    def active(**body: Any) -> bool:
        wish = {"eventType": "payment_received", **body}
        return api.post(f"app/{app}/msg/precheck/active", json=wish).json()["active"]

    assert not active()
    wish = {"url": "http://127.0.0.1:59999/", "filterTypes": ["payment_received"]}
    made = api.post(f"app/{app}/endpoint", json=wish | {"channels": ["north"]}).json()
    assert not active(channels=["south"])
    assert active(channels=["north", "south"])
    assert not active(eventType="account_created", channels=["north"])
    api.patch(f"app/{app}/endpoint/{made['id']}", json={"disabled": True})
    assert not active(channels=["north"])
    wrong = api.post(f"app/{app}/msg/precheck/active", json={"eventType": "no such name"})
    assert wrong.status_code == 422


def test_many_payloads_are_expunged_and_each_says_so(api: httpx.Client, app: str) -> None:
    one = api.post(f"app/{app}/msg", json=EVENT).json()["id"]
    two = api.post(f"app/{app}/msg", json=EVENT | {"eventId": "the-second"}).json()["id"]
    kept = api.post(f"app/{app}/msg", json=EVENT).json()["id"]
    body = {"ids": [one, "the-second", "msg_nobody", one]}
    answer = api.post(f"app/{app}/msg/bulk-expunge", json=body)
    assert answer.json() == {
        "results": {one: "expunged", "the-second": "expunged", "msg_nobody": "not-found"}
    }
    payloads = [api.get(f"app/{app}/msg/{each}").json()["payload"] for each in (one, two, kept)]
    assert payloads[:2] != [EVENT["payload"]] * 2
    assert payloads[2] == EVENT["payload"]


def test_more_than_a_thousand_are_refused_and_none_is_touched(api: httpx.Client, app: str) -> None:
    one = api.post(f"app/{app}/msg", json=EVENT).json()["id"]
    body = {"ids": [one, *(str(number) for number in range(1000))]}
    assert api.post(f"app/{app}/msg/bulk-expunge", json=body).status_code == 400
    assert api.get(f"app/{app}/msg/{one}").json()["payload"] == EVENT["payload"]


# --- attempts -----------------------------------------------------------------------------------


def test_an_attempt_shows_the_headers_of_both_sides(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/headers/{app}"
    receiver.script[path] = [(200, {"x-answer": "yes"})]
    wish = {"url": receiver.url(path), "headers": {"x-shop": "31"}}
    endpoint = api.post(f"app/{app}/endpoint", json=wish).json()["id"]
    message = api.post(f"app/{app}/msg", json=EVENT).json()["id"]
    settled(api, app, message)
    (attempt,) = api.get(f"app/{app}/attempt/msg/{message}").json()["data"]
    shown = api.get(f"app/{app}/msg/{message}/attempt/{attempt['id']}/headers").json()
    assert shown["sentHeaders"]["x-shop"] == "31"
    assert shown["sentHeaders"]["webhook-id"] == message
    assert ["x-answer", "yes"] in [
        [name.lower(), value] for name, value in shown["responseHeaders"]
    ]
    assert shown["sensitive"] == []
    stats = api.get(f"app/{app}/endpoint/{endpoint}/attempt-stats").json()
    assert stats == {"success": 1, "fail": 0, "canceled": 0}


# --- the installation ---------------------------------------------------------------------------


def test_what_was_exported_can_be_imported(api: httpx.Client) -> None:
    wish = {
        "name": "trip.made",
        "description": "A trip was made.",
        "schemas": {"1": {"type": "object", "required": ["km"]}},
        "archived": True,
    }
    assert api.post("event-type", json=wish).status_code == 201
    exported = api.post("environment/export").json()
    before = {each["name"]: each for each in exported["eventTypes"]}
    assert "payment_received" in before
    assert api.delete("event-type/trip.made", params={"expunge": "true"}).status_code == 204
    again = {"eventTypes": exported["eventTypes"]}
    assert api.post("environment/import", json=again).status_code == 204
    after = {each["name"]: each for each in api.post("environment/export").json()["eventTypes"]}
    times = ("createdAt", "updatedAt")
    for each in (*before.values(), *after.values()):
        for name in times:
            del each[name]
    assert after == before


def test_one_that_is_wrong_keeps_all_out(api: httpx.Client) -> None:
    body = {
        "eventTypes": [
            {"name": "left.out", "description": "Right."},
            {"name": "wrong name", "description": "Not a name."},
        ]
    }
    answer = api.post("environment/import", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "eventTypes", 1, "name"]
    assert api.get("event-type/left.out").status_code == 404


def test_what_stafett_has_not_is_refused_by_name(api: httpx.Client) -> None:
    for name, value in (("connectors", [{"name": "x"}]), ("settings", {"a": 1})):
        answer = api.post("environment/import", json={name: value})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", name]
    empty: dict[str, Any] = {"settings": None, "connectors": [], "eventTypes": None}
    assert api.post("environment/import", json=empty).status_code == 204
