"""Every entry of the route table, asked once as a caller should: the answer is the documented one.

The oracle is the server's own OpenAPI document. A route without a preparer fails here, so whoever
adds one says how it is called.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import httpx
import jsonschema_rs
import pytest

from stafett.services import tokens
from stafett.web.routes import PREFIX, ROUTES, Access, Route
from stafett.web.tree import variables
from web.conftest import WAIT, Recorder, Running, settled

UNKNOWN = tokens.new_text(bytes(32))
"""In the right shape, and nobody's."""
_numbers = itertools.count()


class World:
    """What the paths of the routes may name; each thing is made when it is asked for."""

    def __init__(self, api: httpx.Client, receiver: Recorder) -> None:
        self.api = api
        self.url = receiver.url("/every-route")

    def made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.api.post(path, json=body)
        assert answer.status_code in {201, 202}, answer.text
        return answer.json()

    def headers(self, route: Route) -> dict[str, str]:
        """An owner may call everything, but only an application's token can be given up."""
        if route.path != "/auth/logout":
            return {}
        made = self.made("token", {"name": "leaving", "app": self.app})
        return {"authorization": f"Bearer {made['token']}"}

    @cached_property
    def app(self) -> str:
        return self.made("app", {"name": "Every route"})["id"]

    @cached_property
    def endpoint(self) -> str:
        return self.made(f"app/{self.app}/endpoint", {"url": self.url})["id"]

    @cached_property
    def message(self) -> str:
        """One that was delivered to `endpoint`."""
        assert self.endpoint
        message = self.made(f"app/{self.app}/msg", EVENT)["id"]
        settled(self.api, self.app, message)
        return message

    @cached_property
    def attempt(self) -> str:
        (one,) = self.api.get(f"app/{self.app}/attempt/msg/{self.message}").json()["data"]
        return one["id"]

    @cached_property
    def event_type(self) -> str:
        wish = {"name": f"every.route-{next(_numbers)}", "description": "For one route."}
        return self.made("event-type", wish)["name"]

    @cached_property
    def token(self) -> str:
        return self.made("token", {"name": "every route"})["id"]

    @cached_property
    def user(self) -> str:
        return self.made("user", a_user())["id"]

    @cached_property
    def task(self) -> str:
        wish = {"since": created(self)}
        return self.made(f"app/{self.app}/endpoint/{self.endpoint}/recover", wish)["id"]

    @cached_property
    def bin(self) -> str:
        """One with a capture."""
        made = self.made("bin", {})
        assert httpx.post(made["url"], content=b"caught").status_code == 200
        return made["id"]

    @cached_property
    def capture(self) -> str:
        (one,) = self.api.get(f"bin/{self.bin}/capture").json()["data"]
        return one["id"]


def a_user() -> dict[str, Any]:
    return {
        "email": f"user-{next(_numbers)}@example.com",
        "name": "Every route",
        "password": "a password for today",
        "role": "viewer",
    }


EVENT = {"eventType": "payment_received", "payload": {"payment_id": 31}}
Preparer = Callable[[World], Any]  # what it returns is sent as JSON; None: no body


def nothing(_: World) -> None:
    """The path says it all."""


