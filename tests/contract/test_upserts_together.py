"""Two that would make the same thing at once: one makes it, the other replaces what that made.

Over every driver, as each has its own way to find out who was first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import TypeVar

import pytest

import making
from stafett import egress, errors
from stafett.engine.directory import Directory
from stafett.ids import Ids
from stafett.model import Application
from stafett.services.applications import Applications, NewApplication
from stafett.services.endpoints import Endpoints, NewEndpoint
from stafett.services.event_types import EventTypes, NewEventType
from stafett.store import Store

T = TypeVar("T")
COUNT = 8


async def together(*upserts: Awaitable[tuple[T, bool]]) -> list[T]:
    """What each answered; exactly one of them has created it."""
    answers = await asyncio.gather(*upserts)
    assert sum(created for _, created in answers) == 1
    return [found for found, _ in answers]


@pytest.fixture
def directory(store: Store) -> Directory:
    return Directory(store)


@pytest.fixture
def applications(store: Store, directory: Directory) -> Applications:
    return Applications(store=store, directory=directory, ids=Ids(), clock=lambda: making.NOW)


@pytest.fixture
def endpoints(store: Store, directory: Directory) -> Endpoints:
    return Endpoints(
        store=store,
        directory=directory,
        ids=Ids(),
        clock=lambda: making.NOW,
        policy=egress.Policy(),
        entropy=os.urandom,
    )


async def test_one_application(applications: Applications) -> None:
    names = {f"Number {n}" for n in range(COUNT)}
    found = await together(
        *(applications.upsert("shop", NewApplication(name=name, uid="shop")) for name in names)
    )
    assert len({each.id for each in found}) == 1
    assert {each.uid for each in found} == {"shop"}
    assert (await applications.get("shop")).name in names


async def test_one_endpoint(endpoints: Endpoints, application: Application) -> None:
    urls = {f"https://example.com/{n}" for n in range(COUNT)}
    found = await together(
        *(endpoints.upsert(application.id, "hook", NewEndpoint(url=url)) for url in urls)
    )
    assert len({each.id for each in found}) == 1
    (only,) = await endpoints.all(application.id)
    assert only.url in urls


async def test_one_event_type(store: Store, directory: Directory) -> None:
    event_types = EventTypes(store=store, directory=directory, clock=lambda: making.NOW)
    texts = {f"Number {n}" for n in range(COUNT)}
    found = await together(
        *(event_types.upsert("paid", NewEventType(name="paid", description=text)) for text in texts)
    )
    assert {each.name for each in found} == {"paid"}
    assert (await event_types.get("paid")).description in texts


async def test_a_uid_that_is_anothers_is_still_a_conflict(
    endpoints: Endpoints, application: Application
) -> None:
    await endpoints.create(application.id, NewEndpoint(url="https://example.com", uid="taken"))
    mine = await endpoints.create(application.id, NewEndpoint(url="https://example.com"))
    with pytest.raises(errors.Conflict):
        await endpoints.upsert(
            application.id, mine.id, NewEndpoint(url="https://example.com", uid="taken")
        )
