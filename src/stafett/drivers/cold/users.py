"""People, their sessions and the audit log in SQL."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from stafett import errors
from stafett.drivers import schema
from stafett.drivers.cold.base import Row, SqlVerbs, alone, fetch_one, fetch_page
from stafett.ids import UserId
from stafett.model import (
    AuditEntry,
    Page,
    PageQuery,
    Role,
    Secret,
    Session,
    User,
    UserChanges,
)

_u = schema.users
_s = schema.sessions
_a = schema.audit
_l = schema.setup_links
_KEPT_LINKS = 20
_USER = [field.name for field in fields(User)]
_SESSION = [field.name for field in fields(Session)]
_AUDIT = [field.name for field in fields(AuditEntry)]


def to_user(row: Row) -> User:
    """A row as the model knows it."""
    values: dict[str, Any] = {name: row[name] for name in _USER}
    values["role"] = Role(row["role"])
    values["password_hash"] = Secret(row["password_hash"])
    return User(**values)


def to_session(row: Row) -> Session:
    """A row as the model knows it."""
    return Session(**{name: row[name] for name in _SESSION})


def to_entry(row: Row) -> AuditEntry:
    """A row as the model knows it."""
    return AuditEntry(**{name: row[name] for name in _AUDIT})


def _values(user: User) -> dict[str, Any]:
    values = {name: getattr(user, name) for name in _USER}
    return values | {"role": user.role.value, "password_hash": user.password_hash.reveal()}


def _keep_an_owner(connection: sa.Connection, *, but: UserId) -> None:
    """Two owners may take each other away at the same moment. Errors: Conflict."""
    alone(connection, schema.users)
    query = sa.select(_u.c.id).where(_u.c.role == Role.OWNER, _u.c.disabled_at.is_(None))
    if list(connection.scalars(query)) == [but]:
        message = "somebody has to be owner; make another user owner first"
        raise errors.Conflict(message)


class UserVerbs(SqlVerbs):
    """See `stafett.store.Users`."""

    async def add_user(self, user: User) -> None:
        def work(connection: sa.Connection) -> None:
            try:
                connection.execute(sa.insert(_u).values(_values(user)))
            except IntegrityError:
                message = f"there is a user with the address {user.email} already"
                raise errors.Conflict(message) from None

        await self.write(work)

    async def add_first_user(self, user: User) -> bool:
        def work(connection: sa.Connection) -> bool:
            alone(connection, schema.users)
            if connection.scalar(sa.select(_u.c.id).limit(1)) is not None:
                return False
            connection.execute(sa.insert(_u).values(_values(user)))
            connection.execute(sa.delete(_l))
            return True

        return await self.write(work)

    async def add_setup_link(self, hash: str, *, now: datetime) -> None:  # noqa: A002 - as tokens
        def work(connection: sa.Connection) -> None:
            connection.execute(sa.insert(_l).values(hash=hash, made_at=now))
            newest = sa.select(_l.c.hash).order_by(_l.c.made_at.desc()).limit(_KEPT_LINKS)
            connection.execute(sa.delete(_l).where(_l.c.hash.not_in(newest)))

        await self.write(work)

    async def has_setup_link(self, hash: str) -> bool:  # noqa: A002 - as tokens
        wanted = sa.select(_l.c.hash).where(_l.c.hash == hash)
        return await self.read(lambda connection: connection.scalar(wanted) is not None)

    async def find_user(self, ref: str) -> User | None:
        query = sa.select(_u).where(sa.or_(_u.c.id == ref, _u.c.email == ref))
        return await self.read(lambda connection: fetch_one(connection, query, to_user))

    async def list_users(self) -> list[User]:
        def work(connection: sa.Connection) -> list[User]:
            rows = connection.execute(sa.select(_u).order_by(_u.c.id)).mappings()
            return [to_user(row) for row in rows]

        return await self.read(work)

    async def update_user(
        self, user_id: UserId, changes: UserChanges, *, now: datetime, keep_owner: bool = False
    ) -> None:
        values: dict[str, Any] = {**changes, "updated_at": now}
        if "password_hash" in changes:
            values["password_hash"] = changes["password_hash"].reveal()

        def work(connection: sa.Connection) -> int:
            if keep_owner:
                _keep_an_owner(connection, but=user_id)
            statement = sa.update(_u).where(_u.c.id == user_id).values(values)
            return connection.execute(statement).rowcount

        if not await self.write(work):
            message = f"there is no user {user_id!r}"
            raise errors.NotFound(message)

    async def delete_user(self, user_id: UserId, *, keep_owner: bool = False) -> None:
        def work(connection: sa.Connection) -> None:
            if keep_owner:
                _keep_an_owner(connection, but=user_id)
            connection.execute(sa.delete(_s).where(_s.c.user_id == user_id))
            connection.execute(sa.delete(_u).where(_u.c.id == user_id))

        await self.write(work)

    async def add_session(self, session: Session) -> None:
        values = {name: getattr(session, name) for name in _SESSION}
        await self.write(
            lambda connection: connection.execute(sa.insert(_s).values(values)) and None
        )

    async def find_session(self, hash: str) -> tuple[Session, User] | None:  # noqa: A002 - the contract's word
        def work(connection: sa.Connection) -> tuple[Session, User] | None:
            session = fetch_one(connection, sa.select(_s).where(_s.c.hash == hash), to_session)
            if session is None:
                return None
            query = sa.select(_u).where(_u.c.id == session.user_id)
            user = fetch_one(connection, query, to_user)
            return None if user is None else (session, user)

        return await self.read(work)

    async def touch_session(self, hash: str, *, now: datetime) -> None:  # noqa: A002 - the contract's word
        statement = sa.update(_s).where(_s.c.hash == hash).values(last_seen_at=now)
        await self.write(lambda connection: connection.execute(statement) and None)

    async def list_sessions(self, user_id: UserId) -> list[Session]:
        query = sa.select(_s).where(_s.c.user_id == user_id).order_by(_s.c.created_at.desc())

        def work(connection: sa.Connection) -> list[Session]:
            return [to_session(row) for row in connection.execute(query).mappings()]

        return await self.read(work)

    async def delete_sessions(
        self, user_id: UserId, *, only: str | None = None, but: str | None = None
    ) -> int:
        statement = sa.delete(_s).where(_s.c.user_id == user_id)
        if only is not None:
            statement = statement.where(_s.c.hash == only)
        if but is not None:
            statement = statement.where(_s.c.hash != but)
        return await self.write(lambda connection: connection.execute(statement).rowcount)

    async def expire_sessions(self, *, now: datetime, idle_since: datetime) -> None:
        over = sa.or_(_s.c.expires_at <= now, _s.c.last_seen_at < idle_since)
        statement = sa.delete(_s).where(over)
        await self.write(lambda connection: connection.execute(statement) and None)

    async def add_audit(self, entry: AuditEntry) -> None:
        values = {name: getattr(entry, name) for name in _AUDIT}
        await self.write(
            lambda connection: connection.execute(sa.insert(_a).values(values)) and None
        )

    async def list_audit(self, page: PageQuery) -> Page[AuditEntry]:
        return await self.read(
            lambda connection: fetch_page(
                connection, sa.select(_a), key=_a.c.id, page=page, to_item=to_entry
            )
        )
