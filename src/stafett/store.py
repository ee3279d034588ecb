"""The Store contract: what every driver promises. The docstrings are the specification.

Time is passed in, never read. Hot verbs are plural only: one is a batch of one. Every verb is one
transaction; when it returns, what it wrote is on disk and survives a crash of the machine. Refs
have been resolved by the services: here everything is an id.

Errors of every verb: `errors.Unavailable` (nothing was written, try again), `errors.StoreFull` (the
same, the disk is full), `errors.StoreBroken` (stop serving).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import msgspec

from stafett.ids import (
    AppId,
    AttemptId,
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
from stafett.model import (
    Application,
    ApplicationChanges,
    Arrival,
    Attempt,
    AttemptFilter,
    AuditEntry,
    Bin,
    Capture,
    Delivery,
    DeliveryFilter,
    DeliveryState,
    DeliveryStats,
    DisabledReason,
    DueDelivery,
    Endpoint,
    EndpointChanges,
    EventType,
    EventTypeChanges,
    Message,
    MessageFilter,
    Page,
    PageQuery,
    ScriptedReply,
    Session,
    Task,
    TaskFilter,
    Token,
    User,
    UserChanges,
)

# --- the hot path -----------------------------------------------------------------------------


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Whom claimed work belongs to, and for how long."""

    id: ClaimId
    lease_until: datetime


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it is born: claimed, or due at `due_at`."""

    id: DeliveryId
    endpoint_id: EndpointId
    due_at: datetime
    claim: Claim | None = None


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's promise that equal keys mean the same request."""

    key: bytes
    """SHA-256 over token, route and the caller's key."""
    body_hash: bytes


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the deliveries it is owed, to be stored in one transaction."""

    message: Message
    """With its payload."""
    deliveries: tuple[NewDelivery, ...]
    idempotency: Idempotency | None = None


class AddStatus(enum.Enum):
    """What became of one message of a batch."""

    ADDED = "added"
    REPEATED = "repeated"
    """The idempotency key is known with the same body: `message_id` is the first one's."""
    MISMATCH = "mismatch"
    """The idempotency key is known with another body; nothing was stored."""
    UID_TAKEN = "uid_taken"
    """A message of the application has this uid already; nothing was stored."""


class AddResult(msgspec.Struct, frozen=True):
    """The answer for one message of a batch."""

    status: AddStatus
    message_id: MessageId


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One finished attempt, what the retry rule made of it, and under which claim."""

    attempt: Attempt
    claim_id: ClaimId
    state: DeliveryState
    """PENDING (again at `due_at`), SUCCEEDED or FAILED."""
    due_at: datetime | None
    failure_count: int
    """Failed attempts of this run after this one."""
    pause_endpoint_until: datetime | None = None
    disable_endpoint: DisabledReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a batch of attempts brought about."""

    stale: frozenset[AttemptId]
    """Attempts whose claim was no longer theirs: nothing of them was stored."""
    disabled: Mapping[EndpointId, DisabledReason]
    """Endpoints that this batch switched off; their pending deliveries are canceled."""


class Hot(Protocol):
    """The verbs of the journey of one event."""

    async def add_messages(self, batch: Sequence[NewMessage], *, now: datetime) -> list[AddResult]:
        """Store messages, payloads, deliveries and idempotency keys; answers in order.

        One bad item (key known, uid taken) does not touch the others. A delivery born claimed is in
        state sending, otherwise pending. Idempotency keys older than 24 h may be forgotten.
        """
        ...

    async def claim_due(
        self,
        claim: Claim,
        *,
        now: datetime,
        limit: int,
        room: int,
        held: Mapping[EndpointId, int],
    ) -> list[DueDelivery]:
        """Claim due deliveries, oldest first within an endpoint, at most `limit` in all.

        Due is: pending with `due_at <= now`, or sending with a lease that ended. Of each endpoint
        at most `room - held.get(endpoint, 0)`. Endpoints paused beyond `now` give none; due
        deliveries of endpoints that are disabled or gone are canceled. The starting endpoint
        rotates from call to call, so that `limit` starves nobody. Deliveries whose payload is gone
        are set to failed and not returned.
        """
        ...

    async def next_due_at(self, *, now: datetime) -> datetime | None:
        """When the next delivery of an endpoint that may receive becomes due; None: never."""
        ...

    async def record_attempts(
        self, batch: Sequence[AttemptRecord], *, now: datetime, failing_before: datetime
    ) -> Recorded:
        """Store attempts, delivery states, next due times and endpoint health in one transaction.

        A record whose claim no longer holds its delivery changes nothing and is reported as stale.
        Real attempts move health: a success clears `failing_since` (and adds 1 to `event_count`
        when it is the delivery's first success); a failure sets it where it is unset. An endpoint
        with `failing_since <= failing_before` after a failure is disabled as FAILING. Test attempts
        leave health alone but for a disable the record itself asks for. A delivery whose record
        says pending ends as canceled when its endpoint is disabled or gone, or is disabled by this
        very batch.
        """
        ...

    async def release(
        self, claims: Mapping[DeliveryId, ClaimId], *, due_at: datetime, now: datetime
    ) -> None:
        """Give unstarted work back: pending and due at `due_at`, where the claim still holds.

        Canceled instead where the endpoint is disabled or gone.
        """
        ...


