"""Stafett inside another program, and its description of itself."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from stafett import errors
from stafett.app import Stafett
from stafett.model import EndpointOptions, Secret
from stafett.services.endpoints import NewEndpoint
from stafett.settings import Settings, parse_networks
from web.conftest import TOKEN, Recorder, refs


def a_stafett(folder: Path, *, dispatch: bool = True) -> Stafett:
    settings = Settings(
        data=folder,
        bootstrap_token=Secret(TOKEN),
        allow_networks=parse_networks("127.0.0.0/8"),
    )
    return Stafett(settings, dispatch=dispatch)


def client(app: Any, base: str = "http://test") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url=base,
        headers={"authorization": f"Bearer {TOKEN}"},
    )


async def test_what_was_stopped_does_not_start_again(tmp_path: Path) -> None:
    stafett = a_stafett(tmp_path)
    await stafett.start()
    await stafett.stop()
    with pytest.raises(errors.Unavailable, match="make a new one"):
        await stafett.start()


async def test_an_event_created_in_process_arrives(tmp_path: Path, receiver: Recorder) -> None:
    async with a_stafett(tmp_path) as stafett, client(stafett.asgi()) as api:
        wish = {"url": receiver.url("/embedded")}
        assert (await api.post("/api/v1/app/default/endpoint", json=wish)).status_code == 201
        await stafett.messages.create("payment_received", {"payment_id": "31"})
        # In a thread: the loop that sends must go on.
        body = (await in_thread(receiver, "/embedded")).body
    assert json.loads(body) == {"payment_id": "31"}


@pytest.mark.parametrize(
    "value", [float("nan"), [{"deep": float("-inf")}], object(), "\ud800", {1j: 2}]
)
async def test_what_json_cannot_say_is_refused(tmp_path: Path, value: Any) -> None:
    async with a_stafett(tmp_path) as stafett:
        with pytest.raises(errors.Invalid, match="not JSON"):
            await stafett.messages.create("payment_received", {"payment_id": "1", "a": value})
        kept = await stafett.messages.create("payment_received", {"payment_id": "1", "a": [None]})
        assert kept.payload == b'{"payment_id":"1","a":[null]}'


async def test_without_dispatch_another_life_sends_it(tmp_path: Path, receiver: Recorder) -> None:
    async with a_stafett(tmp_path, dispatch=False) as stafett, client(stafett.asgi()) as api:
        wish = {"url": receiver.url("/later")}
        assert (await api.post("/api/v1/app/default/endpoint", json=wish)).status_code == 201
        message = await stafett.messages.create("payment_received", {})
        assert receiver.at("/later").empty()
    async with a_stafett(tmp_path):
        assert (await in_thread(receiver, "/later")).headers["webhook-id"] == message.id


async def test_a_stop_waits_for_a_webhook_that_may_take_longer_than_others(tmp_path: Path) -> None:
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await answer.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    short = Settings(
        data=tmp_path,
        attempt_timeout=timedelta(milliseconds=100),
        allow_networks=parse_networks("127.0.0.0/8"),
    )
    async with await asyncio.start_server(answer_late, "127.0.0.1", 0) as receiver:
        url = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"
        stafett = Stafett(short)
        await stafett.start()
        own = EndpointOptions(timeout=timedelta(seconds=30))
        endpoint = await stafett.endpoints.create("default", NewEndpoint(url=url, options=own))
        await stafett.messages.create("payment_received", {})
        await arrived.wait()
        stopping = asyncio.create_task(stafett.stop())
        # Longer than the others may take, and what is added for the writing.
        await asyncio.wait({stopping}, timeout=3)
        answer.set()
        await stopping
    async with Stafett(short, dispatch=False) as later:
        kept = await later.endpoints.get("default", endpoint.id)
        assert kept.health.last_status_code == 204
        assert kept.health.event_count == 1


async def in_thread(receiver: Recorder, path: str) -> Any:
    return await asyncio.to_thread(receiver.next, path)


async def test_it_works_below_a_prefix_where_no_lifespan_event_comes(tmp_path: Path) -> None:
    stafett = a_stafett(tmp_path)
    host = Starlette(routes=[Mount("/hooks", app=stafett.asgi())])
    try:
        async with client(host) as api:
            assert (await api.get("/hooks/ready")).status_code == 200
            assert (await api.get("/hooks/api/v1/app/default")).json()["uid"] == "default"
            made = (await api.post("/hooks/api/v1/bin", json={})).json()
            assert "/hooks/in/" in made["url"]
            assert (await api.post(made["url"])).status_code == 200
            assert (await api.get("/api/v1/app")).status_code == 404
            described = (await api.get("/hooks/openapi.json")).json()
            assert described["servers"] == [{"url": "/hooks"}]
    finally:
        await stafett.stop()


def test_the_openapi_document_holds_together(api: httpx.Client) -> None:
    document = api.get(str(api.base_url).replace("/api/v1/", "/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "/"}]
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names)) > 40
    for ref in set(refs(document)):
        assert ref.startswith("#/")
        node = document
        for part in ref[2:].split("/"):
            node = node[part.replace("~1", "/").replace("~0", "~")]
    for path, methods in document["paths"].items():
        for each in methods.values():
            named = {p["name"] for p in each.get("parameters", []) if p["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path)), path


@pytest.mark.parametrize("page", ["/docs", "/docs/"])
def test_the_documentation_loads_nothing_from_elsewhere(api: httpx.Client, page: str) -> None:
    answer = api.get(str(api.base_url).replace("/api/v1/", page))
    assert answer.status_code == 200
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", answer.text)
    assert not re.findall(r"url\(|@import", answer.text)
