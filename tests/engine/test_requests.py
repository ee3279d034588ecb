"""What a request says: whose it is, signed over the bytes as accepted. Oracle: `signing.verify`."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import making
import stafett
from making import NOW
from stafett import errors, signing
from stafett.engine.requests import Template
from stafett.engine.sending import Request
from stafett.ids import AppId, AttemptId
from stafett.model import Endpoint, EndpointSecret, HeaderFamily, Secret

ATTEMPT = AttemptId("atmpt_1")
OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
ED25519 = "whsk_" + base64.b64encode(bytes(range(32))).decode()


def an_endpoint(**given: Any) -> Endpoint:
    return making.an_endpoint(AppId("app_"), url="http://127.0.0.1:8080/hook?x=1", **given)


def request(endpoint: Endpoint, *, payload: bytes = making.PAYLOAD, test: bool = False) -> Request:
    due = making.a_due_delivery(
        app_id=endpoint.app_id,
        endpoint_id=endpoint.id,
        event_type="order.paid",
        test=test,
        payload=payload,
    )
    return Template(endpoint).request(
        due, attempt_id=ATTEMPT, now=NOW, timeout=timedelta(seconds=7)
    )


def names(made: Request) -> list[str]:
    return [name.lower() for name, _ in made.headers]


@pytest.mark.parametrize("payload", [b"", b"{}", making.PAYLOAD, bytes(range(256)), b"\r\n\r\n"])
@pytest.mark.parametrize("secret", [making.SECRET, ED25519])
def test_the_signature_holds_over_the_exact_bytes(payload: bytes, secret: str) -> None:
    made = request(an_endpoint(secrets=(EndpointSecret(secret=Secret(secret)),)), payload=payload)
    assert made.body == payload
    assert signing.verify([secret], dict(made.headers), made.body, now=NOW).ok
    assert not signing.verify([secret], dict(made.headers), made.body + b" ", now=NOW).ok


def test_it_says_who_sends_which_message_when_and_in_which_attempt() -> None:
    made = request(an_endpoint())
    headers = dict(made.headers)
    assert headers["webhook-id"].startswith("msg_")
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert headers["stafett-attempt"] == ATTEMPT
    assert headers["content-type"] == "application/json"
    assert f"Stafett/{stafett.__version__}" in headers["user-agent"]
    assert "stafett-test" not in headers
    assert made.timeout == timedelta(seconds=7)
    assert (made.target.host, made.target.path) == ("127.0.0.1", "/hook?x=1")


@pytest.mark.parametrize(
    ("family", "prefixes"),
    [
        (HeaderFamily.WEBHOOK, {"webhook"}),
        (HeaderFamily.SVIX, {"svix"}),
        (HeaderFamily.BOTH, {"webhook", "svix"}),
    ],
)
def test_the_names_are_those_the_endpoint_asks_for(
    family: HeaderFamily, prefixes: set[str]
) -> None:
    made = request(an_endpoint(header_family=family))
    found = {name.rpartition("-")[0] for name in names(made) if name.endswith("-signature")}
    assert found == prefixes
    for prefix in prefixes:
        mine = {k: v for k, v in made.headers if k.startswith(prefix)}
        assert signing.verify([making.SECRET], mine, made.body, now=NOW).ok


@pytest.mark.parametrize(("left", "holds"), [(timedelta(seconds=1), True), (timedelta(0), False)])
def test_a_rotated_secret_signs_until_its_time_is_over(left: timedelta, holds: bool) -> None:
    secrets = (
        EndpointSecret(secret=Secret(making.SECRET)),
        EndpointSecret(secret=Secret(OLD), expires_at=NOW + left),
    )
    made = request(an_endpoint(secrets=secrets))
    headers = dict(made.headers)
    assert signing.verify([making.SECRET], headers, made.body, now=NOW).ok
    assert signing.verify([OLD], headers, made.body, now=NOW).ok is holds


def test_a_test_says_that_it_is_one() -> None:
    assert ("stafett-test", "true") in request(an_endpoint(), test=True).headers


def test_headers_of_the_endpoint_go_along_and_take_the_place_of_the_usual_ones() -> None:
    made = request(an_endpoint(headers={"X-Shop": "31", "Content-Type": "text/x", "ACCEPT": "x"}))
    assert ("X-Shop", "31") in made.headers
    for name in ("content-type", "accept", "user-agent"):
        assert names(made).count(name) == 1
    assert ("Content-Type", "text/x") in made.headers


def test_a_url_that_became_unusable_is_told() -> None:
    with pytest.raises(errors.Invalid):
        Template(replace(an_endpoint(), url="gopher://x"))
