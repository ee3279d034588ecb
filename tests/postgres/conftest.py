"""A store on an empty database of its own, with an application and a webhook in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import making
from contract.conftest import application, endpoint
from faults.conftest import Receiver
from stafett.drivers.postgres.store import PostgresStore

__all__ = ["application", "endpoint"]


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(postgres_url)
    await made.open(now=making.NOW)
    yield made
    await made.close()


def database_of(url: str) -> str:
    """The database's name, as `PostgresServer.sql` takes it."""
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()
