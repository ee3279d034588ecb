"""What dispatch asks of whoever makes its HTTP requests: one request in, one outcome out.

A sender judges the address, never the reply's meaning for the delivery: that is the retry rule's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

import msgspec

from stafett.egress import Target
from stafett.model import Headers, Outcome


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One POST, ready to go: the body is sent byte for byte."""

    target: Target
    headers: Headers
    """In the order sent, ASCII, without `host`, `content-length` and `accept-encoding`: the sender
    adds those, as it alone knows what it can read and write.
    """
    body: bytes
    timeout: timedelta
    """Covers all of it: DNS, connect, TLS, sending, and the reply to its last byte."""


class Sender(Protocol):
    """Makes one attempt at a time, any number of them side by side."""

    async def send(self, request: Request) -> Outcome:
        """Exactly one HTTP request, and what came of it before `timeout` was over.

        Never raises for a bad endpoint, however bad: that is an outcome with a cause. No redirect
        is followed, nothing is sent twice. Cancelling the caller closes the connection.
        """
        ...

    async def close(self) -> None:
        """Close every connection. Requests on their way end with a cause."""
        ...
