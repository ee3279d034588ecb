"""Sending an endpoint a whole range of messages, in the background.

What was asked for is on disk before anybody is told of it; who brings it forward is `engine.tasks`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from stafett import errors, model
from stafett.engine.tasks import TaskRunner
from stafett.ids import AppId, Ids, TaskId
from stafett.model import (
    DeliveryState,
    Endpoint,
    Page,
    PageQuery,
    Replayed,
    Task,
    TaskFilter,
    TaskKind,
    TaskStatus,
)
from stafett.services.endpoints import Endpoints, refuse_if_disabled
from stafett.store import Store

MAX_RANGE: Final = timedelta(days=30)


def _ranged(wanted: Replayed, *, now: datetime) -> Replayed:
    """Up to now at most. Errors: InvalidRange."""
    since, end = wanted.after or now, min(wanted.before or now, now)
    if since >= end:
        text = "`since` must be before `until`, and in the past"
        raise errors.InvalidRange(text)
    if end - since > MAX_RANGE:
        text = f"at most {MAX_RANGE.days} days can be sent again at a time"
        raise errors.InvalidRange(text)
    return replace(wanted, before=end)


class Tasks:
    """The verbs. `app` and `endpoint` are an id or a uid throughout.

    Those that send go on in the background, oldest message first, whatever becomes of this process.
    Their errors: NotFound; Conflict (the endpoint is switched off); InvalidRange.
    """

    def __init__(
        self,
        *,
        store: Store,
        endpoints: Endpoints,
        ids: Ids,
        runner: TaskRunner,
        clock: model.Clock,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._ids = ids
        self.runner = runner
        """Brings them forward in this process."""
        self._clock = clock

    async def recover(
        self, app: str, endpoint: str, *, since: datetime, until: datetime | None = None
    ) -> Task:
        """Send everything to an endpoint again that failed or was canceled in the range."""
        wanted = Replayed(after=since, before=until)
        return await self._start(TaskKind.RECOVER, await self._endpoints.get(app, endpoint), wanted)

    async def replay_missing(
        self, app: str, endpoint: str, *, since: datetime, until: datetime | None = None
    ) -> Task:
        """Send an endpoint what it wants and was never owed: from before it was made or changed."""
        found = await self._endpoints.get(app, endpoint)
        wanted = Replayed(after=since, before=until)
        return await self._start(TaskKind.REPLAY_MISSING, found, wanted)

    async def bulk_replay(self, app: str, endpoint: str, wanted: Replayed) -> Task:
        """Send an endpoint again what it was sent before, however that ended, unless told.

        `wanted.after` is set. Errors also: Invalid (a state of what goes out by itself).
        """
        if wanted.state in {DeliveryState.PENDING, DeliveryState.SENDING}:
            text = "must be that of what has ended: success, fail or canceled"
            raise errors.Invalid([errors.Problem(("body", "status"), text)])
        found = await self._endpoints.get(app, endpoint)
        return await self._start(TaskKind.BULK_REPLAY, found, wanted)

    async def get(self, task_id: str, *, app_id: AppId | None = None) -> Task:
        """One, of this application if that is named; for 30 days after it ended.

        Errors: NotFound.
        """
        task = await self._store.get_task(TaskId(task_id))
        if task is None or app_id not in {None, task.app_id}:
            text = f"there is no background task {task_id!r}"
            raise errors.NotFound(text)
        return task

    async def list(self, page: PageQuery, where: TaskFilter | None = None) -> Page[Task]:
        """In order of id: newest first unless `page.ascending`."""
        return await self._store.list_tasks(where or TaskFilter(), page)

    async def _start(self, kind: TaskKind, endpoint: Endpoint, wanted: Replayed) -> Task:
        """A new one; any process goes on with it, this one at once."""
        refuse_if_disabled(endpoint)
        now = self._clock()
        task = Task(
            id=self._ids.task(now),
            kind=kind,
            status=TaskStatus.RUNNING,
            app_id=endpoint.app_id,
            endpoint_id=endpoint.id,
            wanted=_ranged(wanted, now=now),
            created_at=now,
            updated_at=now,
        )
        await self._store.add_task(task)
        self.runner.look()
        return task
