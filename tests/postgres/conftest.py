"""A store on an empty database of its own, with an application and a webhook in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import making
from faults.conftest import Receiver
from stafett.drivers.postgres.store import PostgresStore
from stafett.model import Application, Endpoint


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(postgres_url)
    await made.open(now=making.NOW)
    yield made
    await made.close()


@pytest.fixture
async def application(store: PostgresStore) -> Application:
    made = making.an_application(uid="acme")
    await store.add_application(made)
    return made


@pytest.fixture
async def endpoint(store: PostgresStore, application: Application) -> Endpoint:
    made = making.an_endpoint(application.id)
    await store.add_endpoint(made)
    return made


def database_of(url: str) -> str:
    """The database's name, as `PostgresServer.sql` takes it."""
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()
