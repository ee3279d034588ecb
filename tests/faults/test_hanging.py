"""Receivers that take a request and never answer: the others get theirs all the same."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

import pytest

from faults.conftest import POST_PATH, Load, Receiver, Server, balance, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HANGING = 3
HEALTHY = 7
ATTEMPTS = 3
STOP_WITHIN = 15.0
"""Seconds: the timeout, and a good deal for a slow machine; less than what a server gives streams
to end (20 s), so that a stop which waits for those shows.
"""
PENDING, FAILED, SENDING = 1, 2, 3


@pytest.fixture
def settings() -> dict[str, str]:
    return {"STAFETT_ATTEMPT_TIMEOUT": "1s", "STAFETT_RETRY_SCHEDULE": "0.2s,0.2s"}


async def destinations(server: Server, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Where the deliveries of each of these messages stand."""
    paths = {f"{POST_PATH}/{each}/endpoint": each for each in ids}
    answers = await server.get_all(paths)
    return {paths[path]: answer.body["data"] for path, answer in answers.items()}


async def recorded(server: Server, endpoint_id: str) -> Counter[str]:
    """How many attempts there were for each message, as the API tells."""
    return Counter(each["msgId"] for each in await server.attempts(endpoint_id))


def sent(receiver: Receiver, path: str) -> Counter[str]:
    """How many requests there were for each message, as the receiver saw."""
    return Counter(each.message_id for each in receiver.at(path))


async def test_the_healthy_ones_get_everything_and_the_hanging_ones_time_out(
    server: Server, receiver: Receiver
) -> None:
    await server.start()
    healthy = [await server.webhook(receiver.url(f"/ok/{n}")) for n in range(HEALTHY)]
    hanging = [
        await server.webhook(receiver.url(f"/hang/{n}"), "payment_received") for n in range(HANGING)
    ]
    for_all = [await server.post(b'{"for": "all", "number": %d}' % n) for n in range(6)]
    for_healthy = [
        await server.post(b'{"for": "healthy", "number": %d}' % n, "payment_failed")
        for n in range(50)
    ]
    ids = [*for_all, *for_healthy]

    def tell() -> str:
        return "; ".join(f"{n}: {balance(ids, receiver.at(f'/ok/{n}'))}" for n in range(HEALTHY))

    for number in range(HEALTHY):
        path = f"/ok/{number}"
        await until(lambda path=path: not balance(ids, receiver.at(path)).lost, tell=tell)
    # That was soon enough if nobody waited for the hanging ones, of which none is through yet: one
    # after another, they time out for many seconds more.
    for endpoint_id in hanging:
        assert len(await server.attempts(endpoint_id)) < ATTEMPTS * len(for_all), tell()

    await until(server.is_quiet, tell=tell, seconds=200)
    for number, endpoint_id in enumerate(healthy):
        assert await recorded(server, endpoint_id) == sent(receiver, f"/ok/{number}"), tell()
    for endpoint_id in hanging:
        made = await server.attempts(endpoint_id)
        assert {(each["statusText"], each["cause"]) for each in made} == {("fail", "timeout")}, (
            tell()
        )
        times = Counter(each["msgId"] for each in made)
        assert times == dict.fromkeys(for_all, ATTEMPTS), tell()
    for message_id, found in (await destinations(server, for_all)).items():
        stands = {each["id"]: each["statusText"] for each in found}
        ended = dict.fromkeys(healthy, "success") | dict.fromkeys(hanging, "fail")
        assert stands == ended, f"{message_id}; {tell()}"
        counts = {each["id"]: each["attemptCount"] for each in found if each["id"] in hanging}
        assert counts == dict.fromkeys(hanging, ATTEMPTS), f"{message_id}; {tell()}"


@pytest.mark.parametrize("settings", [{"STAFETT_ATTEMPT_TIMEOUT": "4m"}], ids=["4m"])
async def test_a_flood_for_hanging_ones_leaves_the_others_their_places(
    server: Server, receiver: Receiver
) -> None:
    await server.start()
    for number in range(HEALTHY):
        await server.webhook(receiver.url(f"/ok/{number}"))
    hanging = [await server.webhook(receiver.url(f"/hang/{n}")) for n in range(HANGING)]
    load = Load(server)
    load.start()

    def tell() -> str:
        return f"{balance(load.accepted, receiver.at('/ok/0'))}"

    # More for the hanging ones than there are places to send from, all kinds together.
    await until(lambda: len(load.accepted) * HANGING > 1_200, tell=tell)
    await load.stop()
    for number in range(HEALTHY):
        path = f"/ok/{number}"
        await until(lambda path=path: not balance(load.accepted, receiver.at(path)).lost, tell=tell)
    # Nobody waited for a place that a hanging one had to give back first: none has.
    for endpoint_id in hanging:
        assert await server.attempts(endpoint_id) == [], tell()


async def test_a_stop_beside_hanging_receivers_ends_in_time_and_loses_nothing(
    server: Server, receiver: Receiver
) -> None:
    await server.start()
    healthy = await server.webhook(receiver.url("/ok"))
    for number in range(HANGING):
        await server.webhook(receiver.url(f"/hang/{number}"))
    load = Load(server, clients=4)
    load.start()

    def tell() -> str:
        return f"{balance(load.accepted, receiver.at('/ok'))}"

    def is_under_way() -> bool:
        hanging = {each.path for each in receiver.at("/hang")}
        return len(load.accepted) > 50 and len(hanging) == HANGING

    await until(is_under_way, tell=tell)
    began = asyncio.get_running_loop().time()
    assert await server.end(signal.SIGTERM) == 0
    assert asyncio.get_running_loop().time() - began < STOP_WITHIN
    await load.ended()
    await receiver.settle()

    await server.start()
    await until(lambda: not balance(load.accepted, receiver.at("/ok")).lost, tell=tell)
    bodies = {each: receiver.bodies[each] for each in load.accepted}
    assert bodies == {each: {payload} for each, payload in load.accepted.items()}, tell()

    # Each request is recorded, also those that were under way when the end came: so none was sent
    # a second time for want of its result.
    async def is_recorded() -> bool:
        return await recorded(server, healthy) == sent(receiver, "/ok")

    await until(is_recorded, tell=tell)
    print(tell())
    # What the hanging ones are owed has not been forgotten: it is still owed, or tried in full.
    for message_id, found in (await destinations(server, list(load.accepted))).items():
        assert len(found) == 1 + HANGING, message_id
        for each in found:
            if each["id"] != healthy:
                owed = each["status"] in {PENDING, SENDING}
                through = each["status"] == FAILED and each["attemptCount"] == ATTEMPTS
                assert owed or through, f"{message_id}: {each}"
