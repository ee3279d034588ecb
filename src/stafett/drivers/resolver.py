"""Turns names into addresses off the event loop, within a budget of time and threads.

Invariant: nobody waits longer than `lookup_seconds`, and a name server that never answers takes
away no more than its own names: each name is looked up once at a time, and a lookup that overran
gives its place to the next one while its thread waits on alone.

Names are absolute: search domains never apply. What an address is worth is for the caller to judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str], Sequence[str]]
"""Blocks; answers addresses as text, raises OSError for a name that cannot be resolved."""

MAX_ADDRESSES: Final = 16
"""Of one name; the rest of a longer answer is left out."""
MAX_KNOWN: Final = 1024
"""Names kept; beyond it the oldest are forgotten."""
_HOSTS = Path("/etc/hosts")


class LookupFailed(Exception):
    """The name has no address, or its name server did not say in time."""


def system_lookup(host: str) -> list[str]:
    """What this machine knows of `host`: its own hosts file first, then the name servers.

    The dot makes the name absolute, and hides it from the hosts file: hence the look beforehand.
    """
    with contextlib.suppress(OSError):
        if found := in_hosts(host, _HOSTS.read_text(encoding="ascii", errors="replace")):
            return found
    absolute = (host.rstrip(".") + ".").encode("ascii")
    answers = socket.getaddrinfo(absolute, None, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in answers]


def in_hosts(host: str, text: str) -> list[str]:
    """The addresses of `host` in a hosts file with this text."""
    wanted = host.rstrip(".").lower()
    lines = (line.partition("#")[0].lower().split() for line in text.splitlines())
    return [words[0] for words in lines if wanted in words[1:]]


@dataclass(slots=True, eq=False)
class _Flight:
    """One lookup of one name, and everybody who waits for it."""

    host: str
    answer: asyncio.Future[tuple[Address, ...] | LookupFailed]
    timer: asyncio.TimerHandle | None = None
    has_place: bool = False
    """Counts against `max_running`."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A fresh answer, good until a moment of the loop's clock."""

    answer: tuple[Address, ...] | LookupFailed
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The budget of all lookups together. Seconds, and counts."""

    lookup_seconds: float = 3.0
    """From asking to an answer or a failure, waiting for a place included."""
    keep_seconds: float = 5.0
    """How long an answer is used again: shorter than a careful name server's own."""
    keep_failure_seconds: float = 1.0
    max_running: int = 16
    """Lookups at work at once."""
    max_waiting: int = 512
    """Names waiting for a place; one more fails at once."""
    max_overdue: int = 128
    """Threads that may hang beyond their time before lookups that hang keep their place."""


@final
class Resolver:
    """Resolves names for one event loop."""

    def __init__(self, lookup: Lookup = system_lookup, *, limits: Limits | None = None) -> None:
        self._lookup = lookup
        self._limits = limits or Limits()
        self._known: dict[str, _Known] = {}
        self._flights: dict[str, _Flight] = {}
        self._waiting: deque[_Flight] = deque()
        self._running_count = 0
        self._overdue_count = 0

    async def resolve(self, host: str) -> tuple[Address, ...]:
        """The addresses of `host` (ASCII), IPv4 first, without repeats; at least one.

        Errors: LookupFailed, after at most `lookup_seconds`.
        """
        loop = asyncio.get_running_loop()
        answer = self._remembered(host, loop.time())
        if answer is None:
            flight = self._flights.get(host) or self._start(host, loop)
            answer = await asyncio.shield(flight.answer)
        if isinstance(answer, LookupFailed):
            raise LookupFailed(*answer.args)
        return answer

    def _remembered(self, host: str, now: float) -> tuple[Address, ...] | LookupFailed | None:
        known = self._known.get(host)
        if known is None:
            return None
        if known.until <= now:
            del self._known[host]
            return None
        return known.answer

    def _remember(self, host: str, answer: tuple[Address, ...] | LookupFailed, now: float) -> None:
        failed = isinstance(answer, LookupFailed)
        seconds = self._limits.keep_failure_seconds if failed else self._limits.keep_seconds
        self._known[host] = _Known(answer, now + seconds)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    # --- one flight ---------------------------------------------------------------------------

    def _start(self, host: str, loop: asyncio.AbstractEventLoop) -> _Flight:
        flight = _Flight(host, loop.create_future())
        if self._running_count < self._limits.max_running:
            self._launch(flight, loop)
        elif len(self._waiting) < self._limits.max_waiting:
            self._waiting.append(flight)
        else:
            flight.answer.set_result(LookupFailed("too many names wait to be resolved"))
            return flight
        flight.timer = loop.call_later(self._limits.lookup_seconds, self._overrun, flight, loop)
        self._flights[host] = flight
        return flight

    def _launch(self, flight: _Flight, loop: asyncio.AbstractEventLoop) -> None:
        self._running_count += 1
        flight.has_place = True
        # A thread a lookup, and a daemon: one that hangs for good holds up no other lookup, which a
        # pool of threads would allow, and no exit of the process, which a pool would insist on.
        threading.Thread(
            target=self._run, args=(flight, loop), name=f"lookup {flight.host}", daemon=True
        ).start()

    def _run(self, flight: _Flight, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread: look up, and hand the answer to the loop, if that still runs."""
        try:
            answer = _parse(self._lookup(flight.host))
        except (OSError, ValueError):
            answer = LookupFailed("the name cannot be resolved")
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._land, flight, answer, loop)

    def _land(
        self,
        flight: _Flight,
        answer: tuple[Address, ...] | LookupFailed,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Back in the loop: everybody gets the answer; a late one serves the next who asks."""
        if flight.timer is not None:
            flight.timer.cancel()
        del self._flights[flight.host]
        self._remember(flight.host, answer, loop.time())
        if not flight.answer.done():
            flight.answer.set_result(answer)
        if flight.has_place:
            self._free_place(loop)
        else:
            self._overdue_count -= 1

    def _overrun(self, flight: _Flight, loop: asyncio.AbstractEventLoop) -> None:
        flight.answer.set_result(LookupFailed("the name was not resolved in time"))
        if not flight.has_place:
            self._waiting.remove(flight)
            del self._flights[flight.host]
        elif self._overdue_count < self._limits.max_overdue:
            flight.has_place = False
            self._overdue_count += 1
            self._free_place(loop)

    def _free_place(self, loop: asyncio.AbstractEventLoop) -> None:
        self._running_count -= 1
        if self._waiting:
            self._launch(self._waiting.popleft(), loop)


def _parse(answers: Sequence[str]) -> tuple[Address, ...]:
    distinct = dict.fromkeys(ipaddress.ip_address(answer) for answer in answers)
    if not distinct:
        raise ValueError(answers)
    by_family = sorted(distinct, key=lambda address: address.version)
    return tuple(by_family[:MAX_ADDRESSES])
