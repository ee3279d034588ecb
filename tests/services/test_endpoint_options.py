"""What an endpoint may have of its own: what is kept, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stafett import errors
from stafett.model import Application, Endpoint, EndpointChanges, EndpointOptions, PayloadStyle
from stafett.services.endpoints import Endpoints, NewEndpoint

URL = "https://hooks.example.com/in"
SECOND = timedelta(seconds=1)
ALL = EndpointOptions(
    payload_style=PayloadStyle.FLAT,
    retry_schedule=(timedelta(milliseconds=500), timedelta(days=7)),
    timeout=timedelta(seconds=2.5),
    concurrency=3,
)
NONE = EndpointOptions(
    payload_style=PayloadStyle.ACCEPTED, retry_schedule=None, timeout=None, concurrency=None
)


def options_of(endpoint: Endpoint) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in ALL}


async def test_a_new_endpoint_is_as_usual_unless_told(
    endpoints: Endpoints, acme: Application
) -> None:
    usual = await endpoints.create(acme.id, NewEndpoint(url=URL))
    assert options_of(usual) == NONE
    own = await endpoints.create(acme.id, NewEndpoint(url=URL, options=ALL))
    assert options_of(own) == ALL
    assert await endpoints.get(acme.id, own.id) == own
    assert {each.id for each in await endpoints.all(acme.id)} == {usual.id, own.id}


@pytest.mark.parametrize(
    "changes",
    [
        EndpointChanges(payload_style=PayloadStyle.ENVELOPE),
        EndpointChanges(retry_schedule=()),
        EndpointChanges(retry_schedule=None),
        EndpointChanges(timeout=None),
        EndpointChanges(concurrency=64),
        EndpointChanges(**NONE),
        EndpointChanges(name="Other"),
    ],
)
async def test_a_change_changes_what_it_names_and_nothing_else(
    endpoints: Endpoints, acme: Application, changes: EndpointChanges
) -> None:
    made = await endpoints.create(acme.id, NewEndpoint(url=URL, options=ALL))
    changed = await endpoints.update(acme.id, made.id, changes)
    named = {name: value for name, value in changes.items() if name in ALL}
    assert options_of(changed) == {**ALL, **named}


async def test_an_upsert_leaves_what_it_does_not_name(
    endpoints: Endpoints, acme: Application
) -> None:
    await endpoints.upsert(acme.id, "hook", NewEndpoint(url=URL, options=ALL))
    same, _ = await endpoints.upsert(acme.id, "hook", NewEndpoint(url=URL))
    assert options_of(same) == ALL
    reset, _ = await endpoints.upsert(
        acme.id, "hook", NewEndpoint(url=URL, options=EndpointOptions(timeout=None))
    )
    assert options_of(reset) == {**ALL, "timeout": None}


@pytest.mark.parametrize(
    ("options", "at", "says"),
    [
        ({"retry_schedule": (SECOND,) * 21}, "retry_schedule", "at most 20 waits"),
        ({"retry_schedule": (SECOND, timedelta(0))}, "retry_schedule.1", "longer than nothing"),
        ({"retry_schedule": (-SECOND,)}, "retry_schedule.0", "longer than nothing"),
        ({"retry_schedule": (timedelta(days=7) + SECOND,)}, "retry_schedule.0", "at most 7 days"),
        ({"timeout": timedelta(milliseconds=999)}, "timeout", "between 1 and 60 seconds"),
        ({"timeout": timedelta(seconds=60, microseconds=1)}, "timeout", "between 1 and 60"),
        ({"concurrency": 0}, "concurrency", "between 1 and 64"),
        ({"concurrency": 65}, "concurrency", "between 1 and 64"),
    ],
)
async def test_what_is_out_of_bounds_is_refused_at_its_field(
    endpoints: Endpoints, acme: Application, options: Any, at: str, says: str
) -> None:
    with pytest.raises(errors.Invalid) as refused:
        await endpoints.create(acme.id, NewEndpoint(url=URL, options=options))
    (problem,) = refused.value.problems
    assert ".".join(map(str, problem.loc[1:])) == at
    assert says in problem.msg
    made = await endpoints.create(acme.id, NewEndpoint(url=URL))
    with pytest.raises(errors.Invalid):
        await endpoints.update(acme.id, made.id, options)
    assert options_of(await endpoints.get(acme.id, made.id)) == NONE


@pytest.mark.parametrize(
    "options",
    [
        {"retry_schedule": (timedelta(days=7),) * 20},
        {"timeout": SECOND},
        {"timeout": timedelta(seconds=60)},
        {"concurrency": 1},
        {"concurrency": 64},
    ],
)
async def test_the_bounds_themselves_are_good(
    endpoints: Endpoints, acme: Application, options: Any
) -> None:
    made = await endpoints.create(acme.id, NewEndpoint(url=URL, options=options))
    assert options_of(made) == {**NONE, **options}


async def test_what_would_be_refused_can_be_asked_without_doing_it(
    endpoints: Endpoints, acme: Application
) -> None:
    wrong = EndpointChanges(url="nonsense", timeout=timedelta(0), event_types=frozenset({"new"}))
    found = await endpoints.check(acme.id, wrong, ref=None, secret="whsec_short")
    assert {each.loc[1] for each in found} == {"url", "secret", "timeout", "event_types"}
    assert await endpoints.all(acme.id) == []
    made = await endpoints.create(acme.id, NewEndpoint(url=URL))
    assert await endpoints.check(acme.id, EndpointChanges(name="Good"), ref=made.id) == ()
    assert (await endpoints.get(acme.id, made.id)).name == "hooks.example.com"
    with pytest.raises(errors.NotFound):
        await endpoints.check(acme.id, EndpointChanges(), ref="nobody")
