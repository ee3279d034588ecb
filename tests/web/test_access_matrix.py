"""Who may call what: every route of the table, with every kind of token."""

from __future__ import annotations

import re

import httpx
import pytest

from stafett.web.routes import ROUTES, Access, Route

GUARDED = [each for each in ROUTES if each.access is not Access.OPEN]
OF_AN_APP = [each for each in GUARDED if "{app}" in each.path]


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"


def _path(route: Route, app: str) -> str:
    filled = route.path.replace("{app}", app)
    return re.sub(r"\{\w+\}", "nothing", filled).lstrip("/")


@pytest.fixture
def stranger(api: httpx.Client) -> dict[str, str]:
    """The header of a token for some other application."""
    other = api.post("app", json={"name": "Stranger"}).json()["id"]
    made = api.post("token", json={"name": "stranger", "app": other})
    assert made.status_code == 201, made.text
    return {"authorization": f"Bearer {made.json()['token']}"}


@pytest.mark.parametrize("route", GUARDED, ids=_name)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic eDp5", "Bearer "])
def test_without_a_valid_token_everything_answers_401(
    api: httpx.Client, route: Route, header: str | None
) -> None:
    with httpx.Client(base_url=api.base_url, timeout=20) as client:
        headers = {} if header is None else {"authorization": header.strip()}
        answer = client.request(route.method, _path(route, "default"), headers=headers)
    assert answer.status_code == 401
    if route.method != "HEAD":
        assert set(answer.json()) == {"code", "detail"}


@pytest.mark.parametrize("route", OF_AN_APP, ids=_name)
def test_a_foreign_application_does_not_exist(
    api: httpx.Client, app: str, stranger: dict[str, str], route: Route
) -> None:
    answer = api.request(route.method, _path(route, app), headers=stranger, json={})
    assert answer.status_code in {403, 404}
    assert api.get(f"app/{app}").status_code == 200  # and it is still there


@pytest.mark.parametrize("slot", ["endpoint", "message"])
def test_an_own_application_does_not_open_foreign_things(
    api: httpx.Client, app: str, stranger: dict[str, str], slot: str
) -> None:
    """The own application's path with another one's endpoint or message in it."""
    own = api.post("app", json={"name": "Own"}).json()["id"]
    made = api.post("token", json={"name": "own", "app": own}).json()["token"]
    theirs = {
        "endpoint": api.post(f"app/{app}/endpoint", json={"url": "http://127.0.0.1:59999/"}).json()[
            "id"
        ],
        "message": api.post(
            f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}}
        ).json()["id"],
    }
    for route in OF_AN_APP:
        if f"{{{slot}}}" not in route.path:
            continue
        path = route.path.replace("{app}", own)
        for name, value in theirs.items():
            path = path.replace(f"{{{name}}}", value)
        path = re.sub(r"\{\w+\}", "nothing", path).lstrip("/")
        headers = {"authorization": f"Bearer {made}"}
        answer = api.request(route.method, path, headers=headers, json=_valid(route))
        assert answer.status_code in {403, 404, 422}, f"{_name(route)}: {answer.text}"


def _valid(route: Route) -> dict[str, object]:
    if "headers" in route.path:
        return {"headers": {}}
    return {"url": "http://127.0.0.1:59999/", "since": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("token", {"name": "narrow", "appId": "default"}),
        ("token", {"name": "brief", "expires_at": "2099-01-01T00:00:00Z"}),
        (
            "user",
            {"email": "v@x.test", "name": "V", "password": "correct horse 9", "rolle": "viewer"},
        ),
    ],
    ids=["application", "end", "role"],
)
def test_what_limits_a_right_is_never_passed_over(
    api: httpx.Client, path: str, body: dict[str, str]
) -> None:
    """Unread, it would leave a token for everything, or an owner."""
    answer = api.post(path, json=body)
    assert answer.status_code == 422
    assert list(body)[-1] in answer.json()["detail"][0]["msg"]
