"""What becomes of an idempotency key when something goes wrong around its request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from stafett import errors
from stafett.app import Stafett
from stafett.services.applications import Applications, NewApplication
from web.test_embedding import a_stafett, client

KEY = {"idempotency-key": "k"}
WISH = {"name": "A"}
PATH = "/api/v1/app"


@pytest.fixture
async def stafett(tmp_path: Path) -> AsyncIterator[Stafett]:
    async with a_stafett(tmp_path) as made:
        yield made


@pytest.fixture
async def api(stafett: Stafett) -> AsyncIterator[httpx.AsyncClient]:
    async with client(stafett.asgi()) as made:
        yield made


async def away(*_: object, **__: object) -> bool:
    message = "the store is away"
    raise errors.Unavailable(message)


async def test_an_answer_that_cannot_be_kept_is_given(
    stafett: Stafett, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its work is done; and until the hold is over nobody does it again."""
    with monkeypatch.context() as patched:
        patched.setattr(stafett.replies, "keep_reply", away)
        assert (await api.post(PATH, json=WISH, headers=KEY)).status_code == 201
    repeated = await api.post(PATH, json=WISH, headers=KEY)
    assert (repeated.status_code, repeated.headers["retry-after"]) == (423, "1")


async def test_without_the_row_of_its_key_nothing_is_done(
    stafett: Stafett, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(stafett.replies, "hold_key", away)
        assert (await api.post(PATH, json=WISH, headers=KEY)).status_code == 503
    names = [each["name"] for each in (await api.get(PATH)).json()["data"]]
    assert names == ["Default"]


@pytest.mark.parametrize("error", [errors.Unavailable("away"), ValueError("a fault")])
async def test_a_request_that_failed_may_be_repeated_at_once(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def failing(_: Applications, __: NewApplication) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(Applications, "create", failing)
        assert (await api.post(PATH, json=WISH, headers=KEY)).status_code in {500, 503}
    assert (await api.post(PATH, json=WISH, headers=KEY)).status_code == 201
    other = await api.post(PATH, json={"name": "B"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_mismatch")
