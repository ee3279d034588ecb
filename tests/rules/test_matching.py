"""Which endpoints want which message, as a table."""

from __future__ import annotations

import pytest

from making import NOW, an_endpoint, ids
from stafett import matching

APP = ids.app(NOW)
PAID = frozenset({"payment_received", "refund_issued"})
NORTH = frozenset({"north", "east"})


@pytest.mark.parametrize(
    ("event_types", "channels", "sent", "wanted"),
    [
        (None, None, (), True),
        (None, None, ("north",), True),
        (PAID, None, (), True),
        (frozenset({"site_deleted"}), None, (), False),
        (frozenset({"payment"}), None, (), False),
        (None, NORTH, (), False),
        (None, NORTH, ("south",), False),
        (None, NORTH, ("south", "east"), True),
        (PAID, NORTH, ("north",), True),
        (frozenset({"site_deleted"}), NORTH, ("north",), False),
    ],
)
def test_wants(
    event_types: frozenset[str] | None,
    channels: frozenset[str] | None,
    sent: tuple[str, ...],
    wanted: bool,
) -> None:
    endpoint = an_endpoint(APP, event_types=event_types, channels=channels)
    disabled = an_endpoint(APP, event_types=event_types, channels=channels, disabled=True)
    assert matching.wants(endpoint, event_type="payment_received", channels=sent) is wanted
    assert not matching.wants(disabled, event_type="payment_received", channels=sent)


def test_wanting_keeps_the_order_and_reads_channels_once() -> None:
    first, second = an_endpoint(APP, channels=NORTH), an_endpoint(APP, channels=NORTH)
    deaf = an_endpoint(APP, disabled=True)
    found = matching.wanting(
        [first, deaf, second], event_type="payment_received", channels=iter(["north"])
    )
    assert found == [first, second]
