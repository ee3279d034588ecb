"""A node of this release on the schema of the next one, as in the middle of an upgrade."""

from __future__ import annotations

import signal

import pytest

from faults.conftest import Receiver
from faults.postgres.conftest import Database, Nodes, Senders, audit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_a_running_node_goes_on_over_a_newer_schema_and_cannot_be_started_on_it(
    nodes: Nodes, receiver: Receiver, database: Database
) -> None:
    node = await nodes.start()
    webhook = await node.webhook(receiver.url("/hook"))
    before = Senders([node], name="before")
    before.start()
    await before.some(20)
    # While it works: what a migration may do is what such a node lives with.
    for table in ("endpoints", "messages", "deliveries", "attempts"):
        await database.sql(f"ALTER TABLE {table} ADD COLUMN newer text")
        await database.sql(f"ALTER TABLE {table} ADD COLUMN newest int NOT NULL DEFAULT 7")
    await database.sql("UPDATE alembic_version SET version_num = '9999'")
    await before.some(20)
    await before.stop()

    after = Senders([node], name="after")
    after.start()
    await after.some(50)
    await after.stop()
    other = await node.webhook(receiver.url("/other"), "payment_failed")
    changed = await node.call("DELETE", f"/api/v1/app/default/endpoint/{other}")
    assert changed.status == 204, changed
    found = await audit(node, receiver, webhook, before, after)
    print(f"A newer schema: {found}")
    assert (found.count.lost, found.count.duplicated) == (0, 0), found
    assert not before.refused + after.refused
    assert not before.broken + after.broken

    assert await node.end(signal.SIGTERM) == 0
    with pytest.raises(pytest.fail.Exception, match="made by a newer Stafett"):
        await node.start()
