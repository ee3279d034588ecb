"""SIGTERM under load: what is under way ends, nothing is lost, nothing is sent twice."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from faults.conftest import Books, Load, Receiver, Server, audit, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
STOPS = 5


async def test_a_stop_in_good_order_loses_and_doubles_nothing(
    server: Server, receiver: Receiver
) -> None:
    chance = random.Random(7)
    books = Books()
    await server.start()
    webhook = await server.webhook(receiver.url("/hook"))
    for number in range(STOPS):
        load = Load(server, name=f"stop-{number}")
        load.start()
        await until(lambda load=load: bool(load.accepted), tell=lambda: "nothing is accepted")
        await asyncio.sleep(chance.uniform(0, 0.5))  # a random moment is the point, not a wait
        assert await server.end(signal.SIGTERM) == 0
        await load.ended()
        await receiver.settle()
        books.add(load)
        await server.start()

    found = await audit(server, receiver, books, webhook)
    print(f"{STOPS} stops: {found}")
    assert found.count.accepted >= STOPS, found
    assert (found.count.lost, found.count.duplicated) == (0, 0), found
    assert not found.unrecorded, found
