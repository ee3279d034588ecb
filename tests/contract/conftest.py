"""The store under test, and an application with an endpoint in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import making
from stafett.drivers.sqlite.store import SqliteStore
from stafett.model import Application, Endpoint
from stafett.store import Store


@pytest.fixture
async def store(store_path: Path) -> AsyncIterator[Store]:
    store: Store = SqliteStore(store_path)
    await store.open(now=making.NOW)
    yield store
    await store.close()


@pytest.fixture
async def application(store: Store) -> Application:
    application = making.an_application(uid="acme")
    await store.add_application(application)
    return application


@pytest.fixture
async def endpoint(store: Store, application: Application) -> Endpoint:
    endpoint = making.an_endpoint(application.id)
    await store.add_endpoint(endpoint)
    return endpoint
