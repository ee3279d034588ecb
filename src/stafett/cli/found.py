"""How this machine's command line finds the server and may use it: `server.json`, with a token.

What is there belongs to a server that answers, but for one that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Final

from stafett import errors
from stafett.app import Stafett
from stafett.cli import client
from stafett.model import PageQuery, Secret
from stafett.settings import Settings

LOCAL_TOKEN: Final = "local command line"  # noqa: S105 - its name, not its text
_TOKEN_LIFE: Final = timedelta(days=1)


class Found:
    """The file of one server, and the token in it."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett
        self._path = stafett.settings.data / client.FOUND_IN
        self._name = _token_name(stafett.settings)
        self._written = False

    @contextlib.asynccontextmanager
    async def at(self, url: str) -> AsyncGenerator[Secret]:
        """The token; while this lasts, it is good and the server is found at `url`."""
        token = await self._hand_out(url)
        renewing = asyncio.create_task(self._renew(url))
        try:
            yield token
        finally:
            renewing.cancel()
            with contextlib.suppress(errors.StafettError):
                await self._revoke()

    def forget(self) -> None:
        """Nobody finds it any more; a file that another process of this folder wrote stays."""
        if self._written:
            self._path.unlink(missing_ok=True)

    async def _hand_out(self, url: str) -> Secret:
        """Write down where the server is and a token for it.

        It ends by itself, as nobody is there to revoke it where a container was killed for good.
        What a killed run of the same folder left behind is revoked.
        """
        await self._revoke()
        expires_at = self._stafett.now() + _TOKEN_LIFE
        _, text = await self._stafett.tokens.create(self._name, expires_at=expires_at)
        token = Secret(text)
        _write(self._path, url, token)
        self._written = True
        return token

    async def _renew(self, url: str) -> None:
        while True:
            await asyncio.sleep(_TOKEN_LIFE.total_seconds() / 2)
            with contextlib.suppress(errors.StafettError):
                await self._hand_out(url)

    async def _revoke(self) -> None:
        iterator: str | None = None
        while True:
            page = await self._stafett.tokens.list(PageQuery(limit=250, after=iterator))
            for each in page.items:
                if each.name == self._name and each.revoked_at is None:
                    await self._stafett.tokens.revoke(each.id)
            if page.done or not page.items:
                break
            iterator = page.items[-1].id


def _token_name(chosen: Settings) -> str:
    """Servers that share a store each have a folder of their own, and a token each."""
    if chosen.database_url is None:
        return LOCAL_TOKEN
    return f"{LOCAL_TOKEN} of {socket.gethostname()}:{chosen.data.absolute()}"[:200]


def _write(path: Path, url: str, token: Secret) -> None:
    """Tell this machine's command line where the server is; for the owner's eyes only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"url": url, "token": token.reveal(), "pid": os.getpid()}
    draft = path.with_suffix(f".{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(content) + "\n")
    draft.replace(path)
