"""Catching: whatever is sent below `/in/{token}` is kept byte for byte and answered by script.

The answer is a stranger's words on our origin, so every one carries a policy under which a browser
runs nothing of it.
"""

from __future__ import annotations

import asyncio

from stafett import errors
from stafett.app import Receive, Scope, Send, Stafett
from stafett.model import ScriptedReply
from stafett.services.bins import MAX_BODY_BYTES, Caught
from stafett.web.calls import RawHeaders

_SAFE: RawHeaders = [
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
    (b"referrer-policy", b"no-referrer"),
]


async def catch(stafett: Stafett, request: tuple[Scope, Receive, Send], *, token: str) -> None:
    """Keep one ASGI request and answer it. Errors: NotFound, Unavailable."""
    scope, receive, send = request
    body, truncated = await _read(receive)
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
