"""The overview: numbers, chart, health, and what it says to somebody who is new or in trouble."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
from collections.abc import Mapping
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from admin.conftest import NASTY, PASSWORD, Person
from engine.set_clock import SetClock
from making import NOW
from stafett.app import Stafett
from stafett.ids import EndpointId
from stafett.model import Role
from stafett.services.activity import Activity, Slot, ranges
from stafett.services.endpoints import NewEndpoint
from stafett.services.waiting import Sample
from stafett.settings import Settings
from stafett.store import AttemptCount, AttemptsMeasured
from stafett.web.admin import charts

HOUR = timedelta(hours=1)
WAIT = 20.0  # seconds; longer than anything here takes


def an_application(owner: Person, uid: str) -> str:
    """A new one, of which nothing is known yet; answers its uid."""
    owner.do("settings/applications", name=uid, uid=uid)
    return uid


def tiles(html: str) -> dict[str, str]:
    """What each tile says, by its words."""
    found = re.findall(r'<div class="tile[^"]*"><b>(.*?)</b><span>(.*?)</span>', html)
    return {words: value for value, words in found}


def until_seen(person: Person, path: str, words: str) -> str:
    """The page, once `words` stand on it."""
    ticks = threading.Event()
    html = ""
    for _ in range(int(WAIT / 0.05)):
        html = person.see(path)
        if words in html:
            return html
        ticks.wait(0.05)  # another process's work, seen only over HTTP
    raise AssertionError(html)


def dead_url() -> str:
    """Where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


# --- beginnings -------------------------------------------------------------------------------


def test_somebody_new_is_led_to_a_bin_a_webhook_and_an_event(owner: Person) -> None:
    app = an_application(owner, "newcomer")
    html = owner.see(f"?app={app}")
    steps = html.partition("First steps")[2].partition("</ol>")[0]
    for path in ("bins?", "webhooks/-/new?", "emit?"):
        assert f'href="/admin/{path}app={app}"' in steps
    assert "data-chart" not in html
    assert tiles(html)["delivered in 24 hours"] == "0"
    assert tiles(html)["half of the latest attempts took at most"] == "-"


def test_a_viewer_is_not_led_to_what_a_viewer_may_not_do(owner: Person, viewer: Person) -> None:
    html = viewer.see(f"?app={an_application(owner, 'looked-at')}")
    assert "First steps" not in html
    assert "Nothing has happened here yet" in html


def test_a_step_that_was_done_is_marked_and_all_of_them_end_the_lesson(owner: Person) -> None:
    app = an_application(owner, "learner")
    owner.do("webhooks", app=app, name="First", url=owner.bin()[1], active="on", every_event="on")
    html = owner.see(f"?app={app}")
    steps = html.partition("First steps")[2].partition("</ol>")[0]
    assert steps.count(">done<") == 2
    owner.do("emit", app=app, event="payment_received", payload='{"payment_id": 1}')
    assert "First steps" not in owner.see(f"?app={app}")


# --- numbers ----------------------------------------------------------------------------------


def test_what_was_delivered_is_counted_drawn_and_told(owner: Person) -> None:
    app = an_application(owner, "delivered")
    owner.do("webhooks", app=app, name="Works", url=owner.bin()[1], active="on", every_event="on")
    owner.do("emit", app=app, event="payment_received", payload='{"payment_id": 1}')
    until_seen(owner, f"?app={app}", "<b>1</b><span>delivered in 24 hours")
    html = until_seen(owner, f"?app={app}", ">well<")  # read before the count, on the first page
    assert tiles(html)["failed attempts in 24 hours"] == "0"
    assert re.fullmatch(r"\d+ ms", tiles(html)["99 of 100 of the latest attempts took at most"])
    good, bad = (each["values"] for each in drawn(html)[0]["series"])
    assert (sum(good), sum(bad)) == (1, 0)
    table = html.partition("As a table")[2].partition("</table>")[0]
    assert table.count('<th scope="row">') == 24
    assert table.count('<td class="number">1</td>') == 1
    health = html.rpartition("<tbody>")[2]
    for words in ("Works", ">well<", ">200<"):
        assert words in health


