"""`stafett user`: who may sign in to the admin."""

from __future__ import annotations

import click

from stafett.cli import options, printing
from stafett.cli.client import Client, path_of

_PASSWORD = click.option(
    "--password",
    prompt="Password",
    hide_input=True,
    confirmation_prompt=True,
    help="Asked for where it is not given; 12 or more characters.",
)


@click.group()
def user() -> None:
    """Make, list and remove those who may sign in to the admin."""


@user.command()
@click.argument("email")
@click.option("--name", help="What the admin calls them [the first part of the address].")
@click.option(
    "--role",
    type=click.Choice(["owner", "admin", "developer", "viewer"]),
    default="owner",
    show_default=True,
    help="What they may do.",
)
@_PASSWORD
@options.talks
def create(
    server: Client, *, email: str, name: str | None, role: str, password: str, as_json: bool
) -> None:
    """Add somebody who may sign in."""
    content = {
        "email": email,
        "name": name or email.partition("@")[0],
        "password": password,
        "role": role,
    }
    answer = server.post(path_of("user"), content)
    options.done(answer, f"Added {email} as {role}", as_json=as_json)


@user.command("list")
@options.talks
def list_users(server: Client, *, as_json: bool) -> None:
    """List everybody who may sign in."""
    answer = server.get(path_of("user"))
    if as_json:
        return printing.raw_json(answer.body)
    return printing.table(
        ("id", "email", "name", "role", "disabled"),
        (
            (
                each["id"],
                each["email"],
                each["name"],
                each["role"],
                printing.moment(each.get("disabledAt")),
            )
            for each in answer.json["data"]
        ),
        empty="There is nobody yet; the server prints a link for making the owner at its start.",
    )


@user.command()
@click.argument("email")
@_PASSWORD
@options.talks
def reset(server: Client, *, email: str, password: str, as_json: bool) -> None:
    """Give somebody a new password; all their sessions end."""
    answer = server.post(path_of("user", email, "password"), {"password": password})
    options.done(answer, f"{email} has a new password", as_json=as_json)


@user.command()
@click.argument("email")
@options.talks
def delete(server: Client, *, email: str, as_json: bool) -> None:
    """Remove somebody, with all their sessions."""
    options.done(server.delete(path_of("user", email)), f"Removed {email}", as_json=as_json)
