"""Request bins on the wire, and what they are to answer."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from stafett.model import Bin, ReplyMode
from stafett.web.wire.base import In, Out, text_of

_MILLISECOND = timedelta(milliseconds=1)


class ReplyIn(In):
    """What a bin is to answer."""

    status_code: int = 200
    headers: list[tuple[str, str]] = msgspec.field(default_factory=list)
    body: str = ""
    delay_ms: int = 0
    mode: ReplyMode = ReplyMode.WHOLE
    drip_ms: int = 1_000
    times: int = 0
    chance: float = 1.0
    seed: int | None = None
    size: int = 0
    retry_date_ms: int = 0


class BinIn(In):
    """A new bin."""

    name: str | None = None
    reply: ReplyIn | None = None


class ReplyOut(msgspec.Struct, rename="camel", kw_only=True):
    """What a bin answers."""

    status_code: int
    headers: list[tuple[str, str]]
    body: str
    delay_ms: int
    mode: ReplyMode
    drip_ms: int
    times: int
    chance: float
    seed: int | None
    size: int
    retry_date_ms: int


class BinOut(Out):
    """A request bin; its read token only in the answer that made it."""

    id: str
    name: str
    url: str
    capture_count: int
    created_at: datetime
    reply: ReplyOut
    read_token: str | None = None


def bin_out(found: Bin, *, url: str, read_token: str | None = None) -> BinOut:
    """A bin as the wire shows it; `url` is where it catches."""
    reply = found.reply
    return BinOut(
        id=found.id,
        name=found.name,
        url=url,
        capture_count=found.capture_count,
        created_at=found.created_at,
        reply=ReplyOut(
            status_code=reply.status_code,
            headers=list(reply.headers),
            body=text_of(reply.body),
            delay_ms=reply.delay // _MILLISECOND,
            mode=reply.mode,
            drip_ms=reply.drip_every // _MILLISECOND,
            times=reply.times,
            chance=reply.chance,
            seed=reply.seed,
            size=reply.size,
            retry_date_ms=reply.retry_date // _MILLISECOND,
        ),
        read_token=read_token,
    )
