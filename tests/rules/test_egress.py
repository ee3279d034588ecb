# Oracles: the tables below, written from the IANA special-purpose registries and from the published
# ways around such guards; the standard library's reader of addresses; and the guard itself, asked
# about the same address in another dress.

from __future__ import annotations

import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stafett import egress, errors, settings

PUBLIC_ONLY = egress.Policy()


def words(text: str) -> list[str]:
    return text.split()


# --- addresses --------------------------------------------------------------------------------

# Every block that is not the public internet, apart from the module's own table.
REGISTRY = words("""
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12
192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16
192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
255.255.255.255/32
::/128 ::1/128 ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64
100:0:0:1::/64 2001::/23 2001::/32 2001:2::/48 2001:10::/28 2001:20::/28 2001:30::/28
2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20 4000::/3 5f00::/16 fc00::/7 fe80::/10
fec0::/10 ff00::/8
""")

NOT_PUBLIC = words("""
127.0.0.1 127.255.255.254 0.0.0.0 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.1.1
100.64.0.1 100.127.255.255 100.100.100.200 168.63.129.16 169.254.169.254 169.254.170.2
169.254.170.23 169.254.169.253 192.0.0.192 192.0.0.8 192.0.0.9 192.0.0.10 192.0.2.1 198.51.100.1
203.0.113.1 198.18.0.1 198.19.255.255 192.88.99.1 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255
::1 :: ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:a9fe:a9fe ::ffff:10.0.0.1 ::7f00:1 ::127.0.0.1
::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::5efe:7f00:1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b::808:808 64:ff9b:1::808:808 2002:7f00:1:: 2002:a9fe:a9fe::1 2002:808:808::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 fc00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fe80::1%eth0
::1%lo febf::1 fec0::1 ff02::1 ff0e::1 2001:db8::1 3fff::1 5f00::1 100::1
""")

PUBLIC = words("""
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0
192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
2606:4700:4700::1111 2001:200:: 2001:4860:4860::8888 2000::1 2003::1 2a00::1 3ffe::1 3fff:1000::1
::ffff:8.8.8.8
""")


@pytest.mark.parametrize("block", REGISTRY)
def test_both_ends_of_every_special_block_are_refused_with_a_reference(block: str) -> None:
    network = ipaddress.ip_network(block)
    for address in (network[0], network[-1]):
        mapped_public = block == "::ffff:0:0/96"  # its ends map 0.0.0.0 and 255.255.255.255
        verdict = egress.vet(address, policy=PUBLIC_ONLY)
        assert not verdict.allowed
        assert verdict.reason
        assert verdict.reference or mapped_public


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not egress.vet(address, policy=PUBLIC_ONLY).allowed


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_may_be_reached(address: str) -> None:
    assert egress.vet(address, policy=PUBLIC_ONLY) == egress.Verdict(allowed=True)


@pytest.mark.parametrize(
    "text", ["", "name", "127.1", "0177.0.0.1", "2130706433", "1.1.1.1 ", "[::1]"]
)
def test_what_cannot_be_read_as_an_address_is_refused(text: str) -> None:
    assert egress.vet(text, policy=PUBLIC_ONLY).reason == "not an address"


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_its_ipv4_address(address: ipaddress.IPv4Address) -> None:
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")

    assert egress.vet(mapped, policy=PUBLIC_ONLY) == egress.vet(address, policy=PUBLIC_ONLY)
    assert egress.unwrap(mapped) == address


@given(st.ip_addresses())
def test_only_what_the_standard_library_calls_global_unicast_is_ever_allowed(
    address: egress.Address,
) -> None:
    if egress.vet(address, policy=PUBLIC_ONLY).allowed:
        meant = egress.unwrap(address)
        assert meant.is_global
        assert not meant.is_multicast


@given(st.ip_addresses())
def test_text_and_address_get_the_same_verdict(address: egress.Address) -> None:
    verdict = egress.vet(address, policy=PUBLIC_ONLY)

    assert egress.vet(str(address), policy=PUBLIC_ONLY) == verdict


def test_unwrap_leaves_other_addresses_alone() -> None:
    for text in ("8.8.8.8", "2a00::1", "64:ff9b::808:808"):
        address = ipaddress.ip_address(text)
        assert egress.unwrap(address) == address


