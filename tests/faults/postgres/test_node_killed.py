"""kill -9 of one node of two under load: the other takes its work over, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from faults.conftest import Receiver, until
from faults.postgres.conftest import ROUNDS, Database, Nodes, Senders, are_idle, audit, moment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 100 * ROUNDS)]
HELD = 512
"""What a node holds of one webhook's deliveries at most."""
DISPATCHERS = (ROUNDS + 1) // 2
"""How many are killed that do nothing but send."""
TAKEN_OVER_WITHIN = 10.0
"""Seconds: a look of the other node, once a second, and a good deal for a slow machine."""


async def test_the_other_node_takes_over_what_a_killed_one_had(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    chance = random.Random(20261124)
    pair = [await nodes.start(), await nodes.start()]
    webhook = await pair[0].webhook(receiver.url("/hook"))
    loads: list[Senders] = []
    taken_over = 0
    for number in range(ROUNDS):
        victim, other = pair[number % 2], pair[1 - number % 2]
        load = Senders(pair, name=f"kill-{number}")
        loads.append(load)
        load.start()
        await load.some(20)
        await asyncio.sleep(moment(chance, 0.3))
        await victim.end(signal.SIGKILL)
        await load.some(10)  # the other goes on
        await load.stop()
        await are_idle(database, other)
        held = await database.end_leases()
        assert held <= HELD
        taken_over += held
        await until(other.is_quiet, seconds=TAKEN_OVER_WITHIN)
        await victim.start()

    found = await audit(pair[0], receiver, webhook, *loads)
    repeated = sum(each.repeated for each in loads)
    print(f"{ROUNDS} nodes killed: {found}; {taken_over} taken over, {repeated} posts repeated")
    assert found.count.lost == 0, found
    assert found.count.duplicated == found.unrecorded, found
    assert found.count.duplicated <= taken_over, found


async def test_the_other_dispatcher_takes_over_what_a_killed_one_had(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    chance = random.Random(3)
    accepting = await nodes.start("serve", "--no-dispatch")
    pair = [await nodes.start("dispatch"), await nodes.start("dispatch")]
    webhook = await accepting.webhook(receiver.url("/hook"))
    loads: list[Senders] = []
    taken_over = 0
    for number in range(DISPATCHERS):
        victim, other = pair[number % 2], pair[1 - number % 2]
        load = Senders([accepting], name=f"kill-{number}")
        loads.append(load)
        load.start()
        await load.some(20)
        await asyncio.sleep(moment(chance, 0.3))
        await victim.end(signal.SIGKILL)
        await load.stop()
        await are_idle(database, other)
        taken_over += await database.end_leases()
        await until(accepting.is_quiet, seconds=TAKEN_OVER_WITHIN)
        await victim.start()

    found = await audit(accepting, receiver, webhook, *loads)
    print(f"{DISPATCHERS} dispatchers killed: {found}; {taken_over} taken over")
    assert found.count.lost == 0, found
    assert found.count.duplicated == found.unrecorded <= taken_over, found
    assert not any(each.broken or each.refused for each in loads)
