"""Attempts in SQL: each request that was made, and how many there were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from stafett import ids
from stafett.drivers import schema
from stafett.drivers.cold import messages
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page, labelled
from stafett.ids import AppId, AttemptId, EndpointId, MessageId
from stafett.model import (
    Attempt,
    AttemptFilter,
    FailureCause,
    Headers,
    Json,
    Message,
    Outcome,
    Page,
    PageQuery,
    Trigger,
)
from stafett.store import AttemptCount, AttemptsMeasured

_a = schema.attempts
_m = schema.messages
_e = schema.endpoints

_SAMPLE = 1_000
"""Attempts of one slot whose durations tell enough."""


def _trigger(manual: bool) -> Trigger:  # noqa: FBT001 - it is the stored column
    return Trigger.MANUAL if manual else Trigger.SCHEDULED


def _to_headers(stored: Json) -> Headers:
    return tuple((name, value) for name, value in stored or ())


def to_attempt(row: Row, prefix: str = "") -> Attempt:
    """A row as the model knows it; `prefix` where the query labelled the columns."""
    cause: str | None = row[prefix + "cause"]
    return Attempt(
        id=row[prefix + "id"],
        delivery_id=row[prefix + "delivery_id"],
        message_id=row[prefix + "message_id"],
        app_id=row[prefix + "app_id"],
        endpoint_id=row[prefix + "endpoint_id"],
        url=row[prefix + "url"],
        outcome=Outcome(
            status_code=row[prefix + "status_code"],
            cause=None if cause is None else FailureCause(cause),
            detail=row[prefix + "detail"],
            request_headers=_to_headers(row[prefix + "request_headers"]),
            response_headers=_to_headers(row[prefix + "response_headers"]),
            response_body=row[prefix + "response_body"] or b"",
            response_truncated=row[prefix + "response_truncated"],
            duration=timedelta(microseconds=row[prefix + "duration_us"]),
        ),
        trigger=_trigger(row[prefix + "manual"]),
        test=row[prefix + "test"],
        note=row[prefix + "note"],
        content_gone=row[prefix + "content_gone"],
        created_at=row[prefix + "created_at"],
    )


def _attempt_conditions(app_id: AppId, where: AttemptFilter) -> list[sa.ColumnElement[bool]]:
    conditions = [_a.c.app_id == app_id]
    if where.message_id is not None:
        conditions.append(_a.c.message_id == where.message_id)
    if where.endpoint_id is not None:
        conditions.append(_a.c.endpoint_id == where.endpoint_id)
    if where.succeeded is not None:
        conditions.append(_a.c.cause.is_(None) == where.succeeded)
    if where.status_code_class is not None:
        low = where.status_code_class
        code = sa.func.coalesce(_a.c.status_code, 0)
        conditions.append(code.between(low, low + 99))
    if where.after is not None:
        conditions.append(_a.c.id >= ids.first_at(ids.ATTEMPT, where.after))
    if where.before is not None:
        conditions.append(_a.c.id < ids.first_at(ids.ATTEMPT, where.before))
    about = AttemptFilter(event_types=where.event_types, channel=where.channel, tag=where.tag)
    return conditions + messages.matches(about)


def _real(app_id: AppId, since: datetime, until: datetime) -> list[sa.ColumnElement[bool]]:
    """Whether an attempt is real, of a time range, and of an endpoint that is there.

    Endpoint by endpoint over the index on (endpoint_id, id).
    """
    return [
        _a.c.endpoint_id.in_(sa.select(_e.c.id).where(_e.c.app_id == app_id)),
        _a.c.id >= ids.first_at(ids.ATTEMPT, since),
        _a.c.id < ids.first_at(ids.ATTEMPT, until),
        sa.not_(_a.c.test),
    ]


def _count_query(
    app_id: AppId, since: datetime, until: datetime, *, limit: int
) -> sa.Select[EndpointId, bool, int]:
    """Attempts by endpoint and how they ended, of `limit` rows at most; about 1.5 us for each."""
    found = (
        sa.select(_a.c.endpoint_id, _a.c.cause.is_(None).label("succeeded"))
        .where(*_real(app_id, since, until))
        .limit(limit)
        .subquery()
    )
    return sa.select(found.c.endpoint_id, found.c.succeeded, sa.func.count()).group_by(
        found.c.endpoint_id, found.c.succeeded
    )


def _counted(rows: Sequence[sa.Row[EndpointId, bool, int]]) -> dict[EndpointId, AttemptCount]:
    counts: dict[EndpointId, AttemptCount] = {}
    for endpoint_id, succeeded, count in rows:
        before = counts.get(endpoint_id, AttemptCount())
        change = {"succeeded": count} if succeeded else {"failed": count}
        counts[endpoint_id] = replace(before, **change)
    return counts


def _durations_query(
    app_id: AppId, since: datetime, until: datetime, *, total: int
) -> sa.Select[int]:
    """How long the `total` attempts took, shortest first; of many some 1,000, picked by chance.

    The last character of an id is chance, and stands in the index: what is left out is not read.
    """
    query = sa.select(_a.c.duration_us).where(*_real(app_id, since, until))
    if total > _SAMPLE:
        picked = list(ids.ALPHABET[: max(1, len(ids.ALPHABET) * _SAMPLE // total)])
        query = query.where(sa.func.substr(_a.c.id, ids.length(ids.ATTEMPT), 1).in_(picked))
    return query.order_by(_a.c.duration_us)


def _percentiles(ordered: Sequence[int], percents: Sequence[int]) -> tuple[timedelta, ...]:
    """For each of `percents`, what so many of a hundred microseconds do not exceed."""
    if not ordered:
        return ()
    places = (-(-len(ordered) * each // 100) for each in percents)  # rounded up
    return tuple(timedelta(microseconds=ordered[max(1, place) - 1]) for place in places)


class AttemptVerbs(SqlVerbs):
    """What of `stafett.store.Deliveries` is about attempts."""

    async def get_attempt(self, message_id: MessageId, attempt_id: AttemptId) -> Attempt | None:
        query = sa.select(_a).where(_a.c.message_id == message_id, _a.c.id == attempt_id)

        def work(connection: sa.Connection) -> Attempt | None:
            return fetch_one(connection, query, to_attempt)

        return await self.read(work)

    async def list_attempts(
        self, app_id: AppId, where: AttemptFilter, page: PageQuery
    ) -> Page[tuple[Attempt, Message]]:
        query = (
            sa.select(*labelled(_a, "a_"), _m)
            .select_from(
                _a.join(_m, sa.and_(_m.c.app_id == _a.c.app_id, _m.c.id == _a.c.message_id))
            )
            .where(*_attempt_conditions(app_id, where))
        )

        def to_item(row: Row) -> tuple[Attempt, Message]:
            return to_attempt(row, "a_"), messages.to_message(row)

        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_a.c.id, page=page, to_item=to_item
            )
        )

    async def expunge_attempt(self, message_id: MessageId, attempt_id: AttemptId) -> None:
        statement = (
            sa.update(_a)
            .where(_a.c.message_id == message_id, _a.c.id == attempt_id)
            .values(
                response_headers=None,
                response_body=None,
                response_truncated=False,
                content_gone=True,
            )
        )
        await self.write(lambda connection: connection.execute(statement) and None)

    async def measure_attempts(
        self,
        app_id: AppId,
        *,
        slots: Sequence[tuple[datetime, datetime]],
        percents: Sequence[int],
        limit: int,
    ) -> list[AttemptsMeasured]:
        def work(connection: sa.Connection) -> list[AttemptsMeasured]:
            measured: list[AttemptsMeasured] = []
            left = limit
            for since, until in slots:
                rows = connection.execute(_count_query(app_id, since, until, limit=left + 1)).all()
                total = sum(count for *_, count in rows)
                left -= total
                if left < 0:
                    break
                query = _durations_query(app_id, since, until, total=total)
                took = connection.scalars(query).all() if total else ()
                measured.append(
                    AttemptsMeasured(counts=_counted(rows), durations=_percentiles(took, percents))
                )
            return measured

        return await self.read(work)

    async def recent_durations(
        self, endpoint_ids: Sequence[EndpointId], *, limit: int
    ) -> list[timedelta]:
        def work(connection: sa.Connection) -> list[timedelta]:
            return [
                timedelta(microseconds=took)
                for endpoint_id in endpoint_ids
                for took in connection.scalars(
                    sa.select(_a.c.duration_us)
                    .where(_a.c.endpoint_id == endpoint_id, sa.not_(_a.c.test))
                    .order_by(_a.c.id.desc())
                    .limit(limit)
                )
            ]

        return await self.read(work)
