"""One API call: what came in, how it is read, and how it is answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from stafett import errors
from stafett.app import Scope, Stafett
from stafett.model import Token
from stafett.web.errors import undecodable

T = TypeVar("T")
RawHeaders = list[tuple[bytes, bytes]]

_encoder = msgspec.json.Encoder()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})


@dataclass(slots=True)
class Reply:
    """An answer: a struct to be written as JSON, or bytes as they are, or nothing."""

    status: int
    content: Any = None  # a struct of `wire`, or JSON
    headers: RawHeaders = field(default_factory=RawHeaders)

    def body(self) -> bytes:
        """The bytes to send."""
        if self.content is None:
            return b""
        return _encoder.encode(self.content)


@dataclass(slots=True)
class Stream:
    """An answer without end: server-sent events, one chunk at a time."""

    chunks: AsyncGenerator[bytes, None]


class Call:
    """A request to the API; a handler gets it with its token checked and its body read."""

    def __init__(self, stafett: Stafett, scope: Scope, *, params: Mapping[str, str]) -> None:
        self.stafett = stafett
        self.scope = scope
        self.body = b""
        """Read only once the token is known to be good."""
        self.params = params
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.token: Token | None = None
        self.app = params.get("app", "")

    # --- reading ------------------------------------------------------------------------------

    def read(self, kind: type[T]) -> T:
        """The body as `kind`; an empty one as `{}`. Errors: Invalid, naming the field."""
        try:
            return decoded(self.body or b"{}", kind)
        except errors.Invalid:
            coding = self.header(b"content-encoding")
            if coding is None or coding.lower() == "identity":
                raise
            message = f"the body says that it is {coding}; only bodies as they are can be read"
            raise errors.BadRequest(message) from None

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """Names and values, in order; `name[]` and `name[1]` are `name`."""
        raw: bytes = self.scope["query_string"]
        return [
            (name.partition("[")[0], value)
            for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
        ]

    def one(self, name: str) -> str | None:
        """The last value that the query gives `name`."""
        found = [value for each, value in self.query if each == name]
        return found[-1] if found else None

    def many(self, name: str) -> list[str]:
        """All values of `name`, repeated or separated by commas."""
        texts = [value for each, value in self.query if each == name]
        return [word for text in texts for word in text.split(",") if word]

    def flag(self, name: str, *, default: bool) -> bool:
        """A yes or no. Errors: BadRequest."""
        text = self.one(name)
        if text is None:
            return default
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        message = f"{name} must be true or false, not {text!r}"
        raise errors.BadRequest(message)

    def number(self, name: str) -> int | None:
        """A whole number. Errors: BadRequest."""
        text = self.one(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError:
            message = f"{name} must be a whole number, not {text!r}"
            raise errors.BadRequest(message) from None

    def moment(self, name: str) -> datetime | None:
        """A time (RFC 3339); without an offset it is UTC. Errors: BadRequest."""
        text = self.one(name)
        if text is None:
            return None
        try:
            # A plus that was not escaped arrives as a space.
            return _in_utc(datetime.fromisoformat(text.replace(" ", "+")))
        except (ValueError, OverflowError):
            message = f"{name} must be a time such as 2026-11-24T12:00:00Z, not {text!r}"
            raise errors.BadRequest(message) from None

    def header(self, name: bytes) -> str | None:
        """The last value of a header, by lower-case name."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def bearer(self) -> str:
        """The text of the token that came along. Errors: Unauthenticated."""
        header = self.header(b"authorization")
        if header is None:
            message = "send a token: `authorization: Bearer …` (stafett token create makes one)"
            raise errors.Unauthenticated(message)
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer" or not text:
            message = "the authorization header must be `Bearer` and a token"
            raise errors.Unauthenticated(message)
        return text.strip()

    @property
    def base_url(self) -> str:
        """How the caller reaches this server, with the prefix it is mounted under."""
        public = self.stafett.settings.public_url
        if public is not None:
            return public
        host = self.header(b"host")
        if host is None:
            name, port = self.scope.get("server") or ("localhost", 80)
            host = f"{name}:{port}"
        return f"{self.scope['scheme']}://{host}{self.scope.get('root_path', '')}"


def aware(at: datetime, *, field: str) -> datetime:
    """`at` of the body in UTC; one without an offset is taken as UTC. Errors: Invalid."""
    try:
        return _in_utc(at)
    except OverflowError:
        problem = errors.Problem(("body", field), "is not between the years 1 and 9999 in UTC")
        raise errors.Invalid([problem]) from None


def span(amount: float, *, unit: timedelta, field: str) -> timedelta:
    """`amount` times `unit`, as the body's `field` says. Errors: Invalid, for what is absurd."""
    try:
        return amount * unit
    except OverflowError:
        raise errors.Invalid([errors.Problem(("body", field), "is too long")]) from None


def decoded(text: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as `kind`. Errors: Invalid, naming the field."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not isinstance(error, msgspec.DecodeError):
            error = msgspec.DecodeError(str(error))
        raise undecodable(error, bytes(text)) from None


def _in_utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


Handler = Callable[[Call], Awaitable[Reply | Stream]]
