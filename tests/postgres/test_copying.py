"""`stafett copy`: what an installation on SQLite has, PostgreSQL has afterwards, and nothing twice.

The oracle is the Store contract: both stores are asked for everything, noun by noun.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from typing_extensions import override

import making
from making import MINUTE, NOW
from postgres_server import PostgresServer
from stafett import errors
from stafett.drivers import schema
from stafett.drivers.copying import parts, source, target, work
from stafett.drivers.copying.progress import Progress, Step
from stafett.drivers.postgres.store import PostgresStore
from stafett.drivers.sqlite.lock import FileLock
from stafett.drivers.sqlite.store import SqliteStore
from stafett.ids import AppId, MessageId
from stafett.model import (
    Application,
    AttemptFilter,
    Bin,
    Delivery,
    DeliveryState,
    DisabledReason,
    Endpoint,
    EndpointSecret,
    FailureCause,
    HeaderFamily,
    MessageFilter,
    PageQuery,
    PayloadCheck,
    PayloadStyle,
    ReplyMode,
    Role,
    ScriptedReply,
    Secret,
    TaskFilter,
    Trigger,
)
from stafett.store import (
    AddStatus,
    AttemptRecord,
    Idempotency,
    NewMessage,
    Store,
    StoredReply,
)

LATER = NOW + timedelta(hours=3)
"""When the copy begins."""
ODD = "Æ ø 'quote' \"double\" \\N \\. \t,;{}\u202e\U0001f40e"
MIB = 1 << 20
ALL = PageQuery(limit=1000, ascending=True)
MONTH = timedelta(days=30)
KEY = Idempotency(key=b"\x00k" * 16, body_hash=b"\xff" * 32)
REPLY = StoredReply(status_code=201, body=b'{"a": "\xc3\xa5"}\x00')
PROMISE = Idempotency(key=b"\x00reply", body_hash=b"h" * 32)

pytestmark = pytest.mark.timeout(300)


def hear_nothing(_: Progress) -> None: ...


# --- an installation --------------------------------------------------------------------------


async def add(store: Store, *items: NewMessage, at: datetime = NOW) -> None:
    results = await store.add_messages(items, now=at)
    assert {each.status for each in results} == {AddStatus.ADDED}


async def record(store: Store, *records: AttemptRecord, at: datetime = NOW) -> None:
    done = await store.record_attempts(records, now=at, failing_before=at - MONTH)
    assert not done.stale


def owed(app: Application, endpoint: Endpoint, at: datetime = NOW, **given: Any) -> NewMessage:
    """A message with a delivery that is due."""
    idempotency = given.pop("idempotency", None)
    claim = given.pop("claim", None)
    message = making.a_message(app.id, at=at, **given)
    delivery = making.a_delivery(
        endpoint.id, id=making.ids.delivery(at), due_at=message.deliver_at or at, claim=claim
    )
    return NewMessage(message=message, deliveries=(delivery,), idempotency=idempotency)


async def fill_places(store: Store) -> tuple[Application, Endpoint]:
    """Applications, endpoints and event types."""
    shop = making.an_application(uid="default", name=ODD, rate_limit=5, metadata={"a": ODD, "": ""})
    bare = making.an_application(name="")
    plain = making.an_endpoint(shop.id)
    special = making.an_endpoint(
        shop.id,
        uid="sp",
        name=ODD,
        description="two\nlines\r\n",
        integration="shop",
        disabled=True,
        disabled_reason=DisabledReason.MANUAL,
        disabled_at=NOW,
        event_types=frozenset({"payment_received", "b"}),
        channels=frozenset({"x"}),
        rate_limit=1,
        metadata={"m": "n"},
        headers={"x-a": "\xe6"},
        header_family=HeaderFamily.BOTH,
        secrets=(
            EndpointSecret(secret=Secret(making.SECRET)),
            EndpointSecret(secret=Secret("whsec_b2xk"), expires_at=NOW + MINUTE),
        ),
        payload_style=PayloadStyle.FLAT,
        retry_schedule=(MINUTE, timedelta(microseconds=1)),
        timeout=timedelta(seconds=3),
        concurrency=2,
    )
    for application in (shop, bare):
        await store.add_application(application)
    for endpoint in (plain, special, making.an_endpoint(bare.id, uid="sp", retry_schedule=())):
        await store.add_endpoint(endpoint)
    odd = making.an_event_type(
        "odd.type",
        label=ODD,
        group="g",
        schemas={"1": {"type": "object", "title": "\x00" + ODD}},
        sample={"deep": [1.5, None, True, "\x00", 1 << 60]},
        reference_sample=[],
        sensitive_fields=("a", "b"),
        check=PayloadCheck.STRICT,
        archived=True,
        deprecated=True,
        feature_flags=("f",),
    )
    await store.add_event_types([making.an_event_type(), odd])
    return shop, plain


async def fill_people(store: Store) -> None:
    kari = making.a_user()
    ola = making.a_user(
        email="ola@example.com",
        name=ODD,
        role=Role.VIEWER,
        disabled_at=NOW,
        id=making.ids.user(NOW),
    )
    for user in (kari, ola):
        await store.add_user(user)
    await store.add_setup_link("h1", now=NOW)
    await store.add_session(making.a_session(kari.id, user_agent=ODD))
    await store.add_session(making.a_session(kari.id, hash="h2", user_agent=""))
    await store.add_audit(making.an_audit_entry(target="ep_1", detail=ODD))
    await store.add_audit(making.an_audit_entry(at=NOW + MINUTE, address=""))
    used = making.a_token(app_id=AppId("app_x"), expires_at=LATER, revoked_at=NOW, last_used_at=NOW)
    for token in (making.a_token(name=ODD), used):
        await store.add_token(token)
    assert await store.hold_key(PROMISE, until=LATER + MINUTE, now=LATER) is None
    await store.keep_reply(PROMISE.key, REPLY, held_until=LATER + MINUTE, now=LATER)


async def fill_bins(store: Store) -> Bin:
    reply = ScriptedReply(
        status_code=503,
        headers=(("x-a", "b"),),
        body=b"\x00\xff",
        delay=MINUTE,
        mode=ReplyMode.DRIP,
        drip_every=timedelta(milliseconds=1),
        times=2,
        chance=1 / 3,
        seed=7,
        size=1 << 20,
        retry_date=MINUTE,
    )
    busy = making.a_bin(name=ODD, reply=reply)
    for each in (busy, making.a_bin()):
        await store.add_bin(each)
    await store.count_answers(busy.id, since=0, counted=[ODD, "b"], now=NOW)
    caught = [
        making.a_capture(busy),
        making.a_capture(busy, body=b"", message_id=MessageId("msg_1"), webhook_id="w"),
        making.a_capture(busy, body=os.urandom(MIB), body_truncated=True, pinned=True),
    ]
    await store.add_captures(caught, keep=100, keep_bytes=10 * MIB)
    return busy


async def fill_messages(store: Store, app: Application, endpoint: Endpoint) -> None:
    """Every state of a delivery, of this day and of days long ago."""
    claim = making.a_claim()
    done = owed(
        app,
        endpoint,
        claim=claim,
        uid="order-1",
        channels=("a", "b"),
        tags=("t",),
        trace="00-1-2-01",
    )
    old = owed(app, endpoint, at=NOW - MONTH, claim=claim, payload=b"\x00\xff" + bytes(range(256)))
    failed = owed(app, endpoint, at=NOW - MONTH - MONTH, claim=claim, problems=(ODD, "b"))
    again = owed(app, endpoint, claim=claim, test=True, payload=os.urandom(MIB))
    sending = owed(app, endpoint, claim=claim, payload=b"", idempotency=KEY)
    later = owed(app, endpoint, deliver_at=NOW + MONTH)
    gone = owed(app, endpoint)
    called_off = owed(app, endpoint)
    unwanted = NewMessage(message=making.a_message(app.id, endpoint_count=0), deliveries=())
    large = [owed(app, endpoint, payload=os.urandom(MIB)) for _ in range(3)]
    await add(store, done, old, failed, again, sending, later, gone, called_off, unwanted, *large)
    huge = making.an_outcome(
        response_body=os.urandom(1 << 16), response_truncated=True, response_headers=(("x", ODD),)
    )
    none = making.an_outcome(
        None, cause=FailureCause.TIMEOUT, detail=ODD, response_body=b"", response_headers=()
    )
    await record(
        store,
        making.a_record(done, claim_id=claim.id),
        making.a_record(old, claim_id=claim.id, outcome=huge, trigger=Trigger.MANUAL),
        making.a_record(failed, claim_id=claim.id, outcome=none),
        making.a_record(
            again,
            claim_id=claim.id,
            outcome=making.an_outcome(500),
            state=DeliveryState.PENDING,
            due_at=NOW + MINUTE,
        ),
    )
    await store.expunge_payload(app.id, gone.message.id)
    await store.expunge_attempt(old.message.id, (await attempts_of(store, app, old))[0].id)
    assert await store.cancel(called_off.deliveries[0].id, now=NOW)


async def attempts_of(store: Store, app: Application, item: NewMessage) -> list[Any]:
    where = AttemptFilter(message_id=item.message.id)
    return [attempt for attempt, _ in (await store.list_attempts(app.id, where, ALL)).items]


async def fill(path: Path) -> dict[str, Any]:
    """An installation with everything in it, and what it answers when it is asked for that."""
    store = SqliteStore(path)
    await store.open(now=NOW)
    app, endpoint = await fill_places(store)
    await fill_people(store)
    await store.add_task(making.a_task(endpoint))
    assert await store.take_try("try_out usr_1", burst=1, every=MONTH, now=NOW) is None
    await fill_bins(store)
    await fill_messages(store, app, endpoint)
    told = await everything(store)
    await store.close()
    return told


async def everything(store: Store) -> dict[str, Any]:
    """What a store has, noun by noun."""
    apps = (await store.list_applications(ALL)).items
    messages = [
        each
        for app in apps
        for each in (
            await store.list_messages(app.id, MessageFilter(), ALL, with_payload=True)
        ).items
    ]
    owner = {each.id: each.app_id for each in messages}
    users = await store.list_users()
    bins = (await store.list_bins(ALL)).items
    return {
        "applications": apps,
        "endpoints": [e for app in apps for e in await store.all_endpoints(app.id)],
        "event types": await store.all_event_types(),
        "messages": messages,
        "deliveries": await store.list_deliveries_of(list(owner), limit=1000),
        "attempts": [
            attempt
            for message_id, app_id in owner.items()
            for attempt, _ in (
                await store.list_attempts(app_id, AttemptFilter(message_id=message_id), ALL)
            ).items
        ],
        "tokens": (await store.list_tokens(ALL)).items,
        "users": users,
        "sessions": [await store.list_sessions(user.id) for user in users],
        "setup link": await store.has_setup_link("h1"),
        "audit": (await store.list_audit(ALL)).items,
        "free_at": await store.take_try("try_out usr_1", burst=1, every=MONTH, now=NOW),
        "tasks": (await store.list_tasks(TaskFilter(), ALL)).items,
        "reply": await store.hold_key(PROMISE, until=LATER + MINUTE, now=LATER),
        "bins": bins,
        "captures": [(await store.list_captures(each.id, ALL)).items for each in bins],
    }


def begun(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """As they are after the copy: what was being sent is due when that began."""
    return [
        replace(each, state=DeliveryState.PENDING, due_at=LATER)
        if each.state is DeliveryState.SENDING
        else each
        for each in deliveries
    ]


async def opened(url: str, stack: AsyncExitStack) -> PostgresStore:
    store = PostgresStore(url)
    await store.open(now=LATER)
    stack.push_async_callback(store.close)
    return store


@pytest.fixture
def virgin_url(postgres_server: PostgresServer) -> str:
    """A database without any table."""
    name = f"test_{secrets.token_hex(6)}"
    postgres_server.sql(f"CREATE DATABASE {name}")
    return postgres_server.url(name)


def content(path: Path) -> bytes:
    """Of a file, or the names of those in a folder."""
    if path.is_dir():
        return "".join(each.name for each in path.iterdir()).encode()
    return path.read_bytes()


async def answers(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


# --- what arrives -----------------------------------------------------------------------------


async def test_everything_arrives_as_it_was(store_path: Path, virgin_url: str) -> None:
    told = await fill(store_path)
    assert {each.state for each in told["deliveries"]} == set(DeliveryState)
    before = content(store_path)
    compared = await work.copy(store_path, virgin_url, now=LATER, tell=hear_nothing)
    assert [each.part for each in compared if not each.equal] == []
    assert {each.part for each in compared if not each.source.row_count} == set()
    assert content(store_path) == before
    async with AsyncExitStack() as stack:
        found = await everything(await opened(virgin_url, stack))
    told["deliveries"] = begun(told["deliveries"])
    for noun, items in told.items():
        assert found[noun] == items, noun
    assert await answers(virgin_url, "SELECT to_regclass('copy_progress')") == [(None,)]


async def test_every_table_is_copied(postgres_url: str) -> None:
    tables = await answers(
        postgres_url,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace",
    )
    names = {name for (name,) in tables} - {"alembic_version", "changes"}
    assert names == {part.table for part in parts.parts()}
    assert names >= schema.metadata.tables.keys()


async def test_an_empty_installation_is_copied(store_path: Path, postgres_url: str) -> None:
    compared = await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
    assert all(each.equal and each.source.row_count == 0 for each in compared)


async def test_old_messages_lie_in_days_of_their_own(store_path: Path, postgres_url: str) -> None:
    await fill(store_path)
    await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
    for parent in ("messages", "payloads", "deliveries", "attempts"):
        strays = await answers(postgres_url, f"SELECT count(*) FROM {parent}_default")
        assert strays == [(0,)], parent
    day = f"{NOW - MONTH:%Y%m%d}"
    assert await answers(postgres_url, f"SELECT count(*) FROM messages_p{day}") == [(1,)]
    async with AsyncExitStack() as stack:
        store = await opened(postgres_url, stack)
        expired = await store.expire(now=LATER, messages_before=NOW - MONTH, limit=100)
    assert expired.messages >= 1


async def test_a_server_goes_on_with_what_waits(store_path: Path, postgres_url: str) -> None:
    told = await fill(store_path)
    waiting = {each.id: each for each in begun(told["deliveries"]) if each.due_at is not None}
    sent = {each.id for each in told["deliveries"] if each.state is DeliveryState.SENDING}
    await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
    app = next(each for each in told["applications"] if each.uid == "default")
    endpoint = next(each for each in told["endpoints"] if each.app_id == app.id)
    async with AsyncExitStack() as stack:
        store = await opened(postgres_url, stack)
        backlog = await store.backlog(now=LATER)
        assert (backlog.pending, backlog.sending) == (len(waiting), 0)
        claim = making.a_claim(LATER)
        due = await store.claim_due(claim, now=LATER, limit=1000, room=1000, held={})
        assert sent <= {each.id for each in due}
        payloads = {each.id: each.payload for each in told["messages"]}
        assert {each.id: each.payload for each in due} == {
            each.id: payload
            for each in waiting.values()
            if each.due_at is not None
            and each.due_at <= LATER
            and (payload := payloads[each.message_id]) is not None
        }
        item = NewMessage(
            message=next(each for each in told["messages"] if each.id == due[0].message_id),
            deliveries=(making.a_delivery(due[0].endpoint_id, id=due[0].id),),
        )
        await record(store, making.a_record(item, claim_id=claim.id, at=LATER), at=LATER)
        assert (await store.backlog(now=LATER)).sending == len(due) - 1
        named = owed(app, endpoint, at=LATER, uid="order-1")
        keyed = owed(app, endpoint, at=LATER, idempotency=KEY)
        results = await store.add_messages([named, keyed], now=LATER)
        assert [each.status for each in results] == [AddStatus.UID_TAKEN, AddStatus.REPEATED]
        busy = next(each for each in told["bins"] if each.capture_count)
        caught = await store.add_captures([making.a_capture(busy)], keep=100, keep_bytes=10 * MIB)
        assert [each.number for each in caught] == [4]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "stafett", "copy", *words]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, check=False, timeout=120)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


# --- going on with it -------------------------------------------------------------------------


class Stopped(Exception):
    """The copy ended here, as if the process had."""


@pytest.mark.slow
async def test_wherever_it_is_stopped_it_goes_on(
    store_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of two rows, and an end after each of them: no row is lost, none comes twice."""
    told = await fill(store_path)
    monkeypatch.setattr(source, "_MAX_ROWS", 2)
    monkeypatch.setattr(source, "_STRIDE", 2)
    reached: dict[str, int] = {}

    def stop(progress: Progress) -> None:
        if progress.doing is Step.COPY and progress.row_count > reached.get(progress.part, 0):
            reached[progress.part] = progress.row_count
            raise Stopped

    runs = 0
    while True:
        try:
            # Later each time: what was being sent is due when the first of them began.
            now = LATER + runs * MINUTE
            compared = await work.copy(store_path, postgres_url, now=now, tell=stop)
            break
        except Stopped:
            runs += 1
    assert runs > len(parts.parts())
    assert all(each.equal for each in compared)
    assert reached == {each.part: each.source.row_count for each in compared}
    async with AsyncExitStack() as stack:
        found = await everything(await opened(postgres_url, stack))
    told["deliveries"] = begun(told["deliveries"])
    assert found == told


