"""The send path: claimed deliveries are attempted in fair turns, and what came of it recorded.

Work arrives from intake (born claimed, from memory) and from a scan of what is due in the store.
Losing every hint costs latency only: the scan finds everything. A request begins only when its
lease outlives it, so no two processes send the same delivery at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import msgspec

from stafett import errors, retry
from stafett.engine import breaker
from stafett.engine.attempts import Attempts
from stafett.engine.clock import Clock
from stafett.engine.directory import Directory
from stafett.engine.measures import Measures, timed
from stafett.engine.pace import Paces
from stafett.engine.results import Results
from stafett.engine.turns import START_ROOM, Lane, Share
from stafett.ids import AttemptId, DeliveryId, EndpointId, Ids
from stafett.model import Attempt, DueDelivery, Endpoint, FailureCause
from stafett.store import AttemptRecord, Claim, Recorded, Store

_log = logging.getLogger("stafett.dispatch")

_POLL = timedelta(seconds=1)
_WRITTEN_WITHIN = timedelta(seconds=15)
"""How long an end waits for a store that is away, once all requests have ended."""
_PAUSE_BETWEEN_SCANS = timedelta(milliseconds=10)
_CLAIMED_AT_ONCE = 192
"""So many rows are changed and committed in some milliseconds, however much is due."""
_CLAIM_LIFE = timedelta(seconds=1)
_MARGIN = timedelta(seconds=5)
_QUEUE_TIME = timedelta(seconds=40)
_SHORT_QUEUE_TIME = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How much may go on at one time in this process."""

    first: int = 768
    """Requests that are first attempts."""
    again: int = 256
    """Requests that are not."""
    tests: int = 16
    """Tests, and what is sent by hand to an endpoint that rests."""
    held: int = 3072
    """Deliveries claimed: queued, under way or being recorded."""


