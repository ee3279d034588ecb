"""A wire between a node and its database that breaks where it is told to.

It reads what the client sends as PostgreSQL's protocol, version 3: after the first message each
begins with a byte for its kind and four for its length.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field

from typing_extensions import override

from relay import Relay

_ENDS = (b"COMMIT", b"ROLLBACK")
_WANTS_TLS = struct.pack("!I", 80877103)
_SYNC = b"S"


@dataclass
class _Talk:
    """What the client has said on one connection, as far as it matters."""

    statements: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    """Texts of prepared statements by their name."""
    in_transaction: bool = False
    texts: list[bytes] = field(default_factory=list[bytes])
    """Of the statements bound in this transaction."""

    def ends(self, kind: bytes, body: bytes) -> bool:
        """Take note of a message; whether it ends what `texts` did."""
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self.statements[name] = text
        elif kind == b"B":
            self.texts.append(self.statements[body.split(b"\0", 2)[1]])
        elif kind == b"Q" and body.startswith(b"BEGIN"):
            self.in_transaction = True
        elif kind == b"Q" and body.startswith(_ENDS):
            self.in_transaction = False
            return True
        return kind == _SYNC and not self.in_transaction


class Proxy(Relay):
    """Passes everything on, until it is told to cut."""

    def __init__(self, port: int) -> None:
        """`port`: where the server is."""
        super().__init__(port)
        self._to_cut: bytes | None = None
        self.cuts = 0
        """How often it did."""

    def url(self, database: str) -> str:
        return f"postgresql://stafett@127.0.0.1:{self.port}/{database}"

    def cut_next(self, text: bytes) -> None:
        """Cut the first connection that commits a statement with `text` in it.

        The server has committed by then; the client never hears of it.
        """
        self._to_cut = text

    @override
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(self._answer(up, writer))
        try:
            await self._ask(reader, down, answers)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            return
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            down.close()
            writer.transport.abort()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        down: asyncio.StreamWriter,
        answers: asyncio.Task[None],
    ) -> None:
        talk = _Talk()
        hello = await _first(reader)
        down.write(hello)
        if hello[4:8] == _WANTS_TLS:  # which the server has not, so that it begins again
            down.write(await _first(reader))
        while True:
            kind = await reader.readexactly(1)
            length = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!I", length)[0] - 4)
            ends = talk.ends(kind, body)
            if ends and self._cuts(talk):
                self._to_cut = None
                self.cuts += 1
                answers.cancel()
                await self._commit(kind + length + body, down, answers)
                return
            down.write(kind + length + body)
            if ends:
                talk.texts.clear()

    def _cuts(self, talk: _Talk) -> bool:
        return any(self._to_cut is not None and self._to_cut in text for text in talk.texts)

    async def _commit(
        self, message: bytes, down: asyncio.StreamWriter, answers: asyncio.Task[None]
    ) -> None:
        """Have the server do it; what it says goes nowhere."""
        await asyncio.gather(answers, return_exceptions=True)
        down.write(message)
        await down.drain()
        # Told to end, it does so after what it was told before.
        down.write(b"X" + struct.pack("!I", 4))
        await down.drain()

    @staticmethod
    async def _answer(up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await up.read(1 << 16):
            writer.write(chunk)
        writer.close()


async def _first(reader: asyncio.StreamReader) -> bytes:
    """What a client begins with has no kind."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(struct.unpack("!I", length)[0] - 4)
