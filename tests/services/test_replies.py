"""What a bin may answer, and its usual answers by their words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from making import NOW
from stafett import errors, retry
from stafett.model import ReplyMode, ScriptedReply
from stafett.services import replies
from stafett.services.replies import Sequel

SECOND = timedelta(seconds=1)


def a_drip(**given: Any) -> ScriptedReply:
    values: dict[str, Any] = {"mode": ReplyMode.DRIP, "body": b"xx", "drip_every": SECOND}
    return ScriptedReply(**values | given)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (a_drip(body=b""), ("body", "must not be empty: a drip sends it byte by byte")),
        (a_drip(status_code=204), ("body", "must be empty: a 204 has none")),
        (
            a_drip(drip_every=timedelta(milliseconds=9)),
            ("drip_every", "must be between 10 milliseconds and 30 seconds"),
        ),
        (
            a_drip(drip_every=timedelta(seconds=31)),
            ("drip_every", "must be between 10 milliseconds and 30 seconds"),
        ),
        (
            a_drip(body=b"x" * 301),
            ("drip_every", "is too long: the whole body must be out within 5 minutes"),
        ),
        (ScriptedReply(times=-1), ("times", "must be between 0 and 100")),
        (ScriptedReply(times=101), ("times", "must be between 0 and 100")),
        (ScriptedReply(chance=float("nan")), ("chance", "must be between 0 and 1")),
        (ScriptedReply(chance=-0.1), ("chance", "must be between 0 and 1")),
        (ScriptedReply(seed=-1), ("seed", "must be between 0 and 999999999")),
        (ScriptedReply(size=-1), ("size", "must be between 0 and 104857600 bytes")),
        (
            ScriptedReply(mode=ReplyMode.FLOOD, size=32_767),
            ("size", "must be between 32768 and 1048576 bytes"),
        ),
        (
            ScriptedReply(mode=ReplyMode.OVERSIZED, size=1 << 20, status_code=304),
            ("status_code", "cannot be 304: it has no body"),
        ),
        (
            ScriptedReply(retry_date=timedelta(days=7, microseconds=1)),
            ("retry_date", "must be between 0 and 7 days"),
        ),
        (
            ScriptedReply(mode=ReplyMode.TRUNCATED),
            ("body", "must not be empty: half of it is sent"),
        ),
        (
            ScriptedReply(mode=ReplyMode.LOOP, status_code=300),
            ("status_code", "must be one that redirects: 301, 302, 303, 307 or 308"),
        ),
        (
            ScriptedReply(
                mode=ReplyMode.LOOP, status_code=302, headers=(("LOCATION", "http://h/"),)
            ),
            ("headers", "location is where a loop leads: it is not for a header to say"),
        ),
    ],
)
def test_a_reply_without_an_end_is_refused(reply: ScriptedReply, problem: tuple[str, str]) -> None:
    with pytest.raises(errors.Invalid) as raised:
        replies.check(reply)
    (found,) = raised.value.problems
    assert (found.loc, found.msg) == (("body", problem[0]), problem[1])


@pytest.mark.parametrize(
    "reply",
    [
        a_drip(body=b"x" * 300),
        a_drip(body=b"x" * 30_000, drip_every=timedelta(milliseconds=10)),
        ScriptedReply(mode=ReplyMode.HANG, times=100),
        ScriptedReply(drip_every=timedelta(0)),  # of no importance: it does not drip
        replies.TOO_MANY,
    ],
)
def test_a_reply_with_an_end_is_taken(reply: ScriptedReply) -> None:
    replies.check(reply)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("ok", ScriptedReply()),
        ("404", ScriptedReply(status_code=404)),
        ("slow:250ms", ScriptedReply(delay=timedelta(milliseconds=250))),
        ("hang", ScriptedReply(mode=ReplyMode.HANG)),
        ("hang:2", ScriptedReply(mode=ReplyMode.HANG, times=2)),
        ("gone", ScriptedReply(status_code=410)),
        ("busy:2m", ScriptedReply(status_code=429, headers=(("retry-after", "120"),))),
        ("busy-date:2m", ScriptedReply(status_code=429, retry_date=timedelta(minutes=2))),
        (
            "busy-nonsense:later",
            ScriptedReply(status_code=429, headers=(("retry-after", "later"),)),
        ),
        ("reset:2", ScriptedReply(mode=ReplyMode.RESET, times=2)),
        ("loop:2", ScriptedReply(status_code=302, mode=ReplyMode.LOOP, times=2)),
        ("oversized:2000000", ScriptedReply(mode=ReplyMode.OVERSIZED, size=2_000_000)),
        ("flood:32768", ScriptedReply(mode=ReplyMode.FLOOD, size=32_768)),
        (
            "disable",
            ScriptedReply(status_code=503, headers=(("webhook-delivery", "disable"),)),
        ),
        (
            "redirect:http://example.com:81/",
            ScriptedReply(status_code=302, headers=(("location", "http://example.com:81/"),)),
        ),
    ],
)
def test_a_usual_reply_by_its_word(text: str, reply: ScriptedReply) -> None:
    assert replies.usual(text) == reply


def test_each_word_gives_a_reply_of_its_own() -> None:
    made = [replies.usual(each) for each in replies.USUAL]
    assert len(set(made)) == len(made)
    assert replies.usual("fail").times == 3
    assert replies.usual("fail:2").times == 2
    assert replies.usual("drip:20ms").drip_every == timedelta(milliseconds=20)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "what",
        "200 OK",
        "99",
        "fail:x",
        "fail:-1",
        "slow:soon",
        "slow:31s",
        "drip:1h",
        "fail:101",
        "reset:101",
        "flaky:1.1",
        "flaky:2",
        "flaky:nan",
        "flaky:1e-1",
        "oversized:0",
        "oversized:1048575",
        "oversized:99999999999",
        "flood:1048577",
        "busy-date:8d",
        "busy-nonsense:\x07",
    ],
)
def test_a_word_that_is_no_reply_is_told(text: str) -> None:
    with pytest.raises(errors.Invalid):
        replies.usual(text)


def test_whoever_types_a_wrong_word_reads_the_right_ones() -> None:
    with pytest.raises(errors.Invalid, match=r"'fial' is no reply.*fail, slow, hang"):
        replies.usual("fial")


@pytest.mark.parametrize("text", ["0", "1", "0.25", ".5", "1.0"])
def test_a_chance_as_people_write_it(text: str) -> None:
    assert replies.usual(f"flaky:{text}").chance == float(text)


@given(st.floats(0, 1))
def test_a_chance_is_typed_as_it_is_read(chance: float) -> None:
    assert replies.chance_of(replies.chance_as_typed(chance)) == chance


@pytest.mark.parametrize(("chance", "typed"), [(1.0, "1"), (0.0, "0"), (0.25, "0.25")])
def test_a_chance_is_typed_in_few_characters(chance: float, typed: str) -> None:
    assert replies.chance_as_typed(chance) == typed


# --- with a request ---------------------------------------------------------------------------


def test_most_replies_need_nothing_of_the_request() -> None:
    assert replies.prepared(a_drip(), now=NOW, target=b"/in/x") == a_drip()


def test_a_loop_leads_to_what_was_asked_for_and_nowhere_else() -> None:
    loop = replies.usual("loop")
    target = b"/in/x/%2e./\xc3\xa9 \r\n\x0c?a=b&c=%0d"
    found = replies.prepared(loop, now=NOW, target=target)
    assert found.headers == (("location", "/in/x/%2e./%C3%A9%20%0D%0A%0C?a=b&c=%0d"),)


def test_a_date_is_never_early_and_is_read_as_it_is_meant() -> None:
    now = NOW + timedelta(milliseconds=600)
    reply = ScriptedReply(status_code=429, retry_date=SECOND * 90, headers=(("x", "y"),))
    own, added = replies.prepared(reply, now=now, target=b"/").headers
    assert own == ("x", "y")
    asked = retry.parse_retry_after((added,), now=now)
    assert asked is not None
    assert SECOND * 90 <= asked <= SECOND * 91


# --- in words ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (ScriptedReply(status_code=404), "404"),
        (replies.usual("fail:2"), "503 (2x for each message, then 200)"),
        (replies.usual("slow:2s"), "200 (after 2 s)"),
        (a_drip(status_code=202), "202, byte by byte"),
        (replies.usual("hang:1"), "nothing: it hangs (1x for each message, then 200)"),
        (replies.usual("reset"), "nothing: it resets the connection"),
        (replies.usual("oversized:2000000"), "200, with a body of 2000000 bytes"),
        (replies.usual("flood:40000"), "200, with 40000 bytes of headers"),
        (
            ScriptedReply(status_code=500, chance=1 / 3, seed=7, times=2),
            "500 (by a chance of 0.333333, seed 7, otherwise 200; 2x for each message, then 200)",
        ),
    ],
)
def test_a_reply_in_words(reply: ScriptedReply, words: str) -> None:
    assert replies.in_words(reply) == words


@pytest.mark.parametrize(
    ("reply", "sequel"),
    [
        (ScriptedReply(status_code=299), Sequel.DELIVERED),
        (ScriptedReply(status_code=300), Sequel.FOLLOWS_NOT),
        (ScriptedReply(status_code=400), Sequel.RETRIED),
        (ScriptedReply(status_code=410, headers=(("retry-after", "9"),)), Sequel.OFF),
        (ScriptedReply(status_code=410, delay=SECOND), Sequel.IN_TIME),
        (ScriptedReply(status_code=500, headers=(("Retry-After", "9"),)), Sequel.WAITS),
        (ScriptedReply(status_code=500, headers=(("retry-after", "-1"),)), Sequel.RETRIED),
        (ScriptedReply(status_code=500, retry_date=SECOND), Sequel.WAITS),
        (ScriptedReply(status_code=200, retry_date=SECOND), Sequel.DELIVERED),
        (ScriptedReply(status_code=500, mode=ReplyMode.OVERSIZED, size=1 << 20), Sequel.RETRIED),
        (ScriptedReply(status_code=500, mode=ReplyMode.TRUNCATED, body=b"x"), Sequel.BAD_REPLY),
    ],
)
def test_what_follows_a_reply(reply: ScriptedReply, sequel: Sequel) -> None:
    assert replies.sequel(reply, now=NOW) is sequel
