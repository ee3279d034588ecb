"""Makes the pages that repeat what the code says: `python docs/generate.py` writes them anew.

Nobody edits those pages: a test compares each with what `pages` gives. What the code cannot say
(what to do about an error) stands here, keyed by the thing itself, so a new one without its words
ends the run with a KeyError.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as shapes

from stafett import catalog, errors, settings
from stafett.cli import COMMANDS, main
from stafett.model import EventType, FailureCause, PayloadCheck
from stafett.services.event_types import schema_in_force
from stafett.settings import SPECS, Settings, Spec
from stafett.web.errors import STATUS
from stafett.web.metrics import METRICS
from stafett.web.routes import PREFIX, ROUTES, Access, Route

HERE: Final = Path(__file__).parent
_NOTE: Final = "<!-- Made by `python docs/generate.py`. Edits here are lost. -->"
_CATALOG: Final = "multisite"

# --- what the code cannot say -----------------------------------------------------------------

_SETTINGS_INTRO: Final = """\
Everything that can be set is in this table; a name that is not in it is refused at start, with the
nearest one that is. Each setting is looked for in five places, and the first that has it wins:

1. a flag of `stafett serve` or `stafett demo`;
2. the environment variable;
3. `.env` in the folder where the command is started (`NAME=value` lines);
4. `stafett.toml` in the same folder, under the setting's plain name;
5. the default.

`stafett config` shows every setting with its value and the place it came from; secrets are masked.

A secret can also lie in a file: add `_FILE` to its variable and give the path, as
`STAFETT_BOOTSTRAP_TOKEN_FILE=/run/secrets/token`. A variable that holds the secret itself goes
before one that names a file, in the same place.

