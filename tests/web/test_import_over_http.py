"""Importing event types over the API, also as the format's own client asks for it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from svix.api import EventTypeImportOpenApiIn, Svix, SvixOptions

from stafett.services.openapi_import import MAX_BYTES
from web.conftest import Running

PATH = "event-type/import/openapi"
_numbers = itertools.count()


def a_name() -> str:
    return f"imported.thing_{next(_numbers)}"


def a_document(*names: str, **operation: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    post = {"requestBody": {"content": {"application/json": {"schema": schema}}}} | operation
    return {"openapi": "3.1.0", "webhooks": {name: {"post": post} for name in names}}


def imported(api: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = api.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@pytest.mark.parametrize("raw", [False, True], ids=["spec", "specRaw"])
def test_a_document_is_imported_and_the_same_again_changes_nothing(
    api: httpx.Client, raw: bool
) -> None:
    name = a_name()
    document = a_document(name, summary="Thing", tags=["Things"])
    body = {"specRaw": json.dumps(document)} if raw else {"spec": document}
    found = imported(api, **body)
    assert found == {
        "modified": [name],
        "steps": [{"name": name, "action": "added", "fields": []}],
    }
    made = api.get(f"event-type/{name}").json()
    assert (made["label"], made["groupName"]) == ("Thing", "Things")
    again = imported(api, **body)
    assert again["modified"] == []
    assert again["steps"] == [{"name": name, "action": "unchanged", "fields": []}]


def test_a_dry_run_shows_what_would_become_and_does_nothing(api: httpx.Client) -> None:
    known, new = a_name(), a_name()
    imported(api, spec=a_document(known))
    document = a_document(known, new, tags=["Things"], **{"x-svix-feature-flags": ["beta"]})
    found = imported(api, spec=document, dryRun=True)
    assert found["modified"] == []
    assert [each["name"] for each in found["to_modify"]] == [known, new]
    assert found["to_modify"][0] == {
        "name": known,
        "label": api.get(f"event-type/{known}").json()["label"],
        "description": "",
        "deprecated": False,
        "schemas": {"type": "object", "properties": {"id": {"type": "integer"}}},
        "groupName": "Things",
        "featureFlags": ["beta"],
    }
    assert found["steps"][0] == {
        "name": known,
        "action": "changed",
        "fields": ["groupName", "featureFlags"],
    }
    assert api.get(f"event-type/{new}").status_code == 404
    assert "groupName" not in api.get(f"event-type/{known}").json()


def test_replacing_all_would_archive_the_others(api: httpx.Client) -> None:
    known = a_name()
    imported(api, spec=a_document(known))
    found = imported(api, spec=a_document(a_name()), replaceAll=True, dryRun=True)
    actions = {each["name"]: each["action"] for each in found["steps"]}
    assert actions[known] == actions["payment_received"] == "archived"
    assert not api.get(f"event-type/{known}").json()["archived"]


@pytest.fixture
def svix(server: Running) -> Iterator[Svix]:
    made = Svix(server.token, SvixOptions(server_url=server.url))
    yield made
    made.event_type._httpx_client.close()  # the package has no way of its own to close it


def test_the_client_of_the_format_reads_the_answer(svix: Svix) -> None:
    name = a_name()
    told = svix.event_type.import_openapi(
        EventTypeImportOpenApiIn(spec=a_document(name), dry_run=True)
    )
    assert told.data.to_modify is not None
    assert [each.name for each in told.data.to_modify] == [name]
    done = svix.event_type.import_openapi(EventTypeImportOpenApiIn(spec=a_document(name)))
    assert done.data.modified == [name]
    assert svix.event_type.get(name).name == name


@pytest.mark.parametrize("body", [{}, {"spec": {}, "specRaw": "{}"}, {"spec": None}])
def test_it_takes_one_document(api: httpx.Client, body: dict[str, Any]) -> None:
    answer = api.post(PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "generic_error")


@pytest.mark.parametrize(
    ("body", "place", "said"),
    [
        ({"spec": a_document("bad_name here")}, "#/webhooks/bad_name here", "only letters"),
        ({"spec": [1]}, "#", "must be a JSON object"),
        ({"specRaw": "openapi: 3.1.0"}, "#", "YAML is not read"),
        ({"specRaw": " " * (MAX_BYTES + 1)}, "#", "at most 1,048,576 bytes"),
        ({"spec": {"x": "y" * MAX_BYTES}}, "#", "at most 1,048,576 bytes"),
    ],
    ids=["name", "list", "yaml", "large", "large-spec"],
)
def test_what_is_wrong_is_told_with_its_place(
    api: httpx.Client, body: dict[str, Any], place: str, said: str
) -> None:
    answer = api.post(PATH, json=body)
    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["body", "spec", place]
    assert said in problem["msg"]


def test_the_largest_document_passes_even_where_all_of_it_is_escaped(api: httpx.Client) -> None:
    document = json.dumps(a_document(a_name()))
    document += "\n" * (MAX_BYTES - len(document))
    assert api.post(PATH, json={"specRaw": document}).status_code == 200
    assert api.post(PATH, content=b" " * (4 * MAX_BYTES + 1)).status_code == 413


def test_one_bad_webhook_keeps_all_out(api: httpx.Client) -> None:
    name = a_name()
    document = a_document(name)
    document["webhooks"]["bad"] = {}
    assert api.post(PATH, json={"spec": document}).status_code == 422
    assert api.get(f"event-type/{name}").status_code == 404
