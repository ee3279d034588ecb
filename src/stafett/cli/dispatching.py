"""The verbs of an installation of many processes: one that only sends, and the schema's upkeep."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

import click

from stafett import app, errors
from stafett.cli import listening, logs, printing, serving
from stafett.cli.serving import Role, Running
from stafett.settings import Settings

_PORT: Final = 8072
"""Of its health and metrics, beside the 8071 of a server."""


@click.command()
@serving.server_options
def dispatch(**flags: Any) -> None:
    """Send what is due, beside servers that accept (PostgreSQL).

    Any number of these work on one database. It listens too, by default on port 8072, for /health,
    /ready and /metrics.
    """
    loaded = serving.load(**flags)
    _require_shared(loaded.settings, "stafett dispatch")
    port = _PORT if loaded.sources["port"] == "default" else loaded.settings.port
    listener = listening.listen(loaded.settings.host, port)
    say = _announce_json if loaded.settings.log_format == "json" else _announce
    sys.exit(serving.run(loaded.settings, listener, say=say, role=Role.SENDS))


def _announce_json(running: Running) -> None:
    printing.line(logs.json_line("Stafett sends what is due", url=running.url))
    sys.stdout.flush()


def _announce(running: Running) -> None:
    printing.line(f"Stafett sends what is due (health and metrics at {running.url}; Ctrl-C stops)")
    sys.stdout.flush()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def migrate(*, as_json: bool) -> None:
    """Bring the database's schema to this release, and end.

    A server does the same when it starts. With many of them it is better done once, before: those
    that start meanwhile wait for it.
    """
    loaded = serving.load(host=None, port=None, data=None, allow_networks=())
    revision = asyncio.run(app.migrate(loaded.settings))
    if as_json:
        printing.line(json.dumps({"revision": revision}))
    else:
        printing.line(f"The schema is up to date: revision {revision}")


def _require_shared(chosen: Settings, what: str) -> None:
    """Errors: InvalidSettings, where one process alone can hold the store."""
    if not app.is_shared(chosen):
        message = (
            f"{what} works beside other processes, and an SQLite file belongs to one: set"
            " STAFETT_DATABASE_URL to a postgresql:// address, or use `stafett serve` alone"
        )
        raise errors.InvalidSettings(message)
