"""Senders under test, on both event loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

import pytest
import uvloop

from sender.receiver import LOOPBACK
from stafett import egress
from stafett.drivers import resolver as resolving
from stafett.drivers import sender as sending_driver


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that the product may run on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class MakeSender(Protocol):
    def __call__(
        self,
        *,
        policy: egress.Policy = ...,
        names: Mapping[str, Sequence[str]] | None = ...,
        resolver: resolving.Resolver | None = ...,
        limits: sending_driver.Limits | None = ...,
        tls_context: ssl.SSLContext | None = ...,
    ) -> sending_driver.HttpSender: ...


@pytest.fixture
async def make_sender() -> AsyncIterator[MakeSender]:
    """Senders whose DNS knows `names` alone. At the end each is closed and has nothing left."""
    made: list[sending_driver.HttpSender] = []

    def make(
        *,
        policy: egress.Policy = LOOPBACK,
        names: Mapping[str, Sequence[str]] | None = None,
        resolver: resolving.Resolver | None = None,
        limits: sending_driver.Limits | None = None,
        tls_context: ssl.SSLContext | None = None,
    ) -> sending_driver.HttpSender:
        known = names or {}

        def from_names(host: str) -> Sequence[str]:
            if host not in known:
                raise OSError(host)
            return known[host]

        sender = sending_driver.HttpSender(
            policy,
            resolver or resolving.Resolver(from_names),
            limits=limits,
            tls_context=tls_context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        made.append(sender)
        return sender

    yield make
    for sender in made:
        await sender.close()
        assert not sender._standing
        assert not sender._deadlines._watched
        assert sender._places._value == sender._limits.max_connections
