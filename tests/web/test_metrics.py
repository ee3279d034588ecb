"""`/metrics`: what each kind of process shows, and that it is what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import stafett as package
from stafett import errors
from stafett.app import Stafett
from stafett.ids import EndpointId
from stafett.model import FailureCause
from stafett.services.endpoints import NewEndpoint
from stafett.settings import Settings, parse_networks
from stafett.store import Backlog
from stafett.web.metrics import METRICS, Kind, Metric, Whose
from web.conftest import WAIT, Recorder

BY_NAME: Mapping[str, Metric] = {each.name: each for each in METRICS}
EVENT = "payment_received"

Shown = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""By name and labels."""


def a_stafett(folder: Path, **given: Any) -> Stafett:
    settings = Settings(
        data=folder,
        allow_networks=parse_networks("127.0.0.0/8"),
        retry_schedule=(timedelta(hours=1),),
    )
    return Stafett(settings, **given)


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Stafett]:
    async with a_stafett(tmp_path) as made:
        yield made


async def page(stafett: Stafett) -> str:
    transport = httpx.ASGITransport(stafett.asgi())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return answer.text


async def shown(stafett: Stafett) -> Shown:
    families = text_string_to_metric_families(await page(stafett))
    samples = [sample for family in families for sample in family.samples]
    found = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert len(found) == len(samples), "one number was shown twice"
    return found


def value(of: Shown, name: str, **labels: str) -> float:
    return of[name, frozenset(labels.items())]


def names(of: Shown) -> set[str]:
    """As `METRICS` has them."""
    found: set[str] = set()
    for name, _ in of:
        whole = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        found.add(whole if whole in BY_NAME else name)
    return found


async def until(stafett: Stafett, name: str, wanted: float, **labels: str) -> Shown:
    """Everything that is shown once this number is as wanted."""
    for _ in range(int(WAIT / 0.01)):
        found = await shown(stafett)
        if value(found, name, **labels) == wanted:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(name)


# --- which there are --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "dispatch", "role"),
    [(True, True, "both"), (True, False, "accepts"), (False, True, "sends")],
)
async def test_a_process_shows_what_its_role_has(
    tmp_path: Path, *, accept: bool, dispatch: bool, role: str
) -> None:
    has = {Whose.ALL: True, Whose.ACCEPTS: accept, Whose.SENDS: dispatch}
    async with a_stafett(tmp_path, accept=accept, dispatch=dispatch) as stafett:
        found = await shown(stafett)
    assert names(found) == {each.name for each in METRICS if has[each.whose]}
    version = package.__version__
    assert value(found, "stafett_info", version=version, role=role, database="sqlite") == 1
    commits = {dict(labels)["what"] for name, labels in found if "_commit_" in name}
    assert ("accept" in commits, "record" in commits) == (accept, dispatch)


async def test_each_has_the_labels_and_the_kind_that_are_told(both: Stafett) -> None:
    for family in text_string_to_metric_families(await page(both)):
        name = family.name + "_total" * (family.type == "counter")
        metric = BY_NAME[name]
        assert family.type == metric.kind.value
        assert family.documentation == metric.meaning
        assert family.samples, name
        for sample in family.samples:
            labels = set(sample.labels) - {"le"}
            assert labels == set(metric.labels), name


def test_names_say_kind_and_unit() -> None:
    for each in METRICS:
        assert each.name.startswith("stafett_")
        assert each.name.endswith("_total") == (each.kind is Kind.COUNTER), each.name
        assert each.name.endswith("_seconds") == (each.unit == "seconds"), each.name
        assert each.meaning.endswith("."), each.name
    assert len(BY_NAME) == len(METRICS)


# --- what happened ----------------------------------------------------------------------------


