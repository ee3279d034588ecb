"""A database file that is up to date, made once a session: a copy costs less than a migration."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

import making
from stafett.drivers.sqlite.store import SqliteStore


async def _make(path: Path) -> None:
    store = SqliteStore(path)
    await store.open(now=making.NOW)
    await store.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "stafett.db"
    asyncio.run(_make(path))
    return path


@pytest.fixture
def store_path(tmp_path: Path, migrated_file: Path) -> Path:
    """Where the store of this test lies: an empty database of the present schema."""
    return Path(shutil.copy(migrated_file, tmp_path / "stafett.db"))