class News(enum.StrEnum):
    """What one process may hear from another."""

    DUE = "due"
    """Something became due that nobody has claimed."""
    APPLICATION = "application"
    """It or one of its endpoints was changed, made or deleted; by id."""
    EVENT_TYPES = "event_types"
    TOKENS = "tokens"
    """One was revoked."""
    BIN = "bin"
    """It was changed, made or deleted; by id."""
    CAPTURE = "capture"
    """It has caught something; by id of the bin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Something happened, most likely in another process."""

    news: News
    ref: str


# --- nouns ------------------------------------------------------------------------------------


class Applications(Protocol):
    """Applications."""

    async def add_application(self, application: Application) -> None:
        """Errors: Conflict when the uid is taken."""
        ...

    async def get_application(self, ref: str) -> Application | None:
        """By id or uid."""
        ...

    async def list_applications(self, page: PageQuery) -> Page[Application]:
        """In order of id."""
        ...

    async def update_application(
        self, app_id: AppId, changes: ApplicationChanges, *, now: datetime
    ) -> None:
        """Errors: Conflict when the uid is taken."""
        ...

    async def delete_application(self, app_id: AppId) -> None:
        """With its endpoints, messages, deliveries and attempts. Unknown: nothing happens."""
        ...


class Endpoints(Protocol):
    """Endpoints. `health` is written by `record_attempts` alone."""

    async def add_endpoint(self, endpoint: Endpoint) -> None:
        """Errors: Conflict when the uid is taken within the application."""
        ...

    async def get_endpoint(self, app_id: AppId, ref: str) -> Endpoint | None:
        """By id or uid, within the application."""
        ...

    async def list_endpoints(self, app_id: AppId, page: PageQuery) -> Page[Endpoint]:
        """In order of id."""
        ...

    async def all_endpoints(self, app_id: AppId) -> list[Endpoint]:
        """All of an application, in order of id: what matching needs."""
        ...

    async def update_endpoint(
        self,
        endpoint_id: EndpointId,
        changes: EndpointChanges,
        *,
        now: datetime,
        was: EndpointChanges | None = None,
    ) -> bool:
        """Only where what `was` names is still so; answers whether it was changed.

        So what was read, altered and written back loses nothing that others wrote meanwhile.
        Disabling cancels its pending deliveries in the same transaction. Enabling clears
        `failing_since` and `paused_until`.

        Errors: Conflict when the uid is taken.
        """
        ...

    async def end_pause(self, endpoint_id: EndpointId, *, until: datetime) -> None:
        """Clear `paused_until` where it is exactly `until`: any other pause has another reason."""
        ...

    async def delete_endpoint(self, endpoint_id: EndpointId) -> None:
        """Cancels its pending deliveries. Messages and attempts stay."""
        ...

    async def endpoint_stats(
        self, endpoint_id: EndpointId, *, since: datetime, until: datetime
    ) -> DeliveryStats:
        """Real (not test) deliveries whose message was made in `since <= t < until`."""
        ...