async def many_messages(path: Path, count: int) -> None:
    store = SqliteStore(path)
    await store.open(now=NOW)
    app = making.an_application(uid="default")
    endpoint = making.an_endpoint(app.id)
    await store.add_application(app)
    await store.add_endpoint(endpoint)
    for start in range(0, count, 1000):
        at = NOW - timedelta(hours=start / 250)
        claim = making.a_claim(at)
        items = [owed(app, endpoint, at=at, claim=claim, uid=f"{start}-{n}") for n in range(1000)]
        await add(store, *items, at=at)
        await record(store, *(making.a_record(i, claim_id=claim.id, at=at) for i in items[:900]))
    await store.close()


async def reached(process: subprocess.Popen[str], url: str, row_count: int) -> None:
    """Returns when the copy has noted so many rows; 0: when it has noted its beginning."""
    connection = await asyncpg.connect(url)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, "the copy ended before it could be killed"
            assert time.monotonic() < deadline
            if await connection.fetchval("SELECT to_regclass('copy_progress')") is not None:
                noted = await connection.fetchval("SELECT sum(row_count) FROM copy_progress")
                if noted is not None and noted >= row_count:
                    return
    finally:
        await connection.close()


async def test_what_a_killed_server_left_in_its_log_is_copied(
    store_path: Path, tmp_path: Path, postgres_url: str
) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    application = making.an_application()
    await store.add_application(application)
    left = tmp_path / "left"
    left.mkdir()
    for name in (store_path.name, f"{store_path.name}-wal"):
        shutil.copy(store_path.with_name(name), left)
    await store.close()
    log = left / f"{store_path.name}-wal"
    before = content(log)
    assert before

    def stop(progress: Progress) -> None:
        if progress.part == "messages":
            raise Stopped

    with pytest.raises(Stopped):
        await work.copy(left / store_path.name, postgres_url, now=LATER, tell=stop)
    await work.copy(left / store_path.name, postgres_url, now=LATER, tell=hear_nothing)
    assert content(log) == before
    async with AsyncExitStack() as stack:
        found = await everything(await opened(postgres_url, stack))
    assert found["applications"] == (application,)


