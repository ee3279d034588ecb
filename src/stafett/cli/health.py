"""`stafett health`: asks a running server how it is, for those who watch a process by a command.

It needs no token, and its exit codes are the two that watchers know: 0 well, 1 anything else.
"""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from stafett import settings
from stafett.cli import client, printing
from stafett.settings import Settings

_TIMEOUT_SECONDS: Final = 4.0
"""Below the 5 s that those who ask usually allow, so that it is still said what is wrong."""
_MAX_SHOWN: Final = 300
"""Bytes of an answer that is not what was hoped for."""


@click.command()
@click.option("--url", metavar="URL", help="The server, where it is not this machine's own.")
@click.option("--data", metavar="DIR", help="The data folder, where it is not the usual one.")
@click.option("--ready", is_flag=True, help="Also ask whether it should get traffic now.")
@click.option("--json", "as_json", is_flag=True, help="Print the server's own answer.")
def health(*, url: str | None, data: str | None, ready: bool, as_json: bool) -> None:
    """Ask the running server whether it lives; exit code 1 where it does not say so."""
    chosen = settings.load({"url": url, "data": data}, os.environ, Path.cwd()).settings
    path = "/ready" if ready else "/health"
    try:
        where = _where(chosen, here=data is not None and url is None)
        status, body = _asked(where, path)
    except client.Failure as error:
        raise client.Failure(error.message) from None
    if status != 200 or not body.startswith(b'{"status":'):  # what else answers is not Stafett
        text = printing.safe(body[:_MAX_SHOWN].decode(errors="replace").strip())
        message = f"{where}{path} answered {status}: {text}"
        raise client.Failure(message)
    if as_json:
        return printing.raw_json(body)
    return printing.line(f"{where} {'is ready' if ready else 'lives'}")


def _where(chosen: Settings, *, here: bool) -> str:
    """The server's address; `here`: the one of the data folder is meant. Errors: Failure."""
    if chosen.url is None or here:
        return str(client.read_found(chosen.data)["url"])
    return chosen.url


def _asked(url: str, path: str) -> tuple[int, bytes]:
    """Status and body of one GET. Errors: Failure."""
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
        connection.request("GET", parts.path.rstrip("/") + path)
        response = connection.getresponse()
        return response.status, response.read(4_096)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        message = f"no answer from {url}: {reason}"
        raise client.Failure(message) from None
