"""Background work that survives its process; keys and tries that hold for all processes."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", text(), nullable=False),
        sa.Column("kind", text(), nullable=False),
        sa.Column("status", text(), nullable=False),
        sa.Column("app_id", text(), nullable=False),
        sa.Column("endpoint_id", text(), nullable=False),
        sa.Column("wanted", text(), nullable=False),
        sa.Column("cursor", text()),
        sa.Column("sent_count", sa.BigInteger(), nullable=False),
        sa.Column("problem", text()),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("claim_id", text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
    )
    running = sa.text("due_at IS NOT NULL")
    op.create_index(
        "ix_tasks_due", "tasks", ["due_at"], sqlite_where=running, postgresql_where=running
    )
    op.create_index("ix_tasks_app_id_id", "tasks", ["app_id", "id"], unique=False)
    op.create_table(
        "tries",
        sa.Column("key", text(), nullable=False),
        sa.Column("free_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_tries"),
        sqlite_with_rowid=False,
    )
    op.add_column("idempotency_keys", sa.Column("held_until", sa.BigInteger()))
