"""Connections at rest, newest first, so that the surplus grows old and is closed.

Invariant: what `take` gives was used within `idle_seconds` and made within `MAX_AGE` seconds. The
first is short on purpose: common servers close after 5 s, and a request that crosses their close on
the way is lost, as nothing is sent twice.
"""

from __future__ import annotations

import asyncio
from typing import Final, final

from stafett.drivers.sender.connection import Connection, Key

MAX_AGE: Final = 60.0
"""Seconds after which a connection is made anew, so that a name that moved is followed."""


@final
class Pool:
    """Idle connections by key."""

    def __init__(self, *, max_idle_per_host: int, idle_seconds: float) -> None:
        self._max_idle = max_idle_per_host
        self._idle_seconds = idle_seconds
        self._idle: dict[Key, list[Connection]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, key: Key, now: float) -> Connection | None:
        """The connection of `key` that rested shortest, None if there is none; `now`: loop time."""
        resting = self._idle.get(key)
        while resting:
            connection = resting.pop()
            fresh = now - connection.idle_since < self._idle_seconds
            if fresh and connection.rested_well(now):
                return connection
            connection.abort()
        return None

    def put(self, connection: Connection) -> None:
        """Let it rest; closed instead when too old, or too many rest already."""
        loop = connection.loop
        now = loop.time()
        resting = self._idle.get(connection.key)
        if resting is None:
            resting = self._idle[connection.key] = []
        if len(resting) >= self._max_idle or now - connection.born_at > MAX_AGE:
            connection.abort()
            return
        connection.idle_since = now
        resting.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_at(now + self._idle_seconds, self._close_old, loop)

    def close_one(self) -> None:
        """Close the connection that rested longest: somebody else needs its place."""
        resting = [connections for connections in self._idle.values() if connections]
        if resting:
            min(resting, key=lambda connections: connections[0].idle_since).pop(0).abort()

    def close(self) -> None:
        """Close them all."""
        for resting in self._idle.values():
            for connection in resting:
                connection.abort()
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _close_old(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for key, resting in list(self._idle.items()):
            young = [c for c in resting if c.alive and now - c.idle_since < self._idle_seconds]
            for connection in set(resting).difference(young):
                connection.abort()
            if young:
                self._idle[key] = young
            else:
                del self._idle[key]
        self._sweep = None
        if self._idle:
            self._sweep = loop.call_at(now + self._idle_seconds, self._close_old, loop)
