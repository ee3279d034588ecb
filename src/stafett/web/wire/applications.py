"""Applications on the wire."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET, UnsetType

from stafett.model import Application
from stafett.web.wire.base import In, Out


class ApplicationIn(In):
    """A new application, or all of one."""

    name: str
    uid: str | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None
    metadata: dict[str, str] | None = None


class ApplicationPatch(In):
    """What is to change; null empties a field."""

    name: str | UnsetType = UNSET
    uid: str | UnsetType | None = UNSET
    throttle_rate: int | UnsetType | None = UNSET
    rate_limit: int | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


class ApplicationOut(Out):
    """An application."""

    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, str]
    uid: str | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None


def application_out(application: Application) -> ApplicationOut:
    """`application` as the wire shows it."""
    return ApplicationOut(
        id=application.id,
        name=application.name,
        created_at=application.created_at,
        updated_at=application.updated_at,
        metadata=dict(application.metadata),
        uid=application.uid,
        throttle_rate=application.rate_limit,
        rate_limit=application.rate_limit,
    )
