"""Many processes at once on one database: the schema is made once, and a newer one is refused."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
from pathlib import Path

import pytest

from making import NOW
from postgres.conftest import database_of
from postgres_server import PostgresServer
from stafett import errors
from stafett.drivers.migrations.upgrade import HEAD
from stafett.drivers.postgres.store import PostgresStore

pytestmark = pytest.mark.slow
AT_ONCE = 4


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> str:
    """A database with nothing in it."""
    name = f"empty_{secrets.token_hex(6)}"
    postgres_server.sql(f"CREATE DATABASE {name}")
    return postgres_server.url(name)


async def start(folder: Path, url: str, *words: str) -> asyncio.subprocess.Process:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("STAFETT_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stafett", *words),
        env=kept | {"STAFETT_DATABASE_URL": url, "STAFETT_DATA": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Its exit code, and all that it said."""
    out, error = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, (out + error).decode()


async def test_many_migrations_at_once_all_succeed(empty_url: str, tmp_path: Path) -> None:
    running = [await start(tmp_path / str(n), empty_url, "migrate") for n in range(AT_ONCE)]
    for process in running:
        code, said = await ended(process)
        assert (code, said) == (0, f"The schema is up to date: revision {HEAD}\n")


async def test_many_servers_at_once_all_come_up(
    empty_url: str, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    running = [
        await start(tmp_path / str(n), empty_url, "serve", "--port", "0") for n in range(AT_ONCE)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
            assert re.match(r"Stafett serves at http://127\.0\.0\.1:\d+ ", line), line
    finally:
        for process in running:
            if process.returncode is None:
                process.terminate()
    for process in running:
        code, said = await ended(process)
        assert code == 0, said
        assert "Traceback" not in said

    database = database_of(empty_url)
    assert postgres_server.sql("SELECT count(*) FROM applications", database) == "1"
    assert postgres_server.sql("SELECT version_num FROM alembic_version", database) == HEAD


async def test_stores_that_open_at_once_make_one_schema(empty_url: str) -> None:
    stores = [PostgresStore(empty_url) for _ in range(AT_ONCE)]
    await asyncio.gather(*(store.open(now=NOW) for store in stores))
    await asyncio.gather(*(store.ping() for store in stores))
    await asyncio.gather(*(store.close() for store in stores))


async def test_the_schema_of_a_newer_release_is_refused(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    postgres_server.sql(
        "UPDATE alembic_version SET version_num = '9999'", database_of(postgres_url)
    )

    with pytest.raises(errors.SchemaTooNew, match="schema 9999"):
        await PostgresStore(postgres_url).open(now=NOW)

    for words in (["migrate"], ["serve", "--port", "0"], ["dispatch", "--port", "0"]):
        code, said = await ended(await start(tmp_path / words[0], postgres_url, *words))
        assert code not in {0, None}
        assert "made by a newer Stafett" in said
        assert "Traceback" not in said


async def test_a_migration_waits_for_another_and_gives_up_with_a_reason(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stafett.drivers.postgres.store._MIGRATION_PATIENCE", "SET LOCAL lock_timeout = '50ms'"
    )
    store, other = PostgresStore(empty_url), PostgresStore(empty_url)
    async with other._server.engine.begin() as busy:
        await busy.exec_driver_sql("SELECT pg_advisory_xact_lock(7823538271)")
        with pytest.raises(errors.Unavailable, match="could not be brought up to date"):
            await store.open(now=NOW)
    await other._server.engine.dispose()
    await store.open(now=NOW)
    await store.close()
