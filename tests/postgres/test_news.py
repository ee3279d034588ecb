"""Hints between stores: they may be late, and are lost only with the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from faults.conftest import until
from making import NOW
from postgres.conftest import database_of
from postgres_server import PostgresServer
from stafett import errors
from stafett.drivers.postgres.server import Connection
from stafett.drivers.postgres.store import PostgresStore
from stafett.store import Heard, News

SAID = Heard(news=News.CAPTURE, ref="bin_x")
ANYTHING = Heard(news=News.CAPTURE, ref="")
"""What says that some hint may have been missed."""


@pytest.fixture
async def other(postgres_url: str) -> AsyncGenerator[tuple[PostgresStore, list[Heard]]]:
    """Another store on the database of `store`, and what it hears."""
    heard: list[Heard] = []
    made = PostgresStore(postgres_url)
    made.listen(heard.append)
    await made.open(now=NOW)
    await until(lambda: ANYTHING in heard)
    heard.clear()
    yield made, heard
    await made.close()


async def test_a_hint_is_heard_by_the_others_alone(
    store: PostgresStore, other: tuple[PostgresStore, list[Heard]]
) -> None:
    own: list[Heard] = []
    store.listen(own.append)
    listening, heard = other
    store._news.hint(SAID.news, SAID.ref)
    await until(lambda: SAID in heard)
    listening._news.hint(News.CAPTURE, "bin_y")
    await until(lambda: Heard(news=News.CAPTURE, ref="bin_y") in own)
    assert SAID not in own


async def test_a_hint_that_cannot_be_told_is_told_later(
    store: PostgresStore,
    other: tuple[PostgresStore, list[Heard]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = asyncio.Event()

    @asynccontextmanager
    async def away() -> AsyncGenerator[Connection]:
        refused.set()
        message = "the database is away"
        raise errors.Unavailable(message)
        yield

    with monkeypatch.context() as patched:
        patched.setattr(store._server, "hot", away)
        store._news.hint(SAID.news, SAID.ref)
        await until(lambda: refused.is_set() and bool(store._news._hints))
    await until(lambda: SAID in other[1])


async def test_who_lost_its_listener_is_told_that_it_may_have_missed_something(
    other: tuple[PostgresStore, list[Heard]],
    postgres_server: PostgresServer,
    postgres_url: str,
) -> None:
    assert postgres_server.cut("query LIKE 'LISTEN%'", database_of(postgres_url)) == 1
    await until(lambda: ANYTHING in other[1], seconds=10)


async def test_a_word_of_a_newer_release_is_passed_over(
    store: PostgresStore,
    other: tuple[PostgresStore, list[Heard]],
    postgres_server: PostgresServer,
    postgres_url: str,
) -> None:
    database = database_of(postgres_url)
    for payload in ("", "abc", "abc new_word x", "abc  ", "\u00e6"):
        postgres_server.sql(f"NOTIFY stafett, '{payload}'", database)
    store._news.hint(SAID.news, SAID.ref)
    await until(lambda: SAID in other[1])
    assert {each.news for each in other[1]} <= {News.CAPTURE}


async def test_a_change_is_heard_although_its_number_is_lower_than_one_heard_before(
    store: PostgresStore, other: tuple[PostgresStore, list[Heard]]
) -> None:
    """A transaction takes its number early and may commit late."""
    insert = "INSERT INTO changes (kind, ref) VALUES ('application', '{}')"
    async with store._server.engine.begin() as slow:
        await slow.exec_driver_sql(insert.format("slow"))
        async with store._server.engine.begin() as quick:
            await quick.exec_driver_sql(insert.format("quick"))
        await until(lambda: Heard(news=News.APPLICATION, ref="quick") in other[1], seconds=10)
        assert Heard(news=News.APPLICATION, ref="slow") not in other[1]
    await until(lambda: Heard(news=News.APPLICATION, ref="slow") in other[1], seconds=10)
    # And each of them once.
    assert [each.ref for each in other[1] if each.news is News.APPLICATION] == ["quick", "slow"]
