"""Background work over HTTP: what is sent again or for the first time, and how far it has come."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from web.conftest import Recorder, settled
from web.test_deliveries_over_http import eventually, hook, send


def since(api: httpx.Client, app: str) -> str:
    return api.get(f"app/{app}").json()["createdAt"]


def started(api: httpx.Client, path: str, **wish: Any) -> dict[str, Any]:
    answer = api.post(path, json=wish)
    assert answer.status_code == 202, answer.text
    return answer.json()


def ended(api: httpx.Client, task: dict[str, Any]) -> dict[str, Any]:
    """The task once it runs no more."""
    return eventually(
        lambda: api.get(f"background-task/{task['id']}").json(),
        lambda seen: seen["status"] != "running",
    )


def came(receiver: Recorder, path: str, count: int) -> list[str]:
    return sorted(receiver.next(path).headers["webhook-id"] for _ in range(count))


def test_a_recover_can_be_followed_to_its_end(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/followed/{app}"
    receiver.script[path] = [(500, {})] * 9 + [(200, {})]
    ep = hook(api, app, receiver.url(path))
    messages = [send(api, app) for _ in range(3)]
    for each in messages:
        settled(api, app, each, attempts=3)
    came(receiver, path, 9)

    task = started(api, f"app/{app}/endpoint/{ep}/recover", since=since(api, app))
    assert (task["task"], task["status"]) == ("endpoint.recover", "running")
    assert task["id"].startswith("qtask_")
    assert came(receiver, path, 3) == sorted(messages)
    done = ended(api, task)
    assert done["status"] == "finished"
    assert done["data"] == {"appId": app, "endpointId": ep, "messagesSent": 3}
    assert done["updatedAt"] > task["updatedAt"]


def test_a_new_webhook_gets_what_it_missed_and_nothing_twice(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/missed/{app}"
    missed = [send(api, app) for _ in range(3)]
    ep = hook(api, app, receiver.url(path))
    got = send(api, app)
    assert came(receiver, path, 1) == [got]
    one = f"app/{app}/endpoint/{ep}/replay-missing"
    for count in (3, 0):
        task = started(api, one, since=since(api, app))
        assert task["task"] == "endpoint.replay"
        assert came(receiver, path, count) == sorted(missed)[:count]
        assert ended(api, task)["data"]["messagesSent"] == count
        for each in missed:
            settled(api, app, each)
    assert api.get(f"app/{app}/msg/{missed[0]}").json()["endpointCount"] == 1
    assert receiver.at(path).empty()


def test_what_arrived_is_sent_again_when_asked_for(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/replayed/{app}"
    receiver.script[path] = [(400, {})] * 3 + [(200, {})]
    ep = hook(api, app, receiver.url(path))
    bad = send(api, app)
    settled(api, app, bad, attempts=3)
    good = send(api, app)
    settled(api, app, good)
    came(receiver, path, 4)
    for wish, expected in (
        ({"status": 0}, [good]),
        ({"status": "success", "eventTypes": ["payment_failed"]}, []),
        ({"statusCodeClass": 400}, [bad]),
        ({}, sorted([good, bad])),
    ):
        task = started(api, f"app/{app}/endpoint/{ep}/bulk-replay", since=since(api, app), **wish)
        assert task["task"] == "endpoint.bulk-replay"
        assert ended(api, task)["data"]["messagesSent"] == len(expected)
        assert came(receiver, path, len(expected)) == expected
        for each in (good, bad):
            settled(api, app, each)
    assert receiver.at(path).empty()


@pytest.mark.parametrize("status", ["pending", 3, "asleep", 9])
def test_only_what_has_ended_can_be_replayed(api: httpx.Client, app: str, status: object) -> None:
    ep = hook(api, app, "http://127.0.0.1:59999/")
    wish = {"since": since(api, app), "status": status}
    answer = api.post(f"app/{app}/endpoint/{ep}/bulk-replay", json=wish)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "status"]


@pytest.mark.parametrize("verb", ["recover", "replay-missing", "bulk-replay"])
def test_what_makes_no_sense_is_refused(api: httpx.Client, app: str, verb: str) -> None:
    ep = hook(api, app, "http://127.0.0.1:59999/")
    one = f"app/{app}/endpoint/{ep}"
    begun = since(api, app)
    for wish in (
        {"since": "2099-01-01T00:00:00Z"},
        {"since": begun, "until": begun},
        {"since": "2020-01-01T00:00:00Z"},
    ):
        refused = api.post(f"{one}/{verb}", json=wish)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_range"), wish
    assert api.post(f"{one}/{verb}", json={}).status_code == 422
    api.patch(one, json={"disabled": True})
    assert api.post(f"{one}/{verb}", json={"since": begun}).status_code == 409


def test_tasks_are_listed_for_those_who_may_know_of_them(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    ep = hook(api, app, receiver.url(f"/listed/{app}"))
    one = f"app/{app}/endpoint/{ep}"
    recover = started(api, f"{one}/recover", since=since(api, app))
    replay = started(api, f"{one}/bulk-replay", since=since(api, app))
    ended(api, recover)

    def listed(token: str | None = None, **query: Any) -> list[str]:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        answer = api.get("background-task", params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["data"]]

    assert listed(limit=2) == [replay["id"], recover["id"]]
    assert listed(limit=1, task="endpoint.recover", status="finished") == [recover["id"]]
    assert listed(limit=1, iterator=replay["id"]) == [recover["id"]]
    for query in ({"status": "done"}, {"task": "sleep"}, {"order": "sideways"}):
        assert api.get("background-task", params=query).status_code == 400

    own = api.post("token", json={"name": "own", "app": app}).json()["token"]
    other = api.post("app", json={"name": "Other"}).json()["id"]
    foreign = api.post("token", json={"name": "foreign", "app": other}).json()["token"]
    assert listed(own) == [replay["id"], recover["id"]]
    assert listed(foreign) == []
    for token, status in ((own, 200), (foreign, 404)):
        headers = {"authorization": f"Bearer {token}"}
        assert api.get(f"background-task/{replay['id']}", headers=headers).status_code == status
    assert api.get("background-task/qtask_nobody").status_code == 404
