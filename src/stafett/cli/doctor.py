"""`stafett doctor`: looks at this machine, the data folder and the server, and says what to do.

It changes nothing that stays: every finding is one line, OK, WARN or FAIL.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

import click

from stafett import app, egress, errors, settings
from stafett.cli import client, printing
from stafett.engine.clock import SystemClock
from stafett.model import Secret
from stafett.settings import Network, Settings

_OLDEST_PYTHON: Final = (3, 11)
_OLDEST_SQLITE: Final = (3, 35, 0)
"""The first with RETURNING, which the store needs."""
_WAL_RESET: Final = ((3, 7, 0), (3, 51, 2))
"""First and last release that can damage a WAL file when two connections checkpoint it."""
_LITTLE_SPACE: Final = 1 << 30
_NO_SPACE: Final = 64 << 20
_FIRST_DAY: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""There was no Stafett before: a machine that believes so has lost its clock."""
_CLOCK_SLACK: Final = timedelta(seconds=5)
"""File systems round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    level: Literal["OK", "WARN", "FAIL"]
    about: str
    text: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--data", metavar="DIR", help="The data folder, where it is not the usual one.")
def doctor(*, data: str | None, as_json: bool) -> None:
    """Check this machine, the data folder and the server; exit code 1 if anything fails."""
    chosen = settings.load({"data": data}, os.environ, Path.cwd()).settings
    findings = list(_findings(chosen, data))
    if as_json:
        content = [{"level": f.level, "about": f.about, "text": f.text} for f in findings]
        printing.raw_json(json.dumps(content, indent=2, ensure_ascii=False).encode())
    else:
        for each in findings:
            printing.line(f"{each.level:4}  {each.about}: {printing.safe(each.text)}")
    failed = sum(each.level == "FAIL" for each in findings)
    if failed:
        message = f"{failed} of {len(findings)} checks failed"
        raise client.Failure(message)


def _findings(chosen: Settings, data: str | None) -> Iterator[Finding]:
    yield python(sys.version_info[:3])
    yield folder(chosen.data)
    server, allowed = _server(chosen, Path(data) if data is not None else None)
    if chosen.database_url is not None and app.is_shared(chosen):
        yield postgresql(chosen.database_url)
        yield clock(SystemClock().now(), written_at=None)
    else:
        database = _database(chosen)
        yield sqlite(sqlite3.sqlite_version_info)
        yield store(database)
        yield space(database.parent)
        yield clock(SystemClock().now(), written_at=_written_at(database))
        yield lock(database, running=server.level == "OK")
    yield server
    yield reach(allowed)


# --- what is looked at ------------------------------------------------------------------------


def python(version: tuple[int, int, int]) -> Finding:
    """Whether this Python is new enough."""
    shown = ".".join(map(str, version))
    if version[:2] < _OLDEST_PYTHON:
        return Finding(level="FAIL", about="Python", text=f"{shown}; install 3.11 or newer")
    return Finding(level="OK", about="Python", text=shown)


def sqlite(version: tuple[int, int, int]) -> Finding:
    """Whether this SQLite will do."""
    shown = ".".join(map(str, version))
    if version < _OLDEST_SQLITE:
        text = f"{shown}; use a Python that brings 3.35 or newer"
        return Finding(level="FAIL", about="SQLite", text=text)
    if _WAL_RESET[0] <= version <= _WAL_RESET[1]:
        shown += (
            "; releases up to 3.51.2 can damage a file that two connections checkpoint:"
            " harmless here, only one does. Do not write to the file with other programs"
        )
    return Finding(level="OK", about="SQLite", text=shown)


def postgresql(url: Secret) -> Finding:
    """Whether the database answers, and is fit to keep what it is given."""
    try:
        version = asyncio.run(app.ask_postgresql(url))
    except errors.StafettError as error:
        return Finding(level="FAIL", about="PostgreSQL", text=error.detail)
    text = f"{version}, answers, and its clock is ours"
    return Finding(level="OK", about="PostgreSQL", text=text)


def folder(data: Path) -> Finding:
    """Whether the data folder can be written to, or made."""
    there = _nearest(data)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        text = f"{data} cannot be written to ({error.strerror}); change its owner or use --data"
        return Finding(level="FAIL", about="data folder", text=text)
    made = "can be written to" if there == data else "will be made at the first start"
    return Finding(level="OK", about="data folder", text=f"{data} {made}")


def store(database: Path) -> Finding:
    """Whether the database can be read, and is of this release; only looked at."""
    try:
        if not database.exists():
            text = f"{database} does not exist yet; the first start makes it"
            return Finding(level="OK", about="database", text=text)
        revision = _revision(database)
        mode = stat.S_IMODE(database.stat().st_mode)
        folder_mode = database.absolute().parent.stat().st_mode
    except (sqlite3.Error, OSError) as error:
        text = f"{database} cannot be read ({error}); see whose it is, or restore a backup"
        return Finding(level="FAIL", about="database", text=text)
    judged = schema(revision)
    size = f"{database.stat().st_size / (1 << 20):.1f} MiB"
    text = f"{database}, {size}, mode {mode:o}; {judged.text}"
    if judged.level == "OK" and os.name == "posix" and mode & 0o066 and folder_mode & 0o011:
        text += "; other users can get at it: chmod 600"
        return replace(judged, level="WARN", text=text)
    return replace(judged, text=text)


def schema(revision: str | None) -> Finding:
    """Whether this release can use a database of this schema; None where it has none."""
    if revision is None:
        text = "no schema of Stafett's in it; a start makes one where it is empty"
        return Finding(level="WARN", about="database", text=text)
    if revision == app.HEAD:
        return Finding(level="OK", about="database", text=f"schema {revision}, this release's")
    if revision < app.HEAD:
        text = f"schema {revision}; the next start brings it to {app.HEAD}"
        return Finding(level="OK", about="database", text=text)
    text = (
        f"schema {revision} is a newer Stafett's, this one knows {app.HEAD}: install that release"
        " again, or restore the backup from before it ran"
    )
    return Finding(level="FAIL", about="database", text=text)


def _revision(database: Path) -> str | None:
    """Errors: sqlite3.Error."""
    # Without a log beside it nobody writes, and looking must not make one.
    still = not database.with_name(f"{database.name}-wal").exists()
    uri = f"{database.absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
        asked = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
        if not connection.execute(asked).fetchone()[0]:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def space(data: Path) -> Finding:
    """Whether there is room to accept events."""
    free = shutil.disk_usage(_nearest(data)).free
    text = f"{free / (1 << 30):.1f} GiB free"
    if free < _NO_SPACE:
        return Finding(
            level="FAIL", about="space", text=f"{text}; no event is accepted: free some, or move it"
        )
    if free < _LITTLE_SPACE:
        return Finding(level="WARN", about="space", text=f"{text}; shorten STAFETT_RETENTION_*")
    return Finding(level="OK", about="space", text=text)


def clock(now: datetime, *, written_at: datetime | None) -> Finding:
    """Whether the time can be right: it is in every signature, and receivers allow 5 minutes."""
    latest = max(filter(None, (written_at, _FIRST_DAY)))
    shown = f"{now:%Y-%m-%d %H:%M:%S}Z"
    if now + _CLOCK_SLACK < latest:
        text = (
            f"{shown} is before {latest:%Y-%m-%d %H:%M:%S}Z, which is over already: set it, and let"
            " it be kept by NTP; receivers refuse what is more than 5 minutes off"
        )
        return Finding(level="FAIL", about="clock", text=text)
    return Finding(level="OK", about="clock", text=shown)


def lock(database: Path, *, running: bool) -> Finding:
    """Who uses the store."""
    path = database.with_name(f"{database.name}.lock")
    try:
        held = path.read_text().strip()
    except OSError:
        return Finding(level="OK", about="lock", text="no server has used this folder yet")
    if running:
        return Finding(level="OK", about="lock", text=f"held by the running server ({held})")
    if held.isdigit() and _alive(int(held)):
        text = f"process {held} may hold the store, but does not answer; see what it does"
        return Finding(level="WARN", about="lock", text=text)
    return Finding(level="OK", about="lock", text="free")


def _server(chosen: Settings, data: Path | None) -> tuple[Finding, tuple[Network, ...] | None]:
    """Whether it answers; and what its webhooks may reach, None where only it knows."""
    try:
        found = client.find(data)
        asked = client.Client(found)
        asked.get("/ready")
        asked.get(client.path_of("event-type"), limit=1)
    except client.NoServer as error:
        text = error.message
        return Finding(level="WARN", about="server", text=text), chosen.allow_networks
    except (client.Failure, errors.StafettError) as error:
        text = str(error) or "it is not ready"
        return Finding(level="FAIL", about="server", text=text), chosen.allow_networks
    text = f"{found.url} is ready ({found.found})"
    return Finding(level="OK", about="server", text=text), _allowed_by(found, chosen)


def _allowed_by(found: client.Server, chosen: Settings) -> tuple[Network, ...] | None:
    """What the running server was started with, flags and all."""
    try:
        told = client.read_found(chosen.data)
        if told["url"] == found.url:
            return settings.parse_networks(told["allow_networks"])
    except (client.Failure, KeyError, ValueError):
        pass
    return None


def reach(allowed: tuple[Network, ...] | None) -> Finding:
    """What webhooks may reach."""
    if allowed is None:
        text = "the running server's own setting; its admin shows it, under Settings"
        return Finding(level="OK", about="egress", text=text)
    shown = settings.show(allowed)
    if not egress.vet("127.0.0.1", policy=egress.Policy(allow_networks=allowed)).allowed:
        more = f" and {shown}" if shown else ""
        text = (
            f"the public internet{more}; not this machine: for development start the server with"
            " --allow-network 127.0.0.0/8"
        )
        return Finding(level="OK", about="egress", text=text)
    text = f"the public internet and {shown}: this machine's own services can be reached"
    return Finding(level="WARN", about="egress", text=f"{text}; for development only")


def _database(chosen: Settings) -> Path:
    if chosen.database_url is None:
        return chosen.data / "stafett.db"
    return Path(chosen.database_url.reveal().removeprefix("sqlite:///"))


def _written_at(database: Path) -> datetime | None:
    """When the store was last written to."""
    files = (database, database.with_name(f"{database.name}-wal"))
    times = [each.stat().st_mtime for each in files if each.exists()]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _nearest(path: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    absolute = path.absolute()
    there = next((each for each in (absolute, *absolute.parents) if each.exists()), absolute)
    return path if there == absolute else there


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