@pytest.mark.slow
async def test_a_killed_copy_goes_on(store_path: Path, virgin_url: str) -> None:
    """Killed as it begins, twice on its way, and while it compares."""
    count = 20_000
    await many_messages(store_path, count)
    words = ("--from", f"sqlite:{store_path}", "--to", virgin_url)
    # Payloads, deliveries and attempts beside the messages, their uids, and what waits.
    total = round(count * (1 + 1 + 1 + 0.9 + 1 + 0.1)) + 2
    for row_count in (0, count + 1, 3 * count, total):
        process = start(*words)
        await reached(process, virgin_url, row_count)
        process.kill()
        told = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL
        if row_count > count + 1:
            assert "copying messages: 20000 of 20000, from before" in told
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    tables = {each["table"]: each for each in json.loads(done.stdout)["tables"]}
    assert all(each["same"] and each["source"] == each["target"] for each in tables.values())
    assert sum(each["target"]["rows"] for each in tables.values()) == total
    for table in ("messages", "payloads", "deliveries", "attempts", "queue", "message_uids"):
        assert await answers(virgin_url, f"SELECT count(*) FROM {table}") == [
            (tables[table]["source"]["rows"],)
        ]
    assert await answers(virgin_url, "SELECT to_regclass('copy_progress')") == [(None,)]


