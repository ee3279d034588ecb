"""The days that the history is kept in: made ahead, dropped whole.

Messages, their payloads, deliveries and attempts lie in one partition a day each, by the message's
id, which begins with its time. What belongs to no day that was made goes to the default partition.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from stafett import ids

PARENTS: Final = ("messages", "payloads", "deliveries", "attempts")
AHEAD: Final = timedelta(days=7)
"""How long before it begins a day is made: so long may it fail to be made."""
_DAY: Final = timedelta(days=1)
_KEYS: Final = {"messages": "id"}
_BY: Final = "message_id"
# Every delivery is written again once it is sent. Half of each page is left for that, so that the
# new row lies beside the old and no index hears of it (96 % of them; with 80 % filled, 37 %).
_STORAGE: Final = {
    "deliveries": "fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05",
    "attempts": "autovacuum_vacuum_insert_scale_factor = 0.5",
    "payloads": "toast_tuple_target = 8160",
}
_PATIENCE: Final = "SET LOCAL lock_timeout = '2s'"


def _day_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _name(parent: str, day: datetime) -> str:
    return f"{parent}_p{day:%Y%m%d}"


def _days(*, now: datetime) -> Iterator[datetime]:
    """Yesterday, for what comes late, today, and the days ahead."""
    day = _day_of(now) - _DAY
    while day <= now + AHEAD:
        yield day
        day += _DAY


def _present(connection: sa.Connection) -> set[str]:
    names = connection.scalars(
        sa.text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " JOIN pg_class p ON p.oid = i.inhparent"
            " WHERE p.relname = ANY(:parents) AND p.relnamespace = current_schema()::regnamespace"
        ),
        {"parents": list(PARENTS)},
    )
    return set(names)


def make_ahead(connection: sa.Connection, *, now: datetime) -> None:
    """Make the days that are missing; a day of which the default has rows already stays there."""
    present = _present(connection)
    missing = [(d, p) for d in _days(now=now) for p in PARENTS if _name(p, d) not in present]
    if not missing:
        return
    connection.execute(sa.text(_PATIENCE))
    for day, parent in missing:
        first, end = (ids.first_at(ids.MESSAGE, at) for at in (day, day + _DAY))
        key = _KEYS.get(parent, _BY)
        strays = (
            f"SELECT 1 FROM {parent}_default"  # noqa: S608 - the names are ours
            f" WHERE {key} >= :first AND {key} < :end LIMIT 1"
        )
        if connection.scalar(sa.text(strays), {"first": first, "end": end}) is not None:
            continue
        storage = f" WITH ({_STORAGE[parent]})" if parent in _STORAGE else ""
        connection.execute(
            sa.text(
                f"CREATE TABLE IF NOT EXISTS {_name(parent, day)} PARTITION OF {parent}"
                f" FOR VALUES FROM ('{first}') TO ('{end}'){storage}"
            )
        )


def _made(connection: sa.Connection) -> list[datetime]:
    """The days there are, oldest first."""
    names = (name.partition("_p") for name in _present(connection))
    texts = sorted(text for parent, _, text in names if parent == PARENTS[0] and text.isdigit())
    return [datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC) for text in texts]


def oldest(connection: sa.Connection) -> datetime | None:
    """When the oldest day began; what is older lies in the default partition."""
    return next(iter(_made(connection)), None)


def drop_before(connection: sa.Connection, before: datetime) -> int | None:
    """Drop the oldest day that ended before that time and of which nothing waits.

    Answers how many messages went with it; None: there was no such day.
    """
    for day in _made(connection):
        if day + _DAY <= before and not _waits(connection, day):
            return _drop(connection, day)
    return None


def forget_uids(
    connection: sa.Connection, *, before: datetime, since: datetime | None = None
) -> None:
    """The uids of messages made before that time, and not before `since`, may be used again."""
    first = "" if since is None else ids.first_at(ids.MESSAGE, since)
    end = ids.first_at(ids.MESSAGE, before)
    connection.execute(
        sa.text("DELETE FROM message_uids WHERE message_id >= :first AND message_id < :end"),
        {"first": first, "end": end},
    )


def _waits(connection: sa.Connection, day: datetime) -> bool:
    query = f"SELECT 1 FROM {_name('deliveries', day)} WHERE due_at IS NOT NULL LIMIT 1"  # noqa: S608
    return connection.scalar(sa.text(query)) is not None


def _drop(connection: sa.Connection, day: datetime) -> int:
    connection.execute(sa.text(_PATIENCE))
    count = connection.scalar(sa.text(f"SELECT count(*) FROM {_name('messages', day)}"))  # noqa: S608
    for parent in PARENTS:
        connection.execute(sa.text(f"DROP TABLE {_name(parent, day)}"))
    # An older day may still wait, so these may not be the oldest uids.
    forget_uids(connection, before=day + _DAY, since=day)
    return count or 0