# RFC 6052 section 2.4 writes 192.0.2.33 into prefixes of every length; here it is 8.8.4.4.
@pytest.mark.parametrize(
    ("prefix", "public", "private"),
    [
        ("2a00:db8::/32", "2a00:db8:808:404::", "2a00:db8:a00:1::"),
        ("2a00:db8:100::/40", "2a00:db8:108:804:4::", "2a00:db8:10a:0:1::"),
        ("2a00:db8:122::/48", "2a00:db8:122:808:4:400::", "2a00:db8:122:a00:0:100::"),
        ("2a00:db8:122:300::/56", "2a00:db8:122:308:8:404::", "2a00:db8:122:30a:0:1::"),
        ("2a00:db8:122:344::/64", "2a00:db8:122:344:8:804:400::", "2a00:db8:122:344:a:0:100::"),
        ("2a00:db8:122:344::/96", "2a00:db8:122:344::808:404", "2a00:db8:122:344::a00:1"),
        ("64:ff9b::/96", "64:ff9b::808:404", "64:ff9b::a00:1"),
    ],
)
def test_behind_a_configured_nat64_prefix_the_ipv4_address_is_judged(
    prefix: str, public: str, private: str
) -> None:
    network = ipaddress.IPv6Network(prefix)
    policy = egress.Policy(nat64_prefixes=(network,))

    held = egress.unwrap(ipaddress.ip_address(public), nat64_prefixes=(network,))
    assert str(held) == "8.8.4.4"
    assert egress.vet(public, policy=policy).allowed
    assert egress.vet(private, policy=policy).reason == "private network"


def test_a_nat64_prefix_of_an_impossible_length_is_an_error_of_the_settings() -> None:
    with pytest.raises(errors.InvalidSettings, match="64:ff9b::/80"):
        egress.Policy(nat64_prefixes=(ipaddress.IPv6Network("64:ff9b::/80"),))


# --- what the operator says -------------------------------------------------------------------


def allowing(text: str) -> egress.Policy:
    return egress.Policy(allow_networks=settings.parse_networks(text))


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.0/8", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8", "::1", False),
        ("127.0.0.0/8", "10.0.0.1", False),
        ("127.0.0.0/8,::1", "::1", True),
        ("10.1.0.0/16", "10.1.255.255", True),
        ("10.1.0.0/16", "10.2.0.0", False),
        ("10.1.0.0/16", "8.8.8.8", True),
        ("fd00::/8", "fd12::1", True),
        ("fe80::/10", "fe80::1%eth0", False),
        ("224.0.0.0/4", "224.0.0.1", True),
        # Who reaches metadata becomes the machine, so only its very address allows it.
        ("169.254.0.0/16", "169.254.1.1", True),
        ("169.254.0.0/16", "169.254.169.254", False),
        ("169.254.169.254/31", "169.254.169.254", False),
        ("169.254.169.254/32", "169.254.169.254", True),
        ("169.254.169.254", "::ffff:a9fe:a9fe", True),
        ("169.254.169.254", "169.254.170.2", False),
        ("0.0.0.0/0,::/0", "10.0.0.1", True),
        # Nor does a tunnel or translator lead around that.
        ("0.0.0.0/0,::/0", "64:ff9b::a9fe:a9fe", False),
        ("0.0.0.0/0,::/0", "2002:a9fe:a9fe::1", False),
        ("0.0.0.0/0,::/0", "::169.254.169.254", False),
        ("0.0.0.0/0,::/0", "::ffff:0:169.254.169.254", False),
        ("64:ff9b::/96", "64:ff9b::a00:1", True),
    ],
)
def test_the_operator_allows_networks_but_metadata_only_by_its_very_address(
    networks: str, address: str, allowed: bool
) -> None:
    assert egress.vet(address, policy=allowing(networks)).allowed is allowed


METADATA = words("""
100.100.100.200 168.63.129.16 169.254.0.23 169.254.42.42 169.254.169.253 169.254.169.254
169.254.170.2 169.254.170.23 192.0.0.192 fd00:42::42 fd00:ec2::23 fd00:ec2::254 fd20:ce::254
""")


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_allowed_by_its_very_address_and_by_no_wider_network(address: str) -> None:
    assert not egress.vet(address, policy=allowing("0.0.0.0/0,::/0")).allowed
    assert egress.vet(address, policy=allowing(f"0.0.0.0/0,::/0,{address}")).allowed


