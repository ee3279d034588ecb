"""Numbers, states and names that hand-written pages repeat are those of the code."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

import making
from docs.conftest import DOCS, blocks, flat, text_of
from stafett import egress, errors, retry, signing
from stafett.drivers import sender
from stafett.drivers.cold import tasks as steps
from stafett.drivers.sqlite import threads
from stafett.engine import breaker, turns
from stafett.engine import tasks as background
from stafett.engine.dispatch import Places
from stafett.model import DeliveryState, DisabledReason
from stafett.retry import RetrySchedule
from stafett.services import deliveries, messages, secrets, tasks
from stafett.settings import DEFAULT_WAITS, Settings, parse_networks
from stafett.web import idempotency
from stafett.web.wire import deliveries as deliveries_on_the_wire

CONCEPTS = DOCS / "concepts.md"
RECEIVING = DOCS / "receiving.md"
SQLITE = DOCS / "decisions" / "0002-sqlite-driver.md"
TURNS = DOCS / "decisions" / "0004-turns.md"
BREAKER = DOCS / "decisions" / "0012-breaker.md"
BACKGROUND = DOCS / "decisions" / "0014-background-work.md"


def hours(duration: timedelta) -> str:
    return f"{duration // timedelta(hours=1)} h"


# --- states -----------------------------------------------------------------------------------

Move = tuple[str, str]


def drawn() -> set[Move]:
    """The moves in the picture, births left out."""
    (picture,) = blocks("mermaid", pages=(CONCEPTS,))
    return set(re.findall(r"^ *(\w+) --> (\w+):", picture.text, re.MULTILINE))


def told() -> dict[str, set[str]]:
    """The moves in the table, by state."""
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", text_of(CONCEPTS), re.MULTILINE)
    states = {state.value for state in DeliveryState}
    return {name: set(re.findall(r"→ `(\w+)`", moves)) for name, moves in rows if name in states}


def test_picture_and_table_have_every_state_and_the_same_moves() -> None:
    assert set(told()) == {state.value for state in DeliveryState}
    assert drawn() == {(before, after) for before, moves in told().items() for after in moves}


def test_every_move_that_the_rule_decides_is_there() -> None:
    outcomes = [making.an_outcome(code) for code in (200, 410, 500)]
    schedule = RetrySchedule((timedelta(seconds=5),))
    decided = {
        retry.decide(
            outcome,
            failure_count=failures,
            schedule=schedule,
            now=making.NOW,
            jitter=0.0,
            test=test,
        ).state.value
        for outcome in outcomes
        for failures in (0, 1)
        for test in (False, True)
    }
    assert decided == told()["sending"] - {"canceled"}


def test_the_numbers_on_the_wire_are_told() -> None:
    known = [f"{code} `{name}`" for code, name in deliveries_on_the_wire._STATUS.values()]
    assert ", ".join(sorted(known)) in flat(text_of(CONCEPTS))


# --- retries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", range(len(DEFAULT_WAITS)))
def test_the_schedule_is_told_with_its_jitter(failures: int) -> None:
    def after(jitter: float) -> str:
        decision = retry.decide(
            making.an_outcome(500),
            failure_count=failures,
            schedule=retry.DEFAULT,
            now=making.NOW,
            jitter=jitter,
            test=False,
        )
        assert decision.due_at is not None
        return retry.in_words(decision.due_at - making.NOW)

    assert f"| {failures + 1} | {after(0.0)} | {after(1.0)} |" in text_of(CONCEPTS)


def test_how_long_all_of_it_takes() -> None:
    last = sum(DEFAULT_WAITS, timedelta(0))
    assert timedelta(days=3) < last < last * 1.2 < timedelta(days=4)
    assert "three to four days after the first" in flat(text_of(CONCEPTS))
    assert "three to four days by default" in flat(text_of(RECEIVING))
    assert f"| {len(DEFAULT_WAITS) + 1} | none: the delivery has failed | |" in text_of(CONCEPTS)


# --- numbers ----------------------------------------------------------------------------------


def _share() -> tuple[int, int, int, int]:
    """Of a webhook's width: the start, the most, the least, and what is claimed for each."""
    share = turns.Share()
    start = share.width
    for _ in range(1_000):
        share.answered(more_waits=True)
    most, claimed = share.width, share.room // share.width
    for _ in range(1_000):
        share.timed_out()
    return start, most, share.width, claimed


_START, _MOST, _LEAST, _CLAIMED = _share()
_USUAL = Settings()
_PLACES = Places()
_LONE = turns.Lane(_PLACES.first, {})._lone_places
_RATE = f"{breaker._RATE:.0%}".replace("%", " %")
_COOL_DOWN = f"{breaker._COOL_DOWN.seconds} seconds"
_LONGEST = f"up to {breaker.LONGEST_COOL_DOWN.seconds // 60} minutes"
_WINDOW = f"{breaker._WINDOW.seconds // 60} minutes"

