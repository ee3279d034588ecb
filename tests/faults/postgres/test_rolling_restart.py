"""Every node is stopped in good order and started again, one after another, under load."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from faults.conftest import Receiver
from faults.postgres.conftest import ROUNDS, Database, Nodes, Senders, audit, moment

RESTARTS = (ROUNDS + 1) // 2
"""Of every node."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 60 * ROUNDS)]


async def test_a_rolling_restart_loses_and_doubles_nothing(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    chance = random.Random(5)
    accepting = [await nodes.start(), await nodes.start("serve", "--no-dispatch")]
    everybody = [*accepting, await nodes.start("dispatch")]
    webhook = await accepting[0].webhook(receiver.url("/hook"))
    load = Senders(accepting, clients=4)
    load.start()
    for number in range(RESTARTS):
        for each in everybody:
            await load.some(10)
            await asyncio.sleep(moment(chance, 0.2))
            assert await each.end(signal.SIGTERM) == 0, f"round {number}: {each.words}"
            await load.some(10)
            await each.start()
    await load.stop()

    found = await audit(accepting[0], receiver, webhook, load)
    print(
        f"{RESTARTS} rolling restarts of {len(everybody)} nodes: {found}; {load.broken} connections"
        f" ended, {load.refused.total()} answers 503"
    )
    assert (found.count.lost, found.count.duplicated, found.unrecorded) == (0, 0, 0), found
    assert not await database.claims()
    assert not load.without_retry_after
