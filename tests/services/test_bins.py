"""Bins over the real store and the real batcher; the oracle of a tail is the list of captures."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

import making
from services.set_clock import SetClock
from stafett import errors
from stafett.drivers.sqlite.store import SqliteStore
from stafett.ids import BinId, CaptureId, Ids
from stafett.model import Bin, Capture, PageQuery, ReplyMode, ScriptedReply
from stafett.services import answers, replies, tails
from stafett.services import bins as module
from stafett.services.bins import Bins, Caught
from stafett.services.tails import Tail


@pytest.fixture
async def bins(store: SqliteStore, clock: SetClock) -> AsyncIterator[Bins]:
    made = Bins(store=store, ids=Ids(), clock=clock, entropy=os.urandom)
    yield made
    await made.stop()


@pytest.fixture
async def box(bins: Bins) -> Bin:
    return (await bins.create("box"))[0]


def caught(**given: Any) -> Caught:
    defaults: dict[str, Any] = {
        "method": "POST",
        "target": b"/in/x",
        "http_version": "1.1",
        "headers": (),
        "body": b"{}",
        "peer": "127.0.0.1",
    }
    return Caught(**defaults | given)


async def stored(bins: Bins, box: Bin) -> tuple[Capture, ...]:
    return (await bins.captures(box.id, PageQuery(ascending=True, limit=250))).items


async def catch(bins: Bins, box: Bin, *bodies: str) -> None:
    for body in bodies:
        await bins.catch(box.catch_token, caught(body=body.encode()))


async def read(tail: Tail, count: int) -> list[str]:
    async with asyncio.timeout(5):
        return [(await anext(tail)).body.decode() for _ in range(count)]


# --- making and catching ----------------------------------------------------------------------


async def test_a_bin_has_a_token_to_catch_and_another_to_read(bins: Bins) -> None:
    made, read_token = await bins.create("box")
    assert await bins.get(made.id) == made
    assert module.reads_with(made, read_token)
    assert not module.reads_with(made, made.catch_token)
    assert not module.reads_with(made, "")
    assert read_token not in repr(made)
    assert (await bins.create())[0].name == "Request bin"


async def test_a_request_is_kept_byte_for_byte(bins: Bins, box: Bin, clock: SetClock) -> None:
    request = caught(
        method="QUERY",
        target=b"/in/x/a%20b?c=\xff&c=",
        headers=((b"X-Twice", b"1"), (b"x-twice", b"\xe6"), (b"Empty", b"")),
        body=bytes(range(256)),
        peer="[::1]:5",
    )
    assert (await bins.catch(box.catch_token, request)).reply == ScriptedReply()
    (capture,) = await stored(bins, box)
    for field in ("method", "target", "http_version", "headers", "body", "peer"):
        assert getattr(capture, field) == getattr(request, field)
    assert (capture.number, capture.status_code, capture.received_at) == (1, 200, clock.now)
    assert await bins.capture(box.id, capture.id) == capture
    assert (await bins.get(box.id)).capture_count == 1


@pytest.mark.parametrize(
    ("size", "told", "kept", "truncated"),
    [
        (1 << 20, False, 1 << 20, False),
        ((1 << 20) + 1, False, 1 << 20, True),
        (3, True, 3, True),
    ],
)
async def test_a_body_over_the_limit_is_cut_and_marked(
    bins: Bins, box: Bin, size: int, told: bool, kept: int, truncated: bool
) -> None:
    await bins.catch(box.catch_token, caught(body=b"x" * size, truncated=told))
    (capture,) = await stored(bins, box)
    assert (len(capture.body), capture.body_truncated) == (kept, truncated)


async def test_an_unknown_address_catches_nothing(bins: Bins, box: Bin) -> None:
    for token in ("", "x", box.id):
        with pytest.raises(errors.NotFound):
            await bins.catch(token, caught())
    assert await stored(bins, box) == ()


async def test_a_deleted_bin_catches_nothing_even_from_memory(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "a")
    await bins.delete(box.id)
    with pytest.raises(errors.NotFound):
        await bins.catch(box.catch_token, caught())
    for verb in (bins.get, bins.delete, bins.clear, bins.tail):
        with pytest.raises(errors.NotFound):
            await verb(box.id)
    with pytest.raises(errors.NotFound):
        await bins.captures(box.id, PageQuery())


async def test_a_bin_deleted_behind_our_back_is_noticed_at_the_commit(
    bins: Bins, box: Bin, store: SqliteStore
) -> None:
    await catch(bins, box, "a")
    await store.delete_bin(box.id)
    with pytest.raises(errors.NotFound):
        await bins.catch(box.catch_token, caught())


MESSAGE, ATTEMPT = making.ids.message(making.NOW), making.ids.attempt(making.NOW)


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ([("webhook-id", MESSAGE), ("stafett-attempt", ATTEMPT)], (MESSAGE, ATTEMPT)),
        ([("Svix-Id", MESSAGE), ("Stafett-Attempt", ATTEMPT)], (MESSAGE, ATTEMPT)),
        ([("webhook-id", MESSAGE)], (None, None)),
        ([("stafett-attempt", ATTEMPT)], (None, None)),
        ([("webhook-id", "msg_short"), ("stafett-attempt", ATTEMPT)], (None, None)),
        ([("webhook-id", MESSAGE), ("stafett-attempt", MESSAGE)], (None, None)),
        ([], (None, None)),
    ],
)
async def test_a_request_of_our_own_is_linked_to_its_attempt(
    bins: Bins, box: Bin, headers: list[tuple[str, str]], origin: tuple[str | None, str | None]
) -> None:
    pairs = tuple((name.encode(), value.encode()) for name, value in headers)
    await bins.catch(box.catch_token, caught(headers=pairs))
    (capture,) = await stored(bins, box)
    assert (capture.message_id, capture.attempt_id) == origin


async def test_what_waits_for_the_disk_is_bounded(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_WAITING_BYTES", 10)
    await catch(bins, box, "")  # the bin is in memory now, so nothing below waits for it
    await catch(bins, box, "x" * 11)
    waiting = [
        asyncio.create_task(bins.catch(box.catch_token, caught(body=b"x" * 11))) for _ in range(3)
    ]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, errors.Unavailable)]
    assert len(refused) == 2
    await catch(bins, box, "room again")
    assert len(await stored(bins, box)) == 4


async def test_a_caller_that_goes_away_leaves_its_capture(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "a")
    tail = await bins.tail(box.id)
    gone = asyncio.create_task(bins.catch(box.catch_token, caught(body=b"b")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await read(tail, 1) == ["b"]
    assert bins._waiting_bytes == 0


async def test_the_ring_keeps_the_newest(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_CAPTURES", 3)
    await catch(bins, box, *"abcde")
    assert [each.body for each in await stored(bins, box)] == [b"c", b"d", b"e"]
    assert (await bins.get(box.id)).capture_count == 5


# --- managing ---------------------------------------------------------------------------------


async def test_captures_come_newest_first_and_page_by_number(bins: Bins, box: Bin) -> None:
    await catch(bins, box, *"abc")
    page = await bins.captures(box.id, PageQuery(limit=2))
    assert ([each.number for each in page.items], page.done) == ([3, 2], False)
    rest = await bins.captures(box.id, PageQuery(limit=2, after="2"))
    assert ([each.number for each in rest.items], rest.done) == ([1], True)
    with pytest.raises(errors.BadRequest):
        await bins.captures(box.id, PageQuery(after="cap_x"))


async def test_a_walk_goes_back_to_the_oldest_a_few_at_a_time(bins: Bins, box: Bin) -> None:
    await catch(bins, box, *map(str, range(40)))
    found = [each.body.decode() async for each in bins.walk(box.id)]
    assert found == [str(number) for number in range(39, -1, -1)]


async def test_a_walk_begins_before_a_number(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "a", "b", "c")
    assert [each.body async for each in bins.walk(box.id, after=3)] == [b"b", b"a"]
    assert [each.body async for each in bins.walk(box.id, after=1)] == []


async def test_a_walk_that_a_deletion_overtakes_ends(bins: Bins, box: Bin) -> None:
    await catch(bins, box, *map(str, range(40)))
    seen = 0
    async for _ in bins.walk(box.id):
        seen += 1
        if seen == 1:
            await bins.delete(box.id)
    assert 1 <= seen < 40


async def test_a_walk_is_through_a_bin_that_is_there(bins: Bins) -> None:
    with pytest.raises(errors.NotFound):
        await anext(bins.walk(BinId("bin_none")))


async def test_deleting_and_clearing_leave_the_numbers_counting(bins: Bins, box: Bin) -> None:
    await catch(bins, box, *"abc")
    first, *_ = await stored(bins, box)
    await bins.delete_capture(box.id, first.id)
    with pytest.raises(errors.NotFound):
        await bins.delete_capture(box.id, first.id)
    assert await bins.clear(box.id) == 2
    await catch(bins, box, "d")
    assert [each.number for each in await stored(bins, box)] == [4]


async def test_a_capture_belongs_to_its_bin(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "a")
    (capture,) = await stored(bins, box)
    other, _ = await bins.create()
    for bin_id, capture_id in ((other.id, capture.id), (box.id, CaptureId("cap_x"))):
        with pytest.raises(errors.NotFound):
            await bins.capture(bin_id, capture_id)


async def test_bins_are_limited(bins: Bins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BINS", 2)
    for _ in range(2):
        await bins.create()
    with pytest.raises(errors.LimitReached):
        await bins.create()
    assert len((await bins.list(PageQuery())).items) == 2


async def test_a_bin_with_a_name_that_is_none_is_refused(bins: Bins) -> None:
    with pytest.raises(errors.Invalid):
        await bins.create("")


# --- replies ----------------------------------------------------------------------------------


async def test_a_scripted_reply_holds_from_the_next_request_on(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "a")
    reply = ScriptedReply(
        status_code=503,
        headers=(("Retry-After", "2"), ("x-a", "1"), ("x-a", "2")),
        body=b"\xff later",
        delay=timedelta(seconds=1),
    )
    assert (await bins.set_reply(box.id, reply)).reply == reply
    assert (await bins.catch(box.catch_token, caught())).reply == reply
    assert [each.status_code for each in await stored(bins, box)] == [200, 503]


@pytest.mark.parametrize(
    ("reply", "loc"),
    [
        (ScriptedReply(status_code=199), ("status_code",)),
        (ScriptedReply(status_code=600), ("status_code",)),
        (ScriptedReply(body=b"x" * ((1 << 20) + 1)), ("body",)),
        (ScriptedReply(status_code=204, body=b"x"), ("body",)),
        (ScriptedReply(delay=timedelta(seconds=30, microseconds=1)), ("delay",)),
        (ScriptedReply(delay=timedelta(seconds=-1)), ("delay",)),
        (ScriptedReply(headers=(("a", "b"),) * 51), ("headers",)),
        (ScriptedReply(headers=(("a", "b"), ("a b", "c"))), ("headers", 1)),
        (ScriptedReply(headers=(("", "c"),)), ("headers", 0)),
        (ScriptedReply(headers=(("a", "b\r\nc: d"),)), ("headers", 0)),
        (ScriptedReply(headers=(("a", "b\n"),)), ("headers", 0)),
        (ScriptedReply(headers=(("a\n", "b"),)), ("headers", 0)),
        (ScriptedReply(headers=(("a", "→"),)), ("headers", 0)),
        (ScriptedReply(headers=(("a", "x" * 4_097),)), ("headers", 0)),
        (ScriptedReply(headers=(("Set-Cookie", "a=b"),)), ("headers", 0)),
        (ScriptedReply(headers=(("clear-site-data", "*"),)), ("headers", 0)),
        (ScriptedReply(headers=(("NEL", '{"report_to": "me"}'),)), ("headers", 0)),
        (ScriptedReply(headers=(("Report-To", "{}"),)), ("headers", 0)),
        (ScriptedReply(headers=(("Alt-Svc", 'h2="example.com:443"'),)), ("headers", 0)),
        (ScriptedReply(headers=(("Content-Length", "5"),)), ("headers", 0)),
        (ScriptedReply(headers=(("Transfer-Encoding", "chunked"),)), ("headers", 0)),
        (ScriptedReply(headers=(("Strict-Transport-Security", "x"),)), ("headers", 0)),
        (ScriptedReply(headers=(("Access-Control-Allow-Credentials", "true"),)), ("headers", 0)),
    ],
)
async def test_a_reply_that_no_bin_may_give_is_refused(
    bins: Bins, box: Bin, reply: ScriptedReply, loc: tuple[str | int, ...]
) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await bins.set_reply(box.id, reply)
    assert [problem.loc for problem in raised.value.problems] == [("body", *loc)]
    assert (await bins.get(box.id)).reply == ScriptedReply()


async def test_a_reply_is_for_a_bin_that_is_there(bins: Bins) -> None:
    with pytest.raises(errors.NotFound):
        await bins.set_reply(BinId("bin_x"), ScriptedReply())


async def test_a_bin_may_have_its_reply_from_the_start(bins: Bins) -> None:
    made, _ = await bins.create("box", reply=ScriptedReply(status_code=410))
    assert (await bins.get(made.id)).reply.status_code == 410
    with pytest.raises(errors.Invalid):
        await bins.create("box", reply=ScriptedReply(status_code=99))


def named(webhook_id: str) -> Caught:
    return caught(headers=((b"webhook-id", webhook_id.encode()),))


async def statuses(bins: Bins, box: Bin, *requests: Caught) -> list[int]:
    answers = [await bins.catch(box.catch_token, each) for each in requests]
    return [each.reply.status_code for each in answers]


async def test_a_reply_for_so_many_times_is_counted_by_message(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "before it was set")
    await bins.set_reply(box.id, ScriptedReply(status_code=503, times=2))
    a, b, none = named("a"), named("b"), caught()
    given = [503, 503, 503, 200, 503, 503, 200, 503, 200]
    assert await statuses(bins, box, a, a, b, a, none, none, none, b, b) == given
    assert [each.status_code for each in await stored(bins, box)] == [200, *given]
    await bins.set_reply(box.id, ScriptedReply(status_code=500, times=1))
    assert await statuses(bins, box, a, a) == [500, 200]


async def test_at_the_same_time_no_more_than_so_many_get_it(bins: Bins, box: Bin) -> None:
    await bins.set_reply(box.id, ScriptedReply(status_code=503, times=3))
    answers = await asyncio.gather(*(bins.catch(box.catch_token, named("a")) for _ in range(9)))
    found = sorted(each.reply.status_code for each in answers)
    assert found == [200] * 6 + [503] * 3


async def test_what_was_answered_before_a_start_or_elsewhere_counts(
    bins: Bins, box: Bin, store: SqliteStore, clock: SetClock
) -> None:
    await bins.set_reply(box.id, ScriptedReply(status_code=503, times=2))
    assert await statuses(bins, box, named("a")) == [503]
    later = Bins(store=store, ids=Ids(), clock=clock, entropy=os.urandom)
    assert await statuses(later, box, named("a"), named("a"), named("b")) == [503, 200, 503]
    assert await statuses(bins, box, named("a"), named("b"), named("b")) == [200, 503, 200]
    await later.stop()


async def test_what_does_not_fit_the_memory_is_asked_of_the_store(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_MAX_SPENT", 2)
    await bins.set_reply(box.id, ScriptedReply(status_code=503, times=2))
    for each in "abcd":
        assert await statuses(bins, box, named(each), named(each)) == [503, 503]
    for _ in range(2):
        for each in "abcd":
            assert await statuses(bins, box, named(each)) == [200]


async def test_two_processes_together_answer_no_more_than_so_many_times(
    bins: Bins, box: Bin, store: SqliteStore, clock: SetClock
) -> None:
    await bins.set_reply(box.id, ScriptedReply(status_code=503, times=5))
    other = Bins(store=store, ids=Ids(), clock=clock, entropy=os.urandom)
    both = [bins, other] * 6
    answers = await asyncio.gather(*(each.catch(box.catch_token, named("a")) for each in both))
    found = sorted(each.reply.status_code for each in answers)
    assert found == [200] * 7 + [503] * 5
    await other.stop()


async def test_a_cleared_bin_has_not_forgotten_what_it_answered(bins: Bins, box: Bin) -> None:
    await bins.set_reply(box.id, ScriptedReply(status_code=503, times=1))
    assert await statuses(bins, box, named("a")) == [503]
    await bins.clear(box.id)
    assert await statuses(bins, box, named("a")) == [200]


async def test_a_reply_that_is_set_again_counts_anew_though_nothing_was_kept(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply = ScriptedReply(status_code=503, times=1)
    await bins.set_reply(box.id, reply)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_MAX_WAITING_BYTES", -1)
        for _ in range(2):
            with pytest.raises(errors.Unavailable):
                await bins.catch(box.catch_token, named("a"))
    await bins.set_reply(box.id, reply)
    assert await statuses(bins, box, named("a"), named("a")) == [503, 200]


async def test_a_seed_repeats_what_chance_has_done(
    bins: Bins, box: Bin, store: SqliteStore, clock: SetClock
) -> None:
    reply = ScriptedReply(status_code=503, chance=0.5, seed=11)
    other = Bins(store=store, ids=Ids(), clock=clock, entropy=os.urandom)
    found: list[list[int]] = []
    for nodes in ([bins], [bins, other]):
        await bins.set_reply(box.id, reply)
        for each in nodes:
            each.changed(box.id)
        turns = (nodes * 20)[:20]
        # Of messages that are other ones each time, as a test's are.
        named_anew = [named(str(uuid4())) for _ in turns]
        answers = [
            await node.catch(box.catch_token, request)
            for node, request in zip(turns, named_anew, strict=True)
        ]
        found.append([each.reply.status_code for each in answers])
    assert found[0] == found[1]
    assert {*found[0]} == {200, 503}
    await bins.set_reply(box.id, replace(reply, seed=12))
    assert await statuses(bins, box, *[caught()] * 20) != found[0]
    await other.stop()


async def test_without_a_seed_chance_is_drawn(store: SqliteStore, clock: SetClock) -> None:
    draws = iter([b"\x3f", b"\x40", b"\xff", b"\x00"])
    tokens = iter([b"a", b"b"])

    def entropy(count: int) -> bytes:
        return next(tokens if count == 16 else draws) * count

    bins = Bins(store=store, ids=Ids(), clock=clock, entropy=entropy)
    reply = ScriptedReply(status_code=503, chance=0.25)
    box, _ = await bins.create("by chance", reply=reply)
    assert await statuses(bins, box, *[caught()] * 4) == [503, 200, 200, 503]
    await bins.stop()


@pytest.mark.parametrize(("chance", "status"), [(0.0, 200), (1.0, 503)])
async def test_no_chance_and_every_chance(bins: Bins, box: Bin, chance: float, status: int) -> None:
    for seed in (None, 1):
        reply = ScriptedReply(status_code=503, chance=chance, seed=seed)
        await bins.set_reply(box.id, reply)
        assert await statuses(bins, box, *[caught()] * 9) == [status] * 9


async def test_chance_and_a_number_of_times_go_together(bins: Bins, box: Bin) -> None:
    reply = ScriptedReply(status_code=503, chance=0.5, seed=3, times=1)
    await bins.set_reply(box.id, reply)
    first = await statuses(bins, box, *(named(str(each)) for each in range(20)))
    assert {*first} == {200, 503}
    assert await statuses(bins, box, *(named(str(each)) for each in range(20))) == [200] * 20


@pytest.mark.parametrize("mode", [ReplyMode.RESET, ReplyMode.TRUNCATED, ReplyMode.BAD_CHUNK])
async def test_what_cannot_be_broken_is_told_with_a_501(
    bins: Bins, box: Bin, mode: ReplyMode
) -> None:
    await bins.set_reply(box.id, ScriptedReply(mode=mode, body=b"xx"))
    unbreakable = await bins.catch(box.catch_token, caught())
    broken = await bins.catch(box.catch_token, caught(breakable=True))
    assert unbreakable.reply == replies.UNBREAKABLE
    assert broken.reply.mode is mode
    own = 0 if mode is ReplyMode.RESET else 200
    assert [each.status_code for each in await stored(bins, box)] == [501, own]


SLOW = ScriptedReply(delay=timedelta(milliseconds=1))
HANG = ScriptedReply(mode=ReplyMode.HANG)
DRIP = ScriptedReply(mode=ReplyMode.DRIP, body=b"x")
OVERSIZED = ScriptedReply(mode=ReplyMode.OVERSIZED, size=1 << 20)


@pytest.mark.parametrize("reply", [SLOW, HANG, DRIP, OVERSIZED])
async def test_beyond_so_many_who_wait_the_answer_is_a_503(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch, reply: ScriptedReply
) -> None:
    monkeypatch.setattr(answers, "MAX_HELD", 2)
    await bins.set_reply(box.id, reply)
    held = [await bins.catch(box.catch_token, caught()) for _ in range(2)]
    assert [each.reply for each in held] == [reply, reply]
    refused = await bins.catch(box.catch_token, caught())
    assert refused.reply == replies.TOO_MANY
    with refused:
        pass  # it had no place, so it gives none back
    assert (await bins.catch(box.catch_token, caught())).reply == replies.TOO_MANY
    with held[0]:
        pass
    assert (await bins.catch(box.catch_token, caught())).reply == reply
    own = 0 if reply is HANG else 200
    answered = [each.status_code for each in await stored(bins, box)]
    assert answered == [own, own, 503, 503, own]


async def test_all_bins_together_hold_only_so_many(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_HELD_IN_ALL", 2)
    boxes = [box, (await bins.create("second"))[0], (await bins.create("third"))[0]]
    for each in boxes:
        await bins.set_reply(each.id, HANG)
    first, _ = [await bins.catch(each.catch_token, caught()) for each in boxes[:2]]
    assert (await bins.catch(boxes[2].catch_token, caught())).reply == replies.TOO_MANY
    with first:
        pass
    assert (await bins.catch(boxes[2].catch_token, caught())).reply == HANG


async def test_a_request_that_is_not_kept_holds_no_place(
    bins: Bins, box: Bin, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_HELD_IN_ALL", 2)
    gone, _ = await bins.create("gone", reply=HANG)
    await bins.set_reply(box.id, HANG)
    await bins.catch(gone.catch_token, caught())
    with monkeypatch.context() as patch:
        patch.setattr(module, "_MAX_WAITING_BYTES", -1)
        with pytest.raises(errors.Unavailable):
            await bins.catch(box.catch_token, caught())
    await store.delete_bin(gone.id)
    with pytest.raises(errors.NotFound):
        await bins.catch(gone.catch_token, caught())
    assert (await bins.catch(box.catch_token, caught())).reply == HANG


# --- pins -------------------------------------------------------------------------------------


async def test_a_pinned_request_stays(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "a", "b", "c")
    one, two, three = await stored(bins, box)
    for each in (one, three):
        await bins.pin(box.id, each.id)
    assert [each.number for each in await bins.pinned(box.id)] == [3, 1]
    assert (await bins.capture(box.id, one.id)).pinned
    assert await bins.clear(box.id) == 1
    await bins.unpin(box.id, three.id)
    assert await bins.clear(box.id) == 1
    await bins.unpin(box.id, one.id)
    await bins.unpin(box.id, one.id)  # nothing happens
    assert await bins.pinned(box.id) == []
    for verb in (bins.pin, bins.unpin):
        with pytest.raises(errors.NotFound):
            await verb(box.id, two.id)


async def test_only_so_many_can_be_pinned(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PINNED", 1)
    await catch(bins, box, "a", "b")
    one, two = await stored(bins, box)
    await bins.pin(box.id, one.id)
    await bins.pin(box.id, one.id)
    with pytest.raises(errors.LimitReached, match="unpin one"):
        await bins.pin(box.id, two.id)


# --- what a sender calls its message ----------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "webhook_id"),
    [
        ([("webhook-id", "any id")], "any id"),
        ([("Svix-Id", "msg_1")], "msg_1"),
        ([("webhook-id", "")], None),
        ([("webhook-id", "x" * 256)], "x" * 256),
        ([("webhook-id", "x" * 257)], None),
        ([("x-id", "a")], None),
    ],
)
async def test_a_webhook_id_of_any_sender_is_kept(
    bins: Bins, box: Bin, headers: list[tuple[str, str]], webhook_id: str | None
) -> None:
    pairs = tuple((name.encode(), value.encode()) for name, value in headers)
    await bins.catch(box.catch_token, caught(headers=pairs))
    (capture,) = await stored(bins, box)
    assert (capture.webhook_id, capture.message_id) == (webhook_id, None)
    if webhook_id is not None:
        (arrival,) = await bins.arrivals(box.id, webhook_id, limit=9)
        assert arrival.id == capture.id


# --- tails ------------------------------------------------------------------------------------


async def test_a_tail_shows_only_what_comes_after_it_began(bins: Bins, box: Bin) -> None:
    await catch(bins, box, "old")
    tail = await bins.tail(box.id)
    await catch(bins, box, "new", "newer")
    assert await read(tail, 2) == ["new", "newer"]


async def test_a_tail_resumes_behind_a_number(bins: Bins, box: Bin) -> None:
    await catch(bins, box, *"abcd")
    tail = await bins.tail(box.id, after=2)
    await catch(bins, box, "e")
    assert await read(tail, 3) == ["c", "d", "e"]


async def test_a_tail_from_the_future_shows_what_comes(bins: Bins, box: Bin) -> None:
    tail = await bins.tail(box.id, after=99)
    await catch(bins, box, "a")
    assert await read(tail, 1) == ["a"]


@pytest.mark.parametrize("pace", [1, 3, 7, 100])
async def test_a_slow_tail_loses_nothing_and_doubles_nothing(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch, pace: int
) -> None:
    monkeypatch.setattr(tails, "_MAX_BEHIND", 4)
    monkeypatch.setattr(tails, "AT_ONCE", 3)
    tail = await bins.tail(box.id)
    sent = [str(number) for number in range(100)]
    seen: list[str] = []
    for number in range(0, len(sent), 5):
        await asyncio.gather(
            *(
                bins.catch(box.catch_token, caught(body=body.encode()))
                for body in sent[number : number + 5]
            )
        )
        seen += await read(tail, min(pace, number + 5 - len(seen)))
    seen += await read(tail, len(sent) - len(seen))
    assert seen == [each.body.decode() for each in await stored(bins, box)]
    assert sorted(seen, key=int) == sent


async def test_what_overflows_while_a_tail_reads_the_store_is_not_lost(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "_MAX_BEHIND", 1)
    await catch(bins, box, "a")
    tail = await bins.tail(box.id, after=0)
    reading = asyncio.create_task(read(tail, 4))
    await asyncio.gather(*(catch(bins, box, body) for body in "bcd"))
    assert sorted(await reading) == ["a", "b", "c", "d"]


async def test_a_big_backlog_goes_to_the_store_not_to_memory(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "_MAX_BEHIND_BYTES", 10)
    tail = await bins.tail(box.id)
    await catch(bins, box, *("x" * 6, "y" * 6, "z" * 6))
    assert sum(len(each.body) for each in tail._live) <= 10
    assert await read(tail, 3) == ["x" * 6, "y" * 6, "z" * 6]


async def test_waiting_with_a_time_limit_loses_nothing(bins: Bins, box: Bin) -> None:
    tail = await bins.tail(box.id)
    for body in "abc":
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(tail)
        await catch(bins, box, body)
        assert await read(tail, 1) == [body]


async def test_deleted_captures_leave_a_gap_that_a_tail_steps_over(bins: Bins, box: Bin) -> None:
    tail = await bins.tail(box.id, after=0)
    await catch(bins, box, *"abc")
    await bins.clear(box.id)
    await catch(bins, box, "d")
    assert await read(tail, 1) == ["d"]
    await catch(bins, box, "e")
    assert await read(tail, 1) == ["e"]


async def test_a_tail_behind_what_was_cleared_goes_on_with_what_comes(bins: Bins, box: Bin) -> None:
    await catch(bins, box, *"abc")
    await bins.clear(box.id)
    tail = await bins.tail(box.id, after=0)
    reading = asyncio.create_task(read(tail, 2))
    while tail._behind:  # until it waits for live ones, whose numbers do not follow 0
        await bins.get(box.id)
    await catch(bins, box, *"de")
    assert await reading == ["d", "e"]


async def test_tails_see_only_their_bin_and_all_of_them_see_it(bins: Bins, box: Bin) -> None:
    other, _ = await bins.create()
    tails = [await bins.tail(box.id) for _ in range(3)]
    elsewhere = await bins.tail(other.id)
    await catch(bins, box, "a")
    await catch(bins, other, "b")
    assert [await read(tail, 1) for tail in (*tails, elsewhere)] == [["a"], ["a"], ["a"], ["b"]]


async def test_a_tail_ends_with_its_bin_and_with_stafett(bins: Bins, box: Bin) -> None:
    other, _ = await bins.create()
    for bin_id, end in ((box.id, bins.delete(box.id)), (other.id, bins.stop())):
        tail = await bins.tail(bin_id)
        waiting = asyncio.create_task(anext(tail, None))
        await asyncio.sleep(0)
        await end
        assert await waiting is None


async def test_a_tail_that_nobody_holds_takes_no_place(
    bins: Bins, box: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "_MAX_TAILS", 1)
    tail: Tail | None = await bins.tail(box.id)
    with pytest.raises(errors.LimitReached):
        await bins.tail(box.id)
    del tail
    gc.collect()
    async for capture in await _tail_of(bins, box):
        assert capture.body == b"a"
        break


async def _tail_of(bins: Bins, box: Bin) -> Tail:
    tail = await bins.tail(box.id)
    await catch(bins, box, "a")
    return tail


async def test_the_memory_of_bins_is_bounded(bins: Bins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KNOWN", 2)
    made = [(await bins.create())[0] for _ in range(4)]
    for each in (*made, *made):
        await catch(bins, each, "a")
    assert len(bins._known) <= 2
