"""`Stafett`: wires the store, the engine and the services, and is the API for embedding.

    async with Stafett(database_url="sqlite:///shop.db") as stafett:
        await stafett.messages.create("payment_received", {"payment_id": "31"})

This is the only place that knows which driver is used, and what the time is.
"""

from __future__ import annotations

import asyncio
import importlib
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self, cast

from stafett import catalog, egress, errors
from stafett.drivers.resolver import Resolver
from stafett.drivers.sender import HttpSender
from stafett.drivers.sqlite.store import SqliteStore
from stafett.engine.attempts import Attempts, Plan
from stafett.engine.clock import Clock, SystemClock
from stafett.engine.directory import Directory
from stafett.engine.dispatch import Dispatch
from stafett.engine.intake import Intake
from stafett.engine.sending import Sender
from stafett.engine.upkeep import Upkeep
from stafett.ids import Ids
from stafett.model import Secret
from stafett.retry import RetrySchedule
from stafett.services.applications import Applications, NewApplication
from stafett.services.audit import Audit
from stafett.services.bins import Bins
from stafett.services.deliveries import Deliveries
from stafett.services.endpoints import Endpoints
from stafett.services.event_types import EventTypes
from stafett.services.messages import DEFAULT_APP, Messages
from stafett.services.tokens import Tokens
from stafett.services.users import Users
from stafett.settings import Settings
from stafett.store import Backlog, Replies, Store

