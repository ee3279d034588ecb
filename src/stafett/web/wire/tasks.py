"""Background work on the wire."""

from __future__ import annotations

from datetime import datetime

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
    return TaskOut(
        id=task.id,
        status=task.status,
        task=task.kind,
        updated_at=task.updated_at,
        data=dict(task.data),
    )
