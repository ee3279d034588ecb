"""Days of history: made ahead, dropped whole, and nothing that waits goes with them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

import making
from making import NOW
from postgres.conftest import database_of
from postgres_server import PostgresServer
from stafett.drivers.postgres import partitions
from stafett.drivers.postgres.store import PostgresStore
from stafett.model import Application, Endpoint, Message
from stafett.store import AddStatus, Claim, Expired, NewMessage

DAY = timedelta(days=1)
LATER = NOW + 6 * DAY
"""Every day up to here was made when the store was opened."""


@pytest.fixture
def days(postgres_server: PostgresServer, postgres_url: str) -> Days:
    return Days(postgres_server, database_of(postgres_url))


class Days:
    """What partitions there are, as the database tells."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server = server
        self._database = database

    def of(self, parent: str) -> list[str]:
        """Its days, oldest first, and `default` at the end."""
        names = self._server.sql(
            "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
            f" WHERE inhparent = '{parent}'::regclass ORDER BY relname",
            self._database,
        ).split()
        days = sorted(name.rpartition("_p")[2] for name in names if not name.endswith("default"))
        return days + ["default"] * (len(names) - len(days))

    def holding(self, message: Message) -> dict[str, int]:
        """How many rows of a message's each partition has."""
        counts: dict[str, int] = {}
        for parent, key in (("messages", "id"), ("payloads", "message_id")):
            found = self._server.sql(
                f"SELECT tableoid::regclass FROM {parent} WHERE {key} = '{message.id}'",
                self._database,
            ).split()
            counts |= {name: found.count(name) for name in found}
        return counts


def named(at: datetime) -> str:
    return f"{at:%Y%m%d}"


def new(app: Application, endpoint: Endpoint, at: datetime, **given: str) -> NewMessage:
    message = making.a_message(app.id, at=at, **given)
    delivery = making.a_delivery(endpoint.id, id=making.ids.delivery(at), due_at=at)
    return NewMessage(message=message, deliveries=(delivery,))


async def deliver(store: PostgresStore, *items: NewMessage) -> None:
    """Add them and have each attempt succeed."""
    await store.add_messages(items, now=NOW)
    for item in items:
        at = item.message.created_at
        claim = Claim(id=making.ids.claim(at), lease_until=at + making.LEASE)
        due = await store.claim_due(claim, now=at, limit=1, room=1, held={})
        assert [each.message_id for each in due] == [item.message.id]
        record = making.a_record(item, claim_id=claim.id, at=at)
        done = await store.record_attempts([record], now=at, failing_before=at - 30 * DAY)
        assert not done.stale


async def expire(store: PostgresStore, before: datetime) -> Expired:
    """All rounds that there are."""
    messages = 0
    for _ in range(20):
        expired = await store.expire(now=LATER, messages_before=before, limit=100)
        messages += expired.messages
        if not expired.more:
            return Expired(payloads=0, messages=messages, keys=0, more=False)
    pytest.fail("it does not come to an end")


@pytest.mark.usefixtures("store")
def test_days_are_made_ahead_when_a_store_is_opened(days: Days) -> None:
    wanted = [named(NOW + n * DAY) for n in range(-1, 8)]
    for parent in partitions.PARENTS:
        assert days.of(parent) == [*wanted, "default"]


async def test_days_are_made_ahead_while_it_runs(store: PostgresStore, days: Days) -> None:
    await store.expire(now=NOW + 2 * DAY, messages_before=None, limit=100)
    for parent in partitions.PARENTS:
        assert days.of(parent)[-2] == named(NOW + 9 * DAY)


async def test_a_message_lies_in_its_day(
    store: PostgresStore, application: Application, endpoint: Endpoint, days: Days
) -> None:
    first = NOW.replace(hour=0, minute=0, second=0)
    last = first + DAY - timedelta(milliseconds=1)
    for at in (first, last):
        item = new(application, endpoint, at)
        await store.add_messages([item], now=NOW)
        day = named(NOW)
        assert days.holding(item.message) == {f"messages_p{day}": 1, f"payloads_p{day}": 1}


async def test_a_day_is_dropped_whole(
    store: PostgresStore, application: Application, endpoint: Endpoint, days: Days
) -> None:
    items = [new(application, endpoint, NOW + n * timedelta(hours=1)) for n in range(3)]
    kept = new(application, endpoint, NOW + DAY)
    await deliver(store, *items, kept)

    expired = await expire(store, NOW + DAY)

    assert expired.messages == 3
    for parent in partitions.PARENTS:
        assert days.of(parent)[0] == named(NOW + DAY)
    for item in items:
        assert await store.get_message(application.id, item.message.id, with_payload=True) is None
    found = await store.get_message(application.id, kept.message.id, with_payload=True)
    assert found is not None
    assert found.payload == making.PAYLOAD


