"""The event types for anybody to read: `/catalog`, where the operator has switched it on.

Nobody signs in here, so it shows what an event type means and carries, and nothing else: no
applications, no webhooks, no numbers, and no event type that is archived or behind a feature flag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from stafett import errors
from stafett.app import Scope, Stafett
from stafett.model import EventType
from stafett.services import samples
from stafett.services.event_types import schema_in_force
from stafett.web import openapi
from stafett.web.admin import guard, render, told
from stafett.web.admin.languages import Language, chosen, names
from stafett.web.calls import Call, Reply

PATH: Final = "/catalog"
_STATIC: Final = "/-/static/"
_MAX_KEPT: Final = 16
_HTML: Final = (b"content-type", b"text/html; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json")
_BY_READER: Final = (b"vary", b"accept-language, cookie")


class Catalogue:
    """The pages of one Stafett. A page is made anew only when an event type has changed."""

    def __init__(self, stafett: Stafett) -> None:
        self._stafett = stafett
        self._kept: dict[tuple[str, str], tuple[list[EventType], bytes]] = {}

    async def answer(self, path: str, scope: Scope) -> Reply:
        """The answer to a GET at or below `/catalog`. Errors: NotFound."""
        inner = path.removeprefix(PATH).rstrip("/")
        if inner.startswith(_STATIC):
            return render.static_reply(inner, *render.HEADERS)
        if inner not in {"", "/openapi.json"}:
            message = f"there is nothing at {path}; {PATH} has all there is"
            raise errors.NotFound(message)
        offered = openapi.shown(await self._stafett.event_types.all())
        if inner:
            content = msgspec.json.encode(openapi.catalogue(offered))
            return Reply(200, content, [_JSON, *render.HEADERS])
        body = self._page(offered, _language(self._stafett, scope), scope.get("root_path", ""))
        return Reply(200, body, [_HTML, _BY_READER, *render.HEADERS])

    def _page(self, offered: list[EventType], language: Language, root: str) -> bytes:
        kept = self._kept.get((language.code, root))
        if kept is not None and kept[0] == offered:
            return kept[1]
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        made = _rendered(offered, language, root)
        self._kept[language.code, root] = offered, made
        return made


def _language(stafett: Stafett, scope: Scope) -> Language:
    """What the address says, else as in the admin."""
    call = Call(stafett, scope, params={})
    cookie = guard.cookie(call.headers, guard.LANGUAGE_COOKIE)
    return chosen(call.one("lang") or cookie, call.header(b"accept-language") or "")


def _rendered(offered: Sequence[EventType], language: Language, root: str) -> bytes:
    def url(path: str) -> str:
        return f"{root}{PATH}/{path}".rstrip("/")

    return render.page(
        "catalogue.html",
        groups=_grouped(offered, language),
        t=language.text,
        url=url,
        language=language.code,
        languages=names(),
    )


def _grouped(offered: Sequence[EventType], language: Language) -> Sequence[tuple[str, object]]:
    """Groups by name; in each the event types, with the rows of their tables."""
    groups: dict[str, list[object]] = {}
    for each in offered:
        read = told.event_type(_with_sample(each), language)
        rows = told.fields(each, language)
        groups.setdefault(read.group or language.text("Other"), []).append((read, rows))
    return sorted(groups.items())


def _with_sample(event_type: EventType) -> EventType:
    """With one out of its schema where it has none of its own."""
    schema = schema_in_force(event_type)
    if event_type.sample is not None or schema is None:
        return event_type
    return replace(event_type, sample=samples.generate(schema))
