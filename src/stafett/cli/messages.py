"""`stafett emit`, `message`, `attempt`, `resend` and `recover`: events and what became of them."""

from __future__ import annotations

import contextlib
import difflib
import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from stafett import errors, settings
from stafett.cli import client, options, printing, webhooks
from stafett.cli.client import Client, path_of
from stafett.engine.clock import SystemClock
from stafett.model import Json

_POLL_SECONDS: Final = (0.02, 0.05, 0.1, 0.2)
"""The waits between looks; the last one repeats."""
_SENDING: Final = frozenset({"pending", "sending"})


# --- emit -------------------------------------------------------------------------------------


@click.command()
@click.argument("event")
@click.option("--data", "payload", metavar="JSON", help="JSON, @file, or - for standard input.")
@click.option("--event-id", help="Your own id for it: the same one twice is refused.")
@click.option("--wait", is_flag=True, help="Wait for the first attempts and say how they went.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=60.0,
    metavar="SECONDS",
    help="How long --wait waits [60].",
)
@options.of_app
@options.talks_without_data
def emit(
    server: Client,
    *,
    event: str,
    payload: str | None,
    event_id: str | None,
    wait: bool,
    timeout: float,
    app: str,
    as_json: bool,
) -> None:
    """Send an event to every webhook that wants it.

    Without --data it carries the event's sample. With --wait and --json, the second line is the
    list of the message's webhooks. Exit code 5 if a first attempt failed.
    """
    text = sample_of(server, event) if payload is None else _payload(payload)
    answer = send(server, app, event, text, event_id=event_id)
    if as_json:
        printing.raw_json(answer.body)
    else:
        _say_accepted(answer.json)
    if wait:
        _wait(server, app, answer.json["id"], timeout=timeout, as_json=as_json)


def send(
    server: Client, app: str, event: str, text: str, *, event_id: str | None = None
) -> client.Answer:
    """Hand over one message; `text` is its JSON, which arrives byte for byte. Errors: Failure."""
    head = json.dumps({"eventType": event} | ({"eventId": event_id} if event_id else {}))
    body = f'{head[:-1]}, "payload": {text}}}'.encode()
    return server.call("POST", path_of("app", app, "msg"), body=body)


def _payload(given: str) -> str:
    """What `--data` means. Errors: InvalidSettings."""
    text, where = given, "--data"
    if given == "-":
        text, where = _typed(), "standard input"
    elif given.startswith("@"):
        text, where = read_text(given.removeprefix("@")), given.removeprefix("@")
    if not isinstance(client.parse_json(text, where=where), dict):
        message = f"{where} must be a JSON object"
        raise errors.InvalidSettings(message)
    return text.strip()


def _typed() -> str:
    """Standard input, byte for byte, whatever the locale. Errors: InvalidSettings."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        message = f"standard input cannot be read: {error}"
        raise errors.InvalidSettings(message) from None


def read_text(name: str) -> str:
    """A file named on the command line, byte for byte. Errors: InvalidSettings."""
    try:
        return Path(name).read_bytes().decode()
    except (OSError, ValueError) as error:
        message = f"{name} cannot be read: {error}"
        raise errors.InvalidSettings(message) from None


def sample_of(server: Client, event: str) -> str:
    """The realistic sample of an event. Errors: Failure, with the nearest name."""
    try:
        found = server.get(path_of("event-type", event)).json
    except client.NotThere:
        raise _unknown(server, event) from None
    sample = found.get("sample")
    if sample is None:
        message = f"the event {event} has no sample: say what it carries with --data"
        raise client.Failure(message)
    return json.dumps(sample, ensure_ascii=False)


def _unknown(server: Client, event: str) -> client.Failure:
    names = [str(each["name"]) for each in server.every(path_of("event-type"))]
    near = difflib.get_close_matches(event, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "see stafett event-type list"
    return client.NotThere(f"there is no event {event!r}; {hint}")


def _say_accepted(message: dict[str, Json]) -> None:
    count = message["endpointCount"]
    line = f"{message['id']} {printing.safe(message['eventType'])} accepted"
    if count == 0:
        printing.line(f"{line}; no webhook wanted it")
    else:
        printing.line(f"{line} for {count} webhook{'' if count == 1 else 's'}")
    for problem in message["problems"]:
        printing.line(f"note: {printing.safe(problem)}")


# --- waiting ----------------------------------------------------------------------------------


def first_attempts(server: Client, app: str, message_id: str, *, timeout: float) -> client.Answer:
    """The message's webhooks, once each has had an attempt or a final state. Errors: Failure."""
    path = path_of("app", app, "msg", message_id, "endpoint")
    deadline = time.monotonic() + timeout
    looks = 0
    while True:
        answer = server.get(path, limit=250)
        waiting = [
            each
            for each in answer.json["data"]
            if each["statusText"] in _SENDING and not each["attemptCount"]
        ]
        if not waiting:
            return answer
        if time.monotonic() > deadline:
            message = f"{len(waiting)} webhooks had no attempt within {timeout:g} seconds"
            raise client.Failure(message)
        time.sleep(_POLL_SECONDS[min(looks, len(_POLL_SECONDS) - 1)])
        looks += 1


