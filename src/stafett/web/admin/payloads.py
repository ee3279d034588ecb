"""A payload as pages show it: as a tree of its fields, and as text. Pure.

What it has may be anything, up to a mebibyte: what is shown of it has limits, and every number
stays as it was written.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, cast

import msgspec

from stafett import bodies, errors
from stafett.ids import EndpointId, MessageId
from stafett.model import Attempt, EventType, Message, PayloadStyle
from stafett.services.event_types import is_hidden
from stafett.web.admin import captures, render

MAX_NODES: Final = 2_000
MAX_DEPTH: Final = 16
"""Deeper down, a value is shown as JSON."""
MAX_VALUE: Final = 2_000
_MAX_BYTES: Final = 256 * 1024

Way = tuple[str | int, ...]
Entries = Sequence[tuple[str | int, Any]]


class _Number(str):
    """A number as it was written: no float could hold every one."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """An object with its names in order, repeats kept."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A field and its value, or an entry of a list."""

    name: str
    value: str
    """As JSON; empty where it has a branch of its own."""
    size: int
    """How many fields or entries it has."""
    nodes: tuple[Node, ...]
    is_list: bool
    sensitive: bool

    @property
    def left_out(self) -> int:
        """How many of them are not in `nodes`: there are too many to show."""
        return self.size - len(self.nodes) if self.nodes else 0


def decoded(text: str) -> Any:
    """JSON of any size and precision, for reading and for judging.

    Errors: Invalid, with a problem at `payload`.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_Object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse,
        )
    except json.JSONDecodeError as error:
        message = f"is not JSON: line {error.lineno}, column {error.colno}"
    except _NoJson as error:
        message = str(error)
    except RecursionError:
        message = "is nested too deep"
    raise errors.Invalid([errors.Problem(("body", "payload"), message)])


class _NoJson(Exception):
    """A word that Python reads and JSON does not know."""


def _refuse(word: str) -> Any:
    message = f"is not JSON: {word} is no number in JSON"
    raise _NoJson(message)


def object_of(text: str) -> bytes:
    """The text's bytes, if it is a JSON object. Errors: Invalid, with a problem at `payload`."""
    if not isinstance(decoded(text), _Object):
        problem = errors.Problem(("body", "payload"), "must be a JSON object")
        raise errors.Invalid([problem])
    return text.encode()


def tree(body: bytes, *, sensitive: Collection[str] = ()) -> Node | None:
    """The payload from its root; None where it is no object or list, or too large for a tree."""
    if len(body) > _MAX_BYTES:
        return None
    try:
        value = decoded(body.decode())
    except (UnicodeDecodeError, errors.Invalid):
        return None
    root = _Planter(frozenset(sensitive)).node("", value, ())
    return root if root.nodes else None


class _Planter:
    def __init__(self, sensitive: frozenset[str]) -> None:
        self._sensitive = sensitive
        self._left = MAX_NODES

    def node(self, name: str, value: Any, way: Way) -> Node:
        self._left -= 1
        inside = _entries(value)
        nodes = tuple(self._nodes(inside, way)) if len(way) < MAX_DEPTH else ()
        return Node(
            name=name,
            value="" if nodes else _written(value),
            size=len(inside),
            nodes=nodes,
            is_list=not isinstance(value, _Object),
            sensitive=bool(self._sensitive and way) and is_hidden(way, self._sensitive),
        )

    def _nodes(self, inside: Entries, way: Way) -> Iterator[Node]:
        for name, each in inside:
            if self._left <= 0:
                return
            yield self.node(str(name), each, (*way, name))


def _entries(value: Any) -> Entries:
    """What is in an object or a list; nothing for any other value."""
    if isinstance(value, _Object):
        return list(value)
    return list(enumerate(cast("list[Any]", value))) if isinstance(value, list) else []


def _written(value: Any) -> str:
    """A value in one line of JSON, up to a limit."""
    text = "".join(islice(_pieces(value), MAX_VALUE))
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + " …"


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, _Number):
        yield value
    elif not isinstance(value, list):
        yield json.dumps(value, ensure_ascii=False)
    else:
        named = isinstance(value, _Object)
        yield "{" if named else "["
        for place, (name, each) in enumerate(_entries(value)):
            yield ", " if place else ""
            yield json.dumps(name, ensure_ascii=False) + ": " if named else ""
            yield from _pieces(each)
        yield "}" if named else "]"


@dataclass(frozen=True, slots=True)
class Text:
    """What a body is as text, or the beginning of it."""

    text: str
    cut: bool


def raw(body: bytes) -> Text:
    """As it came."""
    return Text(captures.beginning(body), cut=len(body) > captures.TEXT_BYTES)


def readable(body: bytes, *, limit: int = captures.TEXT_BYTES) -> Text:
    """JSON with line breaks where it is short enough, else as it came."""
    indented = render.indented(body) if len(body) <= limit else None
    if indented is not None:
        return Text(indented, cut=False)
    return Text(render.visible(body[:limit]), cut=len(body) > limit)


# --- as it is sent ----------------------------------------------------------------------------

_SOME_MESSAGE: Final = "msg_…"
_SOME_ENDPOINT: Final = "ep_…"


def sent(attempt: Attempt, message: Message) -> bytes | None:
    """The body of an attempt, byte for byte; None: the payload is gone, and with it what it was."""
    if message.payload is None:
        return None
    style = bodies.style_of(attempt.outcome.request_headers)
    source = bodies.Source(
        event_type=message.event_type,
        message_id=message.id,
        endpoint_id=attempt.endpoint_id,
        accepted_at=message.created_at,
    )
    return bodies.body(style, message.payload, source)


def preview(
    event_type: EventType, style: PayloadStyle, *, endpoint_id: str, now: datetime
) -> str | None:
    """How the event's sample would be sent; None where that is the sample itself."""
    if style is PayloadStyle.ACCEPTED or event_type.sample is None:
        return None
    source = bodies.Source(
        event_type=event_type.name,
        message_id=MessageId(_SOME_MESSAGE),
        endpoint_id=EndpointId(endpoint_id or _SOME_ENDPOINT),
        accepted_at=now,
    )
    return render.pretty(bodies.body(style, msgspec.json.encode(event_type.sample), source))
