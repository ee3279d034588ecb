"""Idempotency keys of two servers on one database: whoever is asked, the work is done once."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from stafett.drivers.postgres.store import PostgresStore
from stafett.engine.clock import SystemClock
from stafett.model import Secret
from stafett.store import Idempotency
from stafett.web import idempotency
from stafett.web.calls import Call
from web.conftest import WAIT, Recorder
from web.test_deliveries_over_http import client_of, eventually, hook, serving, settings_in

SECOND = timedelta(seconds=1)


@pytest.fixture
def nodes(tmp_path: Path, postgres_url: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A client of each of two."""
    url = Secret(postgres_url)
    slowly = {"database_url": url, "attempt_timeout": 3 * SECOND}
    first = settings_in(tmp_path / "first", **slowly)
    second = settings_in(tmp_path / "second", **slowly)
    with (
        serving(first) as one,
        serving(second) as other,
        client_of(one) as asking_one,
        client_of(other) as asking_other,
    ):
        yield asking_one, asking_other


def attempts(api: httpx.Client, endpoint: str) -> int:
    answer = api.get(f"app/default/attempt/endpoint/{endpoint}")
    return len(answer.json()["data"])


def test_of_two_at_once_one_works_and_the_other_is_told_to_wait(
    nodes: tuple[httpx.Client, httpx.Client], receiver: Recorder
) -> None:
    one, _ = nodes
    endpoint = hook(one, "default", receiver.url("/slow/nodes"))  # seconds until the verdict
    path, key = f"app/default/endpoint/{endpoint}/test", {"idempotency-key": "both"}

    def test(api: httpx.Client) -> httpx.Response:
        return api.post(path, json={}, headers=key)

    with ThreadPoolExecutor(2) as threads:
        first, second = sorted(threads.map(test, nodes), key=lambda each: each.status_code)
    assert (first.status_code, second.status_code) == (200, 423)
    assert second.headers["retry-after"] == "1"
    assert [test(api).content for api in nodes] == [first.content] * 2
    assert attempts(one, endpoint) == 1


def test_a_request_that_takes_long_keeps_its_key(
    nodes: tuple[httpx.Client, httpx.Client], receiver: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "HOLD", 1.5 * SECOND)
    monkeypatch.setattr(idempotency, "_RENEW_EVERY", 0.2)
    one, other = nodes
    endpoint = hook(one, "default", receiver.url("/slow/long"))
    path, key = f"app/default/endpoint/{endpoint}/test", {"idempotency-key": "long"}
    answers: list[httpx.Response] = []

    def test() -> None:
        answers.append(one.post(path, json={}, headers=key))

    thread = threading.Thread(target=test)
    thread.start()
    repeated = [other.post(path, json={}, headers=key)]
    while thread.is_alive():  # twice as long as the hold
        repeated.append(other.post(path, json={}, headers=key))
    thread.join(WAIT)
    # The very first may have been the one that works.
    assert sorted({each.status_code for each in [*answers, *repeated]}) == [200, 423]
    assert attempts(one, endpoint) == 1


def test_a_key_that_a_killed_node_left_is_free_after_its_time(
    nodes: tuple[httpx.Client, httpx.Client],
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = nodes
    known: list[Idempotency] = []
    told = idempotency.idempotency

    def noted(call: Call) -> Idempotency | None:
        wanted = told(call)
        known.extend([wanted] if wanted is not None else [])
        return wanted

    monkeypatch.setattr(idempotency, "idempotency", noted)
    body, key = b'{"name": "Left"}', {"idempotency-key": "left"}
    bad = one.post("app", content=b'{"name": 1}', headers=key)
    assert bad.status_code == 422  # what is refused leaves its key free
    body_hash = hashlib.sha256(body).digest()
    asyncio.run(hold(postgres_url, Idempotency(key=known[0].key, body_hash=body_hash)))

    repeated = one.post("app", content=body, headers=key)
    assert (repeated.status_code, repeated.json()["code"]) == (423, "in_progress")
    free = eventually(
        lambda: other.post("app", content=body, headers=key),
        lambda answer: answer.status_code != 423,
    )
    assert (free.status_code, free.json()["name"]) == (201, "Left")
    assert one.post("app", content=body, headers=key).json() == free.json()


async def hold(url: str, wanted: Idempotency) -> None:
    """What a node has done of a request when it is killed."""
    clock = SystemClock()
    store = PostgresStore(url)
    await store.open(now=clock.now())
    try:
        now = clock.now()
        assert await store.hold_key(wanted, until=now + 4 * SECOND, now=now) is None
    finally:
        await store.close()
