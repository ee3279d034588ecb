"""Messages keep the trace that they were accepted in."""

import sqlalchemy as sa
from alembic import op

from stafett.drivers.migrations.types import text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("messages", sa.Column("trace", text()))
