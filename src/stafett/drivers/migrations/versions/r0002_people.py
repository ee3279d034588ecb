"""People who sign in, their sessions, and what they did."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", text(), nullable=False),
        sa.Column("email", text(), nullable=False),
        sa.Column("name", text(), nullable=False),
        sa.Column("role", text(), nullable=False),
        sa.Column("password_hash", text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", text(), nullable=False),
        sa.Column("user_id", text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("address", text(), nullable=False),
        sa.Column("user_agent", text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", text(), nullable=False),
        sa.Column("actor", text(), nullable=False),
        sa.Column("action", text(), nullable=False),
        sa.Column("target", text(), nullable=False),
        sa.Column("detail", text(), nullable=False),
        sa.Column("address", text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
