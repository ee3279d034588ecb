"""What a service manager hears: real datagrams over real sockets, from a real server."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.conftest import Machine, stop
from stafett.cli import notify

_WITHIN = 30
_SAYS = {"NOTIFY_SOCKET": "@stafett", "WATCHDOG_USEC": "3000000"}


class ServiceManager:
    """The other end of `NOTIFY_SOCKET`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(_WITHIN)

    def hears(self) -> list[str]:
        """The lines of the next datagram."""
        return self._socket.recv(4_096).decode().split("\n")

    def hears_until(self, wanted: str) -> list[str]:
        """The first line of each datagram, up to the one that begins with `wanted`."""
        heard = [self.hears()[0]]
        while heard[-1] != wanted:
            heard.append(self.hears()[0])
        return heard

    def close(self) -> None:
        self._socket.close()


Listen = Callable[[str], ServiceManager]


@pytest.fixture
def listen() -> Iterator[Listen]:
    made: list[ServiceManager] = []

    def listening(address: str) -> ServiceManager:
        made.append(ServiceManager(address))
        return made[-1]

    yield listening
    for each in made:
        each.close()


def an_abstract_name() -> str:
    return f"@stafett-{os.getpid()}-{os.urandom(4).hex()}"


# --- a server under a service manager ---------------------------------------------------------


def test_a_server_says_that_it_is_ready_lives_and_stops(
    machine: Machine, tmp_path: Path, listen: Listen
) -> None:
    manager = listen(str(tmp_path / "notify"))
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "300000"}
    process = machine.serve(env=environment)

    starting = manager.hears_until("READY=1")
    lives = manager.hears_until("WATCHDOG=1")
    assert stop(process) == 0

    assert set(starting[:-1]) <= {"WATCHDOG=1"}
    assert lives == ["WATCHDOG=1"]
    assert set(manager.hears_until("STOPPING=1")[:-1]) <= {"WATCHDOG=1"}


def test_who_is_told_that_it_is_ready_can_ask_it(
    machine: Machine, tmp_path: Path, listen: Listen
) -> None:
    manager = listen(str(tmp_path / "notify"))
    machine.start("serve", "--port", "0", env={"NOTIFY_SOCKET": manager.address})

    ready, status = manager.hears()

    assert ready == "READY=1"
    url = status.removeprefix("STATUS=Serves at ")
    assert machine.ok("health", "--url", url, "--ready") == f"{url} is ready\n"


def test_a_manager_that_is_gone_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    gone = {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "300000"}
    process = machine.serve(env=gone)

    machine.ok("health")

    assert stop(process) == 0


# --- the sentences ----------------------------------------------------------------------------


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_each_sentence_is_one_datagram(tmp_path: Path, listen: Listen, abstract: bool) -> None:
    manager = listen(an_abstract_name() if abstract else str(tmp_path / "notify"))
    told = notify.manager({"NOTIFY_SOCKET": manager.address})

    told.ready("Serves")
    told.alive()
    told.stopping()

    assert manager.hears() == ["READY=1", "STATUS=Serves"]
    assert manager.hears() == ["WATCHDOG=1"]
    assert manager.hears()[0] == "STOPPING=1"


def test_a_manager_that_does_not_read_holds_nothing_up(tmp_path: Path, listen: Listen) -> None:
    manager = listen(str(tmp_path / "notify"))
    told = notify.manager({"NOTIFY_SOCKET": manager.address})
    queue = 1 + int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())

    for number in range(2 * queue):
        told.ready(str(number))

    heard = [manager.hears()[1] for _ in range(queue)]
    assert heard == [f"STATUS={number}" for number in range(queue)]


async def test_a_hung_event_loop_is_silent(tmp_path: Path, listen: Listen) -> None:
    manager = listen(str(tmp_path / "notify"))
    told = notify.Manager(address=manager.address, watchdog_seconds=0.03)

    async with notify.watched(told):
        while_turning = [await asyncio.to_thread(manager.hears) for _ in range(3)]
        while_hung = len([*_heard_without_turning(manager, seconds=0.2)])
        again = await asyncio.to_thread(manager.hears)

    assert [*while_turning, again] == [["WATCHDOG=1"]] * 4
    assert while_hung <= 1  # one may have been said before it hung


def _heard_without_turning(manager: ServiceManager, *, seconds: float) -> Iterator[list[str]]:
    """What comes while the event loop waits for this very call."""
    manager._socket.settimeout(seconds)
    try:
        for _ in itertools.count():
            yield manager.hears()
    except TimeoutError:
        return
    finally:
        manager._socket.settimeout(_WITHIN)


async def test_nobody_hears_that_it_lives_after_the_end(tmp_path: Path, listen: Listen) -> None:
    manager = listen(str(tmp_path / "notify"))
    told = notify.Manager(address=manager.address, watchdog_seconds=0.01)

    async with notify.watched(told):
        await asyncio.to_thread(manager.hears)

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [
        ({}, 3.0),
        ({"WATCHDOG_PID": "17"}, 3.0),
        ({"WATCHDOG_PID": "18"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
    ],
)
def test_a_watchdog_is_answered_where_it_is_meant(
    changed: dict[str, str], seconds: float | None
) -> None:
    assert notify.manager(_SAYS | changed, process=17).watchdog_seconds == seconds
