"""Every error of the tree has its answer over HTTP, and each answer is JSON that clients read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stafett import errors
from stafett.web.errors import STATUS, body_of, headers_of, status_of


def tree(root: type[errors.StafettError]) -> Iterator[type[errors.StafettError]]:
    yield root
    for each in root.__subclasses__():
        yield from tree(each)


ALL = [each for each in tree(errors.StafettError) if each.__module__ == errors.__name__]


def made(kind: type[errors.StafettError]) -> errors.StafettError:
    if issubclass(kind, errors.Invalid):
        return kind([errors.Problem(("body", "event_types", 0), "is odd")])
    return kind("what was wrong")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_and_a_body(kind: type[errors.StafettError]) -> None:
    assert kind in STATUS
    error = made(kind)
    assert 400 <= status_of(error) < 600
    body: dict[str, Any] = body_of(error)
    if status_of(error) == 422:
        assert body == {
            "detail": [{"loc": ["body", "eventTypes", 0], "msg": "is odd", "type": "value_error"}]
        }
    else:
        assert body == {"code": kind.code, "detail": "what was wrong"}


def test_the_table_has_nothing_that_the_tree_has_not() -> None:
    assert set(STATUS) == set(ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_who_may_come_again_is_told_when(kind: type[errors.StafettError]) -> None:
    error = made(kind)
    named = dict(headers_of(error))
    later = isinstance(error, errors.Unavailable | errors.InProgress | errors.TooMany)
    assert (b"retry-after" in named) == later
    assert (b"www-authenticate" in named) == (status_of(error) == 401)


def test_a_wait_below_a_second_is_told_as_one() -> None:
    error = errors.Unavailable("busy", retry_after=0.2)
    assert headers_of(error) == [(b"retry-after", b"1")]
