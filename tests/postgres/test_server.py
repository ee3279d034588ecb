"""What a store asks of its server before it trusts it, and how it is told where that is."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from faults.conftest import until
from making import NOW
from postgres.conftest import database_of
from postgres_server import PostgresServer
from stafett import errors
from stafett.drivers.postgres import server
from stafett.drivers.postgres.store import PostgresStore
from stafett.ids import AppId
from stafett.model import Endpoint
from stafett.store import EndpointChanges


async def open_and_close(url: str) -> None:
    store = PostgresStore(url)
    await store.open(now=NOW)
    await store.close()


# --- the clock --------------------------------------------------------------------------------


def set_clock(monkeypatch: pytest.MonkeyPatch, *, ahead: float) -> None:
    """This machine's, as the driver sees it."""
    really = time.time  # noqa: TID251 - it is this machine's clock that is set
    stub = SimpleNamespace(time=lambda: really() + ahead, monotonic=time.monotonic)
    monkeypatch.setattr(server, "time", stub)


@pytest.mark.parametrize("ahead", [1.5, -1.5, 3600.0])
async def test_a_clock_that_is_off_is_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    set_clock(monkeypatch, ahead=ahead)
    told = re.escape(f"clock is {ahead:+.1f} s from the database's")
    with pytest.raises(errors.Unavailable, match=told):
        await open_and_close(postgres_url)


