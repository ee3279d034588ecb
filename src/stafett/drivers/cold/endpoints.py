"""Endpoints in SQL."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from stafett import errors, ids
from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page
from stafett.ids import AppId, EndpointId
from stafett.model import (
    DeliveryStats,
    DisabledReason,
    Endpoint,
    EndpointChanges,
    EndpointHealth,
    EndpointSecret,
    FailureCause,
    HeaderFamily,
    Json,
    Page,
    PageQuery,
    PayloadStyle,
    Secret,
)

_t = schema.endpoints
_d = schema.deliveries


def _from_secrets(secrets: tuple[EndpointSecret, ...]) -> Json:
    return [
        {
            "secret": each.secret.reveal(),
            "until": each.expires_at and schema.to_micros(each.expires_at),
        }
        for each in secrets
    ]


def _to_secret(stored: Json) -> EndpointSecret:
    until: int | None = stored["until"]
    return EndpointSecret(
        secret=Secret(stored["secret"]),
        expires_at=None if until is None else schema.from_micros(until),
    )


def _to_health(row: Row) -> EndpointHealth:
    return EndpointHealth(
        event_count=row["event_count"],
        failing_since=row["failing_since"],
        last_attempt_at=row["last_attempt_at"],
        last_status_code=row["last_status_code"],
        last_cause=row["last_cause"] and FailureCause(row["last_cause"]),
        paused_until=row["paused_until"],
    )


def to_endpoint(row: Row) -> Endpoint:
    """A row as the model knows it."""
    return Endpoint(
        id=row["id"],
        app_id=row["app_id"],
        uid=row["uid"],
        name=row["name"],
        url=row["url"],
        description=row["description"],
        integration=row["integration"],
        disabled=row["disabled"],
        disabled_reason=row["disabled_reason"] and DisabledReason(row["disabled_reason"]),
        disabled_at=row["disabled_at"],
        event_types=frozenset(row["event_types"]) or None,
        channels=frozenset(row["channels"]) or None,
        rate_limit=row["rate_limit"],
        metadata=row["metadata"],
        headers=row["headers"],
        header_family=HeaderFamily(row["header_family"]),
        secrets=tuple(_to_secret(each) for each in row["secrets"]),
        payload_style=PayloadStyle(row["payload_style"]),
        retry_schedule=row["retry_schedule"],
        timeout=row["timeout"],
        concurrency=row["concurrency"],
        health=_to_health(row),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _columns(changes: EndpointChanges) -> dict[str, Any]:
    values: dict[str, Any] = dict(changes)
    if "secrets" in changes:
        values["secrets"] = _from_secrets(changes["secrets"])
    for name in ("metadata", "headers"):
        if name in values:
            values[name] = dict(values[name])
    return values


def _uid_taken(uid: str | None) -> errors.Conflict:
    return errors.Conflict(f"an endpoint with the uid {uid!r} exists already in this application")


class EndpointVerbs(SqlVerbs):
    """See `stafett.store.Endpoints`."""

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        values = {
            each.name: getattr(endpoint, each.name)
            for each in fields(Endpoint)
            if each.name not in {"health", "metadata", "headers", "secrets"}
        } | {
            "metadata": dict(endpoint.metadata),
            "headers": dict(endpoint.headers),
            "secrets": _from_secrets(endpoint.secrets),
        }

        def work(connection: sa.Connection) -> None:
            try:
                connection.execute(sa.insert(_t).values(values))
            except IntegrityError as exc:
                raise _uid_taken(endpoint.uid) from exc

        await self.write(work)

    async def get_endpoint(self, app_id: AppId, ref: str) -> Endpoint | None:
        column = _t.c.id if ids.is_id(ids.ENDPOINT, ref) else _t.c.uid

        def work(connection: sa.Connection) -> Endpoint | None:
            query = sa.select(_t).where(_t.c.app_id == app_id, column == ref)
            return fetch_one(connection, query, to_endpoint)

        return await self.read(work)

    async def list_endpoints(self, app_id: AppId, page: PageQuery) -> Page[Endpoint]:
        query = sa.select(_t).where(_t.c.app_id == app_id)
        return await self.read(
            lambda connection: fetch_page(
                connection, query, key=_t.c.id, page=page, to_item=to_endpoint
            )
        )

    async def all_endpoints(self, app_id: AppId) -> list[Endpoint]:
        query = sa.select(_t).where(_t.c.app_id == app_id).order_by(_t.c.id)
        return await self.read(
            lambda connection: [to_endpoint(row) for row in connection.execute(query).mappings()]
        )

    async def update_endpoint(
        self,
        endpoint_id: EndpointId,
        changes: EndpointChanges,
        *,
        now: datetime,
        was: EndpointChanges | None = None,
    ) -> bool:
        values = _columns(changes)
        same = [_t.c[name] == value for name, value in _columns(was or {}).items()]
        if changes.get("disabled") is False:
            values |= {"failing_since": None, "paused_until": None}

        def work(connection: sa.Connection) -> bool:
            statement = sa.update(_t).where(_t.c.id == endpoint_id, *same)
            try:
                changed = connection.execute(statement.values(**values, updated_at=now)).rowcount
            except IntegrityError as exc:
                raise _uid_taken(changes.get("uid")) from exc
            if changed and changes.get("disabled"):
                self.queue.cancel_of_endpoint(
                    connection, endpoint_id, note="canceled: webhook switched off", now=now
                )
            return changed > 0

        return await self.write(work)

    async def end_pause(self, endpoint_id: EndpointId, *, until: datetime) -> None:
        statement = (
            sa.update(_t)
            .where(_t.c.id == endpoint_id, _t.c.paused_until == until)
            .values(paused_until=None)
        )
        await self.write(lambda connection: connection.execute(statement))

    async def delete_endpoint(self, endpoint_id: EndpointId) -> None:
        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(_t).where(_t.c.id == endpoint_id))
            self.queue.cancel_of_endpoint(connection, endpoint_id, note="canceled: webhook deleted")

        await self.write(work)

    async def endpoint_stats(
        self, endpoint_id: EndpointId, *, since: datetime, until: datetime
    ) -> DeliveryStats:
        query = (
            sa.select(_d.c.state, sa.func.count())
            .where(
                _d.c.endpoint_id == endpoint_id,
                _d.c.message_id >= ids.first_at(ids.MESSAGE, since),
                _d.c.message_id < ids.first_at(ids.MESSAGE, until),
                sa.not_(_d.c.test),
            )
            .group_by(_d.c.state)
        )

        def work(connection: sa.Connection) -> DeliveryStats:
            return DeliveryStats(**dict(connection.execute(query).all()))

        return await self.read(work)