FACTS = [
    (CONCEPTS, f"`deliverAt` (up to {messages.MAX_DELAY.days} days ahead)"),
    (CONCEPTS, f"({_USUAL.attempt_timeout.seconds} seconds, `STAFETT_ATTEMPT_TIMEOUT`)"),
    (CONCEPTS, f"At most {sender.Limits().max_reply // 1024} KiB of the answer's body"),
    (CONCEPTS, f"At most {hours(retry.MAX_RETRY_AFTER)} are granted"),
    (CONCEPTS, f"a range of up to {tasks.MAX_RANGE.days} days"),
    (CONCEPTS, f"after {_USUAL.disable_after.days} days without one success"),
    (CONCEPTS, f"kept for {deliveries._TEST_RETENTION.days} days"),
    (CONCEPTS, f"It begins at {_START}, grows by one with every answer up to {_MOST}"),
    (CONCEPTS, f"at most {_CLAIMED} times its width"),
    (CONCEPTS, f"{_PLACES.first}, {_PLACES.again} and {_PLACES.tests}"),
    (CONCEPTS, f"base64 of {signing.MIN_BYTES} to {signing.MAX_BYTES} bytes"),
    (CONCEPTS, f"{hours(secrets.DEFAULT_GRACE)} unless told"),
    (CONCEPTS, f"up to {secrets.MAX_GRACE.days} days. In that time"),
    (CONCEPTS, f"At most {secrets.MAX_OLD_SECRETS} old ones"),
    (BACKGROUND, f"at most {steps._LOOK:,} rows and makes at most {background._STEP} deliveries"),
    (BACKGROUND, f"The lease is **{background.LEASE.seconds} seconds**"),
    (BACKGROUND, f"looks each {background.LOOK_EVERY.seconds} seconds"),
    (BACKGROUND, f"held for **{idempotency.HOLD.seconds} seconds**"),
    (BACKGROUND, f"renewed each {idempotency._RENEW_EVERY:.0f}"),
    (CONCEPTS, f"repeated {idempotency.HOLD.seconds} seconds later works again"),
    (RECEIVING, f"({hours(secrets.DEFAULT_GRACE)} unless told otherwise)"),
    (RECEIVING, f"({hours(retry.MAX_RETRY_AFTER)} at most)"),
    (RECEIVING, f"There are {_USUAL.attempt_timeout.seconds} seconds"),
    (RECEIVING, f"({sender.Limits().max_reply // 1024} KiB of it)"),
    (RECEIVING, f"({_USUAL.retention_payloads.days} days)"),
    (SQLITE, f"after {threads._CHECKPOINT_IDLE:,} changed rows"),
    (SQLITE, f"a pause of {threads._IDLE_SECONDS * 1000:.0f} ms"),
    (SQLITE, f"or after {threads._CHECKPOINT_FORCED:,} in any case"),
    (TURNS, f"It begins at **{_START}**"),
    (TURNS, f"up to **{_MOST}**"),
    (TURNS, f"no less than {_LEAST}"),
    (TURNS, f"**{_CLAIMED} times its width**"),
    (TURNS, f"{_PLACES.first}, {_PLACES.again}, {_PLACES.tests}"),
    (TURNS, f"the deadline, {_USUAL.attempt_timeout.seconds} seconds"),
    (TURNS, f"so {_LONE} can hang at once"),
    (TURNS, f"The last quarter, {_PLACES.first - _LONE} places"),
    (TURNS, f"if more than {_LONE} hang"),
    (CONCEPTS, f"at least {breaker._MIN_VOLUME} attempts within {_WINDOW} {_RATE} failed"),
    (CONCEPTS, f"**After {_COOL_DOWN}** one request"),
    (CONCEPTS, f"rests twice as long as before, {_LONGEST}"),
    (BREAKER, f"within {_WINDOW} from a first failure"),
    (BREAKER, f"at least {breaker._MIN_VOLUME} attempts have ended and {_RATE} of them failed"),
    (BREAKER, f"a cool-down of {_COOL_DOWN}** one request"),
    (BREAKER, f"twice as long, {_LONGEST}"),
]


@pytest.mark.parametrize(("page", "says"), FACTS, ids=[says for _, says in FACTS])
def test_a_number_is_that_of_the_code(page: Path, says: str) -> None:
    assert says in flat(text_of(page))


def test_every_reason_for_being_off_is_told() -> None:
    section = text_of(CONCEPTS).partition("## When a webhook is switched off")[2].partition("##")[0]
    first = flat(section).partition(":")[0]
    assert set(re.findall(r"\(`(\w+)`\)", first)) == {each.value for each in DisabledReason}


def test_what_is_said_of_ports_and_addresses_is_so() -> None:
    for url in ("https://example.com:22/", "https://example.com:5432/", "https://a@b.example/"):
        with pytest.raises(errors.Invalid):
            egress.parse(url)
    everything = egress.Policy(allow_networks=parse_networks("0.0.0.0/0"))
    assert not egress.vet("169.254.169.254", policy=everything).allowed
