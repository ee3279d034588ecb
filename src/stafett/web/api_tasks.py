"""Background work over HTTP: how far it has come."""

from __future__ import annotations

import enum
from typing import TypeVar

from stafett import errors
from stafett.ids import AppId
from stafett.model import TaskFilter, TaskKind, TaskStatus
from stafett.web import paging
from stafett.web.calls import Call, Reply
from stafett.web.wire.tasks import task_out

E = TypeVar("E", bound=enum.StrEnum)


def _own(call: Call) -> AppId | None:
    """The application whose tasks a token may see; None: all."""
    return None if call.token is None else call.token.app_id


def _word(call: Call, name: str, kind: type[E]) -> E | None:
    """Errors: BadRequest."""
    text = call.one(name)
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        message = f"{name} must be one of {', '.join(kind)}, not {text!r}"
        raise errors.BadRequest(message) from None


async def list_tasks(call: Call) -> Reply:
    """Background tasks, newest first."""
    asked = paging.query(call)
    where = TaskFilter(
        kind=_word(call, "task", TaskKind),
        status=_word(call, "status", TaskStatus),
        app_id=_own(call),
    )
    page = await call.stafett.tasks.list(asked, where)
    return Reply(200, paging.answer(page, asked, key=lambda each: each.id, out=task_out))


async def get_task(call: Call) -> Reply:
    """One background task: where it stands, and how much it has sent."""
    task = await call.stafett.tasks.get(call.params["task"], app_id=_own(call))
    return Reply(200, task_out(task))
