"""A full disk: nothing is accepted and then lost; with room again, it goes on by itself."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from faults.conftest import Load, Receiver, Server, balance, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def largest_file(folder: Path) -> int:
    return max(each.stat().st_size for each in folder.iterdir() if each.is_file())


async def test_a_full_disk_refuses_keeps_and_recovers(server: Server, receiver: Receiver) -> None:
    await server.start()
    await server.webhook(receiver.url("/hook"))
    assert server.process is not None
    load = Load(server, clients=8)
    load.start()
    await until(lambda: len(load.accepted) > 200)

    # No file of the process may grow any more: what a full disk does, at a moment of our choice.
    full = largest_file(server.data)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    await until(lambda: len(load.refused) > 20)
    assert {each.status for each in load.refused} <= {503, 507}
    for each in load.refused:
        assert each.body["code"], each
        assert int(each.headers.get("retry-after", "0")) >= 1, each
    before = len(load.accepted)
    reading = await server.call("GET", "/api/v1/app/default/msg?limit=1")
    assert reading.status == 200

    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, UNLIMITED)
    await until(lambda: len(load.accepted) > before + 50)
    await load.stop()
    await until(lambda: not balance(load.accepted, receiver).lost)
    assert await server.end(signal.SIGTERM) == 0
    await server.start()
    for message_id in list(load.accepted)[:: max(1, len(load.accepted) // 100)]:
        found = await server.call("GET", f"/api/v1/app/default/msg/{message_id}")
        assert found.status == 200
    count = balance(load.accepted, receiver)
    print(f"full disk: {count}, refused {len(load.refused)}")
    assert count.lost == 0, count
