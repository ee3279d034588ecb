"""A webhook that is owed thousands of messages, and a recover of them all."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from faults.conftest import POST_PATH, Server

MESSAGES = 4_000
_AT_ONCE = 1_000
_WEBHOOKS = "/api/v1/app/default/endpoint"
_DAY = timedelta(days=1)


async def canceled(server: Server, webhook: str, *, name: str, since: str) -> dict[str, bytes]:
    """Accepted messages, none of which was sent: the webhook was switched off and on again.

    `since` is about now. Nothing else may be waiting for the webhook.
    """
    deliver_at = (datetime.fromisoformat(since) + _DAY).isoformat()
    accepted: dict[str, bytes] = {}
    for start in range(0, MESSAGES, _AT_ONCE):
        part = [
            b'{"who": "%b-%d",  "total": 100.00}' % (name.encode(), n)
            for n in range(start, start + _AT_ONCE)
        ]
        items = [
            b'{"eventType": "payment_received", "deliverAt": "%b", "payload": %b}'
            % (deliver_at.encode(), each)
            for each in part
        ]
        content = b'{"messages": [%b]}' % b",".join(items)
        answer = await server.call("POST", f"{POST_PATH}/batch", content)
        assert answer.status == 200, answer
        ids = [each["message"]["id"] for each in answer.body["data"]]
        accepted |= dict(zip(ids, part, strict=True))
    for off in (True, False):
        await asked(server, "PATCH", f"{_WEBHOOKS}/{webhook}", 200, disabled=off)
    return accepted


async def recover(server: Server, webhook: str, *, since: str, until: str | None = None) -> str:
    """The id of a task that has begun."""
    path = f"{_WEBHOOKS}/{webhook}/recover"
    return (await asked(server, "POST", path, 202, since=since, until=until))["id"]


async def now_of(server: Server) -> str:
    """A time of the server's own clock: that of a change it makes."""
    path = "/api/v1/app/default"
    return (await asked(server, "PATCH", path, 200, metadata={}))["updatedAt"]


async def task(server: Server, task_id: str) -> dict[str, Any]:
    """What the API tells of it."""
    answer = await server.call("GET", f"/api/v1/background-task/{task_id}")
    assert answer.status == 200, answer
    return answer.body


async def is_finished(server: Server, task_id: str) -> bool:
    return (await task(server, task_id))["status"] == "finished"


async def asked(server: Server, method: str, path: str, status: int, **body: Any) -> Any:
    answer = await server.call(method, path, json.dumps(body).encode())
    assert answer.status == status, answer
    return answer.body
