"""Event types read out of OpenAPI documents. A schema is judged by payloads it should take."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett import errors
from stafett.services import openapi_import, subschemas
from stafett.services.event_types import NewEventType

AT = "#/webhooks/a/post"
BODY = "requestBody/content/application~1json"
JSON_AT = f"{AT}/{BODY}"
PET: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "id": {"type": "integer"}},
    "required": ["id"],
}


def a_webhook(schema: Any = None, **operation: Any) -> dict[str, Any]:
    """A path item with one `post`."""
    content: dict[str, Any] = {} if schema is None else {"schema": schema}
    body = {"requestBody": {"content": {"application/json": content}}}
    return {"post": body | operation}


def a_document(
    webhooks: Any, schemas: dict[str, Any] | None = None, **given: Any
) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1"},
        "webhooks": webhooks,
        "components": {"schemas": schemas or {}},
    }
    return usual | given


def read(document: Any) -> dict[str, NewEventType]:
    found = openapi_import.read(json.dumps(document).encode())
    return {each.new.name: each.new for each in found}


def read_one(item: Any, schemas: dict[str, Any] | None = None, **given: Any) -> NewEventType:
    (new,) = read(a_document({"pet.new": item}, schemas, **given)).values()
    return new


def schema_of(schema: Any, schemas: dict[str, Any] | None = None, **given: Any) -> Any:
    """What becomes of a schema."""
    new = read_one(a_webhook(schema), schemas, **given)
    assert new.schemas is not None
    return new.schemas["1"]


def fits(schema: Any, value: Any) -> bool:
    return jsonschema_rs.validator_for(schema).is_valid(value)


def refusals(document: Any) -> dict[str, str]:
    """What is wrong, by its place."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(errors.Invalid) as caught:
        openapi_import.read(text)
    told = {str(each.loc[2]): each.msg for each in caught.value.problems}
    assert all(each.loc[:2] == ("body", "spec") for each in caught.value.problems)
    assert len(told) == len(caught.value.problems)
    return told


def refusal(document: Any) -> tuple[str, str]:
    (told,) = refusals(document).items()
    return told


# --- what an event type is made of ------------------------------------------------------------


def test_a_webhook_becomes_an_event_type() -> None:
    item = a_webhook(
        PET,
        summary="Pet\n  arrived",
        description="A pet has come. When it is registered.",
        tags=["Pets", "Others"],
        deprecated=True,
        **{
            "x-svix-feature-flags": ["beta"],
            "x-stafett-fires-when": "When it is registered.",
            "x-stafett-sensitive-fields": ["name"],
        },
    )
    item["post"]["requestBody"]["content"]["application/json"]["example"] = {"id": 7}
    assert read_one(item) == NewEventType(
        name="pet.new",
        label="Pet arrived",
        description="A pet has come.",
        fires_when="When it is registered.",
        group="Pets",
        schemas={"1": PET},
        sample={"id": 7},
        sensitive_fields=["name"],
        deprecated=True,
        feature_flags=["beta"],
    )


@pytest.mark.parametrize(
    "operation",
    [{}, {"requestBody": {}}, {"requestBody": {"content": {"application/json": {}}}}],
)
def test_what_is_not_said_is_left_open(operation: dict[str, Any]) -> None:
    new = read_one({"post": operation})
    assert new == NewEventType(name="pet.new", description="", feature_flags=[])


def test_what_stands_at_the_path_counts_for_its_operation() -> None:
    new = read_one({"summary": "Pet", "description": "One came.", "post": {"summary": ""}})
    assert (new.label, new.description) == ("Pet", "One came.")


def test_the_group_and_the_flag_may_be_said_the_other_way() -> None:
    new = read_one(
        a_webhook(tags=["Tag"], **{"x-svix-group-name": "Group", "x-svix-feature-flag": "beta"})
    )
    assert (new.group, new.feature_flags) == ("Group", ["beta"])


