"""Trying a URL from within a program: the same guard as for every request, and nothing kept."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typing_extensions import override

import making
from stafett import errors, signing
from stafett.app import Stafett
from stafett.drivers.resolver import Address, Resolver
from stafett.engine.clock import SystemClock
from stafett.model import EndpointOptions, FailureCause, MessageFilter, PageQuery, PayloadStyle
from stafett.services.endpoints import NewEndpoint
from stafett.settings import Settings, parse_networks
from web.conftest import Recorder


def a_stafett(folder: Path, *, networks: str = "") -> Stafett:
    return Stafett(Settings(data=folder, allow_networks=parse_networks(networks)))


async def kept(stafett: Stafett) -> int:
    page = await stafett.messages.list("default", PageQuery(), where=MessageFilter())
    return len(page.items) + len(await stafett.endpoints.all("default"))


async def test_the_event_arrives_as_the_webhook_would_get_it(
    tmp_path: Path, receiver: Recorder
) -> None:
    async with a_stafett(tmp_path, networks="127.0.0.0/8") as stafett:
        new = NewEndpoint(
            url=receiver.url("/tried-out"),
            secret=making.SECRET,
            headers={"x-shop": "31"},
            options=EndpointOptions(payload_style=PayloadStyle.ENVELOPE),
        )
        result = await stafett.deliveries.try_out("default", new, event_type="payment_received")
        arrived = await asyncio.to_thread(receiver.next, "/tried-out")
        assert result.attempt.outcome.status_code == 200
        assert json.loads(arrived.body)["type"] == result.message.event_type == "payment_received"
        assert arrived.headers["x-shop"] == "31"
        assert arrived.headers["stafett-test"] == "true"
        now = result.attempt.created_at
        assert signing.verify([making.SECRET], arrived.headers, arrived.body, now=now).ok
        assert await kept(stafett) == 0


async def test_an_address_or_a_name_that_leads_inside_is_refused_like_any(
    tmp_path: Path, receiver: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leads_inside(_: Resolver, host: str) -> tuple[Address, ...]:
        assert host == "inside.example.com"
        return (ipaddress.IPv4Address("127.0.0.1"),)

    monkeypatch.setattr(Resolver, "resolve", leads_inside)
    async with a_stafett(tmp_path) as stafett:
        new = NewEndpoint(url=f"http://inside.example.com:{receiver.port}/inside")
        result = await stafett.deliveries.try_out("default", new)
        assert result.attempt.outcome.cause is FailureCause.TARGET_NOT_ALLOWED
        with pytest.raises(errors.Invalid):
            await stafett.deliveries.try_out(
                "default", NewEndpoint(url=f"http://127.0.0.1:{receiver.port}/inside")
            )
        with pytest.raises(errors.NotFound):
            await stafett.deliveries.try_out(
                "default", NewEndpoint(url="https://example.com"), event_type="nobody_has_this"
            )
    assert receiver.at("/inside").empty()


class StandingClock(SystemClock):
    """A clock that a test moves by hand."""

    at = making.NOW

    @override
    def now(self) -> datetime:
        return self.at


async def test_nobody_tries_more_than_ten_at_once_and_thirty_a_minute(
    tmp_path: Path, receiver: Recorder
) -> None:
    settings = Settings(data=tmp_path, allow_networks=parse_networks("127.0.0.0/8"))
    clock = StandingClock()
    new = NewEndpoint(url=receiver.url("/tried-often"))
    async with Stafett(settings, clock=clock) as stafett:

        async def try_as(who: str | None) -> bool:
            result = await stafett.deliveries.try_out("default", new, by=who)
            return result.attempt.outcome.succeeded

        for _ in range(10):
            assert await try_as("usr_kari")
        with pytest.raises(errors.TooMany, match="try again in 2 s") as refused:
            await try_as("usr_kari")
        assert refused.value.retry_after == 2.0
        assert await try_as("usr_ola")
        assert await try_as(None)
        clock.at += timedelta(seconds=2)
        assert await try_as("usr_kari")
        with pytest.raises(errors.TooMany):
            await try_as("usr_kari")
        clock.at += timedelta(minutes=1)
        for _ in range(10):
            assert await try_as("usr_kari")
    assert receiver.at("/tried-often").qsize() == 23


async def test_a_process_that_only_accepts_says_what_to_do(
    tmp_path: Path, receiver: Recorder
) -> None:
    settings = Settings(data=tmp_path, allow_networks=parse_networks("127.0.0.0/8"))
    new = NewEndpoint(url=receiver.url("/not-from-here"))
    async with Stafett(settings, dispatch=False) as silent:
        for _ in range(11):  # and that is no try that counts
            with pytest.raises(errors.Unavailable, match="save the webhook and send it a test"):
                await silent.deliveries.try_out("default", new, by="usr_kari")
    assert receiver.at("/not-from-here").empty()
