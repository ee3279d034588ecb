"""Which endpoints want a message. Pure: no clock, no dice, no I/O."""

from __future__ import annotations

from collections.abc import Iterable

from stafett.model import Endpoint


def wants(endpoint: Endpoint, *, event_type: str, channels: Iterable[str]) -> bool:
    """Whether `endpoint` gets a message of this event type in these channels.

    A disabled endpoint gets nothing. One without event types wants them all. One with channels
    wants only messages that are in at least one of them; one without is not choosy, so it also gets
    messages that are in some channel.
    """
    if endpoint.disabled:
        return False
    if endpoint.event_types is not None and event_type not in endpoint.event_types:
        return False
    return endpoint.channels is None or not endpoint.channels.isdisjoint(channels)


def wanting(
    endpoints: Iterable[Endpoint], *, event_type: str, channels: Iterable[str]
) -> list[Endpoint]:
    """Those of `endpoints` that want it, in the same order."""
    kept = tuple(channels)
    return [each for each in endpoints if wants(each, event_type=event_type, channels=kept)]
