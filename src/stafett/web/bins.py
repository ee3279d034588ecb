"""Catching: whatever is sent below `/in/{token}` is kept byte for byte and answered by script.

The answer is a stranger's words on our origin, so every one carries a policy under which a browser
runs nothing of it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from stafett import errors
from stafett.app import Receive, Scope, Send, Stafett
from stafett.model import ScriptedReply
from stafett.services.bins import MAX_BODY_BYTES, Caught
from stafett.web.calls import RawHeaders, Reply

_MAX_HEADERS: Final = 100
_MAX_HEADER_BYTES: Final = 8 * 1024
_MAX_HEADERS_BYTES: Final = 64 * 1024
_BODY_SECONDS: Final = 30
_SAFE: RawHeaders = [
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
    (b"referrer-policy", b"no-referrer"),
]


async def catch(
    stafett: Stafett, request: tuple[Scope, Receive, Send], *, token: str
) -> Reply | None:
    """Keep one ASGI request and answer it; what is not kept gets a reply that says why.

    Errors: NotFound, Unavailable, BadRequest (the caller went away).
    """
    scope, receive, send = request
    if _has_too_much_of_headers(scope["headers"]):
        return _refusal(431, "headers_too_large", "at most 100 headers of 8 KiB, 64 KiB together")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body, truncated = await _read(receive)
    except TimeoutError:
        detail = f"the body did not come within {_BODY_SECONDS} seconds"
        return _refusal(408, "request_timeout", detail)
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    client = scope.get("client")
    reply = await stafett.bins.catch(
        token,
        Caught(
            method=scope["method"],
            target=raw_path + (b"?" + query if query else b""),
            http_version=scope["http_version"],
            headers=tuple(scope["headers"]),
            body=body,
            truncated=truncated,
            peer=client[0] if client else "",
        ),
    )
    if reply.delay:
        await asyncio.sleep(reply.delay.total_seconds())
    await _answer(send, reply, with_body=scope["method"] != "HEAD")
    return None


def _has_too_much_of_headers(headers: RawHeaders) -> bool:
    sizes = [len(name) + len(value) for name, value in headers]
    return (
        len(sizes) > _MAX_HEADERS
        or max(sizes, default=0) > _MAX_HEADER_BYTES
        or sum(sizes) > _MAX_HEADERS_BYTES
    )


def _refusal(status: int, code: str, detail: str) -> Reply:
    return Reply(status, {"code": code, "detail": detail}, [(b"connection", b"close")])


async def _read(receive: Receive) -> tuple[bytes, bool]:
    """The body, cut at the limit; what is over it is read and dropped. Errors: BadRequest."""
    body = bytearray()
    truncated = False
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            message = "the request ended before its body did"
            raise errors.BadRequest(message)
        room = MAX_BODY_BYTES - len(body)
        chunk: bytes = event.get("body", b"")
        truncated = truncated or len(chunk) > room
        body += chunk[:room]
        if not event.get("more_body", False):
            return bytes(body), truncated


async def _answer(send: Send, reply: ScriptedReply, *, with_body: bool) -> None:
    headers: RawHeaders = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers
    ]
    if not any(name.lower() == b"content-type" for name, _ in headers):
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    headers.append((b"content-length", str(len(reply.body)).encode()))
    if reply.status_code in {204, 304}:
        headers.pop()
    await send(
        {
            "type": "http.response.start",
            "status": reply.status_code,
            "headers": [*headers, *_SAFE],
        }
    )
    await send({"type": "http.response.body", "body": reply.body if with_body else b""})
