"""The package `svix` 2.x drives every operation that it shares with Stafett."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from svix.api import (
    ApplicationIn,
    ApplicationListOptions,
    ApplicationPatch,
    ApplicationTokenExpireIn,
    BackgroundTaskListOptions,
    BulkExpungeContentsIn,
    BulkReplayIn,
    EndpointGetStatsOptions,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointListOptions,
    EndpointPatch,
    EndpointSecretRotateIn,
    EndpointUpsertIn,
    EnvironmentIn,
    EventExampleIn,
    EventTypeDeleteOptions,
    EventTypeIn,
    EventTypeListOptions,
    EventTypePatch,
    EventTypeUpsertIn,
    MessageAttemptListByEndpointOptions,
    MessageAttemptListByMsgOptions,
    MessageCreateOptions,
    MessageGetOptions,
    MessageIn,
    MessageListOptions,
    MessagePrecheckIn,
    RecoverIn,
    ReplayIn,
    Svix,
    SvixAsync,
    SvixOptions,
)
from svix.exceptions import HttpError, HTTPValidationError
from svix.webhooks import Webhook

from web.conftest import Arrived, Recorder, Running, settled


@pytest.fixture(scope="module")
def svix(server: Running) -> Iterator[Svix]:
    made = Svix(server.token, SvixOptions(server_url=server.url))
    yield made
    made.application._httpx_client.close()  # the package has no way of its own to close it


@pytest.fixture
def uid(app: str, svix: Svix) -> str:
    found = svix.application.get(app).uid
    assert found is not None
    return found


def verified(arrived: Arrived, secret: str) -> object:
    """The body, when the package accepts its signature."""
    Webhook(secret).verify(arrived.body, arrived.headers)
    return json.loads(arrived.body)


def test_health(svix: Svix) -> None:
    svix.health.get()


def test_applications(svix: Svix, app: str) -> None:
    uid = f"svix-{app}"
    made = svix.application.create(ApplicationIn(name="One", uid=uid, metadata={"a": "b"}))
    assert (made.name, made.uid, made.metadata) == ("One", uid, {"a": "b"})
    assert svix.application.get(uid).id == made.id
    assert svix.application.get_or_create(ApplicationIn(name="Two", uid=uid)).name == "One"
    with pytest.raises(HttpError) as taken:
        svix.application.create(ApplicationIn(name="One", uid=uid))
    assert taken.value.status_code == 409
    assert svix.application.upsert(uid, ApplicationIn(name="Three", uid=uid)).id == made.id
    patched = svix.application.patch(uid, ApplicationPatch(name="Four", throttle_rate=7))
    assert (patched.name, patched.throttle_rate) == ("Four", 7)
    first = svix.application.list(ApplicationListOptions(limit=1))
    second = svix.application.list(ApplicationListOptions(limit=1, iterator=first.iterator))
    assert len(second.data) == 1
    assert second.data[0].id != first.data[0].id
    svix.application.delete(uid)
    with pytest.raises(HttpError) as gone:
        svix.application.get(uid)
    assert gone.value.status_code == 404


def test_event_types(svix: Svix, app: str) -> None:
    name = f"svix.{app}"
    schema = {"1": {"type": "object"}}
    made = svix.event_type.create(EventTypeIn(name=name, description="One", schemas=schema))
    assert (made.name, made.description) == (name, "One")
    with pytest.raises(HttpError) as taken:
        svix.event_type.create(EventTypeIn(name=name, description="One"))
    assert taken.value.status_code == 409
    assert svix.event_type.get(name).schemas == schema
    assert svix.event_type.upsert(name, EventTypeUpsertIn(description="Two")).description == "Two"
    assert svix.event_type.patch(name, EventTypePatch(group_name="g")).group_name == "g"
    listed = svix.event_type.list(EventTypeListOptions(limit=250, with_content=True))
    assert name in {each.name for each in listed.data}
    svix.event_type.delete(name)
    assert svix.event_type.get(name).archived
    svix.event_type.delete(name, EventTypeDeleteOptions(expunge=True))
    with pytest.raises(HttpError):
        svix.event_type.get(name)


def test_endpoints(svix: Svix, uid: str, receiver: Recorder) -> None:
    wish = EndpointIn(
        url=receiver.url("/a"),
        uid="hook",
        description="D",
        event_types=["payment_received"],
        channels=["c"],
        throttle_rate=9,
        metadata={"k": "v"},
        headers={"x-tenant": "t"},
    )
    made = svix.endpoint.create(uid, wish)
    assert (made.uid, made.description, made.event_types) == ("hook", "D", ["payment_received"])
    assert (made.channels, made.throttle_rate, made.metadata) == (["c"], 9, {"k": "v"})
    assert svix.endpoint.get(uid, "hook").id == made.id
    patched = svix.endpoint.patch(uid, "hook", EndpointPatch(disabled=True, description="E"))
    assert (patched.disabled, patched.description) == (True, "E")
    put = svix.endpoint.upsert(uid, "hook", EndpointUpsertIn(url=receiver.url("/b")))
    assert (put.id, put.event_types, put.disabled) == (made.id, None, False)
    assert len(svix.endpoint.list(uid, EndpointListOptions(limit=1)).data) == 1
    svix.endpoint.delete(uid, "hook")
    with pytest.raises(HttpError) as gone:
        svix.endpoint.get(uid, "hook")
    assert gone.value.status_code == 404


def test_headers_of_an_endpoint(svix: Svix, uid: str, receiver: Recorder) -> None:
    ep = svix.endpoint.create(uid, EndpointIn(url=receiver.url("/a"))).id
    svix.endpoint.set_headers(
        uid, ep, EndpointHeadersIn(headers={"x-one": "1", "authorization": "secret"})
    )
    shown = svix.endpoint.get_headers(uid, ep)
    assert shown.headers == {"x-one": "1"}
    assert [each.lower() for each in shown.sensitive] == ["authorization"]
    svix.endpoint.patch_headers(
        uid, ep, EndpointHeadersPatchIn(headers={"x-two": "2"}, delete_headers=["x-one"])
    )
    assert svix.endpoint.get_headers(uid, ep).headers == {"x-two": "2"}


def test_a_rotated_secret_signs_beside_the_old_one(
    svix: Svix, uid: str, receiver: Recorder
) -> None:
    path = f"/rotate/{uid}"
    ep = svix.endpoint.create(uid, EndpointIn(url=receiver.url(path))).id
    old = svix.endpoint.get_secret(uid, ep).key
    rotated = svix.endpoint.rotate_secret(uid, ep, EndpointSecretRotateIn())
    new = svix.endpoint.get_secret(uid, ep).key
    assert rotated is not None
    assert new != old
    svix.message.create(uid, MessageIn(event_type="payment_received", payload={"n": 1}))
    arrived = receiver.next(path)
    assert verified(arrived, old) == verified(arrived, new) == {"n": 1}


def test_a_message_from_create_to_expunge(
    api: httpx.Client, svix: Svix, uid: str, receiver: Recorder
) -> None:
    path = f"/life/{uid}"
    ep = svix.endpoint.create(uid, EndpointIn(url=receiver.url(path), uid="hook"))
    wish = MessageIn(
        event_type="payment_received", payload={"a": [1, "é"]}, event_id="ev1", tags=["t"]
    )
    made = svix.message.create(uid, wish, MessageCreateOptions(with_content=True))
    assert (made.event_id, made.payload, made.tags) == ("ev1", {"a": [1, "é"]}, ["t"])
    assert verified(receiver.next(path), svix.endpoint.get_secret(uid, "hook").key) == made.payload
    with pytest.raises(HttpError) as taken:
        svix.message.create(uid, wish)
    assert taken.value.status_code == 409
    content = MessageGetOptions(with_content=True)
    assert svix.message.get(uid, "ev1", content).payload == made.payload
    since = made.timestamp.replace(tzinfo=None) - timedelta(hours=1)
    listed = svix.message.list(uid, MessageListOptions(after=since, event_types=["x", "y"]))
    assert listed.data == []
    listed = svix.message.list(uid, MessageListOptions(after=since, tag="t"))
    assert [each.id for each in listed.data] == [made.id]
    settled(api, uid, made.id)
    svix.message_attempt.resend(uid, "ev1", "hook")
    assert receiver.next(path).headers["webhook-id"] == made.id
    settled(api, uid, made.id, attempts=2)
    by_endpoint = MessageAttemptListByEndpointOptions(limit=250, with_msg=True)
    attempts = svix.message_attempt.list_by_endpoint(uid, "hook", by_endpoint).data
    assert {each.msg_id for each in attempts} == {made.id}
    by_msg = MessageAttemptListByMsgOptions(endpoint_id=ep.id)
    one = svix.message_attempt.list_by_msg(uid, "ev1", by_msg).data[-1]
    assert (one.response_status_code, one.endpoint_id) == (200, ep.id)
    assert svix.message_attempt.get(uid, made.id, one.id).response == "ok"
    assert len(svix.message_attempt.list_attempted_messages(uid, "hook").data) == 1
    assert len(svix.message_attempt.list_attempted_destinations(uid, "ev1").data) == 1
    svix.message_attempt.expunge_content(uid, made.id, one.id)
    assert svix.message_attempt.get(uid, made.id, one.id).response == "EXPUNGED"
    svix.message.expunge_content(uid, "ev1")
    assert svix.message.get(uid, "ev1", content).payload == {"expired": True}


def test_examples_stats_and_recovery(svix: Svix, uid: str, receiver: Recorder) -> None:
    path = f"/again/{uid}"
    svix.endpoint.create(uid, EndpointIn(url=receiver.url(path), uid="hook"))
    sent = svix.endpoint.send_example(uid, "hook", EventExampleIn(event_type="payment_received"))
    assert receiver.next(path).headers["webhook-id"] == sent.id
    now = sent.timestamp  # the server's own clock
    stats = svix.endpoint.get_stats(
        uid, "hook", EndpointGetStatsOptions(since=now - timedelta(days=1), until=now)
    )
    assert (stats.success, stats.fail) == (0, 0)  # an example is not real traffic
    recovery = svix.endpoint.recover(uid, "hook", RecoverIn(since=now - timedelta(hours=1)))
    assert recovery.task == "endpoint.recover"


def test_background_work(svix: Svix, uid: str, receiver: Recorder) -> None:
    path = f"/tasks/{uid}"
    svix.endpoint.create(uid, EndpointIn(url=receiver.url(path), uid="hook"))
    since = svix.application.get(uid).created_at - timedelta(hours=1)
    missing = svix.endpoint.replay_missing(uid, "hook", ReplayIn(since=since))
    again = svix.endpoint.bulk_replay(uid, "hook", BulkReplayIn(since=since))
    assert svix.background_task.get(missing.id).task == "endpoint.replay"
    listed = svix.background_task.list(BackgroundTaskListOptions(limit=2))
    assert [each.id for each in listed.data] == [again.id, missing.id]


def test_what_the_hosted_format_adds(svix: Svix, uid: str, receiver: Recorder) -> None:
    svix.endpoint.create(uid, EndpointIn(url=receiver.url(f"/more/{uid}"), uid="hook"))
    assert svix.message.precheck(uid, MessagePrecheckIn(event_type="payment_received")).active
    assert svix.endpoint.get_attempt_stats(uid, "hook").success == 0
    nobody = svix.message.bulk_expunge_content(uid, BulkExpungeContentsIn(ids=["nobody"]))
    assert nobody.results == {"nobody": "not-found"}
    name = f"imported.{uid}"
    new = EventTypeIn(name=name, description="One")
    svix.environment.import_(EnvironmentIn(event_types=[new]))
    assert name in {each.name for each in svix.environment.export().event_types}
    svix.authentication.expire_all(uid, ApplicationTokenExpireIn(expiry=0))


def test_problems_come_as_the_package_expects_them(svix: Svix, uid: str) -> None:
    with pytest.raises(HTTPValidationError) as invalid:
        svix.endpoint.create(uid, EndpointIn(url="nonsense"))
    assert invalid.value.detail[0].loc == ["body", "url"]
    with pytest.raises(HttpError) as unknown:
        svix.message.get(uid, "nothing")
    assert unknown.value.code == "not_found"
    with pytest.raises(HttpError) as missing:
        svix.operational_webhook.endpoint.list()
    assert missing.value.status_code == 501


async def test_the_asynchronous_client(server: Running, app: str, receiver: Recorder) -> None:
    svix = SvixAsync(server.token, SvixOptions(server_url=server.url))
    path = f"/async/{app}"
    made = await svix.endpoint.create(app, EndpointIn(url=receiver.url(path)))
    await svix.message.create(app, MessageIn(event_type="payment_received", payload={"n": 2}))
    secret = (await svix.endpoint.get_secret(app, made.id)).key
    assert verified(receiver.next(path), secret) == {"n": 2}
    await svix.endpoint._httpx_client.aclose()