def meddled_with(url: str, monkeypatch: pytest.MonkeyPatch, *, table: str, sql: str) -> None:
    """From now on, before a copy writes to `table`, somebody does `sql` to the database."""

    class Target(target.Target):
        @override
        async def add(self, part: Any, rows: Any, place: Any) -> Any:
            if part.table == table:
                await answers(url, sql)
            return await super().add(part, rows, place)

    monkeypatch.setattr(target, "Target", Target)


async def test_two_copies_do_not_write_at_once(
    store_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store_path)
    advance = "UPDATE copy_progress SET row_count = row_count + 1"
    meddled_with(postgres_url, monkeypatch, table="messages", sql=advance)
    with pytest.raises(errors.Conflict, match="another copy"):
        await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
    assert await answers(postgres_url, "SELECT count(*) FROM messages") == [(0,)]
    assert await answers(postgres_url, "SELECT count(*) FROM applications") == [(2,)]


async def test_a_server_that_writes_meanwhile_is_found_out(
    store_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store_path)
    add = (
        "INSERT INTO applications (id, uid, name, metadata, created_at, updated_at)"
        " VALUES ('app_x', 'default', '', '{}', 0, 0) ON CONFLICT DO NOTHING"
    )
    meddled_with(postgres_url, monkeypatch, table="applications", sql=add)
    with pytest.raises(errors.Conflict, match="a server wrote to it meanwhile"):
        await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)


