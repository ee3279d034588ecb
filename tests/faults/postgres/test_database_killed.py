"""The database goes away at once and comes back, again and again, while two nodes are at work."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from faults.conftest import POST_PATH, Receiver, Server, envelope, until
from faults.postgres.conftest import (
    ROUNDS,
    Database,
    Nodes,
    Senders,
    are_idle,
    audit,
    moment,
)
from postgres_server import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 60 * ROUNDS)]
RECOVERED_WITHIN = 10.0
READY_SAYS_WITHIN = 10.0
"""Seconds; on a machine of its own it takes three."""


@pytest.fixture
def database(safe_server: PostgresServer) -> Database:
    return Database(safe_server, "postgres")


async def recovered_after(node: Server, load: Senders) -> float:
    """Seconds until it accepts again; what it is asked belongs to the load."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    tries = 0

    async def accepts() -> bool:
        nonlocal tries
        tries += 1
        payload = b'{"recovered": "%b-%d-%d"}' % (load.name.encode(), node.port, tries)
        answer = await node.call("POST", POST_PATH, envelope(payload))
        if answer.status == 202:
            load.accepted[answer.body["id"]] = payload
            return True
        load.unsure.add(payload)
        return False

    await until(accepts, seconds=RECOVERED_WITHIN + 5)
    return loop.time() - began


async def readiness(nodes: Sequence[Server], status: int) -> bool:
    """Whether all answer so when a load balancer asks."""
    return all([(await each.call("GET", "/ready")).status == status for each in nodes])


async def test_both_nodes_recover_and_nothing_is_lost(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    chance = random.Random(11)
    pair = [await nodes.start(), await nodes.start()]
    webhook = await pair[0].webhook(receiver.url("/hook"))
    loads: list[Senders] = []
    away: list[float] = []
    for number in range(ROUNDS):
        load = Senders(pair, name=f"away-{number}")
        loads.append(load)
        load.start()
        await load.some(20)
        await asyncio.sleep(moment(chance, 0.3))
        await asyncio.to_thread(database.server.stop, at_once=True)
        await until(lambda load=load: load.refused.total() >= 2 * load.clients)
        if not number:
            await until(lambda: readiness(pair, 503), seconds=READY_SAYS_WITHIN)
        await asyncio.sleep(moment(chance, 1.0))
        await asyncio.to_thread(database.server.start)
        away += await asyncio.gather(*(recovered_after(each, load) for each in pair))
        await load.some(20)
        await load.stop()
    await until(lambda: readiness(pair, 200), seconds=RECOVERED_WITHIN)

    # Where the answer to a COMMIT was lost, the work is there and waits for its lease to end.
    await are_idle(database, *pair)
    orphans = await database.end_leases()
    found = await audit(pair[0], receiver, webhook, *loads)
    refused = sum(each.refused.total() for each in loads)
    print(
        f"{ROUNDS} times without its database: {found}; {refused} answers 503, accepting again"
        f" after {max(away):.1f} s at most; {orphans} waited for their lease to end"
    )
    assert found.count.lost == 0, found
    assert found.count.duplicated == 0, found
    assert not any(each.without_retry_after for each in loads)
    assert not any(each.broken for each in loads)
    assert max(away) < RECOVERED_WITHIN
