"""A listener on loopback between a client and a server, for tests that tamper with the way."""

from __future__ import annotations

import abc
import asyncio


class Relay(abc.ABC):
    """What it does with a connection is the business of who inherits it."""

    def __init__(self, port: int) -> None:
        """`port`: where the server is."""
        self._port = port
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @abc.abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._tracked, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listener is not None
        return self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End, with all connections."""
        assert self._listener is not None
        self._listener.close()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tracked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.serve(reader, writer)
        finally:
            self._tasks.discard(task)