@pytest.mark.parametrize(
    ("refused", "address"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("8.8.8.8", "::ffff:8.8.8.8"),
        ("8.8.8.8", "64:ff9b::808:808"),
        ("8.8.8.8", "2002:808:808::1"),
        ("::ffff:8.8.8.0/120", "::ffff:8.8.8.8"),
        ("127.0.0.1", "127.0.0.1"),
        ("2a00::/16", "2a00::1"),
    ],
)
def test_what_the_operator_reserves_is_refused_whatever_is_allowed(
    refused: str, address: str
) -> None:
    policy = egress.Policy(
        allow_networks=settings.parse_networks("0.0.0.0/0,::/0"),
        nat64_prefixes=(ipaddress.IPv6Network("64:ff9b::/96"),),
        refuse=settings.parse_networks(refused),
    )

    assert egress.vet(address, policy=policy).reason == "reserved by the operator"
    assert egress.vet("9.9.9.9", policy=policy).allowed


def test_the_hint_names_the_setting_and_its_example_can_be_used() -> None:
    assert "STAFETT_ALLOW_NETWORKS" in egress.HINT
    example = egress.HINT.partition("for example ")[2].partition(" ")[0]
    assert egress.vet_target(egress.parse("http://127.0.0.1/"), policy=allowing(example)).allowed


# --- URLs that are refused ----------------------------------------------------------------------

LONG_LABEL = "a" * 64
LONG_NAME = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 62])

# What the message must say, then the URL.
ODD_URLS = [
    # IPv4 in other spellings
    ("odd spelling", "http://0/"),
    ("odd spelling", "http://2130706433/"),
    ("odd spelling", "http://0x7f000001/"),
    ("odd spelling", "http://0X7F000001/"),
    ("odd spelling", "http://0x7f.1/"),
    ("odd spelling", "http://0x/"),
    ("odd spelling", "http://0177.0.0.1/"),
    ("odd spelling", "http://017700000001/"),
    ("odd spelling", "http://127.1/"),
    ("odd spelling", "http://127.0.1/"),
    ("odd spelling", "http://127.0.0.1./"),
    ("odd spelling", "http://127.0.0.01/"),
    ("odd spelling", "http://256.1.1.1/"),
    ("odd spelling", "http://1.2.3.4.5/"),
    ("odd spelling", "http://example.1/"),
    ("neither a name nor an address", "http://127.0.0.1../"),
    ("neither a name nor an address", "http://127%2e0%2e0%2e1/"),
    ("neither a name nor an address", "http://127.0.0.1%00/"),
    # letters that other readers fold into ASCII
    ("xn--", "http://\uff11\uff12\uff17.0.0.1/"),
    ("xn--", "http://\u2460\u2461\u2466.0.0.1/"),
    ("xn--", "http://127\u30020\u30020\u30021/"),
    ("xn--", "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/"),
    ("xn--", "http://local\u00adhost/"),
    ("xn--", "http://fa\u00df.test/"),
    ("xn--", "http://ex\u0430mple.test/"),
    # IPv6
    ("zone", "http://[fe80::1%25eth0]/"),
    ("zone", "http://[fe80::1%eth0]/"),
    ("zone", "http://[::1%25lo]/"),
    ("not an IPv6 address", "http://[127.0.0.1]/"),
    ("not an IPv6 address", "http://[]/"),
    ("not an IPv6 address", "http://[v1.a]/"),
    ("not an IPv6 address", "http://[[::1]/"),
    ("closing bracket", "http://[[::1]]/"),
    ("closing bracket", "http://[::1/"),
    ("closing bracket", "http://[::1]a/"),
    ("port", "http://::1/"),
    # users and readers that disagree
    ("user and password", "https://user:pw@example.test/"),
    ("user and password", "http://example.test@127.0.0.1/"),
    ("user and password", "http://@example.test/"),
    ("backslash", "http://127.0.0.1\\@example.com/"),
    ("control characters", "http://127.0.0.1\t/"),
    ("control characters", "http://exa\nmple.test/"),
    ("control characters", "http://example.test/\r\nhost: evil"),
    ("control characters", "http://example.test/\x00"),
    ("control characters", "http://example.test/\x7f"),
    ("control characters", " http://example.test/"),
    ("control characters", "http://example.test/a b"),
    ("fragment", "http://example.test/#there"),
    ("fragment", "http://example.test#@127.0.0.1/"),
    ("fragment", "http://example.test/?a#"),
    # ports
    ("from 1 to 65535", "http://example.test:80:80/"),
    ("from 1 to 65535", "http://example.test:99999/"),
    ("from 1 to 65535", "http://example.test:65536/"),
    ("from 1 to 65535", "http://example.test:-1/"),
    ("from 1 to 65535", "http://example.test:0/"),
    ("from 1 to 65535", "http://example.test:0080/"),
    ("from 1 to 65535", "http://example.test:+80/"),
    ("from 1 to 65535", "http://example.test:/"),
    ("from 1 to 65535", "http://example.test:8_0/"),
    ("from 1 to 65535", "http://example.test:\u0668\u0660/"),
    *(
        (f"port {port}", f"http://example.test:{port}/")
        for port in words(
            "1 22 25 53 110 445 1023 2375 2379 3306 4222 5432 5672 6379 6443 8500 9042"
        )
        + words("9092 9200 10250 11211 15672 27017")
    ),
    # no host, no such scheme
    ("no host", "http:///path"),
    ("no host", "http://"),
    ("no host", "http://?a"),
    ("no host", "http://:80/"),
    ("no host", "http://./"),
    *(
        ("must begin with", url)
        for url in (
            *("", "http:", "http:/x", "//x", "example.test", "/x", "https:example.test"),
            *("file:///etc/passwd", "ftp://example.test/", "gopher://example.test/"),
            *("dict://example.test/", "ws://example.test/", "data:text/plain,x"),
            *("javascript:alert(1)", "unix:///run/x.sock", "http+unix://x/", "htt\u017fp://x/"),
        )
    ),
    # names
    ("neither a name nor an address", f"http://{LONG_LABEL}.test/"),
    ("neither a name nor an address", f"http://{LONG_NAME}/"),
    ("neither a name nor an address", "http://a..test/"),
    ("neither a name nor an address", "http://.test/"),
    ("neither a name nor an address", "http://-a.test/"),
    ("neither a name nor an address", "http://a-.test/"),
    ("neither a name nor an address", "http://a,b.test/"),
    ("neither a name nor an address", "http://*.test/"),
    # paths
    ("%XX", "http://example.test/\u00e6"),
    ("%XX", "http://example.test/?q=\u00e6"),
    ("%XX", 'http://example.test/"'),
    ("%XX", "http://example.test/<x>"),
    ("%XX", "http://example.test/%"),
    ("%XX", "http://example.test/%zz"),
    ("%XX", "http://example.test/%4"),
    ("at most", "http://example.test/" + "a" * 8_192),
]


