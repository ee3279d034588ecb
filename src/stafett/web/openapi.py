"""The API described: `openapi.json` (OpenAPI 3.1, webhooks from the catalogue) and `/docs`."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from typing import Any

import msgspec

import stafett as package
from stafett.app import Stafett
from stafett.model import EventType, Json
from stafett.services.event_types import schema_in_force
from stafett.web.calls import RawHeaders
from stafett.web.routes import PREFIX, ROUTES, Access, Route
from stafett.web.wire import ListOut

_ERRORS = {"401": "No valid token.", "404": "Not found.", "422": "A field breaks a rule."}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}code{font:14px ui-monospace,monospace}"
    "h2{margin-top:2.5rem}td{padding:.3rem 1rem .3rem 0;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}a{color:#8cf}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


class Pages:
    """Both descriptions, made when they are asked for: the catalogue may have grown."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett

    async def document(self) -> bytes:
        """The OpenAPI document as JSON."""
        event_types = await self._stafett.event_types.all()
        return msgspec.json.encode(document(event_types))

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
        "webhooks": {each.name: _webhook(each) for each in event_types if not each.archived},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


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
        | {code: {"description": text} for code, text in _ERRORS.items()},
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
    schema = schema_in_force(event_type) or {"type": "object"}
    content: dict[str, Any] = {"schema": schema}
    if event_type.sample is not None:
        content["example"] = event_type.sample
    return {
        "post": {
            "summary": event_type.label,
            "description": f"{event_type.description} {event_type.fires_when}".strip(),
            "requestBody": {"content": {"application/json": content}},
            "responses": {"2XX": {"description": "Received."}},
        }
    }


def _page(event_types: list[EventType]) -> str:
    operations = "".join(
        f"<tr><td><code>{route.method}</code><td><code>{html.escape(PREFIX + route.path)}</code>"
        f"<td>{html.escape(route.summary)}"
        for route in ROUTES
    )
    events = "".join(
        f"<tr><td><code>{html.escape(each.name)}</code><td>{html.escape(each.description)}"
        for each in event_types
        if not each.archived
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Stafett API</title>"
        f'<meta name=viewport content="width=device-width"><style>{_STYLE}</style>'
        "<h1>Stafett</h1><p>Every call carries a token: <code>authorization: Bearer …</code>. "
        "The whole description for tools is <a href=openapi.json>openapi.json</a>; every client "
        "of the Svix format works here with this server's address."
        f"<h2>Operations</h2><table>{operations}</table><h2>Events</h2><table>{events}</table>"
    )
