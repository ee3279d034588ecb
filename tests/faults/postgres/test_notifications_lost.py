"""Nobody hears a notification: what is due is found by looking, once a second."""

from __future__ import annotations

import asyncio

import pytest

from faults.conftest import Receiver, until
from faults.postgres.conftest import ROUNDS, Database, Nodes, Senders, audit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 30 * ROUNDS)]
_LISTENS = "query LIKE 'LISTEN%'"


async def cut_for_ever(database: Database, cut: list[int]) -> None:
    """End every listener as soon as there is one; `cut` gets how many each time."""
    while True:
        cut.append(await asyncio.to_thread(database.server.cut, _LISTENS, database.name))


async def test_everything_is_delivered_without_notifications(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    accepting = [await nodes.start("serve", "--no-dispatch") for _ in range(2)]
    await nodes.start("dispatch")
    webhook = await accepting[0].webhook(receiver.url("/hook"))
    cut: list[int] = []
    cutting = accepting[0].spawn(cut_for_ever(database, cut))
    await until(lambda: sum(cut) >= len(nodes.made))
    load = Senders(accepting)
    load.start()
    await load.some(50 * ROUNDS)
    await load.stop()
    found = await audit(accepting[0], receiver, webhook, load)
    cutting.cancel()

    print(f"Without notifications: {found}; {sum(cut)} listeners cut")
    assert (found.count.lost, found.count.duplicated) == (0, 0), found
    assert not load.broken
    assert not load.refused
