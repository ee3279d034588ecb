"""What processes tell each other: that something is due, and what was changed.

Changes are read from a table that the database itself writes to in the changing transaction: none
is missed, and each is heard of within the time between two looks. Hints are notifications: they
only save latency, and may be lost.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import asyncpg

from stafett import errors
from stafett.drivers.postgres.server import Connection, Server, translated_errors
from stafett.store import Heard, News

_log = logging.getLogger("stafett.store")

_CHANNEL: Final = "stafett"
_KINDS: Final = frozenset(News)
_LOOK_SECONDS: Final = 0.75
_DEBOUNCE_SECONDS: Final = 0.01
# A transaction that began earlier may commit a lower number later: so far back is looked again.
_OVERLAP_SECONDS: Final = 60.0
_FRESH: Final = "SELECT seq, kind, ref FROM changes WHERE seq > $1 ORDER BY seq"
_SETTLED: Final = (
    "SELECT coalesce(max(seq), 0) FROM changes"
    " WHERE at < clock_timestamp() - $1 * interval '1 second'"
)
FORGET: Final = "DELETE FROM changes WHERE at < clock_timestamp() - interval '1 hour'"


class Newsroom:
    """Hears what other processes did, and tells them what this one did."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._heard: Callable[[Heard], None] | None = None
        self._me = secrets.token_hex(4)
        self._floor = 0
        self._seen: dict[int, float] = {}
        self._hints: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._listener: Connection | None = None
        self._listener_gone = asyncio.Event()
        self._listens = False

    def listen(self, heard: Callable[[Heard], None]) -> None:
        """Have `heard` called with everything from now on."""
        self._heard = heard

    async def open(self) -> None:
        """Begin."""
        async with self._server.hot() as connection:
            self._floor = await connection.fetchval(_SETTLED, _OVERLAP_SECONDS)
            await self._look(connection, quietly=True)
        work = [self._look_forever(), self._tell_forever()]
        if not self._server.pooled:
            work.append(self._listen_forever())
        self._tasks = [asyncio.get_running_loop().create_task(each) for each in work]

    async def close(self) -> None:
        """End; hints that were not told are lost, as they may be."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._listener is not None:
            self._listener.terminate()
            self._listener = None

    def hint(self, kind: News, ref: str = "") -> None:
        """Tell the others soon; hints of one moment go together."""
        self._hints.add(f"{kind.value} {ref}")
        self._wake.set()

    # --- changes ------------------------------------------------------------------------------

    async def _look_forever(self) -> None:
        away = 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                async with self._server.hot() as connection:
                    await self._look(connection)
                away = 0.0
                if not self._listens:
                    self._guess()
            except errors.StafettError as error:
                if not away:
                    _log.warning("event=changes.unread detail=%s", error.detail)
                away = away or time.monotonic()

    async def _look(self, connection: Connection, *, quietly: bool = False) -> None:
        now = time.monotonic()
        for seq, kind, ref in await connection.fetch(_FRESH, self._floor):
            if seq in self._seen:
                continue
            self._seen[seq] = now
            if not quietly:
                self._pass_on(Heard(news=News(kind), ref=ref))
        settled = [seq for seq, at in self._seen.items() if at < now - _OVERLAP_SECONDS]
        if settled:
            self._floor = max(settled)
            self._seen = {seq: at for seq, at in self._seen.items() if seq > self._floor}

    def _guess(self) -> None:
        """While no hint arrives, whoever waits for one looks by itself."""
        self._pass_on(Heard(news=News.CAPTURE, ref=""))

    def _pass_on(self, heard: Heard) -> None:
        if self._heard is not None:
            self._heard(heard)

    # --- hints --------------------------------------------------------------------------------

    async def _tell_forever(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_DEBOUNCE_SECONDS)
            self._wake.clear()
            hints, self._hints = self._hints, set()
            try:
                async with self._server.hot() as connection:
                    await connection.execute(
                        "SELECT pg_notify($1, hint) FROM unnest($2::text[]) AS t(hint)",
                        _CHANNEL,
                        [f"{self._me} {hint}" for hint in hints],
                    )
            except errors.StafettError:
                self._hints |= hints
                self._wake.set()
                await asyncio.sleep(_LOOK_SECONDS)

    async def _listen_forever(self) -> None:
        """Nothing depends on it: while there is no listener, what is due is found by looking."""
        while True:
            with suppress(errors.StafettError), translated_errors():
                self._listener_gone.clear()
                self._listener = await self._server.connect()
                self._listener.add_termination_listener(self._on_end)
                await self._listener.add_listener(_CHANNEL, self._on_notification)
                self._listens = True
                self._guess()  # for what was said while nobody listened
                await self._listener_gone.wait()
            self._listens = False
            await asyncio.sleep(random.uniform(0.5, 2.0))  # noqa: S311 - so that not all come at once

    def _on_end(self, _: object) -> None:
        self._listener_gone.set()

    def _on_notification(
        self,
        _connection: Connection | asyncpg.pool.PoolConnectionProxy,
        _process: int,
        _channel: str,
        payload: object,
    ) -> None:
        sender, _, hint = str(payload).partition(" ")
        kind, _, ref = hint.partition(" ")
        # A newer release may say what this one does not know.
        if sender != self._me and kind in _KINDS:
            self._pass_on(Heard(news=News(kind), ref=ref))