@pytest.mark.parametrize(
    "media",
    [
        {"examples": {"first": {"value": {"id": 1}}, "second": {"value": {"id": 2}}}},
        {"examples": {"first": {"externalValue": "a.json"}, "second": {"value": {"id": 1}}}},
        {"examples": {"first": {"$ref": "#/components/examples/one"}}},
        {"example": {"id": 1}, "examples": {"first": {"value": {"id": 2}}}},
    ],
)
def test_the_sample_is_the_first_example_there_is(media: Any) -> None:
    item = {"post": {"requestBody": {"content": {"application/json": {"schema": PET} | media}}}}
    document = a_document({"pet.new": item})
    document["components"]["examples"] = {"one": {"value": {"id": 1}}}
    assert read(document)["pet.new"].sample == {"id": 1}


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/x+json", "*/*"]
)
def test_the_body_is_found_by_its_media_type(kind: str) -> None:
    content = {"text/plain": {"schema": True}, kind: {"schema": PET}}
    assert read_one({"post": {"requestBody": {"content": content}}}).schemas == {"1": PET}


def test_path_and_body_may_stand_elsewhere_in_the_document() -> None:
    document = a_document({"pet.new": {"$ref": "#/components/pathItems/pet"}})
    document["components"] |= {
        "pathItems": {
            "pet": {"post": {"requestBody": {"$ref": "#/components/requestBodies/a~1b"}}}
        },
        "requestBodies": {"a/b": {"content": {"application/json": {"schema": PET}}}},
    }
    assert read(document)["pet.new"].schemas == {"1": PET}


@pytest.mark.parametrize("version", ["3.0.0", "3.0.3", "3.1.0", "3.1", "3.2.0", "3.1.0-rc1"])
def test_both_sections_are_read(version: str) -> None:
    document = a_document({"a": {"post": {}}}, openapi=version)
    assert list(read(document | {"x-webhooks": {"b": {"post": {}}}})) == ["a", "b"]


def test_a_byte_order_mark_is_skipped() -> None:
    text = json.dumps(a_document({"a": {"post": {}}})).encode("utf-8-sig")
    assert len(openapi_import.read(text)) == 1


# --- references -------------------------------------------------------------------------------


def test_a_schema_that_stands_elsewhere_is_taken_as_it_is() -> None:
    schemas = {"Pet": PET, "Alias": {"$ref": "#/components/schemas/Pet"}}
    assert schema_of({"$ref": "#/components/schemas/Alias"}, schemas) == PET


def test_what_is_referred_to_comes_along_and_nothing_else_does() -> None:
    schemas = {
        "Pet": PET | {"properties": {"owner": {"$ref": "#/components/schemas/Owner"}}},
        "Owner": {"properties": {"home": {"$ref": "#/components/schemas/Home"}}},
        "Home": {"type": "string"},
        "Unused": {"type": "integer"},
    }
    made = schema_of({"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}, schemas)
    assert made["items"] == {"$ref": "#/$defs/Pet"}
    assert set(made["$defs"]) == {"Pet", "Owner", "Home"}
    assert fits(made, [{"id": 1, "owner": {"home": "x"}}])
    assert not fits(made, [{"id": 1, "owner": {"home": 3}}])


def test_a_schema_that_leads_back_to_itself_does_so_still() -> None:
    node = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "next": {"$ref": "#/components/schemas/Node"},
            "first": {"$ref": "#/components/schemas/Node/properties/value"},
        },
    }
    for version in ("3.0.3", "3.1.0"):
        made = schema_of({"$ref": "#/components/schemas/Node"}, {"Node": node}, openapi=version)
        assert made["properties"]["next"] == {"$ref": "#"}
        assert fits(made, {"next": {"next": {"value": 1}}, "first": 2})
        assert not fits(made, {"next": {"next": {"value": "x"}}})
        assert not fits(made, {"first": "x"})


def test_two_schemas_that_lead_to_each_other_both_come_along() -> None:
    schemas = {
        "A": {"type": "object", "properties": {"b": {"$ref": "#/components/schemas/B"}}},
        "B": {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}},
    }
    made = schema_of({"properties": {"a": {"$ref": "#/components/schemas/A"}}}, schemas)
    assert fits(made, {"a": {"b": {"a": {}}}})
    assert not fits(made, {"a": {"b": {"a": 1}}})


def test_definitions_of_its_own_are_kept_beside_those_that_come_along() -> None:
    schema = {
        "$defs": {"Pet": {"type": "string"}},
        "properties": {
            "own": {"$ref": f"{AT.replace('a/', 'pet.new/')}/{BODY}/schema/$defs/Pet"},
            "other": {"$ref": "#/components/schemas/Pet"},
        },
    }
    made = schema_of(schema, {"Pet": PET})
    assert set(made["$defs"]) == {"Pet", "Pet-2"}
    assert fits(made, {"own": "x", "other": {"id": 1}})
    assert not fits(made, {"own": {"id": 1}})
    assert not fits(made, {"other": "x"})


def test_names_that_are_no_names_elsewhere_do_no_harm() -> None:
    odd = "a/b~c %25 ø"
    ref = "#/components/schemas/a~1b~0c%20%2525%20%C3%B8"
    made = schema_of({"properties": {"x": {"$ref": ref}, "y": {"$ref": ref}}}, {odd: PET})
    assert list(made["$defs"]) == ["a_b_c__25__"]
    assert fits(made, {"x": {"id": 1}})
    assert not fits(made, {"y": {}})


def test_only_a_schema_may_refer() -> None:
    data = {"$ref": "https://example.com/x.json", "$id": "x"}
    schema = {
        "properties": {"$ref": {"type": "string"}, "$id": {"const": data}, "e": {"enum": [data]}},
        "examples": [data],
        "default": data,
        "x-notes": data,
    }
    assert schema_of(schema) == schema


def test_beside_a_reference_other_rules_count_since_3_1_alone() -> None:
    beside = {"$ref": "#/components/schemas/Pet", "required": ["name"]}
    for version, wanted in (("3.1.0", False), ("3.0.3", True)):
        made = schema_of({"properties": {"pet": beside}}, {"Pet": PET}, openapi=version)
        assert fits(made, {"pet": {"id": 1}}) is wanted
        assert fits(schema_of(beside, {"Pet": PET}, openapi=version), {"id": 1}) is wanted


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("https://example.com/pet.json", "'https://example.com/pet.json'; only what is in the"),
        ("pet.json#/Pet", "'pet.json#/Pet'; only what is in the document"),
        ("#/components/schemas/Nobody", "'#/components/schemas/Nobody', which is not in the"),
        ("#/openapi", "must be a schema"),
        ("#/components/schemas/Pet/required/7", "which is not in the document"),
        ("#/components/schemas/Pet/required/id", "which is not in the document"),
        ("#/components/schemas/Pet/required/" + "7" * 5_000, "which is not in the document"),
        ("#Pet", "write it as #/components/schemas/NAME"),
        ("#", "write it as #/components/schemas/NAME"),
        (7, "must be a text"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_refused_by_name(ref: Any, said: str) -> None:
    schema = {"properties": {"pet": {"items": {"$ref": ref}}}}
    place, message = refusal(a_document({"pet.new": a_webhook(schema)}, {"Pet": PET}))
    at = "#/webhooks/pet.new/post/requestBody/content/application~1json/schema"
    assert place in {f"{at}/properties/pet/items/$ref", "#/openapi"}
    assert said in message


def test_what_only_refers_to_itself_is_refused() -> None:
    for item in ({"$ref": "#/webhooks/a"}, a_webhook({"$ref": "#/components/schemas/A"})):
        schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
        assert refusal(a_document({"a": item}, schemas))[1] == "refers to itself"


@pytest.mark.parametrize("keyword", ["$id", "$anchor", "$dynamicRef", "$recursiveRef"])
def test_a_schema_with_a_base_of_its_own_is_refused(keyword: str) -> None:
    schemas = {"Pet": {"properties": {"a": {keyword: "#x"}}}}
    document = a_document({"a": a_webhook({"not": {"$ref": "#/components/schemas/Pet"}})}, schemas)
    assert refusal(document) == (
        f"#/components/schemas/Pet/properties/a/{keyword}",
        "is not supported in an imported schema",
    )


# --- schemas of 3.0 ---------------------------------------------------------------------------


def test_a_schema_of_3_0_judges_as_it_did() -> None:
    schema = {
        "type": "object",
        "nullable": True,
        "properties": {
            "nullable": {"type": "string", "nullable": True},
            "plain": {"type": "string", "nullable": False},
            "over": {"type": "number", "minimum": 1, "exclusiveMinimum": True},
            "from": {"type": "number", "maximum": 9, "exclusiveMaximum": False},
            "pet": {"nullable": True, "allOf": [{"$ref": "#/components/schemas/Pet"}]},
        },
    }
    made = schema_of(schema, {"Pet": PET}, openapi="3.0.3")
    for good in ({"nullable": None}, {"over": 1.5}, {"from": 9}, {"pet": None}, {"pet": {"id": 1}}):
        assert fits(made, good), good
    for bad in (None, {"plain": None}, {"over": 1}, {"from": 10}, {"pet": {}}):
        assert not fits(made, bad), bad


def test_words_of_3_0_are_data_in_3_1() -> None:
    schema = {"type": "string", "nullable": True}
    made = schema_of({"properties": {"a": schema}})
    assert made == {"properties": {"a": schema}}


def test_what_points_out_of_the_schema_is_left_behind() -> None:
    schema = {"$schema": "https://spec.openapis.org/oas/3.1/dialect/base", "discriminator": {}}
    assert schema_of(schema | PET) == PET


def test_a_schema_says_at_its_root_alone_which_draft_it_is_of() -> None:
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    made = schema_of(draft | {"not": {"$ref": "#/components/schemas/Pet"}}, {"Pet": draft | PET})
    assert made == draft | {"not": {"$ref": "#/$defs/Pet"}, "$defs": {"Pet": PET}}


# --- what is refused --------------------------------------------------------------------------


def with_post(**operation: Any) -> dict[str, Any]:
    return a_document({"a": {"post": operation}})


def with_body(**media: Any) -> dict[str, Any]:
    return with_post(requestBody={"content": {"application/json": media}})


@pytest.mark.parametrize(
    ("document", "place", "said"),
    [
        (b"openapi: 3.1.0", "#", "YAML is not read"),
        (b'{"a": "\xff"}', "#", "is not JSON"),
        (b"", "#", "is not JSON"),
        (b"[]", "#", "must be a JSON object"),
        (b"[" * 100_000, "#", "nested at most 64"),
        (b" " * (openapi_import.MAX_BYTES + 1), "#", "at most 1,048,576 bytes"),
        ({"swagger": "2.0"}, "#/swagger", "before OpenAPI 3"),
        ({}, "#/openapi", "version of OpenAPI 3"),
        (a_document({}, openapi="4.0.0"), "#/openapi", "version of OpenAPI 3"),
        (a_document({}, openapi=3.1), "#/openapi", "version of OpenAPI 3"),
        (a_document({}), "#", "has no webhooks"),
        (a_document(None), "#", "has no webhooks"),
        (a_document([1]), "#/webhooks", "must be an object"),
        (a_document({"a": 1}), "#/webhooks/a", "must be an object"),
        (a_document({"a": {"get": {}}}), "#/webhooks/a", "has no operation post"),
        (a_document({"a b": {"post": {}}}), "#/webhooks/a b", "only letters, digits"),
        (a_document({"a": {"post": {}}}) | {"x-webhooks": {"a": {}}}, "#/x-webhooks/a", "already"),
        (with_post(summary=1), f"{AT}/summary", "must be a text"),
        (with_post(summary="s" * 600), f"{AT}/summary", "at most 512"),
        (with_post(description="\x07"), f"{AT}/description", "control characters"),
        (with_post(tags="Pets"), f"{AT}/tags", "list of texts"),
        (with_post(tags=[1]), f"{AT}/tags/0", "must be a text"),
        (with_post(tags=["\x07"]), f"{AT}/tags", "control characters"),
        (with_post(deprecated="yes"), f"{AT}/deprecated", "true or false"),
        (
            with_post(**{"x-svix-feature-flags": ["a", "b c"]}),
            f"{AT}/x-svix-feature-flags/1",
            "only letters, digits",
        ),
        (with_post(requestBody=1), f"{AT}/requestBody", "must be an object"),
        (
            a_document(
                {"a": a_webhook({"$ref": "#/components/schemas/A", "$defs": True})}, {"A": {}}
            ),
            f"{JSON_AT}/schema/$defs",
            "must be an object",
        ),
        (
            with_post(requestBody={"content": {"text/xml": {}}}),
            f"{AT}/requestBody/content",
            "has no application/json",
        ),
        (with_body(schema=1), f"{JSON_AT}/schema", "must be a schema"),
        (with_body(schema=True), f"{JSON_AT}/schema", "must be a JSON object"),
        (with_body(schema={"type": "nonsense"}), f"{JSON_AT}/schema", "cannot be used as a JSON"),
        (with_body(example=[1]), f"{JSON_AT}/example", "must be a JSON object"),
        (with_body(examples=[1]), f"{JSON_AT}/examples", "must be an object"),
        (
            with_body(schema=PET, example={"id": "x"}),
            f"{JSON_AT}/example/id",
            "not of type",
        ),
        (
            with_body(schema=PET, examples={"a/b": {"value": {}}}),
            f"{JSON_AT}/examples/a~1b/value/id",
            "is required",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(document: Any, place: str, said: str) -> None:
    found, message = refusal(document)
    assert found == place
    assert said in message


def test_one_problem_refuses_all_and_every_webhook_tells_its_own() -> None:
    document = a_document({"good": {"post": {}}, "bad": {}, "worse": 1})
    assert list(refusals(document)) == ["#/webhooks/bad", "#/webhooks/worse"]


def test_at_most_twenty_problems_are_told() -> None:
    assert len(refusals(a_document({f"w{number}": {} for number in range(50)}))) == 20


# --- limits -----------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def test_the_deepest_document_is_read_and_a_deeper_one_refused() -> None:
    # A schema begins seven levels down.
    document = a_document({"a": a_webhook(nested(openapi_import.MAX_DEPTH - 7))})
    assert read(document)
    place, message = refusal(a_document({"a": a_webhook(nested(openapi_import.MAX_DEPTH - 6))}))
    assert place.startswith(JSON_AT)
    assert "nested at most 64" in message


def test_there_is_an_end_to_how_many_webhooks_there_may_be() -> None:
    webhooks = {f"w{number}": {"post": {}} for number in range(openapi_import.MAX_WEBHOOKS)}
    assert len(read(a_document(webhooks))) == openapi_import.MAX_WEBHOOKS
    assert "at most 1,000" in refusal(a_document(webhooks | {"one.more": {"post": {}}}))[1]


def test_a_small_document_does_not_become_a_huge_catalogue() -> None:
    schemas = {"Big": {"description": "x" * 900_000}}
    webhooks = {
        f"w{number}": a_webhook({"not": {"$ref": "#/components/schemas/Big"}})
        for number in range(100)
    }
    told = refusals(a_document(webhooks, schemas))
    assert "is too much" in next(iter(told.values()))


def test_a_small_schema_that_would_take_ages_to_judge_is_refused() -> None:
    twice = {
        f"S{n}": {"anyOf": [{"$ref": f"#/components/schemas/S{n + 1}"}] * 2} for n in range(40)
    }
    hook = a_webhook({"$ref": "#/components/schemas/S0"})
    place, message = refusal(a_document({"a": hook}, {**twice, "S40": {"type": "string"}}))
    assert place.endswith("/schema")
    assert "would judge the same value" in message


def test_a_schema_that_refers_to_very_many_is_refused() -> None:
    schemas = {f"S{number}": {} for number in range(openapi_import.MAX_DEFINITIONS + 1)}
    schema = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in schemas]}
    assert "more than 1,000 schemas" in refusal(a_document({"a": a_webhook(schema)}, schemas))[1]


# --- whatever comes ---------------------------------------------------------------------------

KEYS = st.sampled_from(
    ["$ref", "$defs", "properties", "items", "anyOf", "not", "type", "nullable", "enum", "a", "$id"]
)
LEAVES = st.sampled_from(
    [None, True, 1, "x", "object", "#", "#/components/schemas/A", "#/components/schemas/B/items"]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(KEYS, each, max_size=4),
    max_leaves=20,
)


@given(root=SCHEMAS, one=SCHEMAS, two=SCHEMAS, version=st.sampled_from(["3.0.0", "3.1.0"]))
def test_any_document_is_read_or_refused_and_what_is_read_stands_alone(
    root: Any, one: Any, two: Any, version: str
) -> None:
    document = a_document({"a": a_webhook(root)}, {"A": one, "B": two}, openapi=version)
    try:
        new = read(document)["a"]
    except errors.Invalid:
        assert all(place.startswith("#") for place in refusals(document))
        return
    for schema in (new.schemas or {}).values():
        jsonschema_rs.validator_for(schema)
        for each, _ in subschemas.every(schema):
            assert each.get("$ref", "#").startswith("#")


def test_every_schema_within_a_schema_is_found_once() -> None:
    schema = {
        "properties": {"a": {"items": {"type": "string"}}, "b": True},
        "allOf": [{"if": {"const": {"not": {}}}}],
        "items": [{"title": "old"}],
        "dependencies": {"a": ["b"], "c": {"title": "dependent"}},
        "not": False,
        "enum": [{"not": {}}],
    }
    places = sorted("/".join(place) for _, place in subschemas.every(schema))
    assert places == [
        "",
        "allOf/0",
        "allOf/0/if",
        "dependencies/c",
        "items/0",
        "properties/a",
        "properties/a/items",
    ]
