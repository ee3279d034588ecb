"""What went wrong in other servers of the wire format, and does not happen here: one test each.

Asked through the official package `svix` where that is who suffers, and over plain HTTP elsewhere.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from standardwebhooks import Webhook
from svix.api import (
    ApplicationCreateOptions,
    ApplicationIn,
    ApplicationListOptions,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointPatch,
    EndpointSecretRotateIn,
    EventExampleIn,
    MessageAttemptListAttemptedDestinationsOptions,
    MessageCreateOptions,
    MessageIn,
    MessageListOptions,
    RecoverIn,
    Svix,
    SvixOptions,
)
from svix.exceptions import HttpError, HTTPValidationError

from sender.receiver import Behaviour, Visit, answering, receiving
from stafett.drivers.resolver import Resolver
from web.conftest import Arrived, Recorder, Running, settled
from web.test_deliveries_over_http import (
    HOUR,
    MovedClock,
    client_of,
    destination,
    eventually,
    nothing_but,
    serving,
    settings_in,
    time_of,
)
from web.test_messages_over_http import EVENT, hook, send

PAID = MessageIn(event_type="payment_received", payload={"n": 1})


@pytest.fixture(scope="module")
def svix(server: Running) -> Iterator[Svix]:
    made = Svix(server.token, SvixOptions(server_url=server.url))
    yield made
    made.application._httpx_client.close()  # the package has no way of its own to close it


@pytest.fixture
async def own(server: Running) -> AsyncIterator[httpx.AsyncClient]:
    """For tests whose receiver lives in their own loop."""
    headers = {"authorization": f"Bearer {server.token}"}
    base = f"{server.url}/api/v1/"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
        yield client


async def verdict(own: httpx.AsyncClient, app: str, url: str) -> dict[str, Any]:
    """What a test event at `url` comes to, with the attempt as it is listed later."""
    made = await own.post(f"app/{app}/endpoint", json={"url": url})
    assert made.status_code == 201, made.text
    answer = await own.post(f"app/{app}/endpoint/{made.json()['id']}/test", json={})
    assert answer.status_code == 200, answer.text
    listed = await own.get(f"app/{app}/attempt/msg/{answer.json()['messageId']}")
    (attempt,) = listed.json()["data"]
    return answer.json() | {"attempt": attempt}


def hook_id(svix: Svix, app: str, url: str, **more: Any) -> str:
    """The id of a new endpoint, made through the package."""
    return svix.endpoint.create(app, EndpointIn(url=url, **more)).id


def refusal(call: Callable[[], object]) -> HttpError:
    """The error that the package makes of an answer; anything but an answer it can read fails."""
    with pytest.raises(HttpError) as refused:
        call()
    return refused.value


def invalid(call: Callable[[], object]) -> list[list[Any]]:
    """The places that a 422 names, as the package reads them."""
    with pytest.raises(HTTPValidationError) as refused:
        call()
    return [each.loc for each in refused.value.detail]


# --- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v1/app/a%2Fb/c/d/e", 404),
        ("GET", "/api/v1/app/nobody", 404),
        ("GET", "/in/nobody", 404),
        ("PATCH", "/api/v1/app", 405),
        ("POST", "/openapi.json", 405),
        ("GET", "/api/v1/app?order=sideways", 400),
        ("GET", "/api/v1/app?limit=0", 422),
        ("POST", "/api/v1/app", 422),
        ("GET", "/api/v1/stream", 501),
        ("GET", "/ingest/api/v1/source", 501),
    ],
)
def test_01_every_refusal_has_a_body(server: Running, method: str, path: str, status: int) -> None:
    """An address that nothing answers gave a bare 404, over which clients stumble as they read."""
    headers = {"authorization": f"Bearer {server.token}"}
    answer = httpx.request(method, server.url + path, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert isinstance(answer.json()["detail"], list if status == 422 else str)


def test_02_a_slash_in_a_name_is_an_unknown_address_to_the_client(svix: Svix) -> None:
    """One client puts names into paths as they are, and could not read what came back."""
    assert refusal(lambda: svix.application.get("a/b/c")).status_code == 404
    assert refusal(lambda: svix.event_type.get("a/b")).status_code == 404


def test_03_what_is_wrong_is_always_a_list(svix: Svix, app: str) -> None:
    """Some refusals had a mere sentence where clients go through a list of fields."""
    url = "http://127.0.0.1:59999/"
    too_many = ApplicationListOptions(limit=251)
    assert invalid(lambda: svix.application.list(too_many)) == [["query", "limit"]]
    secret = EndpointIn(url=url, secret="short")
    assert invalid(lambda: svix.endpoint.create(app, secret)) == [["body", "secret"]]
    unknown = EndpointIn(url=url, event_types=["nothing.of.the.kind"])
    assert invalid(lambda: svix.endpoint.create(app, unknown)) == [["body", "eventTypes"]]
    odd = MessageIn(event_type="with space", payload={}, tags=["with space"])
    found = invalid(lambda: svix.message.create(app, odd))
    assert found == [["body", "eventType"], ["body", "tags", 0]]


def test_04_an_empty_list_has_all_that_a_list_has(svix: Svix, app: str, receiver: Recorder) -> None:
    """The place to go on from was left out of empty lists, so clients refused them."""
    assert svix.endpoint.list(app).iterator is None
    ep = hook_id(svix, app, receiver.url("/none"))
    pages = [
        svix.message.list(app),
        svix.message_attempt.list_by_endpoint(app, ep),
        svix.message_attempt.list_attempted_messages(app, ep),
    ]
    assert [(each.data, each.iterator, each.done) for each in pages] == [([], None, True)] * 3


def test_05_a_rotation_answers_the_new_secret(svix: Svix, app: str, receiver: Recorder) -> None:
    """It answered with nothing, where newer clients read the new secret."""
    ep = hook_id(svix, app, receiver.url("/rotated"))
    rotated = svix.endpoint.rotate_secret(app, ep, EndpointSecretRotateIn())
    assert rotated.key == svix.endpoint.get_secret(app, ep).key


def test_06_sending_again_answers_an_object(
    api: httpx.Client, svix: Svix, app: str, receiver: Recorder
) -> None:
    """It answered with nothing, where clients read an object."""
    ep = hook_id(svix, app, receiver.url("/empty-object"))
    message = svix.message.create(app, PAID).id
    settled(api, app, message)
    svix.message_attempt.resend(app, message, ep)
    settled(api, app, message, attempts=2)
    answer = api.post(f"app/{app}/msg/{message}/endpoint/{ep}/resend")
    assert (answer.status_code, answer.json()) == (202, {})


def test_07_a_time_without_an_offset_is_utc(svix: Svix, app: str) -> None:
    """Clients send such times as they are given, and were refused."""
    made = svix.message.create(app, PAID)
    at = made.timestamp.astimezone(UTC).replace(tzinfo=None)
    minute = timedelta(minutes=1)

    def found(after: datetime | None, before: datetime | None) -> list[str]:
        asked = MessageListOptions(after=after, before=before)
        return [each.id for each in svix.message.list(app, asked).data]

    assert found(at - minute, at + minute) == [made.id]
    assert found(None, at - minute) == found(at + minute, None) == []


def test_08_nothing_chosen_is_everything(svix: Svix, app: str, receiver: Recorder) -> None:
    """An empty choice of events or channels was refused, although forms send just that."""
    path = f"/all/{app}"
    ep = hook_id(svix, app, receiver.url(path), event_types=[], channels=[])
    assert svix.endpoint.patch(app, ep, EndpointPatch(event_types=[], channels=[])).id == ep
    message = svix.message.create(app, MessageIn(event_type="any.thing", payload={}, channels=[]))
    nothing_but(receiver, path, message.id)


def test_09_a_secret_needs_no_prefix(svix: Svix, app: str, receiver: Recorder) -> None:
    """Described as optional, the prefix was in truth required."""
    path, bare = f"/bare/{app}", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    ep = hook_id(svix, app, receiver.url(path), secret=bare)
    assert svix.endpoint.get_secret(app, ep).key == "whsec_" + bare
    svix.message.create(app, PAID)
    arrived = receiver.next(path)
    assert Webhook("whsec_" + bare).verify(arrived.body, arrived.headers) == {"n": 1}


def test_10_the_limit_that_is_told_is_the_limit_in_force(api: httpx.Client, app: str) -> None:
    """One size of payload was described and another refused."""
    told = api.post(f"app/{app}/msg", json=EVENT | {"payload": {"a": "x" * 1_500_000}})
    assert (told.status_code, told.json()["code"]) == (413, "payload_too_large")
    found = re.search(r"at most ([0-9,]+) bytes", told.json()["detail"])
    assert found is not None
    limit = int(found[1].replace(",", ""))
    overhead = len(b'{"a":""}')
    for size, status in ((limit, 202), (limit + 1, 413)):
        payload = b'{"a":"%b"}' % (b"x" * (size - overhead))
        body = b'{"eventType":"payment_received","payload":%b}' % payload
        assert api.post(f"app/{app}/msg", content=body).status_code == status


def test_11_newest_first_whatever_is_asked(svix: Svix, app: str) -> None:
    """With a lower bound and no place to go on from, the order turned round."""
    sent = [svix.message.create(app, PAID) for _ in range(3)]
    newest_first = sorted((each.id for each in sent), reverse=True)  # ids tell the time
    since = sent[0].timestamp - HOUR
    page = svix.message.list(app, MessageListOptions(after=since, limit=2))
    rest = MessageListOptions(after=since, limit=2, iterator=page.iterator)
    found = [*page.data, *svix.message.list(app, rest).data]
    assert [each.id for each in found] == newest_first


def test_12_the_log_does_not_end_after_a_season(tmp_path: Path) -> None:
    """Lists silently looked no further back than ninety days."""
    clock = MovedClock()
    with serving(settings_in(tmp_path), clock=clock) as running, client_of(running) as api:
        message = send(api, "default")
        clock.ahead = timedelta(days=400)
        (found,) = api.get("app/default/msg").json()["data"]
        assert found["id"] == message


# --- keys and tokens --------------------------------------------------------------------------


def test_13_a_key_is_bound_to_its_body(svix: Svix, app: str) -> None:
    """The first answer was given again whatever else the body asked for."""
    key = ApplicationCreateOptions(idempotency_key=f"bound-{app}")
    first = svix.application.create(ApplicationIn(name="One"), key)
    assert svix.application.create(ApplicationIn(name="One"), key).id == first.id
    other = refusal(lambda: svix.application.create(ApplicationIn(name="Other"), key))
    assert other.status_code == 409
    again = MessageCreateOptions(idempotency_key=f"bound-{app}")
    message = svix.message.create(app, PAID, again)
    assert svix.message.create(app, PAID, again).id == message.id
    changed = MessageIn(event_type="payment_received", payload={"n": 2})
    assert refusal(lambda: svix.message.create(app, changed, again)).status_code == 409


def test_14_a_caller_that_gave_up_may_ask_again(
    server: Running, api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """A key stayed locked after its caller had gone; for minutes every repetition was a 500."""
    ep = hook(api, app, receiver.url(f"/slow/gone/{app}"))  # a second until the verdict
    one, key = f"app/{app}/endpoint/{ep}", {"idempotency-key": f"gone-{app}"}
    where = urlsplit(server.url)
    assert where.hostname is not None
    with socket.create_connection((where.hostname, where.port or 80)) as caller:
        head = f"POST /api/v1/{one}/test HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n"
        head += f"authorization: Bearer {server.token}\r\nidempotency-key: {key['idempotency-key']}"
        caller.sendall(head.encode() + b"\r\n\r\n{}")
        eventually(
            lambda: api.get(f"app/{app}/endpoint/{ep}/msg").json()["data"], lambda seen: seen != []
        )
    answers: list[int] = []

    def again() -> httpx.Response:
        answer = api.post(f"{one}/test", json={}, headers=key)
        answers.append(answer.status_code)
        return answer

    assert eventually(again, lambda answer: answer.status_code == 200).json()["ok"] is False
    assert set(answers) <= {200, 423}
    assert len(api.get(f"app/{app}/attempt/endpoint/{ep}").json()["data"]) == 1


def test_15_keys_outlive_the_process(tmp_path: Path) -> None:
    """Keys were known to memory alone: a repetition across a restart did everything twice."""
    wishes = {"app/default/msg": EVENT, "app": {"name": "A"}, "token": {"name": "t"}}
    key = {"idempotency-key": "across"}

    def ask() -> list[str]:
        with serving(settings_in(tmp_path)) as running, client_of(running) as api:
            asked = [api.post(path, json=wish, headers=key) for path, wish in wishes.items()]
            return [each.json()["id"] for each in asked]

    assert ask() == ask()


def test_16_a_token_can_be_taken_back_and_found(api: httpx.Client) -> None:
    """Who had a token had it for years: none was listed, none could be revoked."""
    made = api.post("token", json={"name": "to be revoked"}).json()
    headers = {"authorization": f"Bearer {made['token']}"}
    assert api.get("app", headers=headers).status_code == 200
    assert api.delete(f"token/{made['id']}").status_code == 204
    assert api.get("app", headers=headers).status_code == 401
    (listed,) = [each for each in api.get("token").json()["data"] if each["id"] == made["id"]]
    assert "revokedAt" in listed
    assert "token" not in listed


def test_17_an_event_id_is_good_as_long_as_its_message(tmp_path: Path) -> None:
    """Said to be taken for a day, it was taken for ever.

    Here it is a name for the message in every address, so it is taken while the message is there.
    """
    clock = MovedClock()
    with serving(settings_in(tmp_path), clock=clock) as running, client_of(running) as api:
        message = send(api, "default", eventId="order-31")
        clock.ahead = timedelta(days=2)
        assert api.get("app/default/msg/order-31").json()["id"] == message
        taken = api.post("app/default/msg", json=EVENT | {"eventId": "order-31"})
        assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
        assert "'order-31' exists already" in taken.json()["detail"]


# --- where messages go ------------------------------------------------------------------------


def test_18_a_list_of_destinations_is_done_when_it_is(
    svix: Svix, app: str, receiver: Recorder
) -> None:
    """The first page always said that it was the last."""
    hooks = {hook_id(svix, app, receiver.url("/three")) for _ in range(3)}
    message = svix.message.create(app, PAID).id
    seen: list[str] = []
    done, iterator = False, None
    while not done:
        asked = MessageAttemptListAttemptedDestinationsOptions(limit=1, iterator=iterator)
        page = svix.message_attempt.list_attempted_destinations(app, message, asked)
        seen += [each.id for each in page.data]
        done, iterator = page.done, page.iterator
    assert sorted(seen) == sorted(hooks)


@pytest.mark.parametrize("status", [429, 503])
def test_19_a_wish_for_quiet_is_not_cut_short(
    api: httpx.Client, svix: Svix, app: str, receiver: Recorder, status: int
) -> None:
    """It was held to at most twice the planned wait, and what waits was never called sending."""
    path = f"/hour/{app}"
    receiver.script[path] = [(status, {"retry-after": "3600"})]
    hook(api, app, receiver.url(path))
    message = send(api, app)
    receiver.next(path)
    found = eventually(
        lambda: svix.message_attempt.list_attempted_destinations(app, message).data[0],
        lambda one: one.next_attempt is not None and one.status != 1,
    )
    (attempt,) = svix.message_attempt.list_by_msg(app, message).data
    assert (int(found.status), found.status_text) == (3, "sending")
    assert found.next_attempt is not None
    assert found.next_attempt >= attempt.timestamp + HOUR


async def test_20_one_attempt_is_one_request(
    own: httpx.AsyncClient, api: httpx.Client, app: str
) -> None:
    """A connection that ended quickly was tried once more at once, and nobody was told."""

    async def hang_up(visit: Visit) -> None:
        await visit.request()

    async with receiving(hang_up) as odd:
        found = await verdict(own, app, odd.url())
        assert (found["ok"], odd.connection_count) == (False, 1)
        message = (await own.post(f"app/{app}/msg", json=EVENT)).json()["id"]
        failed = await asyncio.to_thread(settled, api, app, message, 3)
        assert (failed["statusText"], failed["attemptCount"]) == ("fail", 3)
        assert odd.connection_count == 1 + 3


async def drip(visit: Visit) -> None:
    """A letter of the body now and then."""
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        await visit.say(b"x")
        await asyncio.sleep(0.02)


async def test_21_a_body_that_drips_ends_with_the_attempt(own: httpx.AsyncClient, app: str) -> None:
    """Once the headers were there no clock ran: a slow body held its place as long as it liked."""
    async with receiving(drip) as odd:
        found = await verdict(own, app, odd.url())
        await odd.left.wait()
    assert (found["ok"], found["statusCode"], found["cause"]) == (False, None, "timeout")
    assert 1000 <= found["durationMs"] < 3000


def replying(body: bytes) -> Behaviour:
    return answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


async def test_22_a_body_without_end_is_read_to_a_limit(own: httpx.AsyncClient, app: str) -> None:
    """The whole of a reply was taken into memory, and cut afterwards."""

    async def flood(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n")
        while True:
            await visit.say(b"x" * 65_536)

    async with receiving(flood) as odd:
        found = await verdict(own, app, odd.url())
        await odd.left.wait()
    assert (found["ok"], found["statusCode"]) == (True, 200)
    assert found["attempt"]["response"] == "x" * 65_536


async def test_23_a_cut_within_a_letter_leaves_text(own: httpx.AsyncClient, app: str) -> None:
    """Such a reply was kept as base64 from its first byte to its last."""
    async with receiving(replying(b"x" + "é".encode() * 40_000)) as odd:
        found = await verdict(own, app, odd.url())
    response = found["attempt"]["response"]
    assert response.startswith("xéé")
    assert response.rstrip("\N{REPLACEMENT CHARACTER}").endswith("é")
    assert len(response) - len(response.rstrip("\N{REPLACEMENT CHARACTER}")) == 1


@pytest.mark.parametrize("body", [b"a\0b", b"\xff\xfe\0", b"\0"], ids=repr)
async def test_24_no_byte_of_a_reply_loses_its_attempt(
    own: httpx.AsyncClient, app: str, body: bytes
) -> None:
    """A zero byte could not be stored: the delivery was repeated and no attempt was ever shown."""
    async with receiving(replying(body)) as odd:
        found = await verdict(own, app, odd.url())
        assert len(odd.requests) == 1
    assert found["ok"]
    shown = body.decode(errors="replace").replace("\0", "\N{SYMBOL FOR NULL}")
    assert found["attempt"]["response"] == found["responseBody"] == shown


def test_25_one_message_that_fails_long_enough_switches_off(
    tmp_path: Path, receiver: Recorder
) -> None:
    """It took two given-up messages, and a restart forgot how long it had gone on."""
    path, app, clock = "/failing", "default", MovedClock()
    receiver.script[path] = [(500, {"retry-after": "3600"}), (500, {})]
    settings = settings_in(tmp_path, disable_after=timedelta(minutes=30))
    with serving(settings, clock=clock) as running, client_of(running) as api:
        one = f"app/{app}/endpoint/{hook(api, app, receiver.url(path))}"
        message = send(api, app)
        receiver.next(path)
        eventually(lambda: api.get(one).json(), lambda seen: "failingSince" in seen)
        assert api.get(one).json()["disabled"] is False
    clock.ahead = HOUR + timedelta(minutes=1)
    with serving(settings, clock=clock) as running, client_of(running) as api:
        receiver.next(path)
        shown = eventually(lambda: api.get(one).json(), lambda seen: seen["disabled"])
        assert shown["disabledReason"] == "failing"
        assert time_of(shown["disabledAt"]) >= time_of(shown["failingSince"]) + HOUR
        assert destination(api, app, message)["statusText"] == "canceled"


def test_26_a_change_holds_from_the_next_message_on(
    svix: Svix, app: str, receiver: Recorder
) -> None:
    """For half a minute after a change, messages went the old way: old headers, or sent at all."""
    path = f"/next/{app}"
    ep = hook_id(svix, app, receiver.url(path))

    def sent() -> Arrived:
        svix.message.create(app, PAID)
        return receiver.next(path)

    assert "x-a" not in sent().headers
    svix.endpoint.set_headers(app, ep, EndpointHeadersIn(headers={"x-a": "1", "x-b": "1"}))
    assert (sent().headers["x-a"], sent().headers["x-b"]) == ("1", "1")
    patch = EndpointHeadersPatchIn(headers={"x-a": "2"}, delete_headers=["x-b"])
    svix.endpoint.patch_headers(app, ep, patch)
    patched = sent().headers
    assert (patched["x-a"], "x-b" in patched) == ("2", False)
    svix.endpoint.patch(app, ep, EndpointPatch(disabled=True))
    svix.message.create(app, PAID)
    svix.endpoint.patch(app, ep, EndpointPatch(disabled=False))
    nothing_but(receiver, path, svix.message.create(app, PAID).id)


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-a", "a\nb: c"), ("x-a", "é"), ("x-a", " "), ("x-a", "x" * 5000), ("a b", "1")],
)
def test_27_headers_are_judged_whichever_way_they_come(
    svix: Svix, app: str, receiver: Recorder, name: str, value: str
) -> None:
    """Changed one by one, their values were not looked at."""
    ep = hook_id(svix, app, receiver.url("/values"))
    place = [["body", "headers", name]]
    put = EndpointHeadersIn(headers={name: value})
    assert invalid(lambda: svix.endpoint.set_headers(app, ep, put)) == place
    patch = EndpointHeadersPatchIn(headers={name: value}, delete_headers=[])
    assert invalid(lambda: svix.endpoint.patch_headers(app, ep, patch)) == place
    assert svix.endpoint.get_headers(app, ep).headers == {}


@pytest.mark.parametrize("family", ["webhook", "svix"])
@pytest.mark.parametrize("part", ["id", "timestamp", "signature"])
def test_28_no_header_can_stand_in_for_a_signature(
    svix: Svix, app: str, receiver: Recorder, family: str, part: str
) -> None:
    """Only one of the two families of names was kept for the signature itself."""
    ep = hook_id(svix, app, receiver.url("/forged"))
    name = f"{family}-{part}".title()
    put = EndpointHeadersIn(headers={name: "x"})
    assert invalid(lambda: svix.endpoint.set_headers(app, ep, put))
    patch = EndpointHeadersPatchIn(headers={name: "x"}, delete_headers=[])
    assert invalid(lambda: svix.endpoint.patch_headers(app, ep, patch))


# --- one beside the other ---------------------------------------------------------------------


def test_29_each_endpoint_is_served_by_itself(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """All endpoints of a message waited for the slowest, and shared its trouble: sent twice."""
    fast, slow = f"/fast/{app}", f"/slow/{app}"
    dead = hook(api, app, "http://127.0.0.1:59999/")
    quick = hook(api, app, receiver.url(fast))
    hanging = hook(api, app, receiver.url(slow))
    message = send(api, app)

    def standing() -> dict[str, dict[str, Any]]:
        found = api.get(f"app/{app}/msg/{message}/endpoint").json()["data"]
        return {each["id"]: each for each in found}

    assert receiver.next(fast).headers["webhook-id"] == message
    found = eventually(standing, lambda seen: seen[quick]["status"] == 0)
    assert found[hanging]["status"] in {1, 3}
    found = eventually(standing, lambda seen: seen[dead]["status"] == seen[hanging]["status"] == 2)
    assert [found[each]["attemptCount"] for each in (dead, quick, hanging)] == [3, 1, 3]
    assert receiver.at(fast).empty()


@pytest.mark.parametrize("verb", ["resend", "recover"])
def test_30_sending_again_is_tried_again(
    api: httpx.Client, svix: Svix, app: str, receiver: Recorder, verb: str
) -> None:
    """What was sent again by hand had a single try."""
    path = f"/again/{app}/{verb}"
    receiver.script[path] = [(500, {})] * 5 + [(200, {})]
    ep = hook_id(svix, app, receiver.url(path))
    made = svix.message.create(app, PAID)
    assert settled(api, app, made.id, attempts=3)["statusText"] == "fail"
    if verb == "resend":
        svix.message_attempt.resend(app, made.id, ep)
    else:
        svix.endpoint.recover(app, ep, RecoverIn(since=made.timestamp - HOUR))
    assert settled(api, app, made.id, attempts=6)["statusText"] == "success"


def test_31_nothing_is_promised_for_an_endpoint_that_is_off(
    api: httpx.Client, svix: Svix, app: str, receiver: Recorder
) -> None:
    """Sending again was accepted for it, and then quietly left undone."""
    ep = hook_id(svix, app, receiver.url("/off"))
    made = svix.message.create(app, PAID)
    settled(api, app, made.id)
    svix.endpoint.patch(app, ep, EndpointPatch(disabled=True))
    since = RecoverIn(since=made.timestamp - HOUR)
    assert refusal(lambda: svix.message_attempt.resend(app, made.id, ep)).status_code == 409
    assert refusal(lambda: svix.endpoint.recover(app, ep, since)).status_code == 409


@pytest.mark.parametrize("disabled", [False, True])
def test_32_an_example_is_sent_to_whoever_it_is_asked_for(
    svix: Svix, app: str, receiver: Recorder, disabled: bool
) -> None:
    """An endpoint that had not chosen the event got nothing, although all was said to be well."""
    path = f"/example/{app}"
    ep = hook_id(svix, app, receiver.url(path), event_types=["payment_failed"], disabled=disabled)
    sent = svix.endpoint.send_example(app, ep, EventExampleIn(event_type="payment_received"))
    nothing_but(receiver, path, sent.id)
    sent = svix.endpoint.send_example(app, ep, EventExampleIn(event_type="svix.ping"))
    nothing_but(receiver, path, sent.id)


def test_33_recover_leaves_nothing_out(api: httpx.Client, app: str, receiver: Recorder) -> None:
    """Beyond its first page it skipped some of what it should have sent."""
    path, count = f"/many/{app}", 1_100  # more than two rounds
    one = f"app/{app}/endpoint/{hook(api, app, receiver.url(path))}"
    at = (time_of(api.get(one).json()["createdAt"]) + HOUR).isoformat()
    batch = {"messages": [EVENT | {"deliverAt": at}] * (count // 2)}
    owed: set[str] = set()
    for _ in range(2):
        accepted = api.post(f"app/{app}/msg/batch", json=batch).json()["data"]
        owed |= {each["message"]["id"] for each in accepted}
    for disabled in (True, False):  # cancels all of it
        api.patch(one, json={"disabled": disabled})
    assert api.get(f"{one}/stats").json()["canceled"] == count
    since = api.get(f"app/{app}").json()["createdAt"]
    assert api.post(f"{one}/recover", json={"since": since}).status_code == 202
    assert {receiver.next(path).headers["webhook-id"] for _ in range(count)} == owed
    eventually(lambda: api.get(f"{one}/stats").json(), lambda seen: seen["success"] == count)
    assert receiver.at(path).empty()


def test_34_a_payload_that_is_no_json_is_not_called_expired(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    """Lists showed such a payload as gone while it was there."""
    path = f"/words/{app}"
    ep = hook(api, app, receiver.url(path))
    message = send(api, app, transformationsParams={"rawPayload": "a=1"})
    settled(api, app, message)
    receiver.next(path)
    for listed in (f"app/{app}/msg", f"app/{app}/endpoint/{ep}/msg"):
        (found,) = api.get(listed).json()["data"]
        assert found["payload"] == {"rawPayload": "a=1"}


# --- where messages may go --------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::1]/",
        "http://metadata.google.internal/",
    ],
)
def test_35_a_private_address_is_refused_where_it_is_given(svix: Svix, app: str, url: str) -> None:
    """It was taken, and only failed attempts told that nothing would ever be sent there."""
    assert invalid(lambda: svix.endpoint.create(app, EndpointIn(url=url))) == [["body", "url"]]
    assert svix.endpoint.list(app).data == []


def test_36_no_name_is_above_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is common between containers was let through wherever it led."""
    monkeypatch.setattr("stafett.app.Resolver", lambda: Resolver(lambda _: ["10.0.0.5"]))
    with serving(settings_in(tmp_path)) as running, client_of(running) as api:
        for name in ("backend", "hooks.example.com"):
            one = f"app/default/endpoint/{hook(api, 'default', f'http://{name}/')}"
            found = api.post(f"{one}/test", json={}).json()
            assert (found["ok"], found["cause"]) == (False, "target_not_allowed")
            assert "10.0.0.5" not in str(found)
