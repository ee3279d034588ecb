"""Bodies on their way: the room for all of them, and what a stop means for them."""

from __future__ import annotations

import asyncio

import pytest

from stafett import errors
from stafett.app import Receive
from stafett.web import uploads
from stafett.web.uploads import MAX_HELD, Uploads


async def never() -> bytes:
    await asyncio.Event().wait()
    return b""


def in_pieces(*pieces: bytes) -> Receive:
    """As an ASGI server hands a body over."""
    left = list(pieces)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


async def test_a_body_is_read_to_its_end() -> None:
    held = Uploads(asyncio.Event())
    scope = {"headers": [(b"content-length", b"4")]}
    assert await held.read(scope, in_pieces(b"ab", b"", b"cd"), limit=4) == b"abcd"
    with pytest.raises(errors.PayloadTooLarge):
        await held.read({"headers": []}, in_pieces(b"ab", b"cde"), limit=4)
    with pytest.raises(errors.PayloadTooLarge):
        await held.read({"headers": [(b"content-length", b"5")]}, in_pieces(b""), limit=4)


async def test_all_bodies_together_have_so_much_room_and_give_it_back() -> None:
    held = Uploads(asyncio.Event())
    with held.room() as first:
        first(MAX_HELD - 4)
        assert await held.read({"headers": []}, in_pieces(b"ab", b"cd"), limit=100) == b"abcd"
        with pytest.raises(errors.Unavailable) as full:
            await held.read({"headers": []}, in_pieces(b"ab", b"cde"), limit=100)
        assert full.value.retry_after == 1
        assert await held.read({"headers": []}, in_pieces(b"ab", b"cd"), limit=100) == b"abcd"
    with held.room() as second:
        second(MAX_HELD)


async def test_a_stop_waits_for_no_body() -> None:
    stopping = asyncio.Event()
    held = Uploads(stopping)
    reading = asyncio.create_task(held.in_time(never(), seconds=60))
    await asyncio.sleep(0)
    stopping.set()
    with pytest.raises(errors.Unavailable, match="about to stop"):
        async with asyncio.timeout(5):
            await reading


async def test_a_body_that_is_here_is_taken_although_a_stop_has_begun() -> None:
    stopping = asyncio.Event()
    stopping.set()
    assert await Uploads(stopping).read({"headers": []}, in_pieces(b"ab"), limit=4) == b"ab"


async def test_a_body_that_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_SECONDS", 0)

    async def receive() -> dict[str, object]:
        await never()
        return {}

    with pytest.raises(errors.BadRequest, match="did not come within 0 seconds"):
        await Uploads(asyncio.Event()).read({"headers": []}, receive, limit=4)
