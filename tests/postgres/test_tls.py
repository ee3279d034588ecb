"""The way to the database is encrypted, and its certificate looked at, where the URL says so."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme
from typing_extensions import override

from making import NOW
from postgres.conftest import database_of
from postgres_server import PostgresServer
from relay import Relay
from stafett import errors
from stafett.drivers.postgres.store import PostgresStore

_WANTS_TLS = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


class TlsEnd(Relay):
    """What a server with TLS does, before one that was built without: it takes the TLS off."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port)
        self._context = context
        self.encrypted = 0
        """Connections that asked for TLS, and got it."""
        self.plain = 0

    @override
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            first = await reader.readexactly(8)
            if first == _WANTS_TLS:
                writer.write(b"S")
                await writer.start_tls(self._context)
                self.encrypted += 1
            else:
                self.plain += 1
                down.write(first)
            await asyncio.gather(_pass(reader, down), _pass(up, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            for each in (writer, down):
                each.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
    writer.close()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def end(postgres_server: PostgresServer, authority: trustme.CA) -> AsyncIterator[TlsEnd]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    made = TlsEnd(postgres_server.port, context)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def root(authority: trustme.CA, tmp_path: Path) -> Path:
    """Who is to be trusted, as a file."""
    path = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(path)
    return path


async def use(url: str) -> None:
    store = PostgresStore(url)
    await store.open(now=NOW)
    await store.ping()
    assert await store.backlog(now=NOW)
    await store.close()


async def test_a_url_may_require_tls(end: TlsEnd, postgres_url: str) -> None:
    where = f"postgresql://stafett@127.0.0.1:{end.port}/{database_of(postgres_url)}"
    await use(f"{where}?sslmode=require")
    # All kinds of connections: those of the hot path, those of SQLAlchemy, and the listener.
    assert end.encrypted >= 3
    assert end.plain == 0


async def test_a_certificate_is_looked_at(end: TlsEnd, postgres_url: str, root: Path) -> None:
    where = f"postgresql://stafett@127.0.0.1:{end.port}/{database_of(postgres_url)}"
    await use(f"{where}?sslmode=verify-full&sslrootcert={root}&pgbouncer=true")
    assert end.encrypted >= 2
    assert end.plain == 0


async def test_a_certificate_of_somebody_else_is_refused(
    end: TlsEnd, postgres_url: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    where = f"postgresql://stafett@127.0.0.1:{end.port}/{database_of(postgres_url)}"
    with pytest.raises(errors.Unavailable, match="certificate verify failed"):
        await use(f"{where}?sslmode=verify-full&sslrootcert={other}")


async def test_a_server_without_tls_is_refused_where_it_is_required(postgres_url: str) -> None:
    with pytest.raises(errors.Unavailable, match="SSL"):
        await use(f"{postgres_url}?sslmode=require")
