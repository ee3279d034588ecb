"""Ids sort as time does, tell their time, and have one shape."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett import errors, ids

STEP = timedelta(milliseconds=4)
TIMES = st.datetimes(
    datetime(2014, 5, 14),  # noqa: DTZ001 - aware through `timezones`
    datetime(2149, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)
ENTROPY = st.binary(min_size=19, max_size=19)


@given(at=TIMES, entropy=ENTROPY)
def test_an_id_is_its_prefix_and_27_base62_digits(at: datetime, entropy: bytes) -> None:
    made = ids.make(ids.MESSAGE, at, entropy)
    assert re.fullmatch(r"msg_[0-9A-Za-z]{27}", made)
    assert ids.is_id(ids.MESSAGE, made)
    assert not ids.is_id(ids.ENDPOINT, made)


@given(at=TIMES, entropy=ENTROPY)
def test_an_id_tells_its_time_to_4_ms(at: datetime, entropy: bytes) -> None:
    told = ids.made_at(ids.make(ids.MESSAGE, at, entropy))
    assert timedelta(0) <= at - told < STEP


@given(first=TIMES, gap=st.timedeltas(STEP, timedelta(days=900)), one=ENTROPY, other=ENTROPY)
def test_order_of_ids_is_order_of_time(
    first: datetime, gap: timedelta, one: bytes, other: bytes
) -> None:
    assert ids.make("msg_", first, one) < ids.make("msg_", first + gap, other)


@given(at=TIMES, entropy=ENTROPY)
def test_first_at_bounds_the_ids_of_its_time(at: datetime, entropy: bytes) -> None:
    made = ids.make("msg_", at, entropy)
    assert ids.first_at("msg_", at) <= made < ids.first_at("msg_", at + STEP)


@given(at=TIMES, one=ENTROPY, other=ENTROPY)
def test_other_entropy_is_another_id(at: datetime, one: bytes, other: bytes) -> None:
    same = ids.make("msg_", at, one) == ids.make("msg_", at, other)
    assert same == all(a % 62 == b % 62 for a, b in zip(one, other, strict=True))


def test_a_time_before_the_epoch_is_the_very_first_range() -> None:
    assert ids.first_at("msg_", datetime(1970, 1, 1, tzinfo=UTC)) == "msg_" + "0" * 27


@given(text=st.text() | st.from_regex(r"[a-z]+_[0-9A-Za-z]{27}", fullmatch=True))
def test_any_text_is_a_time_or_a_bad_request(text: str) -> None:
    try:
        told = ids.made_at(text)
    except errors.BadRequest as exc:
        assert "is not an id" in exc.detail  # noqa: PT017 - the other branch is no failure
    else:
        assert told >= datetime(2014, 5, 13, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "msg_", "msg_" + "0" * 26, "msg_" + "0" * 26 + "-"])
def test_what_is_no_id_tells_no_time(text: str) -> None:
    with pytest.raises(errors.BadRequest):
        ids.made_at(text)


def test_chance_comes_in() -> None:
    at = datetime(2026, 11, 24, tzinfo=UTC)
    maker = ids.Ids(lambda wanted: b"\x07" * wanted)
    assert maker.message(at) == ids.make(ids.MESSAGE, at, b"\x07" * 19)
    assert maker.task(at).startswith("qtask_")
