"""The catalogue for anybody: what it shows, what it keeps to itself, and reading it back."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from stafett import catalog
from stafett.app import Stafett
from stafett.engine.clock import SystemClock
from stafett.model import EventTypeChanges
from stafett.services.event_types import NewEventType, schema_in_force
from stafett.settings import Settings
from stafett.web import openapi
from stafett.web.admin import render

NASTY = "\"><script>alert(1)</script>\u202e'&"
NODE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "value": {"$ref": "#/$defs/value"},
        "next": {"$ref": "#"},
        "$ref": {"const": {"$ref": "#/$defs/value"}},
    },
    "$defs": {"value": {"type": "integer"}},
}


@pytest.fixture
async def stafett(tmp_path: Path) -> AsyncIterator[Stafett]:
    """One with a public catalogue."""
    async with Stafett(Settings(data=tmp_path, public_catalog=True), dispatch=False) as made:
        yield made


@pytest.fixture
async def anybody(stafett: Stafett) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a token and without cookies."""
    transport = httpx.ASGITransport(stafett.asgi())
    async with httpx.AsyncClient(transport=transport, base_url="http://hooks.example") as client:
        yield client


async def create(stafett: Stafett, name: str, **given: Any) -> None:
    usual: dict[str, Any] = {"description": f"About {name}."}
    await stafett.event_types.create(NewEventType(name=name, **usual | given))


async def page(anybody: httpx.AsyncClient, path: str = "/catalog", **headers: str) -> str:
    answer = await anybody.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def article(html: str, name: str) -> str:
    """What the page says about one event type."""
    found = [each for each in html.split("<article")[1:] if f'id="event-{name}"' in each]
    assert len(found) == 1
    return unescape(found[0].partition("</article>")[0])


# --- the page ---------------------------------------------------------------------------------