# --- what is refused --------------------------------------------------------------------------


async def test_a_database_in_use_is_refused(store_path: Path, postgres_url: str) -> None:
    await fill(store_path)
    async with AsyncExitStack() as stack:
        store = await opened(postgres_url, stack)
        app = making.an_application(uid="default")
        await store.add_application(app)
        endpoint = making.an_endpoint(app.id)
        await store.add_endpoint(endpoint)
        with pytest.raises(errors.Conflict, match="endpoints has rows"):
            await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
        await store.delete_endpoint(endpoint.id)
        await add(store, NewMessage(message=making.a_message(app.id), deliveries=()))
        with pytest.raises(errors.Conflict, match="messages has rows"):
            await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
    assert await answers(postgres_url, "SELECT count(*) FROM applications") == [(1,)]
    assert await answers(postgres_url, "SELECT to_regclass('copy_progress')") == [(None,)]


async def test_what_a_first_start_made_makes_way(store_path: Path, postgres_url: str) -> None:
    told = await fill(store_path)
    async with AsyncExitStack() as stack:
        store = await opened(postgres_url, stack)
        await store.add_application(making.an_application(uid="default", name="Default"))
        await store.add_event_types([making.an_event_type(label="Another")])
        await store.add_token(making.a_token(name="local command line"))
    await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
    async with AsyncExitStack() as stack:
        found = await everything(await opened(postgres_url, stack))
    for noun in ("applications", "event types", "tokens"):
        assert found[noun] == told[noun], noun


