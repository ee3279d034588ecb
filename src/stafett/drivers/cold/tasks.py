"""Background work in SQL.

A step takes the row of its task first: whoever else wants it waits, and finds what this step made
of it. What became due and how far the task came are one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from stafett import matching
from stafett.drivers import schema
from stafett.drivers.cold import messages
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page, insert_into
from stafett.drivers.cold.deliveries import FRESH_RUN, last_answered
from stafett.drivers.cold.endpoints import to_endpoint
from stafett.ids import ClaimId, DeliveryId, MessageId, TaskId
from stafett.model import (
    DeliveryState,
    Endpoint,
    Json,
    Page,
    PageQuery,
    Replayed,
    Task,
    TaskFilter,
    TaskKind,
    TaskStatus,
)
from stafett.store import Claim

_t = schema.tasks
_d = schema.deliveries
_m = schema.messages
_e = schema.endpoints

_LOOK: Final = 1_000
"""Rows that one step goes over: some milliseconds in SQLite, where nobody else writes meanwhile."""
_ENDED: Final = frozenset({DeliveryState.SUCCEEDED, DeliveryState.FAILED, DeliveryState.CANCELED})


def _from_wanted(wanted: Replayed) -> Json:
    assert wanted.after is not None  # noqa: S101 - see `Replayed`
    assert wanted.before is not None  # noqa: S101
    return {
        "after": schema.to_micros(wanted.after),
        "before": schema.to_micros(wanted.before),
        "event_types": None if wanted.event_types is None else sorted(wanted.event_types),
        "channel": wanted.channel,
        "tag": wanted.tag,
        "state": wanted.state,
        "status_code_class": wanted.status_code_class,
    }


def _to_wanted(stored: Json) -> Replayed:
    event_types, state = stored["event_types"], stored["state"]
    return Replayed(
        after=schema.from_micros(stored["after"]),
        before=schema.from_micros(stored["before"]),
        event_types=None if event_types is None else frozenset(event_types),
        channel=stored["channel"],
        tag=stored["tag"],
        state=None if state is None else DeliveryState(state),
        status_code_class=stored["status_code_class"],
    )


def to_task(row: Row) -> Task:
    """A row as the model knows it."""
    return Task(
        id=row["id"],
        kind=TaskKind(row["kind"]),
        status=TaskStatus(row["status"]),
        app_id=row["app_id"],
        endpoint_id=row["endpoint_id"],
        wanted=_to_wanted(row["wanted"]),
        cursor=row["cursor"],
        sent_count=row["sent_count"],
        problem=row["problem"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _held(task_id: TaskId, claim_id: ClaimId) -> sa.ColumnElement[bool]:
    return (_t.c.id == task_id) & (_t.c.claim_id == claim_id)


def _ended(status: TaskStatus, problem: str | None = None) -> dict[str, Any]:
    return {"status": status, "problem": problem, "due_at": None, "claim_id": None}


def _ahead(task: Task, key: sa.ColumnElement[Any]) -> list[sa.ColumnElement[bool]]:
    """The messages of its range that were not looked at yet."""
    conditions = messages.within(key, Replayed(after=task.wanted.after, before=task.wanted.before))
    return conditions if task.cursor is None else [*conditions, key > task.cursor]


def _looked_at(
    connection: sa.Connection, key: sa.ColumnElement[Any], *conditions: sa.ColumnElement[bool]
) -> MessageId | None:
    """Where a look at the next rows ends; None: there are none."""
    part = sa.select(key.label("key")).where(*conditions).order_by(key).limit(_LOOK).subquery()
    return connection.scalar(sa.select(sa.func.max(part.c.key)))


def _is_wanted_again(task: Task) -> list[sa.ColumnElement[bool]]:
    """Which deliveries a task that sends again takes."""
    wanted = task.wanted
    if task.kind is TaskKind.RECOVER:
        states = {DeliveryState.FAILED, DeliveryState.CANCELED}
    else:
        states = _ENDED if wanted.state is None else _ENDED & {wanted.state}
    conditions = [
        _d.c.state.in_(sorted(states)),
        sa.not_(_d.c.test),
        sa.not_(_m.c.payload_gone),
        *messages.matches(wanted),
    ]
    if wanted.status_code_class is not None:
        conditions += last_answered(wanted.status_code_class)
    return conditions


_Part = tuple[int, MessageId | None]
"""How many became due, and up to which message everything is done (None: to the end)."""


class TaskVerbs(SqlVerbs):
    """See `stafett.store.Tasks`."""

    async def add_task(self, task: Task) -> None:
        values = {
            "id": task.id,
            "kind": task.kind,
            "status": task.status,
            "app_id": task.app_id,
            "endpoint_id": task.endpoint_id,
            "wanted": _from_wanted(task.wanted),
            "sent_count": 0,
            "due_at": task.created_at,
            "created_at": task.created_at,
            "updated_at": task.updated_at,
        }
        await self.write(
            lambda connection: connection.execute(sa.insert(_t).values(values)) and None
        )

    async def get_task(self, task_id: TaskId) -> Task | None:
        query = sa.select(_t).where(_t.c.id == task_id)
        return await self.read(lambda connection: fetch_one(connection, query, to_task))

    async def list_tasks(self, where: TaskFilter, page: PageQuery) -> Page[Task]:
        asked = {_t.c.kind: where.kind, _t.c.status: where.status, _t.c.app_id: where.app_id}
        query = sa.select(_t).where(
            *(column == value for column, value in asked.items() if value is not None)
        )
        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_t.c.id, page=page, to_item=to_task
            )
        )

    async def claim_task(self, claim: Claim, *, now: datetime) -> Task | None:
        due = sa.select(_t.c.id).where(_t.c.due_at <= now).order_by(_t.c.due_at).limit(1)
        # Mostly there is none, and to find that out nobody needs to write.
        if await self.read(lambda connection: connection.scalar(due)) is None:
            return None

        def work(connection: sa.Connection) -> Task | None:
            found = connection.scalar(due.with_for_update(skip_locked=True))
            claimed = (
                sa.update(_t)
                .where(_t.c.id == found)
                .values(claim_id=claim.id, due_at=claim.lease_until)
                .returning(_t)
            )
            row = connection.execute(claimed).mappings().one_or_none()
            return None if row is None else to_task(row)

        return await self.write(work)

    async def work_on_task(
        self, task_id: TaskId, claim: Claim, *, now: datetime, spare: Sequence[DeliveryId]
    ) -> Task | None:
        mine = (
            sa.update(_t)
            .where(_held(task_id, claim.id))
            .values(due_at=claim.lease_until, updated_at=now)
            .returning(_t)
        )

        def work(connection: sa.Connection) -> Task | None:
            row = connection.execute(mine).mappings().one_or_none()
            if row is None:
                return None
            changes = self._brought_forward(connection, to_task(row), now=now, spare=spare)
            changed = sa.update(_t).where(_t.c.id == task_id).values(changes).returning(_t)
            return to_task(connection.execute(changed).mappings().one())

        return await self.write(work)

    async def release_task(self, task_id: TaskId, claim_id: ClaimId, *, now: datetime) -> None:
        released = sa.update(_t).where(_held(task_id, claim_id)).values(claim_id=None, due_at=now)
        await self.write(lambda connection: connection.execute(released) and None)

    async def fail_task(
        self, task_id: TaskId, claim_id: ClaimId, *, problem: str, now: datetime
    ) -> None:
        failed = _ended(TaskStatus.FAILED, problem) | {"updated_at": now}
        statement = sa.update(_t).where(_held(task_id, claim_id)).values(failed)
        await self.write(lambda connection: connection.execute(statement) and None)

    # --- a step -------------------------------------------------------------------------------

    def _brought_forward(
        self,
        connection: sa.Connection,
        task: Task,
        *,
        now: datetime,
        spare: Sequence[DeliveryId],
    ) -> dict[str, Any]:
        """Make the next deliveries due; answers what has changed about the task."""
        query = sa.select(_e).where(_e.c.id == task.endpoint_id)
        endpoint = fetch_one(connection, query, to_endpoint)
        if endpoint is None:
            return _ended(TaskStatus.FAILED, "the webhook was deleted")
        if endpoint.disabled:
            return _ended(TaskStatus.FAILED, "the webhook was switched off")
        if task.kind is TaskKind.REPLAY_MISSING:
            count, cursor = self._add_missing(connection, task, endpoint, now=now, spare=spare)
        else:
            count, cursor = self._send_again(connection, task, now=now, limit=len(spare))
        sent = {"sent_count": task.sent_count + count}
        if cursor is None:
            return sent | _ended(TaskStatus.FINISHED)
        return sent | {"cursor": cursor}

    def _send_again(
        self, connection: sa.Connection, task: Task, *, now: datetime, limit: int
    ) -> _Part:
        key = _d.c.message_id
        ahead = [_d.c.endpoint_id == task.endpoint_id, *_ahead(task, key)]
        end = _looked_at(connection, key, *ahead)
        if end is None:
            return 0, None
        query = (
            sa.select(key)
            .join(_m, (_m.c.app_id == _d.c.app_id) & (_m.c.id == key))
            .where(*ahead, key <= end, *_is_wanted_again(task))
            .order_by(key)
            .limit(limit)
            # What somebody else sends again this moment is theirs.
            .with_for_update(of=_d)
        )
        found = list(connection.scalars(query))
        chosen = (_d.c.endpoint_id == task.endpoint_id) & key.in_(found)
        if found:
            fresh = FRESH_RUN | {"due_at": now, "updated_at": now}
            connection.execute(sa.update(_d).where(chosen).values(fresh))
            self.queue.put(connection, chosen)
        return len(found), found[-1] if len(found) == limit else end

    def _add_missing(
        self,
        connection: sa.Connection,
        task: Task,
        endpoint: Endpoint,
        *,
        now: datetime,
        spare: Sequence[DeliveryId],
    ) -> _Part:
        ahead = [_m.c.app_id == task.app_id, *_ahead(task, _m.c.id)]
        end = _looked_at(connection, _m.c.id, *ahead)
        if end is None:
            return 0, None
        owed = sa.exists().where(_d.c.message_id == _m.c.id, _d.c.endpoint_id == task.endpoint_id)
        query = (
            sa.select(_m.c.id, _m.c.event_type, _m.c.channels, _m.c.deliver_at)
            .where(*ahead, _m.c.id <= end)
            .where(sa.not_(_m.c.test), sa.not_(_m.c.payload_gone), sa.not_(owed))
            .order_by(_m.c.id)
        )
        rows = [
            row
            for row in connection.execute(query).mappings()
            if matching.wants(endpoint, event_type=row["event_type"], channels=row["channels"])
        ][: len(spare)]
        new = [
            FRESH_RUN
            | {
                "id": delivery_id,
                "message_id": row["id"],
                "app_id": task.app_id,
                "endpoint_id": task.endpoint_id,
                "test": False,
                "attempt_count": 0,
                "due_at": max(now, row["deliver_at"] or now),
                "note": "was missing",
                "created_at": now,
                "updated_at": now,
            }
            for delivery_id, row in zip(spare, rows, strict=False)
        ]
        count = self._add(connection, task, new) if new else 0
        return count, rows[-1]["id"] if len(rows) == len(spare) else end

    def _add(self, connection: sa.Connection, task: Task, new: list[dict[str, Any]]) -> int:
        """Those that nobody else has made meanwhile."""
        insert = insert_into(connection, _d).on_conflict_do_nothing(
            index_elements=["message_id", "endpoint_id"]
        )
        added = list(connection.scalars(insert.returning(_d.c.message_id), new))
        if added:
            owed = (_m.c.app_id == task.app_id) & _m.c.id.in_(added)
            more = sa.update(_m).where(owed).values(endpoint_count=_m.c.endpoint_count + 1)
            connection.execute(more)
            chosen = (_d.c.endpoint_id == task.endpoint_id) & _d.c.message_id.in_(added)
            self.queue.put(connection, chosen)
        return len(added)
