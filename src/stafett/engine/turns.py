"""Fair turns: whose delivery is sent next. No I/O, no time.

Endpoints with something to send stand in a ring and get one request each per round. How many of
one endpoint's requests are under way is bounded by its width, which grows while it answers and
halves when it times out; and by a quarter of what is free, so that nobody takes the last places.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

from stafett.ids import EndpointId
from stafett.model import DueDelivery

_START_WIDTH = 4
_MAX_WIDTH = 64
_QUEUE_PER_WIDTH = 8
START_ROOM = _START_WIDTH * _QUEUE_PER_WIDTH
"""How many deliveries may be claimed for an endpoint of which nothing is known yet."""
_TURN_KEPT = timedelta(seconds=2)
_SOON = timedelta(milliseconds=10)  # not worth giving work back for
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Share:
    """How much of the senders one endpoint may have."""

    __slots__ = ("_next_turn", "_promised", "held", "not_before", "under_way", "width")

    def __init__(self) -> None:
        self.width = _START_WIDTH
        self.under_way = 0
        """Requests that have begun and not ended."""
        self.held = 0
        """Deliveries claimed for it by this process: queued, under way, or being recorded."""
        self.not_before = _LONG_AGO
        """Its receiver asked for quiet until then, and that is not on disk yet."""
        self._next_turn = _LONG_AGO
        """The first moment that its rate limit leaves to nobody yet."""
        self._promised: deque[datetime] = deque()
        """Moments before that, kept for work that was given back until then."""

    @property
    def room(self) -> int:
        """How many more deliveries may be claimed for it."""
        return self.width * _QUEUE_PER_WIDTH - self.held

    def turn(self, now: datetime, *, every: timedelta) -> datetime:
        """When a request may begin if there is to be one `every` so long.

        `now`: at once. Later: the moment is kept for whoever comes back then.
        """
        while self._promised and self._promised[0] < now - _TURN_KEPT:
            self._promised.popleft()
        if self._promised and self._promised[0] <= now:
            self._promised.popleft()
            return now
        turn = max(now, self._next_turn)
        self._next_turn = turn + every
        if turn - now <= _SOON:
            return now
        self._promised.append(turn)
        return turn

    def pause_recorded(self, until: datetime) -> None:
        """The endpoint itself knows now that its receiver asked for quiet until then."""
        if self.not_before <= until:
            self.not_before = _LONG_AGO

    def grow(self) -> None:
        """It answered."""
        self.width = min(_MAX_WIDTH, self.width + 1)

    def shrink(self) -> None:
        """It timed out."""
        self.width = max(1, self.width // 2)


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

    def put(self, due: DueDelivery) -> None:
        """Queue `due` behind its endpoint's others."""
        queue = self.queues.get(due.endpoint_id)
        if queue is None:
            queue = self.queues[due.endpoint_id] = deque()
        queue.append(due)
        self.revive(due.endpoint_id)

    def revive(self, endpoint_id: EndpointId) -> None:
        """Let an endpoint with something queued stand in the ring again."""
        if endpoint_id in self.queues and endpoint_id not in self._in_ring:
            self._in_ring.add(endpoint_id)
            self.ring.append(endpoint_id)

    def take(self) -> DueDelivery | None:
        """The next delivery to send, counted as under way; None when there is no place or turn.

        An endpoint that has its full share under way leaves the ring until `revive`.
        """
        while self.ring and self.under_way < self.places:
            endpoint_id = self.ring.popleft()
            self._in_ring.discard(endpoint_id)
            share = self._shares[endpoint_id]
            fair = max(1, min(share.width, (self.places - self.under_way) // 4))
            if self._heeds_shares and share.under_way >= fair:
                continue
            queue = self.queues[endpoint_id]
            due = queue.popleft()
            if queue:
                self.revive(endpoint_id)
            else:
                del self.queues[endpoint_id]
            share.under_way += 1
            self.under_way += 1
            return due
        return None

    def ended(self, endpoint_id: EndpointId) -> None:
        """A request of this lane has ended."""
        self.under_way -= 1
        self._shares[endpoint_id].under_way -= 1

    def empty(self) -> list[DueDelivery]:
        """Take everything that is queued, in no particular order."""
        queued = [due for queue in self.queues.values() for due in queue]
        self.queues.clear()
        self.ring.clear()
        self._in_ring.clear()
        return queued
