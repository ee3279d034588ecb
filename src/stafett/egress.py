"""Where Stafett may send. Pure: no clock, no I/O.

`vet` judges the address really dialled, and refuses what is not the public internet unless the
operator allowed its network. A URL is parsed once, strictly, and requests are built from the parts:
what is odd is refused, not repaired.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stafett import errors

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

HINT: Final = (
    "only the public internet may be reached; the operator of this server can allow a network of"
    " their own with STAFETT_ALLOW_NETWORKS (for example 127.0.0.0/8 to try things out on one"
    " machine)"
)

# --- addresses --------------------------------------------------------------------------------

# What is not the public internet: IANA's special-purpose registries and what cloud providers keep
# for themselves, as of November 2026. The rules' tests hold it against a list of their own.
_REFUSED_V4: Final = tuple(
    (ipaddress.IPv4Network(network), reason, reference)
    for network, reason, reference in (
        ("0.0.0.0/8", "this network", "RFC 791"),
        ("10.0.0.0/8", "private network", "RFC 1918"),
        ("100.64.0.0/10", "carrier-grade NAT", "RFC 6598"),
        ("127.0.0.0/8", "this machine", "RFC 1122"),
        ("168.63.129.16/32", "cloud platform service", "Azure"),
        ("169.254.0.0/16", "link-local, cloud metadata", "RFC 3927"),
        ("172.16.0.0/12", "private network", "RFC 1918"),
        ("192.0.0.0/24", "protocol assignments", "RFC 6890"),
        ("192.0.2.0/24", "documentation", "RFC 5737"),
        ("192.31.196.0/24", "AS112", "RFC 7535"),
        ("192.52.193.0/24", "AMT", "RFC 7450"),
        ("192.88.99.0/24", "6to4 relay", "RFC 7526"),
        ("192.168.0.0/16", "private network", "RFC 1918"),
        ("192.175.48.0/24", "AS112", "RFC 7534"),
        ("198.18.0.0/15", "benchmarking", "RFC 2544"),
        ("198.51.100.0/24", "documentation", "RFC 5737"),
        ("203.0.113.0/24", "documentation", "RFC 5737"),
        ("224.0.0.0/4", "multicast", "RFC 5771"),
        ("240.0.0.0/4", "reserved, broadcast", "RFC 1112"),
    )
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6: Final = tuple(
    (ipaddress.IPv6Network(network), reason, reference)
    for network, reason, reference in (
        ("2001::/23", "protocol assignments, Teredo", "RFC 2928"),
        ("2001:db8::/32", "documentation", "RFC 3849"),
        ("2002::/16", "6to4", "RFC 3056"),
        ("2620:4f:8000::/48", "AS112", "RFC 7534"),
        ("3fff::/20", "documentation", "RFC 9637"),
    )
)
_WELL_KNOWN_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LENGTHS: Final = frozenset({32, 40, 48, 56, 64, 96})
_UNUSED_OCTET: Final = 8  # bits 64 to 71 carry nothing, RFC 6052 section 2.2
# IPv6 networks that lead to an IPv4 address through a translator or a tunnel, and the octet where
# that begins: IPv4-compatible, SIIT, NAT64 and 6to4.
_CARRIERS: Final = (
    (ipaddress.IPv6Network("::/96"), 12),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 12),
    (_WELL_KNOWN_NAT64, 12),
    (ipaddress.IPv6Network("2002::/16"), 2),
)

# Who reaches these becomes the machine. A network that happens to hold them does not allow them:
# the operator must name the very address.
_METADATA: Final = frozenset(
    ipaddress.ip_address(each)
    for each in (
        "100.100.100.200",
        "168.63.129.16",
        "169.254.0.23",
        "169.254.42.42",
        "169.254.169.253",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:42::42",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator says; tenants have no part in it.

    Errors: InvalidSettings for a NAT64 prefix of another length than RFC 6052 has.
    """

    allow_networks: tuple[Network, ...] = ()
    """May be reached although they are not public."""
    nat64_prefixes: tuple[ipaddress.IPv6Network, ...] = ()
    """IPv6 networks that hold an IPv4 address (RFC 6052), which is judged in their stead."""
    refuse: tuple[Network, ...] = ()
    """May not be reached on any port, whatever else is said: where our database is, say."""

    def __post_init__(self) -> None:
        for prefix in self.nat64_prefixes:
            if prefix.prefixlen not in _NAT64_LENGTHS:
                message = f"{prefix} cannot be a NAT64 prefix: its length must be 32 to 64 or 96"
                raise errors.InvalidSettings(message)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an address may be dialled; `reason` and `reference` are for the operator."""

    allowed: bool
    reason: str = ""
    reference: str = ""


_ALLOWED: Final = Verdict(allowed=True)


def unwrap(address: Address, *, nat64_prefixes: tuple[ipaddress.IPv6Network, ...] = ()) -> Address:
    """The IPv4 address that really is meant by a mapped one, or by one of our NAT64 prefixes."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        for prefix in nat64_prefixes:
            if address in prefix:
                return _held_v4(address, prefix.prefixlen // 8)
    return address


def _held_v4(address: ipaddress.IPv6Address, start: int) -> ipaddress.IPv4Address:
    """The IPv4 address that begins at octet `start` (RFC 6052 section 2.2)."""
    octets = [octet for n, octet in enumerate(address.packed) if n >= start and n != _UNUSED_OCTET]
    return ipaddress.IPv4Address(bytes(octets[:4]))


def _carried(address: Address) -> Address:
    """Where a translator or tunnel would take `address`, whether or not we use any."""
    if isinstance(address, ipaddress.IPv6Address):
        for network, start in _CARRIERS:
            if address in network:
                return _held_v4(address, start)
    return address


@functools.lru_cache(maxsize=4096)
def vet(address: str | Address, *, policy: Policy) -> Verdict:
    """Whether `address` may be dialled. What cannot be read is refused."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return Verdict(allowed=False, reason="not an address", reference="")
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
        return Verdict(allowed=False, reason="address with a zone", reference="RFC 4007")
    meant = unwrap(parsed, nat64_prefixes=policy.nat64_prefixes)
    ways = {parsed, meant, _carried(meant)}
    if any(way in network for way in ways for network in policy.refuse):
        return Verdict(allowed=False, reason="reserved by the operator")
    if _is_allowed_by_operator(meant, policy.allow_networks):
        return _ALLOWED
    return _judge_v4(meant) if isinstance(meant, ipaddress.IPv4Address) else _judge_v6(meant)


def _is_allowed_by_operator(address: Address, networks: tuple[Network, ...]) -> bool:
    holding = [network for network in networks if address in network]
    if address in _METADATA or _carried(address) in _METADATA:
        return any(network.prefixlen == network.max_prefixlen for network in holding)
    return bool(holding)


def _judge_v4(address: ipaddress.IPv4Address) -> Verdict:
    for network, reason, reference in _REFUSED_V4:
        if address in network:
            return Verdict(allowed=False, reason=reason, reference=reference)
    return _ALLOWED


def _judge_v6(address: ipaddress.IPv6Address) -> Verdict:
    if address in _WELL_KNOWN_NAT64:
        return Verdict(allowed=False, reason="NAT64", reference="RFC 6052")
    if address not in _GLOBAL_UNICAST:
        return Verdict(allowed=False, reason="not global unicast", reference="RFC 4291")
    for network, reason, reference in _REFUSED_V6:
        if address in network:
            return Verdict(allowed=False, reason=reason, reference=reference)
    return _ALLOWED


# --- targets ----------------------------------------------------------------------------------

MAX_URL: Final = 8_192
_MAX_HOST: Final = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_PATH = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%]*")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LAST_PORT: Final = 65_535
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_FIRST_FREE_PORT: Final = 1024
# Databases, brokers and control planes: nobody receives webhooks there.
_REFUSED_PORTS: Final = frozenset(
    {2375, 2376, 2377, 2379, 2380, 3306, 4222, 5432, 5672, 5984, 6379, 6443, 8086, 8500, 9042}
    | {9092, 9200, 10250, 11211, 15672, 27017}
)
# They mean this machine, or the cloud's metadata, whatever a resolver says.
_LOCAL_NAMES: Final = frozenset(
    {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}
)
_METADATA_NAMES: Final = frozenset(
    {"metadata", "metadata.goog", "metadata.google.internal"}
    | {"metadata.tencentyun.com", "instance-data", "instance-data.ec2.internal"}
)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in parts: the only form in which one is ever sent to."""

    scheme: str
    host: str
    """Lower-case ASCII name without a trailing dot, or an address without brackets."""
    port: int
    path: str
    """With the query; begins with a slash."""
    address: Address | None = field(init=False)
    """When the host is an address and not a name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", _literal(self.host))

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """What belongs into the `Host` header (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The canonical form."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse(url: str) -> Target:
    """The target of `url`. Errors: Invalid at ("body", "url") that says what is wrong.

    Only http and https, ASCII names and plain addresses, no user and password, no fragment.
    """
    try:
        return _parse(url)
    except _Odd as odd:
        raise errors.Invalid([errors.Problem(("body", "url"), str(odd))]) from None


class _Odd(Exception):
    """What is wrong with a URL."""


def _parse(url: str) -> Target:
    if len(url) > MAX_URL:
        message = f"may have at most {MAX_URL:,} characters"
        raise _Odd(message)
    if any(character <= " " or character == "\x7f" for character in url):
        message = "must not have spaces or control characters"
        raise _Odd(message)
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        message = "must begin with http:// or https://"
        raise _Odd(message)
    if "\\" in rest:
        message = "must not have a backslash"
        raise _Odd(message)
    authority, path = _split(rest)
    host, port = _split_port(authority, scheme.lower())
    return Target(scheme.lower(), _host(host), port, _checked_path(path))


def _split(rest: str) -> tuple[str, str]:
    place = next((n for n, character in enumerate(rest) if character in "/?#"), len(rest))
    authority, path = rest[:place], rest[place:]
    if "@" in authority:
        message = "must not have a user and password; put them into a header of the webhook"
        raise _Odd(message)
    return authority, path if path.startswith("/") else "/" + path


def _split_port(authority: str, scheme: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, after = authority.partition("]")
        if not bracket or (after and not after.startswith(":")):
            message = "has an IPv6 address without its closing bracket"
            raise _Odd(message)
        text = after[1:] if after else ""
        host += "]"
        given = bool(after)
    else:
        host, colon, text = authority.partition(":")
        given = bool(colon)
    if not given:
        return host, _DEFAULT_PORTS[scheme]
    return host, _port(text, scheme)


def _port(text: str, scheme: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > _LAST_PORT:
        message = "has a port that is not a number from 1 to 65535"
        raise _Odd(message)
    port = int(text)
    if port in _REFUSED_PORTS or (port < _FIRST_FREE_PORT and port not in _DEFAULT_PORTS.values()):
        message = f"has the port {port}, where no webhooks are received"
        raise _Odd(message)
    return port


def _host(text: str) -> str:
    if text.startswith("["):
        return _bracketed(text[1:-1])
    if not text.isascii():
        message = "has a host name with other than ASCII letters; write it in its xn-- form"
        raise _Odd(message)
    name = text.lower().removesuffix(".")
    if not name:
        message = "has no host"
        raise _Odd(message)
    if len(name) > _MAX_HOST or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        message = "has a host that is neither a name nor an address"
        raise _Odd(message)
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _plain_v4(text)
    return name


def _bracketed(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        message = "has brackets around something that is not an IPv6 address"
        raise _Odd(message) from None
    if address.scope_id is not None:
        message = "must not have an IPv6 zone"
        raise _Odd(message)
    return str(address)


def _plain_v4(text: str) -> str:
    """A host that ends in a number is an IPv4 address (as browsers read it), spelled plainly."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        message = "has an IPv4 address in an odd spelling; write it as four decimal numbers"
        raise _Odd(message) from None


def _checked_path(path: str) -> str:
    if "#" in path:
        message = "must not have a fragment (#…): it would never be sent"
        raise _Odd(message)
    if not _PATH.fullmatch(path) or _ESCAPE.search(path):
        message = "has characters in its path or query that must be written as %XX"
        raise _Odd(message)
    return path


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def vet_target(target: Target, *, policy: Policy) -> Verdict:
    """What can be said before any name is resolved; the address dialled is vetted again."""
    if target.address is not None:
        return vet(target.address, policy=policy)
    if target.host in _METADATA_NAMES:
        return Verdict(allowed=False, reason="cloud metadata", reference="")
    if target.host in _LOCAL_NAMES or target.host.endswith(".localhost"):
        return vet("127.0.0.1", policy=policy)
    return _ALLOWED


# --- headers that tenants may add -------------------------------------------------------------

MAX_HEADERS: Final = 50
MAX_HEADER_NAME: Final = 256
MAX_HEADER_VALUE: Final = 4_096
MAX_HEADERS_SIZE: Final = 16_384
"""Of all names and values together; many receivers refuse longer heads unread."""
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_RESERVED_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"}
    | {"upgrade", "expect", "content-encoding", "accept-encoding", "forwarded", "via", "date"}
    | {"trailers", "http2-settings", "user-agent", "x-real-ip"}
)
_RESERVED_PREFIXES: Final = ("webhook-", "svix-", "stafett-", "proxy-", "sec-", "x-forwarded-")

SENSITIVE_HEADERS: Final = frozenset(
    {"authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-access-token"}
    | {"proxy-authorization", "proxy-authenticate", "www-authenticate", "set-cookie", "x-auth-key"}
)
_SENSITIVE_WORDS: Final = (
    *("secret", "token", "password", "passwd", "apikey", "api-key", "api_key", "credential"),
    *("authorization", "cookie"),
)


def check_headers(headers: Mapping[str, str]) -> list[errors.Problem]:
    """What is wrong with headers that a tenant wants sent, each problem at ("body", "headers", …).

    Names are tokens (RFC 9110 section 5.1), values printable ASCII; what frames the request, routes
    it or proves its origin is ours alone.
    """
    if len(headers) > MAX_HEADERS:
        return [errors.Problem(("body", "headers"), f"may have at most {MAX_HEADERS} entries")]
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADERS_SIZE:
        message = f"may have at most {MAX_HEADERS_SIZE:,} characters in all"
        return [errors.Problem(("body", "headers"), message)]
    problems: list[errors.Problem] = []
    seen: set[str] = set()
    for name, value in headers.items():
        wrong = _wrong_name(name) or _wrong_value(value)
        if wrong is None and name.lower() in seen:
            wrong = "is given twice, in different spellings"
        if wrong is not None:
            problems.append(errors.Problem(("body", "headers", name), wrong))
        seen.add(name.lower())
    return problems


def _wrong_name(name: str) -> str | None:
    if len(name) > MAX_HEADER_NAME or not _TOKEN.fullmatch(name):
        return "is not a header name"
    lower = name.lower()
    if lower in _RESERVED_HEADERS or lower.startswith(_RESERVED_PREFIXES):
        return "is set by Stafett itself and cannot be given"
    return None


def _wrong_value(value: str) -> str | None:
    if len(value) > MAX_HEADER_VALUE:
        return f"may have at most {MAX_HEADER_VALUE:,} characters"
    if not _VALUE.fullmatch(value) or value != value.strip():
        return "may have only printable ASCII characters, none of them a space at either end"
    return None


def is_sensitive(name: str) -> bool:
    """Whether the value of a header is a credential, to be shown to nobody."""
    lower = name.lower()
    return lower in SENSITIVE_HEADERS or any(word in lower for word in _SENSITIVE_WORDS)
