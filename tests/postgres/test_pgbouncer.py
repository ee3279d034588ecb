"""Everything works through PgBouncer in transaction pooling, where connections are nobody's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from faults.conftest import Receiver, Server, until
from faults.postgres.conftest import SETTINGS, Database, Senders, are_idle, audit
from making import NOW
from postgres.conftest import database_of
from postgres_server import PostgresServer
from stafett import errors
from stafett.drivers.postgres.store import PostgresStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_CONNECTIONS = 4
"""To the server, for all clients together: fewer than one node alone would like."""
_NOBODY = 65534


def program() -> str:
    """Where it is. Without one the tests are skipped, on a build machine they fail."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is not None:
        return found
    message = "there is no PgBouncer here (Debian: apt install pgbouncer)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pooler:
    """PgBouncer before a server."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.port = a_free_port()
        self._log = folder / "pgbouncer.log"
        chosen = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": _CONNECTIONS,
            "max_client_conn": 100,
        }
        lines = [f"{name} = {value}" for name, value in chosen.items()]
        where = f"* = host=127.0.0.1 port={server.port} user=stafett"
        file = folder / "pgbouncer.ini"
        file.write_text("\n".join(["[databases]", where, "[pgbouncer]", *lines, ""]))
        # It refuses to run as root.
        nobody = None if os.geteuid() else _NOBODY
        with self._log.open("ab") as log:
            self._process = subprocess.Popen[bytes](
                [program(), str(file)],
                stdout=log,
                stderr=log,
                user=nobody,
                group=nobody,
                extra_groups=None if nobody is None else [],
            )

    def url(self, database: str) -> str:
        return f"postgresql://stafett@127.0.0.1:{self.port}/{database}?pgbouncer=true"

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[Pooler]:
    with tempfile.TemporaryDirectory(prefix="stafett-pgbouncer-") as folder:
        Path(folder).chmod(0o755)
        made = Pooler(Path(folder), postgres_server)
        try:
            made.wait()
            yield made
        finally:
            made.stop()


@pytest.fixture
def database(postgres_url: str) -> str:
    return database_of(postgres_url)


@pytest.fixture
async def nodes(pooler: Pooler, database: str, tmp_path: Path) -> AsyncIterator[list[Server]]:
    """Two servers and one that only sends."""
    settings = {**SETTINGS, "STAFETT_DATABASE_URL": pooler.url(database)}
    made = [
        Server(tmp_path / f"node-{n}", tmp_path / "compiled", settings, words)
        for n, words in enumerate((("serve",), ("serve", "--no-dispatch"), ("dispatch",)))
    ]
    for each in made:
        await each.start()
    yield made
    for each in made:
        await each.close()


async def test_it_pools_transactions(pooler: Pooler, database: str) -> None:
    """So that the others show something: two clients share a connection of the server's."""
    url = pooler.url(database).partition("?")[0]
    clients = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(_CONNECTIONS + 1)]
    try:
        pids = {await each.fetchval("SELECT pg_backend_pid()") for each in clients}
        assert len(pids) <= _CONNECTIONS
    finally:
        for each in clients:
            await each.close()


async def test_who_does_not_say_that_it_is_one_is_told_how(pooler: Pooler, database: str) -> None:
    store = PostgresStore(pooler.url(database).partition("?")[0])
    with pytest.raises(errors.Unavailable, match=r"add \?pgbouncer=true to the URL"):
        await store.open(now=NOW)


async def test_messages_are_accepted_and_delivered(nodes: list[Server], receiver: Receiver) -> None:
    webhook = await nodes[0].webhook(receiver.url("/hook"))
    load = Senders(nodes[:2])
    load.start()
    await load.some(300)
    await load.stop()

    found = await audit(nodes[1], receiver, webhook, load)
    assert (found.count.lost, found.count.duplicated, found.answerless) == (0, 0, 0), found
    assert not load.refused
    assert not load.broken
    for node in nodes:
        log = node.data.with_suffix(".log").read_text()
        assert "Traceback" not in log
        assert "prepared statement" not in log


async def test_the_rest_of_the_api_works(nodes: list[Server], receiver: Receiver) -> None:
    webhook = await nodes[0].webhook(receiver.url("/hook"))
    base = "/api/v1/app/default"
    message = await nodes[1].post(b'{"payment_id": "1"}')
    await until(lambda: message in receiver.bodies)
    await until(nodes[0].is_quiet)
    for method, path, body, status in (
        ("POST", f"{base}/endpoint/{webhook}/secret/rotate", b"{}", 200),
        ("GET", f"{base}/endpoint/{webhook}/stats", b"", 200),
        ("GET", f"{base}/attempt/msg/{message}", b"", 200),
        ("POST", f"{base}/msg/{message}/endpoint/{webhook}/resend", b"{}", 202),
        ("GET", "/api/v1/event-type", b"", 200),
        ("GET", "/ready", b"", 200),
    ):
        for node in nodes[:2]:
            answer = await node.call(method, path, body)
            assert answer.status == status, (method, path, answer)
            await until(nodes[0].is_quiet)  # what is on its way is not sent again
    assert [each.message_id for each in receiver.seen] == [message] * 3


async def test_it_recovers_when_the_poolers_connections_are_cut(
    nodes: list[Server], receiver: Receiver, postgres_server: PostgresServer, database: str
) -> None:
    """As the server's connections, those of the pooler come and go."""
    webhook = await nodes[0].webhook(receiver.url("/hook"))
    load = Senders(nodes[:2])
    load.start()
    await load.some(50)
    for _ in range(3):
        await asyncio.to_thread(postgres_server.cut, "true", database)
        await load.some(50)
    await load.stop()
    # An answer that was lost leaves work to its lease.
    mine = Database(postgres_server, database)
    await are_idle(mine, *nodes)
    await mine.end_leases()
    found = await audit(nodes[0], receiver, webhook, load)
    assert (found.count.lost, found.count.duplicated) == (0, 0), found
