"""Applications in SQL."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from stafett import errors, ids
from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, fetch_one, fetch_page
from stafett.ids import AppId
from stafett.model import Application, ApplicationChanges, Page, PageQuery

_t = schema.applications
_OWNED = (schema.tasks, schema.attempts, schema.deliveries, schema.messages, schema.endpoints)


def to_application(row: Row) -> Application:
    """A row as the model knows it."""
    return Application(
        id=row["id"],
        uid=row["uid"],
        name=row["name"],
        rate_limit=row["rate_limit"],
        metadata=row["metadata"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _uid_taken(uid: str | None) -> errors.Conflict:
    return errors.Conflict(f"an application with the uid {uid!r} exists already")


class ApplicationVerbs(SqlVerbs):
    """See `stafett.store.Applications`."""

    async def add_application(self, application: Application) -> None:
        values = {
            "id": application.id,
            "uid": application.uid,
            "name": application.name,
            "rate_limit": application.rate_limit,
            "metadata": dict(application.metadata),
            "created_at": application.created_at,
            "updated_at": application.updated_at,
        }

        def work(connection: sa.Connection) -> None:
            try:
                connection.execute(sa.insert(_t).values(values))
            except IntegrityError as exc:
                raise _uid_taken(application.uid) from exc

        await self.write(work)

    async def get_application(self, ref: str) -> Application | None:
        column = _t.c.id if ids.is_id(ids.APP, ref) else _t.c.uid

        def work(connection: sa.Connection) -> Application | None:
            return fetch_one(connection, sa.select(_t).where(column == ref), to_application)

        return await self.read(work)

    async def list_applications(self, page: PageQuery) -> Page[Application]:
        return await self.read(
            lambda connection: fetch_page(
                connection, sa.select(_t), key=_t.c.id, page=page, to_item=to_application
            )
        )

    async def update_application(
        self, app_id: AppId, changes: ApplicationChanges, *, now: datetime
    ) -> None:
        def work(connection: sa.Connection) -> None:
            try:
                connection.execute(
                    sa.update(_t).where(_t.c.id == app_id).values(**changes, updated_at=now)
                )
            except IntegrityError as exc:
                raise _uid_taken(changes.get("uid")) from exc

        await self.write(work)

    async def delete_application(self, app_id: AppId) -> None:
        owned = sa.select(schema.messages.c.id).where(schema.messages.c.app_id == app_id)
        payloads = sa.delete(schema.payloads).where(schema.payloads.c.message_id.in_(owned))

        def work(connection: sa.Connection) -> None:
            self.queue.forget_application(connection, app_id)
            connection.execute(payloads)
            for table in _OWNED:
                connection.execute(sa.delete(table).where(table.c.app_id == app_id))
            connection.execute(sa.delete(_t).where(_t.c.id == app_id))

        await self.write(work)
