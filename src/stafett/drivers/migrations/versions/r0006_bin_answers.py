"""Bins that break their answers, by chance too; their answers are counted for all processes."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # With defaults, as a process of the release before does not know of the columns.
    for name, kind, default in (
        ("reply_chance", sa.Float(), "1"),
        ("reply_size", sa.BigInteger(), "0"),
        ("reply_retry_date_us", sa.BigInteger(), "0"),
    ):
        op.add_column("bins", sa.Column(name, kind, nullable=False, server_default=default))
    op.add_column("bins", sa.Column("reply_seed", sa.BigInteger()))
    op.create_table(
        "bin_answers",
        sa.Column("bin_id", text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("counted", text(), nullable=False),
        sa.Column("answer_count", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("bin_id", "since", "counted", name="pk_bin_answers"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_bin_answers_bin_id_counted_at", "bin_answers", ["bin_id", "counted_at"], unique=False
    )
