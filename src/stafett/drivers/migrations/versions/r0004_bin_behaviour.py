"""Replies of bins that take their time or fail so many times; captures that are pinned."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # With defaults, as a process of the release before does not know of the columns.
    for name, kind, default in (
        ("reply_mode", text(), "whole"),
        ("reply_drip_us", sa.BigInteger(), "1000000"),
        ("reply_times", sa.Integer(), "0"),
        ("reply_since", sa.BigInteger(), "0"),
    ):
        op.add_column("bins", sa.Column(name, kind, nullable=False, server_default=default))
    op.add_column("captures", sa.Column("webhook_id", text()))
    op.add_column(
        "captures", sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute("UPDATE captures SET webhook_id = message_id WHERE message_id IS NOT NULL")
    for column in ("pinned", "webhook_id"):
        name = f"ix_captures_bin_id_{column}_number"
        op.create_index(name, "captures", ["bin_id", column, "number"], unique=False)
