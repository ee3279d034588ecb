"""Two nodes change the same webhook at the same moment, and nothing of either is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from stafett import Stafett
from stafett.model import Secret
from stafett.services.endpoints import NewEndpoint
from stafett.settings import Settings

ROUNDS = 8


@pytest.fixture
async def nodes(postgres_url: str, tmp_path: Path) -> AsyncIterator[tuple[Stafett, Stafett]]:
    settings = Settings(data=tmp_path, database_url=Secret(postgres_url), catalog="none")
    async with (
        Stafett(settings, dispatch=False) as near,
        Stafett(replace(settings, data=tmp_path / "far"), dispatch=False) as far,
    ):
        yield near, far


async def test_headers_of_both_stay(nodes: tuple[Stafett, Stafett]) -> None:
    near, far = nodes
    made = await near.endpoints.create("default", NewEndpoint(url="https://example.com/hook"))

    for number in range(ROUNDS):
        await asyncio.gather(
            near.endpoints.patch_headers("default", made.id, put={f"x-near-{number}": "1"}),
            far.endpoints.patch_headers("default", made.id, put={f"x-far-{number}": "2"}),
        )

    found = await near.endpoints.get("default", made.id)
    assert len(found.headers) == 2 * ROUNDS


async def test_every_secret_that_was_answered_signs(nodes: tuple[Stafett, Stafett]) -> None:
    near, far = nodes
    made = await near.endpoints.create("default", NewEndpoint(url="https://example.com/hook"))
    answered: set[str] = set()

    for _ in range(ROUNDS // 2):
        answered |= set(
            await asyncio.gather(
                near.endpoints.rotate_secret("default", made.id),
                far.endpoints.rotate_secret("default", made.id),
            )
        )

    found = await near.endpoints.get("default", made.id)
    assert answered <= {each.secret.reveal() for each in found.secrets}
    assert len(answered) == ROUNDS