class EventTypes(Protocol):
    """Event types, known by name."""

    async def add_event_types(self, event_types: Sequence[EventType]) -> list[bool]:
        """Add those whose name is free; answers in order whether each was added."""
        ...

    async def get_event_type(self, name: str) -> EventType | None: ...

    async def list_event_types(self, page: PageQuery, *, include_archived: bool) -> Page[EventType]:
        """In order of name."""
        ...

    async def all_event_types(self) -> list[EventType]:
        """Archived ones too: what intake needs."""
        ...

    async def update_event_type(
        self, name: str, changes: EventTypeChanges, *, now: datetime
    ) -> None: ...

    async def save_event_types(
        self, new: Sequence[EventType], changes: Mapping[str, EventTypeChanges], *, now: datetime
    ) -> None:
        """Add all of `new` and change those that `changes` names, or do nothing at all.

        Errors: Conflict, where a name of `new` is taken or one to change is gone.
        """
        ...

    async def delete_event_type(self, name: str) -> None: ...


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """What a search came upon, newest first, until it had enough or had looked far enough."""

    items: tuple[T, ...]
    place: str | None
    """Where to go on; None: everything was looked at."""
    until: datetime | None = None
    """How far back it looked, where that ended it. Older ones may match: go on at `place`."""


class Messages(Protocol):
    """Messages, always within their application."""

    async def get_message(self, app_id: AppId, ref: str, *, with_payload: bool) -> Message | None:
        """By id or uid."""
        ...

    async def list_messages(
        self, app_id: AppId, where: MessageFilter, page: PageQuery, *, with_payload: bool
    ) -> Page[Message]:
        """In order of id (newest first unless `page.ascending`)."""
        ...

    async def expunge_payload(self, app_id: AppId, message_id: MessageId) -> None:
        """Delete the payload's bytes; the message stays."""
        ...

    async def search_messages(
        self,
        app_id: AppId,
        where: MessageFilter,
        texts: Sequence[str],
        *,
        after: str | None,
        limit: int,
        look: int,
    ) -> Found[Message]:
        """Those with one of `texts` in their payload, newest first, without the payloads.

        A to Z are the same as a to z. Looks at most at `look` payloads, fewer where they are large;
        `after` is the `place` where the search before ended.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptCount:
    """How attempts at one endpoint ended."""

    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptsMeasured:
    """The attempts of a slot of time."""

    counts: Mapping[EndpointId, AttemptCount]
    durations: tuple[timedelta, ...] = ()
    """For each percentage that was asked for, what so many of a hundred took at most; of a large
    slot by a sample of some 1,000. Empty without any attempts."""

    @property
    def total(self) -> int:
        """How many."""
        return sum(each.succeeded + each.failed for each in self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery(DeliveryFilter):
    """Adds what only a list over all endpoints is asked for. Times are those of the message."""

    endpoint_id: EndpointId | None = None
    """May be one that is deleted."""
    status_code_class: int | None = None
    """Of the last attempt: 0 (there was no answer), 100, 200, 300, 400 or 500."""
    test: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelivery:
    """A delivery in a list over all endpoints."""

    delivery: Delivery
    message: Message
    """Without its payload."""
    duration: timedelta | None
    """Of the last attempt; None where there was none."""


class Deliveries(Protocol):
    """Deliveries and attempts."""

    async def get_delivery(
        self, message_id: MessageId, endpoint_id: EndpointId
    ) -> Delivery | None: ...

    async def list_deliveries(
        self, message_id: MessageId, page: PageQuery
    ) -> Page[tuple[Delivery, Endpoint | None]]:
        """One message's deliveries in order of endpoint id (newest first unless ascending).

        Each comes with its endpoint (None: deleted since).
        """
        ...

    async def list_attempted_messages(
        self,
        endpoint_id: EndpointId,
        where: DeliveryFilter,
        page: PageQuery,
        *,
        with_payload: bool,
    ) -> Page[tuple[Message, Delivery]]:
        """One endpoint's deliveries with their messages, in order of message id."""
        ...

    async def resend(
        self, delivery: NewDelivery, *, message: Message, now: datetime
    ) -> DeliveryId | None:
        """Make the delivery of `message` to `delivery.endpoint_id` due once more, as a fresh run.

        Failure count 0, trigger manual. It is sending under `delivery.claim` where that is set.

        Makes the delivery where there is none. Answers its id, or None when it is being sent this
        moment (nothing changed).
        """
        ...

    async def cancel(self, delivery_id: DeliveryId, *, now: datetime) -> bool:
        """Cancel a delivery that is pending; False when it is in any other state."""
        ...

    async def get_attempt(self, message_id: MessageId, attempt_id: AttemptId) -> Attempt | None: ...

    async def list_attempts(
        self, app_id: AppId, where: AttemptFilter, page: PageQuery
    ) -> Page[tuple[Attempt, Message]]:
        """In order of id (newest first unless ascending).

        `message_id` or `endpoint_id` is set. The message comes without payload.
        """
        ...

    async def expunge_attempt(self, message_id: MessageId, attempt_id: AttemptId) -> None:
        """Forget the reply's body and headers; the attempt stays."""
        ...

    async def measure_attempts(
        self,
        app_id: AppId,
        *,
        slots: Sequence[tuple[datetime, datetime]],
        percents: Sequence[int],
        limit: int,
    ) -> list[AttemptsMeasured]:
        """Real (not test) attempts begun in each slot (`since <= t < until`).

        Of the endpoints that are there. Measures at most `limit` attempts: a slot is measured whole
        or not at all, and the answer ends before the first that does not fit. So the slots that
        matter most come first.
        """
        ...

    async def recent_durations(
        self, endpoint_ids: Sequence[EndpointId], *, limit: int
    ) -> list[timedelta]:
        """How long the newest real attempts took, at most `limit` of each endpoint, unordered."""
        ...

    async def search_deliveries(
        self, app_id: AppId, where: DeliveryQuery, *, after: str | None, limit: int, look: int
    ) -> Found[ListedDelivery]:
        """An application's deliveries in order of message id, then endpoint id, newest first.

        Looks at about `look` rows (messages, and what they are owed) at most; `after` is the
        `place` where the search before ended.
        """
        ...

    async def list_deliveries_of(
        self, message_ids: Sequence[MessageId], *, limit: int
    ) -> list[Delivery]:
        """The deliveries of several messages, newest message first, at most `limit`."""
        ...


