"""What becomes of deliveries, told and steered over HTTP: pauses, ends, numbers, keys, beginnings.

Oracles: the receiver's own record of what came when, and the package `standardwebhooks`.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import uvicorn
from standardwebhooks import Webhook
from typing_extensions import override

from stafett.app import Stafett
from stafett.engine.clock import SystemClock
from stafett.model import Secret
from stafett.settings import Settings, parse_networks
from stafett.web.protocol import RestingProtocol
from web.conftest import TOKEN, WAIT, Arrived, Recorder, Running, settled
from web.test_messages_over_http import hook, send

T = TypeVar("T")
HOUR = timedelta(hours=1)


class MovedClock(SystemClock):
    """Runs as the machine's own does, and can be put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    @override
    def now(self) -> datetime:
        return super().now() + self.ahead


def settings_in(folder: Path, **more: Any) -> Settings:
    """As the shared server has them."""
    usual: dict[str, Any] = {
        "data": folder,
        "bootstrap_token": Secret(TOKEN),
        "allow_networks": parse_networks("127.0.0.0/8"),
        "retry_schedule": (timedelta(milliseconds=50), timedelta(milliseconds=50)),
        "attempt_timeout": timedelta(seconds=1),
    }
    return Settings(**usual | more)


@contextmanager
def serving(
    settings: Settings,
    *,
    clock: MovedClock | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    **config: Any,
) -> Generator[Running]:
    """A server in a thread of its own, with a life as long as the block's."""
    servers: queue.Queue[uvicorn.Server] = queue.Queue()

    async def serve(listener: socket.socket) -> None:
        stafett = Stafett(settings, clock=clock)
        server = uvicorn.Server(
            uvicorn.Config(
                stafett.asgi(), http=RestingProtocol, log_config=None, lifespan="on", **config
            )
        )
        servers.put(server)
        await server.serve(sockets=[listener])

    def run(listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(serve(listener))

    # It listens from here on: who comes before the server is ready waits.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, args=[listener], daemon=True)
        thread.start()
        server = servers.get(timeout=WAIT)
        yield Running(url=f"http://127.0.0.1:{listener.getsockname()[1]}", token=TOKEN)
        server.should_exit = True
        thread.join(WAIT)
        assert not thread.is_alive()


def client_of(running: Running) -> httpx.Client:
    """A client with the owner's token; paths are below /api/v1."""
    headers = {"authorization": f"Bearer {running.token}"}
    return httpx.Client(base_url=running.url + "/api/v1/", headers=headers, timeout=WAIT)


def eventually(look: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """What `look` sees once it `holds`: another thread's work, seen only over HTTP."""
    ticks = threading.Event()
    seen = look()
    for _ in range(int(WAIT / 0.02)):
        if holds(seen):
            return seen
        ticks.wait(0.02)
        seen = look()
    raise AssertionError(seen)


def destination(api: httpx.Client, app: str, message: str) -> dict[str, Any]:
    """The one endpoint of a message and where the delivery stands."""
    (one,) = api.get(f"app/{app}/msg/{message}/endpoint").json()["data"]
    return one


def time_of(shown: str) -> datetime:
    return datetime.fromisoformat(shown)


def later(api: httpx.Client, app: str, wait: timedelta = HOUR) -> str:
    """A moment ahead, by the server's own clock."""
    made = api.post("token", json={"name": "clock", "app": app}).json()["createdAt"]
    return (time_of(made) + wait).isoformat()


def nothing_but(receiver: Recorder, path: str, message: str) -> None:
    """The next that arrives at `path` is `message`: nothing came before, nothing waits behind."""
    assert receiver.next(path).headers["webhook-id"] == message
    assert receiver.at(path).empty()


# --- a receiver that asks for quiet -----------------------------------------------------------


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_receiver_that_asks_for_quiet_gets_it(
    api: httpx.Client, app: str, receiver: Recorder, form: str, status: int
) -> None:
    path = f"/quiet/{app}/{form}"
    until = time_of(later(api, app, timedelta(seconds=2))).replace(microsecond=0)
    asked = "1" if form == "seconds" else format_datetime(until, usegmt=True)
    receiver.script[path] = [(status, {"retry-after": asked}), (200, {})]
    ep = hook(api, app, receiver.url(path))
    first = send(api, app)
    receiver.next(path)
    paused = eventually(
        lambda: api.get(f"app/{app}/endpoint/{ep}").json(), lambda one: "pausedUntil" in one
    )
    waiting = destination(api, app, first)
    assert (waiting["status"], waiting["statusText"]) == (3, "sending")  # the format's word for it
    assert time_of(waiting["nextAttempt"]) >= time_of(paused["pausedUntil"])
    second = send(api, app)  # the pause is the endpoint's, not only the delivery's
    for message, attempts in ((first, 2), (second, 1)):
        assert settled(api, app, message, attempts=attempts)["statusText"] == "success"
    made = api.get(f"app/{app}/attempt/endpoint/{ep}", params={"status": "success"}).json()["data"]
    assert {each["msgId"] for each in made} == {first, second}
    for each in made:
        assert time_of(each["timestamp"]) >= time_of(paused["pausedUntil"])
    if form == "date":
        assert time_of(paused["pausedUntil"]) == until
    else:
        refused = api.get(f"app/{app}/attempt/msg/{first}").json()["data"][-1]
        asked_at = time_of(refused["timestamp"])
        assert time_of(paused["pausedUntil"]) >= asked_at + timedelta(seconds=1)


def test_a_long_quiet_outlasts_the_process_and_ends_on_time(
    tmp_path: Path, receiver: Recorder
) -> None:
    path, clock, app = "/long-quiet", MovedClock(), "default"
    receiver.script[path] = [(503, {"retry-after": "3600"}), (200, {})]
    with serving(settings_in(tmp_path), clock=clock) as running, client_of(running) as api:
        hook(api, app, receiver.url(path), eventTypes=["payment_received"])
        hook(api, app, receiver.url("/no-quiet"), eventTypes=["payment_failed"])
        message = send(api, app)
        receiver.next(path)
        eventually(lambda: destination(api, app, message), lambda one: "pausedUntil" in one)
    clock.ahead = HOUR - timedelta(minutes=1)
    with serving(settings_in(tmp_path), clock=clock) as running, client_of(running) as api:
        send(api, app, eventType="payment_failed")
        receiver.next("/no-quiet")
        assert receiver.at(path).empty()
        clock.ahead = HOUR + timedelta(minutes=1)
        assert settled(api, app, message, attempts=2)["statusText"] == "success"
        nothing_but(receiver, path, message)


def test_switching_on_again_ends_the_quiet(api: httpx.Client, app: str, receiver: Recorder) -> None:
    path = f"/quiet-no-more/{app}"
    receiver.script[path] = [(503, {"retry-after": "3600"}), (200, {})]
    ep = hook(api, app, receiver.url(path))
    send(api, app)
    receiver.next(path)
    one = f"app/{app}/endpoint/{ep}"
    eventually(lambda: api.get(one).json(), lambda seen: "pausedUntil" in seen)
    for disabled in (True, False):
        assert api.patch(one, json={"disabled": disabled}).status_code == 200
    assert "pausedUntil" not in api.get(one).json()
    nothing_but(receiver, path, send(api, app))


# --- giving up --------------------------------------------------------------------------------


def test_what_waits_for_its_time_can_be_canceled_once(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/cancel/{app}"
    ep = hook(api, app, receiver.url(path))
    at = later(api, app)
    message = send(api, app, deliverAt=at)
    waiting = destination(api, app, message)
    assert (waiting["status"], time_of(waiting["nextAttempt"])) == (1, time_of(at))
    cancel = f"app/{app}/msg/{message}/endpoint/{ep}/cancel"
    assert [api.post(cancel).json() for _ in range(2)] == [{"canceled": True}, {"canceled": False}]
    found = destination(api, app, message)
    assert (found["status"], found["statusText"], found["attemptCount"]) == (4, "canceled", 0)
    assert "nextAttempt" not in found
    (listed,) = api.get(f"app/{app}/endpoint/{ep}/msg", params={"status": 4}).json()["data"]
    assert (listed["id"], listed["note"]) == (message, "canceled by hand")
    assert api.post(f"app/{app}/msg/{message}/endpoint/{ep}/resend").status_code == 202
    nothing_but(receiver, path, message)


def test_what_waits_for_another_try_can_be_canceled(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/cancel-retry/{app}"
    receiver.script[path] = [(503, {"retry-after": "1"}), (200, {})]
    ep = hook(api, app, receiver.url(path))
    message = send(api, app)
    receiver.next(path)
    eventually(lambda: destination(api, app, message), lambda one: one["attemptCount"] == 1)
    cancel = f"app/{app}/msg/{message}/endpoint/{ep}/cancel"
    assert api.post(cancel).json() == {"canceled": True}
    nothing_but(receiver, path, send(api, app))  # sent when the quiet is over
    assert destination(api, app, message)["statusText"] == "canceled"


def test_only_what_waits_can_be_canceled(api: httpx.Client, app: str, receiver: Recorder) -> None:
    ep = hook(api, app, receiver.url(f"/cancel-late/{app}"))
    message = send(api, app)
    settled(api, app, message)
    cancel = f"app/{app}/msg/{message}/endpoint/{ep}/cancel"
    assert api.post(cancel).json() == {"canceled": False}
    assert destination(api, app, message)["statusText"] == "success"
    other = hook(api, app, receiver.url(f"/cancel-never/{app}"))
    never = api.post(f"app/{app}/msg/{message}/endpoint/{other}/cancel")
    assert (never.status_code, never.json()["code"]) == (404, "not_found")


# --- numbers ----------------------------------------------------------------------------------


def test_the_stats_of_an_endpoint_are_what_happened(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/stats/{app}"
    ep = hook(api, app, receiver.url(path))
    one = f"app/{app}/endpoint/{ep}"
    before = api.get(one).json()["createdAt"]
    for _ in range(3):
        settled(api, app, send(api, app))
    receiver.script[path] = [(500, {})]
    for _ in range(2):
        assert settled(api, app, send(api, app), attempts=3)["statusText"] == "fail"
    at = later(api, app)
    send(api, app, deliverAt=at)
    api.post(f"app/{app}/msg/{send(api, app, deliverAt=at)}/endpoint/{ep}/cancel")
    counted = {"success": 3, "fail": 2, "pending": 1, "sending": 0, "canceled": 1}
    assert api.get(f"{one}/stats").json() == counted
    assert api.get(f"{one}/stats", params={"since": before}).json() == counted
    nothing = dict.fromkeys(counted, 0)
    assert api.get(f"{one}/stats", params={"until": before}).json() == nothing
    shown = api.get(one).json()
    assert (shown["eventCount"], shown["lastStatusCode"]) == (3, 500)
    assert time_of(shown["failingSince"]) <= time_of(shown["lastAttemptAt"])
    # A success ends the failing time, and by hand it counts as any other.
    receiver.script[path] = [(200, {})]
    (failed, _) = api.get(f"{one}/msg", params={"status": "fail"}).json()["data"]
    assert api.post(f"app/{app}/msg/{failed['id']}/endpoint/{ep}/resend").status_code == 202
    settled(api, app, failed["id"], attempts=4)
    assert api.get(f"{one}/stats").json() == counted | {"success": 4, "fail": 1}
    shown = api.get(one).json()
    assert (shown["eventCount"], "failingSince" in shown) == (4, False)


def test_what_is_under_way_is_counted_as_such(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    ep = hook(api, app, receiver.url(f"/slow/stats/{app}"))
    message = send(api, app)
    stats = eventually(
        lambda: api.get(f"app/{app}/endpoint/{ep}/stats").json(), lambda seen: seen["sending"] == 1
    )
    assert stats == {"success": 0, "fail": 0, "pending": 0, "sending": 1, "canceled": 0}
    busy = api.post(f"app/{app}/msg/{message}/endpoint/{ep}/resend")
    assert (busy.status_code, busy.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    "range_", [{"until": HOUR}, {"since": HOUR}, {"since": timedelta(days=-29)}], ids=str
)
def test_a_range_that_cannot_be_counted_says_so(
    api: httpx.Client, app: str, receiver: Recorder, range_: dict[str, timedelta]
) -> None:
    ep = hook(api, app, receiver.url("/range"))
    asked = {name: later(api, app, wait) for name, wait in range_.items()}
    answer = api.get(f"app/{app}/endpoint/{ep}/stats", params=asked)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_range")


# --- secrets ----------------------------------------------------------------------------------


def signed_with(arrived: Arrived, *secrets: str) -> bool:
    """Whether these secrets signed it, in this order and no other."""
    at = datetime.fromtimestamp(int(arrived.headers["webhook-timestamp"])).astimezone()
    text = arrived.body.decode()
    expected = [Webhook(each).sign(arrived.headers["webhook-id"], at, text) for each in secrets]
    return arrived.headers["webhook-signature"].split() == expected


def test_without_grace_the_old_secret_signs_no_more(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/rotate/{app}"
    one = f"app/{app}/endpoint/{hook(api, app, receiver.url(path))}"
    old = api.get(f"{one}/secret").json()["key"]
    send(api, app)
    assert signed_with(receiver.next(path), old)
    rotated = api.post(f"{one}/secret/rotate", json={"gracePeriodSeconds": 0})
    new = rotated.json()["key"]
    assert (rotated.status_code, api.get(f"{one}/secret").json()) == (200, {"key": new})
    assert new != old
    send(api, app)
    assert signed_with(receiver.next(path), new)


def test_in_its_grace_the_old_secret_signs_too_and_then_no_more(
    tmp_path: Path, receiver: Recorder
) -> None:
    path, clock = "/grace", MovedClock()
    given = "whsec_" + "A" * 32
    with serving(settings_in(tmp_path), clock=clock) as running, client_of(running) as api:
        one = f"app/default/endpoint/{hook(api, 'default', receiver.url(path))}"
        old = api.get(f"{one}/secret").json()["key"]
        wish = {"key": given, "gracePeriodSeconds": 3600}
        assert api.post(f"{one}/secret/rotate", json=wish).json() == {"key": given}
        send(api, "default")
        assert signed_with(receiver.next(path), given, old)
        newest = api.post(f"{one}/secret/rotate").json()["key"]  # a day of grace
        send(api, "default")
        assert signed_with(receiver.next(path), newest, given, old)
        clock.ahead = HOUR + timedelta(minutes=1)
        send(api, "default")
        assert signed_with(receiver.next(path), newest, given)
        clock.ahead = timedelta(days=1, minutes=1)
        send(api, "default")
        assert signed_with(receiver.next(path), newest)


def test_a_retry_is_signed_with_what_is_in_force_then(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/rotate-retry/{app}"
    receiver.script[path] = [(503, {"retry-after": "1"}), (200, {})]
    one = f"app/{app}/endpoint/{hook(api, app, receiver.url(path))}"
    old = api.get(f"{one}/secret").json()["key"]
    send(api, app)
    assert signed_with(receiver.next(path), old)
    new = api.post(f"{one}/secret/rotate", json={"gracePeriodSeconds": 0}).json()["key"]
    assert signed_with(receiver.next(path), new)


# --- payloads that are gone -------------------------------------------------------------------


def test_what_was_expunged_cannot_be_sent_again(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/expunged/{app}"
    ep = hook(api, app, receiver.url(path))
    message = send(api, app, payload={"secret": "words"})
    receiver.next(path)
    settled(api, app, message)
    assert api.delete(f"app/{app}/msg/{message}/content").status_code == 204
    answer = api.post(f"app/{app}/msg/{message}/endpoint/{ep}/resend")
    assert (answer.status_code, answer.json()["code"]) == (400, "missing_payload")
    assert api.get(f"app/{app}/msg/{message}").json()["payload"] == {"expired": True}
    assert destination(api, app, message)["statusText"] == "success"  # as it was before
    nothing_but(receiver, path, send(api, app))


def test_what_was_expunged_while_it_waited_fails_in_sight(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/expunged-waiting/{app}"
    hook(api, app, receiver.url(path))
    message = send(api, app, deliverAt=later(api, app, timedelta(milliseconds=300)))
    assert api.delete(f"app/{app}/msg/{message}/content").status_code == 204
    found = eventually(lambda: destination(api, app, message), lambda one: one["status"] == 2)
    assert (found["attemptCount"], found["note"]) == (0, "failed: the payload is gone")
    nothing_but(receiver, path, send(api, app))


# --- a receiver that is gone ------------------------------------------------------------------


def test_a_receiver_that_is_gone_gets_nothing_until_it_is_back(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    path = f"/back/{app}"
    receiver.script[path] = [(410, {}), (200, {})]
    ep = hook(api, app, receiver.url(path))
    one = f"app/{app}/endpoint/{ep}"
    waiting = send(api, app, deliverAt=later(api, app))
    refused = send(api, app)
    receiver.next(path)
    found = settled(api, app, refused)
    assert (found["statusText"], found["attemptCount"]) == ("fail", 1)
    shown = eventually(lambda: api.get(one).json(), lambda seen: seen["disabled"])
    assert (shown["disabledReason"], shown["lastStatusCode"]) == ("gone", 410)
    assert "disabledAt" in shown
    assert destination(api, app, waiting)["statusText"] == "canceled"
    unwanted = api.post(f"app/{app}/msg", json={"eventType": "payment_received", "payload": {}})
    assert unwanted.json()["endpointCount"] == 0
    wish = {"since": shown["createdAt"]}
    for verb in (f"{one}/recover", f"app/{app}/msg/{refused}/endpoint/{ep}/resend"):
        off = api.post(verb, json=wish)
        assert (off.status_code, off.json()["code"]) == (409, "conflict")
    shown = api.patch(one, json={"disabled": False}).json()
    assert not {"disabledReason", "disabledAt", "failingSince"} & set(shown)
    assert api.post(f"{one}/recover", json=wish).status_code == 202
    came = {receiver.next(path).headers["webhook-id"] for _ in range(2)}
    assert came == {waiting, refused}
    assert settled(api, app, refused, attempts=2)["statusText"] == "success"
    nothing_but(receiver, path, send(api, app))  # and what nobody was owed did not come


# --- keys -------------------------------------------------------------------------------------


def test_a_key_that_is_still_at_work_says_so_and_later_gives_the_answer(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    ep = hook(api, app, receiver.url(f"/slow/key/{app}"))  # a second until the verdict
    key = {"idempotency-key": f"busy-{app}"}

    def test(_: int = 0) -> httpx.Response:
        return api.post(f"app/{app}/endpoint/{ep}/test", json={}, headers=key)

    with ThreadPoolExecutor(2) as threads:
        first, second = sorted(threads.map(test, range(2)), key=lambda each: each.status_code)
    assert (first.status_code, second.status_code) == (200, 423)
    assert second.headers["retry-after"] == "1"
    assert second.json()["code"] == "in_progress"
    assert test().json() == first.json()
    assert len(api.get(f"app/{app}/attempt/endpoint/{ep}").json()["data"]) == 1


@pytest.mark.parametrize("verb", ["resend", "rotate", "send-example", "recover", "endpoint"])
def test_a_key_that_comes_again_does_nothing_again(
    api: httpx.Client, app: str, receiver: Recorder, verb: str
) -> None:
    path = f"/once/{app}/{verb}"
    ep = hook(api, app, receiver.url(path))
    one = f"app/{app}/endpoint/{ep}"
    message = send(api, app)
    settled(api, app, message)
    receiver.next(path)
    wishes: dict[str, tuple[str, Any]] = {
        "resend": (f"app/{app}/msg/{message}/endpoint/{ep}/resend", None),
        "rotate": (f"{one}/secret/rotate", {"gracePeriodSeconds": 0}),
        "send-example": (f"{one}/send-example", {"eventType": "payment_failed"}),
        "recover": (f"{one}/recover", {"since": api.get(one).json()["createdAt"]}),
        "endpoint": (f"app/{app}/endpoint", {"url": receiver.url(path), "disabled": True}),
    }
    address, body = wishes[verb]
    key = {"idempotency-key": f"{verb}-{app}"}
    answers = [api.post(address, json=body, headers=key) for _ in range(3)]
    first = answers[0]
    assert first.is_success
    assert {(each.status_code, each.content) for each in answers} == {
        (first.status_code, first.content)
    }
    if verb == "rotate":
        assert api.get(f"{one}/secret").json() == first.json()
    if verb == "endpoint":
        assert len(api.get(f"app/{app}/endpoint").json()["data"]) == 2
    if verb in {"resend", "send-example"}:
        receiver.next(path)
    nothing_but(receiver, path, send(api, app))


def test_a_key_is_bound_to_what_was_asked_and_by_whom(
    api: httpx.Client, app: str, receiver: Recorder
) -> None:
    key = {"idempotency-key": f"bound-{app}"}
    token = api.post("token", json={"name": "another"}).json()["token"]
    wish = {"url": receiver.url("/bound")}
    mine = api.post(f"app/{app}/endpoint", json=wish, headers=key)
    theirs = api.post(
        f"app/{app}/endpoint", json=wish, headers=key | {"authorization": f"Bearer {token}"}
    )
    elsewhere = api.post("app/default/endpoint", json=wish, headers=key)
    slashed = api.post(f"app/{app}/endpoint/", json=wish, headers=key)
    assert {each.status_code for each in (mine, theirs, elsewhere, slashed)} == {201}
    assert len({each.json()["id"] for each in (mine, theirs, elsewhere)}) == 3
    assert slashed.json() == mine.json()  # the same address, spelled otherwise
    api.delete(f"app/default/endpoint/{elsewhere.json()['id']}")


@pytest.mark.parametrize("noun", ["msg", "endpoint"])
def test_a_key_of_what_failed_is_free_again(
    api: httpx.Client, app: str, receiver: Recorder, noun: str
) -> None:
    key = {"idempotency-key": f"free-{noun}-{app}"}
    wrong: dict[str, Any] = {"eventType": "no spaces", "payload": {}, "url": "nonsense"}
    right = {"eventType": "fine", "payload": {}, "url": receiver.url("/free")}
    assert api.post(f"app/{app}/{noun}", json=wrong, headers=key).status_code == 422
    assert api.post(f"app/{app}/{noun}", json=right, headers=key).status_code in {201, 202}


# --- tests with a payload of one's own --------------------------------------------------------


@pytest.mark.parametrize("verb", ["test", "send-example"])
def test_a_test_carries_the_payload_it_is_given(
    api: httpx.Client, app: str, receiver: Recorder, verb: str
) -> None:
    path = f"/own/{app}/{verb}"
    ep = hook(api, app, receiver.url(path))
    answer = api.post(
        f"app/{app}/endpoint/{ep}/{verb}",
        content=b'{"eventType": "payment_received", "payload": {"a":  1}}',
    )
    assert answer.status_code == 200, answer.text
    assert receiver.next(path).body == b'{"a":  1}'
