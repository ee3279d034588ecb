"""Fair turns: whose delivery is sent next. No I/O, no time.

Endpoints with something to send stand in a ring and get one request each per round. How many of
one endpoint's requests are under way is bounded by its width, which grows while it answers and
halves when it times out; and by a quarter of what is free, so that nobody takes the last places.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

from stafett.ids import EndpointId
from stafett.model import DueDelivery

_START_WIDTH = 4
_MAX_WIDTH = 64
_QUEUE_PER_WIDTH = 8
START_ROOM = _START_WIDTH * _QUEUE_PER_WIDTH
"""How many deliveries may be claimed for an endpoint of which nothing is known yet."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Share:
    """How much of the senders one endpoint may have."""

    __slots__ = ("held", "next_turn", "not_before", "under_way", "width")

    def __init__(self) -> None:
        self.width = _START_WIDTH
        self.under_way = 0
        """Requests that have begun and not ended."""
        self.held = 0
        """Deliveries claimed for it by this process: queued, under way, or being recorded."""
        self.not_before = _LONG_AGO
        """Its receiver asked for quiet until then."""
        self.next_turn = _LONG_AGO
        """When its own rate limit allows the next request."""

    @property
    def room(self) -> int:
        """How many more deliveries may be claimed for it."""
        return self.width * _QUEUE_PER_WIDTH - self.held

    def grow(self) -> None:
        """It answered."""
        self.width = min(_MAX_WIDTH, self.width + 1)

    def shrink(self) -> None:
        """It timed out."""
        self.width = max(1, self.width // 2)


class Lane:
    """One kind of work (first attempts, or retries) with places of its own."""

    def __init__(self, places: int, shares: dict[EndpointId, Share]) -> None:
        self.places = places
        self.under_way = 0
        self._shares = shares
        self._queues: dict[EndpointId, deque[DueDelivery]] = {}
        self._ring: deque[EndpointId] = deque()
        self._in_ring: set[EndpointId] = set()

    def put(self, due: DueDelivery) -> None:
        """Queue `due` behind its endpoint's others."""
        queue = self._queues.get(due.endpoint_id)
        if queue is None:
            queue = self._queues[due.endpoint_id] = deque()
        queue.append(due)
        self.revive(due.endpoint_id)

    def revive(self, endpoint_id: EndpointId) -> None:
        """Let an endpoint with something queued stand in the ring again."""
        if endpoint_id in self._queues and endpoint_id not in self._in_ring:
            self._in_ring.add(endpoint_id)
            self._ring.append(endpoint_id)

    def take(self) -> DueDelivery | None:
        """The next delivery to send, counted as under way; None when there is no place or turn.

        An endpoint that has its full share under way leaves the ring until `revive`.
        """
        while self._ring and self.under_way < self.places:
            endpoint_id = self._ring.popleft()
            self._in_ring.discard(endpoint_id)
            share = self._shares[endpoint_id]
            fair = max(1, min(share.width, (self.places - self.under_way) // 4))
            if share.under_way >= fair:
                continue
            queue = self._queues[endpoint_id]
            due = queue.popleft()
            if queue:
                self.revive(endpoint_id)
            else:
                del self._queues[endpoint_id]
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
        queued = [due for queue in self._queues.values() for due in queue]
        self._queues.clear()
        self._ring.clear()
        self._in_ring.clear()
        return queued
