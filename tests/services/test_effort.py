"""Values whose problems are too many to be named, and that others are named as ever."""

from __future__ import annotations

from typing import Any

import pytest

from stafett.services import effort, event_types

Json = Any


def a_filter(*extra: dict[str, Json]) -> dict[str, Json]:
    """A schema as people write them: "and" and "or" of such filters, or a number."""
    both = [
        {
            "type": "object",
            "properties": {"op": {"const": op}, "args": {"items": {"$ref": "#/$defs/filter"}}},
            "required": ["op", "args"],
        }
        for op in ("and", "or")
    ]
    return {"$ref": "#/$defs/filter", "$defs": {"filter": {"oneOf": [*both, *extra]}}}


def nested(depth: int, inner: Json) -> Json:
    for _ in range(depth):
        inner = {"op": "and", "args": [inner]}
    return inner


NUMBER = {"type": "integer"}
OVERLAPPING = {
    "properties": {"a": {"$ref": "#"}},
    "patternProperties": {"^a": {"$ref": "#"}},
    "additionalProperties": False,
}
LISTS = {"contains": {"$ref": "#"}, "prefixItems": [{"$ref": "#"}], "items": {"$ref": "#"}}


def boxed(depth: int, inner: Json) -> Json:
    for _ in range(depth):
        inner = {"a": inner}
    return inner


def listed(depth: int, inner: Json) -> Json:
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (a_filter(NUMBER), nested(40, "x")),
        (a_filter(NUMBER), {"op": "or", "args": [nested(40, 1), "x"]}),
        (a_filter(NUMBER, {"items": [NUMBER, {"$ref": "#"}]}), [1, nested(40, "x")]),
        (OVERLAPPING, boxed(40, {"b": 1})),
        (LISTS | {"type": "array"}, listed(40, 1)),
        (a_filter(NUMBER), nested(4_000, "x")),
        ({"anyOf": [NUMBER], "items": {"type": "string"}}, list(range(20_000))),
    ],
    ids=["deep", "beside", "in a list", "twice a field", "twice an item", "very deep", "wide"],
)
def test_of_what_would_take_too_long_only_the_misfit_is_told(
    schema: dict[str, Json], value: Json
) -> None:
    assert effort.branches(schema)
    assert not effort.is_small(schema, value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (a_filter(NUMBER), nested(5, "x")),
        ({"items": {"anyOf": [NUMBER, {"type": "string"}]}}, [*range(1_500), None]),
        (OVERLAPPING, boxed(5, {"b": 1})),
        ({"additionalProperties": {"not": NUMBER}}, {str(n): n for n in range(1_000)}),
        ({"allOf": [{"$ref": "#/nowhere"}, True, {"items": False}]}, [1, 2, 3]),
    ],
    ids=["a filter", "a long list", "twice a field", "many fields", "odd schemas"],
)
def test_what_can_be_named_in_good_time_is_named(schema: dict[str, Json], value: Json) -> None:
    assert effort.is_small(schema, value)


def test_without_a_choice_the_size_alone_counts() -> None:
    schema = {"properties": {"a": {"items": {"properties": {"b": {"type": "string"}}}}}}
    assert not effort.branches(schema)


@pytest.mark.parametrize("depth", [3, 60])
def test_problems_are_named_as_far_as_there_is_time(depth: int) -> None:
    schema = a_filter(NUMBER)
    validator = event_types.compiled(schema)

    def problems(value: Json) -> list[str]:
        found = event_types.found_problems(validator, value, schema=schema, sensitive=frozenset())
        return [each.msg for each in found]

    assert problems(nested(depth, 1)) == []
    assert len(problems(nested(depth, "x"))) == 1
    assert ("too long" in problems(nested(depth, "x"))[0]) == (depth == 60)
