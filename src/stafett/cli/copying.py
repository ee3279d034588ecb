"""`stafett copy`: moves an installation from SQLite to PostgreSQL, and shows how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from stafett import app
from stafett.cli import client, printing

_LINE_SECONDS: Final = 5.0
"""How often a long table says how far it is, where there is no terminal to draw on."""
_POSTGRESQL: Final = ("postgresql", "postgres")


@click.command()
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL",
    help="The SQLite file: sqlite:PATH or sqlite:///PATH. Its server must be stopped.",
)
@click.option(
    "--to", "target", required=True, metavar="URL", help="An empty database: postgresql://..."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON at the end.")
def copy(*, source: str, target: str, as_json: bool) -> None:
    """Move an installation from SQLite to PostgreSQL.

    The file is only read. Where the copy is interrupted, the same command goes on with it. In the
    end both sides are read again and compared, and exit code 1 says that they differ.
    """
    path = _path_of(source)
    if target.partition(":")[0] not in _POSTGRESQL:
        message = "--to must begin with postgresql://; a copy goes from SQLite to PostgreSQL only"
        raise click.UsageError(message)
    compared = asyncio.run(_copy(path, target))
    if as_json:
        printing.line(json.dumps({"tables": list(map(_as_json, compared))}, indent=2))
    else:
        _print(compared)
    different = [each.part for each in compared if not each.equal]
    if different:
        message = (
            f"not the same on both sides: {', '.join(different)}; did something write to the"
            " database meanwhile? Empty it and copy again"
        )
        raise client.Failure(message)
    if not as_json:
        printing.line("All is there. Now set STAFETT_DATABASE_URL, and start the server.")


def _path_of(url: str) -> Path:
    scheme, _, rest = url.partition(":")
    if scheme != "sqlite":
        message = "--from must begin with sqlite:; a copy goes from SQLite to PostgreSQL only"
        raise click.UsageError(message)
    path = rest.removeprefix("///")
    if not path or path.startswith("//"):
        message = "--from needs a path: sqlite:PATH, or sqlite:////PATH for one from the root"
        raise click.UsageError(message)
    return Path(path).absolute()


async def _copy(source: Path, target: str) -> Sequence[app.Compared]:
    with _Screen() as screen:
        return await app.copy(source, target, tell=screen.show)


class _Screen(contextlib.ExitStack):
    """Progress on standard error: a bar for each table on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn = sys.stderr.isatty()
        self._table = ("", "")
        self._bar: Any = None  # click does not name its type
        self._said_at = time.monotonic()

    def show(self, progress: app.Progress) -> None:
        """Say how far the work on a table is; of an empty one, nothing."""
        if not progress.total:
            return
        if self._drawn:
            self._draw(progress)
        else:
            self._say(progress)

    def _draw(self, progress: app.Progress) -> None:
        if self._table != (progress.doing, progress.part):
            self._table = (progress.doing, progress.part)
            self.close()
            label = f"{progress.doing} {progress.part}".ljust(26)
            bar: Any = click.progressbar(length=progress.total, label=label, file=sys.stderr)
            self._bar = self.enter_context(bar)
        self._bar.update(progress.row_count - self._bar.pos)

    def _say(self, progress: app.Progress) -> None:
        finished = progress.row_count == progress.total
        if not (finished or progress.resumed or self._waited()):
            return
        text = f"{progress.doing} {progress.part}: {progress.row_count} of {progress.total}"
        printing.line(f"{text}, from before" if progress.resumed else text, err=True)
        self._said_at = time.monotonic()

    def _waited(self) -> bool:
        return time.monotonic() - self._said_at >= _LINE_SECONDS


def _print(compared: Sequence[app.Compared]) -> None:
    rows = [
        (
            each.part,
            each.source.row_count,
            each.target.row_count,
            f"{each.source.checksum:016x}",
            f"{each.target.checksum:016x}",
            printing.yes(each.equal),
        )
        for each in compared
    ]
    names = ("table", "rows", "copied", "checksum", "of the copy", "same")
    printing.table(names, rows, empty="There is nothing.")


def _as_json(compared: app.Compared) -> dict[str, object]:
    sides = {"source": compared.source, "target": compared.target}
    sums = {
        side: {"rows": found.row_count, "checksum": f"{found.checksum:016x}"}
        for side, found in sides.items()
    }
    return {"table": compared.part, **sums, "same": compared.equal}
