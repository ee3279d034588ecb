"""One caught request: its readings, the other end of it, its message's others, and ways out."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from stafett import errors, retry, signing
from stafett.ids import BinId, CaptureId
from stafett.model import Attempt, Bin, Capture, Endpoint, Message, PageQuery, Role
from stafett.web import timelines
from stafett.web.admin import captures, curl, differences, har, payloads, render
from stafett.web.admin.languages import Language
from stafett.web.admin.visits import Page, Visit
from stafett.web.calls import Reply
from stafett.web.wire.bins import bin_out
from stafett.web.wire.captures import capture_out

_MAX_APPS: Final = 250
_EXPORT_BYTES: Final = 16 << 20
"""Of bodies in one download; all that a bin can hold would take several times 100 MiB here."""
_RECORDED_WITHIN: Final = timedelta(seconds=90)
"""The longest that an attempt may take, and the writing of it."""


def catch_url(visit: Visit, found: Bin) -> str:
    """Where to send requests to."""
    return f"{visit.base_url}/in/{found.catch_token}"


async def the_bin(visit: Visit) -> Bin:
    """The one that the address names. Errors: NotFound."""
    return await visit.stafett.bins.get(BinId(visit.params["bin"]))


async def the_capture(visit: Visit, found: Bin) -> Capture:
    """The one that the address names. Errors: NotFound."""
    return await visit.stafett.bins.capture(found.id, CaptureId(visit.params["capture"]))


async def readings(visit: Visit, found: Bin, capture: Capture, *, show_all: bool) -> dict[str, Any]:
    """What the page shows of a request; `show_all`: with what is hidden in its headers."""
    path, query = captures.path_and_query(capture)
    both_ends = await _both_ends(visit, capture, show_all=show_all)
    return {
        "path": path,
        "query": query,
        "headers": captures.headers(capture, reveal=show_all),
        "hidden": not show_all and captures.has_secrets(capture),
        "form": captures.form(capture),
        "pretty": render.indented(capture.body),
        "raw": captures.beginning(capture.body),
        "raw_cut": len(capture.body) > captures.TEXT_BYTES,
        "hex": captures.hexadecimal(capture.body),
        "hex_cut": len(capture.body) > captures.HEX_BYTES,
        "curl": curl.command(capture, visit.base_url, reveal=show_all),
        "both_ends": both_ends,
        "look_again": 1 if both_ends is None and _is_awaited(visit, capture) else None,
        "waited": functools.partial(_waited, visit.language),
        "steps": await timelines.of(visit.stafett, found, capture, app=visit.app_ref),
    }


def _is_awaited(visit: Visit, capture: Capture) -> bool:
    """Whether it is ours and so new that its attempt may not be recorded yet."""
    age = visit.stafett.now() - capture.received_at
    return capture.attempt_id is not None and age < _RECORDED_WITHIN


def _waited(language: Language, duration: timedelta) -> str:
    """So that a wait can be told from its promise: `250 ms`, `5.2 s`, `2 min 10 s`."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return language.quantity(f"{seconds * 1_000:.0f} ms")
    return language.quantity(f"{seconds:.1f} s" if seconds < 60 else retry.in_words(duration))


async def compare(visit: Visit) -> Reply:
    """Two requests of a bin, side by side."""
    found = await the_bin(visit)
    asked = [visit.one(name) for name in ("a", "b")]
    if not all(asked):
        return visit.go(f"bins/{found.id}")  # they are chosen there
    one, two = [await visit.stafett.bins.capture(found.id, CaptureId(each or "")) for each in asked]
    first, second = captures.headers(one, reveal=True), captures.headers(two, reveal=True)
    return visit.page(
        "bin_compare.html",
        bin=found,
        one=one,
        two=two,
        headers=differences.of_headers(first, second, reveal=False),
        same_body=one.body == two.body,
        lines=differences.of_bodies(one.body, two.body),
    )


# --- one of our own messages ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BothEnds:
    """What was sent beside what arrived, and whether its signature holds."""

    attempt: Attempt
    message: Message
    app: str | None
    """For links: the application, where it is not the one that is looked at."""
    verdict: signing.Verdict
    signed: str
    signatures: list[tuple[str, bool]]
    """Each that came with it, and whether it holds."""
    headers: list[differences.Difference]
    body: str
    """`same`, `changed`, or `gone`: what was sent is not kept any more."""
    lines: list[differences.Line]


async def _both_ends(visit: Visit, capture: Capture, *, show_all: bool) -> BothEnds | None:
    """None: not ours, or nothing is known of it any more."""
    sent = await _sent(visit, capture)
    if sent is None:
        return None
    attempt, message, app = sent
    arrived = captures.headers(capture, reveal=True)
    by_name = {name.lower(): value for name, value in arrived}
    family = next(
        (each for each in ("webhook", "svix") if f"{each}-signature" in by_name), "webhook"
    )
    stamp = by_name.get(f"{family}-timestamp", "")
    secrets = await _secrets(visit, attempt, at=capture.received_at)
    payload = payloads.sent(attempt, message)
    same = payload is not None and payload[: len(capture.body)] == capture.body
    same = same and (capture.body_truncated or payload == capture.body)
    return BothEnds(
        attempt=attempt,
        message=message,
        app=app,
        verdict=_verdict(secrets, by_name, capture),
        signed=f"{by_name.get(f'{family}-id', '')}.{stamp}.{captures.beginning(capture.body)}",
        signatures=[
            (each, _verdict(secrets, {**by_name, f"{family}-signature": each}, capture).ok)
            for each in by_name.get(f"{family}-signature", "").split()
        ],
        headers=differences.of_headers(
            list(attempt.outcome.request_headers), arrived, reveal=show_all
        ),
        body="gone" if payload is None else "same" if same else "changed",
        lines=[] if payload is None or same else differences.of_bodies(payload, capture.body),
    )


