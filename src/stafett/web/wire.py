"""How Stafett's nouns look on the wire: the Svix format, and our fields beside it.

The only place with camelCase: every struct renames its fields, so code never spells one. Old and
new field names of the format are both read and both written; unknown fields are ignored.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from stafett.model import (
    Application,
    Attempt,
    Bin,
    Capture,
    Delivery,
    DeliveryState,
    DeliveryStats,
    Endpoint,
    EventType,
    HeaderFamily,
    Json,
    Message,
    PayloadCheck,
    PayloadStyle,
    ReplyMode,
    Role,
    Task,
    Token,
    Trigger,
    User,
)
from stafett.services.timelines import Step, Verdict

T = TypeVar("T")
_MILLISECOND = timedelta(milliseconds=1)


class In(msgspec.Struct, rename="camel", kw_only=True):
    """A request body."""


class Out(msgspec.Struct, rename="camel", kw_only=True, omit_defaults=True):
    """A response body; what is not there is left out."""


# --- lists ------------------------------------------------------------------------------------


class ListOut(msgspec.Struct, Generic[T], rename="camel", kw_only=True):
    """One page: `iterator` leads on, `prevIterator` back."""

    data: list[T]
    iterator: str | None
    done: bool
    prev_iterator: str | UnsetType = UNSET


# --- applications -----------------------------------------------------------------------------


class ApplicationIn(In):
    """A new application, or all of one."""

    name: str
    uid: str | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None
    metadata: dict[str, str] | None = None


class ApplicationPatch(In):
    """What is to change; null empties a field."""

    name: str | UnsetType = UNSET
    uid: str | UnsetType | None = UNSET
    throttle_rate: int | UnsetType | None = UNSET
    rate_limit: int | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET


class ApplicationOut(Out):
    """An application."""

    id: str
    name: str
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, str]
    uid: str | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None


def application_out(application: Application) -> ApplicationOut:
    """`application` as the wire shows it."""
    return ApplicationOut(
        id=application.id,
        name=application.name,
        created_at=application.created_at,
        updated_at=application.updated_at,
        metadata=dict(application.metadata),
        uid=application.uid,
        throttle_rate=application.rate_limit,
        rate_limit=application.rate_limit,
    )


# --- endpoints --------------------------------------------------------------------------------


class EndpointIn(In):
    """A new endpoint, or all of one."""

    url: str
    name: str | None = None
    description: str = ""
    uid: str | None = None
    disabled: bool = False
    event_types: list[str] | None = None
    filter_types: list[str] | None = None
    channels: list[str] | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None
    metadata: dict[str, str] | None = None
    secret: str | None = None
    headers: dict[str, str] | None = None
    header_family: HeaderFamily | None = None
    integration: str | None = None
    payload_style: PayloadStyle | UnsetType = UNSET
    retry_schedule: list[float] | UnsetType | None = UNSET
    """Seconds; null: the server's."""
    timeout: float | UnsetType | None = UNSET
    """Seconds; null: the server's."""
    concurrency: int | UnsetType | None = UNSET
    """Null: as many requests at once as it stands."""


class EndpointPatch(In):
    """What is to change; null empties a field."""

    url: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    uid: str | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET
    event_types: list[str] | UnsetType | None = UNSET
    filter_types: list[str] | UnsetType | None = UNSET
    channels: list[str] | UnsetType | None = UNSET
    throttle_rate: int | UnsetType | None = UNSET
    rate_limit: int | UnsetType | None = UNSET
    metadata: dict[str, str] | UnsetType | None = UNSET
    header_family: HeaderFamily | UnsetType = UNSET
    integration: str | UnsetType = UNSET
    payload_style: PayloadStyle | UnsetType = UNSET
    retry_schedule: list[float] | UnsetType | None = UNSET
    timeout: float | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET


