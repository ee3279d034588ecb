"""`stafett bin`: make request bins and watch what they catch.

What a bin caught is a stranger's: it is shown as text, secrets in headers masked.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import click

from stafett import egress, errors
from stafett.cli import client, options, printing
from stafett.cli.client import Client, path_of
from stafett.engine.clock import SystemClock
from stafett.model import Json, ReplyMode, ScriptedReply
from stafett.services import replies

_AGAIN_SECONDS: Final = (0.0, 0.25, 1.0, 2.0, 5.0, 10.0)
"""The waits before connecting again; the last one repeats."""
_MAX_SHOWN: Final = 4_000
"""Characters of a body in a terminal; `--json` has all of it."""


def find(server: Client, ref: str) -> dict[str, Json]:
    """A bin by id or name. Errors: Failure."""
    return client.resolve(server, path_of("bin"), ref, kind="bin")


@click.group()
def bin() -> None:  # noqa: A001 - the verb's name
    """Make request bins and watch what they catch. REF is an id or a name."""


def _reply(_context: click.Context, _parameter: click.Parameter, text: str) -> ScriptedReply:
    """A reply by its word or its status."""
    try:
        return replies.usual(text)
    except errors.Invalid as error:
        raise click.BadParameter(printing.safe(error.problems[0].msg)) from None


_REPLY_HELP: Final = (
    "What it answers: a status such as 503, ok, fail:3, slow:5s, hang, drip:1s, gone, busy:60s"
    " (429 with Retry-After), busy-date:60s, busy-nonsense, redirect:URL, loop, flaky:0.5 (503 by"
    " chance), reset, truncated, bad-chunk, oversized:BYTES, flood:BYTES, abort or disable (503"
    " with webhook-delivery)."
)


def _how_often(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Takes `--times`, `--chance` and `--seed`, each None unless given."""
    for option in (
        click.option(
            "--seed",
            type=click.IntRange(0, replies.MAX_SEED),
            help="With a chance: whenever the reply is set, the same requests in line get it.",
        ),
        click.option(
            "--chance",
            type=click.FloatRange(0, 1),
            help="Give it by chance, from 0 to 1, and a bare 200 otherwise.",
        ),
        click.option(
            "--times",
            type=click.IntRange(0, replies.MAX_TIMES),
            help="Give it to so many requests of a message, and a bare 200 to those after them.",
        ),
    ):
        verb = option(verb)
    return verb


_MILLISECOND: Final = timedelta(milliseconds=1)


def _on_the_wire(reply: ScriptedReply, how_often: dict[str, Any]) -> dict[str, Json]:
    given = {name: value for name, value in how_often.items() if value is not None}
    chosen = replace(reply, **given)
    return {
        "statusCode": chosen.status_code,
        "headers": [list(each) for each in chosen.headers],
        "body": chosen.body.decode(),
        "delayMs": chosen.delay // _MILLISECOND,
        "mode": chosen.mode.value,
        "dripMs": chosen.drip_every // _MILLISECOND,
        "times": chosen.times,
        "chance": chosen.chance,
        "seed": chosen.seed,
        "size": chosen.size,
        "retryDateMs": chosen.retry_date // _MILLISECOND,
    }


def _off_the_wire(found: dict[str, Any]) -> ScriptedReply | None:
    """What a bin answers; None: in a way that this release does not know."""
    reply: dict[str, Any] = found["reply"]
    try:
        mode = ReplyMode(reply["mode"])
    except ValueError:
        return None
    return ScriptedReply(
        status_code=reply["statusCode"],
        headers=tuple((name, value) for name, value in reply["headers"]),
        body=reply["body"].encode(),
        delay=reply["delayMs"] * _MILLISECOND,
        mode=mode,
        drip_every=reply["dripMs"] * _MILLISECOND,
        times=reply["times"],
        chance=reply.get("chance", 1.0),
        seed=reply.get("seed"),
        size=reply.get("size", 0),
        retry_date=reply.get("retryDateMs", 0) * _MILLISECOND,
    )


def _answers(found: dict[str, Any]) -> str:
    reply = _off_the_wire(found)
    return found["reply"]["mode"] if reply is None else replies.in_words(reply)


@bin.command()
@click.argument("name", required=False)
@click.option("--reply", callback=_reply, default="ok", metavar="REPLY", help=_REPLY_HELP)
@_how_often
@options.talks
def create(
    server: Client, *, name: str | None, reply: ScriptedReply, as_json: bool, **how_often: Any
) -> None:
    """Make a bin: an address that answers 200, or as told, and keeps what it is sent."""
    wanted: dict[str, Json] = {"reply": _on_the_wire(reply, how_often)}
    answer = server.post(path_of("bin"), wanted if name is None else wanted | {"name": name})
    if as_json:
        return printing.raw_json(answer.body)
    made = answer.json
    printing.fields(
        (
            ("id", made["id"]),
            ("name", made["name"]),
            ("url", made["url"]),
            ("read token", made["readToken"]),
        )
    )
    return printing.line(f"Watch it: stafett bin tail {made['id']}", err=True)