def _wait(server: Client, app: str, message_id: str, *, timeout: float, as_json: bool) -> None:
    answer = first_attempts(server, app, message_id, timeout=timeout)
    destinations: list[dict[str, Json]] = answer.json["data"]
    if as_json:
        printing.raw_json(answer.body)
    elif destinations:
        path = path_of("app", app, "attempt", "msg", message_id)
        attempts = {each["endpointId"]: each for each in server.get(path, limit=250).json["data"]}
        printing.table(
            ("webhook", "status", "answer", "ms", "attempt", "detail"),
            (_verdict(each, attempts.get(each["id"], {})) for each in destinations),
            empty="",
        )
    failed = [each for each in destinations if each["statusText"] != "success"]
    if failed:
        message = f"{len(failed)} of {len(destinations)} deliveries failed"
        raise client.DeliveryFailed(message)


def _verdict(destination: dict[str, Json], attempt: dict[str, Json]) -> Sequence[object]:
    again = printing.moment(destination.get("nextAttempt"))
    return (
        destination["name"] or destination["id"],
        destination["statusText"] + (f", again at {again}" if again else ""),
        attempt.get("responseStatusCode") or attempt.get("cause") or "",
        attempt.get("responseDurationMs", ""),
        attempt.get("id", ""),
        attempt.get("detail") or destination.get("note") or "",
    )


# --- message, attempt -------------------------------------------------------------------------


@click.group()
def message() -> None:
    """See the events that were accepted."""


@message.command("list")
@click.option("--event", help="Only messages of this event.")
@options.listed
@options.of_app
@options.talks
def list_messages(
    server: Client, *, event: str | None, limit: int, after: str | None, app: str, as_json: bool
) -> None:
    """List messages, newest first."""
    answer = server.get(
        path_of("app", app, "msg"),
        limit=limit,
        iterator=after,
        event_types=event,
        with_content=as_json,
    )
    if as_json:
        return printing.raw_json(answer.body)
    printing.table(
        ("id", "event", "at", "webhooks", "test", "event id"),
        (
            (
                each["id"],
                each["eventType"],
                printing.moment(each["timestamp"]),
                each["endpointCount"] or "no webhook wanted it",
                printing.yes(each["test"]),
                each.get("eventId") or "",
            )
            for each in answer.json["data"]
        ),
        empty="There is no message yet: stafett emit EVENT",
    )
    return options.more(answer.json)


@message.command()
@click.argument("ref")
@options.of_app
@options.talks
def show(server: Client, *, ref: str, app: str, as_json: bool) -> None:
    """Show one message, its payload, and where its deliveries stand. REF: id or event id."""
    answer = server.get(path_of("app", app, "msg", ref))
    if as_json:
        return printing.raw_json(answer.body)
    found = answer.json
    printing.fields(
        (
            ("id", found["id"]),
            ("event id", found.get("eventId")),
            ("event", found["eventType"]),
            ("at", printing.moment(found["timestamp"])),
            ("test", printing.yes(found["test"])),
            ("problems", "; ".join(found["problems"])),
        )
    )
    printing.line(printing.pretty(found["payload"]))
    destinations = server.every(path_of("app", app, "msg", found["id"], "endpoint"))
    return printing.table(
        ("webhook", "id", "status", "attempts", "next attempt"),
        (
            (
                each["name"],
                each["id"],
                each["statusText"],
                each["attemptCount"],
                printing.moment(each.get("nextAttempt")),
            )
            for each in destinations
        ),
        empty="No webhook wanted it.",
    )