class EndpointOut(Out):
    """An endpoint: a webhook, as the admin calls it."""

    id: str
    url: str
    name: str
    description: str
    disabled: bool
    version: int
    created_at: datetime
    updated_at: datetime
    metadata: dict[str, str]
    integration: str
    event_count: int
    header_family: str
    payload_style: str
    uid: str | None = None
    event_types: list[str] | None = None
    filter_types: list[str] | None = None
    channels: list[str] | None = None
    throttle_rate: int | None = None
    rate_limit: int | None = None
    disabled_reason: str | None = None
    disabled_at: datetime | None = None
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    last_attempt_at: datetime | None = None
    last_status_code: int | None = None
    last_cause: str | None = None
    retry_schedule: list[float] | None = None
    """Seconds; not there: the server's."""
    timeout: float | None = None
    """Seconds; not there: the server's."""
    concurrency: int | None = None


def _seconds(duration: timedelta) -> float:
    """Whole ones without a fraction."""
    seconds = duration.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _endpoint_fields(endpoint: Endpoint) -> dict[str, Any]:  # the fields of EndpointOut
    event_types = sorted(endpoint.event_types) if endpoint.event_types else None
    health, waits, timeout = endpoint.health, endpoint.retry_schedule, endpoint.timeout
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "name": endpoint.name,
        "description": endpoint.description,
        "disabled": endpoint.disabled,
        "version": 1,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
        "metadata": dict(endpoint.metadata),
        "integration": endpoint.integration,
        "event_count": health.event_count,
        "header_family": endpoint.header_family,
        "uid": endpoint.uid,
        "event_types": event_types,
        "filter_types": event_types,
        "channels": sorted(endpoint.channels) if endpoint.channels else None,
        "throttle_rate": endpoint.rate_limit,
        "rate_limit": endpoint.rate_limit,
        "disabled_reason": endpoint.disabled_reason,
        "disabled_at": endpoint.disabled_at,
        "failing_since": health.failing_since,
        "paused_until": health.paused_until,
        "last_attempt_at": health.last_attempt_at,
        "last_status_code": health.last_status_code,
        "last_cause": health.last_cause,
        "payload_style": endpoint.payload_style,
        "retry_schedule": None if waits is None else [_seconds(each) for each in waits],
        "timeout": None if timeout is None else _seconds(timeout),
        "concurrency": endpoint.concurrency,
    }


def endpoint_out(endpoint: Endpoint) -> EndpointOut:
    """`endpoint` as the wire shows it, without secrets and headers."""
    return EndpointOut(**_endpoint_fields(endpoint))


class KeyOut(Out):
    """A signing secret."""

    key: str


class RotateIn(In):
    """A new secret, or none to have one made; how long the old one goes on signing."""

    key: str | None = None
    grace_period_seconds: int | None = None


class HeadersIn(In):
    """All the headers an endpoint is sent."""

    headers: dict[str, str]


class HeadersPatch(In):
    """Headers to set, and (null, or by name) to delete."""

    headers: dict[str, str | None] = {}
    delete_headers: list[str] = []


class HeadersOut(Out):
    """Headers anybody may see, and the names of those whose values are hidden."""

    headers: dict[str, str]
    sensitive: list[str]


class StatsOut(msgspec.Struct, rename="camel", kw_only=True):
    """Deliveries by state."""

    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


def stats_out(stats: DeliveryStats) -> StatsOut:
    """`stats` as the wire shows them."""
    return StatsOut(
        success=stats.succeeded,
        pending=stats.pending,
        sending=stats.sending,
        fail=stats.failed,
        canceled=stats.canceled,
    )


class RecoverIn(In):
    """The range whose failed messages are to be sent again."""

    since: datetime
    until: datetime | None = None


class TaskOut(Out):
    """A piece of background work."""

    id: str
    status: str
    task: str
    updated_at: datetime
    data: dict[str, Json]


def task_out(task: Task) -> TaskOut:
    """`task` as the wire shows it."""
    return TaskOut(
        id=task.id,
        status=task.status,
        task=task.kind,
        updated_at=task.updated_at,
        data=dict(task.data),
    )


class ExampleIn(In):
    """Which event a test carries; a payload of one's own."""

    event_type: str | None = None
    payload: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))
    """Null: the event's own sample. (`Raw | None` would take nothing but null.)"""


