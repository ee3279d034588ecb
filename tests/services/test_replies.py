"""What a bin may answer, and its usual answers by their words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from stafett import errors
from stafett.model import ReplyMode, ScriptedReply
from stafett.services import replies

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
    ],
)
def test_a_word_that_is_no_reply_is_told(text: str) -> None:
    with pytest.raises(errors.Invalid):
        replies.usual(text)


def test_whoever_types_a_wrong_word_reads_the_right_ones() -> None:
    with pytest.raises(errors.Invalid, match=r"'fial' is no reply.*fail, slow, hang"):
        replies.usual("fial")
