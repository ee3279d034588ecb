"""The real store in a fresh file, and a clock that moves only when a test says so."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import making
from services.set_clock import SetClock
from stafett import egress
from stafett.drivers.sqlite.store import SqliteStore
from stafett.engine.directory import Directory
from stafett.ids import Ids
from stafett.model import Application
from stafett.services.applications import Applications, NewApplication
from stafett.services.endpoints import Endpoints
from stafett.services.event_types import EventTypes
from stafett.services.tokens import Tokens
from stafett.services.users import Users


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "stafett.db")
    await opened.open(now=making.NOW)
    yield opened
    await opened.close()


@pytest.fixture
def directory(store: SqliteStore) -> Directory:
    return Directory(store)


@pytest.fixture
def applications(store: SqliteStore, directory: Directory, clock: SetClock) -> Applications:
    return Applications(store=store, directory=directory, ids=Ids(), clock=clock)


@pytest.fixture
def event_types(store: SqliteStore, directory: Directory, clock: SetClock) -> EventTypes:
    return EventTypes(store=store, directory=directory, clock=clock)


@pytest.fixture
def tokens(store: SqliteStore, clock: SetClock) -> Tokens:
    return Tokens(store=store, ids=Ids(), clock=clock, entropy=os.urandom)


@pytest.fixture
async def acme(applications: Applications) -> Application:
    return await applications.create(NewApplication(name="Acme", uid="acme"))


@pytest.fixture
def users(store: SqliteStore, clock: SetClock) -> Users:
    return Users(store=store, ids=Ids(), clock=clock, entropy=os.urandom)


@pytest.fixture
def endpoints(store: SqliteStore, directory: Directory, clock: SetClock) -> Endpoints:
    return Endpoints(
        store=store,
        directory=directory,
        ids=Ids(),
        clock=clock,
        policy=egress.Policy(),
        entropy=os.urandom,
    )