class Dispatch:
    """Sends what is due."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        attempts: Attempts,
        clock: Clock,
        ids: Ids,
        places: Places | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._attempts = attempts
        self._clock = clock
        self._ids = ids
        self._places = places or Places()
        self.measures = Measures()
        self.plan = attempts.plan
        # Longer than any attempt, and mostly than a wait in the queue: who waited too long is
        # claimed anew, while what a dead process had is due only when its lease ends.
        usual = attempts.plan.timeout + _QUEUE_TIME
        self._lease = max(usual, attempts.plan.longest + _SHORT_QUEUE_TIME) + _MARGIN
        self._results = Results(
            store=store,
            clock=clock,
            disable_after=attempts.plan.disable_after,
            measures=self.measures,
            on_recorded=self._recorded,
            on_returned=self._returned,
        )
        self._shares: dict[EndpointId, Share] = {}
        self._paces = Paces()
        self._first = Lane(self._places.first, self._shares)
        self._again = Lane(self._places.again, self._shares)
        self._tests = Lane(self._places.tests, self._shares, heeds_shares=False)
        self._lanes = (self._tests, self._first, self._again)
        self._held = 0
        self._claim: Claim | None = None
        self._unclaimed: set[EndpointId] = set()
        """Endpoints that may have due work in the store which nobody has claimed."""
        self._behind = False
        """The last scan took all there was room for, so there may be more."""
        self._by_hand: set[EndpointId] = set()
        """Endpoints that rest, and to which one delivery is sent all the same."""
        self._ends: dict[AttemptId, datetime] = {}
        """Pauses that are over before their time once the attempt that showed it is recorded."""
        self._watchers: dict[DeliveryId, asyncio.Future[Attempt]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._halt = asyncio.Event()
        self._waits_until: datetime | None = None
        self._scanning: asyncio.Task[None] | None = None
        self.stopping = False
        """Nothing new is claimed or begun any more."""
        self.last_scan_at: datetime | None = None
        """When the store was last looked through, or, before that, dispatch began."""

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look for due work."""
        self.last_scan_at = self._clock.now()
        self._scanning = asyncio.get_running_loop().create_task(self._scan_forever())

    def halt(self) -> None:
        """Claim and begin nothing more; what is queued goes back to the store."""
        self.stopping = True
        self._wake.set()
        self._halt.set()
        now = self._clock.now()
        for lane in self._lanes:
            for due in lane.empty():
                self._results.give_back(due, due_at=now)

    async def stop(self, *, grace: timedelta) -> None:
        """Halt, and let requests that have begun end within `grace`.

        What has not ended by then, or cannot be recorded within 15 s after, is left to its lease.
        """
        self.halt()
        if self._scanning is not None:
            await self._scanning
        self.halt()  # a scan that was under way may have claimed something since
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace.total_seconds())
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(min(grace, _WRITTEN_WITHIN).total_seconds()):
                await self._results.drain()
        except TimeoutError:
            _log.error("event=stop.unfinished: the store did not take the last results in time")

    @property
    def under_way(self) -> int:
        """Requests that have begun and not ended."""
        return sum(lane.under_way for lane in self._lanes)

    # --- from intake --------------------------------------------------------------------------

    def reserve(self, endpoint: Endpoint, *, now: datetime) -> Claim | None:
        """A claim for a delivery about to be born, where there is room for it; else None.

        A quarter of the room is kept for what the scan finds.
        """
        share = self._share(endpoint.id)
        share.allow(endpoint.concurrency)
        share.rests_until = _quiet_until(endpoint, share, now)
        if (
            self.stopping
            or self._held >= self._places.held * 3 // 4
            or share.room <= 0
            or share.rests_until > now
        ):
            return None
        self._hold(share)
        return self._fresh_claim(now)

    def reserve_by_hand(self, endpoint: Endpoint, *, now: datetime) -> Claim | None:
        """A claim for what somebody wants sent now although its endpoint rests.

        One at a time for each: it is a probe. None: it goes the way of everything else.
        """
        share = self._share(endpoint.id)
        if (
            self.stopping
            or endpoint.id in self._by_hand
            or _quiet_until(endpoint, share, now) <= now
        ):
            return None
        self._by_hand.add(endpoint.id)
        self._hold(share)
        return self._fresh_claim(now)

    def unreserve_by_hand(self, endpoint_id: EndpointId) -> None:
        """As `unreserve`, for a claim by hand that comes to nothing."""
        self._by_hand.discard(endpoint_id)
        self.unreserve(endpoint_id)

    def reserve_always(self, endpoint_id: EndpointId, *, now: datetime) -> Claim:
        """As `reserve`, for a test event: it waits for nobody."""
        self._hold(self._share(endpoint_id))
        return self._fresh_claim(now)

    def unreserve(self, endpoint_id: EndpointId) -> None:
        """A claim on this endpoint's work has ended."""
        self._held -= 1
        share = self._shares[endpoint_id]
        share.held -= 1
        if self._behind or endpoint_id in self._unclaimed:
            self._wake.set()

    def offer(self, due: DueDelivery, *, by_hand: bool = False) -> None:
        """Work that was claimed by `reserve` or `reserve_by_hand`, and is now durable."""
        if self.stopping:
            self._results.give_back(due, due_at=self._clock.now())
            return
        (self._tests if by_hand else self._lane(due)).put(due)
        self._pump()

    def hint(self, endpoint_id: EndpointId, *, due_at: datetime) -> None:
        """Something unclaimed is due at `due_at`; without the hint the next poll finds it."""
        if due_at <= self._clock.now():
            self._unclaimed.add(endpoint_id)
            if self._is_full(endpoint_id):
                return  # `unreserve` wakes the scan when there is room
        share = self._shares.get(endpoint_id)
        if share is not None:
            due_at = max(due_at, share.rests_until)
        if self._waits_until is None or due_at < self._waits_until:
            self._wake.set()

    def look(self) -> None:
        """Another process says that something unclaimed is due."""
        self._wake.set()

    def watch(self, delivery_id: DeliveryId) -> asyncio.Future[Attempt]:
        """The next attempt of this delivery, once it is recorded."""
        future: asyncio.Future[Attempt] = asyncio.get_running_loop().create_future()
        self._watchers[delivery_id] = future
        future.add_done_callback(lambda _: self._watchers.pop(delivery_id, None))
        return future

    async def send_once(self, due: DueDelivery, endpoint: Endpoint) -> Attempt:
        """One attempt at an endpoint that nobody has stored; what came of it is not either."""
        record = await self._attempts.make(due, endpoint, now=self._clock.now())
        return record.attempt

    # --- one delivery -------------------------------------------------------------------------

    def _lane(self, due: DueDelivery) -> Lane:
        if due.test:
            return self._tests
        return self._again if due.attempt_count else self._first

    def _pump(self) -> None:
        if self.stopping:
            return
        for lane in self._lanes:
            while lane.ring and (due := lane.take()) is not None:
                self._tasks.add(self._loop().create_task(self._handle(lane, due)))

    def _loop(self) -> asyncio.AbstractEventLoop:
        """Kept, as asking for it is a system call on Python 3.11."""
        if self._own_loop is None:
            self._own_loop = asyncio.get_running_loop()
        return self._own_loop

    async def _handle(self, lane: Lane, due: DueDelivery) -> None:
        record = None
        try:
            record = await self._attempt(due, at_once=lane is self._tests)
        except Exception:  # noqa: BLE001 - a loop's edge: one bad row must not stop the others
            _log.exception("event=delivery.crashed delivery=%s", due.id)
            self._results.give_back(due, due_at=self._clock.now() + _POLL)
        finally:
            lane.ended(due.endpoint_id)
            for each in self._lanes:
                if due.endpoint_id in each.queues:
                    each.revive(due.endpoint_id)
            # Named with its loop, as asking for that is a system call on Python 3.11.
            self._tasks.discard(cast("asyncio.Task[None]", asyncio.current_task(self._loop())))
            if lane is self._tests and not due.test:
                self._by_hand.discard(due.endpoint_id)
        if record is None:
            self._shares[due.endpoint_id].not_sent()
        else:
            self._results.record(record)
        self._pump()

    async def _attempt(self, due: DueDelivery, *, at_once: bool) -> AttemptRecord | None:
        """The attempt that was made; None when the delivery was given back instead.

        `at_once` heeds neither pause nor rate limit: somebody waits for it.
        """
        now = self._clock.now()
        endpoint, limit = await self._directory.target(due.app_id, due.endpoint_id)
        if endpoint is None or (endpoint.disabled and not due.test):
            self._results.give_back(due, due_at=now)
            return None
        if not at_once and self._is_too_many(endpoint):
            self._results.give_back(due, due_at=now)
            return None
        later = now if at_once else self._not_before(endpoint, limit, now)
        if later > now or due.lease_until - now < self._needs(endpoint):
            self._results.give_back(due, due_at=later)
            return None
        return self._adapt(await self._attempts.make(due, endpoint, now=now), endpoint)

    def _is_too_many(self, endpoint: Endpoint) -> bool:
        """Whether more had their turn than, as is known only now, its endpoint takes at once."""
        share = self._shares[endpoint.id]
        share.allow(endpoint.concurrency)
        return share.under_way > share.most

    def _needs(self, endpoint: Endpoint) -> timedelta:
        """How long a lease has to hold for an attempt to begin."""
        return self.plan.timeout_of(endpoint) + _MARGIN

    def _not_before(self, endpoint: Endpoint, limit: int | None, now: datetime) -> datetime:
        """When the endpoint's pause, its own rate and its application's allow the next request."""
        earliest = _quiet_until(endpoint, self._shares[endpoint.id], now)
        if earliest > now or not (endpoint.rate_limit or limit):
            return earliest
        return self._paces.turn(
            endpoint.app_id, endpoint.id, own=endpoint.rate_limit, application=limit, now=now
        )

    def _adapt(self, record: AttemptRecord, endpoint: Endpoint) -> AttemptRecord:
        """Take note of what the outcome says about its endpoint, which may have to rest now."""
        share = self._shares[endpoint.id]
        outcome = record.attempt.outcome
        if share.breaker is not None or not outcome.succeeded:
            record = self._judge(share, record, endpoint)
        if share.breaker is not None and share.breaker.opened_at is not None:
            share.start_over()  # also by what was under way when it opened
        elif outcome.cause is FailureCause.TIMEOUT:
            share.timed_out()
        elif outcome.status_code is not None:
            waits = endpoint.id in self._first.queues or endpoint.id in self._again.queues
            share.answered(more_waits=waits)
        else:
            share.failed_fast()
        if record.pause_endpoint_until is not None:
            share.not_before = max(share.not_before, record.pause_endpoint_until)
        return record

    def _judge(self, share: Share, record: AttemptRecord, endpoint: Endpoint) -> AttemptRecord:
        """Move the endpoint's breaker; the record pauses the endpoint if that opened."""
        attempt, before, now = record.attempt, share.breaker, self._clock.now()
        share.breaker = after = breaker.after(
            before,
            attempt.outcome,
            begun_at=attempt.created_at,
            now=now,
            test=attempt.test,
            # Who retries within seconds wants it quick here as well.
            longest=max(self.plan.schedule_of(endpoint).waits, default=breaker.LONGEST_COOL_DOWN),
        )
        was = None if before is None else before.open_until
        until = None if after is None else after.open_until
        if until is None and was is not None:
            self.measures.breaker_closed += 1
            _log.info("event=breaker.closed endpoint=%s", attempt.endpoint_id)
            if was > now:
                self._ends[attempt.id] = was
        if until is None or until == was:
            return record
        self.measures.breaker_opened += 1
        _log.warning("event=breaker.opened endpoint=%s until=%s", attempt.endpoint_id, until)
        note = f"{attempt.note}; the webhook rests for {retry.in_words(until - now)}"
        return msgspec.structs.replace(
            record,
            attempt=msgspec.structs.replace(attempt, note=note),
            pause_endpoint_until=max(until, record.pause_endpoint_until or until),
        )

    def _recorded(self, batch: Sequence[AttemptRecord], recorded: Recorded) -> None:
        for record in batch:
            attempt = record.attempt
            stale = attempt.id in recorded.stale
            self.measures.attempt(attempt.outcome.cause, attempt.outcome.duration)
            self.measures.stale += stale
            watcher = self._watchers.get(attempt.delivery_id)
            if watcher is not None and not watcher.done():
                watcher.set_result(attempt)
            if record.due_at is not None and not stale:
                self.hint(attempt.endpoint_id, due_at=record.due_at)
            self.unreserve(attempt.endpoint_id)
            _log_attempt(attempt, stale=stale)
            if record.pause_endpoint_until is not None:
                self._directory.forget_endpoints(attempt.app_id)
                self._shares[attempt.endpoint_id].pause_recorded(record.pause_endpoint_until)
            if self._ends and attempt.id in self._ends:
                until = self._ends.pop(attempt.id)
                task = self._loop().create_task(self._end_pause(attempt, until))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        apps = {record.attempt.endpoint_id: record.attempt.app_id for record in batch}
        for endpoint_id, reason in recorded.disabled.items():
            self._directory.forget_endpoints(apps[endpoint_id])
            self.measures.disabled += 1
            _log.warning("event=endpoint.disabled endpoint=%s reason=%s", endpoint_id, reason)

    async def _end_pause(self, attempt: Attempt, until: datetime) -> None:
        """The breaker closed before its pause was over, which is on disk."""
        try:
            await self._store.end_pause(attempt.endpoint_id, until=until)
        except errors.StafettError as error:
            # It ends by itself.
            _log.warning("event=pause.kept endpoint=%s detail=%s", attempt.endpoint_id, error)
            return
        self._directory.forget_endpoints(attempt.app_id)
        self._shares[attempt.endpoint_id].rests_until = now = self._clock.now()
        self.hint(attempt.endpoint_id, due_at=now)

    def _returned(self, due: DueDelivery, due_at: datetime) -> None:
        self.unreserve(due.endpoint_id)
        self.hint(due.endpoint_id, due_at=due_at)

    # --- the scan -----------------------------------------------------------------------------

    async def _scan_forever(self) -> None:
        while not self.stopping:
            try:
                await self._scan()
                until = await self._next_look()
            except errors.StafettError as error:
                _log.warning("event=scan.failed detail=%s", error.detail)
                until = self._clock.now() + _POLL
            self._waits_until = until
            await self._clock.wait(self._wake, until=until)
            self._waits_until = None
            self._wake.clear()
            # Hints that come together are answered together.
            await self._clock.wait(self._halt, until=self._clock.now() + _PAUSE_BETWEEN_SCANS)

    async def _scan(self) -> None:
        """Claim what is due and there is room for."""
        now = self._clock.now()
        limit = min(self._places.held - self._held, _CLAIMED_AT_ONCE)
        self._unclaimed = {each for each in self._unclaimed if self._is_full(each)}
        claimed: list[DueDelivery] = []
        if limit > 0:
            taken = {each: START_ROOM - share.room for each, share in self._shares.items()}
            with timed(self.measures.claim_seconds):
                claimed = await self._store.claim_due(
                    self._new_claim(now), now=now, limit=limit, room=START_ROOM, held=taken
                )
        self._behind = len(claimed) >= limit
        for due in claimed:
            self._hold(self._share(due.endpoint_id))
            self._lane(due).put(due)
        self._unclaimed |= {
            each.endpoint_id for each in claimed if self._shares[each.endpoint_id].room <= 0
        }
        self.measures.claims += len(claimed)
        self.measures.lease_expiries += sum(due.expired for due in claimed)
        self.last_scan_at = now
        self._pump()

    async def _next_look(self) -> datetime:
        """When to scan again, if nothing wakes it before."""
        now = self._clock.now()
        soonest = now + _PAUSE_BETWEEN_SCANS
        if self._behind and self._held < self._places.held:
            return soonest
        next_due = await self._store.next_due_at(now=now)
        return max(soonest, min(next_due or now + _POLL, now + _POLL))

    # --- claims -------------------------------------------------------------------------------

    def _share(self, endpoint_id: EndpointId) -> Share:
        share = self._shares.get(endpoint_id)
        if share is None:
            share = self._shares[endpoint_id] = Share()
        return share

    def _is_full(self, endpoint_id: EndpointId) -> bool:
        """Nothing more may be claimed for it at present."""
        share = self._shares.get(endpoint_id)
        return share is not None and share.room <= 0

    def _hold(self, share: Share) -> None:
        share.held += 1
        self._held += 1

    def _new_claim(self, now: datetime) -> Claim:
        return Claim(id=self._ids.claim(now), lease_until=now + self._lease)

    def _fresh_claim(self, now: datetime) -> Claim:
        """Born-claimed deliveries of the same second share one claim."""
        if self._claim is None or self._claim.lease_until - now < self._lease - _CLAIM_LIFE:
            self._claim = self._new_claim(now)
        return self._claim


def _quiet_until(endpoint: Endpoint, share: Share, now: datetime) -> datetime:
    """When its receiver may be asked again; `now`: at once."""
    return max(now, share.not_before, endpoint.health.paused_until or now)


def _log_attempt(attempt: Attempt, *, stale: bool) -> None:
    level = logging.DEBUG if attempt.outcome.succeeded and not stale else logging.INFO
    if _log.isEnabledFor(level):
        _log.log(
            level,
            "event=attempt.recorded attempt=%s message=%s endpoint=%s status=%s cause=%s ms=%.1f"
            " test=%s stale=%s note=%s",
            attempt.id,
            attempt.message_id,
            attempt.endpoint_id,
            attempt.outcome.status_code,
            attempt.outcome.cause,
            attempt.outcome.duration / timedelta(milliseconds=1),
            attempt.test,
            stale,
            attempt.note,
        )
