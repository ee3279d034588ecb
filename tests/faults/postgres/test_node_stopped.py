"""SIGSTOP of a node past its leases, then SIGCONT: what it writes late changes nothing."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from faults.conftest import Receiver, Server, until
from faults.postgres.conftest import ROUNDS, Database, Nodes, Senders, audit, moment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 150 * ROUNDS)]
_SETTLED = 15  # looks, a tenth of a second apart: longer than a node waits between two scans
_TAKEN_OVER = 120
_LEFT = (
    "SELECT claim_id, count(*), min(due_at) / 1000000 - extract(epoch FROM clock_timestamp())::int"
    " FROM queue WHERE claim_id IS NOT NULL GROUP BY claim_id"
)


def send_signal(node: Server, number: signal.Signals) -> None:
    assert node.process is not None
    node.process.send_signal(number)


async def claims_are_still(database: Database, living: Server) -> int:
    """How many claims are left when the living node has done all it can.

    The one that is stopped may have left unclaimed work behind a lock: that stays, too.
    """
    seen: list[tuple[int, int]] = []

    async def still() -> bool:
        seen.append((await database.claims(), await living.waiting()))
        await asyncio.sleep(0.1)  # between two looks
        return len(seen) >= _SETTLED and len(set(seen[-_SETTLED:])) == 1

    await until(still)
    return seen[-1][0]


async def all_is_taken_over(database: Database, living: Server) -> int:
    """Return when the living node has ended all that was claimed; how many claims it took for that.

    More than once, as what the stopped node had sent to the database may be done behind the first
    look, and born with leases of its own.
    """
    held = 0
    try:
        async with asyncio.timeout(_TAKEN_OVER):
            while left := await claims_are_still(database, living):
                held += left
                await database.end_leases()
    except TimeoutError:
        pytest.fail(f"still claimed: {await database.sql(_LEFT)}")
    return held


async def test_a_node_that_comes_back_late_changes_nothing(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    chance = random.Random(7)
    pair = [await nodes.start(), await nodes.start()]
    webhook = await pair[0].webhook(receiver.url("/hook"))
    loads: list[Senders] = []
    held = 0
    for number in range(ROUNDS):
        late, other = pair[number % 2], pair[1 - number % 2]
        # Who posts to the one that is stopped waits for its answer, and gets it in the end.
        waiting = Senders([late], name=f"late-{number}")
        going_on = Senders([other], name=f"other-{number}")
        loads += [waiting, going_on]
        waiting.start()
        going_on.start()
        await waiting.some(20)
        await asyncio.sleep(moment(chance, 0.3))
        send_signal(late, signal.SIGSTOP)
        try:
            await going_on.some(20)
            await going_on.stop()
            held += await all_is_taken_over(database, other)
        finally:
            send_signal(late, signal.SIGCONT)
        await waiting.some(20)
        await waiting.stop()
        await until(late.is_quiet)

    found = await audit(pair[0], receiver, webhook, *loads)
    print(f"{ROUNDS} nodes stopped for a while: {found}; {held} were held")
    assert held > 0
    assert found.count.lost == 0, found
    assert found.count.duplicated == found.unrecorded <= held, found