_EP = "/app/{app}/endpoint/{endpoint}"
_MSG = "/app/{app}/msg/{message}"
PREPARERS: dict[str, Preparer] = {
    "GET /health": nothing,
    "GET /health/ping": nothing,
    "GET /token": nothing,
    "POST /token": lambda _: {"name": "another"},
    "DELETE /token/{token}": nothing,
    "POST /auth/logout": nothing,
    "POST /auth/app/{app}/expire-all": lambda _: {"expiry": 60},
    "POST /environment/export": nothing,
    "POST /environment/import": lambda _: {
        "eventTypes": [{"name": f"every.{next(_numbers)}", "description": "New."}]
    },
    "GET /user": nothing,
    "POST /user": lambda _: a_user(),
    "POST /user/{user}/password": lambda _: {"password": "a password for today"},
    "DELETE /user/{user}": nothing,
    "GET /app": nothing,
    "POST /app": lambda _: {"name": "Another", "metadata": {"a": "b"}},
    "GET /app/{app}": nothing,
    "PUT /app/{app}": lambda _: {"name": "Another"},
    "PATCH /app/{app}": lambda _: {"throttleRate": 7},
    "DELETE /app/{app}": nothing,
    "GET /app/{app}/endpoint": nothing,
    "POST /app/{app}/endpoint": lambda world: {"url": world.url},
    f"GET {_EP}": nothing,
    f"PUT {_EP}": lambda world: {"url": world.url},
    f"PATCH {_EP}": lambda _: {"description": "Another"},
    f"DELETE {_EP}": nothing,
    f"GET {_EP}/secret": nothing,
    f"POST {_EP}/secret/rotate": lambda _: {"gracePeriodSeconds": 60},
    f"GET {_EP}/headers": nothing,
    f"PUT {_EP}/headers": lambda _: {"headers": {"x-tenant": "1"}},
    f"PATCH {_EP}/headers": lambda _: {"headers": {"x-tenant": None}},
    f"GET {_EP}/stats": nothing,
    f"GET {_EP}/attempt-stats": nothing,
    f"POST {_EP}/recover": lambda world: {"since": created(world)},
    f"POST {_EP}/replay-missing": lambda world: {"since": created(world)},
    f"POST {_EP}/bulk-replay": lambda world: {"since": created(world), "status": 0},
    f"POST {_EP}/send-example": lambda _: {"eventType": "payment_received"},
    f"POST {_EP}/test": lambda _: {"eventType": "payment_received"},
    "GET /event-type": nothing,
    "POST /event-type": lambda _: {"name": f"every.{next(_numbers)}", "description": "New."},
    "GET /event-type/{event_type}": nothing,
    "PUT /event-type/{event_type}": lambda _: {"description": "Another."},
    "PATCH /event-type/{event_type}": lambda _: {"deprecated": True},
    "DELETE /event-type/{event_type}": nothing,
    "POST /event-type/import/openapi": lambda _: {
        "spec": {"openapi": "3.1.0", "webhooks": {f"every.{next(_numbers)}": {"post": {}}}}
    },
    "GET /app/{app}/msg": nothing,
    "POST /app/{app}/msg": lambda _: EVENT,
    "POST /app/{app}/msg/batch": lambda _: {"messages": [EVENT]},
    f"GET {_MSG}": nothing,
    f"DELETE {_MSG}/content": nothing,
    "POST /app/{app}/msg/bulk-expunge": lambda world: {"ids": [world.message, "nobody"]},
    "POST /app/{app}/msg/precheck/active": lambda _: {"eventType": "payment_received"},
    "GET /app/{app}/attempt/endpoint/{endpoint}": nothing,
    "GET /app/{app}/attempt/msg/{message}": nothing,
    f"GET {_MSG}/attempt": nothing,
    f"GET {_MSG}/endpoint/{{endpoint}}/attempt": nothing,
    f"GET {_MSG}/attempt/{{attempt}}": nothing,
    f"GET {_MSG}/attempt/{{attempt}}/headers": nothing,
    f"DELETE {_MSG}/attempt/{{attempt}}/content": nothing,
    f"GET {_EP}/msg": nothing,
    f"GET {_MSG}/endpoint": nothing,
    f"POST {_MSG}/endpoint/{{endpoint}}/resend": nothing,
    f"POST {_MSG}/endpoint/{{endpoint}}/cancel": nothing,
    "GET /background-task": nothing,
    "GET /background-task/{task}": nothing,
    "GET /bin": nothing,
    "POST /bin": lambda _: {"name": "another"},
    "GET /bin/{bin}": nothing,
    "DELETE /bin/{bin}": nothing,
    "PUT /bin/{bin}/reply": lambda _: {"statusCode": 204},
    "GET /bin/{bin}/capture": nothing,
    "DELETE /bin/{bin}/capture": nothing,
    "GET /bin/{bin}/capture/{capture}": nothing,
    "GET /bin/{bin}/capture/{capture}/timeline": nothing,
    "DELETE /bin/{bin}/capture/{capture}": nothing,
    "PUT /bin/{bin}/capture/{capture}/pin": nothing,
    "DELETE /bin/{bin}/capture/{capture}/pin": nothing,
    "GET /bin/{bin}/tail": nothing,
}


def created(world: World) -> str:
    """When the application was made, by the server's own clock."""
    return world.api.get(f"app/{world.app}").json()["createdAt"]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, world: World) -> str:
    """Relative to the prefix, with something real in every slot."""
    values: dict[str, str] = {name: getattr(world, name) for name in variables(route.path)}
    return route.path.format(**values).lstrip("/")


