"""A full disk: nothing is accepted and then lost; with room again, it goes on by itself."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from faults.conftest import POST_PATH, Books, Load, Receiver, Server, audit, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
SOON = 20.0
"""Seconds; "a few" on a machine that has other things to do."""


def largest_file(folder: Path) -> int:
    return max(each.stat().st_size for each in folder.iterdir() if each.is_file())


def let_files_grow_to(size: int, server: Server) -> None:
    """No file of the process may grow beyond it: a full disk, at a moment of our choice."""
    assert server.process is not None
    limits = (size, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)


async def test_a_full_disk_refuses_keeps_and_recovers(server: Server, receiver: Receiver) -> None:
    await server.start()
    webhook = await server.webhook(receiver.url("/hook"))
    load = Load(server, clients=8)
    load.start()

    def tell() -> str:
        return f"accepted {len(load.accepted)}, refused {len(load.refused)}"

    await until(lambda: len(load.accepted) > 200, tell=tell)
    let_files_grow_to(largest_file(server.data), server)
    await until(lambda: len(load.refused) > 20, tell=tell)

    # Still full: reading goes on, and brings everything that was accepted so far.
    accepted = dict(load.accepted)
    found = await server.get_all(f"{POST_PATH}/{each}" for each in accepted)
    assert {each.status for each in found.values()} == {200}, tell()
    assert set(accepted) <= set(await server.message_ids()), tell()
    refused = len(load.refused)
    await until(lambda: len(load.refused) > refused + 20, tell=tell)

    before = len(load.accepted)
    assert server.process is not None
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, UNLIMITED)
    await until(lambda: len(load.accepted) > before + 50, tell=tell, seconds=SOON)
    await load.stop()
    for each in load.refused:
        assert each.status in {503, 507}, each
        assert each.body["code"], each
        assert each.body["detail"], each
        assert int(each.headers["retry-after"]) >= 1, each

    # What was refused is not there, what was accepted is, also after the next start; and what was
    # delivered while that could not be recorded was recorded later, and not sent again.
    assert await server.end(signal.SIGTERM) == 0
    await receiver.settle()
    await server.start()
    books = Books()
    books.add(load)
    assert not books.cut_off
    balance = await audit(server, receiver, books, webhook)
    print(f"full disk: {balance}; {tell()}")
    assert (balance.count.lost, balance.count.duplicated) == (0, 0), balance
