"""TLS: the name is checked, wherever it points. Oracle: certificates of an authority made here."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from sender.conftest import MakeSender
from sender.receiver import Behaviour, Visit, a_request, answering, receiving
from stafett.drivers.sender import Limits
from stafett.drivers.sender.dialling import default_tls
from stafett.model import FailureCause

NAMES = {"good.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """The sender's own context, which trusts the authority of these tests as well."""
    context = default_tls()
    authority.configure_trust(context)
    return context


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def test_a_valid_certificate_is_good_and_the_connection_kept(
    make_sender: MakeSender, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    asked: list[str | None] = []
    tls = serving(authority.issue_cert("good.test"))
    tls.sni_callback = lambda _, name, __: asked.append(name)
    async with receiving(tls=tls) as receiver:
        sender = make_sender(names=NAMES, tls_context=trusting)
        for _ in range(3):
            outcome = await sender.send(a_request(receiver.url(host="good.test")))
            assert (outcome.status_code, outcome.detail) == (200, "")
    assert receiver.connection_count == 1
    assert asked == ["good.test"]


async def test_a_certificate_for_an_address_is_good_for_that_address(
    make_sender: MakeSender, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with receiving(tls=serving(authority.issue_cert("127.0.0.1"))) as receiver:
        outcome = await make_sender(tls_context=trusting).send(a_request(receiver.url()))
    assert outcome.succeeded


async def test_names_at_one_address_are_each_checked(
    make_sender: MakeSender, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with receiving(tls=serving(authority.issue_cert("good.test"))) as receiver:
        sender = make_sender(names=NAMES, tls_context=trusting)
        assert (await sender.send(a_request(receiver.url(host="good.test")))).succeeded
        outcome = await sender.send(a_request(receiver.url(host="other.test")))
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.TLS_FAILED)
    assert "other.test" in outcome.detail
    assert len(receiver.requests) == 1


async def test_an_expired_certificate_is_refused_by_name(
    make_sender: MakeSender, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    expired = authority.issue_cert("good.test", not_before=LONG_AGO, not_after=LONG_AGO + DAY)
    async with receiving(tls=serving(expired)) as receiver:
        sender = make_sender(names=NAMES, tls_context=trusting)
        outcome = await sender.send(a_request(receiver.url(host="good.test")))
    assert outcome.cause is FailureCause.TLS_FAILED
    assert "expired" in outcome.detail
    assert not receiver.requests


async def test_an_unknown_authority_is_refused(
    make_sender: MakeSender, authority: trustme.CA
) -> None:
    async with receiving(tls=serving(authority.issue_cert("good.test"))) as receiver:
        sender = make_sender(names=NAMES, tls_context=default_tls())
        outcome = await sender.send(a_request(receiver.url(host="good.test")))
    assert outcome.cause is FailureCause.TLS_FAILED
    assert "certificate" in outcome.detail
    assert not receiver.requests


async def test_a_receiver_without_tls_gets_no_plain_request(
    make_sender: MakeSender, trusting: ssl.SSLContext
) -> None:
    heard: list[bytes] = []

    async def plain(visit: Visit) -> None:
        heard.append(await visit.reader.read(65_536))
        await visit.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with receiving(plain) as receiver:
        receiver.scheme = "https"
        outcome = await make_sender(tls_context=trusting).send(a_request(receiver.url()))
    assert outcome.cause is FailureCause.TLS_FAILED
    assert b"POST" not in heard[0]


async def reset_in_handshake(visit: Visit) -> None:
    await visit.reader.read(1)
    visit.reset()


async def close_in_handshake(visit: Visit) -> None:
    await visit.reader.read(1)


@pytest.mark.parametrize("behaviour", [reset_in_handshake, close_in_handshake])
async def test_an_end_in_the_handshake_is_a_tls_failure(
    make_sender: MakeSender, trusting: ssl.SSLContext, behaviour: Behaviour
) -> None:
    async with receiving(behaviour) as receiver:
        receiver.scheme = "https"
        outcome = await make_sender(tls_context=trusting).send(a_request(receiver.url()))
    assert (outcome.status_code, outcome.cause) == (None, FailureCause.TLS_FAILED)


async def test_a_handshake_that_stalls_ends_at_the_deadline(
    make_sender: MakeSender, trusting: ssl.SSLContext
) -> None:
    async def stall(visit: Visit) -> None:
        await visit.hang()

    async with receiving(stall) as receiver:
        receiver.scheme = "https"
        sender = make_sender(tls_context=trusting)
        outcomes = await asyncio.gather(
            *[sender.send(a_request(receiver.url(), seconds=0.15)) for _ in range(3)]
        )
        await receiver.left.wait()
    assert {outcome.cause for outcome in outcomes} == {FailureCause.TIMEOUT}


async def test_a_reply_over_tls_may_end_with_the_connection(
    make_sender: MakeSender, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    reply = b"HTTP/1.1 200 OK\r\n\r\nto the end"
    tls = serving(authority.issue_cert("good.test"))
    async with receiving(answering(reply, then_close=True), tls=tls) as receiver:
        sender = make_sender(names=NAMES, tls_context=trusting)
        outcome = await sender.send(a_request(receiver.url(host="good.test")))
    assert (outcome.status_code, outcome.response_body) == (200, b"to the end")


def test_the_default_is_strict() -> None:
    context = default_tls()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


async def test_cancelling_at_any_moment_of_opening_leaves_nothing_behind(
    make_sender: MakeSender, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with receiving(tls=serving(authority.issue_cert("good.test"))) as receiver:
        sender = make_sender(
            names=NAMES, tls_context=trusting, limits=Limits(max_connections=1, idle_seconds=0)
        )
        request = a_request(receiver.url(host="good.test"))
        for patience in range(40):
            attempt = asyncio.ensure_future(sender.send(request))
            for _ in range(patience):
                await asyncio.sleep(0)
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
        assert (await sender.send(request)).succeeded
