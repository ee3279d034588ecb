"""Column types as they were meant, whatever the database makes of them by itself."""

from __future__ import annotations

import sqlalchemy as sa


def text() -> sa.types.TypeEngine[str]:
    """Text in the order of its bytes: ids sort by time only so, and SQLite sorts no other way."""
    return sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
