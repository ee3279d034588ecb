"""kill -9 under load: what was accepted is there after the next start, and is delivered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter

import pytest

from faults.conftest import (
    CLIENTS,
    POST_PATH,
    Books,
    Load,
    Receiver,
    Server,
    audit,
    envelope,
    until,
)

KILLS = int(os.environ.get("STAFETT_TEST_KILLS", "30"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 10 * KILLS)]
HELD = 512
"""What a run holds of one webhook's deliveries at most: 64 requests under way, and for each of
them 8 that are queued or have been answered and not been recorded yet. A kill makes nobody send
again what the run did not hold.
"""


async def test_nothing_accepted_is_lost(server: Server, receiver: Receiver) -> None:
    chance = random.Random(20261124)
    books = Books()
    await server.start()
    webhook = await server.webhook(receiver.url("/hook"))
    for number in range(KILLS):
        load = Load(server, name=f"kill-{number}")
        load.start()
        await until(lambda load=load: bool(load.accepted), tell=lambda: "nothing is accepted")
        await asyncio.sleep(chance.uniform(0, 0.3))  # a random moment is the point, not a wait
        await server.end(signal.SIGKILL)
        await load.ended()
        await receiver.settle()
        books.add(load)
        await server.start()

    # Beside what it counts, the audit shows of every duplicate that a kill is to blame: no run
    # sends anything twice, and what a run has recorded no later one sends.
    found = await audit(server, receiver, books, webhook)
    print(f"{KILLS} kills: {found}")
    assert found.count.accepted >= KILLS, found
    assert found.count.lost == 0, found
    assert found.count.duplicated == found.unrecorded.total(), found
    assert max(found.unrecorded.values(), default=0) <= HELD, found
    assert found.answerless <= KILLS * CLIENTS, found


class Repeating:
    """A client that repeats a request under its key until it is answered."""

    def __init__(self, server: Server, up: asyncio.Event, *, name: str) -> None:
        """`up` is set while there is a server to ask."""
        self._server = server
        self._up = up
        self._name = name
        self.told = False
        """To end after the next answer."""
        self.ids: dict[str, str] = {}
        """Messages by key, as answered."""
        self.posts: Counter[str] = Counter()
        """How often each key was posted."""

    async def run(self) -> None:
        turn = 0
        while not self.told:
            turn += 1
            key = f"{self._name}-{turn}"
            self.ids[key] = await self._until_answered(key)

    async def _until_answered(self, key: str) -> str:
        while True:
            await self._up.wait()
            with contextlib.suppress(ConnectionError):
                return await self._post(key)

    async def _post(self, key: str) -> str:
        async with self._server.connection() as connection:
            self.posts[key] += 1
            answer = await connection.call("POST", POST_PATH, body(key), idempotency_key=key)
        assert answer.status == 202, answer
        return answer.body["id"]


async def test_a_repeated_request_makes_one_message(server: Server, receiver: Receiver) -> None:
    chance = random.Random(42)
    rounds = max(1, KILLS // 3)
    up = asyncio.Event()
    everybody: list[Repeating] = []
    unheard = 0
    await server.start()
    await server.webhook(receiver.url("/hook"))
    for number in range(rounds):
        clients = [Repeating(server, up, name=f"order-{number}-{n}") for n in range(CLIENTS)]
        everybody += clients
        up.set()
        running = [server.spawn(each.run()) for each in clients]
        await until(lambda clients=clients: any(each.ids for each in clients))
        await asyncio.sleep(chance.uniform(0, 0.2))  # a random moment is the point, not a wait
        up.clear()
        await server.end(signal.SIGKILL)
        await server.start()
        heard = {message_id for each in everybody for message_id in each.ids.values()}
        unheard += len(set(await server.message_ids()) - heard)
        up.set()
        for each in clients:
            each.told = True
        await asyncio.gather(*running)

    ids = {key: message_id for each in everybody for key, message_id in each.ids.items()}
    repeated = [key for each in everybody for key, times in each.posts.items() if times > 1]
    stored = await server.message_ids()
    told = (
        f"{rounds} kills: {len(ids)} keys, {len(stored)} messages; {len(repeated)} posted again,"
        f" of which {unheard} were stored already"
    )
    print(told)
    assert repeated, told
    assert len(set(ids.values())) == len(ids), told
    assert sorted(stored) == sorted(ids.values()), told
    for key in repeated:
        again = await server.call("POST", POST_PATH, body(key), idempotency_key=key)
        assert (again.status, again.body["id"]) == (202, ids[key]), told

    await until(lambda: set(ids.values()) <= receiver.bodies.keys(), tell=lambda: told)
    assert receiver.bodies == {ids[key]: {payload(key)} for key in ids}, told


def body(key: str) -> bytes:
    return envelope(payload(key))


def payload(key: str) -> bytes:
    return b'{"order": "%b"}' % key.encode()
