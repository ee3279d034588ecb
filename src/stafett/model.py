"""The nouns: frozen values that every floor shares.

Those made for every event are msgspec structs, which cost an eighth of a frozen dataclass to make.

No behaviour beyond what a value knows of itself.

Times end in `_at` and are aware UTC datetimes; durations are timedeltas.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypedDict, TypeVar

import msgspec
from typing_extensions import override

from stafett.ids import (
    AppId,
    AttemptId,
    AuditId,
    BinId,
    CaptureId,
    ClaimId,
    DeliveryId,
    EndpointId,
    MessageId,
    TaskId,
    TokenId,
    UserId,
)

# JSON as a caller gives it: the shape is theirs, so it stays untyped until a schema judges it.
Json = Any
Headers = tuple[tuple[str, str], ...]
"""Ordered header pairs, repeats kept."""

Clock = Callable[[], datetime]
"""Where `now` comes from; only `app.py` names the real one."""


class Secret:
    """A text that never shows itself: `repr` and `str` are masked, `reveal()` is explicit."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; call it only where it is used."""
        return self._text

    @override
    def __repr__(self) -> str:
        return "Secret(****)"

    @override
    def __str__(self) -> str:
        return "****"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    @override
    def __hash__(self) -> int:
        return hash(self._text)


# --- who and where ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A customer of the sender: owns endpoints and messages, sees nobody else's."""

    id: AppId
    uid: str | None
    name: str
    rate_limit: int | None
    metadata: Mapping[str, str]
    created_at: datetime
    updated_at: datetime


class ApplicationChanges(TypedDict, total=False):
    """What an update may change; absent means unchanged."""

    uid: str | None
    name: str
    rate_limit: int | None
    metadata: Mapping[str, str]


class HeaderFamily(enum.StrEnum):
    """Under which names id, timestamp and signature are sent."""

    WEBHOOK = "webhook"
    SVIX = "svix"
    BOTH = "both"


class PayloadStyle(enum.StrEnum):
    """In which form a message's payload is sent (see `bodies`)."""

    ACCEPTED = "accepted"
    """The very bytes that were accepted."""
    ENVELOPE = "envelope"
    """`{type, timestamp, data}`, as Standard Webhooks has it."""
    FLAT = "flat"
    """The payload's own fields, and `_event`, `_id` and `_created` beside them."""
    LEGACY = "legacy"
    """`{webhook_id, type, data}`, as an older generation of senders has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSecret:
    """A signing secret; a rotated one goes on signing until `expires_at`. None: the current one."""

    secret: Secret
    expires_at: datetime | None = None


class DisabledReason(enum.StrEnum):
    """Why an endpoint does not get anything."""

    MANUAL = "manual"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointHealth:
    """What delivering found out; written by `record_attempts` alone."""

    event_count: int = 0
    """Real (not test) messages delivered at least once."""
    failing_since: datetime | None = None
    """First failed attempt after the last success."""
    last_attempt_at: datetime | None = None
    last_status_code: int | None = None
    last_cause: FailureCause | None = None
    paused_until: datetime | None = None
    """Nothing is sent before: the receiver asked for quiet (Retry-After), or too much failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where messages go: a URL, what it wants, and how it is signed. The UI says webhook."""

    id: EndpointId
    app_id: AppId
    uid: str | None
    name: str
    url: str
    description: str
    integration: str
    disabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    event_types: frozenset[str] | None
    """None: every event type."""
    channels: frozenset[str] | None
    """None: every message, also those with channels."""
    rate_limit: int | None
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    header_family: HeaderFamily
    secrets: tuple[EndpointSecret, ...]
    """Newest first; the first has no expiry."""
    payload_style: PayloadStyle = PayloadStyle.ACCEPTED
    retry_schedule: tuple[timedelta, ...] | None = None
    """The waits after each failed attempt; None: the server's."""
    timeout: timedelta | None = None
    """Of one attempt, all told; None: the server's."""
    concurrency: int | None = None
    """The most requests under way at once in one process; None: as many as it stands."""
    health: EndpointHealth = field(default_factory=EndpointHealth)
    created_at: datetime
    updated_at: datetime