class TestOut(msgspec.Struct, rename="camel", kw_only=True):
    """The verdict on a test event."""

    __test__ = False  # a noun of ours, not a test case

    ok: bool
    status_code: int | None
    cause: str | None
    detail: str
    duration_ms: float
    response_body: str
    response_headers: list[tuple[str, str]]
    message_id: str
    attempt_id: str
    event_type: str


def test_out(message: Message, attempt: Attempt) -> TestOut:
    """What became of a test event; the reply's first bytes as text."""
    outcome = attempt.outcome
    return TestOut(
        ok=outcome.succeeded,
        status_code=outcome.status_code,
        cause=outcome.cause,
        detail=outcome.detail,
        duration_ms=outcome.duration.total_seconds() * 1e3,
        response_body=text_of(outcome.response_body[:_SHOWN_BYTES]),
        response_headers=list(outcome.response_headers),
        message_id=message.id,
        attempt_id=attempt.id,
        event_type=message.event_type,
    )


_SHOWN_BYTES = 2_048


def text_of(body: bytes) -> str:
    """Bytes as text: what is not UTF-8 shows as replacement characters, and NUL as its symbol."""
    return body.decode(errors="replace").replace("\0", "\u2400")


# --- event types ------------------------------------------------------------------------------


class EventTypeIn(In):
    """A new event type, or all of one. `name` may be left out where the path has it."""

    description: str
    name: str | None = None
    archived: bool = False
    deprecated: bool = False
    schemas: dict[str, Json] | None = None
    group_name: str | None = None
    feature_flags: list[str] | None = None
    feature_flag: str | None = None
    label: str | None = None
    fires_when: str | None = None
    sample: Json = None
    reference_sample: Json = None
    sensitive_fields: list[str] | None = None
    check: PayloadCheck | None = None


class EventTypePatch(In):
    """What is to change; null empties a field."""

    description: str | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    deprecated: bool | UnsetType = UNSET
    schemas: dict[str, Json] | UnsetType | None = UNSET
    group_name: str | UnsetType | None = UNSET
    feature_flags: list[str] | UnsetType | None = UNSET
    feature_flag: str | UnsetType | None = UNSET
    label: str | UnsetType = UNSET
    fires_when: str | UnsetType = UNSET
    sample: Json | UnsetType = UNSET
    reference_sample: Json | UnsetType = UNSET
    sensitive_fields: list[str] | UnsetType = UNSET
    check: PayloadCheck | UnsetType = UNSET


class EventTypeOut(Out):
    """A kind of happening."""

    name: str
    label: str
    description: str
    archived: bool
    deprecated: bool
    created_at: datetime
    updated_at: datetime
    fires_when: str
    check: str
    sensitive_fields: list[str]
    group_name: str | None = None
    feature_flags: list[str] | None = None
    feature_flag: str | None = None
    schemas: dict[str, Json] | None = None
    sample: Json = None
    reference_sample: Json = None


def event_type_out(event_type: EventType, *, with_content: bool) -> EventTypeOut:
    """`event_type` as the wire shows it; schemas and samples only `with_content`."""
    flags = list(event_type.feature_flags) or None
    schemas = event_type.schemas if with_content else None
    return EventTypeOut(
        name=event_type.name,
        label=event_type.label,
        description=event_type.description,
        archived=event_type.archived,
        deprecated=event_type.deprecated,
        created_at=event_type.created_at,
        updated_at=event_type.updated_at,
        fires_when=event_type.fires_when,
        check=event_type.check,
        sensitive_fields=list(event_type.sensitive_fields),
        group_name=event_type.group,
        feature_flags=flags,
        feature_flag=flags[0] if flags else None,
        schemas=None if schemas is None else dict(schemas),
        sample=event_type.sample if with_content else None,
        reference_sample=event_type.reference_sample if with_content else None,
    )


# --- messages ---------------------------------------------------------------------------------


class TransformationsParams(In):
    """A body to send just as it is, in place of `payload`."""

    raw_payload: str | None = None