Durations are written `500ms`, `1.5s`, `5m`, `2h`, `90d`, or as a bare number of seconds. Lists have
commas between their entries; in `stafett.toml` they may be lists.
"""

_METRICS_INTRO: Final = """\
`GET /metrics` is the Prometheus text format, of each process its own: counters begin at 0 when it
starts, and Prometheus adds the instance. What waits is counted in the database, so every process
says the same; take the largest, not the sum. Which processes have a number stands beside it: a
server has all of them, `stafett serve --no-dispatch` those of processes that accept,
`stafett dispatch` those of processes that send. [Deploying](deploying.md#watching) has the
dashboard, the alert rules, and what to do when one comes.

While the database is away, a process goes on showing what it knows itself: `stafett_ready` is 0,
`/ready` says why within three seconds, and what waits is not shown. It is ready again by itself.
"""

_METRICS_END: Final = """\
A histogram is three series: `…_bucket` with the label `le`, `…_sum` and `…_count`. So the 99th
percentile of commits over five minutes, for each kind of commit, is

```text
histogram_quantile(0.99, sum by (le, what) (rate(stafett_commit_seconds_bucket[5m])))
```

## Traces

`pip install "stafett[opentelemetry]"`, and the address of a collector (OTLP over HTTP):

```sh
OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 stafett serve
```

- `stafett.accept` (server): from a read request to its commit, as a child of the caller's
  `traceparent`. A batch has one for all of its messages.
- `stafett.attempt` (client): one request to a receiver, as a child of the span that accepted its
  message. That of a test event begins a trace.

The trace is stored with the message. So its attempts, retries and resends are in the same trace,
whichever process makes them and however much later. The spans carry ids, status and cause, and no
payload and no address but the receiver's host. Without the extra, or without one of the variables
`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_TRACES_EXPORTER`
(`otlp`, `console` or `none`), nothing is traced or stored. The other `OTEL_` variables mean what
they do elsewhere; `OTEL_SERVICE_NAME` is `stafett` unless set. A program that embeds Stafett hands
over its own provider: `Stafett(tracer=stafett.tracing.Tracer(provider))`.

A receiver is a stranger: it is sent no `traceparent`, unless `STAFETT_TRACE_RECEIVERS` is on.
"""

_CLI_INTRO: Final = """\
`serve` and `demo` run a server. The other verbs talk to one that runs: in a folder where a server
was started they find it by themselves, elsewhere they need `STAFETT_URL` and `STAFETT_TOKEN` (see
[settings](../settings.md)). Every verb has `--help`; those that print things have `--json`.
"""

_API_INTRO: Final = f"""\
Paths are below `{PREFIX}`. Bodies and answers are JSON. Every call but those for anybody carries a
token: `authorization: Bearer …` (`stafett token create NAME` makes one). The same for tools is at
`/openapi.json` of a running server, and to read at `/docs`.

- **Who may.** An *owner* token may do everything. An *application* token sees its own application
  alone: any other answers 404. The *read token* of a bin reads that bin.
- **References.** `{{app}}`, `{{endpoint}}` and `{{message}}` take an id or your own uid.
- **Lists** answer `{{data, iterator, prevIterator, done}}`. `limit` is 1 to 250 (50 unless given);
  `iterator` takes the `iterator` of the page before, or its `prevIterator` to walk back; `order` is
  `ascending` or `descending`. Times are RFC 3339. A list in the query repeats its name, or has
  commas.
- **Idempotency.** With an `idempotency-key` header a POST that is repeated within 24 h gets the
  first answer; with another body it is refused (409). For messages the key is stored in the same
  transaction as the message. Every other request with a key that is still being answered, by
  whichever process, is refused with 423 and `Retry-After`, which the official clients heed by
  themselves; a key that a process took with it is free after 15 seconds.
- **Names.** Where the format has an old and a new name for a field (`filterTypes` and `eventTypes`,
  `rateLimit` and `throttleRate`), both are read and both are written.
- **Operations of the Svix format that are not here** answer 501, not 404.
"""

_OTHER_PATHS: Final = """\
## Beside the API

| Path | What it is | Who may |
| --- | --- | --- |
| `GET /health` | 200 while the process lives. | anybody |
| `GET /ready` | 200 while it should get traffic, otherwise 503 with the reasons. | anybody |
| `GET /metrics` | Numbers for Prometheus. | anybody |
| `GET /openapi.json`, `GET /docs` | The API described, for tools and to read. | anybody |
| `GET /catalog` | The event types, [where that is switched on](../catalogue.md). | anybody |
| `/in/{token}`, `/in/{token}/…` | Any method: a request bin catches it. | who has the address |
| `/admin/` | The pages for people; `GET /` leads there. | users |
"""

_ACCESS: Final = {
    Access.OPEN: "anybody",
    Access.ANY: "every token",
    Access.APP: "owner, application",
    Access.OWNER: "owner",
    Access.READER: "owner, read token",
}

_GROUPS: Final = {
    "health": "Health",
    "token": "Tokens",
    "auth": "Giving tokens up",
    "user": "Users",
    "app": "Applications",
    "endpoint": "Endpoints",
    "event-type": "Event types",
    "msg": "Messages",
    "attempt": "Deliveries and attempts",
    "background-task": "Background work",
    "bin": "Request bins",
    "environment": "A whole installation",
}

_ERRORS_INTRO: Final = """\
An answer that is not 2xx is JSON: `{"code": …, "detail": …}`. `code` is for programs and stays;
`detail` is a sentence for people and may change. Only 422 has another form, one entry for each
thing that is wrong: `{"detail": [{"loc": ["body", "url"], "msg": …, "type": …}]}`.

The command line prints the same sentences, and embedding code catches the classes
(`from stafett import errors`).
"""

_ADVICE: Final[dict[type[errors.StafettError], str]] = {
    errors.StafettError: "Look into the server's log.",
    errors.NotFound: "Check the id or uid, and that the token is for this application.",
    errors.Conflict: "Read `detail`: choose another uid, or change the object's state first.",
    errors.EventTypeExists: "Change the one that is there (PUT or PATCH).",
    errors.IdempotencyMismatch: "Use a new key for a new request.",
    errors.InProgress: "Send the same request again after `Retry-After`.",
    errors.Invalid: "Mend every field that `detail` names.",
    errors.BadRequest: "Read `detail`; the same request will not do later either.",
    errors.InvalidRange: "Ask for a range as `detail` says.",
    errors.LimitReached: "Remove something old first.",
    errors.MissingPayload: "Send a new message; the old bytes are gone.",
    errors.PayloadTooLarge: "Send less: put a link into the payload instead of the data.",
    errors.Unauthenticated: "Send a token that is neither revoked nor expired.",
    errors.Forbidden: "Use an owner token.",
    errors.TooMany: "Wait for `Retry-After`.",
    errors.NotImplementedHere: "Do without it; the detail names the path.",
    errors.Unavailable: "Send the same request again after `Retry-After`, with the same key.",
    errors.StoreFull: "Free some space; then send the same request again.",
    errors.StoreBroken: "The server ends. Look at the disk before you start it again.",
    errors.StoreInUse: "Stop the other server, or use another data folder.",
    errors.SchemaTooNew: "Run the newer release, or go back to a backup of before it.",
    errors.InvalidSettings: "Correct the setting that `detail` names.",
}

_OTHER_CODES: Final = (
    ("method_not_allowed", 405, "The path exists, with other methods; `Allow` names them."),
    ("request_timeout", 408, "A bin: the body did not come in time."),
    ("headers_too_large", 431, "A bin: more headers than it keeps."),
)

_CAUSES: Final[dict[FailureCause, tuple[str, str]]] = {
    FailureCause.STATUS: (
        "The receiver answered, with a status that is not 2xx.",
        "Look at its answer, which the attempt keeps.",
    ),
    FailureCause.REDIRECT: (
        "The receiver answered with a redirect, and none is followed.",
        "Give the webhook the address that it leads to.",
    ),
    FailureCause.TARGET_NOT_ALLOWED: (
        "The address is not on the public internet, or was not allowed.",
        "See [where Stafett sends](../concepts.md#where-stafett-sends).",
    ),
    FailureCause.DNS_FAILED: ("The name has no address, or not in time.", "Check the name."),
    FailureCause.REFUSED: (
        "Nobody listens on that port.",
        "Start the receiver, or correct the port.",
    ),
    FailureCause.CONNECT_FAILED: (
        "The receiver cannot be reached, or closed the connection.",
        "Check network, firewall and receiver.",
    ),
    FailureCause.TLS_FAILED: (
        "TLS failed, mostly over the certificate.",
        "Renew the certificate; send all of its chain.",
    ),
    FailureCause.TIMEOUT: (
        "The whole attempt took longer than it may.",
        "Answer first and work afterwards.",
    ),
    FailureCause.BAD_REPLY: ("The answer was not HTTP/1.1.", "Check what listens there."),
    FailureCause.INTERNAL: (
        "Stafett could not make the request.",
        "The server's log says why; please report it.",
    ),
}

_EVENTS_INTRO: Final = """\
These event types are there from the start, unless `STAFETT_CATALOG=none`. Your own are added with
`stafett event-type add`, or over the API. `stafett event-type show NAME` prints one with its
sample; the schemas are in `/openapi.json` of a running server.

The fields of a payload are explained [at the end](#fields). **Bold** ones are always there. Those
marked `*` are sensitive: they are sent like the others, but no sentence about a payload that does
not fit repeats their values. Such a payload is accepted and flagged, unless the event's entry says
otherwise.
"""


# --- markdown ---------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what would end a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_cell, cells))} |\n" for cells in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """As code; nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def words(texts: Iterable[object]) -> str:
    """A list in one cell."""
    return ", ".join(map(code, texts))


def doc(thing: object) -> str:
    """A docstring as one paragraph."""
    return " ".join((thing.__doc__ or "").split())


def page(title: str, *parts: str) -> str:
    """A whole page."""
    return "\n".join([_NOTE, "", f"# {title}", "", *parts]).rstrip() + "\n"


# --- settings ---------------------------------------------------------------------------------


def settings_page() -> str:
    """Every setting, from `settings.SPECS`."""
    rows = [
        (
            code(spec.variable),
            code(spec.name),
            code(_flags().get(spec.name, "")),
            code(settings.show(getattr(Settings(), spec.name))),
            f"{spec.description} {_example(spec)}",
        )
        for spec in SPECS
    ]
    secret = [[code(f"{spec.variable}_FILE"), code(spec.variable)] for spec in SPECS if spec.secret]
    return page(
        "Settings",
        _SETTINGS_INTRO,
        table(["variable", "in stafett.toml", "flag", "default", "meaning"], rows),
        "## Secrets in files\n",
        table(["variable with a path", "instead of"], secret),
    )


def _flags() -> dict[str, str]:
    """The flags of `serve`, by setting."""
    serve = main.get_command(click.Context(main), "serve")
    assert serve is not None  # noqa: S101 - the verb this product is about
    return {param.name: param.opts[0] for param in serve.params}


def _example(spec: Spec) -> str:
    shown = spec.example if spec.secret and " " in spec.example else code(spec.example)
    return f"Example: {shown}."


# --- metrics ----------------------------------------------------------------------------------


def metrics_page() -> str:
    """Every number of `/metrics`, from `metrics.METRICS`."""
    rows = [
        (
            code(each.name),
            each.kind.value,
            words(each.labels),
            each.unit,
            each.whose.value,
            each.meaning,
        )
        for each in METRICS
    ]
    head = ["metric", "kind", "labels", "unit", "which processes", "what it says"]
    numbers = table(head, rows)
    return page("Metrics and traces", _METRICS_INTRO, numbers, _METRICS_END)


# --- command line -----------------------------------------------------------------------------


def cli_page() -> str:
    """Every verb, from click."""
    top = click.Context(main, info_name="stafett")
    verbs = [[f"[`{name}`](#stafett-{name})", line] for name, (_, line) in COMMANDS.items()]
    parts = [part for name in COMMANDS for part in _command(main, name, top)]
    return page(
        "Command line",
        _CLI_INTRO,
        table(["verb", "what it does"], verbs),
        f"{main.epilog or ''}\n",
        *parts,
    )


def _command(group: click.Group, name: str, parent: click.Context) -> Iterator[str]:
    command = group.get_command(parent, name)
    assert command is not None  # noqa: S101 - the group itself named it
    context = click.Context(command, info_name=name, parent=parent)
    level = context.command_path.count(" ") + 1
    yield f"{'#' * level} {context.command_path}\n"
    yield _paragraphs(command.help or "")
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _command(command, each, context)
        return
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    yield table(["option", "meaning"], _options(command, context))


def _options(command: click.Command, context: click.Context) -> Iterator[Sequence[str]]:
    for param in command.params:
        record = param.get_help_record(context)
        if isinstance(param, click.Option) and record is not None:
            yield [code(record[0]), f"{record[1]} {_usual(param, context)}"]


def _usual(option: click.Option, context: click.Context) -> str:
    """The default, where there is one and the help does not say it."""
    default = option.get_default(context)
    if option.is_flag or "[" in (option.help or "") or not isinstance(default, str | int | float):
        return ""
    return f"Otherwise {code(default)}."


def _paragraphs(text: str) -> str:
    """Help as click would wrap it: paragraphs stay, line ends within them go."""
    return "\n\n".join(" ".join(each.split()) for each in text.split("\n\n")) + "\n"


# --- API --------------------------------------------------------------------------------------


def api_page() -> str:
    """Every operation, from the table of routes, and every body."""
    named = {_group(route): _GROUPS[_group(route)] for route in ROUTES}
    parts: list[str] = []
    for group in _GROUPS:
        if group in named:
            rows = [_operation(route) for route in ROUTES if _group(route) == group]
            head = ["operation", "what it does", "who may", "body", "answer", "query"]
            parts += [f"## {named[group]}\n", table(head, rows)]
    bodies = _structs(route.body for route in ROUTES)
    answers = _structs(route.out for route in ROUTES)
    return page(
        "HTTP API",
        _API_INTRO,
        *parts,
        _OTHER_PATHS,
        "## Bodies\n",
        *(part for kind in bodies for part in _shape(kind, with_default=True)),
        "## Answers\n",
        "A field that has no value is left out, unless its type says null.\n",
        *(part for kind in answers for part in _shape(kind, with_default=False)),
    )


def _group(route: Route) -> str:
    """What a route is about: the innermost noun that stands for itself."""
    segments = [each for each in route.path.split("/") if each and not each.startswith("{")]
    if route.handler.__module__.endswith("api_attempts"):
        return "attempt"
    return next(each for each in reversed(segments) if each in _GROUPS)


def _operation(route: Route) -> Sequence[str]:
    out = _link(route.out)
    if "limit" in route.query and out:
        out = f"a list of {out}"
    return [
        code(f"{route.method} {route.path}"),
        doc(route.handler),
        _ACCESS[route.access],
        _link(route.body),
        f"{route.status} {out}".strip(),
        words(route.query),
    ]


def _link(kind: Any) -> str:  # a struct of `wire`, or None
    return "" if kind is None else f"[{kind.__name__}](#{kind.__name__.lower()})"


def _structs(kinds: Iterable[Any]) -> list[type[msgspec.Struct]]:
    """Those given and those they hold, each once, in order of name."""
    found: dict[str, type[msgspec.Struct]] = {}
    waiting = [shapes.type_info(kind) for kind in kinds if kind is not None]
    while waiting:
        shape = waiting.pop()
        if isinstance(shape, shapes.StructType) and shape.cls.__name__ not in found:
            found[shape.cls.__name__] = shape.cls
            waiting += [each.type for each in shape.fields]
        waiting += _within(shape)
    return [found[name] for name in sorted(found)]


def _within(shape: shapes.Type) -> Sequence[shapes.Type]:
    match shape:
        case shapes.UnionType():
            return shape.types
        case shapes.ListType():
            return [shape.item_type]
        case _:
            return []


def _shape(kind: type[msgspec.Struct], *, with_default: bool) -> Iterator[str]:
    info = shapes.type_info(kind)
    assert isinstance(info, shapes.StructType)  # noqa: S101 - `_structs` gave it
    yield f"### {kind.__name__}\n\n{doc(kind)}\n"
    if not with_default:
        rows = [[code(each.encode_name), _typed(each.type)] for each in info.fields]
        yield table(["field", "type"], rows)
        return
    rows = [[code(each.encode_name), _typed(each.type), _default(each)] for each in info.fields]
    yield table(["field", "type", "unless given"], rows)


def _default(field: shapes.Field) -> str:
    if field.required:
        return "**required**"
    value = field.default
    if field.default_factory is not NODEFAULT:
        value = field.default_factory()
    if value is NODEFAULT:
        return "unchanged"
    return code(msgspec.json.encode(value).decode())


_PLAIN: Final[dict[type[shapes.Type], str]] = {
    shapes.StrType: "text",
    shapes.IntType: "whole number",
    shapes.FloatType: "number",
    shapes.BoolType: "true or false",
    shapes.NoneType: "null",
    shapes.DateTimeType: "time",
    shapes.RawType: "JSON",
    shapes.AnyType: "JSON",
}


def _typed(shape: shapes.Type) -> str:
    """A type in words."""
    match shape:
        case shapes.UnionType():
            return " or ".join(map(_typed, shape.types))
        case shapes.ListType():
            return f"list of {_typed(shape.item_type)}"
        case shapes.TupleType():
            return f"[{', '.join(map(_typed, shape.item_types))}]"
        case shapes.DictType():
            return f"object: {_typed(shape.key_type)} to {_typed(shape.value_type)}"
        case shapes.LiteralType():
            return words(map(str, shape.values))
        case shapes.EnumType():
            return words(each.value for each in shape.cls)
        case shapes.StructType():
            return _link(shape.cls)
        case _:
            return _PLAIN[type(shape)]


# --- errors -----------------------------------------------------------------------------------


def errors_page() -> str:
    """Every error of the tree with its HTTP status, and every cause of a failed attempt."""
    rows = [
        (code(kind.code), str(STATUS[kind]), doc(kind), _ADVICE[kind])
        for kind in sorted(_tree(errors.StafettError), key=lambda each: (STATUS[each], each.code))
    ]
    others = [[code(name), str(status), meaning] for name, status, meaning in _OTHER_CODES]
    causes = [[code(each), *_CAUSES[each]] for each in FailureCause]
    return page(
        "Errors",
        _ERRORS_INTRO,
        table(["code", "status", "meaning", "what to do"], rows),
        "These come from the HTTP side alone:\n",
        table(["code", "status", "meaning"], others),
        "A bug answers 500 with `{}`; the server's log has the rest.\n",
        "## Why an attempt failed\n",
        "`cause` of an attempt and `lastCause` of an endpoint are one of these. Beside it, `detail`"
        "\nsays more, and never tells where a name points.\n",
        table(["cause", "meaning", "what to do"], causes),
    )


def _tree(root: type[errors.StafettError]) -> Iterator[type[errors.StafettError]]:
    """The errors of `errors.py`; other rooms derive their own from them."""
    yield root
    for each in root.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _tree(each)


# --- event types ------------------------------------------------------------------------------


def event_types_page() -> str:
    """The built-in catalogue, by group."""
    known = catalog.load(_CATALOG, now=datetime(1970, 1, 1, tzinfo=UTC))
    ordered = sorted(known, key=lambda each: (each.archived, each.group or "", each.name))
    parts: list[str] = []
    for group, members in groupby(ordered, key=lambda each: each.group or "Others"):
        parts += [f"## {group}\n", *map(_event, members)]
    return page("Event types", _EVENTS_INTRO, *parts, "## Fields\n", _glossary(ordered))


def _event(event_type: EventType) -> str:
    """Name, meaning, when it is sent, and what is in it."""
    fields = [_marked(name, event_type) for name in _properties(event_type)]
    nested = [name for name in event_type.sensitive_fields if "." in name]
    paragraphs = [
        f"### `{event_type.name}`",
        event_type.description,
        f"*Sent:* {event_type.fires_when}" if event_type.fires_when else "",
        "*Archived:* it can no longer be chosen." if event_type.archived else "",
        f"*Check:* {code(event_type.check)}." if event_type.check is not PayloadCheck.WARN else "",
        f"*Fields:* {', '.join(fields)}." if fields else "",
        f"*Sensitive within them:* {words(nested)}." if nested else "",
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _marked(name: str, event_type: EventType) -> str:
    schema = schema_in_force(event_type)
    shown = code(name) + ("\\*" if name in event_type.sensitive_fields else "")
    return f"**{shown}**" if name in schema.get("required", ()) else shown


def _properties(event_type: EventType) -> Mapping[str, Any]:  # JSON Schemas
    schema = schema_in_force(event_type)
    return {} if schema is None else schema.get("properties", {})


def _glossary(event_types: Iterable[EventType]) -> str:
    """Each field once, or once for each meaning that it has."""
    meanings = {
        (name, _json_type(schema), str(schema.get("description", "")))
        for event_type in event_types
        for name, schema in _properties(event_type).items()
    }
    rows = [(code(name), kind, meaning) for name, kind, meaning in sorted(meanings)]
    return table(["field", "type", "meaning"], rows)


def _json_type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "any")
    return kind if isinstance(kind, str) else " or ".join(kind)


# --- all of them ------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """Every generated page, by its place below `docs`."""
    return {
        "settings.md": settings_page(),
        "metrics.md": metrics_page(),
        "reference/cli.md": cli_page(),
        "reference/api.md": api_page(),
        "reference/errors.md": errors_page(),
        "reference/event-types.md": event_types_page(),
    }


def write(folder: Path = HERE) -> list[str]:
    """Write the pages that are not as they should be; answers which."""
    changed: list[str] = []
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed


if __name__ == "__main__":
    for written in write() or ["nothing: all of it is as it should be"]:
        sys.stdout.write(f"Wrote {written}\n")