class Tokens(Protocol):
    """Callers' credentials."""

    async def add_token(self, token: Token) -> None: ...

    async def find_token(self, hash: str) -> Token | None: ...  # noqa: A002 - the glossary's word

    async def list_tokens(self, page: PageQuery) -> Page[Token]: ...

    async def revoke_token(self, token_id: TokenId, *, now: datetime) -> bool:
        """False: no such token. Revoking twice keeps the first time."""
        ...

    async def expire_tokens(self, app_id: AppId, *, at: datetime) -> list[TokenId]:
        """No token of this application's is good from `at` on; those that it cuts short."""
        ...

    async def touch_tokens(self, used: Mapping[TokenId, datetime]) -> None:
        """Remember when tokens were last used."""
        ...


class Users(Protocol):
    """People, their sessions, and what they did."""

    async def add_user(self, user: User) -> None:
        """Errors: Conflict (there is one with that address)."""
        ...

    async def add_first_user(self, user: User) -> bool:
        """As `add_user`, but only where there is nobody yet; False otherwise.

        No setup link is good any more after it.
        """
        ...

    async def add_setup_link(self, hash: str, *, now: datetime) -> None:  # noqa: A002 - as tokens
        """Remember a link under which the first user can be made; the newest 20 are kept."""
        ...

    async def has_setup_link(self, hash: str) -> bool:  # noqa: A002 - as tokens
        """Whether such a link was made, and nobody has used any."""
        ...

    async def find_user(self, ref: str) -> User | None:
        """By id or e-mail address (in lower case)."""
        ...

    async def list_users(self) -> list[User]:
        """All of them, in order of id."""
        ...

    async def update_user(
        self, user_id: UserId, changes: UserChanges, *, now: datetime, keep_owner: bool = False
    ) -> None:
        """Errors: NotFound; with `keep_owner` Conflict, for the only owner who can sign in."""
        ...

    async def delete_user(self, user_id: UserId, *, keep_owner: bool = False) -> None:
        """And their sessions; what they did stays in the audit log. `keep_owner`: as above."""
        ...

    async def add_session(self, session: Session) -> None: ...

    async def find_session(self, hash: str) -> tuple[Session, User] | None: ...  # noqa: A002 - as `find_token`

    async def touch_session(self, hash: str, *, now: datetime) -> None:  # noqa: A002 - the same
        """Remember when it was last seen."""
        ...

    async def list_sessions(self, user_id: UserId) -> list[Session]:
        """Newest first."""
        ...

    async def delete_sessions(
        self, user_id: UserId, *, only: str | None = None, but: str | None = None
    ) -> int:
        """All of a user, or only the one with this hash, or all but that; answers how many."""
        ...

    async def expire_sessions(self, *, now: datetime, idle_since: datetime) -> None:
        """Delete those that are over, or were last seen before `idle_since`."""
        ...

    async def add_audit(self, entry: AuditEntry) -> None: ...

    async def list_audit(self, page: PageQuery) -> Page[AuditEntry]:
        """In order of id: newest first unless ascending."""
        ...


