"""Each answer that a bin can be told by a word, from a real process; our own sender in front of it.

The oracle is what delivery promises: what `replies.sequel` says, and so `stafett bin show`, has to
be what becomes of the message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from cli.conftest import Machine
from stafett.cli import bins
from stafett.engine.clock import SystemClock
from stafett.model import FailureCause
from stafett.services import replies
from stafett.services.replies import Sequel
from web.conftest import TOKEN, WAIT, settled

_FAST = {
    "STAFETT_BOOTSTRAP_TOKEN": TOKEN,
    "STAFETT_RETRY_SCHEDULE": "50ms,50ms",
    "STAFETT_ATTEMPT_TIMEOUT": "1s",
}


class Served(NamedTuple):
    """A server that tries three times, soon, and gives each a second."""

    machine: Machine
    api: httpx.Client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    machine = Machine(tmp_path_factory.mktemp("served"))
    machine.serve(env=_FAST)
    url = machine.json("bin", "create", "first")["url"]
    base = url.partition("/in/")[0] + "/api/v1/"
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=base, headers=headers, timeout=WAIT) as api:
        yield Served(machine, api)
    machine.end()


@pytest.fixture
def app(served: Served, request: pytest.FixtureRequest) -> str:
    made = served.api.post("app", json={"name": request.node.name})
    assert made.status_code == 201, made.text
    return made.json()["id"]


class Case(NamedTuple):
    """What a word leads to."""

    status: int | None
    """That the attempt has; None: it is no reply."""
    cause: str | None
    attempts: int
    """Made of one message, all told."""
    sequel: Sequel


CASES = {
    "ok": Case(200, None, 1, Sequel.DELIVERED),
    "fail:1": Case(503, "status", 2, Sequel.RETRIED),
    "slow:10ms": Case(200, None, 1, Sequel.IN_TIME),
    "slow:3s": Case(None, "timeout", 3, Sequel.IN_TIME),
    "hang:1": Case(None, "timeout", 2, Sequel.TIMES_OUT),
    "drip:10ms": Case(200, None, 1, Sequel.IN_TIME),
    "drip:1s": Case(None, "timeout", 3, Sequel.IN_TIME),
    "gone": Case(410, "status", 1, Sequel.OFF),
    "busy:1s": Case(429, "status", 3, Sequel.WAITS),
    "redirect": Case(302, "redirect", 3, Sequel.FOLLOWS_NOT),
    "busy-date:1s": Case(429, "status", 3, Sequel.WAITS),
    "busy-nonsense": Case(429, "status", 3, Sequel.RETRIED),
    "flaky:1": Case(503, "status", 3, Sequel.RETRIED),
    "reset:1": Case(None, "connect_failed", 2, Sequel.NO_REPLY),
    "reset": Case(None, "connect_failed", 3, Sequel.NO_REPLY),
    "truncated:1": Case(None, "bad_reply", 2, Sequel.BAD_REPLY),
    "truncated": Case(None, "bad_reply", 3, Sequel.BAD_REPLY),
    "bad-chunk:1": Case(None, "bad_reply", 2, Sequel.BAD_REPLY),
    "bad-chunk": Case(None, "bad_reply", 3, Sequel.BAD_REPLY),
    "loop:1": Case(302, "redirect", 2, Sequel.FOLLOWS_NOT),
    "loop": Case(302, "redirect", 3, Sequel.FOLLOWS_NOT),
    "oversized": Case(200, None, 1, Sequel.CUT),
    "flood:32768": Case(None, "bad_reply", 3, Sequel.BAD_REPLY),
    "flood:1048576": Case(None, "bad_reply", 3, Sequel.BAD_REPLY),
    "abort": Case(503, "status", 3, Sequel.RETRIED),
    "disable": Case(503, "status", 3, Sequel.RETRIED),
}


def test_every_word_stands_in_the_table() -> None:
    assert {each.partition(":")[0] for each in CASES} == {*replies.USUAL}


def test_the_page_about_bins_has_every_word_with_its_cause() -> None:
    page = (Path(__file__).parents[2] / "docs" / "bins.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `")]
    told = {word: then for words, _, then in rows for word in _CODE.findall(words)}
    assert {each.partition(":")[0] for each in told} - {"404"} == {*replies.USUAL}
    causes: dict[str, set[str]] = {each: set() for each in replies.USUAL}
    for word, case in CASES.items():
        if case.cause is not None:
            causes[word.partition(":")[0]].add(case.cause)
    for word, then in told.items():
        said = {*_CODE.findall(then)} & {each.value for each in FailureCause}
        of = causes.get(word.partition(":")[0], {"status"})
        assert said == of or then.strip() == "the same" or word.startswith("ok"), word


_CODE = re.compile(r"`([^`]+)`")


@pytest.mark.parametrize("word", CASES)
def test_our_sender_meets_it_as_it_is_promised(served: Served, app: str, word: str) -> None:
    case = CASES[word]
    api = served.api
    assert replies.sequel(replies.usual(word), now=SystemClock().now()) is case.sequel
    made = a_bin(api, word)
    endpoint = api.post(f"app/{app}/endpoint", json={"url": made["url"]}).json()["id"]
    body = {"eventType": "payment_received", "payload": {}}
    message = api.post(f"app/{app}/msg", json=body).json()["id"]

    settled(api, app, message, attempts=case.attempts)
    attempts = oldest_first(api, app, message)

    assert len(attempts) == case.attempts
    failed = attempts[0]
    assert failed.get("cause") == case.cause, failed
    assert failed["responseStatusCode"] == (case.status or 0)
    ended = {case.cause} if case.attempts in {1, 3} else {case.cause, None}
    assert {each.get("cause") for each in attempts} == ended
    off = api.get(f"app/{app}/endpoint/{endpoint}").json()["disabled"]
    assert off is (case.sequel is Sequel.OFF)
    waited = [at(later) - at(one) for one, later in pairwise(attempts)]
    if case.sequel is Sequel.WAITS:
        assert all(each >= timedelta(seconds=1) for each in waited)  # the schedule says 50 ms


def a_bin(api: httpx.Client, word: str) -> dict[str, Any]:
    """As `stafett bin create` makes it; a process for each would take a second."""
    reply = bins._on_the_wire(replies.usual(word), {})
    made = api.post("bin", json={"name": word, "reply": reply})
    assert made.status_code == 201, made.text
    return made.json()


def oldest_first(api: httpx.Client, app: str, message: str) -> list[dict[str, Any]]:
    found = api.get(f"app/{app}/attempt/msg/{message}").json()["data"]
    return sorted(found, key=at)


def at(attempt: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(attempt["timestamp"])


def test_an_oversized_reply_is_kept_to_its_beginning(served: Served, app: str) -> None:
    url = a_bin(served.api, "oversized:104857600")["url"]
    served.api.post(f"app/{app}/endpoint", json={"url": url})
    body = {"eventType": "payment_received", "payload": {}}
    message = served.api.post(f"app/{app}/msg", json=body).json()["id"]
    settled(served.api, app, message)
    (attempt,) = oldest_first(served.api, app, message)
    assert 0 < len(attempt["response"]) <= 65_536


# --- saying it --------------------------------------------------------------------------------


def test_a_bin_says_how_it_answers_and_what_follows(served: Served) -> None:
    words = ("--reply", "busy-date:60s", "--times", "3", "--chance", "0.25")
    reply = served.machine.json("bin", "create", "saying", *words)["reply"]
    assert (reply["times"], reply["chance"], reply["seed"]) == (3, 0.25, None)
    shown = served.machine.ok("bin", "show", "saying")
    told = (
        "429 (with a Retry-After date in 1 min; by a chance of 0.25, otherwise 200;"
        " 3x for each message, then 200)"
    )
    fields = dict(line.split("  ", 1) for line in shown.splitlines())
    assert fields["answers"].strip() == told
    assert fields["then"].strip() == Sequel.WAITS
    assert told in served.machine.ok("bin", "list", "--limit", "250")


def test_a_bin_shows_the_headers_that_it_sends(served: Served) -> None:
    made = a_bin(served.api, "abort")
    assert "  webhook-delivery  abort-message\n" in served.machine.ok("bin", "show", made["id"])


def test_a_mode_of_a_newer_server_is_shown_by_its_name() -> None:
    reply = {"mode": "explode", "statusCode": 200}
    assert bins._answers({"reply": reply}) == "explode"


def test_a_chance_with_a_seed_can_be_set(served: Served) -> None:
    made = served.machine.json("bin", "create", "seeded")
    words = ("bin", "reply", "seeded", "503", "--chance", "0.5", "--seed", "7")
    given: list[list[int]] = []
    for _ in range(2):
        reply = served.machine.json(*words)["reply"]
        assert (reply["chance"], reply["seed"]) == (0.5, 7)
        given.append([httpx.post(made["url"]).status_code for _ in range(12)])
    assert given[0] == given[1]
    assert {*given[0]} == {200, 503}
    assert "(by a chance of 0.5, seed 7, otherwise 200)" in served.machine.ok(
        "bin", "show", "seeded"
    )
