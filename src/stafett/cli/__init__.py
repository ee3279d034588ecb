"""The `stafett` command: which verbs there are, and where each lives.

Only click and the standard library are imported here, and a verb's module only when it runs: so
`stafett --help` answers at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import cast

import click
from typing_extensions import override

import stafett

COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("serving", "Start the server."),
    "dispatch": ("dispatching", "Send what is due, beside servers that accept (PostgreSQL)."),
    "migrate": ("dispatching", "Bring the database's schema to this release."),
    "demo": ("demo", "Start the server and watch one event arrive, signed, in a request bin."),
    "emit": ("messages", "Send an event to every webhook that wants it."),
    "webhook": ("webhooks", "Make, list, test and switch webhooks."),
    "event-type": ("event_types", "See and extend the catalogue of events."),
    "bin": ("bins", "Make request bins and watch what they catch."),
    "message": ("messages", "See the events that were accepted."),
    "attempt": ("messages", "See the requests that were made."),
    "resend": ("messages", "Send one message to one webhook again."),
    "recover": ("messages", "Send a webhook everything that failed since a time again."),
    "token": ("tokens", "Make, list and revoke tokens for the API."),
    "user": ("users", "Make, list and remove those who may sign in to the admin."),
    "doctor": ("doctor", "Check this machine, the data folder and the server."),
    "health": ("health", "Ask the running server whether it lives."),
    "copy": ("copying", "Move an installation from SQLite to PostgreSQL."),
    "config": ("config", "Show every setting, its value and where it came from."),
}
"""Verb -> module of this room, and the line that `--help` shows (a test keeps it true)."""


class WrongSetting(click.ClickException):
    """A setting, or a text given on the command line, that cannot be used."""

    exit_code = 2


class LazyGroup(click.Group):
    """A group that imports a verb's module only when that verb is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"stafett.cli.{COMMANDS[cmd_name][0]}")
        return cast("click.Command", getattr(module, cmd_name.replace("-", "_")))

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.exceptions.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    @override
    def invoke(self, ctx: click.Context) -> object:
        """Runs the verb; an error of ours becomes one sentence and an exit code."""
        from stafett import errors

        try:
            return super().invoke(ctx)
        except errors.StafettError as error:
            wrong = isinstance(error, errors.InvalidSettings)
            raise (WrongSetting if wrong else click.ClickException)(error.detail) from error
        except FileNotFoundError:
            if _somewhere():
                raise
            message = "the folder that this was started in is gone; change to one that is there"
            raise click.ClickException(message) from None


def _somewhere() -> bool:
    """Whether the working folder is still there."""
    from pathlib import Path

    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage or setting, 3 no valid token,"
    " 4 no server answers, 5 a delivery failed.",
)
@click.version_option(stafett.__version__, prog_name="stafett")
def main() -> None:
    """Stafett tells other applications what happened, the moment it happens.

    Start with `stafett demo`, or `stafett serve`. The other verbs talk to the running server: on
    the same machine they find it by themselves, otherwise set STAFETT_URL and STAFETT_TOKEN.
    """