async def _sent(visit: Visit, capture: Capture) -> tuple[Attempt, Message, str | None] | None:
    """The attempt that the request names, of whichever application."""
    if capture.message_id is None or capture.attempt_id is None:
        return None
    page = await visit.stafett.applications.list(PageQuery(limit=_MAX_APPS))
    for app in (visit.app_ref, *(each.id for each in page.items)):
        try:
            attempt, message = await visit.stafett.deliveries.attempt(
                app, capture.message_id, capture.attempt_id
            )
        except errors.NotFound:
            continue
        return attempt, message, None if app == visit.app_ref else app
    return None


async def _secrets(visit: Visit, attempt: Attempt, *, at: datetime) -> list[str] | None:
    """Those that held at the time; None: the webhook is gone."""
    try:
        endpoint: Endpoint = await visit.stafett.endpoints.get(attempt.app_id, attempt.endpoint_id)
    except errors.NotFound:
        return None
    return [
        each.secret.reveal()
        for each in endpoint.secrets
        if each.expires_at is None or each.expires_at > at
    ]


def _verdict(
    secrets: list[str] | None, by_name: dict[str, str], capture: Capture
) -> signing.Verdict:
    if secrets is None:
        return signing.Verdict(ok=False, reason=_NO_SECRETS)
    if capture.body_truncated:
        return signing.Verdict(ok=False, reason=_NO_END)
    return signing.verify(secrets, by_name, capture.body, now=capture.received_at)


_NO_SECRETS: Final = "it cannot be checked: the webhook was deleted, and its secret with it"
_NO_END: Final = "it cannot be checked: only the beginning of the body was kept"


# --- kept, and out of here --------------------------------------------------------------------


async def pin(visit: Visit) -> Reply:
    """Keep one request, whatever else goes."""
    return await _set_pinned(visit, visit.stafett.bins.pin, action="capture.pinned")


async def unpin(visit: Visit) -> Reply:
    """Keep one request no longer than the others."""
    return await _set_pinned(visit, visit.stafett.bins.unpin, action="capture.unpinned")


async def _set_pinned(
    visit: Visit, verb: Callable[[BinId, CaptureId], Awaitable[None]], *, action: str
) -> Reply:
    found = await the_bin(visit)
    capture_id = CaptureId(visit.params["capture"])
    await verb(found.id, capture_id)
    await visit.note(action, target=capture_id)
    return visit.go(f"bins/{found.id}/captures/{capture_id}")


async def delete_capture(visit: Visit) -> Reply:
    """One request."""
    found = await the_bin(visit)
    capture_id = CaptureId(visit.params["capture"])
    await visit.stafett.bins.delete_capture(found.id, capture_id)
    await visit.note("capture.deleted", target=capture_id)
    return visit.go(f"bins/{found.id}", notice="request-deleted")


async def download(visit: Visit) -> Reply:
    """The body as it came, to be saved and not to be shown."""
    capture = await the_capture(visit, await the_bin(visit))
    return _file("body.bin", capture.body, kind=b"application/octet-stream")


async def export_json(visit: Visit) -> Reply:
    """What it caught, as the API shows it, without credentials in headers."""
    found = await the_bin(visit)
    kept, complete = await _kept(visit, found)
    content = {
        "bin": bin_out(found, url=catch_url(visit, found), read_token=None),
        "complete": complete,
        "captures": [capture_out(captures.masked(each)) for each in kept],
    }
    return _file(f"{found.id}.json", msgspec.json.encode(content), kind=b"application/json")


async def export_har(visit: Visit) -> Reply:
    """What it caught, for tools that read HTTP archives, without credentials in headers."""
    found = await the_bin(visit)
    kept, complete = await _kept(visit, found)
    content = msgspec.json.encode(har.archive(kept, visit.base_url, complete=complete))
    return _file(f"{found.id}.har", content, kind=b"application/json")


async def _kept(visit: Visit, found: Bin) -> tuple[list[Capture], bool]:
    """The newest captures that fit a download, oldest first; True: these are all."""
    kept: list[Capture] = []
    room = _EXPORT_BYTES
    async for each in visit.stafett.bins.walk(found.id):
        room -= len(each.body)
        if room < 0:
            return kept[::-1], False
        kept.append(each)
    return kept[::-1], True


def _file(name: str, content: bytes, *, kind: bytes) -> Reply:
    return Reply(
        200,
        content,
        [
            (b"content-type", kind),
            (b"content-disposition", f'attachment; filename="{name}"'.encode()),
            (b"content-security-policy", b"sandbox; default-src 'none'"),
        ],
    )


_ONE: Final = "bins/{bin}"
_CAUGHT: Final = f"{_ONE}/captures/{{capture}}"
PAGES: Final = (
    Page(method="GET", path=f"{_ONE}/compare", show=compare, role=Role.VIEWER),
    Page(method="GET", path=f"{_ONE}/export.json", show=export_json, role=Role.VIEWER),
    Page(method="GET", path=f"{_ONE}/export.har", show=export_har, role=Role.VIEWER),
    Page(method="GET", path=f"{_CAUGHT}/body", show=download, role=Role.VIEWER),
    Page(method="POST", path=f"{_CAUGHT}/pin", show=pin, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_CAUGHT}/unpin", show=unpin, role=Role.DEVELOPER),
    Page(method="POST", path=f"{_CAUGHT}/delete", show=delete_capture, role=Role.DEVELOPER),
)
