"""The store under test, once for each driver, and an application with an endpoint in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import making
from stafett.drivers.postgres.store import PostgresStore
from stafett.drivers.sqlite.store import SqliteStore
from stafett.model import Application, Endpoint
from stafett.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def driver(request: pytest.FixtureRequest) -> Store:
    """Not opened yet."""
    if request.param == "postgresql":
        return PostgresStore(request.getfixturevalue("postgres_url"))
    return SqliteStore(request.getfixturevalue("store_path"))


@pytest.fixture
async def store(driver: Store) -> AsyncIterator[Store]:
    store = driver
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