def ask(
    client: httpx.Client,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    """The answer, whole unless it is a stream, which never ends."""
    with client.stream(method, path, json=body, headers=headers) as answer:
        if answer.headers.get("content-type", "").partition(";")[0] != "text/event-stream":
            answer.read()
    return answer


@pytest.fixture
def world(api: httpx.Client, receiver: Recorder) -> World:
    return World(api, receiver)


@pytest.fixture(scope="module")
def described(server: Running) -> dict[str, Any]:
    """The OpenAPI document."""
    return httpx.get(f"{server.url}/openapi.json").json()


@pytest.fixture(scope="module")
def anybody(server: Running) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=f"{server.url}{PREFIX}/", timeout=WAIT) as client:
        yield client


def test_every_route_has_a_preparer_and_every_preparer_a_route() -> None:
    assert set(PREPARERS) == {name_of(route) for route in ROUTES}


@pytest.mark.parametrize("slash", ["", "/"], ids=["plain", "slash"])
@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_valid_request_is_answered_as_documented(
    world: World, described: dict[str, Any], route: Route, slash: str
) -> None:
    path, body = path_of(route, world), PREPARERS[name_of(route)](world)
    answer = ask(world.api, route.method, path + slash, body, world.headers(route))
    documented = described["paths"][PREFIX + route.path][route.method.lower()]["responses"]
    assert str(answer.status_code) in documented
    assert answer.status_code == route.status
    content = documented[str(route.status)].get("content")
    if content is not None:
        assert answer.headers["content-type"] == "application/json"
        schema = content["application/json"]["schema"] | {"components": described["components"]}
        jsonschema_rs.validator_for(schema).validate(answer.json())
    elif answer.status_code == 204:
        assert answer.content == b""


# An upsert creates where there is nothing; a creation finds what is there, when asked to.
OTHERWISE: list[tuple[str, str, dict[str, Any], int]] = [
    ("PUT", "/app/{app}", {"name": "A"}, 201),
    ("PUT", "/app/{app}/endpoint/{endpoint}", {"url": "http://127.0.0.1:59999/"}, 201),
    ("PUT", "/event-type/{event_type}", {"description": "New."}, 201),
    ("POST", "/app", {"name": "A", "uid": "default"}, 200),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), OTHERWISE)
def test_an_upsert_may_create_and_a_creation_may_find(
    world: World, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    fresh = f"fresh.{next(_numbers)}"
    app = fresh if path == "/app/{app}" else world.app
    asked = path.format(app=app, endpoint=fresh, event_type=fresh).lstrip("/")
    wish = {"uid": fresh} | body
    answer = world.api.request(method, asked, json=wish, params={"get_if_exists": "true"})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(("method", "path", "status"), [(m, p, s) for m, p, _, s in OTHERWISE])
def test_both_good_answers_are_documented(
    described: dict[str, Any], method: str, path: str, status: int
) -> None:
    assert str(status) in described["paths"][PREFIX + path][method.lower()]["responses"]


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_the_same_request_without_a_known_token_does_nothing(
    world: World, anybody: httpx.Client, route: Route
) -> None:
    path, body = path_of(route, world), PREPARERS[name_of(route)](world)
    for headers in ({}, {"authorization": f"Bearer {UNKNOWN}"}):
        refused = anybody.request(route.method, path, json=body, headers=headers)
        if route.access is Access.OPEN:
            assert refused.status_code == route.status
            continue
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["code"] == "authentication_failed"
    answer = ask(world.api, route.method, path, body, world.headers(route))
    assert answer.status_code == route.status


READABLE = [route for route in ROUTES if route.method == "GET" and not route.path.endswith("tail")]


@pytest.mark.parametrize("route", READABLE, ids=name_of)
def test_what_can_be_read_can_be_asked_for_its_head(world: World, route: Route) -> None:
    answer = world.api.head(path_of(route, world))
    assert answer.status_code == route.status
    assert answer.content == b""
    assert ("content-length" in answer.headers) == (route.status != 204)


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_page_from_anywhere_may_ask(world: World, anybody: httpx.Client, route: Route) -> None:
    headers = {
        "origin": "https://portal.example",
        "access-control-request-method": route.method,
        "access-control-request-headers": "authorization,svix-req-id",
    }
    answer = anybody.options(path_of(route, world), headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert route.method in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-headers"] == "authorization,svix-req-id"
    assert answer.headers["access-control-max-age"] == "600"