class MessageIn(In):
    """A new message. `payload` is kept as the very bytes it was sent with."""

    event_type: str
    payload: Raw
    event_id: str | None = None
    channels: list[str] | None = None
    tags: list[str] | None = None
    deliver_at: datetime | None = None
    payload_retention_period: int | None = None
    payload_retention_hours: int | None = None
    transformations_params: TransformationsParams | None = None
    application: ApplicationIn | None = None
    """Made first, where the one in the path does not exist yet."""


class BatchIn(In):
    """Up to 1,000 messages for one application."""

    messages: list[MessageIn]


class MessageOut(Out):
    """An accepted message."""

    id: str
    event_type: str
    payload: Raw
    timestamp: datetime
    test: bool
    problems: list[str]
    endpoint_count: int
    event_id: str | None = None
    channels: list[str] | None = None
    tags: list[str] | None = None
    deliver_at: datetime | None = None


class AttemptedMessageOut(MessageOut, kw_only=True):
    """A message, and where its delivery to one endpoint stands."""

    status: int
    status_text: str
    attempt_count: int
    next_attempt: datetime | None = None
    note: str | None = None


class DestinationOut(EndpointOut, kw_only=True):
    """An endpoint, and where one message's delivery to it stands."""

    status: int
    status_text: str
    attempt_count: int
    next_attempt: datetime | None = None
    note: str | None = None


class BatchItemOut(Out):
    """What became of one message of a batch: a message, or an error with its HTTP status."""

    status: int
    message: MessageOut | None = None
    error: Json = None


class BatchOut(Out):
    """The answers, in order."""

    data: list[BatchItemOut]


class CanceledOut(msgspec.Struct):
    """Whether there was something to cancel."""

    canceled: bool


_NO_PAYLOAD = Raw(b"{}")
_EXPIRED = Raw(b'{"expired":true}')


def payload_out(message: Message, *, with_content: bool) -> Raw:
    """The payload as a JSON object, which clients of the format insist on."""
    if not with_content:
        return _NO_PAYLOAD
    if message.payload is None:
        return _EXPIRED if message.payload_gone else _NO_PAYLOAD
    if message.payload.lstrip()[:1] == b"{":
        return Raw(message.payload)
    return Raw(msgspec.json.encode({"rawPayload": text_of(message.payload)}))


def _message_fields(message: Message, *, with_content: bool) -> dict[str, Any]:  # of MessageOut
    return {
        "id": message.id,
        "event_type": message.event_type,
        "payload": payload_out(message, with_content=with_content),
        "timestamp": message.created_at,
        "test": message.test,
        "problems": list(message.problems),
        "endpoint_count": message.endpoint_count,
        "event_id": message.uid,
        "channels": list(message.channels) or None,
        "tags": list(message.tags) or None,
        "deliver_at": message.deliver_at,
    }


def message_out(message: Message, *, with_content: bool) -> MessageOut:
    """`message` as the wire shows it."""
    return MessageOut(**_message_fields(message, with_content=with_content))


_STATUS = {
    DeliveryState.SUCCEEDED: (0, "success"),
    DeliveryState.PENDING: (1, "pending"),
    DeliveryState.FAILED: (2, "fail"),
    DeliveryState.SENDING: (3, "sending"),
    DeliveryState.CANCELED: (4, "canceled"),
}
STATES = {text: state for state, (code, name) in _STATUS.items() for text in (str(code), name)} | {
    "failed": DeliveryState.FAILED
}
"""What a `status` in a query may say."""


def _standing(delivery: Delivery) -> dict[str, Any]:  # the fields that both below share
    code, text = _STATUS[delivery.state]
    if delivery.state is DeliveryState.PENDING and delivery.attempt_count:
        # The format calls a delivery that waits for its next attempt "sending".
        code, text = _STATUS[DeliveryState.SENDING]
    return {
        "status": code,
        "status_text": text,
        "attempt_count": delivery.attempt_count,
        "next_attempt": delivery.due_at,
        "note": delivery.note,
    }


