"""Whether the process lives, and whether it should get traffic."""

from __future__ import annotations

from stafett.app import Stafett
from stafett.web.calls import Call, Reply
from stafett.web.wire.health import HealthOut


def health() -> Reply:
    """The process answers."""
    return Reply(200, HealthOut(status="ok"))


def ready(stafett: Stafett) -> Reply:
    """200 while it should get traffic, otherwise 503 with the reasons."""
    reasons = stafett.readiness()
    if reasons:
        return Reply(503, {"status": "not ready", "reasons": reasons})
    return Reply(200, {"status": "ready"})


async def api_health(call: Call) -> Reply:
    """The process answers and its store can be asked."""
    await call.stafett.backlog()
    return health()


async def ping(call: Call) -> Reply:
    """The process answers."""
    del call
    return Reply(204)
