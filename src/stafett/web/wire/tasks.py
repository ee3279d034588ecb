"""Background work on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from stafett.model import Json, Task
from stafett.web.wire.base import Out


class TaskOut(Out):
    """A piece of background work."""

    id: str
    status: str
    task: str
    updated_at: datetime
    data: dict[str, Json]


def task_out(task: Task) -> TaskOut:
    """`task` as the wire shows it."""
    data: dict[str, Any] = {
        "appId": task.app_id,
        "endpointId": task.endpoint_id,
        "messagesSent": task.sent_count,
    }
    if task.problem is not None:
        data["problem"] = task.problem
    return TaskOut(
        id=task.id,
        status=task.status.value,
        task=task.kind.value,
        updated_at=task.updated_at,
        data=data,
    )