@pytest.mark.parametrize(("says", "url"), ODD_URLS)
def test_an_odd_url_is_refused_with_what_is_wrong(says: str, url: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        egress.parse(url)

    (problem,) = caught.value.problems
    assert problem.loc == ("body", "url")
    assert says in problem.msg


def test_length_is_counted_in_full() -> None:
    longest = "http://example.test/".ljust(egress.MAX_URL, "a")

    assert egress.parse(longest).url == longest
    with pytest.raises(errors.Invalid):
        egress.parse(longest + "a")


# --- URLs that are taken --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "canonical", "authority"),
    [
        ("http://example.test", "http://example.test/", "example.test"),
        ("HTTPS://Example.TEST:443/A?b=C", "https://example.test/A?b=C", "example.test"),
        ("http://example.test:80/", "http://example.test/", "example.test"),
        ("https://example.test:80/", "https://example.test:80/", "example.test:80"),
        ("http://example.test:8071/in/x", "http://example.test:8071/in/x", "example.test:8071"),
        ("http://example.test./", "http://example.test/", "example.test"),
        ("http://example.test?a=@b", "http://example.test/?a=@b", "example.test"),
        ("http://example.test/a@b:c//d/../e", "http://example.test/a@b:c//d/../e", "example.test"),
        ("http://x.test/%0d%0aSet-Cookie:a", "http://x.test/%0d%0aSet-Cookie:a", "x.test"),
        ("http://8.8.8.8:65535/", "http://8.8.8.8:65535/", "8.8.8.8:65535"),
        ("http://[2606:4700::1]/", "http://[2606:4700::1]/", "[2606:4700::1]"),
        ("https://[2606:4700:0:0::1]:8443/", "https://[2606:4700::1]:8443/", "[2606:4700::1]:8443"),
        ("http://xn--fa-hia.test/", "http://xn--fa-hia.test/", "xn--fa-hia.test"),
        ("http://my_host-1.test/", "http://my_host-1.test/", "my_host-1.test"),
        ("http://127.0.0.1.nip.io/", "http://127.0.0.1.nip.io/", "127.0.0.1.nip.io"),
        (f"http://{'a' * 63}.test/", f"http://{'a' * 63}.test/", f"{'a' * 63}.test"),
    ],
)
def test_a_plain_url_is_kept_in_its_canonical_form(
    url: str, canonical: str, authority: str
) -> None:
    target = egress.parse(url)

    assert target.url == canonical
    assert target.authority == authority
    assert egress.parse(canonical) == target