class Tasks(Protocol):
    """Background work, as rows: whoever holds a task's claim brings it forward."""

    async def add_task(self, task: Task) -> None:
        """A new one, that anybody may claim at once."""
        ...

    async def get_task(self, task_id: TaskId) -> Task | None: ...

    async def list_tasks(self, where: TaskFilter, page: PageQuery) -> Page[Task]:
        """In order of id: newest first unless ascending."""
        ...

    async def claim_task(self, claim: Claim, *, now: datetime) -> Task | None:
        """The one that has waited longest of those that run and nobody holds; None: there is none.

        One whose lease ended is held by nobody.
        """
        ...

    async def work_on_task(
        self, task_id: TaskId, claim: Claim, *, now: datetime, spare: Sequence[DeliveryId]
    ) -> Task | None:
        """Make the next deliveries due, at most as many as `spare` ids, and say how far it came.

        All of it is one transaction, so nothing is made due twice. Each is a fresh run by hand;
        those under way or waiting are left alone, and so are tests and what has no payload any
        more. What a delivery that is missing gets for an id comes from `spare`. The lease is that
        of `claim` from now on, and the task has ended once everything was looked at. It fails where
        the endpoint is gone or disabled.

        None: the claim does not hold it any more; nothing was done.
        """
        ...

    async def release_task(self, task_id: TaskId, claim_id: ClaimId, *, now: datetime) -> None:
        """Let anybody claim it, where the claim still holds it."""
        ...

    async def fail_task(
        self, task_id: TaskId, claim_id: ClaimId, *, problem: str, now: datetime
    ) -> None:
        """End it as failed, where the claim still holds it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReply:
    """The first answer to an idempotent request that makes something other than a message."""

    status_code: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """What an idempotency key was used for before."""

    body_hash: bytes
    reply: StoredReply | None
    """None: the request is still being answered."""


class Replies(Protocol):
    """Idempotency of everything but messages (theirs is part of `add_messages`).

    The row of a key is the lock: who put it down answers the request, and `held_until` is how the
    holder is known.
    """

    async def hold_key(
        self, wanted: Idempotency, *, until: datetime, now: datetime
    ) -> KnownKey | None:
        """Put the key down as being answered by the caller, until then; None: so it is.

        One that was held until a time that is over, or that is older than 24 h, counts for nothing.
        Otherwise nothing changes, and the answer is what is known of it.
        """
        ...

    async def hold_longer(self, key: bytes, *, held_until: datetime, until: datetime) -> bool:
        """False: it is not the caller's any more."""
        ...

    async def keep_reply(
        self, key: bytes, reply: StoredReply, *, held_until: datetime, now: datetime
    ) -> bool:
        """Whoever repeats the request from now on gets this; False: as above, nothing was kept."""
        ...

    async def free_key(self, key: bytes, *, held_until: datetime) -> None:
        """Forget that it was held, where it still is: the request may be tried anew."""
        ...


class Tries(Protocol):
    """Limits that hold for all processes together."""

    async def take_try(
        self, key: str, *, burst: int, every: timedelta, now: datetime
    ) -> datetime | None:
        """Count one of `burst` tries at once, then one in each `every`; None: it may go ahead.

        Otherwise when the next may.
        """
        ...


