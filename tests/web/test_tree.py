"""Finding routes: what spells more out comes first, and what is remembered has bounds."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass

import pytest

from stafett.web.tree import Tree, variables


@dataclass(frozen=True)
class Way:
    """The least that a route is."""

    path: str
    method: str = "GET"


PATHS = ("/app", "/app/{app}", "/app/{app}/msg", "/app/none/msg", "/{any}/{other}/{third}")


@pytest.mark.parametrize(
    ("path", "found", "values"),
    [
        ("app", "/app", []),
        ("app/", "/app", []),
        ("app/a", "/app/{app}", ["a"]),
        ("app/a/msg", "/app/{app}/msg", ["a"]),
        ("app/none/msg", "/app/none/msg", []),
        ("app/none/other", "/{any}/{other}/{third}", ["app", "none", "other"]),
        ("app/" + "a" * 5_000, "/app/{app}", ["a" * 5_000]),
    ],
)
def test_a_path_leads_to_the_route_that_spells_most_of_it_out(
    path: str, found: str, values: list[str]
) -> None:
    tree = Tree(tuple(map(Way, PATHS)))
    for _ in range(2):  # also when it is remembered
        assert tree.find(path) == ({"GET": Way(found)}, values)


@pytest.mark.parametrize("path", ["", "none", "app//msg", "app/a/msg/more"])
def test_other_paths_lead_nowhere(path: str) -> None:
    assert Tree(tuple(map(Way, PATHS))).find(path) is None


def test_variables_are_named_in_order() -> None:
    assert variables("/{any}/x/{other}") == ["any", "other"]


def test_paths_that_anybody_makes_up_take_no_memory() -> None:
    tree = Tree(tuple(map(Way, PATHS)))
    tracemalloc.start()
    try:
        for number in range(1_000):
            assert tree.find(f"app/{number}" + "a" * 10_000) is not None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000
