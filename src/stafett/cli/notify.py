"""Tells a service manager how the process stands, in systemd's protocol: one datagram a sentence.

Where nobody asked to be told (no `NOTIFY_SOCKET`), nothing is sent; and a manager that is gone or
does not read never holds up or ends what it manages.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Final

_MICROSECONDS: Final = 1_000_000
_ALIVES_A_TIMEOUT: Final = 3
"""Two may be late or lost before the manager takes the process for hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who is told, and how often it wants to hear that the process lives."""

    address: str | None = None
    """A path, or a name in the abstract namespace, which begins with @."""
    watchdog_seconds: float | None = None
    """A process silent for so long is killed; None: nobody counts."""

    def ready(self, status: str) -> None:
        """It answers; `status` is what `systemctl status` shows."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1\nSTATUS=What is under way ends first")

    def alive(self) -> None:
        """It is not hung."""
        self._tell("WATCHDOG=1")

    def _tell(self, sentence: str) -> None:
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller,
        ):
            # A manager that does not read must not hold up the event loop.
            teller.sendto(sentence.encode(), socket.MSG_DONTWAIT, address)


def manager(environ: Mapping[str, str], *, process: int | None = None) -> Manager:
    """Who manages `process` (this one), from what it left in the environment.

    A watchdog that is meant for another process, or that makes no sense, is not answered.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return Manager()
    return Manager(address=address, watchdog_seconds=_watchdog(environ, process or os.getpid()))


def _watchdog(environ: Mapping[str, str], process: int) -> float | None:
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", str(process))
    if meant_for != str(process) or not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / _MICROSECONDS


@contextlib.asynccontextmanager
async def watched(told: Manager) -> AsyncGenerator[None]:
    """Inside, `told` hears that the event loop turns; one that hangs cannot say so."""
    if told.watchdog_seconds is None:
        yield
        return
    pulse = asyncio.create_task(_pulse(told, told.watchdog_seconds / _ALIVES_A_TIMEOUT))
    try:
        yield
    finally:
        pulse.cancel()
        await asyncio.gather(pulse, return_exceptions=True)


async def _pulse(told: Manager, every: float) -> None:
    while True:
        told.alive()
        await asyncio.sleep(every)
