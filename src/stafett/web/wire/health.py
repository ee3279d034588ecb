"""The health of a process on the wire."""

from __future__ import annotations

import msgspec


class HealthOut(msgspec.Struct, rename="camel", kw_only=True):
    """That the process answers."""

    status: str
