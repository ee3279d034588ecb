"""Any order of the verbs: nothing owed is lost, nobody writes after their claim is gone.

The oracle is a model of deliveries and endpoints in plain Python, written from the docstrings of
`stafett.store`. After each step the store and the model say the same of everything; at the end time
passes, and all that waits comes to an end.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

import making
from making import MINUTE, NOW
from postgres_server import PostgresServer
from stafett.drivers.postgres import claiming
from stafett.drivers.postgres.store import PostgresStore
from stafett.drivers.sqlite.store import SqliteStore
from stafett.ids import ClaimId, EndpointId, Ids, MessageId
from stafett.model import (
    DeliveryFilter,
    DeliveryState,
    DisabledReason,
    DueDelivery,
    Endpoint,
    FailureCause,
    Message,
    PageQuery,
    Replayed,
    TaskKind,
    TaskStatus,
    Trigger,
)
from stafett.store import AttemptRecord, Claim, NewDelivery, NewMessage, Store

T = TypeVar("T")
ENDPOINTS = 3
PATIENCE = timedelta(hours=1)  # after which a failing endpoint is switched off
ALL = PageQuery(limit=10_000)
LONG_AGO, FAR_AHEAD = NOW - timedelta(days=400), NOW + timedelta(days=400)
INDEX = st.integers(0, 10_000)
STEPS = st.sampled_from([timedelta(0), timedelta(seconds=1), MINUTE, 20 * MINUTE])

Key = tuple[MessageId, EndpointId]


@dataclass(kw_only=True)
class Owed:
    """A delivery, as the model knows it."""

    item: NewMessage
    state: DeliveryState
    due_at: datetime | None
    """Of what is sending: the end of its lease."""
    claim: ClaimId | None = None
    attempts: int = 0
    failures: int = 0
    manual: bool = False
    arrived: bool = False

    @property
    def message(self) -> Message:
        return self.item.message

    @property
    def delivery(self) -> NewDelivery:
        return self.item.deliveries[0]

    @property
    def key(self) -> Key:
        return self.message.id, self.delivery.endpoint_id

    def end(self, state: DeliveryState) -> None:
        """What succeeded once stays succeeded, however a resend of it ends."""
        state = DeliveryState.SUCCEEDED if self.arrived else state
        self.state, self.due_at, self.claim = state, None, None

    def wait(self, due_at: datetime) -> None:
        self.state, self.due_at, self.claim = DeliveryState.PENDING, due_at, None

    def is_due(self, now: datetime) -> bool:
        return self.due_at is not None and self.due_at <= now


def _due_at(owed: Owed) -> datetime:
    assert owed.due_at is not None
    return owed.due_at


@dataclass(kw_only=True)
class Place:
    """An endpoint, as the model knows it."""

    endpoint: Endpoint
    gone: bool = False
    disabled: DisabledReason | None = None
    paused_until: datetime | None = None
    failing_since: datetime | None = None
    event_count: int = 0

    @property
    def closed(self) -> bool:
        return self.gone or self.disabled is not None


@dataclass
class Model:
    places: dict[EndpointId, Place] = field(default_factory=dict)
    owed: dict[Key, Owed] = field(default_factory=dict)
    without_payload: set[MessageId] = field(default_factory=set)

    def of(self, endpoint_id: EndpointId) -> list[Owed]:
        return [each for each in self.owed.values() if each.delivery.endpoint_id == endpoint_id]

    def close(self, endpoint_id: EndpointId) -> None:
        """What is pending is canceled; what is being sent ends by itself."""
        for each in self.of(endpoint_id):
            if each.state is DeliveryState.PENDING:
                each.end(DeliveryState.CANCELED)

    def record(self, batch: list[AttemptRecord], *, now: datetime) -> set[str]:
        """Answers which attempts are stale."""
        stale: set[str] = set()
        held: list[tuple[Owed, AttemptRecord]] = []
        for record in batch:
            each = self.owed.get((record.attempt.message_id, record.attempt.endpoint_id))
            if each is None or each.claim != record.claim_id:
                stale.add(record.attempt.id)
            else:
                held.append((each, record))
        for each, record in held:
            self._end_of_attempt(each, record)
        for _, record in held:
            place = self.places[record.attempt.endpoint_id]
            if not place.closed and (reason := _reason(place, record, now)):
                place.disabled = reason
                self.close(place.endpoint.id)
        for each, _ in held:
            if each.state is DeliveryState.PENDING and self._place(each).closed:
                each.end(DeliveryState.CANCELED)
        return stale

    def _place(self, each: Owed) -> Place:
        return self.places[each.delivery.endpoint_id]

    def _end_of_attempt(self, each: Owed, record: AttemptRecord) -> None:
        place = self._place(each)
        each.attempts += 1
        each.failures = record.failure_count
        if record.attempt.outcome.succeeded:
            place.event_count += not each.arrived
            place.failing_since = None
            each.arrived = True
            each.end(DeliveryState.SUCCEEDED)
            return
        place.failing_since = place.failing_since or record.attempt.created_at
        if record.pause_endpoint_until is not None:
            place.paused_until = max(place.paused_until or NOW, record.pause_endpoint_until)
        if record.due_at is not None:
            each.wait(record.due_at)
        else:
            each.end(DeliveryState.SUCCEEDED if each.arrived else DeliveryState.FAILED)


def _reason(place: Place, record: AttemptRecord, now: datetime) -> DisabledReason | None:
    if record.disable_endpoint is not None:
        return record.disable_endpoint
    failing = place.failing_since is not None and place.failing_since <= now - PATIENCE
    return DisabledReason.FAILING if failing else None


class StoreMachine(RuleBasedStateMachine):
    """Rules are the verbs; `open_store` opens the same store each time."""

    shared = False
    """Others may hold the store: a lease outlives its process, and messages go by whole days."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._open_store = open_store
        self.now = NOW
        self.model = Model()
        self.claims: list[tuple[Owed, ClaimId]] = []
        """Every claim that ever was."""
        self.store = open_store()
        self.do(self.store.open(now=self.now))
        self.app = making.an_application()
        self.do(self.store.add_application(self.app))
        for _ in range(ENDPOINTS):
            made = making.an_endpoint(self.app.id)
            self.do(self.store.add_endpoint(made))
            self.model.places[made.id] = Place(endpoint=made)

    def do(self, verb: Awaitable[T]) -> T:
        async def run() -> T:
            return await verb

        return self._loop.run_until_complete(run())

    def endpoint(self, index: int) -> EndpointId:
        return list(self.model.places)[index % ENDPOINTS]

    def one(self, index: int) -> Owed:
        owed = list(self.model.owed.values())
        return owed[index % len(owed)]

    # --- the verbs ------------------------------------------------------------------------

    @rule(wanting=st.sets(INDEX, min_size=1, max_size=3), claimed=st.booleans(), later=STEPS)
    def add(self, wanting: set[int], claimed: bool, later: timedelta) -> None:
        claim = making.a_claim(self.now) if claimed else None
        message = making.a_message(
            self.app.id, at=self.now, payload_expires_at=self.now + 30 * MINUTE
        )
        deliveries = tuple(
            making.a_delivery(each, claim=claim, due_at=self.now + later)
            for each in {self.endpoint(index) for index in wanting}
        )
        new = NewMessage(message=message, deliveries=deliveries)
        self.do(self.store.add_messages([new], now=self.now))
        for delivery in deliveries:
            owed = Owed(
                item=NewMessage(message=message, deliveries=(delivery,)),
                state=DeliveryState.SENDING if claim else DeliveryState.PENDING,
                due_at=claim.lease_until if claim else delivery.due_at,
            )
            if claim is not None:
                self.hold(owed, claim)
            self.model.owed[owed.key] = owed

    def hold(self, owed: Owed, claim: Claim) -> None:
        owed.state, owed.due_at, owed.claim = DeliveryState.SENDING, claim.lease_until, claim.id
        self.claims.append((owed, claim.id))

    @rule(limit=st.sampled_from([1, 2, 100]), room=st.sampled_from([1, 2, 100]))
    def claim(self, limit: int, room: int) -> None:
        self.claim_due(limit=limit, room=room)

    def claim_due(self, *, limit: int, room: int) -> list[DueDelivery]:
        claim = making.a_claim(self.now)
        found = self.do(self.store.claim_due(claim, now=self.now, limit=limit, room=room, held={}))
        claimed = {(each.message_id, each.endpoint_id): each for each in found}
        assert len(claimed) == len(found) <= limit
        for place in self.model.places.values():
            self.judge_claims(place, claimed, room=room, full=len(found) == limit)
        for key, due in claimed.items():
            owed = self.model.owed[key]
            assert owed.is_due(self.now)  # so nobody else holds it
            assert (due.claim_id, due.lease_until) == (claim.id, claim.lease_until)
            assert (due.attempt_count, due.failure_count) == (owed.attempts, owed.failures)
            assert due.payload == making.PAYLOAD
            assert (due.trigger is Trigger.MANUAL) == owed.manual
            self.hold(owed, claim)
        return found

    def judge_claims(
        self, place: Place, claimed: dict[Key, DueDelivery], *, room: int, full: bool
    ) -> None:
        """Whether what an endpoint gave is what it should have; what else became of it."""
        due = [each for each in self.model.of(place.endpoint.id) if each.is_due(self.now)]
        taken = [each for each in due if each.key in claimed]
        left = [each for each in due if each.key not in claimed]
        assert len(taken) <= room
        if place.paused_until is not None and place.paused_until > self.now and not place.gone:
            assert not taken
            return
        for each in left:
            ended = self.found(each)
            if ended is DeliveryState.CANCELED:
                assert place.closed
                each.end(ended)
            elif ended is DeliveryState.FAILED:
                assert each.message.id in self.model.without_payload
                each.end(ended)
            elif ended is DeliveryState.SUCCEEDED:
                assert each.arrived
                assert place.closed or each.message.id in self.model.without_payload
                each.end(ended)
        if place.closed:
            assert not taken
            assert full or all(each.due_at is None for each in left)
            return
        waiting = [each for each in left if each.due_at is not None]
        assert full or not waiting or len(due) - len(waiting) == room
        if taken and waiting:
            assert max(map(_due_at, taken)) <= min(map(_due_at, waiting))

    def found(self, owed: Owed) -> DeliveryState:
        delivery = self.do(self.store.get_delivery(*owed.key))
        assert delivery is not None
        return delivery.state

    @precondition(lambda self: self.claims)
    @rule(
        which=st.lists(INDEX, min_size=1, max_size=4),
        what=st.lists(
            st.sampled_from(["arrived", "again", "given up", "gone", "quiet"]),
            min_size=4,
            max_size=4,
        ),
        wait=STEPS,
    )
    def record(self, which: list[int], what: list[str], wait: timedelta) -> None:
        chosen = {index % len(self.claims): end for index, end in zip(which, what, strict=False)}
        batch: dict[Key, AttemptRecord] = {}
        for index, end in chosen.items():
            owed, claim_id = self.claims[index]
            batch[owed.key] = self.attempt(owed, claim_id, end, wait)
        self.keep(list(batch.values()))

    def attempt(self, owed: Owed, claim_id: ClaimId, end: str, wait: timedelta) -> AttemptRecord:
        given: dict[str, Any] = {
            "claim_id": claim_id,
            "at": self.now,
            "trigger": Trigger.MANUAL if owed.manual else Trigger.SCHEDULED,
            "failure_count": owed.failures + (end != "arrived"),
        }
        if end in {"again", "quiet"}:
            given |= {"state": DeliveryState.PENDING, "due_at": self.now + wait}
        if end == "quiet":
            given["pause_endpoint_until"] = self.now + wait
        if end == "gone":
            given["disable_endpoint"] = DisabledReason.GONE
        cause = None if end == "arrived" else FailureCause.STATUS
        code = 200 if end == "arrived" else 500
        outcome = making.an_outcome(code, cause=cause)
        return making.a_record(owed.item, outcome=outcome, **given)

    def keep(self, batch: list[AttemptRecord]) -> None:
        before = {key: place.disabled for key, place in self.model.places.items()}
        recorded = self.do(
            self.store.record_attempts(batch, now=self.now, failing_before=self.now - PATIENCE)
        )
        assert recorded.stale == self.model.record(batch, now=self.now)
        assert recorded.disabled == {
            key: place.disabled
            for key, place in self.model.places.items()
            if not place.gone and place.disabled != before[key]
        }

    @precondition(lambda self: self.claims)
    @rule(which=st.lists(INDEX, min_size=1, max_size=3), later=STEPS)
    def release(self, which: list[int], later: timedelta) -> None:
        chosen = [self.claims[index % len(self.claims)] for index in which]
        claims = {owed.delivery.id: claim_id for owed, claim_id in chosen}
        self.do(self.store.release(claims, due_at=self.now + later, now=self.now))
        for owed, _ in chosen:
            if owed.claim is not None and owed.claim == claims[owed.delivery.id]:
                owed.wait(self.now + later)
                if self.model.places[owed.delivery.endpoint_id].closed:
                    owed.end(DeliveryState.CANCELED)

    @precondition(lambda self: self.model.owed)
    @rule(which=INDEX, endpoint=INDEX)
    def resend(self, which: int, endpoint: int) -> None:
        message = self.one(which).message
        new = making.a_delivery(self.endpoint(endpoint), due_at=self.now)
        known = self.model.owed.get((message.id, new.endpoint_id))
        answer = self.do(self.store.resend(new, message=message, now=self.now))
        if known is None:
            assert answer == new.id
            item = NewMessage(message=message, deliveries=(new,))
            known = Owed(item=item, state=DeliveryState.PENDING, due_at=self.now)
            self.model.owed[known.key] = known
        elif known.state is DeliveryState.SENDING:
            assert answer is None
            return
        assert answer == known.delivery.id
        known.wait(self.now)
        known.failures, known.manual = 0, True

    @rule(
        endpoint=INDEX,
        limit=st.integers(1, 3),
        kind=st.sampled_from([TaskKind.RECOVER, TaskKind.BULK_REPLAY]),
    )
    def send_again(self, endpoint: int, limit: int, kind: TaskKind) -> None:
        endpoint_id = self.endpoint(endpoint)
        closed = self.model.places[endpoint_id].closed
        sent = self.worked_off(endpoint_id, limit=limit, kind=kind, fails=closed)
        states = {DeliveryState.FAILED, DeliveryState.CANCELED}
        if kind is TaskKind.BULK_REPLAY:
            states.add(DeliveryState.SUCCEEDED)
        for each in [] if closed else self.model.of(endpoint_id):
            if each.state in states and each.message.id not in self.model.without_payload:
                each.wait(self.now)
                each.failures, each.manual = 0, True
                sent -= 1
        assert sent == 0

    def worked_off(
        self, endpoint_id: EndpointId, *, limit: int, kind: TaskKind, fails: bool
    ) -> int:
        """How many became due."""
        wanted = Replayed(after=LONG_AGO, before=FAR_AHEAD)
        about = making.an_endpoint(self.app.id, id=endpoint_id)
        task = making.a_task(
            about, id=making.ids.task(self.now), kind=kind, wanted=wanted, created_at=self.now
        )
        self.do(self.store.add_task(task))
        claim = making.a_claim(self.now)
        assert self.do(self.store.claim_task(claim, now=self.now)) == task
        while task.status is TaskStatus.RUNNING:
            spare = [making.ids.delivery(self.now) for _ in range(limit)]
            done = self.do(self.store.work_on_task(task.id, claim, now=self.now, spare=spare))
            assert done is not None
            task = done
        assert (task.status is TaskStatus.FAILED) == fails
        return task.sent_count

    @precondition(lambda self: self.model.owed)
    @rule(which=INDEX)
    def cancel(self, which: int) -> None:
        owed = self.one(which)
        waits = owed.state is DeliveryState.PENDING
        assert self.do(self.store.cancel(owed.delivery.id, now=self.now)) is waits
        if waits:
            owed.end(DeliveryState.CANCELED)

    @rule(which=INDEX)
    def disable(self, which: int) -> None:
        place = self.model.places[self.endpoint(which)]
        reason = DisabledReason.MANUAL
        changed = self.do(
            self.store.update_endpoint(
                place.endpoint.id,
                {"disabled": True, "disabled_reason": reason, "disabled_at": self.now},
                now=self.now,
            )
        )
        assert changed is not place.gone
        if place.gone:
            return
        place.disabled = reason
        self.model.close(place.endpoint.id)

    @rule(which=INDEX)
    def enable(self, which: int) -> None:
        place = self.model.places[self.endpoint(which)]
        changed = self.do(
            self.store.update_endpoint(
                place.endpoint.id, {"disabled": False, "disabled_reason": None}, now=self.now
            )
        )
        assert changed is not place.gone
        place.disabled = place.failing_since = place.paused_until = None

    @rule(which=INDEX, sure=st.integers(0, 3))
    def delete_endpoint(self, which: int, sure: int) -> None:
        if sure:  # seldom, as all the others are about endpoints that are there
            return
        endpoint_id = self.endpoint(which)
        self.do(self.store.delete_endpoint(endpoint_id))
        self.model.places[endpoint_id].gone = True
        self.model.close(endpoint_id)

    @precondition(lambda self: self.model.owed)
    @rule(which=INDEX)
    def expunge(self, which: int) -> None:
        message = self.one(which).message
        self.do(self.store.expunge_payload(self.app.id, message.id))
        self.model.without_payload.add(message.id)

    @rule()
    def expire(self) -> None:
        """Retention leaves alone what is still owed to anybody."""
        before = None if self.shared else self.now - 60 * MINUTE
        self.do(self.store.expire(now=self.now, messages_before=before, limit=1000))
        waits = {owed.message.id for owed in self.model.owed.values() if owed.due_at is not None}
        for key, owed in list(self.model.owed.items()):
            if owed.message.id in waits:
                continue
            if owed.message.payload_expires_at <= self.now:
                self.model.without_payload.add(owed.message.id)
            if before is not None and owed.message.created_at < before:
                del self.model.owed[key]

    @rule(step=STEPS)
    def let_time_pass(self, step: timedelta) -> None:
        self.now += step

    @rule()
    def start_again(self) -> None:
        self.do(self.store.close())
        self.store = self._open_store()
        self.do(self.store.open(now=self.now))
        for owed in self.model.owed.values():
            if owed.state is DeliveryState.SENDING and not self.shared:
                owed.wait(self.now)

    # --- what holds after every step ------------------------------------------------------

    @invariant()
    def store_and_model_say_the_same(self) -> None:
        self.do(self.compare())

    async def compare(self) -> None:
        await self.store.next_due_at(now=self.now)
        backlog = await self.store.backlog(now=self.now)
        await asyncio.gather(
            *(self.compare_deliveries(each) for each in self.model.places),
            *(self.compare_endpoint(each) for each in self.model.places.values()),
        )
        owed = self.model.owed.values()
        states = Counter(each.state for each in owed)
        assert backlog.pending == states[DeliveryState.PENDING]
        assert backlog.sending == states[DeliveryState.SENDING]
        unfinished = {DeliveryState.PENDING, DeliveryState.SENDING}
        assert all((each.due_at is not None) == (each.state in unfinished) for each in owed)

    async def compare_deliveries(self, endpoint_id: EndpointId) -> None:
        page = await self.store.list_attempted_messages(
            endpoint_id, DeliveryFilter(), ALL, with_payload=False
        )
        stored = {
            (each.message_id, each.endpoint_id): (
                each.id,
                each.state,
                each.attempt_count,
                each.due_at,
            )
            for _, each in page.items
        }
        assert stored == {
            owed.key: (
                owed.delivery.id,
                owed.state,
                owed.attempts,
                owed.due_at if owed.state is DeliveryState.PENDING else None,
            )
            for owed in self.model.of(endpoint_id)
        }

    async def compare_endpoint(self, place: Place) -> None:
        stored = await self.store.get_endpoint(self.app.id, place.endpoint.id)
        assert (stored is None) == place.gone
        if stored is not None:
            assert stored.disabled_reason == place.disabled
            assert stored.health.event_count == place.event_count
            assert stored.health.failing_since == place.failing_since
            assert stored.health.paused_until == place.paused_until

    @override
    def teardown(self) -> None:
        try:
            self.now += timedelta(days=1)
            for _ in range(1000):
                claimed = self.claim_due(limit=100, room=100)
                if not claimed:
                    break
                owed = [self.model.owed[each.message_id, each.endpoint_id] for each in claimed]
                self.keep(
                    [
                        self.attempt(each, due.claim_id, "arrived", timedelta(0))
                        for each, due in zip(owed, claimed, strict=True)
                    ]
                )
            self.do(self.compare())
            assert all(owed.due_at is None for owed in self.model.owed.values())
        finally:
            self.do(self.store.close())
            self._loop.close()


