"""Which errors an operation may answer is documented, and what it answers is among them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from stafett import errors
from stafett.web import refusals
from stafett.web.errors import STATUS
from stafett.web.routes import PREFIX, ROUTES, Access, Route
from web import test_every_route
from web.conftest import Recorder, Running
from web.test_every_route import PREPARERS, World, ask, name_of, path_of

_numbers = itertools.count()
# Imported it is another copy of that file, whose names would begin again where its own began.
test_every_route._numbers = itertools.count(1_000_000)
GUARDED = [each for each in ROUTES if each.access is not Access.OPEN]
ODD_QUERIES = [
    "limit=0",
    "limit=x",
    "order=sideways",
    "iterator=%00",
    "iterator=msg_x",
    "since=x",
    "until=3000-01-01T00:00:00Z",
    "before=x",
    "after=-1",
    "with_content=maybe",
    "include_archived=maybe",
    "expunge=maybe",
    "get_if_exists=maybe",
    "status=nothing",
    "status_code_class=7",
    "endpoint_id=nothing",
]
ODD_BODIES = [b"{", b"[]", b"{}", b'{"uid": "\\u0000"}', b'{"name": 7, "url": 7}', b"\xff"]


@pytest.fixture(scope="module")
def described(server: Running) -> dict[str, Any]:
    """The OpenAPI document."""
    return httpx.get(f"{server.url}/openapi.json").json()


@pytest.fixture
def of_an_app(server: Running) -> Iterator[httpx.Client]:
    """A client that may do only what concerns its application."""
    headers = {"authorization": f"Bearer {server.token}"}
    base = f"{server.url}{PREFIX}/"
    with httpx.Client(base_url=base, headers=headers, timeout=20) as client:
        app = client.post("app", json={"name": "Own"}).json()["id"]
        client.headers["authorization"] = (
            f"Bearer {client.post('token', json={'name': 'own', 'app': app}).json()['token']}"
        )
        yield client


@pytest.fixture
def world(api: httpx.Client, receiver: Recorder) -> World:
    return World(api, receiver)


class Book:
    """What the document says about one operation; every answer is held against it."""

    def __init__(self, described: dict[str, Any], route: Route) -> None:
        found = described["paths"][PREFIX + route.path][route.method.lower()]
        self._answers: dict[str, Any] = found["responses"]
        self._components = {"components": described["components"]}

    @property
    def refusals(self) -> set[int]:
        return {int(each) for each in self._answers if int(each) >= 400}

    def check(self, answer: httpx.Response) -> int:
        """The status of an answer that is as documented."""
        assert str(answer.status_code) in self._answers, answer.text
        if answer.status_code >= 400 and answer.request.method != "HEAD":
            documented = self._answers[str(answer.status_code)]
            schema = documented["content"]["application/json"]["schema"] | self._components
            jsonschema_rs.validator_for(schema).validate(answer.json())
        return answer.status_code


def nowhere(route: Route) -> str:
    """Its path, with names of nothing; a PUT may make what had none."""
    return re.sub(r"\{\w+\}", lambda _: f"nothing-{next(_numbers)}", route.path).lstrip("/")


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
def test_whatever_is_refused_is_refused_as_documented(
    world: World, of_an_app: httpx.Client, described: dict[str, Any], route: Route
) -> None:
    book = Book(described, route)
    asked: list[dict[str, Any]] = [{"path": nowhere(route), "content": b"{}"}]
    path, _ = path_of(route, world), PREPARERS[name_of(route)](world)
    asked += [{"path": f"{path}?{query}"} for query in ODD_QUERIES if not path.endswith("tail")]
    asked += [{"path": path, "content": body} for body in ODD_BODIES if route.body is not None]
    for client in (world.api, of_an_app):
        for each in asked:
            with client.stream(route.method, each["path"], content=each.get("content")) as answer:
                if answer.status_code >= 400:
                    answer.read()
                book.check(answer)


@pytest.mark.parametrize("route", GUARDED, ids=name_of)
def test_what_is_documented_can_come(
    world: World, of_an_app: httpx.Client, described: dict[str, Any], route: Route
) -> None:
    """401, 403, 404, 413 and 422 of every operation that names them."""
    book = Book(described, route)
    path, body = path_of(route, world), PREPARERS[name_of(route)](world)
    came = {
        book.check(ask(of_an_app, route.method, path)),
        book.check(ask(world.api, route.method, nowhere(route), body)),
    }
    if "limit" in route.query:
        came.add(book.check(world.api.get(f"{path}?limit=0")))
    if name_of(route) == "POST /token":
        came.add(book.check(world.api.post(path, json={"name": "a", "app": "nothing"})))
    if route.method in {"POST", "PUT", "PATCH"}:
        large = b" " * (route.max_body + 1)
        came.add(book.check(world.api.request(route.method, path, content=large)))
    if route.body is not None:
        came.add(book.check(world.api.request(route.method, path, content=b"[]")))
    headers = {"authorization": "Bearer wrong"}
    came.add(book.check(world.api.request(route.method, path, headers=headers)))
    wanted = book.refusals & {401, 403, 404, 413, 422}
    if route.access in {Access.OWNER, Access.READER} and "{app}" in route.path:
        wanted.discard(403)  # a foreign application does not even exist
    assert wanted <= came


POSTS = [r for r in GUARDED if r.method == "POST" and r.path != "/auth/logout"]  # it ends the token


@pytest.mark.parametrize("route", POSTS, ids=name_of)
def test_a_key_that_is_used_for_another_request_is_a_documented_conflict(
    world: World, described: dict[str, Any], route: Route
) -> None:
    book = Book(described, route)
    key = {"idempotency-key": f"refusals-{next(_numbers)}"}
    path, body = path_of(route, world), PREPARERS[name_of(route)](world)
    first = world.api.post(path, json=body, headers=key)
    assert book.check(first) < 400, first.text
    again = world.api.post(path, content=b'{"other": 1}', headers=key)
    assert book.check(again) in {409, 422}
    assert 409 in book.refusals


def test_nobody_is_asked_for_a_token_where_none_is_needed(described: dict[str, Any]) -> None:
    for route in ROUTES:
        if route.access is Access.OPEN:
            assert not Book(described, route).refusals & {401, 403, 404, 409, 422}


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        ("GET /health/ping", set[int]()),
        ("GET /app", {400, 401, 403, 422, 503}),
        ("POST /app/{app}/msg", {400, 401, 403, 404, 409, 413, 422, 503, 507}),
        ("GET /event-type/{event_type}", {401, 404, 503}),
        ("PUT /app/{app}", {401, 403, 404, 409, 413, 422, 503, 507}),
        ("DELETE /user/{user}", {401, 403, 404, 409, 503, 507}),
    ],
)
def test_the_table_says_so(operation: str, statuses: set[int]) -> None:
    (route,) = (each for each in ROUTES if name_of(each) == operation)
    assert {each.status for each in refusals.of(route)} == statuses


def test_the_table_has_only_answers_that_errors_have_and_each_once() -> None:
    told = [each.status for each in refusals.TABLE]
    assert told == sorted(set(told))
    assert set(told) <= set(STATUS.values())
    left_out = {kind for kind, status in STATUS.items() if status not in told}
    # Signing in is not of the API, what is not offered has no operation, and the rest are bugs.
    assert left_out == {
        errors.TooMany,
        errors.NotImplementedHere,
        errors.InvalidSettings,
        errors.StafettError,
    }
