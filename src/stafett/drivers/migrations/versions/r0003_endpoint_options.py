"""What an endpoint may have of its own: payload style, retry schedule, timeout, concurrency."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # With a default, as a process of the release before does not know of the column.
    op.add_column(
        "endpoints",
        sa.Column("payload_style", text(), nullable=False, server_default="accepted"),
    )
    op.add_column("endpoints", sa.Column("retry_schedule", text()))
    op.add_column("endpoints", sa.Column("timeout", sa.BigInteger()))
    op.add_column("endpoints", sa.Column("concurrency", sa.Integer()))
