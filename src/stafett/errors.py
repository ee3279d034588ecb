"""One tree of errors: what a caller can get wrong, and what can go wrong underneath.

A class exists only where somebody handles it apart. `code` is the word on the wire; the HTTP status
belongs to `web/errors.py` alone. Messages say what was wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class StafettError(Exception):
    """Root of everything that Stafett raises on purpose."""

    code = "error"

    @property
    def detail(self) -> str:
        """The sentence for the person who caused or must mend this."""
        return str(self)


class NotFound(StafettError):
    """Nothing of that kind has that id or uid, or the caller may not know of it."""

    code = "not_found"


class Conflict(StafettError):
    """The uid or name is taken, or the object is in a state that forbids this."""

    code = "conflict"


class EventTypeExists(Conflict):
    """An event type of that name exists already."""

    code = "event_type_exists"


class IdempotencyMismatch(Conflict):
    """The idempotency key was used before, for another request body."""

    code = "idempotency_mismatch"


class InProgress(StafettError):
    """A request with the same idempotency key is still being answered; ask again shortly."""

    code = "in_progress"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where (path of field names), what, and its kind."""

    loc: tuple[str | int, ...]
    msg: str
    kind: str = "value_error"


class Invalid(StafettError):
    """The input breaks one or more rules; every problem names its field."""

    code = "validation"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, p.loc))}: {p.msg}" for p in problems))
        self.problems = tuple(problems)


class BadRequest(StafettError):
    """The request cannot be read at all, or asks for something that makes no sense."""

    code = "generic_error"


class InvalidRange(BadRequest):
    """The time range is backwards, too wide or too far back."""

    code = "invalid_range"


class LimitReached(BadRequest):
    """A fixed limit (old signing secrets, bins, headers) is reached."""

    code = "limit_reached"


class MissingPayload(BadRequest):
    """The payload of that message was expunged or has expired, so it cannot be sent again."""

    code = "missing_payload"


class PayloadTooLarge(StafettError):
    """The request body is over the limit."""

    code = "payload_too_large"


class Unauthenticated(StafettError):
    """No valid token came with the request."""

    code = "authentication_failed"


class Forbidden(StafettError):
    """The token is valid, but may not do this."""

    code = "insufficient access"


class TooMany(StafettError):
    """Too many tries in too short a time; try again after `retry_after` seconds."""

    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotImplementedHere(StafettError):
    """An operation of the wire format that Stafett does not offer."""

    code = "not_implemented"


class Unavailable(StafettError):
    """Stafett cannot take this now and has taken nothing; try again after `retry_after` seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreFull(Unavailable):
    """The disk is full: nothing was accepted. Deliveries go on; free space and try again."""

    code = "storage_full"


class StoreBroken(StafettError):
    """The store failed in a way that forbids going on (an fsync error, a damaged file)."""

    code = "store_broken"


class StoreInUse(StafettError):
    """Another server holds this store."""

    code = "store_in_use"


class SchemaTooNew(StafettError):
    """The store was written by a newer Stafett than this one."""

    code = "schema_too_new"


class InvalidSettings(StafettError):
    """A setting has a value that cannot be used, or a name that does not exist."""

    code = "invalid_settings"