@bin.command("list")
@options.listed
@options.talks
def list_bins(server: Client, *, limit: int, after: str | None, as_json: bool) -> None:
    """List bins, newest first."""
    answer = server.get(path_of("bin"), limit=limit, iterator=after)
    if as_json:
        return printing.raw_json(answer.body)
    printing.table(
        ("id", "name", "caught", "answers", "url", "created"),
        (
            (
                each["id"],
                each["name"],
                each["captureCount"],
                _answers(each),
                each["url"],
                printing.moment(each["createdAt"]),
            )
            for each in answer.json["data"]
        ),
        empty="There is no bin yet: stafett bin create NAME",
    )
    return options.more(answer.json)


@bin.command()
@click.argument("ref")
@options.talks
def show(server: Client, *, ref: str, as_json: bool) -> None:
    """Show a bin: what it answers, and what Stafett's own delivery does after that."""
    answer = server.get(path_of("bin", find(server, ref)["id"]))
    if as_json:
        return printing.raw_json(answer.body)
    found = answer.json
    reply = _off_the_wire(found)
    pairs: list[tuple[str, object]] = [
        ("id", found["id"]),
        ("name", found["name"]),
        ("url", found["url"]),
        ("caught", found["captureCount"]),
        ("created", printing.moment(found["createdAt"])),
        ("answers", _answers(found)),
    ]
    if reply is not None:
        pairs += [(f"  {name}", value) for name, value in reply.headers]
        pairs.append(("then", replies.sequel(reply, now=SystemClock().now()).value))
    return printing.fields(pairs)


@bin.command("reply")
@click.argument("ref")
@click.argument("reply", callback=_reply)
@_how_often
@options.talks
def set_reply(
    server: Client, *, ref: str, reply: ScriptedReply, as_json: bool, **how_often: Any
) -> None:
    """Have a bin answer so from now on: a status, or a word as `create --reply` takes it."""
    found = find(server, ref)
    answer = server.put(path_of("bin", found["id"], "reply"), _on_the_wire(reply, how_often))
    options.done(answer, f"Set the reply of {found['name']} ({found['id']})", as_json=as_json)


@bin.command()
@click.argument("ref")
@click.argument("request")
@options.talks
def pin(server: Client, *, ref: str, request: str, as_json: bool) -> None:
    """Keep a REQUEST (its number or id) until it is unpinned, even when the bin is cleared."""
    found = find(server, ref)
    capture = _capture(server, found, request)
    path = path_of("bin", found["id"], "capture", capture["id"], "pin")
    options.done(server.put(path), f"Pinned #{capture['number']}", as_json=as_json)


@bin.command()
@click.argument("ref")
@click.argument("request")
@options.talks
def unpin(server: Client, *, ref: str, request: str, as_json: bool) -> None:
    """Keep a REQUEST (its number or id) no longer than the others."""
    found = find(server, ref)
    capture = _capture(server, found, request)
    path = path_of("bin", found["id"], "capture", capture["id"], "pin")
    options.done(server.delete(path), f"Unpinned #{capture['number']}", as_json=as_json)


def _capture(server: Client, found: dict[str, Json], request: str) -> dict[str, Any]:
    """A caught request by its number or id. Errors: Failure."""
    text = request.removeprefix("#")
    if not (text.isascii() and text.isdigit()):
        return server.get(path_of("bin", found["id"], "capture", request)).json
    behind = str(int(text) + 1)
    page = server.get(path_of("bin", found["id"], "capture"), limit=1, iterator=behind).json
    for each in page["data"]:
        if each["number"] == int(text):
            return each
    message = f"there is no request #{text} in {found['name']}"
    raise client.NotThere(message)


@bin.command()
@click.argument("ref")
@options.confirmed
@options.talks
def clear(server: Client, *, ref: str, yes: bool, as_json: bool) -> None:
    """Delete everything a bin has caught so far, but what is pinned."""
    found = find(server, ref)
    options.confirm(f"Delete what {found['name']} ({found['id']}) has caught?", yes=yes)
    answer = server.delete(path_of("bin", found["id"], "capture"))
    count = answer.json["deleted"]
    options.done(answer, f"Deleted {count} request{'' if count == 1 else 's'}", as_json=as_json)


@bin.command()
@click.argument("ref")
@options.confirmed
@options.talks
def delete(server: Client, *, ref: str, yes: bool, as_json: bool) -> None:
    """Delete a bin with everything in it."""
    found = find(server, ref)
    options.confirm(f"Delete the bin {found['name']} ({found['id']})?", yes=yes)
    answer = server.delete(path_of("bin", found["id"]))
    options.done(answer, f"Deleted {found['id']}", as_json=as_json)