class EndpointOptions(TypedDict, total=False):
    """What an endpoint may have otherwise than usual; absent means as usual, or unchanged."""

    payload_style: PayloadStyle
    retry_schedule: tuple[timedelta, ...] | None
    timeout: timedelta | None
    concurrency: int | None


class EndpointChanges(EndpointOptions, total=False):
    """What an update may change; absent means unchanged."""

    uid: str | None
    name: str
    url: str
    description: str
    integration: str
    disabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: datetime | None
    event_types: frozenset[str] | None
    channels: frozenset[str] | None
    rate_limit: int | None
    metadata: Mapping[str, str]
    headers: Mapping[str, str]
    header_family: HeaderFamily
    secrets: tuple[EndpointSecret, ...]


class PayloadCheck(enum.StrEnum):
    """What happens to a payload that does not fit its event type's schema."""

    STRICT = "strict"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """A kind of happening, known by its `name`."""

    name: str
    label: str
    group: str | None
    description: str
    fires_when: str
    schemas: Mapping[str, Json] | None
    """JSON Schema 2020-12 by version number as text; the highest number is in force."""
    sample: Json
    """A realistic payload: what test events carry."""
    reference_sample: Json
    """What the reference product's own test sends; None where there is none."""
    sensitive_fields: tuple[str, ...]
    check: PayloadCheck
    archived: bool
    deprecated: bool
    feature_flags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


class EventTypeChanges(TypedDict, total=False):
    """What an update may change; absent means unchanged."""

    label: str
    group: str | None
    description: str
    fires_when: str
    schemas: Mapping[str, Json] | None
    sample: Json
    reference_sample: Json
    sensitive_fields: tuple[str, ...]
    check: PayloadCheck
    archived: bool
    deprecated: bool
    feature_flags: tuple[str, ...]


# --- what happened ----------------------------------------------------------------------------


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The accepted, immutable fact. `payload` is None when not asked for, or gone."""

    id: MessageId
    app_id: AppId
    uid: str | None
    event_type: str
    channels: tuple[str, ...]
    tags: tuple[str, ...]
    test: bool
    problems: tuple[str, ...]
    """What the payload check found under `warn`; empty for a payload that fits."""
    endpoint_count: int
    """How many endpoints it is owed to. 0: no webhook wanted it."""
    deliver_at: datetime | None
    created_at: datetime
    payload_expires_at: datetime
    payload_gone: bool = False
    payload: bytes | None = None
    trace: str | None = None
    """The W3C `traceparent` of the span that accepted it; None where nothing was traced."""


class DeliveryState(enum.StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENDING = "sending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Trigger(enum.StrEnum):
    """Why an attempt was made."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message owed to one endpoint."""

    id: DeliveryId
    message_id: MessageId
    app_id: AppId
    endpoint_id: EndpointId
    state: DeliveryState
    test: bool
    attempt_count: int
    due_at: datetime | None
    """When the next attempt is due, None when there will be none."""
    last_status_code: int | None
    last_cause: FailureCause | None
    note: str | None
    """What the rule said last, in words: `next try in 5 min: 503`."""
    created_at: datetime
    updated_at: datetime


class DueDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One claimed piece of work: everything an attempt needs but the endpoint's settings."""

    id: DeliveryId
    message_id: MessageId
    app_id: AppId
    endpoint_id: EndpointId
    event_type: str
    accepted_at: datetime
    """When its message was: the `created_at` of that."""
    claim_id: ClaimId
    lease_until: datetime
    attempt_count: int
    """Attempts made before this one, over all runs."""
    failure_count: int
    """Failed attempts of this run: the position in the retry schedule. A resend starts at 0."""
    trigger: Trigger
    test: bool
    payload: bytes
    expired: bool = False
    """Another had claimed it before, and not ended it within its lease."""
    trace: str | None = None
    """Its message's."""


