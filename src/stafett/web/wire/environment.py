"""A whole installation on the wire: its event types."""

from __future__ import annotations

from datetime import datetime

import msgspec

from stafett.model import Json
from stafett.web.wire.base import In
from stafett.web.wire.event_types import EventTypeIn, EventTypeOut


class EnvironmentIn(In):
    """What to add or replace. Settings and connectors are of others' making: none is taken."""

    event_types: list[EventTypeIn] | None = None
    settings: dict[str, Json] | None = None
    connectors: list[Json] | None = None


class EnvironmentOut(msgspec.Struct, rename="camel", kw_only=True):
    """What there is, in the form that `EnvironmentIn` takes."""

    created_at: datetime
    event_types: list[EventTypeOut]
    version: int = 1
    settings: None = None
    connectors: list[Json] = msgspec.field(default_factory=list[Json])
