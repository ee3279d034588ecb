"""What a bin may answer, and the answers that are wanted most often. Pure.

A reply is a stranger's words on our origin and holds one of our connections: what could act on the
admin pages is refused, and everything that takes time has an end.
"""

from __future__ import annotations

import email.utils
import enum
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from stafett import errors, retry, settings
from stafett.model import Headers, ReplyMode, ScriptedReply
from stafett.services import fields

MAX_BODY_BYTES: Final = 1 << 20
MAX_HEADERS: Final = 50
MAX_HEADER_BYTES: Final = 4_096
MAX_DELAY: Final = timedelta(seconds=30)
MAX_HELD: Final = timedelta(minutes=5)
"""How long a hang or a drip may last: no sender has an attempt timeout longer than that."""
MIN_DRIP: Final = timedelta(milliseconds=10)
MAX_TIMES: Final = 100
MAX_SEED: Final = 999_999_999
SIZES: Final = {
    ReplyMode.OVERSIZED: (1 << 20, 100 << 20),
    ReplyMode.FLOOD: (32 << 10, 1 << 20),
}
"""Smallest and largest, in bytes. A smaller flood is one that a receiver's server might send."""
MAX_RETRY_DATE: Final = timedelta(days=7)

AFTERWARDS: Final = ScriptedReply()
"""What is answered once a reply was given as often as it is wanted."""
TOO_MANY: Final = ScriptedReply(
    status_code=503,
    headers=(("retry-after", "5"),),
    body=b"too many requests to this bin wait for their answer; try again shortly\n",
)
"""What is answered at once where no further connection is to be held."""
UNBREAKABLE: Final = ScriptedReply(
    status_code=501,
    body=b"this bin breaks its connections, and the server that it runs in has no way to do it;"
    b" `stafett serve` has one\n",
)
"""What is answered where a connection cannot be broken."""

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# Framing is the server's; the others would let a stranger's bin act on the origin it shares with
# the admin pages: cookies, storage, service workers, forced TLS, credentials over CORS, another
# server in place of this one, reports of every page that is opened.
_REFUSED_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "access-control-allow-credentials",
        "alt-svc",
        "clear-site-data",
        "content-security-policy",
        "nel",
        "report-to",
        "service-worker-allowed",
        "set-cookie",
        "set-cookie2",
        "strict-transport-security",
    }
)
_BODYLESS: Final = frozenset({204, 205, 304})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LASTING: Final = frozenset({ReplyMode.DRIP, ReplyMode.HANG, ReplyMode.OVERSIZED})
_BREAKING: Final = frozenset({ReplyMode.RESET, ReplyMode.TRUNCATED, ReplyMode.BAD_CHUNK})
_FLOOD_LINE: Final = 64
"""Bytes of one header of a flood, line end and all."""


def takes_time(reply: ScriptedReply) -> bool:
    """Whether a connection is held for it."""
    return reply.mode in _LASTING or bool(reply.delay)


def breaks(reply: ScriptedReply) -> bool:
    """Whether it is no answer of HTTP, so that the connection itself is needed for it."""
    return reply.mode in _BREAKING


def answers(reply: ScriptedReply) -> bool:
    """Whether its status is sent."""
    return reply.mode not in {ReplyMode.HANG, ReplyMode.RESET}


def prepared(reply: ScriptedReply, *, now: datetime, target: bytes) -> ScriptedReply:
    """With the headers that only a request makes known; `target` is what it asked for, raw."""
    more: list[tuple[str, str]] = []
    if reply.mode is ReplyMode.LOOP:
        more.append(("location", urllib.parse.quote(target, safe=_IN_TARGET)))
    elif reply.mode is ReplyMode.FLOOD:
        more += _flood(reply.size)
    if reply.retry_date:
        # A date has no fractions: the second that has begun is not promised.
        at = now + reply.retry_date + timedelta(seconds=1)
        more.append(("retry-after", email.utils.format_datetime(at, usegmt=True)))
    return replace(reply, headers=(*reply.headers, *more)) if more else reply


_IN_TARGET: Final = "/?#[]@!$&'()*+,;=:%-._~"


