"""kill -9 of the node that does a recover: another one goes on with it, and all is sent once."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from faults.conftest import Books, Receiver, balance, until
from faults.postgres.conftest import (
    REAL_LEASES,
    ROUNDS,
    Database,
    Nodes,
    Senders,
    are_idle,
    audit,
    moment,
)
from faults.recovering import MESSAGES, canceled, is_finished, now_of, recover, task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 100 * ROUNDS)]
HELD = 512
"""What a node holds of one webhook's deliveries at most."""


async def end_task_leases(database: Database) -> None:
    """As if the time of the dead node's lease on its task had passed."""
    if not REAL_LEASES:
        await database.sql("UPDATE tasks SET due_at = 1 WHERE due_at IS NOT NULL")


async def sent_count(database: Database, task_id: str) -> int:
    return int(await database.sql(f"SELECT sent_count FROM tasks WHERE id = '{task_id}'"))


async def test_another_node_goes_on_with_a_recover(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    chance = random.Random(20261124)
    pair = [await nodes.start(), await nodes.start()]
    webhook = await pair[0].webhook(receiver.url("/hook"))
    books = Senders(pair)
    left: list[int] = []
    taken_over = 0
    for number in range(ROUNDS):
        victim, other = pair[number % 2], pair[1 - number % 2]
        since = await now_of(victim)
        accepted = await canceled(victim, webhook, name=f"round-{number}", since=since)
        books.accepted |= accepted
        task_id = await recover(victim, webhook, since=since)
        await until(lambda accepted=accepted: not receiver.bodies.keys().isdisjoint(accepted))
        await asyncio.sleep(moment(chance, 0.2))
        await victim.end(signal.SIGKILL)
        left.append(await sent_count(database, task_id))
        await end_task_leases(database)
        await until(lambda other=other, task_id=task_id: is_finished(other, task_id), seconds=90)
        assert (await task(other, task_id))["data"]["messagesSent"] == MESSAGES
        await are_idle(database, other)
        taken_over += await database.end_leases()
        await until(other.is_quiet)
        await victim.start()

    found = await audit(pair[0], receiver, webhook, books)
    print(
        f"{ROUNDS} nodes killed at {left} of {MESSAGES} messages: {found}; {taken_over} taken over"
    )
    assert any(0 < each < MESSAGES for each in left), left
    assert found.count.accepted == found.count.delivered == ROUNDS * MESSAGES, found
    assert found.count.duplicated == found.unrecorded <= taken_over, found


async def test_many_recovers_on_many_nodes_send_everything_once(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    """Nobody dies: each of two tasks is done by one of three nodes, whoever was asked for it."""
    three = [await nodes.start() for _ in range(3)]
    webhook = await three[0].webhook(receiver.url("/hook"))
    books = Books()
    times: list[str] = []
    for number in range(2):
        times.append(await now_of(three[0]))
        books.accepted |= await canceled(three[0], webhook, name=f"task-{number}", since=times[-1])
    tasks = [
        await recover(three[0], webhook, since=times[0], until=times[1]),
        await recover(three[1], webhook, since=times[1]),
    ]
    for each in tasks:
        await until(lambda each=each: is_finished(three[2], each))
    counts = [(await task(three[2], each))["data"]["messagesSent"] for each in tasks]
    await until(lambda: books.accepted.keys() <= receiver.bodies.keys())
    for node in three:
        await until(node.is_quiet)
    count = balance(books.accepted, receiver.seen)
    print(f"{counts} messages by two tasks on three nodes: {count}")
    assert counts == [MESSAGES] * 2
    assert (count.lost, count.duplicated) == (0, 0), count