class FailureCause(enum.StrEnum):
    """Why an attempt failed, as its tenant may know it. None of them tells where a name points."""

    STATUS = "status"
    REDIRECT = "redirect"
    TARGET_NOT_ALLOWED = "target_not_allowed"
    DNS_FAILED = "dns_failed"
    REFUSED = "refused"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"
    BAD_REPLY = "bad_reply"
    INTERNAL = "internal"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one attempt before it is stored. A status code, or a cause, or both."""

    status_code: int | None = None
    cause: FailureCause | None = None
    """None exactly when the status is 2xx."""
    detail: str = ""
    """The cause in words, safe to show to the tenant."""
    request_headers: Headers = ()
    response_headers: Headers = ()
    response_body: bytes = b""
    """At most 64 KiB, raw, as received."""
    response_truncated: bool = False
    duration: timedelta = timedelta(0)

    @property
    def succeeded(self) -> bool:
        """2xx and nothing else."""
        return self.cause is None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly one HTTP request, as recorded."""

    id: AttemptId
    delivery_id: DeliveryId
    message_id: MessageId
    app_id: AppId
    endpoint_id: EndpointId
    url: str
    outcome: Outcome
    trigger: Trigger
    test: bool
    note: str
    """What the rule decided, in words."""
    content_gone: bool = False
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStats:
    """Deliveries of one endpoint by state."""

    succeeded: int = 0
    pending: int = 0
    sending: int = 0
    failed: int = 0
    canceled: int = 0


# --- who may ask ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A caller's credential, without the secret itself: only its hash is kept."""

    id: TokenId
    name: str
    hash: str
    """Hex SHA-256 of the whole token text (128 or more random bits, so a fast hash is right)."""
    app_id: AppId | None
    """None: an owner token, good for everything. Otherwise it sees this application alone."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


# --- people -----------------------------------------------------------------------------------


class Role(enum.StrEnum):
    """What a user may do; each may do what those after it may."""

    OWNER = "owner"
    """Everything, other owners included."""
    ADMIN = "admin"
    """Everything but owners."""
    DEVELOPER = "developer"
    """Webhooks, events and bins; no tokens, users or settings."""
    VIEWER = "viewer"
    """Looks, and changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who signs in to the admin."""

    id: UserId
    email: str
    """In lower case; what they sign in with."""
    name: str
    role: Role
    password_hash: Secret
    """Argon2id, in its own encoded form."""
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None


class UserChanges(TypedDict, total=False):
    """What an update of a user may change."""

    name: str
    role: Role
    password_hash: Secret
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in, without its secret: only the hash is kept."""

    hash: str
    """Hex SHA-256 of the cookie's text."""
    user_id: UserId
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    """However busy it is, it ends then."""
    address: str
    user_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Somebody did something that may have to be explained one day."""

    id: AuditId
    actor: str
    """Who: a user's e-mail address, or what else acted (`setup`, `command line`)."""
    action: str
    """A noun and a verb: `session.created`, `webhook.secret_shown`."""
    target: str
    """The id of what it was done to; empty where there is none."""
    detail: str
    address: str
    created_at: datetime


# --- request bins -----------------------------------------------------------------------------


