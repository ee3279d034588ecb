"""Rate limits: when a request may begin if there is to be one every so long. No I/O, no clock.

A moment that is given away is kept for work that comes back then, whichever piece of it that is. So
what was told to wait takes its turn then, and no moment is lost.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

from stafett.ids import AppId, EndpointId

_KEPT = timedelta(seconds=2)
_SOON = timedelta(milliseconds=10)  # not worth giving work back for
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class _Promises:
    """Moments that are kept for whoever comes back then."""

    __slots__ = ("_moments",)

    def __init__(self) -> None:
        self._moments: deque[datetime] = deque()

    def add(self, at: datetime) -> None:
        self._moments.append(at)

    def redeem(self, now: datetime) -> bool:
        """Whether one has come; it is used up then."""
        while self._moments and self._moments[0] < now - _KEPT:
            self._moments.popleft()
        if not self._moments or self._moments[0] > now:
            return False
        self._moments.popleft()
        return True

    @property
    def latest(self) -> datetime | None:
        return self._moments[-1] if self._moments else None


class _Pace:
    """Moments, evenly spread."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = _LONG_AGO

    def next(self, now: datetime, *, every: timedelta) -> datetime:
        """The first moment that nobody has yet; `now` where that is as good as come."""
        turn = max(now, self._next)
        self._next = turn + every
        return now if turn - now <= _SOON else turn

    def hold(self, until: datetime) -> None:
        """Give away nothing before `until`."""
        self._next = max(self._next, until)


class _Limited:
    """What is kept of an endpoint of which one limit or another has asked for patience."""

    __slots__ = ("granted", "own", "promised")

    def __init__(self) -> None:
        self.own = _Pace()
        self.promised = _Promises()
        """Moments by its own limit; its application is still to be asked."""
        self.granted = _Promises()
        """Moments that its application gave it."""

    def own_turn(self, now: datetime, *, limit: int) -> datetime:
        """`now`: at once. Later: the moment is promised."""
        every = _SECOND / limit
        granted = self.granted.latest
        if granted is not None:
            # One waits for its application already: the others keep their distance from that one.
            self.own.hold(granted + every)
        elif self.promised.redeem(now):
            return now
        at = self.own.next(now, every=every)
        if at > now:
            self.promised.add(at)
        return at


class Paces:
    """The limits of endpoints and of applications, in requests a second."""

    def __init__(self) -> None:
        self._endpoints: dict[EndpointId, _Limited] = {}
        self._applications: dict[AppId, _Pace] = {}

    def turn(
        self,
        app_id: AppId,
        endpoint_id: EndpointId,
        *,
        own: int | None,
        application: int | None,
        now: datetime,
    ) -> datetime:
        """When a request of this endpoint may begin, by its `own` limit and its application's.

        `now`: at once. Later: the moment is kept for whoever comes back then. The application is
        asked last, so that none of its moments goes to who cannot use it.
        """
        limited = self._endpoints.get(endpoint_id)
        if limited is None:
            limited = self._endpoints[endpoint_id] = _Limited()
        if limited.granted.redeem(now):
            return now
        if own:
            at = limited.own_turn(now, limit=own)
            if at > now:
                return at
        if not application:
            return now
        pace = self._applications.setdefault(app_id, _Pace())
        at = pace.next(now, every=_SECOND / application)
        if at > now:
            limited.granted.add(at)
        return at
