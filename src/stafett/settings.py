"""Settings: flags, then environment, then `.env`, then `stafett.toml`, then defaults.

`SPECS` is the one table: what is not in it does not exist, and a name that is nearly in it is
answered with the right one. Documentation and `stafett config` are made from it.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, cast

from stafett import errors
from stafett.model import Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PREFIX: Final = "STAFETT_"
_MIN_TOKEN: Final = 32
_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_ON: Final = frozenset({"on", "true", "yes", "1"})
_OFF: Final = frozenset({"off", "false", "no", "0"})
_QUOTED = re.compile(r"""(["'])(.*)\1\s*(?:#.*)?""")

DEFAULT_WAITS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; each field is described in `SPECS`."""

    host: str = "127.0.0.1"
    port: int = 8071
    data: Path = Path("stafett-data")
    database_url: Secret | None = None
    public_url: str | None = None
    bootstrap_token: Secret | None = None
    allow_networks: tuple[Network, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    retry_schedule: tuple[timedelta, ...] = DEFAULT_WAITS
    attempt_timeout: timedelta = timedelta(seconds=15)
    disable_after: timedelta = timedelta(days=5)
    retention_payloads: timedelta = timedelta(days=90)
    retention_messages: timedelta | None = None
    catalog: str = "multisite"
    public_catalog: bool = False
    trace_receivers: bool = False
    log_format: Literal["text", "json"] = "text"
    url: str | None = None
    token: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, and for each field where its value came from."""

    settings: Settings
    sources: Mapping[str, str] = field(default_factory=dict[str, str])


# --- values -----------------------------------------------------------------------------------


def parse_duration(text: str) -> timedelta:
    """`500ms`, `1.5s`, `5m`, `2h`, `90d`, or a bare number of seconds. Errors: ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        message = "is not a duration such as 500ms, 15s, 5m, 2h or 90d"
        raise ValueError(message)
    try:
        return timedelta(seconds=float(found[1]) * _UNITS[found[2] or "s"])
    except OverflowError:
        message = "is too long a duration"
        raise ValueError(message) from None


def show_duration(duration: timedelta) -> str:
    """The shortest way to write `duration` as a setting."""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(duration, timedelta(seconds=_UNITS[unit]))
        if count and not rest:
            return f"{count}{unit}"
    whole, rest = divmod(duration, timedelta(milliseconds=1))
    part = f".{rest // timedelta(microseconds=1):03}".rstrip("0").rstrip(".")
    return f"{whole}{part}ms"


def _positive(text: str) -> timedelta:
    duration = parse_duration(text)
    if duration <= timedelta(0):
        message = "must be longer than nothing"
        raise ValueError(message)
    return duration


def _timeout(text: str) -> timedelta:
    duration = _positive(text)
    if duration > timedelta(minutes=5):
        message = "may be at most 5m"
        raise ValueError(message)
    return duration


_NO_WAITS: Final = "none"


def _schedule(text: str) -> tuple[timedelta, ...]:
    if text.strip() == _NO_WAITS:
        return ()
    waits = tuple(_positive(each) for each in text.split(",") if each.strip())
    if not waits:
        message = f"has no wait in it; for a single attempt, say {_NO_WAITS}"
        raise ValueError(message)
    if len(waits) > 100:
        message = "may have at most 100 waits"
        raise ValueError(message)
    return waits


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65_535:
        message = "must be a port number from 0 to 65535 (0: any free one)"
        raise ValueError(message)
    return int(text)


def parse_networks(text: str) -> tuple[Network, ...]:
    """A comma-separated list of CIDR networks or single addresses. Errors: ValueError."""
    networks: list[Network] = []
    for each in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(each))
        except ValueError as exc:
            message = f"{each!r} is not a network such as 10.0.0.0/8, 127.0.0.1 or fd00::/8: {exc}"
            raise ValueError(message) from None
    return tuple(networks)


def _bootstrap_token(text: str) -> Secret:
    if len(text) < _MIN_TOKEN:
        message = f"must have {_MIN_TOKEN} or more characters, this one has {len(text)}"
        raise ValueError(message)
    if not (text.isascii() and text.isprintable()) or " " in text:
        message = "may have only printable ASCII characters, without spaces"
        raise ValueError(message)
    return Secret(text)


def _is_on(text: str) -> bool:
    word = text.strip().lower()
    if word not in _ON | _OFF:
        message = "must be on or off"
        raise ValueError(message)
    return word in _ON


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            message = f"must be one of {', '.join(choices)}"
            raise ValueError(message)
        return text

    return parse


class _Unshown(ValueError):
    """What is wrong with a text that nobody may see, for it can hold a password."""


def _web_address(text: str) -> str:
    # Anywhere, not only before the host: a password with a slash in it ends the host too early.
    if "@" in text:
        message = (
            "must not have a user and password, or any @: it is shown to everybody"
            " (a token belongs in STAFETT_TOKEN)"
        )
        raise _Unshown(message)
    if not re.match(r"https?://[^/\s]+", text):
        message = "must begin with http:// or https://"
        raise ValueError(message)
    return text.rstrip("/")


def _folder(text: str) -> Path:
    return Path(_text(text))


def _secret(text: str) -> Secret:
    return Secret(_text(text))


def _text(text: str) -> str:
    if not text:
        message = "must not be empty"
        raise ValueError(message)
    return text


# --- the table --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One setting."""

    name: str
    """Its field in `Settings`; in `stafett.toml` as it stands, as a flag with dashes."""
    parse: Callable[[str], object]
    description: str
    example: str
    secret: bool = False

    @property
    def variable(self) -> str:
        """Its name in the environment and in `.env`."""
        return PREFIX + self.name.upper()


SPECS: Final = tuple(
    Spec(name=name, parse=parse, description=description, example=example, secret=secret)
    for name, parse, example, secret, description in (
        ("host", _text, "0.0.0.0", False, "Address the server listens on."),  # noqa: S104 - an example
        ("port", _port, "8071", False, "Port the server listens on; 0 takes any free one."),
        (
            "data",
            _folder,
            "/var/lib/stafett",
            False,
            "Folder for the database and what belongs to it.",
        ),
        (
            "database_url",
            _secret,
            "sqlite:///stafett.db",
            True,
            "The database; without it, SQLite in the data folder.",
        ),
        (
            "public_url",
            _web_address,
            "https://hooks.example.com",
            False,
            "How others reach this server; request bins show it in their addresses.",
        ),
        (
            "bootstrap_token",
            _bootstrap_token,
            "the output of openssl rand -hex 32",
            True,
            "An owner token that is known beforehand.",
        ),
        (
            "allow_networks",
            parse_networks,
            "10.1.0.0/16,fd00::/8",
            False,
            "Networks that webhooks may reach beside the public internet.",
        ),
        (
            "trusted_proxies",
            parse_networks,
            "127.0.0.1,10.1.0.0/16",
            False,
            "Proxies in front of this server that are believed whom they forward for.",
        ),
        (
            "retry_schedule",
            _schedule,
            "5s,5m,30m,2h",
            False,
            "The waits after each failed attempt: n waits are n + 1 attempts; `none`: just one.",
        ),
        ("attempt_timeout", _timeout, "15s", False, "How long one attempt may take, all told."),
        (
            "disable_after",
            _positive,
            "5d",
            False,
            "A webhook that fails this long without one success is switched off.",
        ),
        ("retention_payloads", _positive, "90d", False, "How long payloads are kept."),
        (
            "retention_messages",
            _positive,
            "365d",
            False,
            "How long messages and attempts are kept; without it, for ever.",
        ),
        (
            "catalog",
            _one_of("multisite", "none"),
            "none",
            False,
            "The event types that are there from the start: multisite, or none.",
        ),
        (
            "public_catalog",
            _is_on,
            "on",
            False,
            "Whether /catalog shows the event types to anybody, on or off.",
        ),
        (
            "trace_receivers",
            _is_on,
            "on",
            False,
            "Whether receivers are sent a traceparent where OpenTelemetry is used, on or off.",
        ),
        ("log_format", _one_of("text", "json"), "json", False, "How log lines are written."),
        (
            "url",
            _web_address,
            "http://127.0.0.1:8071",
            False,
            "The server that the command line talks to; found by itself on the same machine.",
        ),
        (
            "token",
            _secret,
            "st_…",
            True,
            "The token that the command line uses; found by itself on the same machine.",
        ),
    )
)
_BY_VARIABLE: Final = {spec.variable: spec for spec in SPECS}
_BY_NAME: Final = {spec.name: spec for spec in SPECS}


# --- loading ----------------------------------------------------------------------------------


def load(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Loaded:
    """Settings from every place, the first that names one winning.

    `flags` are by field name, None for those not given. A secret may also be named as
    `STAFETT_…_FILE`, a file that holds it. Errors: InvalidSettings, with the place.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for place, texts in _places(flags, environ, cwd):
        for name, text in texts.items():
            if name not in values:
                values[name] = _parsed(_BY_NAME[name], text, place)
                sources[name] = place
    for each in fields(Settings):
        sources.setdefault(each.name, "default")
    return Loaded(settings=Settings(**values), sources=sources)


def given(chosen: Settings) -> Loaded:
    """Settings that were made in a program: what is not the default comes from it."""
    usual = Settings()
    sources = {
        each.name: "default"
        if getattr(chosen, each.name) == getattr(usual, each.name)
        else "program"
        for each in fields(Settings)
    }
    return Loaded(settings=chosen, sources=sources)


def describe(loaded: Loaded) -> list[tuple[Spec, str, str]]:
    """Every setting with its value (secrets masked) and where it came from."""
    texts = {spec.name: show(getattr(loaded.settings, spec.name)) for spec in SPECS}
    texts["retry_schedule"] = texts["retry_schedule"] or _NO_WAITS
    return [(spec, texts[spec.name], loaded.sources[spec.name]) for spec in SPECS]


def show(value: object) -> str:
    """A setting's value as one would write it; secrets are masked, nothing is empty."""
    match value:
        case bool():
            return "on" if value else "off"
        case timedelta():
            return show_duration(value)
        case tuple():
            return ",".join(map(show, cast("tuple[object, ...]", value)))
        case None:
            return ""
        case _:
            return str(value)


def _places(
    flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path
) -> list[tuple[str, dict[str, str]]]:
    given = {name: str(value) for name, value in flags.items() if value is not None}
    return [
        ("flag", given),
        ("environment", _from_variables(environ, "environment", cwd)),
        (".env", _from_variables(_read_dotenv(cwd / ".env"), ".env", cwd)),
        ("stafett.toml", _read_toml(cwd / "stafett.toml")),
    ]


def _from_variables(variables: Mapping[str, str], place: str, cwd: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for variable, text in variables.items():
        if not variable.startswith(PREFIX):
            continue
        spec = _BY_VARIABLE.get(variable)
        if spec is not None:
            texts[spec.name] = text
            continue
        spec = _BY_VARIABLE.get(variable.removesuffix("_FILE"))
        if spec is None or not spec.secret:
            raise _unknown(variable, place, _variables())
        texts.setdefault(spec.name, _read_secret(variable, cwd / text))
    return texts


def _variables() -> list[str]:
    return [*_BY_VARIABLE, *(f"{spec.variable}_FILE" for spec in SPECS if spec.secret)]


def _read_secret(variable: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        message = f"{variable} names a file that cannot be read: {exc}"
        raise errors.InvalidSettings(message) from exc


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows puts a mark in front
    except (OSError, UnicodeDecodeError) as exc:
        message = f"{path.name} cannot be read: {exc}"
        raise errors.InvalidSettings(message) from exc


def _read_dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines; comments, blank lines, `export` and quotes as everywhere."""
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            # Not the line itself: it may hold a secret.
            message = f"line {number} of {path.name} is not NAME=value"
            raise errors.InvalidSettings(message)
        found[name.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        return quoted[2]
    return value.partition(" #")[0].rstrip()


def _read_toml(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        document = tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as exc:
        message = f"stafett.toml cannot be read: {exc}"
        raise errors.InvalidSettings(message) from exc
    texts: dict[str, str] = {}
    for name, value in document.items():
        if name not in _BY_NAME:
            raise _unknown(name, "stafett.toml", list(_BY_NAME))
        values = cast("list[object]", value) if isinstance(value, list) else [value]
        texts[name] = ",".join(map(str, values))
    return texts


def _unknown(name: str, place: str, known: list[str]) -> errors.InvalidSettings:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known))}"
    return errors.InvalidSettings(f"{name} ({place}) is not a setting; {hint}")


def _parsed(spec: Spec, text: str, place: str) -> object:
    try:
        return spec.parse(text)
    except ValueError as exc:
        shown = "" if spec.secret or isinstance(exc, _Unshown) else f" ({text!r})"
        message = f"{spec.variable}{shown} from {place} {exc}; for example {spec.example}"
        raise errors.InvalidSettings(message) from None
