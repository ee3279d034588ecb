"""The first schema."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0001"
down_revision = None


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _delivery_keys() -> list[sa.Constraint]:
    """A partitioned table's keys begin with what it is partitioned by."""
    if _on_postgresql():
        return [sa.PrimaryKeyConstraint("message_id", "endpoint_id", name="pk_deliveries")]
    return [
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint(
            "message_id", "endpoint_id", name="uq_deliveries_message_id_endpoint_id"
        ),
    ]


def upgrade() -> None:
    _create_tables()
    if _on_postgresql():
        _create_queue()
        _create_changes()
    else:
        op.create_index(
            "ix_deliveries_due",
            "deliveries",
            ["endpoint_id", "due_at"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
        )


def _create_queue() -> None:
    """What waits, apart from the history, narrow and cleaned often; and the uids in use.

    A uid is unique over all partitions only in a table of its own.
    """
    op.create_table(
        "queue",
        sa.Column("delivery_id", text(), primary_key=True),
        sa.Column("message_id", text(), nullable=False),
        sa.Column("endpoint_id", text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("claim_id", text()),
        postgresql_with={
            "fillfactor": 70,
            "autovacuum_vacuum_scale_factor": 0.01,
            "autovacuum_vacuum_threshold": 1000,
            "autovacuum_vacuum_cost_delay": 0,
            "autovacuum_analyze_scale_factor": 0.05,
        },
    )
    op.create_index("ix_queue_endpoint_id_due_at", "queue", ["endpoint_id", "due_at"])
    op.create_table(
        "message_uids",
        sa.Column("app_id", text(), primary_key=True),
        sa.Column("uid", text(), primary_key=True),
        sa.Column("message_id", text(), nullable=False),
    )
    op.create_index("ix_message_uids_message_id", "message_uids", ["message_id"])
    for parent in ("messages", "payloads", "deliveries", "attempts"):
        op.execute(f"CREATE TABLE {parent}_default PARTITION OF {parent} DEFAULT")


def _create_changes() -> None:
    """What every node must hear of within two seconds, written by the change itself."""
    op.execute(
        "CREATE TABLE changes (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " kind text NOT NULL, ref text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    op.execute(
        "CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO changes (kind, ref) VALUES (TG_ARGV[0],"
        " to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END) ->> TG_ARGV[1]);"
        " RETURN NULL; END $$"
    )
    edited = (
        "OLD.updated_at IS DISTINCT FROM NEW.updated_at"
        " OR OLD.paused_until IS DISTINCT FROM NEW.paused_until"
    )
    for table, kind, column, when in (
        ("applications", "application", "id", None),
        ("endpoints", "application", "app_id", edited),
        ("event_types", "event_types", "name", None),
        ("tokens", "tokens", "id", "OLD.revoked_at IS DISTINCT FROM NEW.revoked_at"),
        ("bins", "bin", "id", "OLD.capture_count = NEW.capture_count"),
    ):
        head = f"CREATE TRIGGER note_{{}} AFTER {{}} ON {table} FOR EACH ROW"
        call = f"EXECUTE FUNCTION note_change('{kind}', '{column}')"
        op.execute(f"{head.format('made', 'INSERT OR DELETE')} {call}")
        op.execute(f"{head.format('edited', 'UPDATE')} {f'WHEN ({when}) ' if when else ''}{call}")


def _create_tables() -> None:
    op.create_table(
        "applications",
        sa.Column("id", text(), nullable=False),
        sa.Column("uid", text()),
        sa.Column("name", text(), nullable=False),
        sa.Column("rate_limit", sa.Integer()),
        sa.Column("metadata", text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_applications"),
        sa.UniqueConstraint("uid", name="uq_applications_uid"),
    )
    op.create_table(
        "attempts",
        sa.Column("message_id", text(), nullable=False),
        sa.Column("id", text(), nullable=False),
        sa.Column("delivery_id", text(), nullable=False),
        sa.Column("app_id", text(), nullable=False),
        sa.Column("endpoint_id", text(), nullable=False),
        sa.Column("url", text(), nullable=False),
        sa.Column("manual", sa.Boolean(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("status_code", sa.Integer()),
        sa.Column("cause", text()),
        sa.Column("detail", text(), nullable=False),
        sa.Column("note", text(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.Column("request_headers", text()),
        sa.Column("response_headers", text()),
        sa.Column("response_body", sa.LargeBinary()),
        sa.Column("response_truncated", sa.Boolean(), nullable=False),
        sa.Column("content_gone", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "id", name="pk_attempts"),
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_index("ix_attempts_endpoint_id_id", "attempts", ["endpoint_id", "id"], unique=False)
    op.create_table(
        "bins",
        sa.Column("id", text(), nullable=False),
        sa.Column("name", text(), nullable=False),
        sa.Column("catch_token", text(), nullable=False),
        sa.Column("read_token_hash", text(), nullable=False),
        sa.Column("reply_status_code", sa.Integer(), nullable=False),
        sa.Column("reply_headers", text(), nullable=False),
        sa.Column("reply_body", sa.LargeBinary(), nullable=False),
        sa.Column("reply_delay_us", sa.BigInteger(), nullable=False),
        sa.Column("capture_count", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bins"),
        sa.UniqueConstraint("catch_token", name="uq_bins_catch_token"),
    )
    op.create_table(
        "captures",
        sa.Column("bin_id", text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("id", text(), nullable=False),
        sa.Column("method", text(), nullable=False),
        sa.Column("target", sa.LargeBinary(), nullable=False),
        sa.Column("http_version", text(), nullable=False),
        sa.Column("headers", text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("body_truncated", sa.Boolean(), nullable=False),
        sa.Column("peer", text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("message_id", text()),
        sa.Column("attempt_id", text()),
        sa.PrimaryKeyConstraint("bin_id", "number", name="pk_captures"),
    )
    op.create_index("ix_captures_bin_id_id", "captures", ["bin_id", "id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", text(), nullable=False),
        sa.Column("message_id", text(), nullable=False),
        sa.Column("app_id", text(), nullable=False),
        sa.Column("endpoint_id", text(), nullable=False),
        sa.Column("state", text(), nullable=False),
        sa.Column("manual", sa.Boolean(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("failure_count", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("claim_id", text()),
        sa.Column("succeeded_at", sa.BigInteger()),
        sa.Column("last_status_code", sa.Integer()),
        sa.Column("last_cause", text()),
        sa.Column("note", text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        *_delivery_keys(),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_index(
        "ix_deliveries_endpoint_id_message_id",
        "deliveries",
        ["endpoint_id", "message_id"],
        unique=False,
    )
    op.create_table(
        "endpoints",
        sa.Column("id", text(), nullable=False),
        sa.Column("app_id", text(), nullable=False),
        sa.Column("uid", text()),
        sa.Column("name", text(), nullable=False),
        sa.Column("url", text(), nullable=False),
        sa.Column("description", text(), nullable=False),
        sa.Column("integration", text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", text()),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("event_types", text()),
        sa.Column("channels", text()),
        sa.Column("rate_limit", sa.Integer()),
        sa.Column("metadata", text(), nullable=False),
        sa.Column("headers", text(), nullable=False),
        sa.Column("header_family", text(), nullable=False),
        sa.Column("secrets", text(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failing_since", sa.BigInteger()),
        sa.Column("last_attempt_at", sa.BigInteger()),
        sa.Column("last_status_code", sa.Integer()),
        sa.Column("last_cause", text()),
        sa.Column("paused_until", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_endpoints"),
        sa.UniqueConstraint("app_id", "uid", name="uq_endpoints_app_id_uid"),
    )
    op.create_index("ix_endpoints_app_id_id", "endpoints", ["app_id", "id"], unique=False)
    op.create_table(
        "event_types",
        sa.Column("name", text(), nullable=False),
        sa.Column("label", text(), nullable=False),
        sa.Column("group_name", text()),
        sa.Column("description", text(), nullable=False),
        sa.Column("fires_when", text(), nullable=False),
        sa.Column("schemas", text()),
        sa.Column("sample", text()),
        sa.Column("reference_sample", text()),
        sa.Column("sensitive_fields", text()),
        sa.Column("payload_check", text(), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("deprecated", sa.Boolean(), nullable=False),
        sa.Column("feature_flags", text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_event_types"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", text()),
        sa.Column("status_code", sa.Integer()),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_keys"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "messages",
        sa.Column("app_id", text(), nullable=False),
        sa.Column("id", text(), nullable=False),
        sa.Column("uid", text()),
        sa.Column("event_type", text(), nullable=False),
        sa.Column("channels", text()),
        sa.Column("tags", text()),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("problems", text()),
        sa.Column("endpoint_count", sa.Integer(), nullable=False),
        sa.Column("deliver_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("payload_expires_at", sa.BigInteger(), nullable=False),
        sa.Column("payload_gone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "id", name="pk_messages"),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(
        "ix_messages_payload_expires_at",
        "messages",
        ["payload_expires_at"],
        unique=False,
        sqlite_where=sa.text("NOT payload_gone"),
        postgresql_where=sa.text("NOT payload_gone"),
    )
    op.create_index(
        "uq_messages_app_id_uid",
        "messages",
        ["app_id", "uid"],
        unique=not _on_postgresql(),
        sqlite_where=sa.text("uid IS NOT NULL"),
        postgresql_where=sa.text("uid IS NOT NULL"),
    )
    op.create_table(
        "payloads",
        sa.Column("message_id", text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_payloads"),
        postgresql_partition_by="RANGE (message_id)",
    )
    op.create_table(
        "tokens",
        sa.Column("id", text(), nullable=False),
        sa.Column("name", text(), nullable=False),
        sa.Column("hash", text(), nullable=False),
        sa.Column("app_id", text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )
