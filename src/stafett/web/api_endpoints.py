"""Endpoints over HTTP: what they are, their secrets and headers, tests and recovery."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET

from stafett import errors
from stafett.model import DeliveryState, DeliveryStats, EndpointChanges, EndpointOptions, Replayed
from stafett.services import secrets
from stafett.services.endpoints import NewEndpoint, visible_headers
from stafett.web import paging
from stafett.web.api_messages import object_of
from stafett.web.calls import Call, Reply, aware, span
from stafett.web.wire.deliveries import (
    STATES,
    BulkReplayIn,
    RecoverIn,
    attempt_stats_out,
    stats_out,
)
from stafett.web.wire.endpoints import (
    EndpointIn,
    EndpointPatch,
    HeadersIn,
    HeadersOut,
    HeadersPatch,
    RotateIn,
    endpoint_out,
    key_out,
)
from stafett.web.wire.examples import ExampleIn, test_out
from stafett.web.wire.messages import message_out
from stafett.web.wire.tasks import task_out

_SECOND: Final = timedelta(seconds=1)


def _ref(call: Call) -> str:
    return call.params["endpoint"]


def _new(body: EndpointIn) -> NewEndpoint:
    rate = body.throttle_rate if body.throttle_rate is not None else body.rate_limit
    return NewEndpoint(
        url=body.url,
        name=body.name,
        description=body.description,
        uid=body.uid,
        event_types=body.event_types or body.filter_types,
        channels=body.channels,
        rate_limit=rate,
        metadata=body.metadata or {},
        headers=body.headers or {},
        secret=body.secret,
        header_family=body.header_family,
        integration=body.integration,
        disabled=body.disabled,
        options=_options(body),
    )


def _options(body: EndpointIn | EndpointPatch) -> EndpointOptions:
    """Those that the body names. Errors: Invalid, for what is absurd."""
    options = EndpointOptions()
    if body.payload_style is not UNSET:
        options["payload_style"] = body.payload_style
    if body.retry_schedule is not UNSET:
        waits = body.retry_schedule
        options["retry_schedule"] = None if waits is None else tuple(map(_wait, waits))
    if body.timeout is not UNSET:
        seconds = body.timeout
        options["timeout"] = (
            None if seconds is None else span(seconds, unit=_SECOND, field="timeout")
        )
    if body.concurrency is not UNSET:
        options["concurrency"] = body.concurrency
    return options


def _wait(seconds: float) -> timedelta:
    return span(seconds, unit=_SECOND, field="retry_schedule")


def _changes(body: EndpointPatch) -> EndpointChanges:
    """What the body names; the newer spelling of a field wins over the older."""
    changes = EndpointChanges(**_options(body))
    if body.url is not UNSET:
        changes["url"] = body.url
    if body.name is not UNSET:
        changes["name"] = body.name
    if body.description is not UNSET:
        changes["description"] = body.description
    if body.uid is not UNSET:
        changes["uid"] = body.uid
    if body.disabled is not UNSET:
        changes["disabled"] = body.disabled
    if body.channels is not UNSET:
        changes["channels"] = frozenset(body.channels or ())
    if body.metadata is not UNSET:
        changes["metadata"] = body.metadata or {}
    if body.header_family is not UNSET:
        changes["header_family"] = body.header_family
    if body.integration is not UNSET:
        changes["integration"] = body.integration
    return _renamed_changes(body, changes)


def _renamed_changes(body: EndpointPatch, changes: EndpointChanges) -> EndpointChanges:
    for event_types in (body.filter_types, body.event_types):
        if event_types is not UNSET:
            changes["event_types"] = frozenset(event_types or ())
    for rate in (body.rate_limit, body.throttle_rate):
        if rate is not UNSET:
            changes["rate_limit"] = rate
    return changes


async def list_endpoints(call: Call) -> Reply:
    """An application's endpoints, newest first."""
    asked = paging.query(call)
    page = await call.stafett.endpoints.list(call.app, asked)
    return Reply(200, paging.answer(page, asked, key=lambda each: each.id, out=endpoint_out))


async def create_endpoint(call: Call) -> Reply:
    """A new endpoint."""
    new = _new(call.read(EndpointIn))
    return Reply(201, endpoint_out(await call.stafett.endpoints.create(call.app, new)))


async def get_endpoint(call: Call) -> Reply:
    """One endpoint, by id or uid."""
    return Reply(200, endpoint_out(await call.stafett.endpoints.get(call.app, _ref(call))))


async def put_endpoint(call: Call) -> Reply:
    """Replace one (its secret and headers stay), or create it under the uid in the path."""
    new = _new(call.read(EndpointIn))
    endpoint, created = await call.stafett.endpoints.upsert(call.app, _ref(call), new)
    return Reply(201 if created else 200, endpoint_out(endpoint))


async def patch_endpoint(call: Call) -> Reply:
    """Change what the body names."""
    changes = _changes(call.read(EndpointPatch))
    endpoint = await call.stafett.endpoints.update(call.app, _ref(call), changes)
    return Reply(200, endpoint_out(endpoint))


async def delete_endpoint(call: Call) -> Reply:
    """Delete one; what was sent to it stays in the log."""
    await call.stafett.endpoints.delete(call.app, _ref(call))
    return Reply(204)


async def get_secret(call: Call) -> Reply:
    """The signing secret in force."""
    return Reply(200, key_out(await call.stafett.endpoints.secret(call.app, _ref(call))))


async def rotate_secret(call: Call) -> Reply:
    """A new signing secret; the old one signs too for a grace period (24 h)."""
    body = call.read(RotateIn)
    grace = secrets.DEFAULT_GRACE
    if body.grace_period_seconds is not None:
        grace = span(body.grace_period_seconds, unit=_SECOND, field="grace_period_seconds")
    key = await call.stafett.endpoints.rotate_secret(
        call.app,
        _ref(call),
        key=body.key,
        grace=grace,
    )
    return Reply(200, key_out(key))


async def get_headers(call: Call) -> Reply:
    """The endpoint's own headers; credentials by name only."""
    shown, hidden = visible_headers(await call.stafett.endpoints.get(call.app, _ref(call)))
    return Reply(200, HeadersOut(headers=shown, sensitive=hidden))


async def put_headers(call: Call) -> Reply:
    """Replace all of its own headers."""
    headers = call.read(HeadersIn).headers
    await call.stafett.endpoints.set_headers(call.app, _ref(call), headers)
    return Reply(204)


async def patch_headers(call: Call) -> Reply:
    """Set some of its own headers, delete others."""
    body = call.read(HeadersPatch)
    put = {name: value for name, value in body.headers.items() if value is not None}
    gone = [name for name, value in body.headers.items() if value is None]
    await call.stafett.endpoints.patch_headers(
        call.app, _ref(call), put=put, delete=[*gone, *body.delete_headers]
    )
    return Reply(204)


async def get_stats(call: Call) -> Reply:
    """Deliveries by state, of the last 28 days unless told."""
    return Reply(200, stats_out(await _stats(call)))


async def get_attempt_stats(call: Call) -> Reply:
    """Deliveries that came to an end, of the last 28 days unless told."""
    return Reply(200, attempt_stats_out(await _stats(call)))


async def _stats(call: Call) -> DeliveryStats:
    return await call.stafett.endpoints.stats(
        call.app, _ref(call), since=call.moment("since"), until=call.moment("until")
    )


async def recover(call: Call) -> Reply:
    """Send again what failed in a range, in the background."""
    since, until = _range(call.read(RecoverIn))
    task = await call.stafett.tasks.recover(call.app, _ref(call), since=since, until=until)
    return Reply(202, task_out(task))


async def replay_missing(call: Call) -> Reply:
    """Send what the endpoint wants and was never owed, in the background."""
    since, until = _range(call.read(RecoverIn))
    tasks = call.stafett.tasks
    task = await tasks.replay_missing(call.app, _ref(call), since=since, until=until)
    return Reply(202, task_out(task))


async def bulk_replay(call: Call) -> Reply:
    """Send again what was sent in a range, or some of it, in the background."""
    body = call.read(BulkReplayIn)
    since, until = _range(body)
    wanted = Replayed(
        after=since,
        before=until,
        event_types=frozenset(body.event_types) if body.event_types else None,
        channel=body.channel,
        tag=body.tag,
        state=None if body.status is None else _state(body.status),
        status_code_class=body.status_code_class,
    )
    task = await call.stafett.tasks.bulk_replay(call.app, _ref(call), wanted)
    return Reply(202, task_out(task))


def _range(body: RecoverIn) -> tuple[datetime, datetime | None]:
    until = None if body.until is None else aware(body.until, field="until")
    return aware(body.since, field="since"), until


def _state(status: int | str) -> DeliveryState:
    """Errors: Invalid."""
    state = STATES.get(str(status))
    if state is None:
        raise errors.Invalid([errors.Problem(("body", "status"), f"cannot be {status!r}")])
    return state


def _payload(body: ExampleIn) -> bytes | None:
    """None: the event's own sample."""
    return None if bytes(body.payload) == b"null" else object_of(body.payload)


async def send_example(call: Call) -> Reply:
    """Send a test event, without waiting for what becomes of it."""
    body = call.read(ExampleIn)
    message = await call.stafett.deliveries.send_example(
        call.app,
        _ref(call),
        event_type=body.event_type,
        payload=_payload(body),
    )
    return Reply(200, message_out(message, with_content=True))


async def send_test(call: Call) -> Reply:
    """Send a test event and wait for the verdict."""
    body = call.read(ExampleIn)
    result = await call.stafett.deliveries.test(
        call.app,
        _ref(call),
        event_type=body.event_type,
        payload=_payload(body),
    )
    return Reply(200, test_out(result.message, result.attempt))
