"""The link for the first owner is good at every process, whichever printed it."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "setup_links",
        sa.Column("hash", text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_setup_links"),
    )