def test_a_target_knows_its_parts() -> None:
    assert egress.parse("https://Example.test:8443/a?b") == egress.Target(
        "https", "example.test", 8443, "/a?b"
    )
    assert egress.parse("https://example.test/").tls
    assert not egress.parse("http://example.test/").tls
    assert egress.parse("http://example.test/").address is None
    assert egress.parse("http://8.8.8.8/").address == ipaddress.ip_address("8.8.8.8")
    assert egress.parse("http://[2a00::1]/").address == ipaddress.ip_address("2a00::1")


pieces = st.sampled_from(
    [
        *(
            "http://",
            "https://",
            "//",
            ":",
            "@",
            "[",
            "]",
            "%",
            "%2e",
            "#",
            "?",
            "/",
            "\\",
            ".",
            "\t",
        ),
        *("localhost", "127.0.0.1", "0x7f", "::1", "example.test", "80", "65536", "\u2460", "\x00"),
    ]
)
urlish = st.one_of(
    st.text(),
    st.lists(st.one_of(pieces, st.text(max_size=4)), max_size=12).map("".join),
    st.lists(pieces, max_size=8).map(lambda parts: "http://" + "".join(parts)),
)


def parsed(url: str) -> egress.Target | None:
    try:
        return egress.parse(url)
    except errors.Invalid:
        return None


@given(urlish)
def test_any_text_is_either_refused_or_has_one_meaning(url: str) -> None:
    target = parsed(url)
    if target is not None:
        assert egress.parse(target.url) == target
        assert target.url.isascii()
        assert target.url.isprintable()
        assert target.path.startswith("/")
        egress.vet_target(target, policy=PUBLIC_ONLY)


@given(st.text(alphabet="0123456789xabcdefABCDEFX.", max_size=20))
def test_a_host_that_could_be_read_as_a_number_is_a_plain_address_or_refused(host: str) -> None:
    target = parsed(f"http://{host}/")
    if target is None:
        return
    last = target.host.rpartition(".")[2]
    numeric = last.isdigit() or (last.startswith("0x") and set(last[2:]) <= set(string.hexdigits))
    if numeric:
        assert str(ipaddress.IPv4Address(host)) == target.host


@given(st.ip_addresses())
def test_every_address_survives_being_put_into_a_url(address: egress.Address) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)

    assert egress.parse(f"http://{host}:8080/x").address == address


