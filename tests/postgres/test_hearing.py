"""What one node changes another hears of, and what one accepts another sends.

Two whole Stafetts in this process share a database: `near` accepts and changes, `far` sends.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from faults.conftest import Receiver, until
from postgres.conftest import database_of
from postgres_server import PostgresServer
from stafett import errors
from stafett.app import Stafett
from stafett.drivers.postgres import news
from stafett.model import Endpoint, ScriptedReply, Secret
from stafett.services.bins import Caught
from stafett.services.endpoints import NewEndpoint
from stafett.settings import Settings
from stafett.store import EndpointChanges

APP = "default"
PROMISED = 2.0
HEARD_WITHIN = 3 * PROMISED
"""Seconds. The promise, and what a busy machine adds to it."""
POLL = 1.0
"""Seconds between two looks at what is due."""
SOON = 0.1
SLOW_MACHINE = 2.5
"""How much longer what is measured may take where others are at work, too."""


@dataclass
class Pair:
    """Two nodes."""

    near: Stafett
    far: Stafett

    def wanting_is(self, count: int) -> Callable[[], Awaitable[bool]]:
        """Whether so many webhooks get what `far` accepts."""

        async def look() -> bool:
            message = await self.far.messages.create("payment_received", {"payment_id": "1"})
            return message.endpoint_count == count

        return look


def a_stafett(url: str, data: Path, *, dispatch: bool) -> Stafett:
    chosen = Settings(
        data=data,
        database_url=Secret(url),
        allow_networks=(ipaddress.ip_network("127.0.0.0/8"),),
        attempt_timeout=timedelta(seconds=2),
    )
    return Stafett(chosen, dispatch=dispatch)


@pytest.fixture(params=["notified", "unnotified", "pooled"])
def url(request: pytest.FixtureRequest, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """With notifications, with none arriving, and as behind a pooler, where none can."""
    if request.param == "unnotified":

        async def hear_nothing(_: news.Newsroom) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(news.Newsroom, "_listen_forever", hear_nothing)
    return f"{postgres_url}?pgbouncer=true" if request.param == "pooled" else postgres_url


@pytest.fixture
async def pair(url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    near = a_stafett(url, tmp_path / "near", dispatch=False)
    far = a_stafett(url, tmp_path / "far", dispatch=True)
    async with near, far:
        yield Pair(near, far)


@pytest.fixture
async def webhook(pair: Pair, receiver: Receiver) -> Endpoint:
    """Made by `near`; `far` has sent to it, so it knows it well."""
    made = await pair.near.endpoints.create(APP, NewEndpoint(url=receiver.url("/old")))
    await heard(pair.wanting_is(1))
    await until(lambda: bool(receiver.at("/old")))
    return made


async def heard(ready: Callable[[], Awaitable[bool]]) -> None:
    """Return when `far` knows."""
    await until(ready, seconds=HEARD_WITHIN)


def test_two_looks_fit_into_what_is_promised() -> None:
    assert 2 * news._LOOK_SECONDS < PROMISED


async def refused(stafett: Stafett, text: str) -> bool:
    try:
        await stafett.tokens.authenticate(text)
    except errors.Unauthenticated:
        return True
    return False


async def test_a_token_that_was_revoked(pair: Pair) -> None:
    token, text = await pair.near.tokens.create("shop")
    assert (await pair.far.tokens.authenticate(text)).id == token.id
    await pair.near.tokens.revoke(token.id)
    await heard(lambda: refused(pair.far, text))


async def test_tokens_that_were_told_to_expire(pair: Pair) -> None:
    app = await pair.near.applications.get(APP)
    token, text = await pair.near.tokens.create("shop", app_id=app.id)
    assert (await pair.far.tokens.authenticate(text)).id == token.id
    await pair.near.tokens.expire_all(app.id, after=timedelta(0))
    await heard(lambda: refused(pair.far, text))


async def test_a_webhook_that_was_made(pair: Pair, webhook: Endpoint, receiver: Receiver) -> None:
    await pair.near.endpoints.create(APP, NewEndpoint(url=receiver.url("/second")))
    await heard(pair.wanting_is(2))


async def test_a_webhook_that_was_disabled(pair: Pair, webhook: Endpoint) -> None:
    await pair.near.endpoints.disable(APP, webhook.id)
    await heard(pair.wanting_is(0))


async def test_a_webhook_that_was_deleted(pair: Pair, webhook: Endpoint) -> None:
    await pair.near.endpoints.delete(APP, webhook.id)
    await heard(pair.wanting_is(0))


async def test_a_url_that_was_edited(pair: Pair, webhook: Endpoint, receiver: Receiver) -> None:
    changes = EndpointChanges(url=receiver.url("/new"))
    await pair.near.endpoints.update(APP, webhook.id, changes)

    async def is_sent_there() -> bool:
        await pair.far.messages.create("payment_received", {"payment_id": "1"})
        return bool(receiver.at("/new"))

    await heard(is_sent_there)


async def test_a_secret_that_was_rotated(pair: Pair, webhook: Endpoint) -> None:
    new = await pair.near.endpoints.rotate_secret(APP, webhook.id)

    async def signs_with_it() -> bool:
        known = await pair.far._directory.endpoint(webhook.app_id, webhook.id)
        return known is not None and known.secrets[0].secret.reveal() == new

    await heard(signs_with_it)


async def test_an_event_type_that_was_archived(pair: Pair) -> None:
    async def is_archived() -> bool:
        every = {each.name: each for each in await pair.far.event_types.all()}
        return every["payment_received"].archived

    assert not await is_archived()
    await pair.near.event_types.delete("payment_received")
    await heard(is_archived)


def a_request() -> Caught:
    return Caught(
        method="POST", target=b"/in", http_version="1.1", headers=(), body=b"x", peer="127.0.0.1"
    )


async def test_a_bins_reply_that_was_changed(pair: Pair) -> None:
    made, _ = await pair.near.bins.create()

    async def status_code() -> int:
        with await pair.far.bins.catch(made.catch_token, a_request()) as reply:
            return reply.status_code

    assert await status_code() == 200
    await pair.near.bins.set_reply(made.id, ScriptedReply(status_code=418))

    async def is_changed() -> bool:
        return await status_code() == 418

    await heard(is_changed)


async def test_a_capture_that_another_node_made(pair: Pair) -> None:
    made, _ = await pair.near.bins.create()
    tail = await pair.near.bins.tail(made.id)
    coming = asyncio.ensure_future(anext(tail))
    caught = a_request()
    with await pair.far.bins.catch(made.catch_token, caught):
        capture = await asyncio.wait_for(coming, HEARD_WITHIN)
    assert capture.body == caught.body


# --- hints ------------------------------------------------------------------------------------


async def sent_after(pair: Pair, receiver: Receiver) -> float:
    """Seconds from the answer of `near` until the receiver has what `far` sends."""
    message = await pair.near.messages.create("payment_received", {"payment_id": "1"})
    began = time.monotonic()
    await until(lambda: message.id in receiver.bodies)
    return time.monotonic() - began


@pytest.mark.parametrize("url", ["notified"], indirect=True)
async def test_what_another_accepted_is_sent_soon(
    pair: Pair, webhook: Endpoint, receiver: Receiver
) -> None:
    took = sorted([await sent_after(pair, receiver) for _ in range(15)])
    # Typically, so the middle one; and without the hint that would be half a second.
    assert took[len(took) // 2] < SOON * SLOW_MACHINE, took


@pytest.mark.parametrize("url", ["unnotified", "pooled"], indirect=True)
async def test_what_another_accepted_is_found_without_a_hint(
    pair: Pair, webhook: Endpoint, receiver: Receiver
) -> None:
    took = [await sent_after(pair, receiver) for _ in range(3)]
    assert max(took) < POLL * SLOW_MACHINE, took


@pytest.mark.parametrize("url", ["notified"], indirect=True)
async def test_a_listener_that_was_cut_comes_back(
    pair: Pair,
    webhook: Endpoint,
    receiver: Receiver,
    postgres_server: PostgresServer,
    postgres_url: str,
) -> None:
    database = database_of(postgres_url)
    listening = f"datname = '{database}' AND query LIKE 'LISTEN%'"
    count = f"SELECT count(*) FROM pg_stat_activity WHERE {listening}"
    await until(lambda: postgres_server.sql(count) == "2")

    assert postgres_server.cut("query LIKE 'LISTEN%'", database) == 2
    assert await sent_after(pair, receiver) < POLL * SLOW_MACHINE

    await until(lambda: postgres_server.sql(count) == "2")
    took = sorted([await sent_after(pair, receiver) for _ in range(15)])
    assert took[len(took) // 2] < SOON * SLOW_MACHINE, took


async def test_a_test_through_a_node_that_does_not_send_brings_the_verdict(
    pair: Pair, webhook: Endpoint, receiver: Receiver
) -> None:
    result = await pair.near.deliveries.test(APP, webhook.id)
    assert result.attempt.outcome.status_code == 204
    assert result.attempt.test
    assert result.message.id in receiver.bodies


async def test_a_resend_through_a_node_that_does_not_send_is_sent(
    pair: Pair, webhook: Endpoint, receiver: Receiver
) -> None:
    [first] = receiver.bodies
    await pair.near.deliveries.resend(APP, first, webhook.id)
    await until(lambda: [each.message_id for each in receiver.seen].count(first) == 2)
