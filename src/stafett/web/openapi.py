"""The API described: `openapi.json` (OpenAPI 3.1, webhooks from the catalogue) and `/docs`.

Anybody may read both, so event types behind a feature flag are in neither.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

import stafett as package
from stafett.app import Stafett
from stafett.model import EventType, Json
from stafett.services import subschemas
from stafett.services.event_types import schema_in_force
from stafett.services.openapi_import import FIRES_WHEN, SENSITIVE_FIELDS
from stafett.web import refusals
from stafett.web.calls import RawHeaders
from stafett.web.routes import PREFIX, ROUTES, Access, Route
from stafett.web.wire.base import ListOut

_PAYLOAD: Final = "#/components/schemas/event."
"""What follows is the name of an event type. No struct of ours has a dot in its name."""
_MAX_DEPTH: Final = 100
"""Of schemas that are moved; deeper ones stay as they are."""
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}code{font:14px ui-monospace,monospace}"
    "h2{margin-top:2.5rem}td{padding:.3rem 1rem .3rem 0;vertical-align:top}"
    "@media(max-width:45rem){td{display:block;padding:0}tr{display:block;padding:.4rem 0}}"
    "td code,p code{overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}a{color:#8cf}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


class Pages:
    """Both descriptions, made when they are asked for: the catalogue may have grown."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett

    async def document(self, root: str) -> bytes:
        """The OpenAPI document as JSON; `root` is the path that Stafett is mounted under."""
        event_types = await self._stafett.event_types.all()
        servers = [{"url": root or "/"}]
        return msgspec.json.encode(document(event_types) | {"servers": servers})

    async def reading(self) -> bytes:
        """The same to read, as one HTML page that loads nothing."""
        return _page(await self._stafett.event_types.all()).encode()

    def reading_headers(self) -> RawHeaders:
        """How the page is to be shown."""
        policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"
        return [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", policy.encode()),
            (b"referrer-policy", b"no-referrer"),
        ]


def document(event_types: list[EventType]) -> dict[str, Any]:  # an OpenAPI document
    """OpenAPI 3.1 of every route, with a webhook for every event type in use."""
    kinds = {kind for route in ROUTES for kind in (route.body, route.out) if kind is not None}
    kinds |= {each.body for each in refusals.TABLE}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Json]] = {}
    for route in ROUTES:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stafett", "version": package.__version__},
        "security": [{"token": []}],
        "paths": paths,
        "webhooks": {each.name: _webhook(each) for each in shown(event_types)},
        "components": {
            "schemas": schemas | _payloads(event_types),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def catalogue(event_types: Sequence[EventType]) -> dict[str, Any]:  # an OpenAPI document
    """OpenAPI 3.1 of the event types alone; its version is the day of their last change."""
    offered = shown(event_types)
    changed_at = max((each.updated_at for each in offered), default=None)
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Events",
            "version": "none" if changed_at is None else f"{changed_at:%Y-%m-%d}",
        },
        "webhooks": {each.name: _webhook(each) for each in offered},
    }
    payloads = _payloads(offered)
    return made | {"components": {"schemas": payloads}} if payloads else made


def shown(event_types: Sequence[EventType]) -> list[EventType]:
    """Those that anybody may see."""
    return [each for each in event_types if not each.archived and not each.feature_flags]


def _operation(route: Route) -> dict[str, Any]:
    variables = re.findall(r"\{(\w+)\}", route.path)
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{'_'.join(re.findall('[a-z]+', route.path))}",
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in variables
        ]
        + [{"name": name, "in": "query", "schema": {"type": "string"}} for name in route.query],
        "responses": {str(status): _response(route) for status in (route.status, *route.also)}
        | {
            str(each.status): {
                "description": each.description,
                "content": _content(_ref(each.body)),
            }
            for each in refusals.of(route)
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(_ref(route.body))}
    if route.access is Access.OPEN:
        operation["security"] = []
    return operation