async def test_nothing_has_happened_yet_and_every_counter_is_there(both: Stafett) -> None:
    found = await shown(both)
    for result in ("added", "repeated", "mismatch", "uid_taken", "refused"):
        assert value(found, "stafett_messages_total", result=result) == 0
    for cause in ("succeeded", *(each.value for each in FailureCause)):
        assert value(found, "stafett_attempts_total", cause=cause) == 0
    assert value(found, "stafett_oldest_due_seconds") == 0
    assert value(found, "stafett_ready") == 1


async def test_a_message_and_its_attempts_are_counted(both: Stafett, receiver: Recorder) -> None:
    for path in ("/counted/well", "/counted/ill"):
        await endpoint(both, receiver.url(path))
    receiver.script["/counted/ill"] = [(500, {})]
    await both.messages.create(EVENT, {}, uid="once")
    with pytest.raises(errors.Conflict):
        await both.messages.create(EVENT, {}, uid="once")
    await until(both, "stafett_attempts_total", 1, cause="status")
    found = await until(both, "stafett_attempts_total", 1, cause="succeeded")

    assert value(found, "stafett_messages_total", result="added") == 1
    assert value(found, "stafett_messages_total", result="uid_taken") == 1
    assert value(found, "stafett_batch_size_sum", what="accept") == 2
    assert value(found, "stafett_batch_size_sum", what="record") == 2
    assert value(found, "stafett_attempt_seconds_count") == 2
    assert 0 < value(found, "stafett_attempt_seconds_sum") < WAIT
    assert value(found, "stafett_backlog", state="pending") == 1
    assert value(found, "stafett_backlog", state="due") == 0
    assert value(found, "stafett_backlog", state="sending") == 0
    assert value(found, "stafett_in_flight") == 0


async def test_an_address_that_may_not_be_reached_is_counted(both: Stafett) -> None:
    made = await endpoint(both, "https://hooks.example.com/")
    # As a name does that leads elsewhere only later: what may be reached is asked at each attempt.
    await both._store.update_endpoint(made, {"url": "http://10.0.0.1/"}, now=both.now())
    both._directory.forget_endpoints((await both.applications.get("default")).id)
    await both.messages.create(EVENT, {})
    found = await until(both, "stafett_egress_refused_total", 1)
    assert value(found, "stafett_attempts_total", cause="target_not_allowed") == 1


async def endpoint(stafett: Stafett, url: str) -> EndpointId:
    return (await stafett.endpoints.create("default", NewEndpoint(url=url))).id


async def test_what_waits_while_nobody_sends_is_due(tmp_path: Path, receiver: Recorder) -> None:
    async with a_stafett(tmp_path, dispatch=False) as stafett:
        await endpoint(stafett, receiver.url("/unsent"))
        await stafett.messages.create(EVENT, {})
        found = await shown(stafett)
        assert value(found, "stafett_backlog", state="due") == 1
        assert value(found, "stafett_backlog", state="pending") == 0
        assert 0 < value(found, "stafett_oldest_due_seconds") < WAIT


async def test_the_buckets_of_a_histogram_rise_to_its_count(both: Stafett) -> None:
    for _ in range(5):
        await both.messages.create(EVENT, {})
    found = await shown(both)
    buckets = [
        (float(dict(labels)["le"]), count)
        for (name, labels), count in found.items()
        if name == "stafett_commit_seconds_bucket" and dict(labels)["what"] == "accept"
    ]
    counts = [count for _, count in sorted(buckets)]
    assert counts == sorted(counts)
    assert max(buckets) == (float("inf"), 5)
    assert value(found, "stafett_commit_seconds_count", what="accept") == 5


# --- without the database ---------------------------------------------------------------------


async def test_what_the_process_knows_is_shown_while_the_store_is_away(
    both: Stafett, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*, now: object) -> Backlog:
        raise errors.Unavailable("away")

    await both.messages.create(EVENT, {})
    monkeypatch.setattr(both._store, "backlog", away)
    found = await shown(both)
    assert names(found) == BY_NAME.keys() - {"stafett_backlog", "stafett_oldest_due_seconds"}
    assert value(found, "stafett_messages_total", result="added") == 1