@pytest.mark.parametrize("ahead", [0.8, -0.8])
async def test_a_clock_that_is_nearly_right_will_do(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    set_clock(monkeypatch, ahead=ahead)
    await open_and_close(postgres_url)


async def test_a_clock_that_goes_astray_later_is_noticed(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.ping()
    set_clock(monkeypatch, ahead=30)
    with pytest.raises(errors.Unavailable, match="clock"):
        await store.ping()


# --- what the server is -----------------------------------------------------------------------


class _OfVersion:
    """A connection to a server of another release, which we have none of here."""

    def __init__(self, major: int) -> None:
        self._major = major

    def get_server_version(self) -> Any:
        return SimpleNamespace(major=self._major)


async def test_an_old_server_is_refused() -> None:
    old: Any = _OfVersion(14)
    with pytest.raises(errors.Unavailable, match=r"is PostgreSQL 14; Stafett needs 15 or later"):
        await server._check(old)


async def test_a_server_that_may_lose_commits_is_refused(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    database = database_of(postgres_url)
    postgres_server.sql(f"ALTER DATABASE {database} SET synchronous_commit = off")
    with pytest.raises(errors.Unavailable, match="synchronous_commit is off"):
        await open_and_close(postgres_url)

    postgres_server.sql(f"ALTER DATABASE {database} SET synchronous_commit = local")
    await open_and_close(postgres_url)


@pytest.fixture(scope="module")
def standby(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="stafett-postgresql-") as folder:
        made = PostgresServer(Path(folder) / "standby", standby_of=postgres_server)
        made.start()
        yield made
        made.stop(at_once=True)


async def test_a_standby_is_refused(standby: PostgresServer) -> None:
    with pytest.raises(errors.Unavailable, match="is a standby"):
        await open_and_close(standby.url("migrated"))


async def test_a_primary_is_found_among_several(
    postgres_server: PostgresServer, postgres_url: str, standby: PostgresServer
) -> None:
    hosts = f"127.0.0.1:{standby.port},127.0.0.1:{postgres_server.port}"
    database = database_of(postgres_url)
    there = f"SELECT count(*) FROM pg_database WHERE datname = '{database}'"
    await until(lambda: standby.sql(there) == "1")
    url = f"postgresql://stafett@{hosts}/{database}?target_session_attrs=read-write"
    await open_and_close(url)


async def test_a_server_that_is_not_there_is_told() -> None:
    store = PostgresStore("postgresql://stafett@127.0.0.1:1/nothing")
    with pytest.raises(errors.Unavailable, match=r"database at 127\.0\.0\.1:1 did not answer"):
        await store.open(now=NOW)
    with pytest.raises(errors.Unavailable):
        await store.open(now=NOW)


async def test_a_database_that_is_not_there_is_told(postgres_server: PostgresServer) -> None:
    with pytest.raises(errors.Unavailable, match=r'"nothing" does not exist .*DATABASE_URL'):
        await open_and_close(postgres_server.url("nothing"))


async def test_a_setting_of_the_url_that_is_unknown_is_told(postgres_url: str) -> None:
    with pytest.raises(errors.Unavailable, match=r'DATABASE_URL cannot be used: .*"nosuch"'):
        await open_and_close(f"{postgres_url}?nosuch=1")


async def test_a_user_that_may_make_nothing_is_told(
    postgres_server: PostgresServer,
) -> None:
    """As everybody but the owner of a database since PostgreSQL 15."""
    postgres_server.sql("CREATE ROLE guest LOGIN")
    postgres_server.sql("CREATE DATABASE not_the_guests")
    url = postgres_server.url("not_the_guests").replace("stafett@", "guest@")
    with pytest.raises(errors.Unavailable, match="refuses us: permission denied for schema"):
        await open_and_close(url)


async def test_a_user_that_is_not_there_is_told(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("migrated").replace("stafett@", "nobody@")
    with pytest.raises(errors.Unavailable, match=r'refuses us: role "nobody" does not exist'):
        await open_and_close(url)


async def test_a_url_that_makes_no_sense_is_told() -> None:
    with pytest.raises(errors.Unavailable, match="DATABASE_URL cannot be used"):
        await open_and_close("postgresql://u@h/d?sslmode=maybe")


async def test_a_store_that_could_not_be_opened_keeps_no_connection(
    postgres_server: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(postgres_url)
    with monkeypatch.context() as patched:
        set_clock(patched, ahead=60)
        with pytest.raises(errors.Unavailable):
            await store.open(now=NOW)
    mine = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database_of(postgres_url)}'"
    await until(lambda: postgres_server.sql(mine) == "0")

    await store.open(now=NOW)
    await store.close()


# --- the URL ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "rest", "pooled"),
    [
        ("postgresql://u@h/d", "postgresql://u@h/d", False),
        ("postgresql://u@h/d?pgbouncer=true", "postgresql://u@h/d", True),
        ("postgresql://u@h/d?pgbouncer=false", "postgresql://u@h/d", False),
        (
            "postgres://u:p%40@h:1/d?sslmode=require&pgbouncer=true&x=",
            "postgres://u:p%40@h:1/d?sslmode=require&x=",
            True,
        ),
    ],
)
def test_our_own_word_in_the_url_is_taken_out(url: str, rest: str, pooled: bool) -> None:
    assert server._without_pooler(url) == (rest, pooled)


async def test_a_pooled_store_keeps_nothing_on_its_connections(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """Behind a transaction pooler neither settings nor LISTEN nor named statements hold."""
    store = PostgresStore(f"{postgres_url}?pgbouncer=true")
    await store.open(now=NOW)
    try:
        await store.get_application(AppId("app_none"))
        async with store._server.hot() as connection:
            await connection.fetchval("SELECT 1 WHERE $1 = 'x'", "y")
            named = await connection.fetchval("SELECT count(*) FROM pg_prepared_statements")
            assert named == 0
        listening = postgres_server.sql(
            "SELECT count(*) FROM pg_stat_activity"
            f" WHERE datname = '{database_of(postgres_url)}' AND query LIKE 'LISTEN%'"
        )
        assert listening == "0"
    finally:
        await store.close()


# --- what errors mean -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (asyncpg.DiskFullError("full"), errors.StoreFull),
        (asyncpg.ReadOnlySQLTransactionError("read-only"), errors.Unavailable),
        (asyncpg.TooManyConnectionsError("53300"), errors.Unavailable),
        (asyncpg.AdminShutdownError("57P01"), errors.Unavailable),
        (asyncpg.CannotConnectNowError("57P03"), errors.Unavailable),
        (asyncpg.IdleInTransactionSessionTimeoutError("25P03"), errors.Unavailable),
        (asyncpg.ConnectionDoesNotExistError("08003"), errors.Unavailable),
        (asyncpg.PostgresIOError("58030"), errors.Unavailable),
        (asyncpg.InternalClientError("cannot switch to state 15"), errors.Unavailable),
        (asyncpg.OutOfMemoryError("53200"), errors.Unavailable),
        (asyncpg.InsufficientPrivilegeError("42501"), errors.Unavailable),
        (asyncpg.DeadlockDetectedError("40P01"), errors.Unavailable),
        (ConnectionResetError(104, "reset"), errors.Unavailable),
        (TimeoutError(), errors.Unavailable),
        (asyncpg.UndefinedTableError("no such table"), type(None)),
    ],
)
def test_the_drivers_errors_become_ours(error: Exception, ours: type) -> None:
    assert type(server.translate(error)) is ours


def test_an_error_of_asyncpgs_own_is_translated_where_it_is_raised() -> None:
    message = "cannot switch to state 15; another operation (2) is in progress"
    with pytest.raises(errors.Unavailable, match="state 15"), server.translated_errors():
        raise asyncpg.InternalClientError(message)


def test_an_error_without_words_is_named() -> None:
    ours = server.translate(TimeoutError())
    assert ours is not None
    assert ours.detail == "the database did not answer: TimeoutError"


async def test_work_after_the_connections_were_cut_goes_on(
    store: PostgresStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await store.ping()
    assert postgres_server.cut("true", database_of(postgres_url)) > 0
    # A connection that was idle when it was cut shows it when it is next used.
    tries = 0
    while True:
        tries += 1
        try:
            await store.ping()
            break
        except errors.Unavailable:
            assert tries < 5


async def test_a_node_that_stands_still_lets_go_of_what_others_need(
    store: PostgresStore,
    endpoint: Endpoint,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "idle_in_transaction_session_timeout"
    async with store._server.hot() as connection:
        assert await connection.fetchval(f"SHOW {name}") == "10s"
    monkeypatch.setitem(server._SETTINGS, name, "300ms")
    stuck = PostgresStore(postgres_url)
    await stuck.open(now=NOW)

    async def stand_still_with_a_lock() -> None:
        async with stuck._server.hot() as connection, connection.transaction():
            await connection.execute("SELECT 1 FROM endpoints FOR NO KEY UPDATE")
            await store.update_endpoint(endpoint.id, EndpointChanges(name="new"), now=NOW)
            await connection.execute("SELECT 1")

    try:
        with pytest.raises(errors.Unavailable):
            await stand_still_with_a_lock()
        await stuck.ping()
        known = await stuck.get_endpoint(endpoint.app_id, endpoint.id)
        assert known is not None
        assert known.name == "new"
    finally:
        await stuck.close()