def attempted_message_out(
    message: Message, delivery: Delivery, *, with_content: bool
) -> AttemptedMessageOut:
    """One row of an endpoint's messages."""
    return AttemptedMessageOut(
        **_message_fields(message, with_content=with_content), **_standing(delivery)
    )


def destination_out(delivery: Delivery, endpoint: Endpoint | None) -> DestinationOut:
    """One row of a message's endpoints; of a deleted endpoint only the id is left."""
    if endpoint is None:
        shown: dict[str, Any] = {
            "id": delivery.endpoint_id,
            "url": "",
            "name": "(deleted)",
            "description": "",
            "disabled": True,
            "version": 1,
            "created_at": delivery.created_at,
            "updated_at": delivery.updated_at,
            "metadata": {},
            "integration": "",
            "event_count": 0,
            "header_family": HeaderFamily.WEBHOOK,
        }
    else:
        shown = _endpoint_fields(endpoint)
    return DestinationOut(**shown, **_standing(delivery))


# --- attempts ---------------------------------------------------------------------------------


class AttemptOut(Out):
    """One request that was made."""

    id: str
    msg_id: str
    endpoint_id: str
    url: str
    status: int
    status_text: str
    trigger_type: int
    timestamp: datetime
    response: str
    response_status_code: int
    response_duration_ms: int
    test: bool
    note: str
    detail: str
    cause: str | None = None
    request_headers: list[tuple[str, str]] | None = None
    response_headers: list[tuple[str, str]] | None = None
    msg: MessageOut | None = None


def attempt_out(
    attempt: Attempt, *, message: Message | None = None, with_content: bool = True
) -> AttemptOut:
    """`attempt` as the wire shows it, `message` inside when it is given."""
    outcome = attempt.outcome
    ok = outcome.succeeded
    response = "EXPUNGED" if attempt.content_gone else text_of(outcome.response_body)
    if not with_content:
        response = "{}"
    elif outcome.status_code is None and not response:
        response = outcome.detail
    return AttemptOut(
        id=attempt.id,
        msg_id=attempt.message_id,
        endpoint_id=attempt.endpoint_id,
        url=attempt.url,
        status=0 if ok else 2,
        status_text="success" if ok else "fail",
        trigger_type=1 if attempt.trigger is Trigger.MANUAL else 0,
        timestamp=attempt.created_at,
        response=response,
        response_status_code=outcome.status_code or 0,
        response_duration_ms=round(outcome.duration.total_seconds() * 1e3),
        test=attempt.test,
        note=attempt.note,
        detail=outcome.detail,
        cause=outcome.cause,
        request_headers=list(outcome.request_headers) if with_content else None,
        response_headers=list(outcome.response_headers) if with_content else None,
        msg=None if message is None else message_out(message, with_content=with_content),
    )


# --- tokens -----------------------------------------------------------------------------------


class TokenIn(In):
    """A new token: for everything, or for one application."""

    name: str
    app: str | None = None
    expires_at: datetime | None = None


class TokenOut(Out):
    """A token; its text only in the answer that made it."""

    id: str
    name: str
    created_at: datetime
    app_id: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    token: str | None = None


def token_out(token: Token, text: str | None = None) -> TokenOut:
    """`token` as the wire shows it."""
    return TokenOut(
        id=token.id,
        name=token.name,
        created_at=token.created_at,
        app_id=token.app_id,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        last_used_at=token.last_used_at,
        token=text,
    )


# --- users ------------------------------------------------------------------------------------


class UserIn(In):
    """Somebody who may sign in to the admin."""

    email: str
    name: str
    password: str
    role: Role = Role.OWNER


class PasswordIn(In):
    """A new password."""

    password: str


class UserOut(Out):
    """A user, without the password."""

    id: str
    email: str
    name: str
    role: Role
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None = None


def user_out(user: User) -> UserOut:
    """`user` as the wire shows it."""
    return UserOut(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        created_at=user.created_at,
        updated_at=user.updated_at,
        disabled_at=user.disabled_at,
    )


# --- bins -------------------------------------------------------------------------------------


