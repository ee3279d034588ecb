"""A webhook that failed too much rests, and its pages say so."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from admin.conftest import Person

_APP = "app=resting"


@pytest.fixture
def dead() -> Iterator[str]:
    """An address where nothing listens: the port is bound, so nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/hook"


def test_a_webhook_that_rests_says_until_when_and_a_resend_gets_through(
    owner: Person, dead: str
) -> None:
    owner.do("settings/applications", name="resting", uid="resting")
    where = owner.do(
        f"webhooks?{_APP}", name="Rests", url=dead, event_types="payment_received", active="on"
    )
    endpoint = where.partition("new=")[2].partition("&")[0]
    for _ in range(6):
        where = owner.do(f"emit?{_APP}", event="payment_received", payload='{"payment_id": 1}')
    delivery = f"deliveries/{where.removeprefix('events/').partition('?')[0]}/{endpoint}"

    html = owner.see_once(f"webhooks/{endpoint}?{_APP}", ">resting</span>")
    assert "Nothing is sent until then" in html
    until = re.search(r'>resting</span> until <time datetime="([^"]+)"', html)
    assert until is not None
    shown = owner.see_once(f"{delivery}?{_APP}", "Next attempt:")
    assert f'Next attempt:</b> <time datetime="{until[1]}"' in shown

    owner.do(f"{delivery}/resend?{_APP}")
    owner.see_once(f"{delivery}?{_APP}", "sent again by hand")
