"""Two nodes on one database answer for one bin, and count as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stafett.app import Stafett
from stafett.model import Bin, ScriptedReply, Secret
from stafett.services.bins import Caught
from stafett.settings import Settings


@pytest.fixture
async def nodes(postgres_url: str, tmp_path: Path) -> AsyncIterator[tuple[Stafett, Stafett]]:
    near, far = (
        Stafett(Settings(data=tmp_path / name, database_url=Secret(postgres_url)), dispatch=False)
        for name in ("near", "far")
    )
    async with near, far:
        yield near, far


def a_request(webhook_id: str) -> Caught:
    return Caught(
        method="POST",
        target=b"/in/x",
        http_version="1.1",
        headers=((b"webhook-id", webhook_id.encode()),),
        body=b"{}",
        peer="127.0.0.1",
    )


async def test_so_many_times_are_so_many_for_all_nodes(nodes: tuple[Stafett, Stafett]) -> None:
    reply = ScriptedReply(status_code=503, times=3)
    box, _ = await nodes[0].bins.create("shared", reply=reply)
    given = [await given_at_once(nodes, box) for _ in range(2)]
    assert [each.count(503) for each in given] == [9, 0]


async def given_at_once(nodes: tuple[Stafett, Stafett], box: Bin) -> list[int]:
    """What both answer to ten requests of each of three messages."""
    asked = [
        node.bins.catch(box.catch_token, a_request(name)) for name in "abc" * 5 for node in nodes
    ]
    return [each.reply.status_code for each in await asyncio.gather(*asked)]


async def test_chance_with_a_seed_is_drawn_for_all_nodes(nodes: tuple[Stafett, Stafett]) -> None:
    reply = ScriptedReply(status_code=503, chance=0.5, seed=1)
    rounds: list[list[int]] = []
    for turns in ((0,) * 16, (0, 1) * 8, (1, 1, 0, 0) * 4):
        box, _ = await nodes[0].bins.create("seeded", reply=reply)
        answers = [
            await nodes[turn].bins.catch(box.catch_token, a_request(str(place)))
            for place, turn in enumerate(turns)
        ]
        rounds.append([each.reply.status_code for each in answers])
    assert rounds[0] == rounds[1] == rounds[2]
    assert {*rounds[0]} == {200, 503}
