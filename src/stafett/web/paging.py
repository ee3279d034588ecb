"""Pages on the wire: `limit`, `iterator` (an id, `-id` walks back) and `order`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import UNSET

from stafett import errors
from stafett.model import Page, PageQuery
from stafett.web.calls import Call
from stafett.web.wire.base import ListOut

T = TypeVar("T")
O = TypeVar("O")  # noqa: E741 - the wire's side of T

DEFAULT_LIMIT = 50
MAX_LIMIT = 250


def query(call: Call, *, ascending: bool = False) -> PageQuery:
    """The page that `call` asks for. Errors: Invalid (limit), BadRequest (order)."""
    limit = call.number("limit")
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        problem = errors.Problem(("query", "limit"), f"must be between 1 and {MAX_LIMIT}")
        raise errors.Invalid([problem])
    order = call.one("order")
    if order not in {None, "ascending", "descending"}:
        message = f"order must be ascending or descending, not {order!r}"
        raise errors.BadRequest(message)
    iterator = call.one("iterator") or None
    backward = iterator is not None and iterator.startswith("-")
    return PageQuery(
        limit=limit or DEFAULT_LIMIT,
        after=iterator and iterator.removeprefix("-"),
        backward=backward,
        ascending=ascending if order is None else order == "ascending",
    )


def answer(
    page: Page[T], asked: PageQuery, *, key: Callable[[T], str], out: Callable[[T], O]
) -> ListOut[O]:
    """`page` on the wire. Both iterators are set whenever there is something in it."""
    items = page.items
    first, last = (key(items[0]), key(items[-1])) if items else (None, asked.after)
    return ListOut(
        data=[out(item) for item in items],
        iterator=last,
        prev_iterator=UNSET if first is None else f"-{first}",
        done=page.done,
    )
