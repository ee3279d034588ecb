"""Whether a request to the admin may be answered at all: host, origin, session, form token.

A page on another site can make a browser send requests here, and a name that resolves to this
machine can make it read the answers (DNS rebinding). So the host has to be one of ours, and
whatever changes something has to come from a page of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import SplitResult, urlsplit

from stafett import errors
from stafett.app import Scope
from stafett.settings import Settings

COOKIE: Final = "stafett_session"
LANGUAGE_COOKIE: Final = "stafett_language"
_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


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

    A live stream is read by scripts alone, so it has to come from a page of ours too.
    """
    streams = headers.get(b"accept", b"").startswith(b"text/event-stream")
    if scope["method"] in _SAFE_METHODS and not streams:
        return
    site = headers.get(b"sec-fetch-site")
    origin = headers.get(b"origin", b"").decode("latin-1")
    if site is not None:
        ours = site == b"same-origin"
    else:
        ours = bool(origin) and _parts(origin).netloc == host_of(headers)
    if not ours:
        message = "this request did not come from a page of this server; open the page again"
        raise errors.Forbidden(message)


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
    """A cookie's value; empty where there is none."""
    try:
        jar = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return ""
    found = jar.get(name)
    return "" if found is None else found.value


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
