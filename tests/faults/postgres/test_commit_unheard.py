"""The connection to the database breaks between a COMMIT and its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from faults.conftest import POST_PATH, Receiver, Server, envelope, until
from faults.postgres.conftest import ROUNDS, Database, Nodes
from faults.postgres.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 20 * ROUNDS)]
ADDED = b"INSERT INTO messages"
CLAIMED = b"UPDATE queue q SET claim_id = $5"
RECORDED = b"INSERT INTO attempts"


@pytest.fixture
async def proxy(database: Database) -> AsyncIterator[Proxy]:
    made = Proxy(database.server.port)
    await made.start()
    yield made
    await made.stop()


async def test_a_message_whose_commit_was_unheard_is_one_message(
    nodes: Nodes, receiver: Receiver, database: Database, proxy: Proxy
) -> None:
    node = await nodes.start(url=proxy.url(database.name))
    await node.webhook(receiver.url("/hook"))
    statuses: Counter[int] = Counter()
    ids: dict[str, bytes] = {}
    for number in range(ROUNDS):
        payload = b'{"order": %d}' % number
        proxy.cut_next(ADDED)
        key = f"order-{number}"
        while True:
            answer = await node.call("POST", POST_PATH, envelope(payload), idempotency_key=key)
            statuses[answer.status] += 1
            if answer.status == 202:
                break
            assert answer.status == 503, answer
            assert "retry-after" in answer.headers, answer
        ids[answer.body["id"]] = payload

    told = f"{proxy.cuts} commits of messages unheard: answers {dict(statuses)}"
    print(told)
    assert proxy.cuts == ROUNDS, told
    assert statuses[202] == ROUNDS, told
    assert statuses[503] >= ROUNDS, told
    assert sorted(await node.message_ids()) == sorted(ids), told
    # Nobody has them in hand: each is sent when its lease ends.
    await database.end_leases()
    await until(lambda: receiver.bodies.keys() >= ids.keys(), tell=lambda: told)
    await until(node.is_quiet)
    assert Counter(each.message_id for each in receiver.seen) == Counter(ids.keys()), told


async def test_a_message_without_a_key_is_stored_once_although_nobody_was_told(
    nodes: Nodes, receiver: Receiver, database: Database, proxy: Proxy
) -> None:
    node = await nodes.start(url=proxy.url(database.name))
    await node.webhook(receiver.url("/hook"))
    for number in range(ROUNDS):
        proxy.cut_next(ADDED)
        answer = await node.call("POST", POST_PATH, envelope(b'{"order": %d}' % number))
        assert answer.status == 503, answer
        await until(lambda: accepts(node), seconds=10)
    assert proxy.cuts == ROUNDS
    assert len(await node.message_ids()) == 2 * ROUNDS


async def accepts(node: Server) -> bool:
    return (await node.call("POST", POST_PATH, envelope(b'{"after": 1}'))).status == 202


async def is_quiet_again(node: Server) -> bool:
    """While it pauses after the cut, it cannot say."""
    answer = await node.call("GET", "/metrics")
    return answer.status == 200 and await node.is_quiet()


async def test_an_attempt_whose_commit_was_unheard_is_one_attempt(
    nodes: Nodes, receiver: Receiver, database: Database, proxy: Proxy
) -> None:
    node = await nodes.start(url=proxy.url(database.name))
    webhook = await node.webhook(receiver.url("/hook"))
    ids: list[str] = []
    for number in range(ROUNDS):
        cuts = proxy.cuts
        proxy.cut_next(RECORDED)
        ids.append(await node.post(b'{"order": %d}' % number))
        await until(lambda cuts=cuts: proxy.cuts > cuts)
        await until(lambda: is_quiet_again(node))

    attempts = await node.attempts(webhook)
    sent = Counter(each.message_id for each in receiver.seen)
    print(f"{proxy.cuts} commits of attempts unheard: {len(attempts)} attempts, {len(sent)} sent")
    assert sent == Counter(ids)
    assert Counter(each["msgId"] for each in attempts) == Counter(ids)
    assert {each["id"] for each in attempts} == {each.attempt_id for each in receiver.seen}
    count = await database.sql("SELECT event_count FROM endpoints")
    assert count == str(ROUNDS)


async def test_a_claim_whose_commit_was_unheard_is_made_again_when_its_lease_ends(
    nodes: Nodes, receiver: Receiver, database: Database, proxy: Proxy
) -> None:
    accepting = await nodes.start("serve", "--no-dispatch")
    await nodes.start("dispatch", url=proxy.url(database.name))
    await accepting.webhook(receiver.url("/hook"))
    ids: list[str] = []
    for number in range(ROUNDS):
        proxy.cut_next(CLAIMED)
        ids.append(await accepting.post(b'{"order": %d}' % number))
        await until(lambda number=number: proxy.cuts > number)
        assert not receiver.seen
    assert await database.claims() == ROUNDS

    await database.end_leases()
    await until(accepting.is_quiet)
    print(f"{proxy.cuts} commits of claims unheard: {len(receiver.seen)} sent")
    assert Counter(each.message_id for each in receiver.seen) == Counter(ids)
