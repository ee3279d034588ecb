"""What waits to be sent, as the cold verbs touch it.

In SQLite the deliveries are the queue themselves: `due_at` says when to look at a row again. A
driver that keeps what waits in a table of its own brings a `Queue` that keeps both in step.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stafett.drivers import schema
from stafett.ids import AppId, ClaimId, DeliveryId, EndpointId
from stafett.model import DeliveryState
from stafett.store import Backlog

_d = schema.deliveries
_e = schema.endpoints


def canceled(*, note: str, now: datetime | None) -> dict[str, Any]:
    """The columns of a delivery that is called off; what succeeded once stays succeeded."""
    values: dict[str, Any] = {
        "state": schema.ends_as(DeliveryState.CANCELED.value),
        "due_at": None,
        "note": note,
    }
    return values if now is None else values | {"updated_at": now}


def is_due(
    due_at: sa.ColumnElement[Any], endpoint_id: sa.ColumnElement[Any], *, now: datetime
) -> sa.ColumnElement[bool]:
    """Whether the time has come of what waits for an endpoint, and that is not paused."""
    # Asked once for all rows, and mostly empty.
    paused = sa.select(_e.c.id).where(_e.c.paused_until > now)
    return (due_at <= now) & endpoint_id.not_in(paused)


def to_backlog(row: sa.Row[int, int, int, Any]) -> Backlog:
    """A row of counts (pending, due, sending) and the oldest due time."""
    pending, due, sending, oldest = row
    return Backlog(pending=pending, due=due, sending=sending, oldest_due_at=oldest)


class Queue:
    """The queue that is a column of the deliveries."""

    def put(
        self,
        connection: sa.Connection,
        chosen: sa.ColumnElement[bool],
        *,
        claimed_by: ClaimId | None = None,
    ) -> None:
        """The `chosen` deliveries have just been made pending, or claimed for a resend."""

    def cancel(self, connection: sa.Connection, delivery_id: DeliveryId, *, now: datetime) -> bool:
        """Call off a pending delivery; False when it is in any other state."""
        statement = (
            sa.update(_d)
            .where(_d.c.id == delivery_id, _d.c.state == DeliveryState.PENDING)
            .values(canceled(note="canceled by hand", now=now))
        )
        return connection.execute(statement).rowcount > 0

    def cancel_of_endpoint(
        self,
        connection: sa.Connection,
        endpoint_id: EndpointId,
        *,
        note: str,
        now: datetime | None = None,
    ) -> None:
        """Call off what waits for this endpoint; what is being sent this moment ends by itself."""
        connection.execute(
            sa.update(_d)
            .where(
                _d.c.endpoint_id == endpoint_id,
                _d.c.due_at.is_not(None),
                _d.c.state == DeliveryState.PENDING,
            )
            .values(canceled(note=note, now=now))
        )

    def forget_application(self, connection: sa.Connection, app_id: AppId) -> None:
        """The deliveries of this application are about to be deleted."""

    def backlog(self, connection: sa.Connection, *, now: datetime) -> Backlog:
        """How much waits."""
        pending = _d.c.state == DeliveryState.PENDING
        due = pending & is_due(_d.c.due_at, _d.c.endpoint_id, now=now)
        query = sa.select(
            sa.func.count().filter(pending),
            sa.func.count().filter(due),
            sa.func.count().filter(_d.c.state == DeliveryState.SENDING),
            sa.func.min(_d.c.due_at).filter(due),
        ).where(_d.c.due_at.is_not(None))
        return to_backlog(connection.execute(query).one())
