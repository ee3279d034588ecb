"""The engine on the real store, with a clock and a sender that do what the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

import making
from engine.scripted import ScriptedSender, WatchedStore
from engine.set_clock import SetClock
from stafett.drivers.sqlite.store import SqliteStore
from stafett.engine.attempts import Attempts, Plan
from stafett.engine.directory import Directory
from stafett.engine.dispatch import Dispatch, Places
from stafett.engine.intake import Intake
from stafett.ids import Ids
from stafett.model import (
    Application,
    ApplicationChanges,
    Attempt,
    AttemptFilter,
    Delivery,
    Endpoint,
    Message,
    PageQuery,
)
from stafett.retry import RetrySchedule
from stafett.store import AddResult, NewMessage, Store

WAITS = (timedelta(seconds=5), timedelta(minutes=5))
TIMEOUT = timedelta(seconds=15)
DISABLE_AFTER = timedelta(days=5)


@dataclass(kw_only=True)
class Engine:
    """Intake and dispatch as `app.py` wires them."""

    app: Application
    store: Store
    watched: WatchedStore
    places: Places | None = None
    clock: SetClock = field(default_factory=SetClock)
    sender: ScriptedSender = field(default_factory=ScriptedSender)

    def __post_init__(self) -> None:
        self.directory = Directory(self.store)
        ids = Ids()
        attempts = Attempts(
            sender=self.sender,
            clock=self.clock,
            ids=ids,
            chance=lambda: 0.0,
            plan=Plan(schedule=RetrySchedule(WAITS), timeout=TIMEOUT, disable_after=DISABLE_AFTER),
        )
        self.dispatch = Dispatch(
            store=self.store,
            directory=self.directory,
            attempts=attempts,
            clock=self.clock,
            ids=ids,
            places=self.places,
        )
        self.intake = Intake(
            store=self.store,
            clock=self.clock,
            ids=ids,
            plan=self.dispatch.plan,
            dispatch=self.dispatch,
        )

    # --- making ---------------------------------------------------------------------------

    async def endpoint(self, path: str, **given: Any) -> Endpoint:
        made = making.an_endpoint(self.app.id, url=f"http://127.0.0.1:8080{path}", **given)
        await self.store.add_endpoint(made)
        self.directory.forget_endpoints(self.app.id)
        return made

    async def switch_off(self, endpoint: Endpoint) -> None:
        await self.store.update_endpoint(
            endpoint.id, {"disabled": True, "disabled_at": self.now}, now=self.now
        )
        self.directory.forget_endpoints(self.app.id)

    async def limit_application(self, rate_limit: int | None) -> None:
        changes: ApplicationChanges = {"rate_limit": rate_limit}
        await self.store.update_application(self.app.id, changes, now=self.now)
        self.directory.forget_application(self.app.id)

    def message(self, **given: Any) -> Message:
        return making.a_message(self.app.id, at=self.now, **given)

    async def accept(self, *endpoints: Endpoint, **given: Any) -> Message:
        """A message that was accepted through intake."""
        message = self.message(endpoint_count=len(endpoints), **given)
        result: AddResult = await self.intake.accept(message, wanting=endpoints)
        assert result.message_id == message.id
        return message

    async def store_unclaimed(self, *endpoints: Endpoint, at: datetime | None = None) -> Message:
        """A message that another process stored, without any hint."""
        message = self.message(endpoint_count=len(endpoints))
        deliveries = tuple(making.a_delivery(each.id, due_at=at or self.now) for each in endpoints)
        item = NewMessage(message=message, deliveries=deliveries)
        await self.store.add_messages([item], now=self.now)
        return message

    # --- time -----------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def settle(self) -> None:
        """Let everything happen that needs no more time and no more answers."""
        await self.watched.settled()

    async def pass_time(self, step: timedelta) -> None:
        """Move the clock to every moment that somebody waits for, up to `step` from now."""
        end = self.now + step
        await self.settle()
        while (wish := self.clock.next_wish()) is not None and wish <= end:
            self.clock.move_to(wish)
            await self.settle()
        self.clock.move_to(end)
        await self.settle()

    async def jump(self, step: timedelta) -> None:
        """Move the clock at once, as when a machine slept."""
        await self.settle()
        self.clock.move_to(self.now + step)
        await self.settle()

    # --- looking --------------------------------------------------------------------------

    async def delivery(self, message: Message, endpoint: Endpoint) -> Delivery:
        found = await self.store.get_delivery(message.id, endpoint.id)
        assert found is not None
        return found

    async def state(self, message: Message, endpoint: Endpoint) -> str:
        return (await self.delivery(message, endpoint)).state.value

    async def attempts(self, message: Message) -> list[Attempt]:
        """Oldest first."""
        page = await self.store.list_attempts(
            self.app.id, AttemptFilter(message_id=message.id), PageQuery(ascending=True)
        )
        return [attempt for attempt, _ in page.items]


@pytest.fixture
async def sqlite(store_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(store_path)
    await store.open(now=making.NOW)
    yield store
    await store.close()


@pytest.fixture
def places() -> Places | None:
    """Overridden where a test wants fewer."""
    return None


@pytest.fixture
async def engine(sqlite: SqliteStore, places: Places | None) -> AsyncIterator[Engine]:
    app = making.an_application()
    await sqlite.add_application(app)
    watched = WatchedStore(sqlite)
    made = Engine(app=app, store=cast("Store", watched), watched=watched, places=places)
    yield made
    watched.fails.clear()
    if not made.dispatch.stopping:
        await made.dispatch.stop(grace=timedelta(seconds=1))
