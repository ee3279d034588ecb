"""The tables, defined once for every database.

Times are integers (microseconds since 1970, UTC); lists of words are text with a comma at both
ends, so that "has this word" is one `LIKE`; everything else without columns of its own is JSON.
`deliveries.due_at` is the queue: when to look at the row again. For a pending delivery that is when
its next attempt is due, for one being sent when its lease ends, otherwise NULL. The partial index
on it holds only what waits, so finished history costs the queue nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from typing_extensions import override

from stafett.model import Json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of `micros`."""
    return EPOCH + timedelta(microseconds=micros)


def to_words(words: Iterable[str] | None) -> str | None:
    """`,a,b,`; None for none, so that "no condition" and "no channels" are NULL."""
    text = ",".join(sorted(words) if isinstance(words, frozenset) else words or ())
    return f",{text}," if text else None


def from_words(text: str | None) -> tuple[str, ...]:
    """The words of `,a,b,`."""
    return tuple(text[1:-1].split(",")) if text else ()


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime."""

    impl = sa.BigInteger
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)


class Duration(sa.types.TypeDecorator[timedelta]):
    """A duration, in microseconds."""

    impl = sa.BigInteger
    cache_ok = True

    @override
    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        return None if value is None else value // _MICROSECOND

    @override
    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        return None if value is None else value * _MICROSECOND


class Durations(sa.types.TypeDecorator[tuple[timedelta, ...]]):
    """Durations in their order: a JSON list of microseconds; none of them is not NULL."""

    impl = sa.Text
    cache_ok = True

    @override
    def process_bind_param(
        self, value: tuple[timedelta, ...] | None, dialect: Dialect
    ) -> str | None:
        if value is None:
            return None
        return msgspec.json.encode([each // _MICROSECOND for each in value]).decode()

    @override
    def process_result_value(
        self, value: str | None, dialect: Dialect
    ) -> tuple[timedelta, ...] | None:
        if value is None:
            return None
        return tuple(each * _MICROSECOND for each in msgspec.json.decode(value, type=list[int]))


class Words(sa.types.TypeDecorator[tuple[str, ...]]):
    """A few words; `Words.has(column, word)` is the condition."""

    impl = sa.Text
    cache_ok = True

    @override
    def process_bind_param(self, value: Iterable[str] | None, dialect: Dialect) -> str | None:
        return to_words(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:
        return from_words(value)

    @staticmethod
    def has(column: sa.Column[tuple[str, ...]], word: str) -> sa.ColumnElement[bool]:
        """Whether the list in `column` has `word`."""
        return sa.type_coerce(column, sa.Text).contains(f",{word},", autoescape=True)


class JsonText(sa.types.TypeDecorator[Json]):
    """Any JSON value; None is SQL NULL."""

    impl = sa.Text
    cache_ok = True

    @override
    def process_bind_param(self, value: Json, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> Json:
        return None if value is None else msgspec.json.decode(value)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

applications = sa.Table(
    "applications",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("uid", sa.Text, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("rate_limit", sa.Integer),
    sa.Column("metadata", JsonText, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

endpoints = sa.Table(
    "endpoints",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("uid", sa.Text),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("integration", sa.Text, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False),
    sa.Column("disabled_reason", sa.Text),
    sa.Column("disabled_at", Moment),
    sa.Column("event_types", Words),
    sa.Column("channels", Words),
    sa.Column("rate_limit", sa.Integer),
    sa.Column("metadata", JsonText, nullable=False),
    sa.Column("headers", JsonText, nullable=False),
    sa.Column("header_family", sa.Text, nullable=False),
    sa.Column("secrets", JsonText, nullable=False),
    sa.Column("payload_style", sa.Text, nullable=False, server_default="accepted"),
    sa.Column("retry_schedule", Durations),
    sa.Column("timeout", Duration),
    sa.Column("concurrency", sa.Integer),
    sa.Column("event_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("failing_since", Moment),
    sa.Column("last_attempt_at", Moment),
    sa.Column("last_status_code", sa.Integer),
    sa.Column("last_cause", sa.Text),
    sa.Column("paused_until", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "app_id", "id"),
    sa.UniqueConstraint("app_id", "uid"),
)

event_types = sa.Table(
    "event_types",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("group_name", sa.Text, key="group"),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("fires_when", sa.Text, nullable=False),
    sa.Column("schemas", JsonText),
    sa.Column("sample", JsonText),
    sa.Column("reference_sample", JsonText),
    sa.Column("sensitive_fields", Words),
    sa.Column("payload_check", sa.Text, key="check", nullable=False),
    sa.Column("archived", sa.Boolean, nullable=False),
    sa.Column("deprecated", sa.Boolean, nullable=False),
    sa.Column("feature_flags", Words),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("app_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("uid", sa.Text),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("channels", Words),
    sa.Column("tags", Words),
    sa.Column("test", sa.Boolean, nullable=False),
    sa.Column("problems", JsonText),
    sa.Column("endpoint_count", sa.Integer, nullable=False),
    sa.Column("deliver_at", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("payload_expires_at", Moment, nullable=False),
    sa.Column("payload_gone", sa.Boolean, nullable=False),
    sa.Column("trace", sa.Text),
    sa.Index(
        "uq_messages_app_id_uid",
        "app_id",
        "uid",
        unique=True,
        sqlite_where=sa.text("uid IS NOT NULL"),
        postgresql_where=sa.text("uid IS NOT NULL"),
    ),
    sa.Index(
        "ix_messages_payload_expires_at",
        "payload_expires_at",
        sqlite_where=sa.text("NOT payload_gone"),
        postgresql_where=sa.text("NOT payload_gone"),
    ),
    sqlite_with_rowid=False,
)

payloads = sa.Table(
    "payloads",
    metadata,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("endpoint_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("manual", sa.Boolean, nullable=False),
    sa.Column("test", sa.Boolean, nullable=False),
    sa.Column("attempt_count", sa.Integer, nullable=False),
    sa.Column("failure_count", sa.Integer, nullable=False),
    sa.Column("due_at", Moment),
    sa.Column("claim_id", sa.Text),
    sa.Column("succeeded_at", Moment),
    sa.Column("last_status_code", sa.Integer),
    sa.Column("last_cause", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.UniqueConstraint("message_id", "endpoint_id"),
    sa.Index(None, "endpoint_id", "message_id"),
    sa.Index(
        "ix_deliveries_due",
        "endpoint_id",
        "due_at",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)


def ends_as(state: str) -> sa.ColumnElement[str]:
    """The state of a delivery that ends without an attempt.

    What succeeded once stays succeeded, however a resend of it ends.
    """
    return sa.case((deliveries.c.succeeded_at.is_(None), state), else_="succeeded")


attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("delivery_id", sa.Text, nullable=False),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("endpoint_id", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("manual", sa.Boolean, nullable=False),
    sa.Column("test", sa.Boolean, nullable=False),
    sa.Column("status_code", sa.Integer),
    sa.Column("cause", sa.Text),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("duration_us", sa.BigInteger, nullable=False),
    sa.Column("request_headers", JsonText),
    sa.Column("response_headers", JsonText),
    sa.Column("response_body", sa.LargeBinary),
    sa.Column("response_truncated", sa.Boolean, nullable=False),
    sa.Column("content_gone", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "endpoint_id", "id"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("app_id", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("revoked_at", Moment),
    sa.Column("last_used_at", Moment),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("disabled_at", Moment),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False, index=True),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("last_seen_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("user_agent", sa.Text, nullable=False),
)

setup_links = sa.Table(
    "setup_links",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("made_at", Moment, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("body_hash", sa.LargeBinary, nullable=False),
    sa.Column("message_id", sa.Text),
    sa.Column("status_code", sa.Integer),
    sa.Column("body", sa.LargeBinary),
    sa.Column("created_at", Moment, nullable=False, index=True),
    sa.Column("held_until", Moment),
    sqlite_with_rowid=False,
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("app_id", sa.Text, nullable=False),
    sa.Column("endpoint_id", sa.Text, nullable=False),
    sa.Column("wanted", JsonText, nullable=False),
    sa.Column("cursor", sa.Text),
    sa.Column("sent_count", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("due_at", Moment),
    sa.Column("claim_id", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(
        "ix_tasks_due",
        "due_at",
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    ),
    sa.Index(None, "app_id", "id"),
)

tries = sa.Table(
    "tries",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("free_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

bins = sa.Table(
    "bins",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("catch_token", sa.Text, nullable=False, unique=True),
    sa.Column("read_token_hash", sa.Text, nullable=False),
    sa.Column("reply_status_code", sa.Integer, nullable=False),
    sa.Column("reply_headers", JsonText, nullable=False),
    sa.Column("reply_body", sa.LargeBinary, nullable=False),
    sa.Column("reply_delay_us", sa.BigInteger, nullable=False),
    sa.Column("reply_mode", sa.Text, nullable=False, server_default="whole"),
    sa.Column("reply_drip_us", sa.BigInteger, nullable=False, server_default="1000000"),
    sa.Column("reply_times", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reply_since", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reply_chance", sa.Float, nullable=False, server_default="1"),
    sa.Column("reply_seed", sa.BigInteger),
    sa.Column("reply_size", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reply_retry_date_us", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("capture_count", sa.BigInteger, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

bin_answers = sa.Table(
    "bin_answers",
    metadata,
    sa.Column("bin_id", sa.Text, primary_key=True),
    sa.Column("since", sa.BigInteger, primary_key=True),
    sa.Column("counted", sa.Text, primary_key=True),
    sa.Column("answer_count", sa.Integer, nullable=False),
    sa.Column("counted_at", Moment, nullable=False),
    sa.Index(None, "bin_id", "counted_at"),
    sqlite_with_rowid=False,
)

captures = sa.Table(
    "captures",
    metadata,
    sa.Column("bin_id", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("target", sa.LargeBinary, nullable=False),
    sa.Column("http_version", sa.Text, nullable=False),
    sa.Column("headers", JsonText, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("body_truncated", sa.Boolean, nullable=False),
    sa.Column("peer", sa.Text, nullable=False),
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("status_code", sa.Integer, nullable=False),
    sa.Column("message_id", sa.Text),
    sa.Column("attempt_id", sa.Text),
    sa.Column("webhook_id", sa.Text),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index(None, "bin_id", "id"),
    # They stand behind the body: to read them from the row is to read a mebibyte.
    sa.Index(None, "bin_id", "pinned", "number"),
    sa.Index(None, "bin_id", "webhook_id", "number"),
)
