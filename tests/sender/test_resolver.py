"""Name resolution within its budget. The lookups are given here; they block as real ones do."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections.abc import Callable, Iterator, Sequence

import dnslib
import dnslib.server
import pytest
from typing_extensions import override

from stafett.drivers import resolver as resolving

IP = ipaddress.ip_address
BRIEF = 0.1


class Gate:
    """A lookup that counts, and hangs for some names until told otherwise."""

    def __init__(self, *hanging: str) -> None:
        self._hanging = hanging
        self.opened = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host.startswith(self._hanging) if self._hanging else False:
            self.opened.wait(5)
        return ["192.0.2.1"]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate("slow")
    yield gate
    gate.opened.set()


def limits(**changes: float) -> resolving.Limits:
    return resolving.Limits(**{"lookup_seconds": BRIEF, **changes})  # pyright: ignore[reportArgumentType]


async def test_addresses_come_ipv4_first_without_repeats() -> None:
    resolver = resolving.Resolver(
        lambda host: ["2001:db8::1", "192.0.2.2", "192.0.2.1", "192.0.2.2"]
    )
    assert await resolver.resolve("a.test") == (IP("192.0.2.2"), IP("192.0.2.1"), IP("2001:db8::1"))


async def test_no_more_than_16_addresses_are_taken() -> None:
    resolver = resolving.Resolver(lambda host: [f"192.0.2.{n}" for n in range(200)])
    assert len(await resolver.resolve("many.test")) == 16


def raising(host: str) -> Sequence[str]:
    raise OSError(host)


def empty(host: str) -> Sequence[str]:
    return []


def rubbish(host: str) -> Sequence[str]:
    return ["rubbish"]


@pytest.mark.parametrize("lookup", [raising, empty, rubbish])
async def test_no_usable_answer_is_a_failure(lookup: Callable[[str], Sequence[str]]) -> None:
    with pytest.raises(resolving.LookupFailed):
        await resolving.Resolver(lookup).resolve("a.test")


async def test_many_who_ask_at_once_share_one_lookup(gate: Gate) -> None:
    resolver = resolving.Resolver(gate, limits=limits(lookup_seconds=5))
    waiting = [asyncio.ensure_future(resolver.resolve("slow.test")) for _ in range(10)]
    await resolver.resolve("quick.test")
    gate.opened.set()
    assert set(await asyncio.gather(*waiting)) == {(IP("192.0.2.1"),)}
    assert sorted(gate.asked) == ["quick.test", "slow.test"]


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(gate: Gate) -> None:
    resolver = resolving.Resolver(gate, limits=limits(lookup_seconds=5))
    first, second = (asyncio.ensure_future(resolver.resolve("slow.test")) for _ in range(2))
    await resolver.resolve("quick.test")
    first.cancel()
    gate.opened.set()
    assert await second == (IP("192.0.2.1"),)


async def test_an_answer_is_kept_for_a_while_and_no_longer() -> None:
    for keep, lookups in ((60, 1), (0, 2)):
        gate = Gate()
        resolver = resolving.Resolver(gate, limits=limits(keep_seconds=keep))
        await resolver.resolve("a.test")
        await resolver.resolve("a.test")
        assert len(gate.asked) == lookups


async def test_a_failure_is_kept_for_a_while_too() -> None:
    asked: list[str] = []

    def failing(host: str) -> Sequence[str]:
        asked.append(host)
        raise OSError(host)

    resolver = resolving.Resolver(failing, limits=limits(keep_failure_seconds=60))
    for _ in range(3):
        with pytest.raises(resolving.LookupFailed):
            await resolver.resolve("a.test")
    assert len(asked) == 1


async def test_only_so_many_names_are_remembered() -> None:
    resolver = resolving.Resolver(Gate())
    for number in range(resolving.MAX_KNOWN + 5):
        await resolver.resolve(f"{number}.test")
    assert len(resolver._known) == resolving.MAX_KNOWN


# --- name servers that do not answer ------------------------------------------------------------


async def test_a_lookup_that_hangs_fails_in_time_and_again_at_once(gate: Gate) -> None:
    resolver = resolving.Resolver(gate, limits=limits())
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(5):
        with pytest.raises(resolving.LookupFailed):
            await resolver.resolve("slow.test")
    assert loop.time() - started < 2 * BRIEF
    assert gate.asked == ["slow.test"]


async def resolved_at_last(resolver: resolving.Resolver, host: str) -> Sequence[object]:
    """The answer, once the thread that had hung has handed in its own."""
    while True:
        try:
            return await resolver.resolve(host)
        except resolving.LookupFailed:
            await asyncio.sleep(0)


async def test_a_late_answer_serves_the_next_who_asks(gate: Gate) -> None:
    resolver = resolving.Resolver(gate, limits=limits())
    with pytest.raises(resolving.LookupFailed):
        await resolver.resolve("slow.test")
    gate.opened.set()
    assert await resolved_at_last(resolver, "slow.test") == (IP("192.0.2.1"),)
    assert gate.asked == ["slow.test"]


async def test_names_that_hang_do_not_starve_the_others(gate: Gate) -> None:
    resolver = resolving.Resolver(gate, limits=limits(max_running=2))
    hanging = [asyncio.ensure_future(resolver.resolve(f"slow{n}.test")) for n in range(2)]
    await asyncio.gather(*hanging, return_exceptions=True)
    assert await resolver.resolve("quick.test") == (IP("192.0.2.1"),)


async def test_threads_that_hang_are_not_without_end(gate: Gate) -> None:
    resolver = resolving.Resolver(gate, limits=limits(max_running=2, max_overdue=3))
    for _ in range(3):
        names = [f"slow{n}.test" for n in range(20)]
        await asyncio.gather(*map(resolver.resolve, names), return_exceptions=True)
    assert len(gate.asked) <= 2 + 3


async def test_waiting_for_a_place_counts_and_so_do_places_to_wait(gate: Gate) -> None:
    resolver = resolving.Resolver(gate, limits=limits(max_running=1, max_waiting=1, max_overdue=0))
    names = ["slow.test", "second.test", "third.test"]
    failures = await asyncio.gather(*map(resolver.resolve, names), return_exceptions=True)
    assert [str(failure) for failure in failures] == [
        "the name was not resolved in time",
        "the name was not resolved in time",
        "too many names wait to be resolved",
    ]
    assert gate.asked == ["slow.test"]
    gate.opened.set()
    assert await resolved_at_last(resolver, "second.test") == (IP("192.0.2.1"),)


# --- the machine's own lookup -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("box.test", ["192.0.2.7", "2001:db8::7"]),
        ("BOX.test.", ["192.0.2.7", "2001:db8::7"]),
        ("alias", ["192.0.2.7"]),
        ("192.0.2.7", []),
        ("commented.test", []),
        ("ox.test", []),
    ],
)
def test_the_hosts_file_is_read_word_by_word(host: str, found: list[str]) -> None:
    text = (
        "192.0.2.7\tBox.test alias # commented.test\n\n#192.0.2.8 box.test\n2001:db8::7 box.test\n"
    )
    assert resolving.in_hosts(host, text) == found


def test_this_machine_knows_itself() -> None:
    assert "127.0.0.1" in resolving.system_lookup("localhost")


class Zone(dnslib.server.BaseResolver):
    """A name server with a sense of humour."""

    def __init__(self, records: str) -> None:
        self._records = dnslib.RR.fromZone(records)

    @override
    def resolve(self, request: dnslib.DNSRecord, handler: object) -> dnslib.DNSRecord:
        reply = request.reply()
        name = request.q.qname
        while aliases := [rr for rr in self._records if rr.rname == name and rr.rtype == 5]:
            reply.add_answer(aliases[0])
            name = dnslib.DNSLabel(str(aliases[0].rdata))
        reply.add_answer(*[rr for rr in self._records if rr.rname == name and rr.rtype == 1])
        return reply


async def test_a_chain_of_names_ends_in_the_address_behind_it() -> None:
    zone = Zone("public.test. 0 CNAME internal.test.\ninternal.test. 0 A 10.0.0.1")
    server = dnslib.server.DNSServer(zone, port=0, address="127.0.0.1")
    server.start_thread()
    port = server.server.server_address[1]

    def ask(host: str) -> Sequence[str]:
        packet = dnslib.DNSRecord.question(host).send("127.0.0.1", port, timeout=2)
        answers = dnslib.DNSRecord.parse(packet).rr
        return [str(answer.rdata) for answer in answers if answer.rtype == 1]

    try:
        assert await resolving.Resolver(ask).resolve("public.test") == (IP("10.0.0.1"),)
    finally:
        server.stop()
        server.server.server_close()
