"""Schemas that are small and take for ever: refused, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stafett.services import tangles

Step = Callable[[dict[str, Any]], dict[str, Any]]


def a_chain(steps: int, step: Step) -> dict[str, Any]:
    """`step` makes a schema out of a reference to the next one."""
    links = {f"s{n}": step({"$ref": f"#/$defs/s{n + 1}"}) for n in range(steps)}
    return {"$defs": {**links, f"s{steps}": {"type": "string"}}, "$ref": "#/$defs/s0"}


def doubled(keyword: str) -> Step:
    return lambda ref: {keyword: [ref, ref]}


TANGLED: dict[str, Any] = {
    "allOf": a_chain(12, doubled("allOf")),
    "anyOf": a_chain(40, doubled("anyOf")),
    "oneOf": a_chain(500, doubled("oneOf")),
    "not": a_chain(12, lambda ref: {**ref, "not": ref}),
    "if": a_chain(12, lambda ref: {"if": ref, "then": ref}),
    "dependentSchemas": a_chain(12, lambda ref: {"dependentSchemas": {"a": ref, "b": ref}}),
    "one after the other": a_chain(40_000, lambda ref: {"allOf": [ref]}),
    "below a field": {
        "properties": {"a": {"$ref": "#/x%20y"}},
        "x y": {"items": {"$ref": "#/$defs/s0"}},
        "$defs": a_chain(12, doubled("allOf"))["$defs"],
    },
    "in a list": {
        "$ref": "#/z/1",
        "z": [{}, {"items": {"$ref": "#/$defs/s0"}}],
        "$defs": a_chain(12, doubled("anyOf"))["$defs"],
    },
}


@pytest.mark.parametrize("schema", TANGLED.values(), ids=TANGLED.keys())
def test_a_schema_of_which_too_much_judges_one_value_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="would judge the same value"):
        tangles.check(schema)


GOOD: dict[str, Any] = {
    "a few steps": a_chain(8, doubled("anyOf")),
    "many fields": a_chain(5_000, lambda ref: {"properties": {"a": ref, "b": ref}}),
    "a long choice": {"oneOf": [{"const": n} for n in range(1_500)]},
    "to itself": {"properties": {"one": {"$ref": "#"}, "two": {"allOf": [{"$ref": "#"}] * 2}}},
    "to each other": {
        "$ref": "#/$defs/pet",
        "$defs": {
            "pet": {"oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}]},
            "cat": {"allOf": [{"$ref": "#/$defs/pet"}, {"required": ["claws"]}]},
            "dog": {"allOf": [{"$ref": "#/$defs/pet"}, {"required": ["bark"]}]},
        },
    },
    "nowhere": {"$ref": "#/$defs/none", "allOf": [{"$ref": "#/allOf/9"}, {"$ref": "other.json"}]},
}


@pytest.mark.parametrize("schema", GOOD.values(), ids=GOOD.keys())
def test_what_can_be_judged_in_good_time_is_fine(schema: dict[str, Any]) -> None:
    tangles.check(schema)
