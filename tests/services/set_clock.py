"""A clock that moves only when a test says so."""

from __future__ import annotations

from datetime import datetime, timedelta

import making


class SetClock:
    """`now` for everything under test."""

    def __init__(self) -> None:
        self.now: datetime = making.NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, step: timedelta) -> None:
        self.now += step