# --- tail -------------------------------------------------------------------------------------


@bin.command()
@click.argument("ref")
@click.option("--all", "from_start", is_flag=True, help="First what it has caught already.")
@click.option("--count", type=click.IntRange(min=1), help="End after this many requests.")
@options.talks
def tail(server: Client, *, ref: str, from_start: bool, count: int | None, as_json: bool) -> None:
    """Show each request as it is caught; goes on until Ctrl-C.

    A lost connection is made again, and what came meanwhile is shown. With --json each line is
    one request.
    """
    found = find(server, ref)
    shown = 0
    try:
        for capture in follow(server, found, seen="0" if from_start else _newest(server, found)):
            if as_json:
                printing.line(printing.json_safe(capture))
            else:
                show_capture(json.loads(capture))
            shown += 1
            if shown == count:
                return
    except KeyboardInterrupt:
        return


def _newest(server: Client, found: dict[str, Json]) -> str:
    """The number to begin behind: with one from the start, no break of the stream loses any."""
    page = server.get(path_of("bin", found["id"], "capture"), limit=1).json
    return str(page["data"][0]["number"]) if page["data"] else "0"


def follow(server: Client, found: dict[str, Json], *, seen: str) -> Iterator[str]:
    """The JSON of each capture behind number `seen`, for ever. Errors: Failure."""
    path = path_of("bin", found["id"], "tail")
    tries = 0
    while True:
        try:
            follows = False
            for name, value in _events(server.lines(path, last_event_id=seen)):
                if not follows and (name != "open" or tries == 0 or _is_ready(server)):
                    _say_connected(found, again=tries > 0)
                    tries, follows = 0, True
                if name == "id":
                    seen = value
                elif name == "data":
                    yield value
            lost = "the server ended the stream"
        except (OSError, client.NoServer) as error:
            lost = str(error) or type(error).__name__
        except client.NoToken as error:
            # Asked while it was starting again, a server knows only its new token.
            if not _look_again(server):
                raise
            lost = error.message
        if tries == 0:
            printing.line(f"Lost the connection ({printing.safe(lost)}); trying again", err=True)
        time.sleep(_AGAIN_SECONDS[min(tries, len(_AGAIN_SECONDS) - 1)])
        tries += 1
        _look_again(server)


def _is_ready(server: Client) -> bool:
    """A server that stops takes a stream still, and ends it at once: that is no connection."""
    try:
        server.get("/ready")
    except client.Failure:
        return False
    return True


def _look_again(server: Client) -> bool:
    """A server that was started again has another address or token: whether it has."""
    before = server.server
    with contextlib.suppress(client.NoServer):
        server.find_again()
    return server.server != before


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """("open", ""), then ("id", number) behind ("data", JSON): seen only once it was handed on.

    ("alive", "") now and then, where nothing came for a while.
    """
    number = data = ""
    for line in lines:
        if line.startswith(": following"):
            yield "open", ""
        elif line.startswith(":"):
            yield "alive", ""
        elif line.startswith("id:"):
            number = line[3:].strip()
        elif line.startswith("data:"):
            data = line[5:].strip()
        elif not line and data:
            yield "data", data
            yield "id", number
            number = data = ""


def _say_connected(found: dict[str, Json], *, again: bool) -> None:
    said = "Following again" if again else "Following"
    printing.line(f"{said} {printing.safe(found['name'])} at {found['url']}", err=True)


def show_capture(capture: dict[str, Any]) -> None:
    """Print one caught request."""
    size, peer = _size(capture), printing.safe(capture["peer"])
    status = capture["statusCode"]
    printing.line(
        f"#{capture['number']} {printing.moment(capture['receivedAt'])}"
        f" {printing.safe(capture['method'])} {printing.safe(capture['target'])}"
        f" {f'answered {status}' if status else 'not answered'}, {size} from {peer}"
        f"{' (pinned)' if capture['pinned'] else ''}"
    )
    if capture["attemptId"] is not None:
        printing.line(f"  ours: message {capture['messageId']}, attempt {capture['attemptId']}")
    for name, value in capture["headers"]:
        shown = "(hidden)" if egress.is_sensitive(name) else printing.safe(value)
        printing.line(f"  {printing.safe(name)}: {shown}")
    printing.line(_body(capture) + "\n")


def _size(capture: dict[str, Any]) -> str:
    size = f"{capture['bodySize']} bytes"
    return f"more than the {size} kept" if capture["truncated"] else size


def _body(capture: dict[str, Any]) -> str:
    body: str | None = capture["body"]
    if body is None:
        return "  (not text; --json has it in base64)"
    try:
        text = printing.pretty(json.loads(body))
    except (ValueError, RecursionError):
        text = printing.safe_lines(body)
    if len(text) <= _MAX_SHOWN:
        return text
    return f"{text[:_MAX_SHOWN]}\n  (and {len(text) - _MAX_SHOWN} more characters)"
