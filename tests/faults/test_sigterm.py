"""SIGTERM under load: what is under way ends, nothing is lost, nothing is sent twice."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from faults.conftest import Load, Receiver, Server, balance, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_stop_in_good_order_loses_and_doubles_nothing(
    server: Server, receiver: Receiver
) -> None:
    chance = random.Random(7)
    accepted: dict[str, bytes] = {}
    for number in range(5):
        await server.start()
        if not number:
            await server.webhook(receiver.url("/hook"))
        load = Load(server, name=f"round-{number}")
        load.start()
        await asyncio.sleep(chance.uniform(0.05, 0.5))  # a random moment is the point
        assert await server.end(signal.SIGTERM) == 0
        await load.ended()
        accepted |= load.accepted

    await server.start()
    await until(lambda: not balance(accepted, receiver).lost)
    count = balance(accepted, receiver)
    print(f"5 stops: {count}")
    assert count.accepted > 50
    assert (count.lost, count.duplicated) == (0, 0), count
