"""How this machine's command line finds the server: a file that belongs to whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stafett.app import Stafett
from stafett.cli import client
from stafett.cli.found import LOCAL_TOKEN, Found
from stafett.model import PageQuery
from stafett.settings import Settings

URL = "http://127.0.0.1:8071"


@pytest.fixture
async def stafett(tmp_path: Path) -> AsyncIterator[Stafett]:
    async with Stafett(Settings(data=tmp_path), dispatch=False) as made:
        yield made


def file_of(stafett: Stafett) -> Path:
    return stafett.settings.data / client.FOUND_IN


def told(stafett: Stafett) -> dict[str, Any]:
    return json.loads(file_of(stafett).read_text())


async def test_the_file_has_a_token_that_ends_with_the_server(stafett: Stafett) -> None:
    async with Found(stafett).at(URL) as token:
        assert (told(stafett)["url"], told(stafett)["token"]) == (URL, token.reveal())
        assert (await stafett.tokens.authenticate(token.reveal())).name == LOCAL_TOKEN
    [kept] = (await stafett.tokens.list(PageQuery())).items
    assert kept.revoked_at is not None


async def test_a_server_that_ends_is_found_no_more(stafett: Stafett) -> None:
    found = Found(stafett)
    async with found.at(URL):
        found.forget()
        assert not file_of(stafett).exists()


async def test_the_file_of_another_process_of_the_same_folder_stays(stafett: Stafett) -> None:
    async with Found(stafett).at(URL):
        Found(stafett).forget()  # a process that only sends writes none, and ends first
        assert told(stafett)["url"] == URL
