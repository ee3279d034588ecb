"""Fair turns between endpoints, and how wide each may go."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from making import NOW, ids
from stafett.engine.turns import Lane, Share
from stafett.ids import AppId, ClaimId, EndpointId
from stafett.model import DueDelivery, Trigger


def due(endpoint: str) -> DueDelivery:
    return DueDelivery(
        id=ids.delivery(NOW),
        message_id=ids.message(NOW),
        app_id=AppId("app_"),
        endpoint_id=EndpointId(endpoint),
        event_type="e",
        claim_id=ClaimId("clm_"),
        lease_until=NOW,
        attempt_count=0,
        failure_count=0,
        trigger=Trigger.SCHEDULED,
        test=False,
        payload=b"",
    )


def a_lane(places: int) -> tuple[Lane, defaultdict[EndpointId, Share]]:
    shares: defaultdict[EndpointId, Share] = defaultdict(Share)
    return Lane(places, shares), shares


def taken(lane: Lane) -> list[str]:
    found: list[str] = []
    while (each := lane.take()) is not None:
        found.append(each.endpoint_id)
    return found


def test_endpoints_take_turns_however_much_one_has_queued() -> None:
    lane, _ = a_lane(100)
    for name in "aaaaab":
        lane.put(due(name))
    lane.put(due("c"))
    assert taken(lane)[:4] == ["a", "b", "c", "a"]


def test_one_endpoint_never_has_more_under_way_than_its_width() -> None:
    lane, shares = a_lane(100)
    for _ in range(50):
        lane.put(due("a"))
    width = shares[EndpointId("a")].width
    assert len(taken(lane)) == width
    lane.ended(EndpointId("a"))
    assert taken(lane) == []
    lane.revive(EndpointId("a"))
    assert taken(lane) == ["a"]


def test_the_last_places_are_not_for_one() -> None:
    lane, shares = a_lane(12)
    shares[EndpointId("a")].width = 64
    for _ in range(50):
        lane.put(due("a"))
    assert len(taken(lane)) == 2
    lane.put(due("b"))
    assert taken(lane) == ["b"]


def test_width_grows_with_answers_and_halves_with_timeouts() -> None:
    share = Share()
    start = share.width
    share.grow()
    assert share.width == start + 1
    for _ in range(500):
        share.grow()
    assert share.width == 64
    share.shrink()
    assert share.width == 32
    for _ in range(10):
        share.shrink()
    assert share.width == 1


@given(st.lists(st.sampled_from("abcd"), max_size=60), st.integers(1, 12), st.randoms())
def test_everything_put_is_taken_once_and_places_are_never_exceeded(
    names: str, places: int, random: object
) -> None:
    lane, _ = a_lane(places)
    for name in names:
        lane.put(due(name))
    seen: list[str] = []
    under_way: list[str] = []
    while True:
        now = taken(lane)
        under_way += now
        seen += now
        assert lane.under_way == len(under_way) <= places
        if not under_way:
            break
        ended = under_way.pop(random.randrange(len(under_way)))  # type: ignore[attr-defined]
        lane.ended(EndpointId(ended))
        lane.revive(EndpointId(ended))
    assert Counter(seen) == Counter(names)
    assert lane.empty() == []
