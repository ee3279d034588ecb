"""kill -9 under load: what was accepted is there after the next start, and is delivered."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import Any

import pytest

from faults.conftest import Load, Receiver, Server, balance, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("STAFETT_TEST_KILLS", "30"))
CLIENTS = 16
AT_ONCE = 64
"""Requests that one webhook has under way at most."""


async def kill_under_load(server: Server, load: Load, *, after: float) -> None:
    await server.start()
    load.start()
    await asyncio.sleep(after)  # a random moment is the point here, not a wait for something
    await server.end(signal.SIGKILL)
    await load.ended()


async def waiting(server: Server) -> float:
    """Deliveries that are pending or sending."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    lines = [each for each in text.splitlines() if each.startswith("stafett_deliveries_waiting")]
    return sum(float(each.rpartition(" ")[2]) for each in lines)


async def test_nothing_accepted_is_lost(server: Server, receiver: Receiver) -> None:
    chance = random.Random(20261124)
    await server.start()
    await server.webhook(receiver.url("/hook"))
    await server.end(signal.SIGKILL)
    accepted: dict[str, bytes] = {}
    posted: set[bytes] = set()
    for number in range(ROUNDS):
        load = Load(server, clients=CLIENTS, name=f"round-{number}")
        await kill_under_load(server, load, after=chance.uniform(0, 0.25))
        accepted |= load.accepted
        posted |= load.posted

    await server.start()
    await until(lambda: not balance(accepted, receiver).lost)
    async with asyncio.timeout(60):
        while await waiting(server):
            await asyncio.sleep(0.05)
    count = balance(accepted, receiver)
    print(f"{ROUNDS} kills: {count}")

    assert count.accepted > ROUNDS, count
    assert count.lost == 0, count
    assert count.duplicated <= ROUNDS * AT_ONCE, count
    # What was accepted although its answer never left is real too; nothing is made up.
    assert all(each.body in posted for each in receiver.seen)
    cut_off = set(receiver.bodies()) - set(accepted)
    assert len(cut_off) <= ROUNDS * CLIENTS
    for message_id in chance.sample(sorted(accepted), min(200, len(accepted))):
        found = await server.call("GET", f"/api/v1/app/default/msg/{message_id}")
        assert found.status == 200
        assert found.body["payload"]["who"].encode() in accepted[message_id]


async def test_a_repeated_request_makes_one_message(server: Server, receiver: Receiver) -> None:
    chance = random.Random(42)
    await server.start()
    await server.webhook(receiver.url("/hook"))
    answered: dict[str, set[str]] = {}
    for number in range(10):
        keys = [f"order-{number}-{each}" for each in range(40)]
        posting = [asyncio.create_task(post_until_answered(server, each)) for each in keys]
        await asyncio.sleep(chance.uniform(0, 0.05))
        await server.end(signal.SIGKILL)
        await server.start()
        for key, task in zip(keys, posting, strict=True):
            answered.setdefault(key, set()).add(await task)
            again = await server.call("POST", PATH, message(key), idempotency_key=key)
            answered[key].add(again.body["id"])

    assert {len(ids) for ids in answered.values()} == {1}
    assert await all_messages(server) == {each for ids in answered.values() for each in ids}


PATH = "/api/v1/app/default/msg"


def message(key: str) -> dict[str, Any]:
    return {"eventType": "payment_received", "payload": {"who": key}}


async def post_until_answered(server: Server, key: str) -> str:
    """The id of the message; as often as it takes, under the same key."""
    while True:
        try:
            got = await server.call("POST", PATH, message(key), idempotency_key=key)
        except ConnectionError:
            await asyncio.sleep(0.02)
            continue
        if got.status == 202:
            return got.body["id"]


async def all_messages(server: Server) -> set[str]:
    found: set[str] = set()
    iterator = ""
    while True:
        page = await server.call("GET", f"{PATH}?limit=250&iterator={iterator}")
        found |= {each["id"] for each in page.body["data"]}
        if page.body["done"]:
            return found
        iterator = page.body["iterator"]
