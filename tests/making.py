"""Builds the nouns that tests need: everything has a default, so a test names what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stafett.ids import AppId, AttemptId, ClaimId, DeliveryId, EndpointId, Ids, MessageId, UserId
from stafett.model import (
    Application,
    Attempt,
    AuditEntry,
    Bin,
    Capture,
    DeliveryState,
    DueDelivery,
    Endpoint,
    EndpointSecret,
    EventType,
    FailureCause,
    HeaderFamily,
    Message,
    Outcome,
    PayloadCheck,
    Replayed,
    Role,
    ScriptedReply,
    Secret,
    Session,
    Task,
    TaskKind,
    TaskStatus,
    Token,
    Trigger,
    User,
)
from stafett.store import AttemptRecord, Claim, NewDelivery, NewMessage

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEASE = timedelta(minutes=1)
PAYLOAD = b'{"payment_id": "31",  "total": 100.0}'
"""Odd spacing, so that a test sees whether bytes are kept as they came."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

ids = Ids()


def an_application(**given: Any) -> Application:
    defaults: dict[str, Any] = {
        "id": ids.app(NOW),
        "uid": None,
        "name": "Acme",
        "rate_limit": None,
        "metadata": {},
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Application(**defaults | given)


def an_endpoint(app_id: AppId, **given: Any) -> Endpoint:
    defaults: dict[str, Any] = {
        "id": ids.endpoint(NOW),
        "app_id": app_id,
        "uid": None,
        "name": "Mailing list",
        "url": "http://127.0.0.1:9/hook",
        "description": "",
        "integration": "manual",
        "disabled": False,
        "disabled_reason": None,
        "disabled_at": None,
        "event_types": None,
        "channels": None,
        "rate_limit": None,
        "metadata": {},
        "headers": {},
        "header_family": HeaderFamily.WEBHOOK,
        "secrets": (EndpointSecret(secret=Secret(SECRET)),),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Endpoint(**defaults | given)


def an_event_type(name: str = "payment_received", **given: Any) -> EventType:
    defaults: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").title(),
        "group": None,
        "description": "Something happened.",
        "fires_when": "When it does.",
        "schemas": None,
        "sample": None,
        "reference_sample": None,
        "sensitive_fields": (),
        "check": PayloadCheck.WARN,
        "archived": False,
        "deprecated": False,
        "feature_flags": (),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return EventType(**defaults | given)


def a_message(app_id: AppId, *, at: datetime = NOW, **given: Any) -> Message:
    defaults: dict[str, Any] = {
        "id": ids.message(at),
        "app_id": app_id,
        "uid": None,
        "event_type": "payment_received",
        "channels": (),
        "tags": (),
        "test": False,
        "problems": (),
        "endpoint_count": 1,
        "deliver_at": None,
        "created_at": at,
        "payload_expires_at": at + timedelta(days=90),
        "payload": PAYLOAD,
    }
    return Message(**defaults | given)


def a_claim(at: datetime = NOW) -> Claim:
    return Claim(id=ids.claim(at), lease_until=at + LEASE)


def a_delivery(endpoint_id: EndpointId, **given: Any) -> NewDelivery:
    defaults: dict[str, Any] = {
        "id": ids.delivery(NOW),
        "endpoint_id": endpoint_id,
        "due_at": NOW,
    }
    return NewDelivery(**defaults | given)


def a_due_delivery(**given: Any) -> DueDelivery:
    defaults: dict[str, Any] = {
        "id": ids.delivery(NOW),
        "message_id": ids.message(NOW),
        "app_id": AppId("app_"),
        "endpoint_id": EndpointId("ep_"),
        "event_type": "payment_received",
        "accepted_at": NOW,
        "claim_id": ids.claim(NOW),
        "lease_until": NOW + LEASE,
        "attempt_count": 0,
        "failure_count": 0,
        "trigger": Trigger.SCHEDULED,
        "test": False,
        "payload": PAYLOAD,
    }
    return DueDelivery(**defaults | given)


def an_outcome(status_code: int | None = 200, **given: Any) -> Outcome:
    ok = status_code is not None and 200 <= status_code < 300
    defaults: dict[str, Any] = {
        "status_code": status_code,
        "cause": None if ok else FailureCause.STATUS,
        "request_headers": (("webhook-id", "msg_x"),),
        "response_headers": (("server", "nginx"),),
        "response_body": b"ok",
        "duration": timedelta(milliseconds=12),
    }
    return Outcome(**defaults | given)


def a_record(
    item: NewMessage,
    *,
    claim_id: ClaimId,
    outcome: Outcome | None = None,
    state: DeliveryState | None = None,
    **given: Any,
) -> AttemptRecord:
    """What dispatch would record for the first delivery of `item`."""
    outcome = outcome or an_outcome()
    delivery = item.deliveries[0]
    at: datetime = given.pop("at", NOW)
    attempt = Attempt(
        id=AttemptId(ids.attempt(at)),
        delivery_id=DeliveryId(delivery.id),
        message_id=MessageId(item.message.id),
        app_id=item.message.app_id,
        endpoint_id=delivery.endpoint_id,
        url="http://127.0.0.1:9/hook",
        outcome=outcome,
        trigger=given.pop("trigger", Trigger.SCHEDULED),
        test=item.message.test,
        note="noted",
        created_at=at,
    )
    usual = DeliveryState.SUCCEEDED if outcome.succeeded else DeliveryState.FAILED
    defaults: dict[str, Any] = {
        "attempt": attempt,
        "claim_id": claim_id,
        "state": state or usual,
        "due_at": None,
        "failure_count": 0 if outcome.succeeded else 1,
    }
    return AttemptRecord(**defaults | given)


def a_task(endpoint: Endpoint, **given: Any) -> Task:
    """One for everything of the two days around `NOW`."""
    defaults: dict[str, Any] = {
        "id": ids.task(NOW),
        "kind": TaskKind.RECOVER,
        "status": TaskStatus.RUNNING,
        "app_id": endpoint.app_id,
        "endpoint_id": endpoint.id,
        "wanted": Replayed(after=NOW - timedelta(days=1), before=NOW + timedelta(days=1)),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Task(**defaults | given)


def a_token(**given: Any) -> Token:
    defaults: dict[str, Any] = {
        "id": ids.token(NOW),
        "name": "shop",
        "hash": ids.token(NOW),
        "app_id": None,
        "created_at": NOW,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
    }
    return Token(**defaults | given)


def a_bin(**given: Any) -> Bin:
    defaults: dict[str, Any] = {
        "id": ids.bin(NOW),
        "name": "my bin",
        "catch_token": ids.bin(NOW),
        "read_token_hash": "0" * 64,
        "reply": ScriptedReply(),
        "reply_since": 0,
        "capture_count": 0,
        "created_at": NOW,
    }
    return Bin(**defaults | given)


def a_capture(of: Bin, **given: Any) -> Capture:
    defaults: dict[str, Any] = {
        "id": ids.capture(NOW),
        "bin_id": of.id,
        "number": 0,
        "method": "POST",
        "target": b"/in/x/a%20b?c=\xff",
        "http_version": "1.1",
        "headers": ((b"X-Twice", b"1"), (b"x-twice", b"\xe6")),
        "body": b"\x00\xffbody",
        "body_truncated": False,
        "peer": "127.0.0.1",
        "received_at": NOW,
        "status_code": 200,
        "message_id": None,
        "attempt_id": None,
        "webhook_id": None,
    }
    return Capture(**defaults | given)


def a_user(**given: Any) -> User:
    defaults: dict[str, Any] = {
        "id": ids.user(NOW),
        "email": "kari@example.com",
        "name": "Kari",
        "role": Role.OWNER,
        "password_hash": Secret("$argon2id$"),
        "created_at": NOW,
        "updated_at": NOW,
        "disabled_at": None,
    }
    return User(**defaults | given)


def a_session(user_id: UserId, **given: Any) -> Session:
    defaults: dict[str, Any] = {
        "hash": "h",
        "user_id": user_id,
        "created_at": NOW,
        "last_seen_at": NOW,
        "expires_at": NOW + timedelta(days=7),
        "address": "127.0.0.1",
        "user_agent": "a browser",
    }
    return Session(**defaults | given)


def an_audit_entry(*, at: datetime = NOW, **given: Any) -> AuditEntry:
    defaults: dict[str, Any] = {
        "id": ids.audit(at),
        "actor": "kari@example.com",
        "action": "session.created",
        "target": "",
        "detail": "",
        "address": "127.0.0.1",
        "created_at": at,
    }
    return AuditEntry(**defaults | given)
