"""Request bins and captures in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page
from stafett.ids import BinId, CaptureId
from stafett.model import Bin, Capture, Page, PageQuery, ScriptedReply

_b = schema.bins
_c = schema.captures
_MICROSECOND = timedelta(microseconds=1)


def _from_reply(reply: ScriptedReply) -> dict[str, Any]:
    return {
        "reply_status_code": reply.status_code,
        "reply_headers": list(reply.headers),
        "reply_body": reply.body,
        "reply_delay_us": reply.delay // _MICROSECOND,
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
        ),
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
    )


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
    """Deletes the oldest beyond `keep` captures or `keep_bytes` of bodies; the newest stays."""
    rows = connection.execute(
        sa.select(_c.c.number, sa.func.length(_c.c.body))
        .where(_c.c.bin_id == bin_id)
        .order_by(_c.c.number.desc())
    ).all()
    held = 0
    for place, (number, size) in enumerate(rows):
        held += size
        if place >= keep or (held > keep_bytes and place > 0):
            connection.execute(sa.delete(_c).where(_c.c.bin_id == bin_id, _c.c.number <= number))
            return


class BinVerbs(SqlVerbs):
    """See `stafett.store.Bins`."""

    async def add_bin(self, bin: Bin) -> None:  # noqa: A002 - the contract's word
        values = {
            "id": bin.id,
            "name": bin.name,
            "catch_token": bin.catch_token,
            "read_token_hash": bin.read_token_hash,
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
        statement = sa.update(_b).where(_b.c.id == bin_id).values(_from_reply(reply))
        await self.write(lambda connection: connection.execute(statement) and None)

    async def delete_bin(self, bin_id: BinId) -> None:
        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(_c).where(_c.c.bin_id == bin_id))
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

    async def delete_capture(self, bin_id: BinId, capture_id: CaptureId) -> None:
        statement = sa.delete(_c).where(_c.c.bin_id == bin_id, _c.c.id == capture_id)
        await self.write(lambda connection: connection.execute(statement) and None)

    async def clear_bin(self, bin_id: BinId) -> int:
        statement = sa.delete(_c).where(_c.c.bin_id == bin_id)
        return await self.write(lambda connection: connection.execute(statement).rowcount)
