"""What waits, in a narrow table of its own beside the deliveries (see `cold.queue`)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from typing_extensions import override

from stafett.drivers import schema
from stafett.drivers.cold import queue
from stafett.ids import AppId, ClaimId, DeliveryId, EndpointId
from stafett.store import Backlog

_d = schema.deliveries
_q = sa.table(
    "queue",
    sa.column("delivery_id", sa.Text),
    sa.column("message_id", sa.Text),
    sa.column("endpoint_id", sa.Text),
    sa.column("due_at", schema.Moment),
    sa.column("claim_id", sa.Text),
)
_uids = sa.table("message_uids", sa.column("app_id", sa.Text))


class QueueTable(queue.Queue):
    """Keeps the table in step with `deliveries.due_at`."""

    @override
    def put(
        self,
        connection: sa.Connection,
        chosen: sa.ColumnElement[bool],
        *,
        claimed_by: ClaimId | None = None,
    ) -> None:
        rows = sa.select(
            _d.c.id,
            _d.c.message_id,
            _d.c.endpoint_id,
            _d.c.due_at,
            sa.literal(claimed_by, sa.Text),
        ).where(chosen, _d.c.due_at.is_not(None))
        insert = postgresql.insert(_q).from_select(
            ["delivery_id", "message_id", "endpoint_id", "due_at", "claim_id"], rows
        )
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["delivery_id"],
                set_={"due_at": insert.excluded.due_at, "claim_id": claimed_by},
            )
        )

    @override
    def cancel(self, connection: sa.Connection, delivery_id: DeliveryId, *, now: datetime) -> bool:
        one = _q.c.delivery_id == delivery_id
        return self._call_off(connection, one, note="canceled by hand", now=now) > 0

    @override
    def cancel_of_endpoint(
        self,
        connection: sa.Connection,
        endpoint_id: EndpointId,
        *,
        note: str,
        now: datetime | None = None,
    ) -> None:
        self._call_off(connection, _q.c.endpoint_id == endpoint_id, note=note, now=now)

    @override
    def forget_application(self, connection: sa.Connection, app_id: AppId) -> None:
        owned = sa.select(schema.endpoints.c.id).where(schema.endpoints.c.app_id == app_id)
        connection.execute(sa.delete(_q).where(_q.c.endpoint_id.in_(owned)))
        connection.execute(sa.delete(_uids).where(_uids.c.app_id == app_id))

    @override
    def backlog(self, connection: sa.Connection, *, now: datetime) -> Backlog:
        unclaimed = _q.c.claim_id.is_(None)
        due = unclaimed & queue.is_due(_q.c.due_at, _q.c.endpoint_id, now=now)
        query = sa.select(
            sa.func.count().filter(unclaimed),
            sa.func.count().filter(due),
            sa.func.count().filter(sa.not_(unclaimed)),
            sa.func.min(_q.c.due_at).filter(due),
        )
        return queue.to_backlog(connection.execute(query).one())

    @staticmethod
    def _call_off(
        connection: sa.Connection,
        chosen: sa.ColumnElement[bool],
        *,
        note: str,
        now: datetime | None,
    ) -> int:
        gone = (
            sa.delete(_q)
            .where(chosen, _q.c.claim_id.is_(None))
            .returning(_q.c.message_id, _q.c.endpoint_id)
            .cte("gone")
        )
        statement = (
            sa.update(_d)
            .where(_d.c.message_id == gone.c.message_id, _d.c.endpoint_id == gone.c.endpoint_id)
            .values(queue.canceled(note=note, now=now))
        )
        return connection.execute(statement).rowcount
