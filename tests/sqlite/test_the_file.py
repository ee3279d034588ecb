"""What is special about the one file: who may open it, and what a start makes of it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import making
from making import NOW
from stafett import errors
from stafett.drivers import schema
from stafett.drivers.migrations.upgrade import HEAD
from stafett.drivers.sqlite.store import SqliteStore
from stafett.store import NewMessage


async def test_a_second_server_is_refused_and_told_who_holds_it(store_path: Path) -> None:
    first, second = SqliteStore(store_path), SqliteStore(store_path)
    await first.open(now=NOW)
    with pytest.raises(errors.StoreInUse, match=r"process \d+.*stafett\.db"):
        await second.open(now=NOW)
    await first.close()
    await second.open(now=NOW)
    await second.close()


async def test_a_newer_schema_is_refused_and_left_as_it_is(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    await store.close()
    with sqlite3.connect(store_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for _ in range(2):
        with pytest.raises(errors.SchemaTooNew, match="9999"):
            await SqliteStore(store_path).open(now=NOW)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"these are somebody's notes, not a database" * 100)
    with pytest.raises(errors.StoreBroken):
        await SqliteStore(path).open(now=NOW)
    assert path.read_bytes().startswith(b"these are somebody's notes")


async def test_the_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE users (name)")
        connection.execute("CREATE TABLE orders (number)")
    connection.close()
    with pytest.raises(errors.InvalidSettings, match=r"another program: .*\(users\)"):
        await SqliteStore(path).open(now=NOW)
    with sqlite3.connect(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    connection.close()
    assert tables == [("orders",), ("users",)]


async def test_a_lock_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "s.db.lock"
    lock.mkdir()
    with pytest.raises(errors.Unavailable, match=r"cannot write .*s\.db\.lock: .*another user"):
        await SqliteStore(tmp_path / "s.db").open(now=NOW)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.Unavailable, match="file"):
        await SqliteStore(tmp_path / "file" / "s.db").open(now=NOW)


if sys.platform != "win32":  # which has no such modes

    @pytest.fixture
    def usual_umask() -> Generator[None]:
        before = os.umask(0o022)
        yield
        os.umask(before)

    def modes(folder: Path) -> dict[str, int]:
        return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}

    @pytest.mark.usefixtures("usual_umask")
    async def test_only_the_owner_may_read_a_file_that_it_makes(tmp_path: Path) -> None:
        store = SqliteStore(tmp_path / "s.db")
        await store.open(now=NOW)
        found = modes(tmp_path)
        await store.close()
        assert found == dict.fromkeys(("s.db", "s.db-wal", "s.db-shm", "s.db.lock"), 0o600)

    @pytest.mark.usefixtures("usual_umask")
    async def test_so_it_is_where_a_link_says_that_the_file_be(tmp_path: Path) -> None:
        (tmp_path / "far").mkdir()
        (tmp_path / "s.db").symlink_to(tmp_path / "far" / "real.db")
        store = SqliteStore(tmp_path / "s.db")
        await store.open(now=NOW)
        found = modes(tmp_path / "far")
        await store.close()
        assert found == dict.fromkeys(("real.db", "real.db-wal", "real.db-shm"), 0o600)

    @pytest.mark.usefixtures("usual_umask")
    async def test_a_file_that_is_there_keeps_the_mode_its_owner_gave_it(tmp_path: Path) -> None:
        path = tmp_path / "s.db"
        path.touch()
        path.chmod(0o640)
        store = SqliteStore(path)
        await store.open(now=NOW)
        found = modes(tmp_path)
        await store.close()
        assert [found[name] for name in ("s.db", "s.db-wal", "s.db-shm")] == [0o640] * 3

    async def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
        (tmp_path / "s.db").symlink_to(tmp_path / "nowhere" / "real.db")
        with pytest.raises(errors.Unavailable, match=r"cannot make the database file .*s\.db"):
            await SqliteStore(tmp_path / "s.db").open(now=NOW)


async def test_a_start_makes_every_lease_void(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    app = making.an_application()
    endpoint = making.an_endpoint(app.id)
    await store.add_application(app)
    await store.add_endpoint(endpoint)
    held = making.a_delivery(endpoint.id, claim=making.a_claim())
    item = NewMessage(message=making.a_message(app.id), deliveries=(held,))
    await store.add_messages([item], now=NOW)
    await store.close()

    await store.open(now=NOW)
    [due] = await store.claim_due(making.a_claim(), now=NOW, limit=1, room=1, held={})
    await store.close()
    assert due.message_id == item.message.id


async def test_it_is_in_wal_mode_and_syncs_every_commit(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    modes = await store.write(
        lambda c: [c.scalar(sa.text(f"PRAGMA {p}")) for p in ("journal_mode", "synchronous")]
    )
    await store.close()
    assert modes == ["wal", 2]


async def test_a_unit_that_fails_takes_nobody_with_it(store_path: Path) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    app = making.an_application(uid="a")
    await store.add_application(app)
    with pytest.raises(errors.Conflict):
        await store.add_application(making.an_application(uid="a"))
    other = making.an_application(uid="b")
    await store.add_application(other)
    assert await store.get_application("b") == other
    await store.close()


@pytest.mark.parametrize("together", [1, 3])
async def test_a_unit_that_fails_between_a_statement_and_its_rows_takes_nobody_with_it(
    store_path: Path, together: int
) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    await store.add_application(making.an_application(uid="a"))
    kept: list[object] = []

    def broken(connection: sa.Connection) -> None:
        renamed = (
            sa.update(schema.applications).values(name="x").returning(schema.applications.c.id)
        )
        kept.append(connection.execute(renamed))  # as a traceback would
        raise ValueError

    tried = await asyncio.gather(
        *(store.write(broken) for _ in range(together)), return_exceptions=True
    )
    assert [type(each) for each in tried] == [ValueError] * together
    await store.add_application(making.an_application(uid="b"))
    found = await store.get_application("a")
    await store.close()
    assert found is not None
    assert found.name == "Acme"


async def test_migrations_end_at_the_tables_the_code_knows(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.open(now=NOW)
    await store.close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 's.db'}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()
    assert differences == []
    folder = Path(schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == HEAD