class ReplyMode(enum.StrEnum):
    """In what way a bin answers."""

    WHOLE = "whole"
    """In one piece."""
    DRIP = "drip"
    """The body byte by byte."""
    HANG = "hang"
    """Not at all: the connection is held until the caller leaves."""
    RESET = "reset"
    """Not at all: the connection is reset."""
    TRUNCATED = "truncated"
    """`content-length` as the body is, then half of the body and the end of the connection."""
    BAD_CHUNK = "bad_chunk"
    """The body in chunks, and behind it one whose length is no number."""
    LOOP = "loop"
    """A redirect to where the request was sent."""
    OVERSIZED = "oversized"
    """A body of `size` bytes, whatever `body` is."""
    FLOOD = "flood"
    """With more headers, `size` bytes of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedReply:
    """What a bin answers."""

    status_code: int = 200
    headers: Headers = ()
    body: bytes = b""
    delay: timedelta = timedelta(0)
    mode: ReplyMode = ReplyMode.WHOLE
    drip_every: timedelta = timedelta(seconds=1)
    """The pause before each byte of a drip."""
    times: int = 0
    """How many requests with the same webhook-id get it, the next ones a bare 200. 0: all of them.

    Those without an id count together.
    """
    chance: float = 1.0
    """How likely a request gets it, from 0 to 1; the others get a bare 200."""
    seed: int | None = None
    """With one, the same requests from the first on get it whenever the reply is set anew."""
    size: int = 0
    """In bytes; only of a reply that is oversized or floods."""
    retry_date: timedelta = timedelta(0)
    """Adds `Retry-After` with a date: so long after the request. 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """A request bin: whatever is sent to its catch address is kept as it came."""

    id: BinId
    name: str
    catch_token: str
    """Part of the public address; whoever has it can only add captures."""
    read_token_hash: str
    reply: ScriptedReply
    reply_since: int
    """The number of the newest capture when the reply was set: from there on its `times` count."""
    capture_count: int
    """Caught over all its life; the ring keeps the newest."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One caught request, byte for byte."""

    id: CaptureId
    bin_id: BinId
    number: int
    """Counts up by one within its bin and is never reused: the position in the stream."""
    method: str
    target: bytes
    """Raw request target: path and query as sent."""
    http_version: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    body_truncated: bool
    peer: str
    received_at: datetime
    status_code: int
    """What the bin answered; 0: nothing, as the connection hung or was reset."""
    message_id: MessageId | None
    attempt_id: AttemptId | None
    """Set when it is one of our own messages: the attempt that caused it."""
    webhook_id: str | None
    """What its sender calls the message, by the header `webhook-id` or `svix-id`."""
    pinned: bool = False
    """Pinned ones stay when the bin is cleared, and the ring does not count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A capture without its headers and its body."""

    id: CaptureId
    number: int
    method: str
    target: bytes
    size: int
    """Bytes of its body that are kept."""
    received_at: datetime
    status_code: int
    attempt_id: AttemptId | None
    pinned: bool


def arrival_of(capture: Capture) -> Arrival:
    """The same without headers and body."""
    return Arrival(
        id=capture.id,
        number=capture.number,
        method=capture.method,
        target=capture.target,
        size=len(capture.body),
        received_at=capture.received_at,
        status_code=capture.status_code,
        attempt_id=capture.attempt_id,
        pinned=capture.pinned,
    )


# --- lists ------------------------------------------------------------------------------------

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """Which slice of a list. `after` is the id (or name) the page starts behind, exclusive."""

    limit: int = 50
    after: str | None = None
    backward: bool = False
    """Walk towards the start from `after`; the page still comes in list order."""
    ascending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One slice, in list order; `done` when nothing follows in the direction walked."""

    items: tuple[T, ...]
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """Which messages, attempts or deliveries of an application. None: no such condition."""

    event_types: frozenset[str] | None = None
    channel: str | None = None
    tag: str | None = None
    before: datetime | None = None
    after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFilter(MessageFilter):
    """Adds what only attempts have."""

    message_id: MessageId | None = None
    endpoint_id: EndpointId | None = None
    succeeded: bool | None = None
    status_code_class: int | None = None
    """0 (no answer), 100, 200, 300, 400 or 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter(MessageFilter):
    """Adds what only deliveries have."""

    state: DeliveryState | None = None


# --- background work --------------------------------------------------------------------------


class TaskKind(enum.StrEnum):
    """What a task sends to its endpoint; the value is the word on the wire."""

    RECOVER = "endpoint.recover"
    """What failed or was canceled."""
    REPLAY_MISSING = "endpoint.replay"
    """What the endpoint wants and was never owed."""
    BULK_REPLAY = "endpoint.bulk-replay"
    """What it was sent before, however that ended."""


class TaskStatus(enum.StrEnum):
    """Where a task stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed(DeliveryFilter):
    """Which messages a task sends; `after` (inclusive) and `before` are set."""

    status_code_class: int | None = None
    """Of the last attempt: 0 (there was no answer), 100, 200, 300, 400 or 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Background work: makes a range of messages due for one endpoint, oldest first."""

    id: TaskId
    kind: TaskKind
    status: TaskStatus
    app_id: AppId
    endpoint_id: EndpointId
    wanted: Replayed
    cursor: MessageId | None = None
    """Everything up to here is done."""
    sent_count: int = 0
    """Deliveries made due so far."""
    problem: str | None = None
    """Why it failed."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks. None: no such condition."""

    kind: TaskKind | None = None
    status: TaskStatus | None = None
    app_id: AppId | None = None
