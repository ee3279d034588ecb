"""`Stafett`: wires the store, the engine and the services, and is the API for embedding.

    async with Stafett(database_url="sqlite:///shop.db") as stafett:
        await stafett.messages.create("payment_received", {"payment_id": "31"})

This is the only place that knows which driver is used, and what the time is.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol, Self, cast

from stafett import catalog, egress, errors
from stafett.drivers.copying.progress import Progress as Progress  # for the command line
from stafett.drivers.copying.progress import Tell
from stafett.drivers.copying.sums import Compared
from stafett.drivers.migrations.upgrade import HEAD
from stafett.drivers.resolver import Resolver
from stafett.drivers.sender import HttpSender
from stafett.drivers.sqlite.store import SqliteStore
from stafett.engine.attempts import Attempts, Plan
from stafett.engine.clock import Clock, SystemClock
from stafett.engine.directory import Directory
from stafett.engine.dispatch import Dispatch
from stafett.engine.intake import Intake
from stafett.engine.measures import Measures
from stafett.engine.reach import Reach
from stafett.engine.sending import Sender
from stafett.engine.spans import Tracer
from stafett.engine.tasks import TaskRunner
from stafett.engine.upkeep import Upkeep
from stafett.ids import AppId, BinId, Ids, TokenId
from stafett.model import Secret
from stafett.retry import RetrySchedule
from stafett.services.applications import Applications, NewApplication
from stafett.services.audit import Audit
from stafett.services.bins import Bins
from stafett.services.deliveries import Deliveries
from stafett.services.endpoints import Endpoints
from stafett.services.event_types import EventTypes
from stafett.services.imports import Imports
from stafett.services.messages import DEFAULT_APP, Messages
from stafett.services.tasks import Tasks
from stafett.services.tokens import Tokens
from stafett.services.users import Users
from stafett.services.waiting import Waiting
from stafett.settings import Settings, given
from stafett.store import Backlog, Heard, News, Replies, Store

_SCAN_OVERDUE = timedelta(seconds=30)
_GRACE = timedelta(seconds=2)
_FURNISH_TRIES = 3
_TRACED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)

_log = logging.getLogger("stafett")
_POSTGRESQL = frozenset({"postgresql", "postgres"})

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Asgi(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Stafett:
    """One Stafett in this process: all its verbs, and its life.

    With `dispatch=False` it accepts and stores, and leaves sending to another process; with
    `accept=False` it is only meant to send, and ready without being able to accept.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        database_url: str | None = None,
        accept: bool = True,
        dispatch: bool = True,
        clock: Clock | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Without settings, the usual ones. `database_url` overrides theirs.

        Without a tracer (see `stafett.tracing`), the one that the environment asks for.

        Errors: InvalidSettings.
        """
        self.settings = _at(database_url, settings or Settings())
        self.sources: Mapping[str, str] = given(self.settings).sources
        """For each setting, where its value came from; whoever loaded them says it better."""
        self._clock = clock or SystemClock()
        self._ids = Ids()
        now = self._clock.now
        policy = egress.Policy(allow_networks=self.settings.allow_networks)
        self._store: Store = open_driver(self.settings)
        self._sender: Sender = HttpSender(policy, Resolver())
        self._directory = Directory(self._store)
        self._tracer = tracer or _asked_tracer(self.settings)
        plan = Plan(
            schedule=RetrySchedule(self.settings.retry_schedule),
            timeout=self.settings.attempt_timeout,
            disable_after=self.settings.disable_after,
        )
        self._dispatch = self._made_dispatch(plan) if dispatch else None
        self.accepts = accept
        """Whether messages are meant to be accepted here."""
        self._intake = Intake(
            store=self._store,
            clock=self._clock,
            ids=self._ids,
            plan=plan,
            dispatch=self._dispatch,
            tracer=self._tracer,
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
        self.imports = Imports(store=self._store, directory=self._directory, clock=now)
        self.messages = Messages(
            store=self._store,
            directory=self._directory,
            event_types=self.event_types,
            intake=self._intake,
            clock=now,
            retention=self.settings.retention_payloads,
        )
        self.tasks = Tasks(
            store=self._store,
            endpoints=self.endpoints,
            ids=self._ids,
            runner=TaskRunner(
                store=self._store, clock=self._clock, ids=self._ids, dispatch=self._dispatch
            ),
            clock=now,
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
        self.waiting = Waiting(backlog=self.backlog, clock=now)
        """How much waited lately, as far as this process saw it."""
        self.stopping = asyncio.Event()
        """Set when the end has begun: long-lived answers (streams) end then."""
        self.broken: errors.StafettError | None = None
        """Why the store must not be used any more; the process should end."""
        self._upkeep = Upkeep(
            store=self._store,
            clock=self._clock,
            intake=self._intake,
            keep_messages=self.settings.retention_messages,
            chores=[self.tokens.flush_used, self.waiting.look],
            on_broken=self._break,
        )
        self._reach = Reach(store=self._store, clock=self._clock)
        self._store.listen(self._hear)
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
                await self._furnish_beside_others()
            except BaseException:
                await self._store.close()
                raise
            if self._dispatch is not None:
                self._dispatch.start()
            self.tasks.runner.start()
            self._upkeep.start()
            self._reach.start()
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
        await self.tasks.runner.stop()
        await self._intake.drain()
        if self._dispatch is not None:
            await self._dispatch.stop(grace=self._dispatch.plan.longest + _GRACE)
        await self.bins.stop()
        await self._reach.stop()
        await self._upkeep.stop()
        await self._sender.close()
        await self._store.close()
        if self._tracer is not None:
            await asyncio.to_thread(self._tracer.close)

    def asgi(self, *, only_probes: bool = False) -> Asgi:
        """The HTTP API as an ASGI application; it may be mounted under a prefix.

        It starts with the first lifespan event, or, where none comes, with the first request. A
        process that only sends has no API, but `only_probes`: its health and its metrics.
        """
        # The web floor stands above this one and is loaded by name: who embeds Stafett without
        # HTTP never loads it.
        web = importlib.import_module("stafett.web.asgi")
        return cast("Asgi", web.make_app(self, only_probes=only_probes))

    # --- how it is going ----------------------------------------------------------------------

    @property
    def replies(self) -> Replies:
        """First answers to idempotent requests."""
        return self._store

    @property
    def measures(self) -> Measures:
        """What this process counted and measured since its start."""
        return self._intake.measures

    @property
    def sends(self) -> bool:
        """Whether what is due is sent from here."""
        return self._dispatch is not None

    @property
    def role(self) -> Literal["both", "accepts", "sends"]:
        """What this process does of the work."""
        if self.accepts and self.sends:
            return "both"
        return "accepts" if self.accepts else "sends"

    @property
    def database(self) -> Literal["sqlite", "postgresql"]:
        """What the store lies in."""
        return "postgresql" if is_shared(self.settings) else "sqlite"

    @property
    def reachable(self) -> bool:
        """Whether the store answered when it was last asked."""
        return self._reach.problem is None

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
        """Why this process should get no traffic; nothing when it is ready.

        A process is asked for what it does: whoever only sends is ready with its intake closed.
        """
        reasons: list[str] = []
        if self.stopping.is_set():
            reasons.append("stopping")
        elif not self.started:
            reasons.append("not started yet")
        if self.broken is not None:
            reasons.append(f"the store is broken: {self.broken.detail}")
        elif self._reach.problem is not None:
            reasons.append(self._reach.problem)
        closed = self._intake.closed
        if self.accepts and closed is not None and self.broken is None:
            reasons.append(closed.detail)
        if self._scan_is_overdue():
            reasons.append("the store was not looked through for 30 seconds")
        return reasons

    def _scan_is_overdue(self) -> bool:
        if self._dispatch is None or not self.started:
            return False
        scanned = self._dispatch.last_scan_at
        return scanned is not None and self._clock.now() - scanned > _SCAN_OVERDUE

    # --- inside -------------------------------------------------------------------------------

    def _made_dispatch(self, plan: Plan) -> Dispatch:
        attempts = Attempts(
            sender=self._sender,
            clock=self._clock,
            ids=self._ids,
            chance=random.Random(secrets.token_bytes(16)).random,  # noqa: S311 - only jitter
            plan=plan,
            tracer=self._tracer,
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

    async def _furnish_beside_others(self) -> None:
        """Another process may make the same things this moment: then they are there, look again."""
        for _ in range(_FURNISH_TRIES - 1):
            try:
                await self._furnish()
            except (errors.Conflict, errors.Unavailable):
                continue
            return
        await self._furnish()

    def _hear(self, heard: Heard) -> None:
        """Forget what another process has changed."""
        match heard.news:
            case News.DUE:
                if self._dispatch is not None:
                    self._dispatch.look()
            case News.APPLICATION:
                self._directory.forget_application(AppId(heard.ref))
            case News.EVENT_TYPES:
                self._directory.forget_event_types()
            case News.TOKENS:
                self.tokens.forget(TokenId(heard.ref))
            case News.BIN:
                self.bins.changed(BinId(heard.ref))
            case News.CAPTURE:
                self.bins.caught(BinId(heard.ref) if heard.ref else None)

    def _break(self, error: errors.StafettError) -> None:
        self.broken = error
        self._intake.closed = errors.Unavailable(error.detail)


def _at(database_url: str | None, settings: Settings) -> Settings:
    if database_url is None:
        return settings
    return replace(settings, database_url=Secret(database_url))


def _asked_tracer(settings: Settings) -> Tracer | None:
    """Where OpenTelemetry's own variables ask for one. Errors: InvalidSettings."""
    environ = os.environ
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or environ.get("OTEL_TRACES_EXPORTER") == "none" or not any(map(environ.get, _TRACED)):
        return None
    try:
        # Loaded by name, as it is an extra, and takes longer to load than all the rest.
        tracing = importlib.import_module("stafett.tracing")
    except ModuleNotFoundError as error:
        _log.warning("event=tracing.off detail=%s; pip install 'stafett[opentelemetry]'", error)
        return None
    return cast(
        "Tracer", tracing.from_environment(environ, tell_receivers=settings.trace_receivers)
    )


