"""Idempotency keys that are a lock for all processes, and tries that are counted for all of them.

Every driver passes these. Oracle: the docstrings of `stafett.store.Replies` and `Tries`.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from making import NOW
from stafett.store import Idempotency, KnownKey, Store, StoredReply

SECOND = timedelta(seconds=1)
UNTIL = NOW + 15 * SECOND
WANTED = Idempotency(key=b"k", body_hash=b"h")
REPLY = StoredReply(status_code=201, body=b"{}")
DAY = timedelta(days=1)


async def hold(store: Store, *, at: timedelta = timedelta(0)) -> KnownKey | None:
    return await store.hold_key(WANTED, until=UNTIL + at, now=NOW + at)


async def test_of_many_requests_at_once_one_holds_the_key(store: Store) -> None:
    found = await asyncio.gather(*(hold(store) for _ in range(10)))
    assert found.count(None) == 1
    assert found.count(KnownKey(body_hash=b"h", reply=None)) == 9


async def test_the_first_answer_is_kept(store: Store) -> None:
    assert await hold(store) is None
    assert await store.keep_reply(b"k", REPLY, held_until=UNTIL, now=NOW)
    another = Idempotency(key=b"k", body_hash=b"other")
    for wanted in (WANTED, another):
        later = NOW + DAY
        found = await store.hold_key(wanted, until=later, now=later)
        assert found == KnownKey(body_hash=b"h", reply=REPLY)
    assert await store.hold_key(another, until=UNTIL + 2 * DAY, now=NOW + DAY + SECOND) is None


async def test_a_key_whose_holder_died_is_free_when_its_time_is_over(store: Store) -> None:
    assert await hold(store) is None
    assert await hold(store, at=14 * SECOND) == KnownKey(body_hash=b"h", reply=None)
    assert await hold(store, at=15 * SECOND) is None


async def test_a_key_that_is_held_longer_is_not_free(store: Store) -> None:
    assert await hold(store) is None
    longer = UNTIL + 10 * SECOND
    assert await store.hold_longer(b"k", held_until=UNTIL, until=longer)
    assert not await store.hold_longer(b"k", held_until=UNTIL, until=longer)
    assert await hold(store, at=15 * SECOND) is not None
    assert await hold(store, at=25 * SECOND) is None


async def test_whoever_lost_the_key_keeps_and_frees_nothing(store: Store) -> None:
    assert await hold(store) is None
    assert await hold(store, at=15 * SECOND) is None
    assert not await store.keep_reply(b"k", REPLY, held_until=UNTIL, now=NOW)
    await store.free_key(b"k", held_until=UNTIL)
    assert not await store.hold_longer(b"k", held_until=UNTIL, until=UNTIL + DAY)
    assert await hold(store, at=16 * SECOND) == KnownKey(body_hash=b"h", reply=None)
    mine = UNTIL + 15 * SECOND
    assert await store.keep_reply(b"k", REPLY, held_until=mine, now=NOW)


async def test_a_freed_key_may_be_used_for_another_body(store: Store) -> None:
    assert await hold(store) is None
    await store.free_key(b"k", held_until=UNTIL)
    other = Idempotency(key=b"k", body_hash=b"other")
    assert await store.hold_key(other, until=UNTIL, now=NOW) is None
    assert await hold(store) == KnownKey(body_hash=b"other", reply=None)


async def test_keys_are_forgotten_after_a_day(store: Store) -> None:
    assert await hold(store) is None
    assert await store.keep_reply(b"k", REPLY, held_until=UNTIL, now=NOW)
    expired = await store.expire(now=NOW + DAY + SECOND, messages_before=None, limit=10)
    assert expired.keys == 1
    assert await hold(store) is None


async def tries(store: Store, key: str, count: int, *, at: timedelta) -> list[float | None]:
    """Seconds until the next may go ahead, of each that may not."""
    now = NOW + at
    answers = [await store.take_try(key, burst=3, every=2 * SECOND, now=now) for _ in range(count)]
    return [None if each is None else (each - now).total_seconds() for each in answers]


async def test_tries_are_a_handful_at_once_and_then_one_at_a_time(store: Store) -> None:
    nothing = timedelta(0)
    assert await tries(store, "kari", 5, at=nothing) == [None, None, None, 2, 2]
    assert await tries(store, "ola", 1, at=nothing) == [None]
    assert await tries(store, "kari", 1, at=SECOND) == [1]
    assert await tries(store, "kari", 2, at=2 * SECOND) == [None, 2]
    assert await tries(store, "kari", 4, at=DAY) == [None, None, None, 2]


async def test_of_tries_at_once_no_more_than_the_handful_go_ahead(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.take_try("kari", burst=3, every=2 * SECOND, now=NOW) for _ in range(10))
    )
    assert answers.count(None) == 3


async def test_housekeeping_gives_nobody_more_tries(store: Store) -> None:
    assert await tries(store, "kari", 1, at=timedelta(0)) == [None]
    await store.expire(now=NOW, messages_before=None, limit=10)
    assert await tries(store, "kari", 3, at=timedelta(0)) == [None, None, 2]
    await store.expire(now=NOW + DAY, messages_before=None, limit=10)
    assert await tries(store, "kari", 4, at=DAY) == [None, None, None, 2]