def _response(route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {"description": route.summary}
    if route.out is not None:
        schema = _ref(route.out)
        if "limit" in route.query:
            schema = _list_schema(schema)
        described["content"] = _content(schema)
    return described


def _list_schema(item: Json) -> Json:
    return {
        "type": "object",
        "description": (ListOut.__doc__ or "").strip(),
        "required": ["data", "iterator", "done"],
        "properties": {
            "data": {"type": "array", "items": item},
            "iterator": {"type": ["string", "null"]},
            "prevIterator": {"type": "string"},
            "done": {"type": "boolean"},
        },
    }


def _ref(kind: Any) -> Json:  # a struct of `wire`
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _content(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _webhook(event_type: EventType) -> Json:
    """As an import reads it back."""
    schema = schema_in_force(event_type)
    content: dict[str, Any] = {}
    if schema is not None:
        content["schema"] = (
            {"$ref": _PAYLOAD + event_type.name} if _has_own_refs(schema) else schema
        )
    if event_type.sample is not None:
        content["example"] = event_type.sample
    operation: dict[str, Any] = {
        "summary": event_type.label,
        "description": f"{event_type.description} {event_type.fires_when}".strip(),
        "requestBody": {"content": {"application/json": content}},
        "responses": {"2XX": {"description": "Received."}},
    }
    if event_type.group is not None:
        operation["tags"] = [event_type.group]
    if event_type.deprecated:
        operation["deprecated"] = True
    if event_type.fires_when:
        operation[FIRES_WHEN] = event_type.fires_when
    if event_type.sensitive_fields:
        operation[SENSITIVE_FIELDS] = list(event_type.sensitive_fields)
    return {"post": operation}


def _payloads(event_types: Sequence[EventType]) -> dict[str, Json]:
    """The schemas that refer to parts of themselves, which they can only from here."""
    schemas = {each.name: schema_in_force(each) for each in shown(event_types)}
    return {
        f"event.{name}": _moved(cast("subschemas.Schema", schema), f"{_PAYLOAD}{name}")
        for name, schema in schemas.items()
        if _has_own_refs(schema)
    }


def _has_own_refs(schema: Json) -> bool:
    """Whether it refers to parts of itself; one with a base of its own does so anywhere."""
    found = False
    for each, place in subschemas.every(schema):
        if "$id" in each or len(place) > _MAX_DEPTH:
            return False
        found = found or _own_ref(each) is not None
    return found


def _own_ref(schema: subschemas.Schema) -> str | None:
    """The pointer that it refers to within the same schema."""
    ref = schema.get("$ref")
    return ref[1:] if isinstance(ref, str) and (ref == "#" or ref.startswith("#/")) else None


def _moved(schema: subschemas.Schema, base: str) -> dict[str, Json]:
    """`schema` for a place called `base`."""
    made = subschemas.mapped(schema, lambda each, _: _moved(each, base))
    pointer = _own_ref(schema)
    return made if pointer is None else {**made, "$ref": base + pointer}


def _page(event_types: list[EventType]) -> str:
    operations = "".join(
        f"<tr><td><code>{route.method}</code><td><code>{html.escape(PREFIX + route.path)}</code>"
        f"<td>{html.escape(route.summary)}"
        for route in ROUTES
    )
    events = "".join(
        f"<tr><td><code>{html.escape(each.name)}</code><td>{html.escape(each.description)}"
        for each in shown(event_types)
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Stafett API</title>"
        f'<meta name=viewport content="width=device-width"><style>{_STYLE}</style>'
        "<main><h1>Stafett</h1>"
        "<p>Every call carries a token: <code>authorization: Bearer …</code>. "
        "The whole description for tools is <a href=openapi.json>openapi.json</a>; every client "
        "of the Svix format works here with this server's address."
        f"<h2>Operations</h2><table>{operations}</table><h2>Events</h2><table>{events}</table>"
    )
