"""Request bins and captures in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page, insert_into
from stafett.ids import BinId, CaptureId
from stafett.model import Arrival, Bin, Capture, Page, PageQuery, ReplyMode, ScriptedReply

_b = schema.bins
_c = schema.captures
_n = schema.bin_answers
_MICROSECOND = timedelta(microseconds=1)
_ASKEW: Final = timedelta(hours=1)
"""How far clocks may be apart, and an answer counted before its request is stored."""


def _from_reply(reply: ScriptedReply) -> dict[str, Any]:
    return {
        "reply_status_code": reply.status_code,
        "reply_headers": list(reply.headers),
        "reply_body": reply.body,
        "reply_delay_us": reply.delay // _MICROSECOND,
        "reply_mode": reply.mode.value,
        "reply_drip_us": reply.drip_every // _MICROSECOND,
        "reply_times": reply.times,
        "reply_chance": reply.chance,
        "reply_seed": reply.seed,
        "reply_size": reply.size,
        "reply_retry_date_us": reply.retry_date // _MICROSECOND,
    }


def to_bin(row: Row) -> Bin:
    """A row as the model knows it."""
    return Bin(
        id=row["id"],
        name=row["name"],
        catch_token=row["catch_token"],
        read_token_hash=row["read_token_hash"],
        reply=ScriptedReply(
            status_code=row["reply_status_code"],
            headers=tuple((name, value) for name, value in row["reply_headers"]),
            body=row["reply_body"],
            delay=row["reply_delay_us"] * _MICROSECOND,
            mode=ReplyMode(row["reply_mode"]),
            drip_every=row["reply_drip_us"] * _MICROSECOND,
            times=row["reply_times"],
            chance=row["reply_chance"],
            seed=row["reply_seed"],
            size=row["reply_size"],
            retry_date=row["reply_retry_date_us"] * _MICROSECOND,
        ),
        reply_since=row["reply_since"],
        capture_count=row["capture_count"],
        created_at=row["created_at"],
    )


def _from_capture(capture: Capture) -> dict[str, Any]:
    return {
        "bin_id": capture.bin_id,
        "number": capture.number,
        "id": capture.id,
        "method": capture.method,
        "target": capture.target,
        "http_version": capture.http_version,
        # Latin-1 gives every byte a character of its own, so JSON keeps them all.
        "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in capture.headers],
        "body": capture.body,
        "body_truncated": capture.body_truncated,
        "peer": capture.peer,
        "received_at": capture.received_at,
        "status_code": capture.status_code,
        "message_id": capture.message_id,
        "attempt_id": capture.attempt_id,
        "webhook_id": capture.webhook_id,
        "pinned": capture.pinned,
    }


def to_capture(row: Row) -> Capture:
    """A row as the model knows it."""
    return Capture(
        id=row["id"],
        bin_id=row["bin_id"],
        number=row["number"],
        method=row["method"],
        target=row["target"],
        http_version=row["http_version"],
        headers=tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in row["headers"]),
        body=row["body"],
        body_truncated=row["body_truncated"],
        peer=row["peer"],
        received_at=row["received_at"],
        status_code=row["status_code"],
        message_id=row["message_id"],
        attempt_id=row["attempt_id"],
        webhook_id=row["webhook_id"],
        pinned=row["pinned"],
    )


_ARRIVAL = (
    _c.c.id,
    _c.c.number,
    _c.c.method,
    _c.c.target,
    sa.func.length(_c.c.body).label("size"),
    _c.c.received_at,
    _c.c.status_code,
    _c.c.attempt_id,
    _c.c.pinned,
)


def to_arrival(row: Row) -> Arrival:
    """A row of `_ARRIVAL` as the model knows it."""
    return Arrival(**row)


def _number(connection: sa.Connection, bin_id: BinId, captures: Sequence[Capture]) -> list[Capture]:
    """Counts the bin up and gives each capture its number; nothing for a bin that is gone."""
    counted = connection.execute(
        sa.update(_b)
        .where(_b.c.id == bin_id)
        .values(capture_count=_b.c.capture_count + len(captures))
        .returning(_b.c.capture_count)
    ).scalar_one_or_none()
    if counted is None:
        return []
    first = counted - len(captures) + 1
    return [replace(each, number=first + place) for place, each in enumerate(captures)]


def _trim(connection: sa.Connection, bin_id: BinId, *, keep: int, keep_bytes: int) -> None:
    """Deletes the oldest beyond `keep` captures or `keep_bytes` of bodies; the newest stays.

    Pinned ones neither count nor go. Counts that are older than all that is left go with them.
    """
    loose = (_c.c.bin_id == bin_id, _c.c.pinned == sa.false())
    rows = connection.execute(
        sa.select(_c.c.number, sa.func.length(_c.c.body)).where(*loose).order_by(_c.c.number.desc())
    ).all()
    held = 0
    for place, (number, size) in enumerate(rows):
        held += size
        if place >= keep or (held > keep_bytes and place > 0):
            connection.execute(sa.delete(_c).where(*loose, _c.c.number <= number))
            _forget_counts(connection, bin_id)
            return


def _forget_counts(connection: sa.Connection, bin_id: BinId) -> None:
    oldest: datetime = connection.execute(
        sa.select(_c.c.received_at)
        .where(_c.c.bin_id == bin_id, _c.c.pinned == sa.false())
        .order_by(_c.c.number)
        .limit(1)
    ).scalar_one()
    connection.execute(
        sa.delete(_n).where(_n.c.bin_id == bin_id, _n.c.counted_at < oldest - _ASKEW)
    )


def _pinned_others(connection: sa.Connection, bin_id: BinId, capture_id: CaptureId) -> int:
    query = sa.select(sa.func.count()).where(
        _c.c.bin_id == bin_id, _c.c.pinned == sa.true(), _c.c.id != capture_id
    )
    return connection.execute(query).scalar_one()


def _count(
    connection: sa.Connection, bin_id: BinId, *, since: int, counted: Sequence[str], now: datetime
) -> sa.Executable:
    first = {"bin_id": bin_id, "since": since, "answer_count": 1, "counted_at": now}
    return (
        insert_into(connection, _n)
        .values([first | {"counted": each} for each in counted])
        .on_conflict_do_update(
            index_elements=["bin_id", "since", "counted"],
            set_={"answer_count": _n.c.answer_count + 1, "counted_at": now},
        )
        .returning(_n.c.counted, _n.c.answer_count)
    )


class BinVerbs(SqlVerbs):
    """See `stafett.store.Bins`."""

    async def add_bin(self, bin: Bin) -> None:  # noqa: A002 - the contract's word
        values = {
            "id": bin.id,
            "name": bin.name,
            "catch_token": bin.catch_token,
            "read_token_hash": bin.read_token_hash,
            "reply_since": bin.reply_since,
            "capture_count": bin.capture_count,
            "created_at": bin.created_at,
        } | _from_reply(bin.reply)
        await self.write(
            lambda connection: connection.execute(sa.insert(_b).values(values)) and None
        )

    async def get_bin(self, bin_id: BinId) -> Bin | None:
        return await self._one_bin(_b.c.id == bin_id)

    async def find_bin(self, catch_token: str) -> Bin | None:
        return await self._one_bin(_b.c.catch_token == catch_token)

    async def _one_bin(self, condition: sa.ColumnElement[bool]) -> Bin | None:
        def work(connection: sa.Connection) -> Bin | None:
            return fetch_one(connection, sa.select(_b).where(condition), to_bin)

        return await self.read(work)

    async def list_bins(self, page: PageQuery) -> Page[Bin]:
        return await self.read(
            lambda connection: fetch_page(
                connection, sa.select(_b), key=_b.c.id, page=page, to_item=to_bin
            )
        )

    async def set_reply(self, bin_id: BinId, reply: ScriptedReply) -> None:
        values = _from_reply(reply) | {"reply_since": _b.c.capture_count}

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.update(_b).where(_b.c.id == bin_id).values(values))
            connection.execute(sa.delete(_n).where(_n.c.bin_id == bin_id))

        await self.write(work)

    async def count_answers(
        self, bin_id: BinId, *, since: int, counted: Sequence[str], now: datetime
    ) -> list[int]:
        def work(connection: sa.Connection) -> list[int]:
            statement = _count(connection, bin_id, since=since, counted=counted, now=now)
            counts: dict[str, int] = {
                row["counted"]: row["answer_count"]
                for row in connection.execute(statement).mappings()
            }
            return [counts[each] for each in counted]

        return await self.write(work)

    async def delete_bin(self, bin_id: BinId) -> None:
        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(_c).where(_c.c.bin_id == bin_id))
            connection.execute(sa.delete(_n).where(_n.c.bin_id == bin_id))
            connection.execute(sa.delete(_b).where(_b.c.id == bin_id))

        await self.write(work)

    async def add_captures(
        self, batch: Sequence[Capture], *, keep: int, keep_bytes: int
    ) -> list[Capture]:
        by_bin: dict[BinId, list[Capture]] = {}
        for capture in batch:
            by_bin.setdefault(capture.bin_id, []).append(capture)

        def work(connection: sa.Connection) -> list[Capture]:
            stored: list[Capture] = []
            for bin_id, captures in by_bin.items():
                numbered = _number(connection, bin_id, captures)
                if numbered:
                    connection.execute(sa.insert(_c), [_from_capture(each) for each in numbered])
                    _trim(connection, bin_id, keep=keep, keep_bytes=keep_bytes)
                stored += numbered
            return stored

        return await self.write(work)

    async def list_captures(self, bin_id: BinId, page: PageQuery) -> Page[Capture]:
        numbered = replace(page, after=None)
        query = sa.select(_c).where(_c.c.bin_id == bin_id)
        if page.after is not None:
            upward = page.ascending != page.backward
            after = int(page.after)
            query = query.where(_c.c.number > after if upward else _c.c.number < after)
        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_c.c.number, page=numbered, to_item=to_capture
            )
        )

    async def get_capture(self, bin_id: BinId, capture_id: CaptureId) -> Capture | None:
        query = sa.select(_c).where(_c.c.bin_id == bin_id, _c.c.id == capture_id)

        def work(connection: sa.Connection) -> Capture | None:
            return fetch_one(connection, query, to_capture)

        return await self.read(work)

    async def arrivals(
        self, bin_id: BinId, webhook_id: str | None, *, after: int = 0, limit: int
    ) -> list[Arrival]:
        found = await self._arrivals(
            bin_id, _c.c.webhook_id == webhook_id, _c.c.number > after, limit=limit
        )
        return found[::-1]

    async def pinned_arrivals(self, bin_id: BinId) -> list[Arrival]:
        return await self._arrivals(bin_id, _c.c.pinned == sa.true())

    async def _arrivals(
        self, bin_id: BinId, *which: sa.ColumnElement[bool], limit: int | None = None
    ) -> list[Arrival]:
        """Newest first."""
        query = sa.select(*_ARRIVAL).where(_c.c.bin_id == bin_id, *which)
        query = query.order_by(_c.c.number.desc()).limit(limit)
        return await self.read(
            lambda connection: [to_arrival(row) for row in connection.execute(query).mappings()]
        )

    async def set_pinned(
        self, bin_id: BinId, capture_id: CaptureId, *, pinned: bool, limit: int
    ) -> bool:
        this = (_c.c.bin_id == bin_id, _c.c.id == capture_id)

        def work(connection: sa.Connection) -> bool:
            # One at a time, or two see room for one.
            connection.execute(sa.select(_b.c.id).where(_b.c.id == bin_id).with_for_update())
            if pinned and _pinned_others(connection, bin_id, capture_id) >= limit:
                return False
            changed = connection.execute(sa.update(_c).where(*this).values(pinned=pinned))
            return changed.rowcount > 0

        return await self.write(work)

    async def delete_capture(self, bin_id: BinId, capture_id: CaptureId) -> None:
        statement = sa.delete(_c).where(_c.c.bin_id == bin_id, _c.c.id == capture_id)
        await self.write(lambda connection: connection.execute(statement) and None)

    async def clear_bin(self, bin_id: BinId) -> int:
        statement = sa.delete(_c).where(_c.c.bin_id == bin_id, _c.c.pinned == sa.false())
        return await self.write(lambda connection: connection.execute(statement).rowcount)
