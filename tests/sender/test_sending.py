"""The sender against a real receiver on loopback. Oracle: the bytes that arrived."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
from datetime import timedelta
from typing import cast

import pytest

from sender.conftest import MakeSender
from sender.receiver import OK, Behaviour, Visit, a_request, answer_ok, answering, receiving
from stafett import egress, settings
from stafett.drivers import resolver as resolving
from stafett.drivers import sender as driver
from stafett.drivers.sender import dialling
from stafett.engine import sending
from stafett.model import FailureCause

BRIEF = 0.15
"""Seconds: a timeout that a test waits out."""


async def test_the_request_arrives_byte_for_byte(make_sender: MakeSender) -> None:
    body = bytes(range(256)) * 8
    async with receiving() as receiver:
        request = a_request(
            receiver.url("/a%0d%0ab?x=%20"), body=body, headers=(("webhook-id", "m1"), ("b", "2"))
        )
        outcome = await make_sender().send(request)
    assert receiver.requests == [
        b"POST /a%%0d%%0ab?x=%%20 HTTP/1.1\r\n"
        b"host: 127.0.0.1:%d\r\n"
        b"webhook-id: m1\r\n"
        b"b: 2\r\n"
        b"accept-encoding: identity\r\n"
        b"content-length: 2048\r\n\r\n%b" % (receiver.port, body)
    ]
    assert outcome.request_headers == (
        ("host", f"127.0.0.1:{receiver.port}"),
        ("webhook-id", "m1"),
        ("b", "2"),
        ("accept-encoding", "identity"),
        ("content-length", "2048"),
    )


async def test_the_outcome_holds_the_reply(make_sender: MakeSender) -> None:
    head = b"HTTP/1.1 201 Created\r\nX-Id: 7 \r\nSet-Cookie: a=\xe9\r\nContent-Length: 4\r\n\r\n"
    sender: sending.Sender = make_sender()
    async with receiving(answering(head + b"\0\xffok")) as receiver:
        outcome = await sender.send(a_request(receiver.url()))
    assert outcome.succeeded
    assert (outcome.status_code, outcome.cause, outcome.detail) == (201, None, "")
    assert outcome.response_headers == (
        ("x-id", "7"),
        ("set-cookie", "a=\xe9"),
        ("content-length", "4"),
    )
    assert outcome.response_body == b"\0\xffok"
    assert not outcome.response_truncated
    assert timedelta(0) < outcome.duration < timedelta(seconds=5)


async def test_a_large_body_is_sent_whole(make_sender: MakeSender) -> None:
    body = b"x" * 3_000_000
    async with receiving() as receiver:
        outcome = await make_sender().send(a_request(receiver.url(), body=body))
    assert outcome.succeeded
    assert receiver.requests[0].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("status_line", "cause", "detail"),
    [
        (b"200 OK", None, ""),
        (b"204 No Content", None, ""),
        (b"299 Odd", None, ""),
        (b"400 Bad", FailureCause.STATUS, "the endpoint answered 400 Bad Request"),
        (b"410 Gone", FailureCause.STATUS, "the endpoint answered 410 Gone"),
        (b"599 Odd", FailureCause.STATUS, "the endpoint answered 599"),
        (b"304 No", FailureCause.REDIRECT, "304 Not Modified; redirects are not followed"),
    ],
)
async def test_only_2xx_is_a_success(
    make_sender: MakeSender, status_line: bytes, cause: FailureCause | None, detail: str
) -> None:
    async with receiving(answering(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status_line)) as r:
        outcome = await make_sender().send(a_request(r.url()))
    assert (outcome.status_code, outcome.cause) == (int(status_line[:3]), cause)
    assert detail in outcome.detail
    assert outcome.succeeded is (cause is None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_nobody_goes_there(
    make_sender: MakeSender, status: int
) -> None:
    async with receiving() as elsewhere:
        location = elsewhere.url("/stolen")
        reply = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        async with receiving(answering(reply.encode())) as receiver:
            sender = make_sender()
            outcome = await sender.send(a_request(receiver.url()))
            # Proof that nothing was under way: what is sent afterwards arrives first.
            await sender.send(a_request(elsewhere.url("/later")))
    assert (outcome.status_code, outcome.cause) == (status, FailureCause.REDIRECT)
    assert ("location", location) in outcome.response_headers
    assert location in outcome.detail
    assert [request.split()[1] for request in elsewhere.requests] == [b"/later"]
    assert len(receiver.requests) == 1


async def test_cookies_and_proxies_of_the_environment_are_ignored(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    async with receiving() as proxy, receiving(answering(cookie, cookie)) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        sender = make_sender()
        for _ in range(2):
            assert (await sender.send(a_request(receiver.url()))).succeeded
    assert len(receiver.requests) == 2
    assert not any(b"cookie" in request.lower() for request in receiver.requests)
    assert proxy.connection_count == 0


# --- what a receiver can do to us -------------------------------------------------------------


async def test_a_long_reply_is_cut_and_keeps_its_status(make_sender: MakeSender) -> None:
    async def flood(visit: Visit) -> None:
        await visit.request()
        await visit.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await visit.say(b"1000\r\n" + b"y" * 4096 + b"\r\n")

    async with receiving(flood) as receiver:
        outcome = await make_sender().send(a_request(receiver.url()))
        await receiver.left.wait()
    assert (outcome.status_code, outcome.cause) == (200, None)
    assert outcome.response_truncated
    assert outcome.response_body == b"y" * 65_536


async def test_a_compressed_reply_is_kept_as_it_came(make_sender: MakeSender) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"
    async with receiving(answering(reply)) as receiver:
        outcome = await make_sender().send(a_request(receiver.url()))
    assert outcome.response_body == b"\x1f\x8b\x08"


async def hang_at_once(visit: Visit) -> None:
    await visit.hang()


async def drip_head(visit: Visit) -> None:
    await visit.request()
    while True:
        await visit.say(b"HTTP/1.1 200 OK\r\n" if not visit.dripped else b"X: y\r\n")
        visit.dripped += 1
        await asyncio.sleep(0.01)


async def drip_interim(visit: Visit) -> None:
    await visit.request()
    for _ in range(5):
        await visit.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.01)
    await visit.hang()


async def drip_body(visit: Visit) -> None:
    await visit.request()
    await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await visit.say(b"x")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("behaviour", [hang_at_once, drip_head, drip_interim, drip_body])
async def test_one_deadline_ends_every_kind_of_slowness(
    make_sender: MakeSender, behaviour: Behaviour
) -> None:
    async with receiving(behaviour) as receiver:
        outcome = await make_sender().send(a_request(receiver.url(), seconds=BRIEF))
        await receiver.left.wait()
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.TIMEOUT)
    assert timedelta(seconds=BRIEF * 0.9) < outcome.duration < timedelta(seconds=BRIEF + 2)
    assert ("status 200" in outcome.detail) is (behaviour is drip_body)


async def test_a_receiver_that_never_reads_is_ended_too(make_sender: MakeSender) -> None:
    async def deaf(visit: Visit) -> None:
        cast("asyncio.Transport", visit.writer.transport).pause_reading()
        await visit.receiver.left.wait()

    async with receiving(deaf) as receiver:
        request = a_request(receiver.url(), body=b"x" * 20_000_000, seconds=BRIEF)
        outcome = await make_sender().send(request)
        receiver.left.set()
    assert outcome.cause is FailureCause.TIMEOUT


async def test_a_short_deadline_is_kept_beside_long_ones(make_sender: MakeSender) -> None:
    async with receiving(hang_at_once) as receiver:
        sender = make_sender()
        long = asyncio.ensure_future(sender.send(a_request(receiver.url(), seconds=60)))
        short = await sender.send(a_request(receiver.url(), seconds=BRIEF))
        assert short.cause is FailureCause.TIMEOUT
        assert not long.done()
        await sender.close()
        assert (await long).cause is FailureCause.CONNECT_FAILED


async def reset_at_once(visit: Visit) -> None:
    visit.reset()


async def reset_after_request(visit: Visit) -> None:
    await visit.request()
    visit.reset()


async def close_after_request(visit: Visit) -> None:
    await visit.request()


@pytest.mark.parametrize("behaviour", [reset_at_once, reset_after_request, close_after_request])
async def test_a_connection_without_a_reply_is_a_failure_and_nothing_is_sent_twice(
    make_sender: MakeSender, behaviour: Behaviour
) -> None:
    async with receiving(behaviour) as receiver:
        outcome = await make_sender().send(a_request(receiver.url()))
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.CONNECT_FAILED)
    assert receiver.connection_count == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 2",
        b"\0\0\0\0",
    ],
)
async def test_half_a_reply_or_a_wrong_one_is_no_reply(
    make_sender: MakeSender, reply: bytes
) -> None:
    async with receiving(answering(reply, then_close=True)) as receiver:
        outcome = await make_sender().send(a_request(receiver.url()))
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.BAD_REPLY)
    assert outcome.detail
    assert receiver.connection_count == 1


async def test_a_reply_before_the_request_was_read_counts(make_sender: MakeSender) -> None:
    async def impatient(visit: Visit) -> None:
        await visit.reader.readuntil(b"\r\n\r\n")
        await visit.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await visit.hang()

    async with receiving(impatient) as receiver:
        outcome = await make_sender().send(a_request(receiver.url(), body=b"x" * 5_000_000))
    assert outcome.status_code == 413


async def test_a_closed_port_is_refused(make_sender: MakeSender) -> None:
    async with receiving() as receiver:
        pass
    outcome = await make_sender().send(a_request(receiver.url()))
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.REFUSED)
    assert not re.search(r"\d", outcome.detail)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EMFILE, FailureCause.INTERNAL),
        (errno.ENFILE, FailureCause.INTERNAL),
        (errno.EHOSTUNREACH, FailureCause.CONNECT_FAILED),
    ],
)
async def test_what_this_machine_lacks_is_not_the_receivers_fault(
    make_sender: MakeSender, monkeypatch: pytest.MonkeyPatch, number: int, cause: FailureCause
) -> None:
    async def no_socket(*_: object) -> None:
        raise OSError(number, "as the system says it")

    monkeypatch.setattr(dialling, "_connect_to", no_socket)
    outcome = await make_sender().send(a_request("http://127.0.0.1:59999/"))
    assert outcome.cause is cause
    assert ("this server" in outcome.detail) == (cause is FailureCause.INTERNAL)


# --- connections are kept, as long as nothing is odd ------------------------------------------


async def test_a_connection_is_used_again(make_sender: MakeSender) -> None:
    async with receiving() as receiver:
        sender = make_sender()
        for _ in range(5):
            assert (await sender.send(a_request(receiver.url()))).succeeded
    assert (receiver.connection_count, len(receiver.requests)) == (1, 5)


async def test_each_connection_has_one_request_at_a_time(make_sender: MakeSender) -> None:
    everybody = asyncio.Barrier(8)

    async def together(visit: Visit) -> None:
        await visit.request()
        await everybody.wait()
        await visit.say(OK)
        await visit.hang()

    async with receiving(together) as receiver:
        sender = make_sender()
        outcomes = await asyncio.gather(*[sender.send(a_request(receiver.url())) for _ in range(8)])
    assert all(outcome.succeeded for outcome in outcomes)
    assert receiver.connection_count == 8


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        OK + b"\0",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
    ],
    ids=["close", "1.0", "second reply", "rubbish", "cut"],
)
async def test_a_connection_about_which_anything_is_odd_is_not_used_again(
    make_sender: MakeSender, first: bytes
) -> None:
    async with receiving(answering(first)) as receiver:
        sender = make_sender()
        assert (await sender.send(a_request(receiver.url()))).status_code == 200
        await receiver.left.wait()
        second = await sender.send(a_request(receiver.url()))
    assert second.response_body != b"poison"
    assert receiver.connection_count == 2


async def test_bytes_that_come_while_a_connection_rests_end_it(make_sender: MakeSender) -> None:
    more = asyncio.Event()

    async def whisper(visit: Visit) -> None:
        await visit.request()
        await visit.say(OK)
        await more.wait()
        await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await visit.hang()

    async with receiving(whisper) as receiver:
        sender = make_sender()
        await sender.send(a_request(receiver.url()))
        more.set()
        await receiver.left.wait()
        again = await sender.send(a_request(receiver.url()))
    assert again.response_body == b"ok"
    assert receiver.connection_count == 2


async def test_a_connection_that_the_receiver_closed_at_rest_costs_no_attempt(
    make_sender: MakeSender,
) -> None:
    async with receiving(answering(OK, then_close=True)) as receiver:
        sender = make_sender()
        for _ in range(3):
            receiver.left.clear()
            assert (await sender.send(a_request(receiver.url()))).succeeded
            await receiver.left.wait()
            await asyncio.sleep(0.01)
    assert receiver.connection_count == 3


async def test_a_connection_that_rested_too_long_is_closed(make_sender: MakeSender) -> None:
    async with receiving() as receiver:
        sender = make_sender(limits=driver.Limits(idle_seconds=0.05))
        await sender.send(a_request(receiver.url()))
        await receiver.left.wait()
        await sender.send(a_request(receiver.url()))
    assert receiver.connection_count == 2


async def test_no_more_connections_rest_than_the_limit(make_sender: MakeSender) -> None:
    async with receiving() as receiver:
        sender = make_sender(limits=driver.Limits(max_idle_per_host=1))
        for _ in range(2):
            await asyncio.gather(*[sender.send(a_request(receiver.url())) for _ in range(3)])
    assert 3 < receiver.connection_count <= 5


async def test_at_the_limit_of_connections_a_resting_one_gives_way(
    make_sender: MakeSender,
) -> None:
    async with receiving() as one, receiving() as two:
        sender = make_sender(limits=driver.Limits(max_connections=1))
        for _ in range(2):
            for receiver in (one, two):
                assert (await sender.send(a_request(receiver.url()))).succeeded
    assert (one.connection_count, two.connection_count) == (2, 2)


async def test_at_the_limit_of_connections_the_rest_wait_their_turn(
    make_sender: MakeSender,
) -> None:
    async with receiving() as one, receiving() as two:
        sender = make_sender(limits=driver.Limits(max_connections=2))
        outcomes = await asyncio.gather(
            *[sender.send(a_request((one, two)[n % 2].url())) for n in range(20)]
        )
    assert all(outcome.succeeded for outcome in outcomes)
    assert len(one.requests) + len(two.requests) == 20


async def test_waiting_for_a_connection_counts_towards_the_deadline(
    make_sender: MakeSender,
) -> None:
    async with receiving(hang_at_once) as receiver:
        sender = make_sender(limits=driver.Limits(max_connections=1))
        first = asyncio.ensure_future(sender.send(a_request(receiver.url(), seconds=60)))
        second = await sender.send(a_request(receiver.url(), seconds=BRIEF))
        assert (second.cause, second.status_code) == (FailureCause.TIMEOUT, None)
        await sender.close()
        await first


async def test_hosts_do_not_share_connections_even_at_one_address(
    make_sender: MakeSender,
) -> None:
    async with receiving() as receiver:
        sender = make_sender(names={"a.test": ["127.0.0.1"], "b.test": ["127.0.0.1"]})
        for host in ("a.test", "b.test", "a.test"):
            await sender.send(a_request(receiver.url(host=host)))
    assert receiver.connection_count == 2
    hosts = [re.search(rb"host: (\S+)", request) for request in receiver.requests]
    assert [host and host[1].decode() for host in hosts] == [
        f"{host}:{receiver.port}" for host in ("a.test", "b.test", "a.test")
    ]


# --- cancelling and closing -------------------------------------------------------------------


async def test_cancelling_passes_and_closes_the_connection(make_sender: MakeSender) -> None:
    async def hold(visit: Visit) -> None:
        await visit.request()
        await visit.hang()

    async with receiving(hold) as receiver:
        attempt = asyncio.ensure_future(make_sender().send(a_request(receiver.url())))
        await receiver.arrived.wait()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await receiver.left.wait()


async def test_closing_ends_what_is_on_its_way_and_what_rests(make_sender: MakeSender) -> None:
    async with receiving(hang_at_once) as hanging, receiving(answer_ok) as receiver:
        sender = make_sender()
        await sender.send(a_request(receiver.url()))
        attempt = asyncio.ensure_future(sender.send(a_request(hanging.url())))
        await hanging.visited.wait()
        await sender.close()
        assert (await attempt).cause is FailureCause.CONNECT_FAILED
        await receiver.left.wait()
        await hanging.left.wait()
        assert "stopping" in (await sender.send(a_request(receiver.url()))).detail


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "n\xf8"])
async def test_a_header_of_more_than_one_line_is_never_sent(
    make_sender: MakeSender, value: str
) -> None:
    async with receiving() as receiver:
        outcome = await make_sender().send(a_request(receiver.url(), headers=(("x", value),)))
    assert outcome.cause is FailureCause.INTERNAL
    assert receiver.connection_count == 0


# --- where we may send ------------------------------------------------------------------------


async def test_a_refused_address_gets_not_one_packet(make_sender: MakeSender) -> None:
    async with receiving() as canary:
        outcome = await make_sender(policy=egress.Policy()).send(a_request(canary.url()))
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.TARGET_NOT_ALLOWED)
    assert egress.HINT in outcome.detail
    assert canary.connection_count == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::ffff:127.0.0.1"],
        ["::1"],
        ["1.1.1.1", "127.0.0.1"],
        ["1.1.1.1", "::1"],
    ],
)
async def test_a_name_that_points_inside_is_refused_without_saying_where(
    make_sender: MakeSender, addresses: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as canary:
        sender = make_sender(policy=egress.Policy(), names={"inside.test": addresses})
        outcome = await sender.send(a_request(canary.url(host="inside.test")))
    assert outcome.cause is FailureCause.TARGET_NOT_ALLOWED
    assert egress.HINT in outcome.detail
    assert not any(address in outcome.detail for address in addresses)
    assert f"address={ipaddress.ip_address(addresses[-1])}" in caplog.text
    assert canary.connection_count == 0


async def test_a_mapped_address_is_dialled_as_ipv4(make_sender: MakeSender) -> None:
    async with receiving() as receiver:
        sender = make_sender(names={"mapped.test": ["::ffff:127.0.0.1"]})
        assert (await sender.send(a_request(receiver.url(host="mapped.test")))).succeeded


async def test_a_name_that_moves_inside_between_connections_is_refused(
    make_sender: MakeSender,
) -> None:
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    policy = egress.Policy(allow_networks=settings.parse_networks("127.0.0.1/32"))

    def rebinding(host: str) -> list[str]:
        return next(answers)

    close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with receiving(answering(close)) as receiver:
        forgetful = resolving.Resolver(rebinding, limits=resolving.Limits(keep_seconds=0))
        sender = make_sender(policy=policy, resolver=forgetful)
        first = await sender.send(a_request(receiver.url(host="moves.test")))
        second = await sender.send(a_request(receiver.url(host="moves.test")))
    assert first.succeeded
    assert second.cause is FailureCause.TARGET_NOT_ALLOWED
    assert receiver.connection_count == 1


async def test_the_next_address_is_tried_when_one_is_dead(make_sender: MakeSender) -> None:
    async with receiving() as receiver:
        sender = make_sender(names={"two.test": ["127.0.0.9", "127.0.0.1"]})
        assert (await sender.send(a_request(receiver.url(host="two.test")))).succeeded


@pytest.mark.parametrize("host", ["metadata.google.internal", "localhost", "a.localhost"])
async def test_names_of_this_machine_and_of_the_cloud_are_not_even_looked_up(
    make_sender: MakeSender, host: str
) -> None:
    sender = make_sender(policy=egress.Policy())
    outcome = await sender.send(a_request(f"http://{host}:8080/"))
    assert outcome.cause is FailureCause.TARGET_NOT_ALLOWED


async def test_an_unknown_name_is_a_dns_failure(make_sender: MakeSender) -> None:
    outcome = await make_sender().send(a_request("http://nowhere.test:8080/"))
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.DNS_FAILED)
