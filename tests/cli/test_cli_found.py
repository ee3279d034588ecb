"""How this machine's command line finds the server: a file that belongs to whoever wrote it."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from stafett.app import Stafett
from stafett.cli import client
from stafett.cli.found import LOCAL_TOKEN, Found
from stafett.engine.clock import SystemClock
from stafett.model import PageQuery
from stafett.settings import Settings

URL = "http://127.0.0.1:8071"


class Shifted(SystemClock):
    """The machine's clock, further on by what a laptop slept."""

    slept = timedelta(0)

    @override
    def now(self) -> datetime:
        return super().now() + self.slept


@pytest.fixture
def clock() -> Shifted:
    return Shifted()


@pytest.fixture
async def stafett(tmp_path: Path, clock: Shifted) -> AsyncIterator[Stafett]:
    async with Stafett(Settings(data=tmp_path), dispatch=False, clock=clock) as made:
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


async def test_a_token_is_renewed_by_the_clock_when_half_of_its_day_is_over(
    stafett: Stafett, clock: Shifted
) -> None:
    found = Found(stafett)
    async with found.at(URL) as token:
        await found.renew_if_due(URL)
        assert told(stafett)["token"] == token.reveal()

        clock.slept = timedelta(hours=30)
        await found.renew_if_due(URL)

        assert told(stafett)["token"] != token.reveal()
        assert (await stafett.tokens.authenticate(told(stafett)["token"])).name == LOCAL_TOKEN


async def test_a_token_that_cannot_be_renewed_stays_good(stafett: Stafett, clock: Shifted) -> None:
    found = Found(stafett)
    async with found.at(URL) as token:
        in_the_way = file_of(stafett).with_suffix(f".{os.getpid()}")
        in_the_way.mkdir()  # as a full disk has it: the file cannot be written
        clock.slept = timedelta(hours=13)

        await found.renew_if_due(URL)

        assert told(stafett)["token"] == token.reveal()
        await stafett.tokens.authenticate(token.reveal())
        tokens = (await stafett.tokens.list(PageQuery())).items
        assert sum(each.revoked_at is None for each in tokens) == 1
        in_the_way.rmdir()
        await found.renew_if_due(URL)
        assert told(stafett)["token"] != token.reveal()