def test_a_webhook_in_trouble_comes_first_and_says_since_when(owner: Person) -> None:
    app = an_application(owner, "troubled")
    owner.do("webhooks", app=app, name="Dead", url=dead_url(), active="on", every_event="on")
    owner.do("webhooks", app=app, name="Well", url=owner.bin()[1], active="on", every_event="on")
    owner.do("emit", app=app, event="payment_received", payload='{"payment_id": 1}')
    html = until_seen(owner, f"?app={app}", ">failing<")
    html = until_seen(owner, f"?app={app}", ">well<")
    health = html.rpartition("<tbody>")[2]
    assert health.index("Dead") < health.index("Well")
    assert re.search(r">failing</span> since\s+<time", health)
    assert ">refused<" in health
    assert int(tiles(html)["failed attempts in 24 hours"]) >= 1
    assert sum(drawn(html)[0]["series"][1]["values"]) >= 1


def test_a_webhook_that_is_off_is_shown_as_such(owner: Person) -> None:
    app = an_application(owner, "switched")
    owner.do("webhooks", app=app, name="Off", url="https://example.com/", every_event="on")
    health = owner.see(f"?app={app}").rpartition("<tbody>")[2]
    assert ">switched off<" in health


def test_names_are_text_and_other_applications_stay_out(owner: Person) -> None:
    app = an_application(owner, "nasty")
    owner.do("webhooks", app=app, name=NASTY, url="https://example.com/", every_event="on")
    html = owner.see(f"?app={app}")
    assert "<script>alert" not in html
    assert "\u202e" not in html
    assert "<script>alert(1)</script>\\u202e" in unescape(html)
    other = an_application(owner, "nasty-neighbour")
    assert "alert(1)" not in owner.see(f"?app={other}")


def test_an_application_that_does_not_exist_is_missing(owner: Person) -> None:
    owner.see("?app=nobody", status=404)


# --- warnings, with a clock that is moved -----------------------------------------------------


@pytest.mark.parametrize(("minutes", "warned"), [(0, False), (1, False), (5, True)])
async def test_a_queue_that_falls_behind_is_said_clearly(
    tmp_path: Path, minutes: int, warned: bool
) -> None:
    clock = SetClock()
    stafett = Stafett(Settings(data=tmp_path), dispatch=False, clock=clock)
    async with stafett:
        await stafett.endpoints.create("default", NewEndpoint(url="https://example.com/"))
        await stafett.messages.create("payment_received", {"payment_id": 1})
        cookie = await signed_in(stafett)
        clock.move_to(NOW + timedelta(minutes=minutes))
        html = await seen(stafett, cookie)
    assert ("The queue falls behind" in html) == warned
    assert ("has waited for 5 min" in html) == warned
    assert tiles(html)["waiting now"] == "1"
    assert tiles(html)["oldest overdue"] == (f"{minutes} min" if minutes else "0 s")


async def signed_in(stafett: Stafett) -> dict[str, str]:
    """A viewer's cookie."""
    email = "look@example.com"
    await stafett.users.create(email=email, name="Look", password=PASSWORD, role=Role.VIEWER)
    _, text = await stafett.users.sign_in(
        email=email, password=PASSWORD, address="127.0.0.1", user_agent=""
    )
    return {"stafett_session": text}


async def seen(stafett: Stafett, cookie: Mapping[str, str]) -> str:
    transport = httpx.ASGITransport(stafett.asgi())
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", cookies=dict(cookie)
    ) as client:
        answer = await client.get("/admin/")
    assert answer.status_code == 200
    return answer.text


# --- charts -----------------------------------------------------------------------------------


def text(english: str) -> str:
    return english


def day_of(*measured: AttemptsMeasured) -> Activity:
    slots = [
        Slot(since=since, until=until, measured=each)
        for (since, until), each in zip(
            ranges(HOUR, now=NOW, slots=24)[::-1], measured, strict=False
        )
    ]
    return Activity(step=HOUR, slots=tuple(slots))


