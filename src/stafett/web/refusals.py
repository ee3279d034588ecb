"""One table: which error answers an operation can give, told from what its route is.

What only some handlers can come to is named beside the rule; 500 is a bug, and in no description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from stafett.web import api_attempts as attempts
from stafett.web import api_authentication as authentication
from stafett.web import api_bins as bins
from stafett.web import api_endpoints as endpoints
from stafett.web import api_event_types as event_types
from stafett.web import api_messages as messages
from stafett.web import api_tokens as tokens
from stafett.web import api_users as users
from stafett.web import probes
from stafett.web.routes import Access, Route


class ErrorOut(msgspec.Struct):
    """What went wrong: a word for programs, and a sentence for people."""

    code: str
    detail: str


class ProblemOut(msgspec.Struct):
    """One thing wrong with a request: where, what, and its kind."""

    loc: list[str | int]
    msg: str
    type: str


class InvalidOut(msgspec.Struct):
    """Everything that is wrong with a request."""

    detail: list[ProblemOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One error answer."""

    status: int
    description: str
    can_come: Callable[[Route], bool]
    body: Any = ErrorOut  # a struct


_CHANGES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_CAN_BE_SENSELESS: Final = frozenset(
    {
        attempts.resend,
        bins.create_bin,
        bins.pin_capture,
        endpoints.bulk_replay,
        endpoints.recover,
        endpoints.replay_missing,
        endpoints.rotate_secret,
        endpoints.send_example,
        endpoints.send_test,
        event_types.import_openapi,
        messages.create_batch,
        messages.expunge_messages,
    }
)
"""Those that are refused for something else than a query which cannot be read."""
_CAN_CONFLICT: Final = frozenset({users.delete_user})
"""Without an idempotency key, and without a uid that may be taken."""


def _is_guarded(route: Route) -> bool:
    return route.access is not Access.OPEN


def _is_for_some(route: Route) -> bool:
    return route.access in {Access.OWNER, Access.READER} or route.handler is authentication.logout


def _names_something(route: Route) -> bool:
    """An event type that is put is made where there is none."""
    if route.handler is event_types.put_event_type:
        return False
    return "{" in route.path or route.handler is tokens.create_token


def _keeps_promises(route: Route) -> bool:
    """Who has logged out repeats nothing."""
    leaves = route.handler is authentication.logout
    return route.method == "POST" and _is_guarded(route) and not leaves


def _can_conflict(route: Route) -> bool:
    has_uid = route.body is not None and "uid" in route.body.__struct_fields__
    return _keeps_promises(route) or has_uid or route.handler in _CAN_CONFLICT


TABLE: Final = (
    Refusal(
        status=400,
        description="The query cannot be read, or what is asked for makes no sense now.",
        can_come=lambda route: bool(route.query) or route.handler in _CAN_BE_SENSELESS,
    ),
    Refusal(status=401, description="No valid token came with it.", can_come=_is_guarded),
    Refusal(status=403, description="The token may not do this.", can_come=_is_for_some),
    Refusal(
        status=404,
        description="There is no such thing, or none that the token may know of.",
        can_come=_names_something,
    ),
    Refusal(
        status=409,
        description="The name is taken, the state of the object forbids it, or the idempotency key"
        " was used for another body.",
        can_come=_can_conflict,
    ),
    Refusal(
        status=413,
        description="The body is over the limit.",
        can_come=lambda route: route.method in _WITH_BODY,
    ),
    Refusal(
        status=422,
        description="Fields break rules; each is named.",
        can_come=lambda route: route.body is not None or "limit" in route.query,
        body=InvalidOut,
    ),
    Refusal(
        status=423,
        description="A request with the same idempotency key is still being answered.",
        can_come=lambda route: _keeps_promises(route) and not route.own_idempotency,
    ),
    Refusal(
        status=503,
        description="The server cannot take this now and has done nothing; ask again later.",
        can_come=lambda route: route.handler is not probes.ping,
    ),
    Refusal(
        status=507,
        description="The disk is full: nothing was done.",
        can_come=lambda route: route.method in _CHANGES,
    ),
)


def of(route: Route) -> Iterator[Refusal]:
    """Those that `route` can give, in order of status."""
    return (each for each in TABLE if each.can_come(route))
