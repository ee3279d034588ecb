"""The cold verbs: what is stored comes back the same, filtered and paged. For every driver."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

import making
from making import MINUTE, NOW
from stafett import errors
from stafett.ids import EndpointId
from stafett.model import (
    Application,
    Arrival,
    Bin,
    DeliveryFilter,
    DeliveryState,
    DeliveryStats,
    Endpoint,
    EndpointChanges,
    EndpointSecret,
    FailureCause,
    HeaderFamily,
    MessageFilter,
    Outcome,
    PageQuery,
    PayloadCheck,
    ReplyMode,
    Role,
    ScriptedReply,
    Secret,
)
from stafett.store import AttemptCount, DeliveryQuery, NewMessage, Store


async def test_an_application_is_found_by_id_and_uid(
    store: Store, application: Application
) -> None:
    assert await store.get_application(application.id) == application
    assert await store.get_application("acme") == application
    assert await store.get_application("nobody") is None


async def test_a_uid_belongs_to_one(store: Store, application: Application) -> None:
    with pytest.raises(errors.Conflict, match="acme"):
        await store.add_application(making.an_application(uid="acme"))
    other = making.an_application(uid="other")
    await store.add_application(other)
    with pytest.raises(errors.Conflict, match="acme"):
        await store.update_application(other.id, {"uid": "acme"}, now=NOW)
    assert application.uid == "acme"


async def test_an_application_changes_only_where_it_is_told_to(
    store: Store, application: Application
) -> None:
    await store.update_application(
        application.id, {"name": "New", "metadata": {"a": "b"}}, now=NOW + MINUTE
    )
    assert await store.get_application(application.id) == replace(
        application, name="New", metadata={"a": "b"}, updated_at=NOW + MINUTE
    )


async def test_an_application_is_deleted_with_all_it_owns(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    message = making.a_message(application.id)
    item = NewMessage(message=message, deliveries=(making.a_delivery(endpoint.id),))
    await store.add_messages([item], now=NOW)

    await store.delete_application(application.id)

    assert await store.get_application(application.id) is None
    assert await store.get_endpoint(application.id, endpoint.id) is None
    assert await store.get_message(application.id, message.id, with_payload=True) is None
    assert await store.claim_due(making.a_claim(), now=NOW, limit=9, room=9, held={}) == []


async def test_an_endpoint_comes_back_whole(store: Store, application: Application) -> None:
    endpoint = making.an_endpoint(
        application.id,
        uid="list",
        event_types=frozenset({"a.b", "c"}),
        channels=frozenset({"x"}),
        rate_limit=10,
        metadata={"k": "v"},
        headers={"X-Key": "1"},
        header_family=HeaderFamily.BOTH,
        secrets=(
            EndpointSecret(secret=Secret("whsec_new")),
            EndpointSecret(secret=Secret("whsec_old"), expires_at=NOW + MINUTE),
        ),
    )
    await store.add_endpoint(endpoint)
    assert await store.get_endpoint(application.id, "list") == endpoint
    assert await store.all_endpoints(application.id) == [endpoint]


async def test_an_endpoint_is_seen_by_its_application_only(
    store: Store, endpoint: Endpoint
) -> None:
    stranger = making.an_application()
    await store.add_application(stranger)
    assert await store.get_endpoint(stranger.id, endpoint.id) is None
    assert (await store.list_endpoints(stranger.id, PageQuery())).items == ()


async def test_switching_on_again_clears_the_failing_time(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = NewMessage(
        message=making.a_message(application.id),
        deliveries=(making.a_delivery(endpoint.id, claim=claim),),
    )
    await store.add_messages([item], now=NOW)
    bad = making.a_record(item, claim_id=claim.id, outcome=making.an_outcome(500))
    await store.record_attempts([bad], now=NOW, failing_before=NOW)

    await store.update_endpoint(
        endpoint.id, {"disabled": False, "disabled_reason": None, "disabled_at": None}, now=NOW
    )
    found = await store.get_endpoint(application.id, endpoint.id)
    assert found is not None
    assert (found.disabled, found.health.failing_since) == (False, None)


async def test_stats_count_real_deliveries_in_the_range(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    def owed(minute: int, *, test: bool = False) -> NewMessage:
        message = making.a_message(application.id, at=NOW + minute * MINUTE, test=test)
        return NewMessage(message=message, deliveries=(making.a_delivery(endpoint.id),))

    await store.add_messages([owed(0), owed(1), owed(2), owed(1, test=True)], now=NOW)
    stats = await store.endpoint_stats(endpoint.id, since=NOW + MINUTE, until=NOW + 10 * MINUTE)
    assert stats == DeliveryStats(pending=2)


async def test_lists_page_in_both_directions(store: Store) -> None:
    made = [making.an_application(id=making.ids.app(NOW + n * MINUTE)) for n in range(5)]
    for each in made:
        await store.add_application(each)
    every = [each.id for each in made]

    async def page(**query: Any) -> tuple[list[str], bool]:
        found = await store.list_applications(PageQuery(limit=2, **query))
        return [each.id for each in found.items], found.done

    assert await page(ascending=True) == (every[:2], False)
    assert await page(ascending=True, after=every[1]) == (every[2:4], False)
    assert await page(ascending=True, after=every[3]) == (every[4:], True)
    assert await page() == (every[:2:-1], False)
    assert await page(ascending=True, after=every[3], backward=True) == (every[1:3], False)
    assert await page(ascending=True, after=every[1], backward=True) == (every[:1], True)


async def test_event_types_are_added_where_the_name_is_free(store: Store) -> None:
    whole = making.an_event_type(
        "a.b",
        group="Money",
        schemas={"1": {"type": "object"}},
        sample={"n": 1},
        reference_sample={"n": "1"},
        sensitive_fields=("customer.email",),
        check=PayloadCheck.STRICT,
        feature_flags=("beta",),
    )
    assert await store.add_event_types([whole, making.an_event_type("c")]) == [True, True]
    assert await store.add_event_types([making.an_event_type("a.b")]) == [False]
    assert await store.get_event_type("a.b") == whole
    await store.update_event_type("c", {"archived": True, "check": PayloadCheck.OFF}, now=NOW)
    shown = await store.list_event_types(PageQuery(), include_archived=False)
    assert [each.name for each in shown.items] == ["a.b"]
    assert [each.name for each in await store.all_event_types()] == ["a.b", "c"]
    await store.delete_event_type("c")
    assert await store.get_event_type("c") is None


async def test_messages_are_filtered(store: Store, application: Application) -> None:
    def message(minute: int, **given: Any) -> NewMessage:
        made = making.a_message(application.id, at=NOW + minute * MINUTE, **given)
        return NewMessage(message=made, deliveries=())

    items = [
        message(0, event_type="a"),
        message(1, channels=("x", "xy")),
        message(2, tags=("t",)),
    ]
    await store.add_messages(items, now=NOW)

    async def found(**where: Any) -> list[int]:
        page = await store.list_messages(
            application.id, MessageFilter(**where), PageQuery(), with_payload=False
        )
        every = [each.message.id for each in items]
        return [every.index(each.id) for each in page.items]

    assert await found() == [2, 1, 0]
    assert await found(event_types=frozenset({"a", "b"})) == [0]
    assert await found(channel="x") == [1]
    assert await found(channel="y") == []
    assert await found(channel="%") == []
    assert await found(tag="t") == [2]
    assert await found(after=NOW + MINUTE) == [2, 1]
    assert await found(before=NOW + MINUTE) == [0]


async def test_an_expunged_payload_is_gone_and_the_message_stays(
    store: Store, application: Application
) -> None:
    message = making.a_message(application.id)
    await store.add_messages([NewMessage(message=message, deliveries=())], now=NOW)
    await store.expunge_payload(application.id, message.id)
    assert await store.get_message(
        application.id, message.id, with_payload=True
    ) == msgspec.structs.replace(message, payload=None, payload_gone=True)


async def test_what_became_of_a_message_is_shown_even_when_the_endpoint_is_gone(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = NewMessage(
        message=making.a_message(application.id), deliveries=(making.a_delivery(endpoint.id),)
    )
    await store.add_messages([item], now=NOW)

    page = await store.list_deliveries(item.message.id, PageQuery())
    assert [(d.state, e) for d, e in page.items] == [(DeliveryState.PENDING, endpoint)]
    await store.delete_endpoint(endpoint.id)
    page = await store.list_deliveries(item.message.id, PageQuery())
    assert [(d.state, e) for d, e in page.items] == [(DeliveryState.CANCELED, None)]


async def test_attempted_messages_are_filtered_by_state(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    item = NewMessage(
        message=making.a_message(application.id), deliveries=(making.a_delivery(endpoint.id),)
    )
    await store.add_messages([item], now=NOW)

    async def found(state: DeliveryState | None) -> int:
        page = await store.list_attempted_messages(
            endpoint.id, DeliveryFilter(state=state), PageQuery(), with_payload=True
        )
        assert all(message == item.message for message, _ in page.items)
        return len(page.items)

    assert await found(None) == 1
    assert await found(DeliveryState.PENDING) == 1
    assert await found(DeliveryState.SUCCEEDED) == 0


async def test_an_expunged_attempt_forgets_the_reply(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    item = NewMessage(
        message=making.a_message(application.id),
        deliveries=(making.a_delivery(endpoint.id, claim=claim),),
    )
    await store.add_messages([item], now=NOW)
    record = making.a_record(item, claim_id=claim.id)
    await store.record_attempts([record], now=NOW, failing_before=NOW)
    await store.expunge_attempt(item.message.id, record.attempt.id)

    found = await store.get_attempt(item.message.id, record.attempt.id)
    assert found is not None
    assert found.content_gone
    assert (found.outcome.response_body, found.outcome.response_headers) == (b"", ())


async def test_the_newest_setup_links_are_kept_until_somebody_is_there(store: Store) -> None:
    for number in range(22):
        await store.add_setup_link(str(number), now=NOW + number * MINUTE)
    kept = [number for number in range(22) if await store.has_setup_link(str(number))]
    assert kept == list(range(2, 22))
    assert await store.add_first_user(making.a_user())
    assert not await store.has_setup_link("21")


async def test_tokens_of_an_application_are_cut_short_and_never_made_longer(store: Store) -> None:
    app, other = making.an_application(), making.an_application()
    endless = making.a_token(app_id=app.id)
    short = making.a_token(app_id=app.id, expires_at=NOW + MINUTE)
    revoked = making.a_token(app_id=app.id, revoked_at=NOW)
    owner, foreign = making.a_token(), making.a_token(app_id=other.id)
    for token in (endless, short, revoked, owner, foreign):
        await store.add_token(token)
    at = NOW + 2 * MINUTE
    assert await store.expire_tokens(app.id, at=at) == [endless.id]
    assert await store.find_token(endless.hash) == replace(endless, expires_at=at)
    for token in (short, revoked, owner, foreign):
        assert await store.find_token(token.hash) == token
    assert set(await store.expire_tokens(app.id, at=NOW)) == {endless.id, short.id}


async def test_tokens_are_found_by_hash_and_revoked_once(store: Store) -> None:
    token = making.a_token()
    await store.add_token(token)
    assert await store.find_token(token.hash) == token
    await store.touch_tokens({token.id: NOW + MINUTE})
    assert await store.revoke_token(token.id, now=NOW)
    assert await store.revoke_token(token.id, now=NOW + MINUTE)
    assert not await store.revoke_token(making.a_token().id, now=NOW)
    assert await store.find_token(token.hash) == replace(
        token, revoked_at=NOW, last_used_at=NOW + MINUTE
    )


async def test_a_bin_keeps_requests_byte_for_byte_and_only_the_newest(store: Store) -> None:
    made = making.a_bin()
    await store.add_bin(made)
    captures = [making.a_capture(made, body=bytes([n]) * 10) for n in range(5)]

    stored = await store.add_captures(captures, keep=3, keep_bytes=1000)

    assert [each.number for each in stored] == [1, 2, 3, 4, 5]
    page = await store.list_captures(made.id, PageQuery())
    assert list(page.items) == stored[:1:-1]
    assert await store.get_capture(made.id, captures[4].id) == stored[4]
    page = await store.list_captures(made.id, PageQuery(after="3", ascending=True))
    assert [each.number for each in page.items] == [4, 5]
    await store.add_captures([making.a_capture(made)], keep=3, keep_bytes=25)
    page = await store.list_captures(made.id, PageQuery())
    assert [each.number for each in page.items] == [6, 5]


async def test_pins_at_the_same_moment_keep_to_the_limit(store: Store) -> None:
    made = making.a_bin()
    await store.add_bin(made)
    captures = [making.a_capture(made) for _ in range(12)]
    stored = await store.add_captures(captures, keep=99, keep_bytes=999)
    done = await asyncio.gather(
        *(store.set_pinned(made.id, each.id, pinned=True, limit=3) for each in stored)
    )
    assert done.count(True) == len(await store.pinned_arrivals(made.id)) == 3


async def test_what_is_pinned_is_neither_counted_nor_dropped_nor_cleared(store: Store) -> None:
    made = making.a_bin()
    await store.add_bin(made)
    captures = [making.a_capture(made, body=bytes(10)) for _ in range(4)]
    stored = await store.add_captures(captures, keep=9, keep_bytes=999)
    for each in (stored[1], stored[0]):
        assert await store.set_pinned(made.id, each.id, pinned=True, limit=2)
    assert await store.set_pinned(made.id, stored[0].id, pinned=True, limit=2)  # it is already
    assert not await store.set_pinned(made.id, stored[2].id, pinned=True, limit=2)
    assert not await store.set_pinned(made.id, making.a_capture(made).id, pinned=True, limit=9)

    await store.add_captures([making.a_capture(made, body=bytes(10))], keep=2, keep_bytes=25)

    assert await numbers(store, made) == [5, 4, 2, 1]
    assert [each.number for each in await store.pinned_arrivals(made.id)] == [2, 1]
    assert await store.clear_bin(made.id) == 2
    assert await numbers(store, made) == [2, 1]
    assert await store.set_pinned(made.id, stored[0].id, pinned=False, limit=2)
    assert await store.clear_bin(made.id) == 1
    assert await numbers(store, made) == [2]
    await store.delete_capture(made.id, stored[1].id)
    assert await numbers(store, made) == []


async def numbers(store: Store, of: Bin) -> list[int]:
    return [each.number for each in (await store.list_captures(of.id, PageQuery())).items]


async def test_requests_of_one_message_are_found_by_its_id_alone(store: Store) -> None:
    made, other = making.a_bin(), making.a_bin()
    for each in (made, other):
        await store.add_bin(each)
    named = [
        making.a_capture(made, webhook_id=webhook_id, body=bytes(size), status_code=500 + size)
        for size, webhook_id in enumerate(["a", None, "b", "a", None, "a"])
    ]
    foreign = making.a_capture(other, webhook_id="a")
    stored = await store.add_captures([*named, foreign], keep=9, keep_bytes=999)

    found = await store.arrivals(made.id, "a", limit=9)

    assert [(each.number, each.size, each.status_code) for each in found] == [
        (1, 0, 500),
        (4, 3, 503),
        (6, 5, 505),
    ]
    first = stored[0]
    assert found[0] == Arrival(
        id=first.id,
        number=1,
        method=first.method,
        target=first.target,
        size=0,
        received_at=first.received_at,
        status_code=500,
        attempt_id=None,
        pinned=False,
    )
    assert [each.number for each in await store.arrivals(made.id, "a", limit=2)] == [4, 6]
    assert [each.number for each in await store.arrivals(made.id, "a", after=4, limit=9)] == [6]
    assert [each.number for each in await store.arrivals(made.id, None, limit=9)] == [2, 5]


async def test_a_cleared_bin_counts_on_and_a_deleted_one_takes_nothing(store: Store) -> None:
    made = making.a_bin()
    await store.add_bin(made)
    await store.add_captures([making.a_capture(made)] * 1, keep=9, keep_bytes=999)
    assert await store.clear_bin(made.id) == 1
    [again] = await store.add_captures([making.a_capture(made)], keep=9, keep_bytes=999)
    assert again.number == 2
    await store.delete_capture(made.id, again.id)
    assert await store.get_capture(made.id, again.id) is None
    reply = ScriptedReply(
        status_code=503,
        headers=(("a", "b"), ("a", "c")),
        body=b"\xff",
        delay=MINUTE,
        mode=ReplyMode.DRIP,
        drip_every=MINUTE,
        times=7,
    )
    await store.set_reply(made.id, reply)
    found = await store.find_bin(made.catch_token)
    assert found == replace(made, reply=reply, reply_since=2, capture_count=2)
    await store.delete_bin(made.id)
    assert await store.get_bin(made.id) is None
    assert await store.add_captures([making.a_capture(made)], keep=9, keep_bytes=999) == []


async def test_retention_leaves_what_waits_alone(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    def message(*deliveries: making.NewDelivery) -> NewMessage:
        # Of a day that is long over: a driver may keep the messages of one that is not.
        made = making.a_message(
            application.id, at=NOW - timedelta(days=40), payload_expires_at=NOW + MINUTE
        )
        return NewMessage(message=made, deliveries=deliveries)

    done, waits = message(), message(making.a_delivery(endpoint.id))
    await store.add_messages([done, waits], now=NOW)

    assert (await store.expire(now=NOW, messages_before=None, limit=9)).payloads == 0
    assert (await store.expire(now=NOW + MINUTE, messages_before=None, limit=9)).payloads == 1
    later = NOW + timedelta(days=1)
    expired = await store.expire(now=later, messages_before=later, limit=1)
    assert (expired.messages, expired.more) == (1, True)
    assert await store.get_message(application.id, done.message.id, with_payload=True) is None
    kept = await store.get_message(application.id, waits.message.id, with_payload=True)
    assert kept == waits.message


async def test_the_backlog_says_how_much_waits_and_since_when(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claimed = making.a_delivery(endpoint.id, claim=making.a_claim())
    waiting = making.a_delivery(endpoint.id, due_at=NOW - MINUTE)
    for each in (claimed, waiting):
        item = NewMessage(message=making.a_message(application.id), deliveries=(each,))
        await store.add_messages([item], now=NOW)
    backlog = await store.backlog(now=NOW)
    assert (backlog.pending, backlog.sending, backlog.oldest_due_at) == (1, 1, NOW - MINUTE)


async def test_users_are_found_by_id_and_address_and_an_address_is_taken_once(
    store: Store,
) -> None:
    user = making.a_user()
    assert await store.add_first_user(user)
    assert not await store.add_first_user(making.a_user(email="b@example.com"))
    with pytest.raises(errors.Conflict):
        await store.add_user(making.a_user())
    other = making.a_user(email="c@example.com")
    await store.add_user(other)
    assert await store.find_user(user.id) == user
    assert await store.find_user("kari@example.com") == user
    assert await store.list_users() == sorted([user, other], key=lambda each: each.id)

    await store.update_user(user.id, {"role": Role.VIEWER, "disabled_at": NOW}, now=NOW + MINUTE)
    changed = replace(user, role=Role.VIEWER, disabled_at=NOW, updated_at=NOW + MINUTE)
    assert await store.find_user(user.id) == changed
    with pytest.raises(errors.NotFound):
        await store.update_user(making.a_user().id, {"name": "x"}, now=NOW)
    await store.delete_user(user.id)
    assert await store.find_user(user.id) is None


async def test_owners_who_take_each_other_away_at_the_same_moment_leave_one(
    store: Store,
) -> None:
    for turn in range(10):
        owners = [making.a_user(email=f"{name}{turn}@example.com") for name in "ab"]
        for each in owners:
            await store.add_user(each)
        done = await asyncio.gather(
            store.delete_user(owners[0].id, keep_owner=True),
            store.update_user(owners[1].id, {"disabled_at": NOW}, now=NOW, keep_owner=True),
            return_exceptions=True,
        )
        assert [type(each) for each in done if each is not None] == [errors.Conflict]
        for each in owners:
            await store.delete_user(each.id)


async def test_sessions_are_listed_ended_and_expire(store: Store) -> None:
    user = making.a_user()
    await store.add_user(user)
    old, new = (
        making.a_session(user.id, hash="old"),
        making.a_session(user.id, hash="new", created_at=NOW + MINUTE),
    )
    for each in (old, new):
        await store.add_session(each)
    assert await store.find_session("old") == (old, user)
    assert await store.find_session("none") is None
    assert await store.list_sessions(user.id) == [new, old]

    await store.touch_session("new", now=NOW + 2 * MINUTE)
    await store.expire_sessions(now=NOW, idle_since=NOW + MINUTE)
    assert await store.list_sessions(user.id) == [replace(new, last_seen_at=NOW + 2 * MINUTE)]
    await store.add_session(old)
    assert await store.delete_sessions(user.id, but="new") == 1
    assert await store.delete_sessions(user.id, only="old") == 0
    await store.delete_user(user.id)
    assert await store.find_session("new") is None


async def test_the_audit_log_is_paged_newest_first(store: Store) -> None:
    entries = [making.an_audit_entry(at=NOW + n * MINUTE) for n in range(3)]
    for each in entries:
        await store.add_audit(each)
    page = await store.list_audit(PageQuery(limit=2))
    assert (list(page.items), page.done) == ([entries[2], entries[1]], False)


async def test_attempts_are_counted_in_slots_until_there_are_too_many(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    other = making.an_endpoint(application.id)
    await store.add_endpoint(other)
    elsewhere = making.an_application()
    await store.add_application(elsewhere)
    foreign = making.an_endpoint(elsewhere.id)
    await store.add_endpoint(foreign)
    minute = (NOW, NOW + MINUTE)
    before = (NOW - MINUTE, NOW)
    await _attempted(store, endpoint, at=NOW)
    await _attempted(store, endpoint, at=NOW, outcome=making.an_outcome(500))
    await _attempted(store, endpoint, at=NOW, test=True)
    await _attempted(store, endpoint, at=NOW + MINUTE)
    await _attempted(store, other, at=NOW - MINUTE)
    await _attempted(store, foreign, at=NOW)

    async def measured(limit: int) -> list[Mapping[EndpointId, AttemptCount]]:
        found = await store.measure_attempts(
            application.id, slots=[minute, before], percents=(50,), limit=limit
        )
        return [each.counts for each in found]

    counted = await measured(3)
    assert counted == [
        {endpoint.id: AttemptCount(succeeded=1, failed=1)},
        {other.id: AttemptCount(succeeded=1)},
    ]
    assert await measured(2) == counted[:1]
    assert await measured(1) == []


async def test_durations_of_a_slot_are_those_that_so_many_attempts_do_not_exceed(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    other = making.an_endpoint(application.id)
    await store.add_endpoint(other)
    minute, before = (NOW, NOW + MINUTE), (NOW - MINUTE, NOW)
    second = timedelta(seconds=1)

    async def took(seconds: int, at: datetime = NOW, **given: Any) -> None:
        """A failure at one endpoint, or a success at the other, in turn."""
        to, status = (other, 500) if seconds % 2 else (endpoint, 200)
        outcome = making.an_outcome(status, duration=seconds * second)
        await _attempted(store, to, at=at, outcome=outcome, **given)

    for seconds in (8, 1, 3, 6):
        await took(seconds)
    await took(30, test=True)
    await took(40, at=NOW - 2 * MINUTE)

    found = await store.measure_attempts(
        application.id, slots=[minute, before], percents=(25, 50, 51, 99), limit=9
    )
    assert [each.durations for each in found] == [
        (1 * second, 3 * second, 6 * second, 8 * second),
        (),
    ]


async def test_durations_of_a_large_slot_come_from_a_sample_of_it(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    claim = making.a_claim()
    items = [
        NewMessage(
            message=making.a_message(application.id),
            deliveries=(making.a_delivery(endpoint.id, claim=claim),),
        )
        for _ in range(1_500)
    ]
    await store.add_messages(items, now=NOW)
    records = [
        making.a_record(
            item,
            claim_id=claim.id,
            outcome=making.an_outcome(duration=timedelta(milliseconds=place)),
        )
        for place, item in enumerate(items)
    ]
    await store.record_attempts(records, now=NOW, failing_before=NOW - MINUTE)
    [found] = await store.measure_attempts(
        application.id, slots=[(NOW, NOW + MINUTE)], percents=(50,), limit=1_500
    )
    assert found.total == 1_500
    middle = found.durations[0] / timedelta(milliseconds=1)
    assert middle == pytest.approx(750, abs=150)  # ten times what chance makes of it


async def test_recent_durations_are_those_of_the_newest_real_attempts(
    store: Store, endpoint: Endpoint
) -> None:
    def took(seconds: int) -> Outcome:
        return making.an_outcome(duration=timedelta(seconds=seconds))

    await _attempted(store, endpoint, at=NOW, outcome=took(1))
    await _attempted(store, endpoint, at=NOW + MINUTE, outcome=took(2))
    await _attempted(store, endpoint, at=NOW + 2 * MINUTE, outcome=took(3))
    await _attempted(store, endpoint, at=NOW + 3 * MINUTE, outcome=took(4), test=True)

    found = await store.recent_durations([endpoint.id], limit=2)
    assert sorted(found) == [timedelta(seconds=2), timedelta(seconds=3)]
    assert await store.recent_durations([], limit=2) == []


async def _attempted(
    store: Store,
    endpoint: Endpoint,
    *,
    at: datetime,
    outcome: Outcome | None = None,
    test: bool = False,
) -> None:
    """One attempt at `endpoint`, begun at `at`."""
    claim = making.a_claim()
    item = NewMessage(
        message=making.a_message(endpoint.app_id, test=test),
        deliveries=(making.a_delivery(endpoint.id, claim=claim),),
    )
    await store.add_messages([item], now=NOW)
    record = making.a_record(item, claim_id=claim.id, outcome=outcome, at=at)
    await store.record_attempts([record], now=NOW, failing_before=NOW - MINUTE)


async def _owed(
    store: Store, *endpoints: Endpoint, outcome: Outcome | None = None, **given: Any
) -> NewMessage:
    """A message owed to `endpoints`; with `outcome`, that is how the first was attempted."""
    claim = making.a_claim()
    deliveries = tuple(
        making.a_delivery(each.id, claim=claim if outcome and not place else None)
        for place, each in enumerate(endpoints)
    )
    message = making.a_message(endpoints[0].app_id, endpoint_count=len(endpoints), **given)
    item = NewMessage(message=message, deliveries=deliveries)
    await store.add_messages([item], now=NOW)
    if outcome is not None:
        record = making.a_record(item, claim_id=claim.id, outcome=outcome)
        await store.record_attempts([record], now=NOW, failing_before=NOW - MINUTE)
    return item


async def test_deliveries_of_all_endpoints_are_filtered(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    other = making.an_endpoint(application.id)
    await store.add_endpoint(other)
    nobody = making.an_outcome(None, cause=FailureCause.TIMEOUT)
    made = [
        await _owed(store, endpoint, outcome=making.an_outcome(204), event_type="a"),
        await _owed(store, endpoint, outcome=making.an_outcome(503), at=NOW + MINUTE),
        await _owed(store, other, outcome=nobody, at=NOW + 2 * MINUTE),
        await _owed(store, other, test=True, at=NOW + 3 * MINUTE),
    ]

    async def found(**where: Any) -> list[int]:
        page = await store.search_deliveries(
            application.id, DeliveryQuery(**where), after=None, limit=9, look=99
        )
        assert (page.place, page.until) == (None, None)
        every = [each.message.id for each in made]
        return [every.index(each.message.id) for each in page.items]

    assert await found() == [3, 2, 1, 0]
    assert await found(endpoint_id=endpoint.id) == [1, 0]
    assert await found(state=DeliveryState.FAILED) == [2, 1]
    assert await found(state=DeliveryState.FAILED, endpoint_id=other.id) == [2]
    assert await found(event_types=frozenset({"a"})) == [0]
    assert await found(status_code_class=200) == [0]
    assert await found(status_code_class=500) == [1]
    assert await found(status_code_class=0) == [2]
    assert await found(test=False) == [2, 1, 0]
    assert await found(after=NOW + MINUTE, before=NOW + 3 * MINUTE) == [2, 1]
    assert await found(after=NOW + MINUTE, endpoint_id=endpoint.id) == [1]
    assert await found(before=NOW + MINUTE, endpoint_id=endpoint.id) == [0]


async def test_a_listed_delivery_comes_with_its_message_and_how_long_it_took(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    took = timedelta(milliseconds=31)
    item = await _owed(store, endpoint, outcome=making.an_outcome(duration=took))
    waiting = await _owed(store, endpoint, at=NOW + MINUTE)
    await store.delete_endpoint(endpoint.id)

    page = await store.search_deliveries(
        application.id, DeliveryQuery(endpoint_id=endpoint.id), after=None, limit=9, look=99
    )

    assert [each.duration for each in page.items] == [None, took]
    assert [each.delivery.state for each in page.items] == [
        DeliveryState.CANCELED,
        DeliveryState.SUCCEEDED,
    ]
    assert page.items[1].message == msgspec.structs.replace(item.message, payload=None)
    assert page.items[0].delivery.message_id == waiting.message.id


async def test_deliveries_of_another_application_are_not_found(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    await _owed(store, endpoint)
    stranger = making.an_application()
    await store.add_application(stranger)
    for where in (DeliveryQuery(), DeliveryQuery(endpoint_id=endpoint.id)):
        page = await store.search_deliveries(stranger.id, where, after=None, limit=9, look=99)
        assert page.items == ()


async def test_deliveries_page_through_the_endpoints_of_one_message(
    store: Store, application: Application
) -> None:
    endpoints = [making.an_endpoint(application.id) for _ in range(5)]
    for each in endpoints:
        await store.add_endpoint(each)
    newer = await _owed(store, *endpoints, at=NOW + MINUTE)
    older = await _owed(store, *endpoints[:2])
    wanted = sorted(
        (
            (item.message.id, each.endpoint_id)
            for item in (newer, older)
            for each in item.deliveries
        ),
        reverse=True,
    )

    seen: list[tuple[str, str]] = []
    place = None
    for _ in range(9):
        page = await store.search_deliveries(
            application.id, DeliveryQuery(), after=place, limit=2, look=99
        )
        seen += [(each.message.id, each.delivery.endpoint_id) for each in page.items]
        place = page.place
        if place is None:
            break
    assert seen == wanted


@pytest.mark.parametrize("by_endpoint", [False, True])
async def test_a_search_of_deliveries_ends_where_it_has_looked_far_enough(
    store: Store, application: Application, endpoint: Endpoint, *, by_endpoint: bool
) -> None:
    oldest = await _owed(store, endpoint, outcome=making.an_outcome(500))
    items = [
        NewMessage(
            message=making.a_message(application.id, at=NOW + n * MINUTE),
            deliveries=(making.a_delivery(endpoint.id),),
        )
        for n in range(1, 600)
    ]
    await store.add_messages(items, now=NOW)
    where = DeliveryQuery(
        state=DeliveryState.FAILED, endpoint_id=endpoint.id if by_endpoint else None
    )

    # Two rows each: the message, and what it is owed.
    page = await store.search_deliveries(application.id, where, after=None, limit=9, look=1_000)
    assert page.items == ()
    assert page.until == NOW + 100 * MINUTE
    page = await store.search_deliveries(
        application.id, where, after=page.place, limit=9, look=1_000
    )
    assert [each.message.id for each in page.items] == [oldest.message.id]
    assert (page.place, page.until) == (None, None)


async def test_the_deliveries_of_several_messages_are_found_at_once(
    store: Store, application: Application, endpoint: Endpoint
) -> None:
    older = await _owed(store, endpoint)
    newer = await _owed(store, endpoint, at=NOW + MINUTE)
    wanted = [newer.message.id, older.message.id]
    found = await store.list_deliveries_of(wanted, limit=9)
    assert [each.message_id for each in found] == wanted
    found = await store.list_deliveries_of(wanted, limit=1)
    assert [each.message_id for each in found] == wanted[:1]
    assert await store.list_deliveries_of([], limit=9) == []


async def test_messages_are_found_by_what_their_payload_says(
    store: Store, application: Application
) -> None:
    stranger = making.an_application()
    await store.add_application(stranger)

    async def happened(minute: int, payload: bytes, **given: Any) -> NewMessage:
        given = {"app_id": application.id, "at": NOW + minute * MINUTE, "payload": payload} | given
        item = NewMessage(message=making.a_message(**given), deliveries=())
        await store.add_messages([item], now=NOW)
        return item

    made = [
        await happened(0, b'{"name": "Kari 100%"}', event_type="a"),
        await happened(1, '{"name": "Åse"}'.encode()),
        await happened(2, b'{"name": "kari"}'),
        await happened(3, b"\xff KARI"),
    ]
    await happened(4, b'{"name": "Kari"}', app_id=stranger.id)

    async def found(*texts: str, **where: Any) -> list[int]:
        page = await store.search_messages(
            application.id, MessageFilter(**where), texts, after=None, limit=9, look=99
        )
        assert (page.place, page.until) == (None, None)
        assert all(each.payload is None for each in page.items)
        every = [each.message.id for each in made]
        return [every.index(each.id) for each in page.items]

    assert await found("kARI") == [3, 2, 0]
    assert await found("0%") == [0]
    assert await found("Åse") == [1]
    assert await found("åse") == []
    assert await found("åse", "kari 1") == [0]
    assert await found("kari", event_types=frozenset({"a"})) == [0]
    assert await found("kari", before=NOW + 3 * MINUTE, after=NOW + MINUTE) == [2]
    await store.expunge_payload(application.id, made[2].message.id)
    assert await found("kari") == [3, 0]


async def test_a_search_in_payloads_goes_on_where_it_ended(
    store: Store, application: Application
) -> None:
    items = [
        NewMessage(
            message=making.a_message(application.id, at=NOW + n * MINUTE, payload=payload),
            deliveries=(),
        )
        for n, payload in enumerate([b"needle", b"hay", b"needle"])
    ]
    await store.add_messages(items, now=NOW)
    wanted = [items[2].message.id, items[0].message.id]

    place, seen = None, []
    for more in (True, False):
        page = await store.search_messages(
            application.id, MessageFilter(), ["needle"], after=place, limit=1, look=99
        )
        seen += [each.id for each in page.items]
        place = page.place
        assert (place is not None, page.until) == (more, None)
    assert seen == wanted


@pytest.mark.parametrize(("size", "looked"), [(10, 300), (4_096, 256)])
async def test_a_search_in_payloads_ends_where_it_has_looked_far_enough(
    store: Store, application: Application, size: int, looked: int
) -> None:
    items = [
        NewMessage(
            message=making.a_message(application.id, at=NOW + n * MINUTE, payload=b"x" * size),
            deliveries=(),
        )
        for n in range(400)
    ]
    await store.add_messages(items, now=NOW)
    page = await store.search_messages(
        application.id, MessageFilter(), ["needle"], after=None, limit=9, look=300
    )
    assert page.items == ()
    assert page.until == NOW + (400 - looked) * MINUTE
    assert page.place == items[400 - looked].message.id


async def test_a_change_is_made_only_where_nobody_was_faster(
    store: Store, endpoint: Endpoint
) -> None:
    first: EndpointChanges = {"headers": {"x-a": "1"}}
    second: EndpointChanges = {"headers": {"x-b": "2"}, "disabled": True}
    was: EndpointChanges = {"headers": endpoint.headers, "secrets": endpoint.secrets}

    assert await store.update_endpoint(endpoint.id, first, now=NOW, was=was)
    assert not await store.update_endpoint(endpoint.id, second, now=NOW, was=was)

    found = await store.get_endpoint(endpoint.app_id, endpoint.id)
    assert found is not None
    assert (found.headers, found.disabled) == ({"x-a": "1"}, False)