class Twins:
    """Two stores that are given the same and have to answer the same."""

    def __init__(self, stores: tuple[Store, Store]) -> None:
        self._stores = stores

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def both(*given: Any, **named: Any) -> Any:
            answers = [await getattr(each, name)(*given, **named) for each in self._stores]
            first, second = map(_unordered, answers)
            assert first == second, name
            return answers[0]

        return both


def _unordered(answer: Any) -> Any:
    """Which of what was claimed comes first is nobody's business."""
    if not isinstance(answer, list):
        return answer
    answers = cast("list[Any]", answer)
    claimed = bool(answers) and isinstance(answers[0], DueDelivery)
    return sorted(answers, key=lambda due: due.id) if claimed else answers


_SETTINGS = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture
def same_ids(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The same ids in each run: what is claimed first goes by them.

    So a run that is to be repeated goes the same way again.
    """
    return lambda: monkeypatch.setattr(making, "ids", Ids(random.Random(1).randbytes))


def test_any_order_of_the_verbs(
    migrated_file: Path, tmp_path: Path, same_ids: Callable[[], None]
) -> None:
    numbers = itertools.count()

    class SqliteMachine(StoreMachine):
        def __init__(self) -> None:
            same_ids()
            path = Path(shutil.copy(migrated_file, tmp_path / f"{next(numbers)}.db"))
            super().__init__(lambda: SqliteStore(path))

    run_state_machine_as_test(SqliteMachine, settings=settings(_SETTINGS, max_examples=30))


@pytest.mark.timeout(400)
def test_both_drivers_do_the_same_in_any_order_of_the_verbs(
    migrated_file: Path,
    tmp_path: Path,
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    same_ids: Callable[[], None],
) -> None:
    # Of deliveries that are due at the same moment SQLite takes the one with the smallest id.
    exact = claiming._CLAIM.replace("ORDER BY q.due_at", "ORDER BY q.due_at, q.delivery_id")
    monkeypatch.setattr(claiming, "_CLAIM", exact)
    numbers = itertools.count()

    class TwinMachine(StoreMachine):
        shared = True

        def __init__(self) -> None:
            same_ids()
            number = next(numbers)
            path = Path(shutil.copy(migrated_file, tmp_path / f"{number}.db"))
            database = f"twin_{number}"
            postgres_server.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            postgres_server.sql(f"CREATE DATABASE {database} TEMPLATE migrated")
            both = (SqliteStore(path), PostgresStore(postgres_server.url(database)))
            super().__init__(lambda: cast("Store", Twins(both)))

        @override
        def claim_due(self, *, limit: int, room: int) -> list[DueDelivery]:
            """Without a limit: whom it leaves out beside lost payloads is up to the driver."""
            return super().claim_due(limit=max(limit, 100), room=room)

        @override
        def start_again(self) -> None:
            """SQLite's leases would be void after it, and PostgreSQL's not."""

    run_state_machine_as_test(TwinMachine, settings=_SETTINGS)
