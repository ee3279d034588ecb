"""Finds the route of a path. What is spelled out comes before what varies."""

from __future__ import annotations

from stafett.web.routes import Route

_MAX_REMEMBERED = 4_096


class Tree:
    """All routes, by the segments of their paths."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._root = _Node()
        self._found: dict[str, tuple[dict[str, Route], list[str]]] = {}
        for route in routes:
            node = self._root
            for segment in route.path.strip("/").split("/"):
                node = node.child(segment)
            node.routes[route.method] = route

    def find(self, path: str) -> tuple[dict[str, Route], list[str]] | None:
        """The routes of a path below the prefix by method, and its variable segments in order.

        Paths asked for before are remembered, a few thousand of them.
        """
        found = self._found.get(path)
        if found is None:
            found = self._root.find(path.rstrip("/").split("/"), 0)
            if found is not None:
                if len(self._found) >= _MAX_REMEMBERED:
                    self._found.clear()
                self._found[path] = found
        return found


class _Node:
    __slots__ = ("children", "routes", "variable")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.routes: dict[str, Route] = {}

    def child(self, segment: str) -> _Node:
        if not segment.startswith("{"):
            return self.children.setdefault(segment, _Node())
        if self.variable is None:
            self.variable = _Node()
        return self.variable

    def find(self, segments: list[str], at: int) -> tuple[dict[str, Route], list[str]] | None:
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
