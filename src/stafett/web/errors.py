"""One table: which of our errors is which HTTP answer. Every answer that is not 2xx is JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final, Never

import msgspec

from stafett import errors

STATUS: Final[dict[type[errors.StafettError], int]] = {
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.EventTypeExists: 409,
    errors.IdempotencyMismatch: 409,
    errors.InProgress: 423,
    errors.Invalid: 422,
    errors.BadRequest: 400,
    errors.InvalidRange: 400,
    errors.LimitReached: 400,
    errors.MissingPayload: 400,
    errors.PayloadTooLarge: 413,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.TooMany: 429,
    errors.NotImplementedHere: 501,
    errors.Unavailable: 503,
    errors.StoreFull: 507,
    errors.StoreBroken: 503,
    errors.StoreInUse: 503,
    errors.SchemaTooNew: 503,
    errors.InvalidSettings: 500,
    errors.StafettError: 500,
}
# The fields that the wire calls otherwise than the model does.
_WIRE_NAMES: Final = {"uid": "uid", "rate_limit": "throttleRate", "group": "groupName"}
_UNDERSCORE = re.compile(r"_([a-z])")


def status_of(error: errors.StafettError) -> int:
    """The HTTP status of `error`."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def body_of(error: errors.StafettError) -> Any:  # JSON
    """The body of the answer: code and detail, or one entry for each problem."""
    if isinstance(error, errors.Invalid):
        return {
            "detail": [
                {"loc": _wire_loc(each.loc), "msg": each.msg, "type": each.kind}
                for each in error.problems
            ]
        }
    return {"code": error.code, "detail": error.detail}


def headers_of(error: errors.StafettError) -> list[tuple[bytes, bytes]]:
    """What the answer carries beside its body."""
    if isinstance(error, errors.Unavailable | errors.TooMany):
        return [(b"retry-after", str(math.ceil(error.retry_after)).encode())]
    if isinstance(error, errors.InProgress):
        return [(b"retry-after", b"1")]
    if isinstance(error, errors.Unauthenticated):
        return [(b"www-authenticate", b"Bearer")]
    return []


def _wire_loc(loc: Sequence[str | int]) -> list[str | int]:
    """Only the field of the body itself is ours to spell; what lies in it is the caller's."""
    if len(loc) < 2 or not isinstance(loc[1], str):
        return list(loc)
    name = _WIRE_NAMES.get(loc[1]) or _UNDERSCORE.sub(lambda m: m[1].upper(), loc[1])
    return [loc[0], name, *loc[2:]]


def undecodable(error: msgspec.DecodeError, body: bytes = b"") -> errors.Invalid:
    """What a body that does not decode is told: where, and what was expected."""
    if not isinstance(error, msgspec.ValidationError):
        why = _HALF if _has_half_a_character(body) else error
        problem = errors.Problem(("body",), f"is not JSON: {why}", "value_error.jsondecode")
        return errors.Invalid([problem])
    message, _, path = str(error).partition(" - at `$")
    loc: list[str | int] = ["body"]
    for name, index in re.findall(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]", path):
        loc.append(name or (int(index) if index.isdigit() else index))
    missing = re.search(r"missing required field `(.+?)`", message)
    if missing:
        problem = errors.Problem((*loc, missing[1]), "is required", "value_error.missing")
    else:
        problem = errors.Problem(tuple(loc), _in_words(message), "type_error")
    return errors.Invalid([problem])


_HALF: Final = "one half of a surrogate pair stands alone in it, which is no character"


def _has_half_a_character(body: bytes) -> bool:
    """The decoder says of such a text that it ends too early; another one takes it."""
    try:
        json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> Never:
    raise ValueError(constant)


def _in_words(message: str) -> str:
    return message[:1].lower() + message[1:]