async def test_a_file_that_a_server_has_is_refused(store_path: Path, postgres_url: str) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    with pytest.raises(errors.StoreInUse, match="stop it first"):
        await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)
    await store.close()


async def test_no_server_takes_the_file_meanwhile(store_path: Path, postgres_url: str) -> None:
    held: list[bool] = []

    def tell(_: Progress) -> None:
        with pytest.raises(errors.StoreInUse):
            FileLock(store_path.with_name(store_path.name + ".lock")).take()
        held.append(True)

    await work.copy(store_path, postgres_url, now=LATER, tell=tell)
    assert held
    lock = FileLock(store_path.with_name(store_path.name + ".lock"))
    lock.take()
    lock.release()


async def test_a_file_that_was_changed_since_is_refused(
    store_path: Path, postgres_url: str
) -> None:
    await fill(store_path)

    def stop(progress: Progress) -> None:
        if progress.part == "messages":
            raise Stopped

    with pytest.raises(Stopped):
        await work.copy(store_path, postgres_url, now=LATER, tell=stop)
    store = SqliteStore(store_path)
    await store.open(now=LATER)
    await store.add_application(making.an_application())
    await store.close()
    with pytest.raises(errors.Conflict, match="another file, or of this one before"):
        await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)


async def test_a_file_of_an_older_release_is_refused(store_path: Path, postgres_url: str) -> None:
    engine = sa.create_engine(f"sqlite:///{store_path}")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with pytest.raises(errors.Unavailable, match="does not have the schema of this release"):
        await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)


