"""Deliveries in SQL: what became of messages, and sending them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from stafett.drivers import schema
from stafett.drivers.cold import messages
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page, insert_into, labelled
from stafett.drivers.cold.endpoints import to_endpoint
from stafett.ids import DeliveryId, EndpointId, MessageId
from stafett.model import (
    Delivery,
    DeliveryFilter,
    DeliveryState,
    Endpoint,
    FailureCause,
    Message,
    Page,
    PageQuery,
)
from stafett.store import NewDelivery

_d = schema.deliveries
_a = schema.attempts
_m = schema.messages
_e = schema.endpoints

# A fresh run by hand: the schedule starts anew, the attempts made before stay counted.
FRESH_RUN: dict[str, Any] = {
    "state": DeliveryState.PENDING,
    "manual": True,
    "failure_count": 0,
    "claim_id": None,
    "note": "to be sent again",
}


def to_delivery(row: Row, prefix: str = "") -> Delivery:
    """A row as the model knows it; `prefix` where the query labelled the columns."""
    state = DeliveryState(row[prefix + "state"])
    cause: str | None = row[prefix + "last_cause"]
    return Delivery(
        id=row[prefix + "id"],
        message_id=row[prefix + "message_id"],
        app_id=row[prefix + "app_id"],
        endpoint_id=row[prefix + "endpoint_id"],
        state=state,
        test=row[prefix + "test"],
        attempt_count=row[prefix + "attempt_count"],
        due_at=row[prefix + "due_at"] if state is DeliveryState.PENDING else None,
        last_status_code=row[prefix + "last_status_code"],
        last_cause=None if cause is None else FailureCause(cause),
        note=row[prefix + "note"],
        created_at=row[prefix + "created_at"],
        updated_at=row[prefix + "updated_at"],
    )


def _is(message_id: MessageId, endpoint_id: EndpointId) -> sa.ColumnElement[bool]:
    return sa.and_(_d.c.message_id == message_id, _d.c.endpoint_id == endpoint_id)


def last_answered(code_class: int) -> list[sa.ColumnElement[bool]]:
    """Whether the last attempt had an answer of this class; 0: it had none."""
    if code_class == 0:
        return [_d.c.last_status_code.is_(None), _d.c.attempt_count > 0]
    return [_d.c.last_status_code.between(code_class, code_class + 99)]


def _upsert(
    connection: sa.Connection, values: dict[str, Any], fresh: dict[str, Any]
) -> sa.Executable:
    """Make the delivery, or begin it anew; answers its id unless it is being sent."""
    return (
        insert_into(connection, _d)
        .values(values)
        .on_conflict_do_update(
            index_elements=["message_id", "endpoint_id"],
            set_=fresh,
            where=_d.c.state != DeliveryState.SENDING,
        )
        .returning(_d.c.id)
    )


class DeliveryVerbs(SqlVerbs):
    """See `stafett.store.Deliveries`; attempts and searches have files of their own."""

    async def get_delivery(self, message_id: MessageId, endpoint_id: EndpointId) -> Delivery | None:
        query = sa.select(_d).where(_is(message_id, endpoint_id))

        def work(connection: sa.Connection) -> Delivery | None:
            return fetch_one(connection, query, to_delivery)

        return await self.read(work)

    async def list_deliveries(
        self, message_id: MessageId, page: PageQuery
    ) -> Page[tuple[Delivery, Endpoint | None]]:
        query = (
            sa.select(*labelled(_d, "d_"), _e)
            .select_from(_d.outerjoin(_e, _e.c.id == _d.c.endpoint_id))
            .where(_d.c.message_id == message_id)
        )

        def to_item(row: Row) -> tuple[Delivery, Endpoint | None]:
            return to_delivery(row, "d_"), to_endpoint(row) if row["id"] is not None else None

        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_d.c.endpoint_id, page=page, to_item=to_item
            )
        )

    async def list_attempted_messages(
        self,
        endpoint_id: EndpointId,
        where: DeliveryFilter,
        page: PageQuery,
        *,
        with_payload: bool,
    ) -> Page[tuple[Message, Delivery]]:
        source = _d.join(
            messages.joined(with_payload=with_payload),
            sa.and_(_m.c.app_id == _d.c.app_id, _m.c.id == _d.c.message_id),
        )
        conditions = [_d.c.endpoint_id == endpoint_id, *messages.matches(where)]
        if where.state is not None:
            conditions.append(_d.c.state == where.state)
        query = sa.select(*labelled(_d, "d_"), _m).select_from(source).where(*conditions)
        if with_payload:
            query = messages.with_body(query)

        def to_item(row: Row) -> tuple[Message, Delivery]:
            return messages.to_message(row), to_delivery(row, "d_")

        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_d.c.message_id, page=page, to_item=to_item
            )
        )

    async def resend(
        self, delivery: NewDelivery, *, message: Message, now: datetime
    ) -> DeliveryId | None:
        claim = delivery.claim
        fresh = FRESH_RUN | {"due_at": delivery.due_at, "updated_at": now}
        if claim is not None:
            fresh |= {
                "state": DeliveryState.SENDING,
                "claim_id": claim.id,
                "due_at": claim.lease_until,
            }
        values = fresh | {
            "id": delivery.id,
            "message_id": message.id,
            "app_id": message.app_id,
            "endpoint_id": delivery.endpoint_id,
            "test": message.test,
            "attempt_count": 0,
            "created_at": now,
        }

        def work(connection: sa.Connection) -> DeliveryId | None:
            made = connection.execute(_upsert(connection, values, fresh)).scalar_one_or_none()
            if made is not None:
                claimed_by = None if claim is None else claim.id
                chosen = _is(message.id, delivery.endpoint_id)
                self.queue.put(connection, chosen, claimed_by=claimed_by)
            return made

        return await self.write(work)

    async def cancel(self, delivery_id: DeliveryId, *, now: datetime) -> bool:
        return await self.write(
            lambda connection: self.queue.cancel(connection, delivery_id, now=now)
        )

    async def list_deliveries_of(
        self, message_ids: Sequence[MessageId], *, limit: int
    ) -> list[Delivery]:
        query = (
            sa.select(_d)
            .where(_d.c.message_id.in_(message_ids))
            .order_by(_d.c.message_id.desc(), _d.c.endpoint_id.desc())
            .limit(limit)
        )
        return await self.read(
            lambda connection: [to_delivery(row) for row in connection.execute(query).mappings()]
        )
