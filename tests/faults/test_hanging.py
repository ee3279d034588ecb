"""Receivers that take a request and never answer: the others get theirs all the same."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from faults.conftest import Load, Receiver, Server, balance, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SETTINGS = {"STAFETT_ATTEMPT_TIMEOUT": "1s", "STAFETT_RETRY_SCHEDULE": "0.2s,0.2s"}


@pytest.fixture
async def server(tmp_path: Path) -> Any:
    made = Server(tmp_path / "data", SETTINGS)
    await made.start()
    yield made
    await made.close()


async def attempts(server: Server, endpoint: str) -> list[dict[str, Any]]:
    path = f"/api/v1/app/default/attempt/endpoint/{endpoint}?limit=250"
    return (await server.call("GET", path)).body["data"]


async def test_the_healthy_ones_get_everything_and_the_hanging_ones_time_out(
    server: Server, receiver: Receiver
) -> None:
    healthy = [await server.webhook(receiver.url(f"/ok/{n}")) for n in range(7)]
    hanging = [await server.webhook(receiver.url(f"/hang/{n}")) for n in range(3)]
    ids: list[str] = []
    for number in range(20):
        body = {"eventType": "payment_received", "payload": {"who": f"{number}"}}
        ids.append((await server.call("POST", "/api/v1/app/default/msg", body)).body["id"])

    def arrived() -> int:
        return sum(1 for each in receiver.seen if each.path.startswith("/ok"))

    await until(lambda: arrived() == len(ids) * len(healthy))
    for endpoint in hanging:
        async with asyncio.timeout(60):
            while len(await attempts(server, endpoint)) < 3 * len(ids):
                await asyncio.sleep(0.1)
        made = await attempts(server, endpoint)
        assert {(each["statusText"], each["cause"]) for each in made} == {("fail", "timeout")}
        per_message = [sum(1 for a in made if a["msgId"] == each) for each in ids]
        assert per_message == [3] * len(ids)


async def test_a_stop_beside_hanging_receivers_ends_in_time_and_loses_nothing(
    server: Server, receiver: Receiver
) -> None:
    await server.webhook(receiver.url("/ok"))
    for number in range(3):
        await server.webhook(receiver.url(f"/hang/{number}"))
    load = Load(server, clients=4)
    load.start()
    await until(lambda: len(load.accepted) > 50)
    began = asyncio.get_running_loop().time()
    assert await server.end(signal.SIGTERM) == 0
    assert asyncio.get_running_loop().time() - began < 30
    await load.ended()

    await server.start()

    def owed() -> int:
        arrived = {each.message_id for each in receiver.seen if each.path == "/ok"}
        return sum(1 for each in load.accepted if each not in arrived)

    await until(lambda: owed() == 0)
    assert balance(load.accepted, receiver).lost == 0