async def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, postgres_url: str) -> None:
    with pytest.raises(errors.Unavailable, match="no database file"):
        await work.copy(tmp_path / "none.db", postgres_url, now=LATER, tell=hear_nothing)
    assert content(tmp_path) == b""


async def test_text_that_postgresql_cannot_hold_is_named(
    store_path: Path, postgres_url: str
) -> None:
    store = SqliteStore(store_path)
    await store.open(now=NOW)
    app = making.an_application(name="a\x00b")
    await store.add_application(app)
    await store.close()
    with pytest.raises(errors.Conflict, match=f"name of applications {app.id} has a NUL"):
        await work.copy(store_path, postgres_url, now=LATER, tell=hear_nothing)


# --- the verb ---------------------------------------------------------------------------------


async def test_a_difference_is_an_error_with_the_name_of_the_table(
    store_path: Path, postgres_url: str, postgres_server: PostgresServer
) -> None:
    await fill(store_path)
    database = postgres_url.rpartition("/")[2]
    postgres_server.sql(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.name = NEW.name || ' '; RETURN NEW; END $$;"
        "CREATE TRIGGER spoil BEFORE INSERT ON tokens FOR EACH ROW EXECUTE FUNCTION spoil()",
        database,
    )
    done = run("--from", f"sqlite:///{store_path}", "--to", postgres_url)
    assert done.returncode == 1
    assert "not the same on both sides: tokens;" in done.stderr
    shown = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert (shown["tokens"][1:3], shown["tokens"][-1]) == (["2", "2"], "no")
    assert shown["messages"][-1] == "yes"


def test_only_from_sqlite_to_postgresql(tmp_path: Path) -> None:
    file = f"sqlite:{tmp_path / 'a.db'}"
    for given, wanted in (
        ("postgresql://host/a", file),
        (file, "sqlite:b.db"),
        ("postgresql://host/a", "postgresql://host/b"),
    ):
        done = run("--from", given, "--to", wanted)
        assert done.returncode == 2
        assert "from SQLite to PostgreSQL only" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:", "sqlite:///", "sqlite://host/a.db"])
def test_a_url_without_a_path_is_refused(url: str) -> None:
    done = run("--from", url, "--to", "postgresql://127.0.0.1/x")
    assert done.returncode == 2
    assert "--from needs a path" in done.stderr
