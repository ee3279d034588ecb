"""Turns a due delivery into the one request of an attempt: headers, signature, exact bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import stafett
from stafett import egress, signing
from stafett.engine.sending import Request
from stafett.ids import AttemptId
from stafett.model import DueDelivery, Endpoint, HeaderFamily, Headers

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

    __slots__ = ("_headers", "_names", "_signers", "endpoint", "target")

    def __init__(self, endpoint: Endpoint) -> None:
        """Errors: Invalid where the stored URL or secret is not usable (any more)."""
        self.endpoint = endpoint
        self.target = egress.parse(endpoint.url)
        self._names = [
            (f"{prefix}-id", f"{prefix}-timestamp", f"{prefix}-signature")
            for prefix in _PREFIXES[endpoint.header_family]
        ]
        own = {name.lower() for name in endpoint.headers}
        defaults = [(name, value) for name, value in _DEFAULTS.items() if name not in own]
        self._headers: Headers = (*defaults, *endpoint.headers.items())
        self._signers = [
            _Signer(signing.signer(each.secret.reveal()), each.expires_at)
            for each in endpoint.secrets
        ]

    def request(
        self, due: DueDelivery, *, attempt_id: AttemptId, now: datetime, timeout: timedelta
    ) -> Request:
        """The request of one attempt, signed at `now` over the bytes as accepted."""
        stamp = str(int(now.timestamp()))
        content = b"%b.%b.%b" % (due.message_id.encode(), stamp.encode(), due.payload)
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
        return Request(
            target=self.target, headers=tuple(headers), body=due.payload, timeout=timeout
        )
