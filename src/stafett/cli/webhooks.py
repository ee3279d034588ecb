"""`stafett webhook`: make, list, test and switch webhooks (endpoints, as the wire calls them)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from stafett import settings
from stafett.cli import client, options, printing
from stafett.cli.client import Client, path_of
from stafett.model import Json, PayloadStyle


def find(server: Client, app: str, ref: str) -> dict[str, Json]:
    """A webhook by id, uid or name. Errors: Failure."""
    return client.resolve(server, path_of("app", app, "endpoint"), ref, kind="webhook")


def _path(server: Client, app: str, ref: str, *more: str) -> str:
    return path_of("app", app, "endpoint", find(server, app, ref)["id"], *more)


def _own_options(verb: options.Verb) -> options.Verb:
    """Takes what one webhook may have otherwise than the rest."""
    taken = (
        click.option(
            "--payload-style",
            type=click.Choice([each.value for each in PayloadStyle]),
            help="The form of what it is sent [accepted: the bytes as they came].",
        ),
        click.option(
            "--retry-schedule",
            metavar="WAITS",
            help="Its own waits after each failed attempt, such as 5s,5m,2h; '' for one attempt.",
        ),
        click.option(
            "--timeout", metavar="DURATION", help="How long one attempt may take, 1s to 60s."
        ),
        click.option("--concurrency", type=int, help="At most so many requests at once, 1 to 64."),
    )
    for each in reversed(taken):
        verb = each(verb)
    return verb


def _own(
    *,
    payload_style: str | None,
    retry_schedule: str | None,
    timeout: str | None,
    concurrency: int | None,
) -> dict[str, Json]:
    """Those that were given, as the wire has them."""
    given: dict[str, Json] = {"payloadStyle": payload_style, "concurrency": concurrency}
    if retry_schedule is not None:
        waits = filter(None, retry_schedule.split(","))
        given["retrySchedule"] = [_seconds(each, "--retry-schedule") for each in waits]
    if timeout is not None:
        given["timeout"] = _seconds(timeout, "--timeout")
    return {name: value for name, value in given.items() if value is not None}


def _seconds(text: str, option: str) -> float:
    try:
        return settings.parse_duration(text).total_seconds()
    except ValueError as exc:
        message = f"{option} {text!r} {exc}"
        raise click.UsageError(message) from None


@click.group()
def webhook() -> None:
    """Make, list, test and switch webhooks. REF is an id, a uid or a name."""


@webhook.command()
@click.argument("name")
@click.argument("url")
@click.option(
    "--event", "events", multiple=True, help="An event it wants; may be repeated [all events]."
)
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent with each.")
@click.option("--uid", help="Your own id for it.")
@click.option("--disabled", is_flag=True, help="Begin switched off.")
@_own_options
@options.of_app
@options.talks
def add(
    server: Client,
    *,
    name: str,
    url: str,
    events: Sequence[str],
    headers: Sequence[str],
    uid: str | None,
    disabled: bool,
    app: str,
    as_json: bool,
    **own: Any,
) -> None:
    """Make a webhook: a NAME, the URL it posts to, and the events it wants."""
    content: dict[str, Json] = {"name": name, "url": url, "disabled": disabled}
    if uid is not None:
        content["uid"] = uid
    if events:
        content["eventTypes"] = list(events)
    if headers:
        content["headers"] = dict(map(_header, headers))
    content |= _own(**own)
    answer = server.post(path_of("app", app, "endpoint"), content)
    _show(answer, as_json=as_json)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        message = f"--header {text!r} is not NAME:VALUE"
        raise click.UsageError(message)
    return name.strip(), value.strip()


@webhook.command("list")
@options.listed
@options.of_app
@options.talks
def list_webhooks(
    server: Client, *, limit: int, after: str | None, app: str, as_json: bool
) -> None:
    """List webhooks, newest first."""
    answer = server.get(path_of("app", app, "endpoint"), limit=limit, iterator=after)
    if as_json:
        return printing.raw_json(answer.body)
    printing.table(
        ("id", "name", "url", "events", "count", "active", "last"),
        (
            (
                each["id"],
                each["name"],
                _cut(each["url"]),
                printing.joined(each.get("eventTypes"), otherwise="all"),
                each["eventCount"],
                printing.yes(not each["disabled"]),
                each.get("lastStatusCode") or each.get("lastCause") or "",
            )
            for each in answer.json["data"]
        ),
        empty="There is no webhook yet: stafett webhook add NAME URL --event EVENT",
    )
    return options.more(answer.json)


def _cut(url: str) -> str:
    return url if len(url) <= 48 else f"{url[:47]}…"


@webhook.command()
@click.argument("ref")
@click.option("--secret", is_flag=True, help="Print its signing secret, and nothing else.")
@options.of_app
@options.talks
def show(server: Client, *, ref: str, secret: bool, app: str, as_json: bool) -> None:
    """Show one webhook."""
    if not secret:
        return _show(server.get(_path(server, app, ref)), as_json=as_json)
    answer = server.get(_path(server, app, ref, "secret"))
    return printing.raw_json(answer.body) if as_json else printing.line(answer.json["key"])


def _show(answer: client.Answer, *, as_json: bool) -> None:
    if as_json:
        return printing.raw_json(answer.body)
    each = answer.json
    return printing.fields(
        (
            ("id", each["id"]),
            ("uid", each.get("uid")),
            ("name", each["name"]),
            ("url", each["url"]),
            ("events", printing.joined(each.get("eventTypes"), otherwise="all")),
            ("channels", printing.joined(each.get("channels"), otherwise="")),
            ("payload style", each["payloadStyle"]),
            ("retry schedule", _waits(each.get("retrySchedule"))),
            ("timeout", _duration(each.get("timeout"))),
            ("concurrency", each.get("concurrency")),
            ("active", printing.yes(not each["disabled"])),
            ("disabled because", each.get("disabledReason")),
            ("integration", each["integration"]),
            ("delivered events", each["eventCount"]),
            ("failing since", printing.moment(each.get("failingSince"))),
            ("paused until", printing.moment(each.get("pausedUntil"))),
            ("last attempt", printing.moment(each.get("lastAttemptAt"))),
            ("last answer", each.get("lastStatusCode") or each.get("lastCause")),
            ("created", printing.moment(each["createdAt"])),
        )
    )


def _waits(seconds: list[float] | None) -> str:
    if seconds is None:
        return ""
    return ",".join(map(_duration, seconds)) or "one attempt"


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else settings.show_duration(timedelta(seconds=seconds))


@webhook.command()
@click.argument("ref")
@click.option("--event", help="Which event to send [the first it wants].")
@click.option("--payload", metavar="JSON", help="Send this, not the event's sample.")
@options.of_app
@options.talks
def test(
    server: Client, *, ref: str, event: str | None, payload: str | None, app: str, as_json: bool
) -> None:
    """Send a webhook a test event and say what came back; exit code 5 if it failed."""
    content: dict[str, Json] = {}
    if event is not None:
        content["eventType"] = event
    if payload is not None:
        content["payload"] = client.parse_json(payload, where="--payload")
    answer = server.post(_path(server, app, ref, "test"), content)
    if as_json:
        printing.raw_json(answer.body)
    else:
        _verdict(answer.json)
    if not answer.json["ok"]:
        message = f"the test event did not arrive: {answer.json['detail']}"
        raise client.DeliveryFailed(message)


def _verdict(found: dict[str, Any]) -> None:
    if found["ok"]:
        printing.line(f"Test event sent: {found['statusCode']} in {found['durationMs']:.0f} ms")
    printing.fields(
        (
            ("event", found["eventType"]),
            ("message", found["messageId"]),
            ("attempt", found["attemptId"]),
            ("status", found["statusCode"]),
            ("cause", found["cause"]),
        )
    )
    if found["responseBody"]:
        printing.line(printing.safe_lines(found["responseBody"]))


@webhook.command()
@click.argument("ref")
@options.of_app
@options.talks
def disable(server: Client, *, ref: str, app: str, as_json: bool) -> None:
    """Stop sending to a webhook."""
    _show(server.patch(_path(server, app, ref), {"disabled": True}), as_json=as_json)


@webhook.command()
@click.argument("ref")
@options.of_app
@options.talks
def enable(server: Client, *, ref: str, app: str, as_json: bool) -> None:
    """Send to a webhook again: new events only; `stafett recover` sends what failed."""
    _show(server.patch(_path(server, app, ref), {"disabled": False}), as_json=as_json)


@webhook.command()
@click.argument("ref")
@options.confirmed
@options.of_app
@options.talks
def delete(server: Client, *, ref: str, yes: bool, app: str, as_json: bool) -> None:
    """Delete a webhook."""
    found = find(server, app, ref)
    options.confirm(f"Delete the webhook {found['name']} ({found['id']})?", yes=yes)
    answer = server.delete(path_of("app", app, "endpoint", found["id"]))
    options.done(answer, f"Deleted {found['id']}", as_json=as_json)
