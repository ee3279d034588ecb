"""Fair turns: whose delivery is sent next. No I/O, no time.

Endpoints with something to send stand in a ring and get one request each per round. How many of
one endpoint's requests are under way is bounded by its width, which grows while it answers and
halves when it times out; and by a quarter of what is free, so that nobody takes the last places.

A request is doubtful, as it may hang, when its endpoint has begun as many since its last answer as
it has shown that it answers side by side. Doubtful ones get half of the places, and up to three
quarters where each is its endpoint's only one. So however many endpoints hang, there are places for
those who answer, and mostly for those of which nothing is known yet.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from itertools import islice

from stafett.engine.breaker import Breaker
from stafett.ids import EndpointId
from stafett.model import DueDelivery

_START_WIDTH = 4
_MAX_WIDTH = 64
_QUEUE_PER_WIDTH = 8
START_ROOM = _START_WIDTH
"""How many deliveries may be claimed for an endpoint of which nothing is known yet."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Share:
    """How much of the senders one endpoint may have."""

    __slots__ = (
        "breaker",
        "held",
        "most",
        "not_before",
        "prompt",
        "rests_until",
        "trust",
        "unanswered",
        "under_way",
        "width",
    )

    def __init__(self) -> None:
        self.width = _START_WIDTH
        self.most = _MAX_WIDTH
        """As wide as it may get."""
        self.under_way = 0
        """Requests that have begun and not ended."""
        self.prompt = False
        """Its last request that ended did so before its deadline."""
        self.trust = 1
        """How many it answers side by side, for all that was seen lately."""
        self.unanswered = 0
        """Requests begun since one last ended before its deadline."""
        self.held = 0
        """Deliveries claimed for it by this process: queued, under way, or being recorded."""
        self.not_before = _LONG_AGO
        """Nothing is sent to it until then, and that is not on disk yet."""
        self.rests_until = _LONG_AGO
        """The end of its pause when it was last looked at: no use to look for its work before."""
        self.breaker: Breaker | None = None

    @property
    def room(self) -> int:
        """How many more deliveries may be claimed for it: few for one that may hang."""
        return (self.width * _QUEUE_PER_WIDTH if self.prompt else self.width) - self.held

    @property
    def doubtful(self) -> bool:
        """A request that begins now may hang, for all that is known."""
        return not self.prompt or self.unanswered >= self.trust

    def may_have(self, part: int) -> bool:
        """Whether one more may be under way, where `part` of the places is for it; one always."""
        return self.under_way < self.width and (self.under_way < part or not self.under_way)

    def allow(self, concurrency: int | None) -> None:
        """Have no more requests under way at once than its endpoint says; None: as it turns out."""
        self.most = concurrency or _MAX_WIDTH
        self.width = min(self.width, self.most)

    def pause_recorded(self, until: datetime) -> None:
        """The endpoint itself knows now that it rests until then."""
        if self.not_before <= until:
            self.not_before = _LONG_AGO

    def answered(self, *, more_waits: bool) -> None:
        """A reply came, whatever it says, to a request that still counts as under way.

        `more_waits`: it could have more at once. Otherwise it is trusted with what it has.
        """
        if self.width < self.most:
            self.width += 1
        if more_waits:
            if self.trust < _MAX_WIDTH:
                self.trust += 1
        elif self.trust > self.under_way:
            self.trust = self.under_way or 1
        self.prompt = True
        self.unanswered = 0

    def failed_fast(self) -> None:
        """There was no reply, and that was known before the deadline: no reason to go wider."""
        self.prompt = True
        self.unanswered = 0

    def timed_out(self) -> None:
        """The deadline passed."""
        self.width = max(1, self.width // 2)
        self.prompt = False
        self.trust = 1

    def not_sent(self) -> None:
        """What had its turn was given back without a request."""
        self.unanswered = max(0, self.unanswered - 1)

    def start_over(self) -> None:
        """It has failed much: one request, and as its answers come, two, four, eight."""
        self.width = self.trust = 1
        self.prompt = False


class Lane:
    """One kind of work (first attempts, retries, tests) with places of its own."""

    def __init__(
        self, places: int, shares: dict[EndpointId, Share], *, heeds_shares: bool = True
    ) -> None:
        """Without `heeds_shares` an endpoint may have any number of its requests under way."""
        self.places = places
        self._heeds_shares = heeds_shares
        self.under_way = 0
        self._shares = shares
        self.queues: dict[EndpointId, deque[DueDelivery]] = {}
        """What waits, by endpoint; no queue is empty."""
        self.ring: deque[EndpointId] = deque()
        """Endpoints with something queued that may have room for one more request."""
        self._in_ring: set[EndpointId] = set()
        self._doubtful_places = places // 2
        self._lone_places = max(1, places * 3 // 4)
        """For doubtful requests of endpoints that have no other under way."""
        self._doubtful_under_way = 0
        self._doubtful: dict[EndpointId, int] = {}
        """Requests under way by endpoint that count as doubtful."""
        self._put_off: dict[EndpointId, None] = {}
        """Doubtful endpoints with nothing under way that wait for a place for such, in order."""

    def put(self, due: DueDelivery) -> None:
        """Queue `due` behind its endpoint's others."""
        queue = self.queues.get(due.endpoint_id)
        if queue is None:
            queue = self.queues[due.endpoint_id] = deque()
        queue.append(due)
        if due.endpoint_id not in self._put_off:  # it would lose its place there
            self.revive(due.endpoint_id)

    def revive(self, endpoint_id: EndpointId) -> None:
        """Let an endpoint with something queued stand in the ring again."""
        if endpoint_id in self.queues and endpoint_id not in self._in_ring:
            self._in_ring.add(endpoint_id)
            self.ring.append(endpoint_id)
            if self._put_off:
                self._put_off.pop(endpoint_id, None)

    def take(self) -> DueDelivery | None:
        """The next delivery to send, counted as under way; None when there is no place or turn.

        An endpoint that has its full share under way leaves the ring until `revive`.
        """
        while self.ring and self.under_way < self.places:
            endpoint_id = self.ring.popleft()
            self._in_ring.discard(endpoint_id)
            share = self._shares[endpoint_id]
            if self._heeds_shares:
                if share.doubtful:
                    if not self._may_begin_in_doubt(endpoint_id, share):
                        continue
                elif not share.may_have((self.places - self.under_way) // 4):
                    continue
            queue = self.queues[endpoint_id]
            due = queue.popleft()
            if queue:
                self.revive(endpoint_id)
            else:
                del self.queues[endpoint_id]
            share.under_way += 1
            share.unanswered += 1
            self.under_way += 1
            return due
        return None

    def _may_begin_in_doubt(self, endpoint_id: EndpointId, share: Share) -> bool:
        """Whether a doubtful request is within its share; it is counted then."""
        free = self.places - self.under_way
        places = self._doubtful_places if share.under_way else self._lone_places
        free = min(free, places - self._doubtful_under_way)
        if free <= 0:
            if not share.under_way:
                self._put_off[endpoint_id] = None
            return False
        if not share.may_have(free // 4):
            return False
        self._doubtful[endpoint_id] = self._doubtful.get(endpoint_id, 0) + 1
        self._doubtful_under_way += 1
        return True

    def ended(self, endpoint_id: EndpointId) -> None:
        """A request of this lane has ended."""
        self.under_way -= 1
        self._shares[endpoint_id].under_way -= 1
        if endpoint_id in self._doubtful:
            self._free_doubtful(endpoint_id)

    def _free_doubtful(self, endpoint_id: EndpointId) -> None:
        left = self._doubtful.pop(endpoint_id) - 1
        if left:
            self._doubtful[endpoint_id] = left
        self._doubtful_under_way -= 1
        # As many as there is room for: one that stands in the ring may have answered meanwhile,
        # and leave its place to another.
        free = self._lone_places - self._doubtful_under_way
        for each in list(islice(self._put_off, free)):
            self.revive(each)

    def empty(self) -> list[DueDelivery]:
        """Take everything that is queued, in no particular order."""
        queued = [due for queue in self.queues.values() for due in queue]
        self.queues.clear()
        self.ring.clear()
        self._in_ring.clear()
        self._put_off.clear()
        return queued
