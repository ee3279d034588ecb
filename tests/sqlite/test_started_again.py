"""What a killed process was at goes on with the next start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import making
from making import NOW
from stafett.drivers.sqlite.store import SqliteStore

SECOND = timedelta(seconds=1)


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open(now=NOW + SECOND)
    return store


async def test_a_task_is_claimed_at_once(store_path: Path) -> None:
    store = await opened(store_path)
    application = making.an_application()
    endpoint = making.an_endpoint(application.id)
    task = making.a_task(endpoint)
    await store.add_task(task)
    assert await store.claim_task(making.a_claim(), now=NOW) == task
    await store.close()
    store = await opened(store_path)
    assert await store.claim_task(making.a_claim(), now=NOW + SECOND) == task
    await store.close()
