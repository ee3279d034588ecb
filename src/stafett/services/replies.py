"""What a bin may answer, and the answers that are wanted most often. Pure.

A reply is a stranger's words on our origin and holds one of our connections: what could act on the
admin pages is refused, and everything that takes time has an end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from stafett import errors, settings
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

AFTERWARDS: Final = ScriptedReply()
"""What is answered once a reply was given as often as it is wanted."""
TOO_MANY: Final = ScriptedReply(
    status_code=503,
    headers=(("retry-after", "5"),),
    body=b"too many requests to this bin wait for their answer; try again shortly\n",
)
"""What is answered at once where no further connection is to be held."""

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


def takes_time(reply: ScriptedReply) -> bool:
    """Whether a connection is held for it."""
    return reply.mode is not ReplyMode.WHOLE or bool(reply.delay)


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
    _check_headers(found, reply.headers)
    found.close()


def _check_body(found: fields.Findings, reply: ScriptedReply) -> None:
    if len(reply.body) > MAX_BODY_BYTES:
        found.add("may have at most 1 MiB", "body")
    elif reply.body and reply.status_code in _BODYLESS:
        found.add(f"must be empty: a {reply.status_code} has none", "body")
    elif reply.mode is ReplyMode.DRIP:
        _check_drip(found, reply)


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


def _whole(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 9:
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
}
"""By word: how it is made, and of what where nothing else is said."""

USUAL: Final = ("ok", *_USUAL)
"""The words that `usual` knows."""


def usual(text: str) -> ScriptedReply:
    """A reply by its word, or by a status: `503`, `fail:2`, `slow:2s`, `busy:30s`, `redirect:URL`.

    What follows the colon is how often (fail, hang, gone), how long (slow, drip, busy) or where to
    (redirect). Errors: Invalid.
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
