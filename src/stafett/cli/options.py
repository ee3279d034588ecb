"""What every verb that talks to the server takes: `--json` and `--data`; and list options.

One decorator each, so that the verbs cannot differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from stafett.cli import client, printing
from stafett.model import Json

Verb = Callable[..., Any]

DEFAULT_APP: Final = "default"


def talks(verb: Verb) -> Verb:
    """Hands the verb a `Client`, and takes `--json` (`as_json`) and `--data` (the folder)."""

    @_json
    @click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The running server's data folder, where it is not the usual one.",
    )
    @functools.wraps(verb)
    def with_client(*, data: Path | None, **given: Any) -> Any:
        return verb(client.Client(client.find(data), data=data), **given)

    return with_client


def talks_without_data(verb: Verb) -> Verb:
    """Like `talks`, for `emit`, whose `--data` is the event's: the folder is STAFETT_DATA."""

    @_json
    @functools.wraps(verb)
    def with_client(**given: Any) -> Any:
        return verb(client.Client(client.find()), **given)

    return with_client


def _json(verb: Verb) -> Verb:
    return click.option("--json", "as_json", is_flag=True, help="Print the API's JSON as it came.")(
        verb
    )


def of_app(verb: Verb) -> Verb:
    """Takes `--app` (`app`)."""
    option = click.option(
        "--app", default=DEFAULT_APP, metavar="REF", help="The application, by id or uid."
    )
    return option(verb)


def listed(verb: Verb) -> Verb:
    """Takes `--limit` and `--after` (`limit`, `after`)."""
    limit = click.option(
        "--limit", type=click.IntRange(1, 250), default=50, help="At most this many (1 to 250)."
    )
    after = click.option(
        "--after", metavar="ITERATOR", help="Go on behind this one: what a list ends with."
    )
    return limit(after(verb))


def more(page: dict[str, Json]) -> None:
    """Say how to go on where a page was not the last."""
    if not page["done"]:
        printing.line(f"There are more: --after {printing.safe(page['iterator'])}")


def confirmed(verb: Verb) -> Verb:
    """Takes `--yes` (`yes`)."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(verb)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is gone for good; no is exit code 1."""
    if not yes:
        click.confirm(printing.safe(question), abort=True, err=True)


def done(answer: client.Answer, text: str, *, as_json: bool) -> None:
    """Say that it is done; as JSON, what the server answered, which may be nothing."""
    if as_json:
        printing.raw_json(answer.body)
    else:
        printing.line(printing.safe(text))
