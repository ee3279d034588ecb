"""Whatever a caller sends is read, or refused in words; nothing else is ever raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett import errors
from stafett.app import Stafett
from stafett.model import Page
from stafett.web import paging
from stafett.web.calls import Call
from stafett.web.errors import body_of
from stafett.web.routes import ROUTES

T = TypeVar("T")
NAMES = ("limit", "iterator", "order", "before", "after", "status", "event_types", "tag")
BODIES = sorted(
    {route.body for route in ROUTES if route.body is not None}, key=lambda k: k.__name__
)
_values = st.one_of(
    st.text(), st.integers().map(str), st.datetimes().map(str), st.sampled_from(["-", "ascending"])
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def call(query: bytes = b"", body: bytes = b"") -> Call:
    nobody = cast("Stafett", None)  # reading needs no Stafett
    made = Call(nobody, {"headers": [], "query_string": query}, params={})
    made.body = body
    return made


def in_words(read: Callable[[], T]) -> T | None:
    """What was read; None where it was refused."""
    refusal: errors.StafettError | None = None
    try:
        return read()
    except errors.StafettError as error:
        refusal = error
    assert body_of(refusal)["detail"]
    return None


@given(st.lists(st.tuples(st.sampled_from(NAMES), _values)))
def test_a_query_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    asked = call(urlencode(pairs).encode())
    in_words(lambda: paging.query(asked))
    in_words(lambda: asked.moment("before"))
    in_words(lambda: asked.many("event_types"))


@given(st.binary(max_size=40))
def test_bytes_in_place_of_a_query_are_read_or_refused(query: bytes) -> None:
    asked = in_words(lambda: paging.query(call(query)))
    if asked is not None:
        assert 1 <= asked.limit <= paging.MAX_LIMIT


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_body_is_read_or_refused(kind: Any, data: st.DataObject) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    sent = data.draw(st.dictionaries(st.sampled_from(names) | st.text(), _json) | _json)
    asked = call(body=msgspec.json.encode(sent))
    try:
        found = asked.read(kind)
    except errors.Invalid as error:
        (problem,) = body_of(error)["detail"]
        assert problem["loc"][0] == "body"
        assert problem["msg"]
    else:
        assert isinstance(found, kind)


@given(st.lists(st.text(min_size=1)), st.booleans(), st.text())
def test_a_page_says_where_it_goes_on(items: list[str], done: bool, after: str) -> None:
    asked = paging.query(call(urlencode({"iterator": after}).encode()))
    page = paging.answer(Page(items=tuple(items), done=done), asked, key=str, out=str)
    shown = msgspec.json.decode(msgspec.json.encode(page))
    assert shown["data"] == items
    assert shown["done"] == done
    assert shown["iterator"] == (items[-1] if items else asked.after)
    assert shown.get("prevIterator") == (f"-{items[0]}" if items else None)
