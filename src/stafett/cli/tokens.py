"""`stafett token`: make, list and revoke tokens for the API. A token's text is shown once."""

from __future__ import annotations

from typing import cast

import click

from stafett import errors, settings
from stafett.cli import client, options, printing
from stafett.cli.client import Client, path_of
from stafett.engine.clock import SystemClock
from stafett.model import Json


@click.group()
def token() -> None:
    """Make, list and revoke tokens for the API."""


@token.command()
@click.argument("name")
@click.option("--app", metavar="REF", help="May touch only this application [everything].")
@click.option("--expires", metavar="DURATION", help="Is refused after this long, such as 90d.")
@options.talks
def create(
    server: Client, *, name: str, app: str | None, expires: str | None, as_json: bool
) -> None:
    """Make a token and print it: the only time that it is shown."""
    content: dict[str, Json] = {"name": name}
    if app is not None:
        content["app"] = app
    if expires is not None:
        content["expiresAt"] = _expiry(expires)
    answer = server.post(path_of("token"), content)
    if as_json:
        return printing.raw_json(answer.body)
    printing.line(answer.json["token"])
    return printing.line(f"Keep it: it is not shown again ({answer.json['id']}).", err=True)


def _expiry(text: str) -> str:
    try:
        duration = settings.parse_duration(text)
    except ValueError as error:
        message = f"--expires {text!r} {error}"
        raise errors.InvalidSettings(message) from None
    return (SystemClock().now() + duration).isoformat()


@token.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Revoked ones too.")
@options.talks
def list_tokens(server: Client, *, with_revoked: bool, as_json: bool) -> None:
    """List tokens; never their texts."""
    if as_json:
        return printing.raw_json(server.get(path_of("token"), limit=250).body)
    return printing.table(
        ("id", "name", "application", "created", "last used", "expires", "revoked"),
        (
            (
                each["id"],
                each["name"],
                each.get("appId") or "all",
                *(
                    printing.moment(each.get(name))
                    for name in ("createdAt", "lastUsedAt", "expiresAt", "revokedAt")
                ),
            )
            for each in server.every(path_of("token"))
            if with_revoked or each.get("revokedAt") is None
        ),
        empty="There is no token.",
    )


@token.command()
@click.argument("ref")
@options.talks
def revoke(server: Client, *, ref: str, as_json: bool) -> None:
    """Refuse a token from now on. REF is its id or its name."""
    token_id = cast("str", client.resolve(server, path_of("token"), ref, kind="token")["id"])
    answer = server.delete(path_of("token", token_id))
    options.done(answer, f"Revoked {token_id}", as_json=as_json)
