"""Databases that are up to date, made once a session: a copy costs less than a migration."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import making
from postgres_server import PostgresServer
from stafett.drivers.postgres.store import PostgresStore
from stafett.drivers.sqlite.store import SqliteStore
from stafett.store import Store


async def _migrate(store: Store) -> None:
    await store.open(now=making.NOW)
    await store.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "stafett.db"
    asyncio.run(_migrate(SqliteStore(path)))
    return path


@pytest.fixture
def store_path(tmp_path: Path, migrated_file: Path) -> Path:
    """Where the store of this test lies: an empty database of the present schema."""
    return Path(shutil.copy(migrated_file, tmp_path / "stafett.db"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the whole run, with an up-to-date database `migrated` to copy."""
    # Not among pytest's own folders: those are closed to all but the user that runs the tests.
    with tempfile.TemporaryDirectory(prefix="stafett-postgresql-") as folder:
        server = PostgresServer(Path(folder) / "server")
        server.start()
        try:
            server.sql("CREATE DATABASE migrated")
            asyncio.run(_migrate(PostgresStore(server.url("migrated"))))
            yield server
        finally:
            server.stop(at_once=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database of the present schema; it goes with the server."""
    name = f"test_{secrets.token_hex(6)}"
    postgres_server.sql(f"CREATE DATABASE {name} TEMPLATE migrated")
    return postgres_server.url(name)
