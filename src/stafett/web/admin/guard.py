"""Whether a request to the admin may be answered at all: host, origin, session, form token.

A page on another site can make a browser send requests here, and a name that resolves to this
machine can make it read the answers (DNS rebinding). So the host has to be one of ours, and
whatever changes something has to come from a page of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from stafett import errors
from stafett.app import Scope
from stafett.settings import Settings

COOKIE: Final = "stafett_session"
LANGUAGE_COOKIE: Final = "stafett_language"
_MASKED: Final = rb"\1(masked)"
_SESSION: Final = re.compile(rb"((?:^|[;,\s])(?:__Host-)?%b\s*=\s*)[^;,\s]+" % COOKIE.encode())
_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


def without_session(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """`headers`, the session of whoever is signed in masked: others may read what a bin keeps.

    A browser sends it to every page of this host.
    """
    for name, value in headers:
        if name.lower() == b"cookie":
            yield name, _SESSION.sub(_MASKED, value)
        else:
            yield name, value


def host_of(headers: Mapping[bytes, bytes]) -> str:
    """The Host header as sent, port included; empty where there is none."""
    return headers.get(b"host", b"").decode("latin-1")


def check_host(headers: Mapping[bytes, bytes], settings: Settings) -> None:
    """Errors: Forbidden, for a name that nobody said is ours.

    An address is always fine: a stranger's page cannot have one as its name.
    """
    name = _parts(f"//{host_of(headers)}").hostname or ""
    if name in _LOCAL_NAMES or name.endswith(".localhost") or _is_address(name):
        return
    public = urlsplit(settings.public_url or "").hostname
    if name and name in {public, settings.host.lower()}:
        return
    message = (
        f"this server is not known as {name!r}; set STAFETT_PUBLIC_URL to the address that people"
        " open, for example https://hooks.example.com"
    )
    raise errors.Forbidden(message)


def check_origin(scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Errors: Forbidden, for a request that changes something and comes from elsewhere.

    What a script asks for, a live stream above all, has to come from a page of ours too.
    """
    safe = scope["method"] in _SAFE_METHODS
    scripted = by_htmx(headers) or b"text/event-stream" in headers.get(b"accept", b"")
    if safe and not scripted:
        return
    site = headers.get(b"sec-fetch-site")
    origin = headers.get(b"origin", b"").decode("latin-1")
    if site is not None:
        ours = site == b"same-origin"
    elif origin or not safe:
        ours = bool(origin) and _parts(origin).netloc == host_of(headers)
    else:
        # A browser names no origin where it reads from its own, and the site over TLS only. The
        # header of htmx is enough: a page elsewhere would have to ask first whether it may send it.
        ours = by_htmx(headers)
    if not ours:
        message = "this request did not come from a page of this server; open the page again"
        raise errors.Forbidden(message)


def by_htmx(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a script of a page asks, for a part of it."""
    return headers.get(b"hx-request") == b"true"


def _parts(url: str) -> SplitResult:
    """Of a URL as a stranger wrote it; empty ones where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def is_secure(scope: Scope, settings: Settings) -> bool:
    """Whether people reach this server over TLS, here or at a proxy in front."""
    return scope["scheme"] == "https" or (settings.public_url or "").startswith("https:")


def cookie(headers: Mapping[bytes, bytes], name: str) -> str:
    """A cookie's value; empty where there is none. The others' are not even looked at."""
    for each in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        found, _, value = each.partition("=")
        if found.strip() == name:
            return value.strip()
    return ""


def session_cookie(name: str, value: str, *, seconds: int, secure: bool) -> bytes:
    """A `set-cookie` header; 0 seconds deletes it."""
    text = f"{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}"
    return (text + "; Secure" if secure else text).encode()


def cookie_name(*, secure: bool) -> str:
    """With TLS one that only this very host can set."""
    return f"__Host-{COOKIE}" if secure else COOKIE


def form_token(session_text: str) -> str:
    """What every form of a session carries; another site cannot know it."""
    return hmac.digest(session_text.encode(), b"form", hashlib.sha256).hex()[:32]


def check_form_token(given: str, session_text: str) -> None:
    """Errors: Forbidden."""
    if not hmac.compare_digest(given.encode(), form_token(session_text).encode()):
        message = "this form is from another session; open the page again and repeat"
        raise errors.Forbidden(message)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