_SCAN_OVERDUE = timedelta(seconds=30)
_GRACE = timedelta(seconds=2)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Asgi(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Stafett:
    """One Stafett in this process: all its verbs, and its life.

    With `dispatch=False` it accepts and stores, and leaves sending to another process.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        database_url: str | None = None,
        dispatch: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Without settings, the usual ones. `database_url` overrides theirs.

        Errors: InvalidSettings.
        """
        self.settings = settings or Settings()
        if database_url is not None:
            self.settings = replace(self.settings, database_url=Secret(database_url))
        self._clock = clock or SystemClock()
        self._ids = Ids()
        now = self._clock.now
        policy = egress.Policy(allow_networks=self.settings.allow_networks)
        self._store: Store = open_driver(self.settings)
        self._sender: Sender = HttpSender(policy, Resolver())
        self._directory = Directory(self._store)
        self._dispatch = self._made_dispatch() if dispatch else None
        self._intake = Intake(
            store=self._store, clock=self._clock, ids=self._ids, dispatch=self._dispatch
        )
        self.applications = Applications(
            store=self._store, directory=self._directory, ids=self._ids, clock=now
        )
        self.endpoints = Endpoints(
            store=self._store,
            directory=self._directory,
            ids=self._ids,
            clock=now,
            policy=policy,
            entropy=secrets.token_bytes,
        )
        self.event_types = EventTypes(store=self._store, directory=self._directory, clock=now)
        self.messages = Messages(
            store=self._store,
            directory=self._directory,
            event_types=self.event_types,
            intake=self._intake,
            clock=now,
            retention=self.settings.retention_payloads,
        )
        self.deliveries = Deliveries(
            store=self._store,
            messages=self.messages,
            endpoints=self.endpoints,
            event_types=self.event_types,
            intake=self._intake,
            clock=now,
        )
        self.tokens = Tokens(
            store=self._store, ids=self._ids, clock=now, entropy=secrets.token_bytes
        )
        self.users = Users(store=self._store, ids=self._ids, clock=now, entropy=secrets.token_bytes)
        self.audit = Audit(store=self._store, ids=self._ids, clock=now)
        self.bins = Bins(
            store=self._store,
            ids=self._ids,
            clock=now,
            entropy=secrets.token_bytes,
        )
        self.stopping = asyncio.Event()
        """Set when the end has begun: long-lived answers (streams) end then."""
        self.broken: errors.StafettError | None = None
        """Why the store must not be used any more; the process should end."""
        self._upkeep = Upkeep(
            store=self._store,
            clock=self._clock,
            intake=self._intake,
            keep_messages=self.settings.retention_messages,
            chores=[self.tokens.flush_used],
            on_broken=self._break,
        )
        self._starting = asyncio.Lock()
        self.started = False
        """Whether the store is open and the engine runs."""

    # --- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the store and begin; once, however often it is called.

        Errors: StoreInUse, SchemaTooNew, InvalidSettings, Unavailable (also after `stop`).
        """
        if self.started:
            return
        if self.stopping.is_set():
            message = "this Stafett was stopped; make a new one"
            raise errors.Unavailable(message)
        async with self._starting:
            if self.started:
                return
            await self._store.open(now=self._clock.now())
            try:
                await self._furnish()
            except BaseException:
                await self._store.close()
                raise
            if self._dispatch is not None:
                self._dispatch.start()
            self._upkeep.start()
            self.started = True

    def begin_stop(self) -> None:
        """Say that the end has begun: not ready any more, and no request to a receiver begins."""
        self.stopping.set()
        if self._dispatch is not None:
            self._dispatch.halt()

    async def stop(self) -> None:
        """Accept and claim nothing more, let requests under way end, write results, close."""
        if not self.started:
            return
        self.started = False
        self.begin_stop()
        await self._intake.drain()
        if self._dispatch is not None:
            await self._dispatch.stop(grace=self.settings.attempt_timeout + _GRACE)
        await self.deliveries.drain()
        await self.bins.stop()
        await self._upkeep.stop()
        await self._sender.close()
        await self._store.close()

    def asgi(self) -> Asgi:
        """The HTTP API as an ASGI application; it may be mounted under a prefix.

        It starts with the first lifespan event, or, where none comes, with the first request.
        """
        # The web floor stands above this one and is loaded by name: who embeds Stafett without
        # HTTP never loads it.
        return cast("Asgi", importlib.import_module("stafett.web.asgi").make_app(self))

    # --- how it is going ----------------------------------------------------------------------

    @property
    def replies(self) -> Replies:
        """First answers to idempotent requests."""
        return self._store

    @property
    def counters(self) -> Counter[str]:
        """What happened since the start, by name."""
        counted = Counter({f"intake_{name}": n for name, n in self._intake.counts.items()})
        if self._dispatch is not None:
            counted |= Counter({f"attempts_{n}": c for n, c in self._dispatch.counts.items()})
        return counted

    @property
    def under_way(self) -> int:
        """Requests to receivers that have begun and not ended."""
        return 0 if self._dispatch is None else self._dispatch.under_way

    def now(self) -> datetime:
        """The time, as Stafett sees it."""
        return self._clock.now()

    async def backlog(self) -> Backlog:
        """How much waits to be delivered."""
        return await self._store.backlog(now=self._clock.now())

    def readiness(self) -> list[str]:
        """Why this process should get no traffic; nothing when it is ready."""
        reasons: list[str] = []
        if self.stopping.is_set():
            reasons.append("stopping")
        elif not self.started:
            reasons.append("not started yet")
        if self.broken is not None:
            reasons.append(f"the store is broken: {self.broken.detail}")
        if self._intake.closed is not None:
            reasons.append(self._intake.closed.detail)
        if self._dispatch is not None and self.started:
            scanned = self._dispatch.last_scan_at
            if scanned is not None and self._clock.now() - scanned > _SCAN_OVERDUE:
                reasons.append("the store was not looked through for 30 seconds")
        return reasons

    # --- inside -------------------------------------------------------------------------------

    def _made_dispatch(self) -> Dispatch:
        plan = Plan(
            schedule=RetrySchedule(self.settings.retry_schedule),
            timeout=self.settings.attempt_timeout,
            disable_after=self.settings.disable_after,
        )
        attempts = Attempts(
            sender=self._sender,
            clock=self._clock,
            ids=self._ids,
            chance=random.Random(secrets.token_bytes(16)).random,  # noqa: S311 - only jitter
            plan=plan,
        )
        return Dispatch(
            store=self._store,
            directory=self._directory,
            attempts=attempts,
            clock=self._clock,
            ids=self._ids,
        )

    async def _furnish(self) -> None:
        """What is there from the start: an application, the catalogue, the known token."""
        await self.applications.get_or_create(NewApplication(name="Default", uid=DEFAULT_APP))
        await self.event_types.seed(catalog.load(self.settings.catalog, now=self._clock.now()))
        if self.settings.bootstrap_token is not None:
            await self.tokens.bootstrap(self.settings.bootstrap_token.reveal())

    def _break(self, error: errors.StafettError) -> None:
        self.broken = error
        self._intake.closed = errors.Unavailable(error.detail)


def open_driver(settings: Settings) -> Store:
    """The driver that `settings` name. Errors: InvalidSettings."""
    if settings.database_url is None:
        return SqliteStore(settings.data / "stafett.db")
    url = settings.database_url.reveal()
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")))
    scheme = url.partition(":")[0]
    message = (
        f"STAFETT_DATABASE_URL begins with {scheme!r}; this release knows sqlite:///PATH"
        " (three slashes and a path; four for one from the root)"
    )
    raise errors.InvalidSettings(message)
