"""kill -9 in the middle of a recover: the next start goes on where it stood, and sends all once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest

from faults.conftest import Books, Receiver, Server, audit, until
from faults.recovering import MESSAGES, canceled, is_finished, now_of, recover, task
from faults.test_kill import HELD

ROUNDS = max(3, int(os.environ.get("STAFETT_TEST_KILLS", "30")) // 6)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 60 * ROUNDS)]


def sent_count(data: Path, task_id: str) -> int:
    """How far a task had come when its server ended."""
    with sqlite3.connect(f"file:{data / 'stafett.db'}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT sent_count FROM tasks WHERE id = ?", (task_id,))
        (count,) = found.fetchone()
    connection.close()
    return count


async def test_a_recover_goes_on_where_a_kill_left_it(server: Server, receiver: Receiver) -> None:
    chance = random.Random(20261124)
    books = Books()
    await server.start()
    webhook = await server.webhook(receiver.url("/hook"))
    left: list[int] = []
    for number in range(ROUNDS):
        since = await now_of(server)
        accepted = await canceled(server, webhook, name=f"round-{number}", since=since)
        books.accepted |= accepted
        task_id = await recover(server, webhook, since=since)
        await until(lambda accepted=accepted: not receiver.bodies.keys().isdisjoint(accepted))
        await asyncio.sleep(chance.uniform(0, 0.2))  # a random moment is the point, not a wait
        await server.end(signal.SIGKILL)
        left.append(sent_count(server.data, task_id))
        await receiver.settle()
        await server.start()
        await until(lambda task_id=task_id: is_finished(server, task_id))
        assert (await task(server, task_id))["data"]["messagesSent"] == MESSAGES
        await until(server.is_quiet)

    # Of what a run had recorded no later one sends anything: a step is not made twice.
    found = await audit(server, receiver, books, webhook)
    print(f"{ROUNDS} kills at {left} of {MESSAGES} messages: {found}")
    assert any(0 < each < MESSAGES for each in left), left
    assert found.count.accepted == found.count.delivered == ROUNDS * MESSAGES, found
    assert found.count.duplicated == found.unrecorded.total(), found
    assert max(found.unrecorded.values(), default=0) <= HELD, found