async def test_a_day_that_is_not_over_by_then_stays(
    store: PostgresStore, application: Application, endpoint: Endpoint, days: Days
) -> None:
    item = new(application, endpoint, NOW)
    await deliver(store, item)
    midnight = NOW.replace(hour=0) + DAY

    expired = await expire(store, midnight - timedelta(microseconds=1))

    assert expired.messages == 0
    assert days.of("messages")[0] == named(NOW)
    assert await store.get_message(application.id, item.message.id, with_payload=False) is not None


async def test_a_day_is_kept_while_something_of_it_waits(
    store: PostgresStore, application: Application, endpoint: Endpoint, days: Days
) -> None:
    waiting = new(application, endpoint, NOW)
    done = new(application, endpoint, NOW + DAY)
    await deliver(store, done)
    await store.add_messages([waiting], now=NOW)

    expired = await expire(store, NOW + 3 * DAY)

    # The day before had nothing, the day after nothing that waits: only this one stays.
    assert expired.messages == 1
    assert days.of("messages")[:2] == [named(NOW), named(NOW + 3 * DAY)]
    due = await store.claim_due(making.a_claim(LATER), now=LATER, limit=9, room=9, held={})
    assert [each.message_id for each in due] == [waiting.message.id]
    assert due[0].payload == making.PAYLOAD


async def test_a_uid_is_free_when_its_day_is_gone(
    store: PostgresStore, application: Application, endpoint: Endpoint
) -> None:
    await deliver(store, new(application, endpoint, NOW, uid="order-1"))
    again = new(application, endpoint, NOW + 2 * DAY, uid="order-1")
    refused = await store.add_messages([again], now=NOW)
    assert [each.status for each in refused] == [AddStatus.UID_TAKEN]

    await expire(store, NOW + DAY)

    added = await store.add_messages([again], now=NOW)
    assert [each.status for each in added] == [AddStatus.ADDED]


async def test_a_uid_is_free_when_its_day_is_gone_although_an_older_day_waits(
    store: PostgresStore, application: Application, endpoint: Endpoint
) -> None:
    await deliver(store, new(application, endpoint, NOW + DAY, uid="order-2"))
    await store.add_messages([new(application, endpoint, NOW, uid="order-1")], now=NOW)

    await expire(store, NOW + 2 * DAY)

    again = [new(application, endpoint, NOW + 3 * DAY, uid=f"order-{n}") for n in (1, 2)]
    results = await store.add_messages(again, now=NOW)
    assert [each.status for each in results] == [AddStatus.UID_TAKEN, AddStatus.ADDED]


async def test_a_uid_stays_taken_while_its_day_waits(
    store: PostgresStore, application: Application, endpoint: Endpoint
) -> None:
    await store.add_messages([new(application, endpoint, NOW, uid="order-1")], now=NOW)

    await expire(store, NOW + 3 * DAY)

    again = new(application, endpoint, NOW + 4 * DAY, uid="order-1")
    refused = await store.add_messages([again], now=NOW)
    assert [each.status for each in refused] == [AddStatus.UID_TAKEN]


async def test_what_has_no_day_goes_to_the_default_and_expires_by_rows(
    store: PostgresStore, application: Application, endpoint: Endpoint, days: Days
) -> None:
    old = new(application, endpoint, NOW - 40 * DAY)
    await deliver(store, old)
    assert days.holding(old.message) == {"messages_default": 1, "payloads_default": 1}

    expired = await expire(store, NOW - 39 * DAY)

    assert expired.messages == 1
    assert days.holding(old.message) == {}


async def test_a_day_is_not_made_over_rows_that_the_default_has(
    store: PostgresStore, application: Application, endpoint: Endpoint, days: Days
) -> None:
    far = new(application, endpoint, NOW + 9 * DAY)
    await deliver(store, far)

    await store.expire(now=NOW + 3 * DAY, messages_before=None, limit=100)

    assert named(NOW + 9 * DAY) not in days.of("messages")
    assert days.of("messages")[-2] == named(NOW + 10 * DAY)
    assert days.holding(far.message) == {"messages_default": 1, "payloads_default": 1}
    found = await store.get_message(application.id, far.message.id, with_payload=True)
    assert found is not None


async def test_one_node_at_a_time_tidies_up(
    store: PostgresStore,
    application: Application,
    endpoint: Endpoint,
    postgres_url: str,
    days: Days,
) -> None:
    await deliver(store, new(application, endpoint, NOW))
    other = PostgresStore(postgres_url)
    await other.open(now=NOW)
    try:
        async with store._server.engine.begin() as busy:
            await busy.exec_driver_sql("SELECT pg_advisory_xact_lock(7823538272)")
            expired = await other.expire(now=LATER, messages_before=NOW + DAY, limit=100)
            assert expired == Expired(payloads=0, messages=0, keys=0, more=False)
            assert days.of("messages")[1] == named(NOW)
        assert (await expire(other, NOW + DAY)).messages == 1
    finally:
        await other.close()
