"""Users on the wire."""

from __future__ import annotations

from datetime import datetime

from stafett.model import Role, User
from stafett.web.wire.base import In, Out


class UserIn(In, forbid_unknown_fields=True):
    """Somebody who may sign in to the admin."""

    # A role that was misspelt must not be lost on the way: it would be an owner.
    email: str
    name: str
    password: str
    role: Role = Role.OWNER


class PasswordIn(In):
    """A new password."""

    password: str


class UserOut(Out):
    """A user, without the password."""

    id: str
    email: str
    name: str
    role: Role
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None = None


def user_out(user: User) -> UserOut:
    """`user` as the wire shows it."""
    return UserOut(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        created_at=user.created_at,
        updated_at=user.updated_at,
        disabled_at=user.disabled_at,
    )
