"""A sender that answers what the test says, and a store that fails when the test says."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import making
from stafett.engine.sending import Request
from stafett.model import Outcome
from stafett.store import Store

QUIET_TURNS = 30  # of the event loop; the longest chain of callbacks takes far fewer


class ScriptedSender:
    """See `stafett.engine.sending.Sender`. Receivers are told apart by the path of their URL."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: dict[str, list[Outcome | Exception]] = defaultdict(list)
        """By path: what is answered in turn, and 200 after that."""
        self.hanging: set[str] = set()
        """Paths whose requests wait until `let_go`."""
        self.closed = False
        self._held: dict[str, list[asyncio.Future[Outcome]]] = defaultdict(list)

    async def send(self, request: Request) -> Outcome:
        self.requests.append(request)
        path = path_of(request)
        if path in self.hanging:
            future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            self._held[path].append(future)
            return await future
        answers = self.answers[path]
        answer = answers.pop(0) if answers else making.an_outcome(200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True

    def let_go(self, path: str, answer: Outcome | None = None) -> None:
        """Answer the oldest request that hangs at `path`."""
        self._held[path].pop(0).set_result(answer or making.an_outcome(200))

    def count(self, path: str) -> int:
        return sum(path_of(each) == path for each in self.requests)


def path_of(request: Request) -> str:
    return request.target.path


class WatchedStore:
    """Hands everything on to a real store; knows what is under way, and fails when told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.calls: list[str] = []
        self.fails: dict[str, Exception] = {}
        """By verb: what it raises, until the test takes it out."""

    def __getattr__(self, verb: str) -> Any:
        call: Callable[..., Awaitable[Any]] = getattr(self._store, verb)

        async def watched(*given: Any, **named: Any) -> Any:
            self.calls.append(verb)
            if verb in self.fails:
                raise self.fails[verb]
            self._under_way += 1
            self._idle.clear()
            try:
                return await call(*given, **named)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

        return watched

    async def settled(self) -> None:
        """Return when nothing has asked anything of the store for a while of the event loop."""
        quiet = 0
        while quiet < QUIET_TURNS:
            before = len(self.calls)
            await self._idle.wait()
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self.calls) == before and self._idle.is_set() else 0