async def migrate(settings: Settings) -> str:
    """Bring the schema up to date, and answer its revision. Errors: as `Stafett.start`."""
    store = open_driver(settings)
    await store.open(now=SystemClock().now())
    await store.close()
    return HEAD


async def copy(source: Path, target: str, *, tell: Tell) -> list[Compared]:
    """Move the installation in the SQLite file `source` to the PostgreSQL database `target`.

    Answers how each table compares. Errors: StoreInUse, Unavailable, StoreBroken, SchemaTooNew,
    Conflict.
    """
    work = importlib.import_module("stafett.drivers.copying.work")
    return await work.copy(source, target, now=SystemClock().now(), tell=tell)


async def ask_postgresql(url: Secret) -> str:
    """The version of a database that is fit to be used. Errors: Unavailable, with the reason."""
    server = importlib.import_module("stafett.drivers.postgres.server").Server(url.reveal())
    await server.open()
    try:
        return await server.version()
    finally:
        await server.close()


def is_shared(settings: Settings) -> bool:
    """Whether several processes may work on the store at once."""
    return _scheme(settings) in _POSTGRESQL


def _scheme(settings: Settings) -> str:
    return "" if settings.database_url is None else settings.database_url.reveal().partition(":")[0]


def open_driver(settings: Settings) -> Store:
    """The driver that `settings` name. Errors: InvalidSettings."""
    if settings.database_url is None:
        return SqliteStore(settings.data / "stafett.db")
    url = settings.database_url.reveal()
    if is_shared(settings):
        # Loaded by name: who stays on SQLite never loads it.
        module = importlib.import_module("stafett.drivers.postgres.store")
        return cast("Store", module.PostgresStore(url))
    if url == "sqlite:///:memory:":
        message = "a database in memory loses what it has accepted; name a file"
        raise errors.InvalidSettings(message)
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")))
    message = (
        f"STAFETT_DATABASE_URL begins with {_scheme(settings)!r}; this release knows"
        " sqlite:///PATH (three slashes and a path; four for one from the root) and"
        " postgresql://USER:PASSWORD@HOST/NAME"
    )
    raise errors.InvalidSettings(message)
