"""What the format knows and Stafett does not offer (yet): answered as such, not as unknown.

Asked only for what has no route: a route comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

_OF_AN_ENDPOINT: Final = (
    "auto-config/**",
    "ca",
    "cancel-msgs",
    "connector/**",
    "msg/test-attempt",
    "mtls",
    "mtls-config",
    "oauth",
    "oauth-config",
    "rate-limit-status",
    "transformation/**",
)
_OF_AN_APPLICATION: Final = (
    "alert-email",
    "attempt/endpoint/*/count",
    "auto-config/**",
    "autoconfig/**",
    "destination/**",
    "events/**",
    "inbound/**",
    "integration/**",
    "msg/*/raw",
    "msg/expunge-all-contents",
    "msg/search",
    "poller/**",
    "polling-endpoint/**",
    "stats/**",
    "stream/**",
)
_OF_THE_API: Final = (
    "admin/**",
    "app/stats/**",
    "auth/**",
    "connector/**",
    "environment/**",
    "event-type/*/retry-schedule",
    "event-type/export/openapi",
    "events/**",
    "integration/**",
    "management/**",
    "msg/broadcast",
    "operational-webhook/**",
    "stats/**",
    "stream/**",
)


def _patterns() -> Iterable[str]:
    yield from (f"app/*/endpoint/*/{each}" for each in _OF_AN_ENDPOINT)
    yield from (f"app/*/{each}" for each in _OF_AN_APPLICATION)
    yield from _OF_THE_API


_PATTERNS: Final = tuple(tuple(each.split("/")) for each in _patterns())


def is_not_offered(path: str) -> bool:
    """Whether `path`, below the prefix, is one of those."""
    segments = path.strip("/").split("/")
    return any(_fits(pattern, segments) for pattern in _PATTERNS)


def _fits(pattern: Sequence[str], segments: Sequence[str]) -> bool:
    if pattern[-1] == "**":
        pattern = pattern[:-1]
        segments = segments[: len(pattern)]
    return len(pattern) == len(segments) and all(
        wanted in {"*", given} for wanted, given in zip(pattern, segments, strict=True)
    )