class ReplyIn(In):
    """What a bin is to answer."""

    status_code: int = 200
    headers: list[tuple[str, str]] = []
    body: str = ""
    delay_ms: int = 0
    mode: ReplyMode = ReplyMode.WHOLE
    drip_ms: int = 1_000
    times: int = 0


class BinIn(In):
    """A new bin."""

    name: str | None = None
    reply: ReplyIn | None = None


class ReplyOut(msgspec.Struct, rename="camel", kw_only=True):
    """What a bin answers."""

    status_code: int
    headers: list[tuple[str, str]]
    body: str
    delay_ms: int
    mode: ReplyMode
    drip_ms: int
    times: int


class BinOut(Out):
    """A request bin; its read token only in the answer that made it."""

    id: str
    name: str
    url: str
    capture_count: int
    created_at: datetime
    reply: ReplyOut
    read_token: str | None = None


def bin_out(found: Bin, *, url: str, read_token: str | None = None) -> BinOut:
    """A bin as the wire shows it; `url` is where it catches."""
    reply = found.reply
    return BinOut(
        id=found.id,
        name=found.name,
        url=url,
        capture_count=found.capture_count,
        created_at=found.created_at,
        reply=ReplyOut(
            status_code=reply.status_code,
            headers=list(reply.headers),
            body=text_of(reply.body),
            delay_ms=reply.delay // _MILLISECOND,
            mode=reply.mode,
            drip_ms=reply.drip_every // _MILLISECOND,
            times=reply.times,
        ),
        read_token=read_token,
    )


class CaptureOut(msgspec.Struct, rename="camel", kw_only=True):
    """One caught request: text where it is text, and every byte in base64."""

    id: str
    number: int
    method: str
    target: str
    http_version: str
    headers: list[tuple[str, str]]
    body: str | None
    body_base64: str
    body_size: int
    truncated: bool
    peer: str
    received_at: datetime
    status_code: int
    message_id: str | None
    attempt_id: str | None
    webhook_id: str | None
    pinned: bool


def capture_out(capture: Capture) -> CaptureOut:
    """`capture` as the wire shows it; header bytes as Latin-1 text."""
    return CaptureOut(
        id=capture.id,
        number=capture.number,
        method=capture.method,
        target=capture.target.decode("latin-1"),
        http_version=capture.http_version,
        headers=[(n.decode("latin-1"), v.decode("latin-1")) for n, v in capture.headers],
        body=_utf8(capture.body),
        body_base64=base64.b64encode(capture.body).decode(),
        body_size=len(capture.body),
        truncated=capture.body_truncated,
        peer=capture.peer,
        received_at=capture.received_at,
        status_code=capture.status_code,
        message_id=capture.message_id,
        attempt_id=capture.attempt_id,
        webhook_id=capture.webhook_id,
        pinned=capture.pinned,
    )


class StepOut(msgspec.Struct, rename="camel", kw_only=True):
    """One request of a message beside what the retry schedule promised; durations in seconds."""

    capture_id: str
    number: int
    received_at: datetime
    status_code: int
    attempt_id: str | None
    verdict: Verdict
    gap: float | None
    promised: tuple[float, float] | None


class TimelineOut(msgspec.Struct, rename="camel", kw_only=True):
    """The requests of one message, oldest first."""

    data: list[StepOut]


def step_out(step: Step) -> StepOut:
    """A step of a timeline as the wire shows it."""
    window = step.window
    return StepOut(
        capture_id=step.arrival.id,
        number=step.arrival.number,
        received_at=step.arrival.received_at,
        status_code=step.arrival.status_code,
        attempt_id=step.arrival.attempt_id,
        verdict=step.verdict,
        gap=None if step.gap is None else _seconds(step.gap),
        promised=window and (_seconds(window[0]), _seconds(window[1])),
    )


def _utf8(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


class DeletedOut(msgspec.Struct, rename="camel", kw_only=True):
    """How many were deleted."""

    deleted: int


class HealthOut(msgspec.Struct, rename="camel", kw_only=True):
    """That the process answers."""

    status: str
