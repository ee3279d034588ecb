"""A search looks at a part of the history at a time, in every table that it reads.

A database knows that keys which are joined are the same, but not that a range of one is a range of
the other: where a statement does not say so, all of the other table is read or searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

import making
from making import MINUTE, NOW
from stafett.drivers.postgres.store import PostgresStore
from stafett.model import Application, DeliveryState, Endpoint, MessageFilter
from stafett.store import DeliveryQuery, NewMessage, Store

COUNT = 600
"""More than the first step looks at."""


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is asked of the database, as SQL."""
    asked: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: Any) -> None:
        asked.append(" ".join(statement.split()))

    event.listen(sa.Engine, "before_cursor_execute", note)
    yield asked
    event.remove(sa.Engine, "before_cursor_execute", note)


@pytest.fixture
async def filled(store: Store, application: Application, endpoint: Endpoint) -> list[NewMessage]:
    """A history, oldest first; what is looked for is the oldest of it."""
    items = [
        NewMessage(
            message=making.a_message(
                application.id, at=NOW + n * MINUTE, payload=b"hay" if n else b"needle"
            ),
            deliveries=(making.a_delivery(endpoint.id),),
        )
        for n in range(COUNT)
    ]
    await store.add_messages(items, now=NOW)
    return items


def ranges(statement: str, column: str) -> set[str]:
    """How a column is bounded."""
    return set(re.findall(rf"\b{re.escape(column)} (<=|>=|<|>) ", statement))


async def test_a_search_in_payloads_reads_no_more_payloads_than_messages(
    store: Store, application: Application, filled: list[NewMessage], statements: list[str]
) -> None:
    found = await store.search_messages(
        application.id, MessageFilter(), ["needle"], after=None, limit=9, look=10_000
    )
    assert [each.id for each in found.items] == [filled[0].message.id]
    searching = [each for each in statements if "strpos" in each or "instr" in each]
    assert len(searching) > 1
    for each in searching:
        assert ranges(each, "payloads.message_id") == ranges(each, "messages.id") != set()


async def test_times_bound_the_payloads_too(
    store: Store, application: Application, filled: list[NewMessage], statements: list[str]
) -> None:
    where = MessageFilter(after=NOW + 2 * MINUTE, before=NOW + 9 * MINUTE)
    found = await store.search_messages(
        application.id, where, ["hay"], after=filled[7].message.id, limit=9, look=99
    )
    assert [each.id for each in found.items] == [each.message.id for each in filled[6:1:-1]]
    [search] = [each for each in statements if "strpos" in each or "instr" in each]
    assert ranges(search, "payloads.message_id") == {"<", ">="}


async def test_a_search_of_deliveries_reads_no_more_messages_than_deliveries(
    store: Store, application: Application, filled: list[NewMessage], statements: list[str]
) -> None:
    found = await store.search_deliveries(
        application.id,
        DeliveryQuery(state=DeliveryState.FAILED),
        after=f"{filled[-2].message.id}.{filled[-2].deliveries[0].endpoint_id}",
        limit=9,
        look=10_000,
    )
    assert found.items == ()
    assert found.place is None
    searching = [each for each in statements if "deliveries.state" in each and "LIMIT" in each]
    assert len(searching) > 1
    for each in searching:
        bounds = [ranges(each, "deliveries.message_id"), ranges(each, "messages.id")]
        # SQLite goes by one of them, and finds each row of the other by its key.
        bounded = [{">="} < each for each in bounds]
        assert all(bounded) if isinstance(store, PostgresStore) else any(bounded)
