"""The receivers of `docs/receiving.md` are run, against requests as Stafett makes them."""

from __future__ import annotations

import http.client
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

import making
from docs.conftest import DOCS, blocks, text_of
from stafett import signing
from stafett.engine.clock import SystemClock
from stafett.engine.requests import Template
from stafett.model import Endpoint, EndpointSecret, HeaderFamily, Secret
from stafett.services.secrets import private_key

PAGE = DOCS / "receiving.md"
CLOCK = SystemClock()
"""The snippets ask the machine for the time, so the requests are made now."""
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PRIVATE = private_key(bytes(range(32)))
BODY = '{"name":  "Åse"}'.encode()
APP = making.ids.app(making.NOW)
MESSAGE = making.ids.message(making.NOW)


def program(begins: str) -> dict[str, Any]:
    """What the Python block of the page that has this line defines."""
    found = [each for each in blocks("python", pages=(PAGE,)) if begins in each.text]
    assert len(found) == 1, begins
    names: dict[str, Any] = {"__name__": "receiving"}
    exec(compile(found[0].text, str(found[0]), "exec"), names)
    return names


def sent(endpoint: Endpoint, *, at: datetime | None = None, test: bool = False) -> dict[str, str]:
    """The headers of a request to `endpoint`, made now unless told."""
    now = at or CLOCK.now()
    due = making.a_due_delivery(
        message_id=MESSAGE,
        app_id=APP,
        endpoint_id=endpoint.id,
        accepted_at=now,
        test=test,
        payload=BODY,
    )
    attempt_id = making.ids.attempt(now)
    request = Template(endpoint).request(
        due, attempt_id=attempt_id, now=now, timeout=timedelta(seconds=1)
    )
    return dict(request.headers)


def an_endpoint(*secrets: str) -> Endpoint:
    """Signed with `secrets`: the first is current, the others in their grace."""
    grace = CLOCK.now() + timedelta(hours=1)
    signing_with = tuple(
        EndpointSecret(secret=Secret(text), expires_at=grace if place else None)
        for place, text in enumerate(secrets)
    )
    return making.an_endpoint(APP, url="https://example.com/hook", secrets=signing_with)


# --- a whole receiver -------------------------------------------------------------------------


@contextmanager
def served(handler: Any) -> Generator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield listening.server_address[1]
        listening.shutdown()
        thread.join()


def answers(port: int, *requests: tuple[dict[str, str], bytes]) -> list[int]:
    statuses: list[int] = []
    for headers, body in requests:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/", body, headers)
        statuses.append(connection.getresponse().status)
        connection.close()
    return statuses


def test_the_receiver_in_python_takes_what_is_genuine_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    genuine = sent(an_endpoint(making.SECRET))
    with served(program("class Receiver")["Receiver"]) as port:
        statuses = answers(
            port,
            (genuine, BODY),
            (sent(an_endpoint(OTHER, making.SECRET)), BODY),
            (genuine, BODY + b" "),
            (genuine, b"\xff"),
            (sent(an_endpoint(OTHER)), BODY),
            (sent(an_endpoint(making.SECRET), at=making.NOW), BODY),
            (genuine | {"webhook-signature": "v1"}, BODY),
            ({}, BODY),
        )
    assert statuses == [204, 204, 400, 400, 400, 400, 400, 400]
    assert capsys.readouterr().out == f"{MESSAGE} {{'name': 'Åse'}}\n" * 2


# --- by hand ----------------------------------------------------------------------------------


def by_hand(secret: str) -> tuple[Any, str]:
    """The function of the page for such a secret, and what it is given to verify with."""
    if secret.startswith(signing.PRIVATE):
        public = program("def public_key")["public_key"](secret)
        assert public.startswith("whpk_")
        return program("Ed25519PublicKey")["is_genuine"], public
    return program('removeprefix("whsec_")')["is_genuine"], secret