@click.group()
def attempt() -> None:
    """See the requests that were made."""


@attempt.command("list")
@click.option("--webhook", "webhook_ref", metavar="REF", help="Those to this webhook.")
@click.option("--message", "message_ref", metavar="REF", help="Those for this message.")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@options.listed
@options.of_app
@options.talks
def list_attempts(
    server: Client,
    *,
    webhook_ref: str | None,
    message_ref: str | None,
    failed: bool,
    limit: int,
    after: str | None,
    app: str,
    as_json: bool,
) -> None:
    """List attempts of one webhook or one message, newest first."""
    if (webhook_ref is None) == (message_ref is None):
        wrong = "say which: --webhook REF or --message REF"
        raise click.UsageError(wrong)
    if webhook_ref is not None:
        found = webhooks.find(server, app, webhook_ref)
        path = path_of("app", app, "attempt", "endpoint", found["id"])
    else:
        path = path_of("app", app, "attempt", "msg", message_ref or "")
    answer = server.get(path, limit=limit, iterator=after, status="fail" if failed else None)
    if as_json:
        return printing.raw_json(answer.body)
    printing.table(
        ("id", "at", "message", "webhook", "status", "answer", "ms", "detail"),
        (
            (
                each["id"],
                printing.moment(each["timestamp"]),
                each["msgId"],
                each["endpointId"],
                each["statusText"],
                each["responseStatusCode"] or each.get("cause") or "",
                each["responseDurationMs"],
                each["detail"],
            )
            for each in answer.json["data"]
        ),
        empty="There is no attempt yet.",
    )
    return options.more(answer.json)


# --- again ------------------------------------------------------------------------------------


@click.command()
@click.argument("message_ref", metavar="MESSAGE")
@click.argument("webhook_ref", metavar="WEBHOOK")
@options.of_app
@options.talks
def resend(server: Client, *, message_ref: str, webhook_ref: str, app: str, as_json: bool) -> None:
    """Send one message to one webhook again, under the same webhook-id."""
    found = webhooks.find(server, app, webhook_ref)
    path = path_of("app", app, "msg", message_ref, "endpoint", found["id"], "resend")
    done = f"{message_ref} goes to {found['name']} again; see stafett attempt list"
    options.done(server.post(path, {}), done, as_json=as_json)


def _moment(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """`2h` is two hours ago; anything else has to be a time with its offset."""
    if text is None:
        return None
    try:
        return (SystemClock().now() - settings.parse_duration(text.removesuffix("ago"))).isoformat()
    except (ValueError, OverflowError):
        pass
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.isoformat()
    message = f"{printing.safe(text)!r} is not a time; say 2h ago, or 2026-11-24T12:00:00Z"
    raise click.BadParameter(message)


@click.command()
@click.argument("ref", metavar="WEBHOOK")
@click.option(
    "--since",
    required=True,
    callback=_moment,
    metavar="WHEN",
    help="2h ago, say, or a time: 2026-11-24T12:00:00Z.",
)
@click.option(
    "--until", callback=_moment, metavar="WHEN", help="The end of the range, likewise [now]."
)
@options.of_app
@options.talks
def recover(
    server: Client, *, ref: str, since: str, until: str | None, app: str, as_json: bool
) -> None:
    """Send a webhook everything that failed since a time again."""
    content = {"since": since} | ({} if until is None else {"until": until})
    found = webhooks.find(server, app, ref)
    answer = server.post(path_of("app", app, "endpoint", found["id"], "recover"), content)
    done = f"Recovering {found['name']} since {content['since']}: {answer.json['id']}"
    options.done(answer, done, as_json=as_json)
