"""Generated samples; the oracle is the schema they were made from, judged by another program."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from stafett.services import samples

CUSTOMER: dict[str, Any] = {
    "type": "object",
    "required": ["email", "born_date"],
    "properties": {
        "email": {"type": "string", "format": "email"},
        "born_date": {"type": "string", "format": "date"},
        "site_url": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    "schema",
    [
        CUSTOMER,
        {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 7}}},
        {"type": "integer", "exclusiveMinimum": 5},
        {"type": "integer", "exclusiveMaximum": -2},
        {"type": "integer", "maximum": -2},
        {"type": "integer", "multipleOf": 7, "minimum": 20},
        {"type": "number", "minimum": 2.5},
        {"type": "number", "exclusiveMinimum": 9},
        {"type": "string", "minLength": 12},
        {"type": "string", "maxLength": 2},
        {"type": "string", "format": "uuid"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "ipv6"},
        {"type": ["null", "boolean"]},
        {"type": "null"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}]},
        {"type": "array", "items": CUSTOMER},
        {"$ref": "#/$defs/customer", "$defs": {"customer": CUSTOMER}},
        {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}},
        {"allOf": [CUSTOMER, {"required": ["n"], "properties": {"n": {"type": "integer"}}}]},
        {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "integer"}]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "string", "enum": ["on", "off"]},
        {"const": 42},
        {"minimum": 4},
        {"items": {"type": "string"}},
        {"properties": {"a": {"minLength": 2}}},
    ],
)
def test_a_sample_fits_its_schema(schema: dict[str, Any]) -> None:
    sample = samples.generate(schema)
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    assert validator.is_valid(sample), sample


@pytest.mark.parametrize(
    ("schema", "sample"),
    [
        ({"type": "string", "examples": ["shown", "other"], "default": "d"}, "shown"),
        ({"type": "string", "example": "shown"}, "shown"),
        ({"type": "string", "default": "d", "enum": ["e"]}, "d"),
        ({"const": "c", "examples": ["x"]}, "c"),
        ({"enum": [None, "e"]}, "e"),
        ({"type": "object", "examples": [{"a": 1}]}, {"a": 1}),
    ],
)
def test_what_the_schema_shows_comes_first(schema: dict[str, Any], sample: object) -> None:
    assert samples.generate(schema) == sample


def test_names_help_where_there_is_no_format() -> None:
    names = ["customer_email", "site_url", "paid_at", "currency", "first_name", "note"]
    schema = {"properties": {name: {"type": "string"} for name in names}}
    assert samples.generate(schema) == {
        "customer_email": "ada@example.com",
        "site_url": "https://example.com/",
        "paid_at": "2026-03-14T09:26:53Z",
        "currency": "USD",
        "first_name": "Ada",
        "note": "text",
    }


@pytest.mark.parametrize(
    "schema",
    [
        True,
        None,
        [],
        {},
        {"type": "nonsense"},
        {"type": 5},
        {"properties": []},
        {"$ref": "https://example.com/elsewhere"},
        {"$ref": "#/not/there"},
        {"allOf": 1, "oneOf": {}, "enum": "x", "examples": "x"},
        {"properties": {"a": True, "b": False, "c": None}},
        {"type": "array", "minItems": "x", "items": 1},
        {"type": "string", "minLength": 10**12},
        {"type": "array", "items": {}, "minItems": 10**12},
        {"type": "number", "multipleOf": 0},
        {"type": "number", "minimum": "x"},
    ],
)
def test_any_schema_however_odd_gives_a_sample(schema: Any) -> None:
    samples.generate(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {
            "properties": {"left": {"$ref": "#"}, "name": {"type": "string"}},
            "required": ["name"],
        },
        {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
        {
            "$ref": "#/$defs/comment",
            "$defs": {
                "comment": {
                    "properties": {"replies": {"items": {"$ref": "#/$defs/comment"}}},
                    "required": ["replies"],
                }
            },
        },
    ],
)
def test_a_schema_that_refers_to_itself_comes_to_an_end_and_fits(schema: dict[str, Any]) -> None:
    sample = samples.generate(schema)
    assert jsonschema_rs.validator_for(schema).is_valid(sample), sample
    assert len(str(sample)) < 200


def test_a_schema_of_many_branches_stays_small() -> None:
    names = "abcdefgh"
    definitions: dict[str, Any] = {
        str(level): {"properties": {name: {"$ref": f"#/$defs/{level + 1}"} for name in names}}
        for level in range(20)
    }
    sample = samples.generate({"$ref": "#/$defs/0", "$defs": definitions})
    assert len(str(sample)) < 1_000_000


def test_schemas_nested_without_end_come_to_one() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"allOf": [schema], "properties": {"a": schema}}
    samples.generate(schema)