async def test_everything_about_an_event_type_is_there_for_who_is_not_signed_in(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    await create(
        stafett,
        "order.paid",
        label="Order paid",
        group="Shop",
        fires_when="When the money came.",
        schemas={"1": {"properties": {"email": {"type": "string", "description": "Whose."}}}},
        sample={"email": "kari@example.com"},
        sensitive_fields=["email"],
        deprecated=True,
    )
    html = await page(anybody)
    told = article(html, "order.paid")
    for text in (
        "Order paid",
        "<code>order.paid</code>",
        "About order.paid.",
        "When the money came.",
        "<code>email</code>",
        "Whose.",
        "Sensitive",
        '"email": "kari@example.com"',
        "deprecated",
        "data-copies-next",
    ):
        assert text in told, text
    assert '<a href="#event-order.paid">' in html
    assert ">Shop</h2>" in html


async def test_groups_and_event_types_are_in_order(anybody: httpx.AsyncClient) -> None:
    html = await page(anybody)
    groups = [unescape(each) for each in re.findall(r'<h2 id="group-\d+">(.*?)</h2>', html)]
    assert groups == sorted(groups)
    assert len(groups) > 5
    in_the_list = re.findall(r'<a href="#event-([\w.]+)">', html)
    assert in_the_list == re.findall(r'<h3 id="event-([\w.]+)">', html)
    assert set(in_the_list) == {
        each.name
        for each in catalog.load("multisite", now=SystemClock().now())
        if not each.archived
    }


async def test_a_sample_is_made_of_the_schema_where_there_is_none(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    await create(stafett, "made", schemas={"1": {"properties": {"email": {"type": "string"}}}})
    await create(stafett, "bare")
    html = await page(anybody)
    assert '"email": "ada@example.com"' in article(html, "made")
    assert "Sample" not in article(html, "bare")


@pytest.mark.parametrize("path", ["/catalog", "/catalog/openapi.json", "/openapi.json", "/docs"])
async def test_what_is_archived_or_behind_a_flag_is_nowhere(
    stafett: Stafett, anybody: httpx.AsyncClient, path: str
) -> None:
    await create(stafett, "open.event")
    await create(stafett, "flagged.event", feature_flags=["beta"], schemas={"1": NODE})
    await create(stafett, "archived.event", schemas={"1": NODE})
    await stafett.event_types.delete("archived.event")
    text = (await anybody.get(path)).text
    assert "open.event" in text
    assert "flagged.event" not in text
    assert "archived.event" not in text
    await stafett.event_types.update("flagged.event", EventTypeChanges(feature_flags=()))
    assert "flagged.event" in (await anybody.get(path)).text


async def test_a_change_is_on_the_page_at_once(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    before = await page(anybody)
    assert await page(anybody) == before
    await stafett.event_types.update("payment_received", EventTypeChanges(label="Paid at last"))
    assert "Paid at last" in article(await page(anybody), "payment_received")
    await stafett.event_types.delete("payment_received")
    assert "payment_received" not in await page(anybody)


@pytest.mark.parametrize(
    ("path", "headers", "language"),
    [
        ("/catalog", {}, "en"),
        ("/catalog", {"accept-language": "nn-NO,nb;q=0.9"}, "nb"),
        ("/catalog", {"cookie": "stafett_language=nb"}, "nb"),
        ("/catalog/?lang=en", {"cookie": "stafett_language=nb"}, "en"),
        ("/catalog?lang=nb", {}, "nb"),
        ("/catalog?lang=xx", {}, "en"),
    ],
)
async def test_it_speaks_both_languages(
    anybody: httpx.AsyncClient, path: str, headers: dict[str, str], language: str
) -> None:
    html = await page(anybody, path, **headers)
    assert f'<html lang="{language}">' in html
    assert ("Hendelsestyper" if language == "nb" else "Event types") in html
    assert f'<a href="/catalog?lang={language}" lang="{language}" aria-current="true">' in html


async def test_whatever_somebody_wrote_is_shown_as_text(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    schema = {"properties": {NASTY: {"type": "string", "description": NASTY}}}
    await create(
        stafett,
        "nasty",
        label=NASTY,
        group=NASTY,
        fires_when=NASTY,
        schemas={"1": schema},
        sample={NASTY: NASTY},
    )
    html = await page(anybody)
    assert "<script>alert" not in html
    assert "\u202e" not in html


async def test_the_page_needs_nothing_from_elsewhere_and_has_the_strict_policy(
    anybody: httpx.AsyncClient,
) -> None:
    answer = await anybody.get("/catalog")
    for name, value in render.HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert "set-cookie" not in answer.headers
    assert "<form" not in answer.text
    assert not re.search(r"<[^>]+ (?:style|on\w+)=", answer.text)
    asked = re.findall(r'<(?:link|script|img)[^>]* (?:src|href)="([^"]+)"', answer.text)
    assert len(asked) == 4
    for path in asked:
        assert path.startswith("/catalog/-/static/")
        file = await anybody.get(path)
        assert file.status_code == 200
        assert "immutable" in file.headers["cache-control"]
    links = re.findall(r'<a [^>]*href="([^"]+)"', answer.text)
    assert all(each.startswith(("#", "/catalog")) for each in links)


async def test_it_tells_nothing_of_who_runs_it(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    app = await stafett.applications.get("default")
    for path in ("/catalog", "/catalog/openapi.json"):
        text = (await anybody.get(path)).text
        for secret in (app.id, str(stafett.settings.data), "hooks.example", "feature"):
            assert secret not in text


@pytest.mark.parametrize("path", ["/catalog/nothing", "/catalog/-/static/x/none.css", "/catalogue"])
async def test_what_is_not_there_is_missing(anybody: httpx.AsyncClient, path: str) -> None:
    answer = await anybody.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_it_is_for_reading(anybody: httpx.AsyncClient) -> None:
    head = await anybody.head("/catalog")
    assert (head.status_code, head.content) == (200, b"")
    answer = await anybody.post("/catalog")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_an_empty_catalogue_says_so(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, public_catalog=True, catalog="none")
    async with Stafett(settings, dispatch=False) as stafett:
        transport = httpx.ASGITransport(stafett.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as anybody:
            assert "There are none yet." in await page(anybody)
            document = (await anybody.get("/catalog/openapi.json")).json()
    assert document == {
        "openapi": "3.1.0",
        "info": {"title": "Events", "version": "none"},
        "webhooks": {},
    }


async def test_without_the_setting_there_is_nothing(tmp_path: Path) -> None:
    async with Stafett(Settings(data=tmp_path), dispatch=False) as stafett:
        transport = httpx.ASGITransport(stafett.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as anybody:
            name = render.static_path("admin.css")
            for path in ("/catalog", "/catalog/", "/catalog/openapi.json", f"/catalog/{name}"):
                answer = await anybody.get(path)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert (await anybody.post("/catalog")).status_code == 404


async def test_below_a_prefix_all_of_it_is_below_it(stafett: Stafett) -> None:
    host = Starlette(routes=[Mount("/hooks", app=stafett.asgi())])
    transport = httpx.ASGITransport(host)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as anybody:
        html = await page(anybody, "/hooks/catalog")
        for path in re.findall(r'(?:src|href)="([^"#]+)"', html):
            assert path.startswith("/hooks/catalog")
            assert (await anybody.get(path)).status_code == 200


async def test_many_prefixes_each_have_their_own_page(stafett: Stafett) -> None:
    app = stafett.asgi()
    for number in range(40):
        transport = httpx.ASGITransport(app, root_path=f"/shop-{number % 20}")
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as anybody:
            html = await page(anybody, f"/shop-{number % 20}/catalog")
        assert f'href="/shop-{number % 20}/catalog/openapi.json"' in html


# --- for tools --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/catalog/openapi.json", "/openapi.json"])
async def test_a_schema_that_refers_to_parts_of_itself_does_so_in_the_document(
    stafett: Stafett, anybody: httpx.AsyncClient, path: str
) -> None:
    await create(stafett, "node.made", schemas={"1": NODE})
    document = (await anybody.get(path)).json()
    body = document["webhooks"]["node.made"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    judge = jsonschema_rs.validator_for(schema | {"components": document["components"]})
    assert judge.is_valid({"next": {"next": {"value": 1}}})
    assert not judge.is_valid({"next": {"next": {"value": "x"}}})
    assert judge.is_valid({"$ref": {"$ref": "#/$defs/value"}})
    assert not judge.is_valid({"$ref": 1})


async def test_a_schema_that_refers_to_all_of_itself_does_so_in_the_document(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    schema = {"type": "object", "additionalProperties": {"$ref": "#"}}
    await create(stafett, "tree.made", schemas={"1": schema})
    document = (await anybody.get("/catalog/openapi.json")).json()
    moved = document["components"]["schemas"]["event.tree.made"]
    assert moved["additionalProperties"] == {"$ref": "#/components/schemas/event.tree.made"}


async def test_the_deepest_schema_breaks_nothing(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    schema: dict[str, Any] = {"$ref": "#"}
    for _ in range(200):
        schema = {"not": schema}
    await create(stafett, "deep.event", schemas={"1": schema})
    for path in ("/catalog", "/catalog/openapi.json", "/openapi.json"):
        assert "deep.event" in (await anybody.get(path)).text


async def test_a_schema_with_a_base_of_its_own_is_left_alone(
    stafett: Stafett, anybody: httpx.AsyncClient
) -> None:
    schema = NODE | {"$id": "https://example.com/node"}
    await create(stafett, "node.made", schemas={"1": schema})
    document = (await anybody.get("/catalog/openapi.json")).json()
    body = document["webhooks"]["node.made"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"] == schema


async def test_the_document_is_no_more_than_its_webhooks(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/catalog/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert set(document) == {"openapi", "info", "webhooks"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", document["info"]["version"])


async def test_what_is_shown_can_be_imported_and_is_the_same(
    stafett: Stafett, tmp_path: Path
) -> None:
    await create(
        stafett,
        "whole",
        label="All of it",
        group="Group",
        fires_when="When it does.",
        schemas={"1": NODE},
        sample={"value": 1},
        sensitive_fields=["value"],
        deprecated=True,
    )
    await create(stafett, "bare")
    document = json.dumps(openapi.catalogue(await stafett.event_types.all())).encode()
    steps = await stafett.imports.openapi(document)
    assert {each.action.value for each in steps} == {"unchanged"}
    settings = Settings(data=tmp_path / "other", catalog="none")
    async with Stafett(settings, dispatch=False) as other:
        await other.imports.openapi(document)
        for each in openapi.shown(await stafett.event_types.all()):
            made = await other.event_types.get(each.name)
            assert schema_in_force(made) == schema_in_force(each)
            for field in ("label", "group", "description", "fires_when", "sample", "deprecated"):
                assert getattr(made, field) == getattr(each, field), (each.name, field)
            assert made.sensitive_fields == each.sensitive_fields