@pytest.mark.parametrize("secret", [making.SECRET, PRIVATE], ids=["v1", "v1a"])
def test_by_hand_as_by_stafett(secret: str) -> None:
    is_genuine, key = by_hand(secret)
    headers = sent(an_endpoint(secret))
    assert is_genuine(key, headers, BODY)
    assert is_genuine(key, sent(an_endpoint(OTHER, secret)), BODY)
    assert not is_genuine(key, headers, BODY + b" ")
    assert not is_genuine(key, sent(an_endpoint(OTHER)), BODY)
    assert not is_genuine(key, headers | {"webhook-id": "msg_2"}, BODY)
    assert not is_genuine(key, {}, BODY)


@pytest.mark.parametrize("secret", [making.SECRET, PRIVATE], ids=["v1", "v1a"])
@pytest.mark.parametrize(
    "changed",
    [
        *("", "{version}", "{version},", "{version},!", "{version},é", "v2,{good}", "{good}"),
        *("{version},{good}x", "{version}, {good}", "{version},{version},{good}"),
    ],
)
def test_by_hand_odd_signatures_are_refused(secret: str, changed: str) -> None:
    is_genuine, key = by_hand(secret)
    headers = sent(an_endpoint(secret))
    version, _, good = headers["webhook-signature"].partition(",")
    odd = changed.format(version=version, good=good)
    assert not is_genuine(key, headers | {"webhook-signature": odd}, BODY)


@pytest.mark.parametrize("secret", [making.SECRET, PRIVATE], ids=["v1", "v1a"])
def test_by_hand_the_tolerance_is_the_usual_one(secret: str) -> None:
    is_genuine, key = by_hand(secret)
    assert is_genuine.__globals__["TOLERANCE"] == signing.TOLERANCE.total_seconds()
    now = CLOCK.now()
    for off, good in ((-330, False), (-270, True), (270, True), (330, False)):
        headers = sent(an_endpoint(secret), at=now + timedelta(seconds=off))
        assert is_genuine(key, headers, BODY) is good, off
    for stamp in ("soon", "1e9", "-5", ""):
        assert not is_genuine(key, sent(an_endpoint(secret)) | {"webhook-timestamp": stamp}, BODY)


# --- duplicates -------------------------------------------------------------------------------


def test_a_message_that_comes_twice_is_worked_on_once() -> None:
    names = program("def handle_once")
    database = sqlite3.connect(":memory:")
    database.execute(names["SEEN"])
    done: list[str] = []

    def fail(_: sqlite3.Connection) -> None:
        message = "the work failed"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="the work failed"):
        names["handle_once"](database, "msg_1", fail)

    def work(_: sqlite3.Connection) -> None:
        done.append("worked")

    handled = [names["handle_once"](database, each, work) for each in ("msg_1", "msg_1", "msg_2")]
    assert handled == [True, False, True]
    assert done == ["worked", "worked"]
    database.close()


# --- what comes -------------------------------------------------------------------------------


def told() -> set[str]:
    """The headers in the page's table."""
    table = text_of(PAGE).partition("| Header |")[2].partition("\n\n")[0]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {name for cell in first for name in cell.replace("`", "").replace(",", " ").split()}


def test_the_headers_are_those_that_come() -> None:
    headers = sent(an_endpoint(making.SECRET), test=True)
    # The sender adds these, see `engine.sending.Request`.
    assert told() == {*headers, "host", "content-length", "accept-encoding"}
    assert "stafett-test" not in sent(an_endpoint(making.SECRET))


def test_the_svix_family_has_other_names_for_three_of_them() -> None:
    ours = sent(an_endpoint(making.SECRET))
    theirs = sent(replace(an_endpoint(making.SECRET), header_family=HeaderFamily.SVIX))
    assert set(theirs) - set(ours) == {"svix-id", "svix-timestamp", "svix-signature"}
    both = sent(replace(an_endpoint(making.SECRET), header_family=HeaderFamily.BOTH))
    assert set(both) == {*ours, *theirs}
    for name in set(theirs) - set(ours):
        assert f"`{name}`" in text_of(PAGE)