def _flood(size: int) -> list[tuple[str, str]]:
    names = (f"x-flood-{place:05}" for place in range(size // _FLOOD_LINE))
    return [(name, "x" * (_FLOOD_LINE - len(name) - len(": \r\n"))) for name in names]


# --- what may stand in one --------------------------------------------------------------------


def check(reply: ScriptedReply) -> None:
    """Errors: Invalid, with everything that is wrong with it."""
    found = fields.Findings()
    if not 200 <= reply.status_code <= 599:
        found.add("must be between 200 and 599", "status_code")
    _check_body(found, reply)
    if not timedelta(0) <= reply.delay <= MAX_DELAY:
        found.add("must be between 0 and 30 seconds", "delay")
    if not 0 <= reply.times <= MAX_TIMES:
        found.add(f"must be between 0 and {MAX_TIMES}", "times")
    _check_chance(found, reply)
    _check_size(found, reply)
    if not timedelta(0) <= reply.retry_date <= MAX_RETRY_DATE:
        found.add("must be between 0 and 7 days", "retry_date")
    _check_headers(found, reply.headers)
    if reply.mode is ReplyMode.LOOP:
        _check_loop(found, reply)
    found.close()


def _check_chance(found: fields.Findings, reply: ScriptedReply) -> None:
    if not 0 <= reply.chance <= 1:  # also what is no number
        found.add("must be between 0 and 1", "chance")
    if reply.seed is not None and not 0 <= reply.seed <= MAX_SEED:
        found.add(f"must be between 0 and {MAX_SEED}", "seed")


def _check_size(found: fields.Findings, reply: ScriptedReply) -> None:
    least, most = SIZES.get(reply.mode, (0, SIZES[ReplyMode.OVERSIZED][1]))
    if not least <= reply.size <= most:
        found.add(f"must be between {least} and {most} bytes", "size")


def _check_loop(found: fields.Findings, reply: ScriptedReply) -> None:
    if reply.status_code not in _REDIRECTS:
        found.add("must be one that redirects: 301, 302, 303, 307 or 308", "status_code")
    if any(name.lower() == "location" for name, _ in reply.headers):
        found.add("location is where a loop leads: it is not for a header to say", "headers")


def _check_body(found: fields.Findings, reply: ScriptedReply) -> None:
    if len(reply.body) > MAX_BODY_BYTES:
        found.add("may have at most 1 MiB", "body")
    elif reply.body and reply.status_code in _BODYLESS:
        found.add(f"must be empty: a {reply.status_code} has none", "body")
    elif reply.mode is ReplyMode.DRIP:
        _check_drip(found, reply)
    elif reply.mode is ReplyMode.TRUNCATED and not reply.body:
        found.add("must not be empty: half of it is sent", "body")
    elif reply.mode in _BODIED and reply.status_code in _BODYLESS:
        found.add(f"cannot be {reply.status_code}: it has no body", "status_code")


_BODIED: Final = frozenset({ReplyMode.BAD_CHUNK, ReplyMode.OVERSIZED})


def _check_drip(found: fields.Findings, reply: ScriptedReply) -> None:
    if not reply.body:
        found.add("must not be empty: a drip sends it byte by byte", "body")
    elif not MIN_DRIP <= reply.drip_every <= MAX_DELAY:
        found.add("must be between 10 milliseconds and 30 seconds", "drip_every")
    elif len(reply.body) * reply.drip_every > MAX_HELD:
        found.add("is too long: the whole body must be out within 5 minutes", "drip_every")


def _check_headers(found: fields.Findings, headers: Headers) -> None:
    if len(headers) > MAX_HEADERS:
        found.add(f"may have at most {MAX_HEADERS}", "headers")
        return
    for place, (name, value) in enumerate(headers):
        if not _HEADER_NAME.fullmatch(name):
            found.add(f"{name!r} is not a header name", "headers", place)
        elif name.lower() in _REFUSED_HEADERS:
            found.add(f"{name} is not for a bin to set", "headers", place)
        elif len(value) > MAX_HEADER_BYTES or not _HEADER_VALUE.fullmatch(value):
            found.add(
                f"the value of {name} is too long or has control characters", "headers", place
            )


# --- the usual ones ---------------------------------------------------------------------------


def _fail(argument: str) -> ScriptedReply:
    body = b"out of order, on purpose\n"
    return ScriptedReply(status_code=503, body=body, times=_whole(argument))


def _slow(argument: str) -> ScriptedReply:
    return ScriptedReply(delay=settings.parse_duration(argument))


def _hang(argument: str) -> ScriptedReply:
    return ScriptedReply(mode=ReplyMode.HANG, times=_whole(argument))


def _drip(argument: str) -> ScriptedReply:
    every = settings.parse_duration(argument)
    return ScriptedReply(mode=ReplyMode.DRIP, drip_every=every, body=b"one byte at a time\n")


def _gone(argument: str) -> ScriptedReply:
    return ScriptedReply(status_code=410, times=_whole(argument))


def _busy(argument: str) -> ScriptedReply:
    seconds = settings.parse_duration(argument) // timedelta(seconds=1)
    return ScriptedReply(status_code=429, headers=(("retry-after", str(seconds)),))


def _redirect(argument: str) -> ScriptedReply:
    return ScriptedReply(status_code=302, headers=(("location", argument),))


def _reset(argument: str) -> ScriptedReply:
    return ScriptedReply(mode=ReplyMode.RESET, times=_whole(argument))


def _truncated(argument: str) -> ScriptedReply:
    body = b"half of this comes, and the other half never does\n"
    return ScriptedReply(mode=ReplyMode.TRUNCATED, body=body, times=_whole(argument))


def _bad_chunk(argument: str) -> ScriptedReply:
    body = b"the next chunk has no length\n"
    return ScriptedReply(mode=ReplyMode.BAD_CHUNK, body=body, times=_whole(argument))


def _loop(argument: str) -> ScriptedReply:
    return ScriptedReply(status_code=302, mode=ReplyMode.LOOP, times=_whole(argument))


def _oversized(argument: str) -> ScriptedReply:
    return ScriptedReply(mode=ReplyMode.OVERSIZED, size=_whole(argument))


def _flooding(argument: str) -> ScriptedReply:
    return ScriptedReply(mode=ReplyMode.FLOOD, size=_whole(argument))


def _busy_date(argument: str) -> ScriptedReply:
    return ScriptedReply(status_code=429, retry_date=settings.parse_duration(argument))


def _busy_nonsense(argument: str) -> ScriptedReply:
    return ScriptedReply(status_code=429, headers=(("retry-after", argument),))


def _flaky(argument: str) -> ScriptedReply:
    body = b"out of order, by chance\n"
    return ScriptedReply(status_code=503, body=body, chance=chance_of(argument))


def _asks(argument: str) -> ScriptedReply:
    return ScriptedReply(status_code=503, headers=(("webhook-delivery", argument),))


def chance_of(text: str) -> float:
    """A chance as people write it: `0.25`. Errors: ValueError."""
    if _CHANCE.fullmatch(text):
        return float(text)
    message = f"{text!r} is not a number from 0 to 1"
    raise ValueError(message)


def chance_as_typed(chance: float) -> str:
    """What `chance_of` reads as exactly this chance."""
    return format(Decimal(repr(chance)).normalize(), "f")


_CHANCE: Final = re.compile(r"[01]|[01]?\.[0-9]{1,400}")  # the smallest float has 324 of them


def _whole(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    message = f"{text!r} is not a whole number"
    raise ValueError(message)


_USUAL: Final[dict[str, tuple[Callable[[str], ScriptedReply], str]]] = {
    "fail": (_fail, "3"),
    "slow": (_slow, "5s"),
    "hang": (_hang, "0"),
    "drip": (_drip, "1s"),
    "gone": (_gone, "0"),
    "busy": (_busy, "60s"),
    "redirect": (_redirect, "https://example.com/"),
    "busy-date": (_busy_date, "60s"),
    "busy-nonsense": (_busy_nonsense, "in a while"),
    "flaky": (_flaky, "0.5"),
    "reset": (_reset, "0"),
    "truncated": (_truncated, "0"),
    "bad-chunk": (_bad_chunk, "0"),
    "loop": (_loop, "0"),
    "oversized": (_oversized, str(10 << 20)),
    "flood": (_flooding, str(64 << 10)),
    "abort": (_asks, "abort-message"),
    "disable": (_asks, "disable"),
}
"""By word: how it is made, and of what where nothing else is said."""

USUAL: Final = ("ok", *_USUAL)
"""The words that `usual` knows."""


def usual(text: str) -> ScriptedReply:
    """A reply by its word, or by a status: `503`, `fail:2`, `slow:2s`, `busy:30s`, `redirect:URL`.

    What follows the colon is how often (fail, hang, gone, reset, truncated, bad-chunk, loop), how
    long (slow, drip, busy, busy-date), where to (redirect), how likely (flaky), how many bytes
    (oversized, flood), or the header's own value (busy-nonsense, abort, disable). Errors: Invalid.
    """
    word, _, argument = text.partition(":")
    try:
        if text == "ok":
            return AFTERWARDS
        if word in _USUAL:
            made, default = _USUAL[word]
            reply = made(argument or default)
        else:
            reply = ScriptedReply(status_code=_whole(text))
    except ValueError as error:
        raise _unknown(text, str(error)) from None
    check(reply)
    return reply


def _unknown(text: str, why: str) -> errors.Invalid:
    known = ", ".join(USUAL)
    message = f"{text!r} is no reply: it must be a status or one of {known} ({why})"
    return errors.Invalid([errors.Problem(("body", "reply"), message)])


# --- in words ---------------------------------------------------------------------------------


def in_words(reply: ScriptedReply) -> str:
    """What is answered, for a terminal: `503 (2x for each message, then 200)`."""
    parts = [_MANNERS[reply.mode].format(status=reply.status_code, size=reply.size)]
    if reply.delay:
        parts.append(f"after {retry.in_words(reply.delay)}")
    if reply.retry_date:
        parts.append(f"with a Retry-After date in {retry.in_words(reply.retry_date)}")
    if reply.chance < 1:
        seed = "" if reply.seed is None else f", seed {reply.seed}"
        parts.append(f"by a chance of {reply.chance:g}{seed}, otherwise 200")
    if reply.times:
        parts.append(f"{reply.times}x for each message, then 200")
    first, *more = parts
    return f"{first} ({'; '.join(more)})" if more else first


_MANNERS: Final = {
    ReplyMode.WHOLE: "{status}",
    ReplyMode.DRIP: "{status}, byte by byte",
    ReplyMode.HANG: "nothing: it hangs",
    ReplyMode.RESET: "nothing: it resets the connection",
    ReplyMode.TRUNCATED: "{status}, and half of the body",
    ReplyMode.BAD_CHUNK: "{status}, and a chunk without a length",
    ReplyMode.LOOP: "{status} to itself",
    ReplyMode.OVERSIZED: "{status}, with a body of {size} bytes",
    ReplyMode.FLOOD: "{status}, with {size} bytes of headers",
}


class Sequel(enum.StrEnum):
    """What Stafett's own delivery does after an answer."""

    DELIVERED = "It is delivered."
    CUT = "It is delivered; Stafett reads the beginning of the body, and closes the connection."
    IN_TIME = (
        "It is as good as its status, where all of it comes within the attempt timeout;"
        " otherwise Stafett tries again by the retry schedule."
    )
    RETRIED = "Stafett tries again by the retry schedule."
    WAITS = (
        "Stafett sends this webhook nothing until the time that Retry-After asks for,"
        " at most 24 hours, and then tries again."
    )
    FOLLOWS_NOT = "Stafett does not follow, and tries again by the retry schedule."
    OFF = "Stafett switches the webhook off."
    TIMES_OUT = "Stafett gives up at the attempt timeout, and tries again by the retry schedule."
    NO_REPLY = "No connection came about, for Stafett: it tries again by the retry schedule."
    BAD_REPLY = "It is no proper reply, whatever its status: Stafett tries again by the schedule."


def sequel(reply: ScriptedReply, *, now: datetime) -> Sequel:
    """What Stafett does when it gets this reply."""
    match reply.mode:
        case ReplyMode.HANG:
            return Sequel.TIMES_OUT
        case ReplyMode.RESET:
            return Sequel.NO_REPLY
        case ReplyMode.TRUNCATED | ReplyMode.BAD_CHUNK | ReplyMode.FLOOD:
            return Sequel.BAD_REPLY
        case ReplyMode.DRIP:
            return Sequel.IN_TIME
        case ReplyMode.WHOLE | ReplyMode.LOOP | ReplyMode.OVERSIZED:
            if reply.delay:
                return Sequel.IN_TIME
            return _by_status(prepared(reply, now=now, target=b"/"), now=now)


def _by_status(reply: ScriptedReply, *, now: datetime) -> Sequel:
    if reply.status_code < 300:
        return Sequel.CUT if reply.mode is ReplyMode.OVERSIZED else Sequel.DELIVERED
    if reply.status_code == 410:
        return Sequel.OFF
    if retry.parse_retry_after(reply.headers, now=now) is not None:
        return Sequel.WAITS
    return Sequel.FOLLOWS_NOT if reply.status_code < 400 else Sequel.RETRIED
