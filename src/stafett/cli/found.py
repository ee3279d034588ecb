"""How this machine's command line finds the server and may use it: `server.json`, with a token.

What is there belongs to a server that answers, but for one that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Final

from stafett import errors, settings
from stafett.app import Stafett
from stafett.cli import client
from stafett.ids import TokenId
from stafett.model import PageQuery, Secret
from stafett.settings import Settings

LOCAL_TOKEN: Final = "local command line"  # noqa: S105 - its name, not its text
_TOKEN_LIFE: Final = timedelta(days=1)
_LOOK_SECONDS: Final = 60.0

_log = logging.getLogger("stafett")


class Found:
    """The file of one server, and the token in it."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett
        self._path = stafett.settings.data / client.FOUND_IN
        self._allowed = settings.show(stafett.settings.allow_networks)
        self._name = _token_name(stafett.settings)
        self._written = False
        self._renew_at = stafett.now()

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
        now = self._stafett.now()
        made, text = await self._stafett.tokens.create(self._name, expires_at=now + _TOKEN_LIFE)
        token = Secret(text)
        try:
            _write(self._path, url, token, allowed=self._allowed)
        except OSError:
            await self._stafett.tokens.revoke(made.id)
            raise
        self._written = True
        self._renew_at = now + _TOKEN_LIFE / 2
        # Only now: a full disk must not take the one that is in the file.
        await self._revoke(but=made.id)
        return token

    async def renew_if_due(self, url: str) -> None:
        """Another token before this one ends; where that fails, this one stays."""
        if self._stafett.now() < self._renew_at:
            return
        try:
            await self._hand_out(url)
        except (errors.StafettError, OSError) as error:
            _log.warning("event=local_token.not_renewed reason=%r", str(error))

    async def _renew(self, url: str) -> None:
        # Looks at the clock often: a sleep does not go on while a laptop is shut.
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.renew_if_due(url)

    async def _revoke(self, *, but: TokenId | None = None) -> None:
        iterator: str | None = None
        while True:
            page = await self._stafett.tokens.list(PageQuery(limit=250, after=iterator))
            for each in page.items:
                ours = each.name == self._name and each.revoked_at is None
                if ours and each.id != but:
                    await self._stafett.tokens.revoke(each.id)
            if page.done or not page.items:
                break
            iterator = page.items[-1].id


def _token_name(chosen: Settings) -> str:
    """Servers that share a store each have a folder of their own, and a token each."""
    if chosen.database_url is None:
        return LOCAL_TOKEN
    return f"{LOCAL_TOKEN} of {socket.gethostname()}:{chosen.data.absolute()}"[:200]


def _write(path: Path, url: str, token: Secret, *, allowed: str) -> None:
    """Tell this machine's command line where the server is; for the owner's eyes only.

    And what the server's webhooks may reach, for `stafett doctor`: a flag may have said it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"url": url, "token": token.reveal(), "pid": os.getpid()}
    content["allow_networks"] = allowed
    draft = path.with_suffix(f".{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(content) + "\n")
    draft.replace(path)
