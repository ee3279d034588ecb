"""`/ready`: each kind of process is asked for what it does, and sees a database that is away."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from engine.set_clock import SetClock
from postgres_server import PostgresServer
from stafett import errors
from stafett.app import Stafett
from stafett.model import Secret
from stafett.settings import Settings

AWAY_WITHIN = 3.0
BACK_WITHIN = 15.0  # after a pause of 5 s at most, and a second until the next question
ROLES = {"both": (True, True), "accepts": (True, False), "sends": (False, True)}


async def asked(stafett: Stafett) -> tuple[int, list[str]]:
    """What `/ready` answers: status and reasons."""
    transport = httpx.ASGITransport(stafett.asgi(only_probes=not stafett.accepts))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/ready")
    return answer.status_code, answer.json().get("reasons", [])


async def until(stafett: Stafett, status: int, *, within: float) -> list[str]:
    """The reasons, once it answers `status`; never later than `within`, in seconds."""
    deadline = time.monotonic() + within
    while True:
        found, reasons = await asked(stafett)
        if found == status:
            return reasons
        assert time.monotonic() < deadline, reasons
        await asyncio.sleep(0.02)


@asynccontextmanager
async def a_process(folder: Path, role: str, *, url: str | None = None) -> AsyncGenerator[Stafett]:
    accept, dispatch = ROLES[role]
    settings = Settings(data=folder, database_url=None if url is None else Secret(url))
    async with Stafett(settings, accept=accept, dispatch=dispatch) as made:
        yield made


# --- what each is asked for -------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
async def test_a_process_with_nothing_wrong_is_ready(tmp_path: Path, role: str) -> None:
    async with a_process(tmp_path, role) as stafett:
        assert stafett.role == role
        assert await asked(stafett) == (200, [])


@pytest.mark.parametrize("role", ROLES)
async def test_a_closed_intake_is_a_reason_for_those_that_accept(tmp_path: Path, role: str) -> None:
    closed = errors.StoreFull("only 3 MB are left on the disk")
    async with a_process(tmp_path, role) as stafett:
        stafett._intake.closed = closed
        reasons = [] if role == "sends" else [closed.detail]
        assert await asked(stafett) == (503 if reasons else 200, reasons)


@pytest.mark.parametrize("role", ROLES)
async def test_a_scan_that_is_overdue_is_a_reason_for_those_that_send(
    tmp_path: Path, role: str
) -> None:
    accept, dispatch = ROLES[role]
    clock = SetClock()
    settings = Settings(data=tmp_path)
    async with Stafett(settings, accept=accept, dispatch=dispatch, clock=clock) as stafett:
        assert await asked(stafett) == (200, [])
        # Nobody waits for this clock: whoever looks through the store does not hear of it.
        clock._now += timedelta(seconds=31)
        reasons = [] if role == "accepts" else ["the store was not looked through for 30 seconds"]
        assert await asked(stafett) == (503 if reasons else 200, reasons)


@pytest.mark.parametrize("role", ROLES)
async def test_a_store_that_does_not_answer_is_a_reason_for_everybody(
    tmp_path: Path, role: str
) -> None:
    async with a_process(tmp_path, role) as stafett:
        stafett._reach.problem = "the store does not answer within 1.5 s"
        status, reasons = await asked(stafett)
        assert (status, reasons) == (503, ["the store does not answer within 1.5 s"])


async def test_a_broken_store_is_told_once(tmp_path: Path) -> None:
    async with a_process(tmp_path, "both") as stafett:
        stafett._break(errors.StoreBroken("it was damaged"))
        stafett._reach.problem = "it was damaged"
        assert await asked(stafett) == (503, ["the store is broken: it was damaged"])


# --- the database is away ---------------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    with tempfile.TemporaryDirectory(prefix="stafett-postgresql-") as folder:
        server = PostgresServer(Path(folder) / "server")
        server.start()
        try:
            yield server
        finally:
            server.stop(at_once=True)


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
async def test_a_database_that_is_stopped_shows_and_comes_back_by_itself(
    tmp_path: Path, own_server: PostgresServer, role: str
) -> None:
    async with a_process(tmp_path, role, url=own_server.url()) as stafett:
        assert await asked(stafett) == (200, [])
        await asyncio.to_thread(own_server.stop, at_once=True)
        reasons = await until(stafett, 503, within=AWAY_WITHIN)
        assert any("database" in each for each in reasons)

        await asyncio.to_thread(own_server.start)
        await until(stafett, 200, within=BACK_WITHIN)


@pytest.mark.slow
async def test_a_database_that_hangs_shows_and_comes_back_by_itself(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    async with a_process(tmp_path, "both", url=own_server.url()) as stafett:
        assert await asked(stafett) == (200, [])
        everything = children(own_server.pid)
        stop(*everything)
        try:
            reasons = await until(stafett, 503, within=AWAY_WITHIN)
        finally:
            go_on(*everything)
        assert reasons == ["the store does not answer within 1.5 s"]
        await until(stafett, 200, within=BACK_WITHIN)


def children(pid: int) -> list[int]:
    """A process and those that it started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, found)]


def stop(*pids: int) -> None:
    for each in pids:
        os.kill(each, signal.SIGSTOP)


def go_on(*pids: int) -> None:
    for each in pids:
        os.kill(each, signal.SIGCONT)
