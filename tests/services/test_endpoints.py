"""Endpoints over the real store; egress and signing rules have suites of their own."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import making
from services.set_clock import SetClock
from stafett import errors, signing
from stafett.drivers.sqlite.store import SqliteStore
from stafett.engine.directory import Directory
from stafett.model import (
    Application,
    DeliveryState,
    DeliveryStats,
    DisabledReason,
    Endpoint,
    EndpointChanges,
    EndpointSecret,
    HeaderFamily,
    PageQuery,
    Secret,
)
from stafett.services import endpoints as module
from stafett.services.applications import Applications, NewApplication
from stafett.services.endpoints import Endpoints, NewEndpoint, visible_headers
from stafett.services.event_types import EventTypes
from stafett.store import NewMessage

URL = "https://hooks.example.com/in"
DAY = timedelta(days=1)


def a_key(byte: int) -> str:
    return "whsec_" + base64.b64encode(bytes([byte]) * 24).decode()


def an_input(**given: Any) -> NewEndpoint:
    defaults: dict[str, Any] = {"url": URL}
    return NewEndpoint(**defaults | given)


@pytest.fixture
async def known(event_types: EventTypes) -> None:
    names = ["payment_received", "site_deleted"]
    await event_types.seed(
        [*map(making.an_event_type, names), making.an_event_type("old", archived=True)]
    )


@pytest.fixture
async def hook(endpoints: Endpoints, acme: Application) -> Endpoint:
    return await endpoints.create(acme.id, NewEndpoint(url=URL, uid="hook"))


async def test_a_new_endpoint_is_found_by_id_and_by_uid(
    endpoints: Endpoints, acme: Application, known: None
) -> None:
    new = NewEndpoint(
        url=URL,
        name="Orders",
        description="To the shop.",
        uid="orders",
        event_types=["payment_received"],
        channels=["eu", "a:b+c"],
        rate_limit=10,
        metadata={"a": "b"},
        headers={"X-Shop": "1"},
        secret=a_key(1),
        header_family=HeaderFamily.BOTH,
        integration="zapier",
    )
    made = await endpoints.create("acme", new)
    assert await endpoints.get("acme", made.id) == made
    assert await endpoints.get(acme.id, "orders") == made
    assert made.event_types == {"payment_received"}
    assert made.channels == {"eu", "a:b+c"}
    assert await endpoints.secret("acme", "orders") == a_key(1)
    for field in ("name", "description", "rate_limit", "metadata", "headers", "header_family"):
        assert getattr(made, field) == getattr(new, field)


async def test_what_is_left_open_has_a_usual_value(hook: Endpoint, endpoints: Endpoints) -> None:
    assert (hook.name, hook.integration) == ("hooks.example.com", "manual")
    assert hook.header_family is HeaderFamily.WEBHOOK
    assert (hook.event_types, hook.channels, hook.disabled) == (None, None, False)
    first = await endpoints.secret("acme", "hook")
    other = await endpoints.create("acme", NewEndpoint(url=URL))
    assert first.startswith("whsec_")
    assert first != other.secrets[0].secret.reveal()


async def test_an_empty_choice_means_everything(endpoints: Endpoints, acme: Application) -> None:
    made = await endpoints.create("acme", NewEndpoint(url=URL, event_types=[], channels=()))
    assert (made.event_types, made.channels) == (None, None)


async def test_an_endpoint_can_be_born_disabled(
    endpoints: Endpoints, acme: Application, clock: SetClock
) -> None:
    made = await endpoints.create("acme", NewEndpoint(url=URL, disabled=True))
    assert (made.disabled, made.disabled_reason) == (True, DisabledReason.MANUAL)
    assert (await endpoints.get("acme", made.id)).disabled_at == clock.now


async def test_the_url_is_kept_in_its_one_form(endpoints: Endpoints, acme: Application) -> None:
    made = await endpoints.create("acme", NewEndpoint(url="http://example.com"))
    assert made.url == "http://example.com/"


@pytest.mark.parametrize(
    ("given", "locs"),
    [
        ({"url": "ftp://example.com/"}, [("url",)]),
        ({"url": "http://127.0.0.1/"}, [("url",)]),
        ({"name": ""}, [("name",)]),
        ({"uid": "ep_1"}, [("uid",)]),
        ({"uid": "a/b"}, [("uid",)]),
        ({"description": "\0"}, [("description",)]),
        ({"integration": "two words"}, [("integration",)]),
        ({"rate_limit": 0}, [("rate_limit",)]),
        ({"metadata": {"k": "x" * 4_096}}, [("metadata",)]),
        ({"channels": ["a", "b c"]}, [("channels", 1)]),
        ({"channels": [str(n) for n in range(11)]}, [("channels",)]),
        ({"event_types": ["unknown"]}, [("event_types",)]),
        ({"event_types": ["payment_received", "old"]}, [("event_types",)]),
        ({"event_types": [str(n) for n in range(1_001)]}, [("event_types",)]),
        ({"secret": "?"}, [("secret",)]),
        ({"url": "x", "name": "", "uid": "?"}, [("url",), ("name",), ("uid",)]),
    ],
)
async def test_what_breaks_a_rule_is_named_all_at_once_and_nothing_is_stored(
    endpoints: Endpoints,
    acme: Application,
    known: None,
    given: dict[str, Any],
    locs: list[tuple[str | int, ...]],
) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await endpoints.create("acme", an_input(**given))
    assert [problem.loc for problem in raised.value.problems] == [("body", *loc) for loc in locs]
    assert (await endpoints.list("acme", PageQuery())).items == ()


@pytest.mark.parametrize(
    "headers",
    [{"Host": "x"}, {"webhook-id": "x"}, {"X-A": "a\r\nb"}, {"Transfer-Encoding": "chunked"}],
)
async def test_a_header_that_is_not_the_tenants_is_refused_everywhere(
    endpoints: Endpoints, acme: Application, hook: Endpoint, headers: dict[str, str]
) -> None:
    for verb in (
        endpoints.create("acme", NewEndpoint(url=URL, headers=headers)),
        endpoints.set_headers("acme", "hook", headers),
        endpoints.patch_headers("acme", "hook", put=headers),
        endpoints.update("acme", "hook", EndpointChanges(headers=headers)),
    ):
        with pytest.raises(errors.Invalid) as raised:
            await verb
        assert raised.value.problems[0].loc[:2] == ("body", "headers")
    assert (await endpoints.get("acme", "hook")).headers == {}


async def test_a_refused_address_says_how_to_allow_it(
    endpoints: Endpoints, acme: Application
) -> None:
    with pytest.raises(errors.Invalid, match="STAFETT_ALLOW_NETWORKS"):
        await endpoints.create("acme", NewEndpoint(url="http://127.0.0.1:9000/"))


async def test_an_endpoint_belongs_to_its_application(
    endpoints: Endpoints, applications: Applications, hook: Endpoint
) -> None:
    await applications.create(NewApplication(name="Other", uid="other"))
    for app in ("other", "nobody"):
        for verb in (endpoints.get, endpoints.delete, endpoints.secret, endpoints.disable):
            with pytest.raises(errors.NotFound):
                await verb(app, hook.id)
    same_uid = await endpoints.create("other", NewEndpoint(url=URL, uid="hook"))
    assert (await endpoints.get("other", "hook")).id == same_uid.id != hook.id


async def test_a_uid_is_taken_once(endpoints: Endpoints, hook: Endpoint) -> None:
    with pytest.raises(errors.Conflict):
        await endpoints.create("acme", NewEndpoint(url=URL, uid="hook"))
    other = await endpoints.create("acme", NewEndpoint(url=URL))
    with pytest.raises(errors.Conflict):
        await endpoints.update("acme", other.id, EndpointChanges(uid="hook"))


# --- changing ---------------------------------------------------------------------------------


async def test_an_update_changes_only_what_it_names(
    endpoints: Endpoints, hook: Endpoint, clock: SetClock
) -> None:
    clock.move(DAY)
    assert await endpoints.update("acme", "hook", EndpointChanges()) == hook
    updated = await endpoints.update("acme", "hook", EndpointChanges(name="New", channels=None))
    assert updated == replace(hook, name="New", updated_at=clock.now)


async def test_the_directory_sees_every_change_at_once(
    endpoints: Endpoints, directory: Directory, acme: Application
) -> None:
    async def known() -> tuple[Endpoint, ...]:
        return await directory.endpoints(acme.id)

    assert await known() == ()
    made = await endpoints.create("acme", NewEndpoint(url=URL))
    assert await known() == (made,)
    await endpoints.disable("acme", made.id)
    assert (await known())[0].disabled
    await endpoints.rotate_secret("acme", made.id)
    assert len((await known())[0].secrets) == 2
    await endpoints.delete("acme", made.id)
    assert await known() == ()


async def test_disabling_says_who_and_when_and_enabling_forgets_it(
    endpoints: Endpoints, hook: Endpoint, clock: SetClock
) -> None:
    at = clock.now
    disabled = await endpoints.disable("acme", "hook")
    assert (disabled.disabled_reason, disabled.disabled_at) == (DisabledReason.MANUAL, at)
    clock.move(DAY)
    assert (await endpoints.disable("acme", "hook")).disabled_at == at
    enabled = await endpoints.enable("acme", "hook")
    assert (enabled.disabled, enabled.disabled_reason, enabled.disabled_at) == (False, None, None)


async def test_an_archived_event_type_may_stay_but_not_be_chosen_anew(
    endpoints: Endpoints, event_types: EventTypes, acme: Application, known: None
) -> None:
    new = NewEndpoint(url=URL, uid="hook", event_types=["payment_received"])
    await endpoints.create("acme", new)
    await event_types.delete("payment_received")
    both = frozenset({"payment_received", "site_deleted"})
    await endpoints.update("acme", "hook", EndpointChanges(event_types=both))
    await endpoints.update("acme", "hook", EndpointChanges(event_types=frozenset({"site_deleted"})))
    with pytest.raises(errors.Invalid):
        await endpoints.update("acme", "hook", EndpointChanges(event_types=both))


async def test_an_upsert_replaces_all_but_secret_headers_and_open_names(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    await endpoints.update(
        "acme",
        "hook",
        EndpointChanges(
            name="Named",
            rate_limit=5,
            channels=frozenset({"eu"}),
            headers={"X-A": "1"},
            integration="zapier",
            header_family=HeaderFamily.SVIX,
        ),
    )
    replaced, created = await endpoints.upsert("acme", "hook", NewEndpoint(url=URL + "/2"))
    assert not created
    assert (replaced.id, replaced.uid, replaced.url) == (hook.id, "hook", URL + "/2")
    assert (replaced.rate_limit, replaced.channels) == (None, None)
    assert (replaced.name, replaced.integration) == ("Named", "zapier")
    assert replaced.header_family is HeaderFamily.SVIX
    assert (replaced.headers, replaced.secrets) == ({"X-A": "1"}, hook.secrets)
    named = NewEndpoint(
        url=URL, name="Other", integration="n8n", header_family=HeaderFamily.WEBHOOK
    )
    by_id, _ = await endpoints.upsert("acme", hook.id, named)
    assert (by_id.uid, by_id.name, by_id.integration) == (None, "Other", "n8n")


async def test_an_upsert_of_an_unknown_uid_creates_it(
    endpoints: Endpoints, acme: Application
) -> None:
    made, created = await endpoints.upsert("acme", "new", NewEndpoint(url=URL))
    assert created
    assert made.uid == "new"
    with pytest.raises(errors.Invalid):
        await endpoints.upsert("acme", "newer", NewEndpoint(url=URL, uid="other"))
    with pytest.raises(errors.NotFound):
        await endpoints.upsert("acme", "ep_unknown", NewEndpoint(url=URL))


async def test_the_list_comes_in_order_of_creation(
    endpoints: Endpoints, acme: Application, clock: SetClock
) -> None:
    made: list[str] = []
    for _ in range(3):
        made.append((await endpoints.create("acme", NewEndpoint(url=URL))).id)
        clock.move(DAY)
    page = await endpoints.list("acme", PageQuery(limit=2))
    assert [each.id for each in page.items] == [made[2], made[1]]


# --- headers ----------------------------------------------------------------------------------


async def test_sensitive_headers_are_named_but_not_shown(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    await endpoints.set_headers("acme", "hook", {"Authorization": "Bearer x", "X-A": "1"})
    shown = visible_headers(await endpoints.get("acme", "hook"))
    assert shown == ({"X-A": "1"}, ["Authorization"])


async def test_patching_headers_knows_names_in_any_case(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    await endpoints.set_headers("acme", "hook", {"X-A": "1", "X-B": "2", "X-C": "3"})
    patched = await endpoints.patch_headers(
        "acme", "hook", put={"x-a": "9", "X-D": "4"}, delete=["x-b", "X-Unknown"]
    )
    assert patched.headers == {"X-C": "3", "x-a": "9", "X-D": "4"}
    assert (await endpoints.set_headers("acme", "hook", {})).headers == {}


async def test_headers_patched_at_the_same_time_all_arrive(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    puts = [{f"X-{number}": "1"} for number in range(10)]
    await asyncio.gather(*(endpoints.patch_headers("acme", "hook", put=put) for put in puts))
    assert len((await endpoints.get("acme", "hook")).headers) == 10


# --- secrets ----------------------------------------------------------------------------------


async def test_a_rotated_secret_signs_on_for_its_grace(
    endpoints: Endpoints, hook: Endpoint, clock: SetClock
) -> None:
    first = await endpoints.secret("acme", "hook")
    second = await endpoints.rotate_secret("acme", "hook")
    assert await endpoints.secret("acme", "hook") == second != first
    assert (await endpoints.get("acme", "hook")).secrets == (
        EndpointSecret(secret=Secret(second)),
        EndpointSecret(secret=Secret(first), expires_at=clock.now + timedelta(hours=24)),
    )
    clock.move(timedelta(hours=24))
    await endpoints.rotate_secret("acme", "hook", key=a_key(3), grace=timedelta(0))
    assert (await endpoints.get("acme", "hook")).secrets == (
        EndpointSecret(secret=Secret(a_key(3))),
    )


async def test_rotating_to_the_same_secret_changes_nothing(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    await endpoints.rotate_secret("acme", "hook", key=a_key(1))
    before = await endpoints.get("acme", "hook")
    assert await endpoints.rotate_secret("acme", "hook", key=a_key(1)) == a_key(1)
    assert await endpoints.get("acme", "hook") == before


async def test_rotating_back_makes_the_old_secret_current_again(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    for byte in (1, 2, 1):
        await endpoints.rotate_secret("acme", "hook", key=a_key(byte), grace=DAY)
    secrets = [each.secret.reveal() for each in (await endpoints.get("acme", "hook")).secrets]
    assert secrets[:2] == [a_key(1), a_key(2)]
    assert len(secrets) == 3


async def test_a_secret_may_come_without_its_prefix(endpoints: Endpoints, hook: Endpoint) -> None:
    bare = a_key(1).removeprefix("whsec_")
    made = await endpoints.create("acme", NewEndpoint(url=URL, secret=bare))
    assert await endpoints.secret("acme", made.id) == a_key(1)
    assert await endpoints.rotate_secret("acme", "hook", key=bare) == a_key(1)


async def test_a_private_key_is_rotated_to_another_private_key(
    endpoints: Endpoints, acme: Application
) -> None:
    seed = "whsk_" + base64.b64encode(bytes(32)).decode()
    await endpoints.create("acme", NewEndpoint(url=URL, uid="signed", secret=seed))
    new = await endpoints.rotate_secret("acme", "signed")
    assert new.startswith("whsk_")
    assert len(base64.b64decode(new.removeprefix("whsk_"))) == 64
    signing.check_secret(new)


async def test_ten_former_secrets_are_the_limit_until_one_ends(
    endpoints: Endpoints, hook: Endpoint, clock: SetClock
) -> None:
    for byte in range(10):
        await endpoints.rotate_secret("acme", "hook", key=a_key(byte), grace=DAY)
    with pytest.raises(errors.LimitReached):
        await endpoints.rotate_secret("acme", "hook", grace=DAY)
    assert await endpoints.secret("acme", "hook") == a_key(9)
    await endpoints.rotate_secret("acme", "hook", key=a_key(10), grace=timedelta(0))
    clock.move(DAY)
    await endpoints.rotate_secret("acme", "hook", key=a_key(11), grace=DAY)
    assert len((await endpoints.get("acme", "hook")).secrets) == 2


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
async def test_a_grace_beyond_a_week_is_refused(
    endpoints: Endpoints, hook: Endpoint, grace: timedelta
) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await endpoints.rotate_secret("acme", "hook", grace=grace)
    assert raised.value.problems[0].loc == ("body", "grace")


async def test_a_key_that_is_none_is_refused(endpoints: Endpoints, hook: Endpoint) -> None:
    with pytest.raises(errors.Invalid) as raised:
        await endpoints.rotate_secret("acme", "hook", key="short")
    assert raised.value.problems[0].loc == ("body", "key")
    assert len((await endpoints.get("acme", "hook")).secrets) == 1


async def test_secrets_rotated_at_the_same_time_all_go_on_signing(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    keys = await asyncio.gather(*(endpoints.rotate_secret("acme", "hook") for _ in range(5)))
    secrets = {each.secret.reveal() for each in (await endpoints.get("acme", "hook")).secrets}
    assert secrets == {*keys, hook.secrets[0].secret.reveal()}


async def test_a_secret_is_not_in_what_an_endpoint_shows_of_itself(
    endpoints: Endpoints, hook: Endpoint
) -> None:
    assert await endpoints.secret("acme", "hook") not in repr(hook)


# --- stats ------------------------------------------------------------------------------------


async def test_stats_count_real_deliveries_by_state(
    endpoints: Endpoints, store: SqliteStore, acme: Application, hook: Endpoint, clock: SetClock
) -> None:
    claim = making.a_claim()
    batch = [
        NewMessage(
            message=making.a_message(acme.id, test=test),
            deliveries=(making.a_delivery(hook.id, claim=claim if claimed else None),),
        )
        for test, claimed in ((False, False), (False, False), (False, True), (True, False))
    ]
    await store.add_messages(batch, now=clock.now)
    stats = await endpoints.stats("acme", "hook", until=clock.now + timedelta(minutes=1))
    assert stats == DeliveryStats(pending=2, sending=1)
    done = making.a_record(batch[2], claim_id=claim.id, state=DeliveryState.SUCCEEDED)
    await store.record_attempts([done], now=clock.now, failing_before=clock.now - DAY)
    clock.move(timedelta(minutes=1))
    assert await endpoints.stats("acme", "hook") == DeliveryStats(pending=2, succeeded=1)
    clock.move(28 * DAY)
    assert await endpoints.stats("acme", "hook") == DeliveryStats()


@pytest.mark.parametrize(
    ("since", "until", "allowed"),
    [
        (None, None, True),
        (timedelta(0), timedelta(0), True),
        (-28 * DAY, None, True),
        (-29 * DAY, -1 * DAY, True),
        (-28 * DAY - timedelta(minutes=5, microseconds=1), None, False),
        (-1 * DAY, -2 * DAY, False),
        (None, timedelta(minutes=5), True),
        (None, timedelta(minutes=5, microseconds=1), False),
        (timedelta(seconds=1), None, False),
    ],
)
def test_a_stats_range_is_at_most_28_days_and_past(
    since: timedelta | None, until: timedelta | None, allowed: bool
) -> None:
    given = [None if step is None else making.NOW + step for step in (since, until)]
    if allowed:
        start, end = module.stats_range(given[0], given[1], now=making.NOW)
        assert start <= end
    else:
        with pytest.raises(errors.InvalidRange):
            module.stats_range(given[0], given[1], now=making.NOW)
