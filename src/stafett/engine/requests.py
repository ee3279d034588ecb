"""Turns a due delivery into the one request of an attempt: headers, signature, exact bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import stafett
from stafett import bodies, egress, signing
from stafett.engine.sending import Request
from stafett.ids import AttemptId
from stafett.model import DueDelivery, Endpoint, HeaderFamily, Headers, PayloadStyle

_PREFIXES = {
    HeaderFamily.WEBHOOK: ("webhook",),
    HeaderFamily.SVIX: ("svix",),
    HeaderFamily.BOTH: ("webhook", "svix"),
}
_DEFAULTS = {
    "content-type": "application/json",
    "user-agent": f"Stafett/{stafett.__version__} (webhooks)",
    "accept": "*/*",
}


@dataclass(frozen=True, slots=True)
class _Signer:
    sign: Callable[[bytes], str]
    expires_at: datetime | None


class Template:
    """Everything about an endpoint's requests that does not change from one to the next."""

    __slots__ = ("_has_trace", "_headers", "_names", "_signers", "_style", "endpoint", "target")

    def __init__(self, endpoint: Endpoint) -> None:
        """Errors: Invalid where the stored URL or secret is not usable (any more)."""
        self.endpoint = endpoint
        self.target = egress.parse(endpoint.url)
        self._names = [
            (f"{prefix}-id", f"{prefix}-timestamp", f"{prefix}-signature")
            for prefix in _PREFIXES[endpoint.header_family]
        ]
        self._style = endpoint.payload_style
        own = {name.lower() for name in endpoint.headers}
        defaults = [(name, value) for name, value in _DEFAULTS.items() if name not in own]
        self._has_trace = "traceparent" in own
        self._headers: Headers = (*defaults, *endpoint.headers.items(), *_named(self._style))
        self._signers = [
            _Signer(signing.signer(each.secret.reveal()), each.expires_at)
            for each in endpoint.secrets
        ]

    def request(
        self,
        due: DueDelivery,
        *,
        attempt_id: AttemptId,
        now: datetime,
        timeout: timedelta,
        trace: str | None = None,
    ) -> Request:
        """The request of one attempt, signed at `now` over the bytes that are sent.

        `trace` is the `traceparent` to send, where the endpoint has none of its own.
        """
        body = due.payload
        if self._style is not PayloadStyle.ACCEPTED:
            body = bodies.body(self._style, body, _source(due))
        stamp = str(int(now.timestamp()))
        content = b"%b.%b.%b" % (due.message_id.encode(), stamp.encode(), body)
        signature = " ".join(
            each.sign(content)
            for each in self._signers
            if each.expires_at is None or each.expires_at > now
        )
        headers = [*self._headers]
        for id_name, stamp_name, signature_name in self._names:
            headers += (
                (id_name, due.message_id),
                (stamp_name, stamp),
                (signature_name, signature),
            )
        headers.append(("stafett-event-type", due.event_type))
        headers.append(("stafett-attempt", attempt_id))
        if due.test:
            headers.append(("stafett-test", "true"))
        if trace is not None and not self._has_trace:
            headers.append(("traceparent", trace))
        return Request(target=self.target, headers=tuple(headers), body=body, timeout=timeout)


def _named(style: PayloadStyle) -> Headers:
    """What tells the receiver the style; recorded with the attempt, it says which was in force."""
    return () if style is PayloadStyle.ACCEPTED else ((bodies.STYLE_HEADER, style.value),)


def _source(due: DueDelivery) -> bodies.Source:
    return bodies.Source(
        event_type=due.event_type,
        message_id=due.message_id,
        endpoint_id=due.endpoint_id,
        accepted_at=due.accepted_at,
    )
