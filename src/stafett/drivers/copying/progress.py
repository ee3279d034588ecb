"""What a copy tells while it works."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Step(enum.StrEnum):
    """What is done with a table."""

    COPY = "copying"
    COMPARE = "comparing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the work on one table has come, in rows."""

    part: str
    doing: Step
    row_count: int
    total: int
    resumed: bool = False
    """These rows were there already, from a copy that ended before its time."""


Tell = Callable[[Progress], None]
