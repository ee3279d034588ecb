"""Importing event types: what a document would change, and then, once agreed to, the change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from stafett import errors
from stafett.model import Role
from stafett.services import imports
from stafett.services.imports import Step
from stafett.services.openapi_import import BOM, MAX_BYTES
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply

_MAX_SHOWN: Final = 200
"""Characters of a text in the preview."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field of a step, as the preview shows it."""

    name: str
    before: Any = None  # JSON
    after: Any = None  # JSON
    is_text: bool
    """Short words are shown before and after, anything else after alone."""


def changes_of(step: Step) -> Iterator[Change]:
    """What a step changes, but for the archive, which its action tells of."""
    for name, after in step.changes.items():
        if name == "archived":
            continue
        if name == "schemas":
            schemas = step.becomes.schemas or {}
            yield Change(name=name, after=schemas[max(schemas, key=int)], is_text=False)
            continue
        before = getattr(step.event_type, name)
        is_text = isinstance(after, str | bool) or name in {"feature_flags", "sensitive_fields"}
        yield Change(name=name, before=_words(before), after=_words(after), is_text=is_text)


def _words(value: Any) -> Any:  # a field of an event type
    """Short enough to be shown, where it is words."""
    if isinstance(value, tuple):
        value = ", ".join(cast("tuple[str, ...]", value))
    if isinstance(value, str) and len(value) > _MAX_SHOWN:
        return value[:_MAX_SHOWN] + "…"
    return value


async def show(visit: Visit) -> Reply:
    """Where a document is pasted, or chosen."""
    return _form(visit)


def _form(
    visit: Visit, *, text: str = "", problems: Sequence[errors.Problem] = (), trouble: str = ""
) -> Reply:
    return visit.page(
        "event_type_import.html",
        status=422 if problems or trouble else 200,
        text=text,
        replace_all=visit.ticked("replace_all"),
        problems=[(str(each.loc[-1]), each.msg) for each in problems],
        trouble=trouble,
        most=MAX_BYTES,
    )


async def send(visit: Visit) -> Reply:
    """Show what it would change; do it, where that was shown before and is the same still."""
    document = visit.files.get("file") or visit.field("document").encode()
    if not document:
        return _form(visit, trouble="choose a file, or paste a document")
    try:
        if visit.ticked("shown"):
            return await _done(visit, document)
        return await _look(visit, document)
    except errors.Invalid as error:
        return _form(visit, text=document.decode(errors="replace"), problems=error.problems)
    except errors.Conflict as error:
        return await _look(visit, document, trouble=error.detail)


async def _look(visit: Visit, document: bytes, *, trouble: str = "") -> Reply:
    steps = await visit.stafett.imports.openapi(
        document, replace_all=visit.ticked("replace_all"), dry_run=True
    )
    acting = list(imports.changed(steps))
    return visit.page(
        "event_type_import_preview.html",
        status=409 if trouble else 200,
        steps=[(each, list(changes_of(each))) for each in acting],
        unchanged=[visit.told(each.event_type) for each in steps if each not in acting],
        counts=Counter(each.action.value for each in acting),
        document=_short(document),
        replace_all=visit.ticked("replace_all"),
        shown=imports.digest(steps),
        trouble=trouble,
    )


def _short(document: bytes) -> str:
    """The same document without the spaces, which a browser would send back as others."""
    return msgspec.json.encode(msgspec.json.decode(document.removeprefix(BOM))).decode()


async def _done(visit: Visit, document: bytes) -> Reply:
    steps = await visit.stafett.imports.openapi(
        document, replace_all=visit.ticked("replace_all"), shown=visit.field("shown")
    )
    counts = Counter(each.action.value for each in imports.changed(steps))
    detail = ", ".join(f"{count} {action}" for action, count in counts.items())
    await visit.note("event_types.imported", detail=detail)
    return visit.go("event-types", notice="event-types-imported")


PAGES: Final = (
    Page(method="GET", path="event-types/-/import", show=show, role=Role.DEVELOPER),
    Page(method="POST", path="event-types/-/import", show=send, role=Role.DEVELOPER),
)
