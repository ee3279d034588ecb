"""`stafett event-type`: see and extend the catalogue of events."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
import msgspec

from stafett import catalog, errors
from stafett.cli import client, messages, options, printing
from stafett.cli.client import Client, path_of
from stafett.engine.clock import SystemClock
from stafett.model import Json
from stafett.web.wire.event_types import event_type_out


@click.group()
def event_type() -> None:
    """See and extend the catalogue of events."""


@event_type.command("list")
@click.option("--archived", is_flag=True, help="Archived ones too.")
@options.talks
def list_event_types(server: Client, *, archived: bool, as_json: bool) -> None:
    """List the events there are, in groups."""
    path = path_of("event-type")
    if as_json:
        answer = server.get(path, limit=250, include_archived=archived)
        return printing.raw_json(answer.body)
    found = sorted(
        server.every(path, include_archived=archived),
        key=lambda each: (each.get("groupName") or "", each["name"]),
    )
    return printing.table(
        ("event", "label", "group", "check", "description"),
        (
            (
                each["name"] + (" (archived)" if each["archived"] else ""),
                each["label"],
                each.get("groupName") or "",
                each["check"],
                _first_sentence(each["description"]),
            )
            for each in found
        ),
        empty="There is no event yet: stafett event-type add NAME --description TEXT",
    )


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].removesuffix(".")


@event_type.command()
@click.argument("name")
@options.talks
def show(server: Client, *, name: str, as_json: bool) -> None:
    """Show one event: what it means, its fields and its sample."""
    answer = server.get(path_of("event-type", name))
    return printing.raw_json(answer.body) if as_json else _show(answer.json)


def _show(found: dict[str, Json]) -> None:
    printing.fields(
        (
            ("event", found["name"]),
            ("label", found["label"]),
            ("group", found.get("groupName")),
            ("description", found["description"]),
            ("fires when", found["firesWhen"]),
            ("check", found["check"]),
            ("sensitive", printing.joined(found["sensitiveFields"], otherwise="")),
            ("archived", "yes" if found["archived"] else None),
        )
    )
    schemas: dict[str, Json] = found.get("schemas") or {}
    for version, schema in schemas.items():
        printing.line(f"\nSchema {printing.safe(version)}")
        printing.line(printing.pretty(schema))
    if found.get("sample") is not None:
        printing.line("\nSample")
        printing.line(printing.pretty(found["sample"]))


@event_type.command()
@click.argument("name", required=False)
@click.option("--file", "file", metavar="FILE", help="A file of event types, like the built-in.")
@click.option("--description", help="What it means, in a sentence.")
@click.option("--label", help="How people call it [the name in words].")
@click.option("--group", help="Where the list shows it.")
@click.option("--fires-when", help="When it happens.")
@click.option("--schema", metavar="JSON", help="JSON Schema of its payload, or @file.")
@click.option("--sample", metavar="JSON", help="A realistic payload, or @file.")
@click.option("--sensitive", multiple=True, help="A field with a secret; may be repeated.")
@click.option("--check", type=click.Choice(["strict", "warn", "off"]), help="What a bad one gets.")
@click.option("--replace", is_flag=True, help="Replace one that is there already.")
@options.talks
def add(
    server: Client,
    *,
    name: str | None,
    file: str | None,
    replace: bool,
    as_json: bool,
    **given: Json,
) -> None:
    """Add an event by NAME and --description, or all the events of a --file."""
    if (name is None) == (file is None):
        message = "say what to add: a NAME, or --file FILE"
        raise click.UsageError(message)
    entries = _of_file(file) if file is not None else [_of_options(name, given)]
    for entry in entries:
        _put(server, entry, replace=replace, as_json=as_json)


def _put(server: Client, entry: bytes, *, replace: bool, as_json: bool) -> None:
    name = json.loads(entry)["name"]
    if replace:
        answer = server.call("PUT", path_of("event-type", name), body=entry)
    else:
        answer = server.call("POST", path_of("event-type"), body=entry)
    options.done(answer, f"Added {name}: it is in the catalogue now", as_json=as_json)


def _of_options(name: str | None, given: dict[str, Json]) -> bytes:
    if given["description"] is None:
        message = "say what it means: --description TEXT"
        raise click.UsageError(message)
    content: dict[str, Json] = {
        "name": name,
        "description": given["description"],
        "label": given["label"],
        "groupName": given["group"],
        "firesWhen": given["fires_when"],
        "check": given["check"],
        "sensitiveFields": _listed(given["sensitive"]),
        "schemas": None if given["schema"] is None else {"1": _json_of(given["schema"])},
        "sample": None if given["sample"] is None else _json_of(given["sample"]),
    }
    return json.dumps({key: value for key, value in content.items() if value is not None}).encode()


def _listed(texts: Sequence[str]) -> list[str] | None:
    return list(texts) or None


def _json_of(text: str) -> Json:
    where = text.removeprefix("@")
    content = messages.read_text(where) if text.startswith("@") else text
    return client.parse_json(content, where=where if text.startswith("@") else "the JSON")


def _of_file(name: str) -> list[bytes]:
    """The events of a file, each as the API takes it. Errors: InvalidSettings."""
    try:
        found = catalog.parse(messages.read_text(name), now=SystemClock().now())
    except errors.Invalid as error:
        message = f"{name}: {error.detail}"
        raise errors.InvalidSettings(message) from None
    return [msgspec.json.encode(event_type_out(each, with_content=True)) for each in found]


@event_type.command()
@click.argument("name")
@options.talks
def archive(server: Client, *, name: str, as_json: bool) -> None:
    """Take an event out of the catalogue; what was sent stays."""
    answer = server.delete(path_of("event-type", name))
    options.done(answer, f"Archived {name}", as_json=as_json)


@event_type.command("import")
@click.argument("file", metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--replace-all", is_flag=True, help="Archive the events that FILE does not have.")
@options.talks
def import_openapi(
    server: Client, *, file: str, dry_run: bool, replace_all: bool, as_json: bool
) -> None:
    """Add and change events by the webhooks of an OpenAPI document (JSON, 3.0 or later).

    What FILE does not state stays as it is. All of it is done, or nothing.
    """
    wish = {"specRaw": messages.read_text(file), "dryRun": dry_run, "replaceAll": replace_all}
    answer = server.post(path_of("event-type", "import", "openapi"), wish)
    if as_json:
        return printing.raw_json(answer.body)
    steps: list[dict[str, Json]] = answer.json["data"]["steps"]
    printing.table(
        ("event", "what", "fields"),
        ((each["name"], each["action"], ", ".join(each["fields"])) for each in steps),
        empty="",
    )
    return printing.line(_summary(steps, dry_run=dry_run))


def _summary(steps: Sequence[dict[str, Json]], *, dry_run: bool) -> str:
    count = sum(each["action"] != "unchanged" for each in steps)
    if not count:
        return "\nThere is nothing to change"
    changes = "1 change" if count == 1 else f"{count} changes"
    if dry_run:
        return f"\n{changes}; nothing is done yet, without --dry-run it is"
    return f"\n{changes}, all in force now"
