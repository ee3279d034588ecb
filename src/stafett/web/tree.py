"""Finds the route of a path. What is spelled out comes before what varies."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

_MAX_REMEMBERED = 4_096
_MAX_LENGTH = 256
"""Of a path that is remembered: anybody can ask for long ones, and no token is needed for it."""


class Routed(Protocol):
    """What has a method, and a path whose segments in braces vary."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...


R = TypeVar("R", bound=Routed)


def variables(path: str) -> list[str]:
    """The names of the segments that vary, in order."""
    return [each[1:-1] for each in path.split("/") if each.startswith("{")]


class Tree(Generic[R]):
    """All routes, by the segments of their paths."""

    def __init__(self, routes: tuple[R, ...]) -> None:
        self._root: _Node[R] = _Node()
        self._found: dict[str, tuple[dict[str, R], list[str]]] = {}
        for route in routes:
            node = self._root
            for segment in route.path.strip("/").split("/"):
                node = node.child(segment)
            node.routes[route.method] = route

    def find(self, path: str) -> tuple[dict[str, R], list[str]] | None:
        """The routes of a path below the prefix by method, and its variable segments in order.

        Paths asked for before are remembered, a few thousand of them, none of which is long.
        """
        found = self._found.get(path)
        if found is None:
            found = self._root.find(path.rstrip("/").split("/"), 0)
            if found is not None and len(path) <= _MAX_LENGTH:
                if len(self._found) >= _MAX_REMEMBERED:
                    self._found.clear()
                self._found[path] = found
        return found


class _Node(Generic[R]):
    __slots__ = ("children", "routes", "variable")

    def __init__(self) -> None:
        self.children: dict[str, _Node[R]] = {}
        self.variable: _Node[R] | None = None
        self.routes: dict[str, R] = {}

    def child(self, segment: str) -> _Node[R]:
        if not segment.startswith("{"):
            return self.children.setdefault(segment, _Node())
        if self.variable is None:
            self.variable = _Node()
        return self.variable

    def find(self, segments: list[str], at: int) -> tuple[dict[str, R], list[str]] | None:
        if at == len(segments):
            return (self.routes, []) if self.routes else None
        known = self.children.get(segments[at])
        if known is not None:
            found = known.find(segments, at + 1)
            if found is not None:
                return found
        if self.variable is None or not segments[at]:
            return None
        found = self.variable.find(segments, at + 1)
        if found is not None:
            found[1].insert(0, segments[at])
        return found