def test_a_chart_says_in_its_data_and_in_its_table_the_same() -> None:
    took = (timedelta(milliseconds=12), timedelta(seconds=2))
    counts = {EndpointId("ep_x"): AttemptCount(succeeded=3, failed=1)}
    sent, lasted = charts.of_activity(
        day_of(AttemptsMeasured(counts=counts, durations=took), AttemptsMeasured(counts={})), text
    )
    data = json.loads(sent.data)
    assert [each["values"] for each in data["series"]] == [[3, 0], [1, 0]]
    assert [values for _, values in sent.rows] == [[0, 0], [3, 1]]
    assert data["step"] == 3600
    assert data["at"][1] - data["at"][0] == 3600
    assert [each["values"] for each in json.loads(lasted.data)["series"]] == [
        [0.012, None],
        [2.0, None],
    ]


def test_a_chart_of_nothing_is_empty_and_one_of_a_single_failure_is_not() -> None:
    nothing, no_durations = charts.of_activity(day_of(AttemptsMeasured(counts={})), text)
    assert nothing.is_empty
    assert no_durations.is_empty
    failed = {EndpointId("ep_x"): AttemptCount(failed=1)}
    assert not charts.of_activity(day_of(AttemptsMeasured(counts=failed)), text)[0].is_empty


def test_that_nothing_waited_is_drawn_and_that_nobody_looked_is_not() -> None:
    slots = ranges(HOUR, now=NOW, slots=2)[::-1]
    calm = Sample(at=NOW, count=0, overdue=timedelta())
    assert not any(each.is_empty for each in charts.of_waiting(slots, [None, calm], text))
    assert all(each.is_empty for each in charts.of_waiting(slots, [None, None], text))


def test_too_much_to_measure_has_no_chart() -> None:
    assert charts.of_activity(Activity(step=HOUR, slots=()), text) == []


def drawn(html: str) -> list[dict[str, Any]]:
    """What the charts of a page are drawn from."""
    return [json.loads(unescape(each)) for each in re.findall(r'data-chart="([^"]*)"', html)]


@pytest.mark.parametrize(
    ("asked", "slots", "step"),
    [
        ("1h", 60, 60),
        ("24h", 24, 3600),
        ("7d", 28, 21600),
        ("30d", 30, 86400),
        ("nonsense", 24, 3600),
    ],
)
def test_the_time_that_is_shown_can_be_chosen(
    owner: Person, asked: str, slots: int, step: int
) -> None:
    app = an_application(owner, f"looking-{asked}")
    owner.do("webhooks", app=app, name="Any", url="https://example.com/", every_event="on")
    html = owner.see(f"?app={app}&range={asked}")
    assert {(len(each["at"]), each["step"]) for each in drawn(html)} == {(slots, step)}
    chosen = re.findall(r'range=(\w+)[^>]* aria-current="true">', html)
    assert chosen == ["24h" if asked == "nonsense" else asked]


def test_a_page_of_charts_carries_nothing_that_its_policy_forbids(owner: Person) -> None:
    html = owner.see("-/patterns")
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son\w+=", html)
    assert len(drawn(html)) == 2
    assert "Nothing in this time." in html


# --- what a page loads ------------------------------------------------------------------------

MOST = 100_000  # bytes, compressed


def test_all_that_pages_load_is_small(owner: Person) -> None:
    """The page with the most of it: the overview has the charts."""
    html = owner.see("?range=1h")
    loaded = re.findall(r'(?:src|href)="/admin/(-/static/[^"]+)"', html)
    names = {each.rpartition("/")[2] for each in loaded}
    assert names >= {"admin.css", "open-props.css", "admin.js", "htmx.js", "uplot.js", "charts.js"}
    answers = [owner.client.get(each) for each in dict.fromkeys(loaded)]
    assert [each.status_code for each in answers] == [200] * len(answers)
    assert sum(len(gzip.compress(each.content)) for each in answers) < MOST


def test_charts_are_loaded_where_there_are_some(owner: Person) -> None:
    assert "charts.js" not in owner.see("webhooks")


@pytest.mark.parametrize("name", ["vendor/../admin.css", "vendor/", "../render.py", ".hidden"])
def test_nothing_beside_the_static_files_is_served(owner: Person, name: str) -> None:
    assert owner.client.get(f"-/static/0/{name.replace('/', '%2f')}").status_code == 404
