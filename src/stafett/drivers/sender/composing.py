"""Writes a request as bytes.

Invariant: the head has exactly the lines meant, whatever a header's value says; the body follows
byte for byte.
"""

from __future__ import annotations

from typing import Protocol

from stafett.egress import Target
from stafett.model import Headers


class Sendable(Protocol):
    """The part of a request that is written; `engine.sending.Request` has this shape."""

    @property
    def target(self) -> Target:
        """Where to."""
        ...

    @property
    def headers(self) -> Headers:
        """In order, without those that `sent_headers` adds."""
        ...

    @property
    def body(self) -> bytes:
        """As it goes out."""
        ...


def sent_headers(request: Sendable) -> Headers:
    """All headers of the request: the caller's between those that only the sender can know."""
    return (
        ("host", request.target.authority),
        *request.headers,
        ("accept-encoding", "identity"),
        ("content-length", str(len(request.body))),
    )


def compose(request: Sendable, headers: Headers) -> bytes:
    """The whole request in one piece, so that it leaves in one write.

    Errors: ValueError for a header that is not one line of ASCII.
    """
    lines = "\r\n".join(map(": ".join, headers))
    head = f"POST {request.target.path} HTTP/1.1\r\n{lines}\r\n\r\n"
    line_count = len(headers) + 2
    if head.count("\n") != line_count or head.count("\r") != line_count or "\0" in head:
        message = "a header's value is not one line"
        raise ValueError(message)
    return head.encode("ascii") + request.body