class Bins(Protocol):
    """Request bins; a room of its own."""

    async def add_bin(self, bin: Bin) -> None: ...  # noqa: A002 - the glossary's word

    async def get_bin(self, bin_id: BinId) -> Bin | None: ...

    async def find_bin(self, catch_token: str) -> Bin | None: ...

    async def list_bins(self, page: PageQuery) -> Page[Bin]:
        """In order of id."""
        ...

    async def set_reply(self, bin_id: BinId, reply: ScriptedReply) -> None:
        """Also sets `reply_since`, and forgets the counts."""
        ...

    async def delete_bin(self, bin_id: BinId) -> None:
        """With its captures and its counts."""
        ...

    async def count_answers(
        self, bin_id: BinId, *, since: int, counted: Sequence[str], now: datetime
    ) -> list[int]:
        """Count one more of each of `counted`, in one statement; the counts with it.

        Each process gets another number. `since` is the bin's `reply_since`: another one counts
        anew. A count goes when the reply is set, or when the ring has left it behind.
        """
        ...

    async def add_captures(
        self, batch: Sequence[Capture], *, keep: int, keep_bytes: int
    ) -> list[Capture]:
        """Store captures, each numbered by its bin (the given number is ignored).

        Then the oldest go until the bin holds at most `keep` captures and `keep_bytes` of bodies,
        pinned ones apart.

        Captures of a bin that is gone are dropped from the answer.
        """
        ...

    async def list_captures(self, bin_id: BinId, page: PageQuery) -> Page[Capture]:
        """In order of number (newest first unless ascending); `page.after` is a number as text."""
        ...

    async def get_capture(self, bin_id: BinId, capture_id: CaptureId) -> Capture | None: ...

    async def arrivals(
        self, bin_id: BinId, webhook_id: str | None, *, after: int = 0, limit: int
    ) -> list[Arrival]:
        """The newest captures with that id (None: with none) behind number `after`, oldest first.

        In order of number, of which a bin gives out one after the other.
        """
        ...

    async def pinned_arrivals(self, bin_id: BinId) -> list[Arrival]:
        """The pinned captures, newest first."""
        ...

    async def set_pinned(
        self, bin_id: BinId, capture_id: CaptureId, *, pinned: bool, limit: int
    ) -> bool:
        """Answers whether it is so now: False where `limit` others are pinned, or it is gone."""
        ...

    async def delete_capture(self, bin_id: BinId, capture_id: CaptureId) -> None: ...

    async def clear_bin(self, bin_id: BinId) -> int:
        """Delete its captures but the pinned ones; answers how many. Numbers go on counting."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """What one round of retention removed."""

    payloads: int
    messages: int
    keys: int
    more: bool
    """Another round would find more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much waits."""

    pending: int
    """Due ones included."""
    due: int
    """Pending, and nothing but a free place is wanted to send it: its time has come, and its
    endpoint is not paused."""
    sending: int
    oldest_due_at: datetime | None
    """When the oldest of the due ones became due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Room on a disk, in bytes."""

    free: int
    total: int


class Upkeep(Protocol):
    """Housekeeping and health."""

    async def expire(
        self, *, now: datetime, messages_before: datetime | None, limit: int
    ) -> Expired:
        """Remove payloads past their `payload_expires_at`.

        Messages made before `messages_before` with their deliveries and attempts, and idempotency
        keys older than 24 h: at most `limit` each. Tasks that ended 30 days ago, and tries that
        count no more.

        What is pending or sending is left alone. A driver may keep messages until the day they
        were made is over, to drop days whole.
        """
        ...

    async def backlog(self, *, now: datetime) -> Backlog: ...

    async def ping(self) -> None:
        """Answers when the store can be written. Errors: Unavailable, StoreBroken."""
        ...

    async def space(self) -> Space | None:
        """Of the disk the store writes to; None where the driver cannot know."""
        ...


class Store(
    Hot,
    Applications,
    Endpoints,
    EventTypes,
    Messages,
    Deliveries,
    Tokens,
    Users,
    Tasks,
    Replies,
    Tries,
    Bins,
    Upkeep,
    Protocol,
):
    """Everything a driver implements."""

    async def open(self, *, now: datetime) -> None:
        """Take the store, bring its schema up to date.

        On a store that only one process can hold, every lease found is void: its deliveries are due
        at once. Errors: StoreInUse, SchemaTooNew, Unavailable.
        """
        ...

    def listen(self, heard: Callable[[Heard], None]) -> None:
        """Have `heard` called, on the event loop, with what other processes did to this store.

        Changes (all but DUE and CAPTURE) come within two seconds of their commit, one's own too;
        the others may be lost, and save only latency. Where no other process can hold the store,
        nothing ever comes. Call it before `open`.
        """
        ...

    async def close(self) -> None:
        """Finish what was handed over, then let go. Idempotent."""
        ...