# --- targets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [each for each in NOT_PUBLIC if "%" not in each])
def test_a_url_with_an_address_that_is_not_public_is_refused(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    target = egress.parse(f"http://{host}/latest/meta-data/")

    assert not egress.vet_target(target, policy=PUBLIC_ONLY).allowed


@pytest.mark.parametrize(
    "host",
    words(
        "localhost LOCALHOST localhost. foo.localhost localhost.localdomain ip6-localhost metadata"
        " metadata.google.internal METADATA.google.internal. metadata.goog instance-data"
        " instance-data.ec2.internal"
    ),
)
def test_names_of_this_machine_and_of_metadata_are_refused_unresolved(host: str) -> None:
    assert not egress.vet_target(egress.parse(f"http://{host}/"), policy=PUBLIC_ONLY).allowed


@pytest.mark.parametrize("host", ["example.test", "notlocalhost", "localhost.test", "8.8.8.8"])
def test_other_names_are_left_to_the_resolver(host: str) -> None:
    assert egress.vet_target(egress.parse(f"http://{host}/"), policy=PUBLIC_ONLY).allowed


def test_localhost_is_allowed_with_loopback_and_metadata_names_never() -> None:
    everything = allowing("0.0.0.0/0,::/0")

    local = egress.parse("http://localhost:8071/in/x")
    assert egress.vet_target(local, policy=allowing("127.0.0.0/8")).allowed
    assert not egress.vet_target(local, policy=allowing("10.0.0.0/8")).allowed
    metadata = egress.parse("http://metadata.google.internal/")
    assert not egress.vet_target(metadata, policy=everything).allowed


# --- headers ------------------------------------------------------------------------------------

RESERVED = words("""
Host host HOST Content-Length Transfer-Encoding Connection Keep-Alive TE Trailer Trailers Upgrade
Expect Proxy-Authorization Proxy-Connection Proxy-Anything HTTP2-Settings Content-Encoding
Accept-Encoding User-Agent Forwarded X-Forwarded-For X-Forwarded-Host X-Real-IP Via Date Sec-Fetch
webhook-id Webhook-Timestamp WEBHOOK-SIGNATURE webhook-anything svix-id svix-signature
stafett-attempt Stafett-Test
""")


@pytest.mark.parametrize("name", RESERVED)
def test_a_header_that_frames_routes_or_proves_the_request_is_refused(name: str) -> None:
    (problem,) = egress.check_headers({"X-Good": "yes", name: "evil"})

    assert problem.loc == ("body", "headers", name)
    assert "set by Stafett itself" in problem.msg


@pytest.mark.parametrize(
    "name", ["", " x", "x ", "x:", "a b", "x\r\ny", "x\n", "x\0", "\u00e6", "(x)", "x/y", "x" * 257]
)
def test_what_is_not_a_token_is_no_header_name(name: str) -> None:
    (problem,) = egress.check_headers({name: "value"})

    assert problem.msg == "is not a header name"


@pytest.mark.parametrize(
    "value",
    [
        *(
            "a\r\nHost: evil",
            "a\n",
            "\n",
            "a\rb",
            "a\0b",
            "a\x7f",
            "a\x1b[0m",
            "\u00e6",
            "a\u2028b",
        ),
        *(" a", "a ", "\ta", "a" * 4_097),
    ],
)
def test_a_header_value_is_one_line_of_printable_ascii(value: str) -> None:
    (problem,) = egress.check_headers({"X-Note": value})

    assert problem.loc == ("body", "headers", "X-Note")


def test_ordinary_headers_are_taken() -> None:
    headers = {
        "Authorization": "Bearer abc",
        "Cookie": "a=b",
        "Content-Type": "application/cloudevents+json",
        "X-Api-Key": "k",
        "X-Empty": "",
        "X-Tab": "a\tb",
        "X-Webhook": "not the prefix",
        "x" * egress.MAX_HEADER_NAME: "a" * egress.MAX_HEADER_VALUE,
    }

    assert egress.check_headers(headers) == []
    assert egress.check_headers({}) == []


def test_one_name_in_two_spellings_is_refused() -> None:
    (problem,) = egress.check_headers({"X-A": "1", "x-a": "2"})

    assert problem.loc == ("body", "headers", "x-a")


def test_every_wrong_header_is_named() -> None:
    problems = egress.check_headers({"Host": "a", "X-Fine": "b", "X-Bad": "\n", "a b": ""})

    assert [problem.loc[-1] for problem in problems] == ["Host", "X-Bad", "a b"]


def test_headers_have_a_limit_in_number_and_in_size() -> None:
    most = {f"x-{n}": "" for n in range(egress.MAX_HEADERS)}
    big = {f"x{n}": "a" * 4_094 for n in range(4)}  # exactly the limit

    assert egress.check_headers(most) == []
    assert egress.check_headers(big) == []
    for headers in ({**most, "y": ""}, {**big, "y": ""}):
        (problem,) = egress.check_headers(headers)
        assert problem.loc == ("body", "headers")
        assert "at most" in problem.msg


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4))
def test_headers_that_are_taken_are_one_line_each(headers: dict[str, str]) -> None:
    if egress.check_headers(headers) == []:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        assert head.isascii()
        assert len(head.splitlines()) == len(headers)


@pytest.mark.parametrize(
    "name",
    [
        *sorted(egress.SENSITIVE_HEADERS),
        *("Authorization", "X-API-KEY", "X-Hub-Secret", "my-token-2", "X-Password", "X-ApiKey"),
        *("X-Amz-Security-Token", "X-Authorization", "Set-Cookie"),
    ],
)
def test_a_header_that_carries_a_credential_is_sensitive(name: str) -> None:
    assert egress.is_sensitive(name)


@pytest.mark.parametrize(
    "name", ["Content-Type", "X-Author", "Accept", "X-Key-Count", "webhook-id"]
)
def test_an_ordinary_header_is_not_sensitive(name: str) -> None:
    assert not egress.is_sensitive(name)
