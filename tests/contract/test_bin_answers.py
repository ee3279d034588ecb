"""Counting a bin's answers, in every store; the oracle of the count is how often it was asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

import making
from making import NOW
from stafett.model import ReplyMode, ScriptedReply
from stafett.store import Store


async def test_each_asks_for_a_number_of_its_own(store: Store) -> None:
    made, other = making.a_bin(), making.a_bin()
    asked = [
        store.count_answers(made.id, since=0, counted=["every", name], now=NOW)
        for name in ["a", "b"] * 10
    ]
    found = await asyncio.gather(*asked)
    assert sorted(every for every, _ in found) == list(range(1, 21))
    assert sorted(of_name for _, of_name in found) == sorted([*range(1, 11)] * 2)
    assert await store.count_answers(made.id, since=0, counted=["b"], now=NOW) == [11]
    assert await store.count_answers(made.id, since=1, counted=["b"], now=NOW) == [1]
    assert await store.count_answers(other.id, since=0, counted=["b"], now=NOW) == [1]


@pytest.mark.parametrize("how", ["set", "deleted"])
async def test_a_reply_that_is_set_and_a_bin_that_goes_forget_the_counts(
    store: Store, how: str
) -> None:
    made, other = making.a_bin(), making.a_bin()
    await store.add_bin(made)
    for each in (made, other):
        await store.count_answers(each.id, since=0, counted=["a"], now=NOW)
    if how == "set":
        await store.set_reply(made.id, ScriptedReply())
    else:
        await store.delete_bin(made.id)
    assert await store.count_answers(made.id, since=0, counted=["a"], now=NOW) == [1]
    assert await store.count_answers(other.id, since=0, counted=["a"], now=NOW) == [2]


async def test_counts_go_when_the_ring_has_left_them_behind(store: Store) -> None:
    made = making.a_bin()
    await store.add_bin(made)
    times = {"long ago": 5, "lately": 1, "of one that is pinned": 4}
    for name, hours in times.items():
        then = NOW - timedelta(hours=hours)
        await store.count_answers(made.id, since=0, counted=[name], now=then)
    batch = [
        making.a_capture(made, received_at=NOW - timedelta(hours=hours)) for hours in (5, 4, 2, 1)
    ]
    stored = await store.add_captures(batch[:3], keep=9, keep_bytes=1_000)
    await store.set_pinned(made.id, stored[1].id, pinned=True, limit=9)
    await store.add_captures(batch[3:], keep=2, keep_bytes=1_000)
    counts = [
        (await store.count_answers(made.id, since=0, counted=[each], now=NOW))[0] for each in times
    ]
    assert counts == [1, 2, 1]


async def test_a_reply_is_kept_as_it_is(store: Store) -> None:
    reply = ScriptedReply(
        status_code=302,
        mode=ReplyMode.LOOP,
        times=3,
        chance=0.1,
        seed=999_999_999,
        size=100 << 20,
        retry_date=timedelta(seconds=1, microseconds=1),
    )
    made = making.a_bin(reply=reply)
    await store.add_bin(made)
    assert await store.get_bin(made.id) == made
    for mode in ReplyMode:
        await store.set_reply(made.id, ScriptedReply(mode=mode))
        found = await store.get_bin(made.id)
        assert found is not None
        assert found.reply == ScriptedReply(mode=mode)
