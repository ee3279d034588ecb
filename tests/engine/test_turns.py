"""Fair turns between endpoints, and how wide each may go."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

import making
from stafett.engine.turns import START_ROOM, Lane, Share
from stafett.ids import EndpointId
from stafett.model import DueDelivery


def due(endpoint: str) -> DueDelivery:
    return making.a_due_delivery(endpoint_id=EndpointId(endpoint))


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
    lane, shares = a_lane(24)
    shares[EndpointId("a")].width = 64
    for _ in range(50):
        lane.put(due("a"))
    assert len(taken(lane)) == 2
    lane.put(due("b"))
    assert taken(lane) == ["b"]


def test_width_grows_with_answers_and_halves_with_timeouts() -> None:
    share = Share()
    start = share.width
    share.answered(more_waits=False)
    assert share.width == start + 1
    for _ in range(500):
        share.answered(more_waits=False)
    assert share.width == 64
    share.timed_out()
    assert share.width == 32
    for _ in range(10):
        share.timed_out()
    assert share.width == 1


def test_a_quarter_of_the_places_is_for_those_who_answer() -> None:
    lane, shares = a_lane(8)
    shares[EndpointId("good")].answered(more_waits=False)
    for number in range(8):
        lane.put(due(f"new{number}"))
    lane.put(due("good"))
    assert taken(lane) == ["new0", "new1", "new2", "new3", "new4", "new5", "good"]


def test_beyond_half_of_the_places_nobody_who_may_hang_gets_a_second_one() -> None:
    lane, _ = a_lane(64)
    names = [f"{number}" for number in range(60)]
    for name in [*names, *names]:
        lane.put(due(name))
    assert taken(lane) == names[:48]


def test_who_waits_for_a_place_for_the_unknown_gets_the_first_that_is_free() -> None:
    lane, shares = a_lane(3)
    for name in ("a", "b", "c", "d"):
        lane.put(due(name))
    assert taken(lane) == ["a", "b"]
    for name in ("a", "c"):
        lane.put(due(name))
    assert taken(lane) == []

    shares[EndpointId("a")].timed_out()
    lane.ended(EndpointId("a"))
    lane.revive(EndpointId("a"))
    assert taken(lane) == ["c"]
    shares[EndpointId("b")].answered(more_waits=False)
    lane.ended(EndpointId("b"))
    assert taken(lane) == ["d"]


def test_a_webhook_that_stops_answering_is_doubted_from_its_next_request_on() -> None:
    lane, shares = a_lane(8)
    share = shares[EndpointId("a")]
    share.answered(more_waits=False)
    assert not share.doubtful
    for _ in range(2):
        lane.put(due("a"))
        lane.take()
        assert share.doubtful
    share.answered(more_waits=False)
    lane.ended(EndpointId("a"))
    assert not share.doubtful


def test_a_webhook_is_trusted_with_as_many_at_once_as_it_has_answered() -> None:
    lane, shares = a_lane(64)
    share = shares[EndpointId("a")]
    for _ in range(6):
        lane.put(due("a"))
    taken(lane)
    for waits in (True, True, True, False):
        share.answered(more_waits=waits)
        lane.ended(EndpointId("a"))
    assert share.trust == 1
    for expected in (2, 3, 4):
        share.answered(more_waits=True)
        assert share.trust == expected
    share.timed_out()
    assert share.trust == 1


def test_work_given_back_without_a_request_raises_no_doubt() -> None:
    lane, shares = a_lane(8)
    share = shares[EndpointId("a")]
    share.answered(more_waits=False)
    lane.put(due("a"))
    lane.take()
    lane.ended(EndpointId("a"))
    share.not_sent()
    assert not share.doubtful


def test_little_is_claimed_ahead_for_who_has_not_answered() -> None:
    share = Share()
    assert share.room == START_ROOM == share.width
    share.answered(more_waits=False)
    assert share.room == 8 * share.width
    share.timed_out()
    assert share.room == share.width


# --- many at once -------------------------------------------------------------------------------
# A thousand webhooks in simulated time, one event a millisecond in turn: what the healthy ones
# wait for their turn while others hang. Nothing but lane and shares.

WEBHOOKS, PLACES, DEADLINE, ANSWER = 1_000, 768, 15.0, 0.02


@dataclass
class Crowd:
    """Webhooks of which the first `hanging` hang from `begin_to_hang` on; times in seconds."""

    hanging: int
    begin_to_hang: float = 0.0
    waits: list[float] = field(default_factory=list[float])
    """Of the healthy ones, one for each request that began."""

    def __post_init__(self) -> None:
        self.lane, self.shares = a_lane(PLACES)
        self.put_at: dict[str, float] = {}
        self.under_way: list[tuple[float, int, EndpointId, bool]] = []

    def run(self, arrivals: Iterable[tuple[float, int]]) -> None:
        for at, webhook in arrivals:
            self.end_until(at)
            item = due(f"{webhook}")
            self.put_at[item.id] = at
            self.lane.put(item)
            self.begin(at)
        self.end_until(float("inf"))

    def end_until(self, at: float) -> None:
        while self.under_way and self.under_way[0][0] <= at:
            now, _, endpoint_id, answers = heapq.heappop(self.under_way)
            share = self.shares[endpoint_id]
            if answers:
                share.answered(more_waits=endpoint_id in self.lane.queues)
            else:
                share.timed_out()
            self.lane.ended(endpoint_id)
            self.lane.revive(endpoint_id)
            self.begin(now)

    def begin(self, now: float) -> None:
        while (item := self.lane.take()) is not None:
            hangs = int(item.endpoint_id) < self.hanging and now >= self.begin_to_hang
            if int(item.endpoint_id) >= self.hanging:
                self.waits.append(now - self.put_at[item.id])
            takes = DEADLINE if hangs else ANSWER
            entry = (now + takes, len(self.waits), item.endpoint_id, not hangs)
            heapq.heappush(self.under_way, entry)


@pytest.mark.parametrize("hanging", [200, 500])
def test_those_that_hang_from_the_first_moment_do_not_hold_up_the_others(hanging: int) -> None:
    crowd = Crowd(hanging=hanging)
    crowd.run((n / 1_000, n % WEBHOOKS) for n in range(20_000))
    assert len(crowd.waits) == 20 * (WEBHOOKS - hanging)
    assert max(crowd.waits) == 0


def test_a_fifth_that_begin_to_hang_at_the_same_moment_do_not_either() -> None:
    crowd = Crowd(hanging=200, begin_to_hang=5)
    crowd.run((n / 1_000, n % WEBHOOKS) for n in range(25_000))
    assert max(crowd.waits) == 0


def test_a_busy_webhook_among_them_gets_as_many_side_by_side_as_without_them() -> None:
    busy = WEBHOOKS
    arrivals = sorted(
        [(n / 1_000, n % WEBHOOKS) for n in range(10_000)]
        + [(n / 1_000, busy) for n in range(10_000)]
    )
    with_them, without = Crowd(hanging=500), Crowd(hanging=0)
    with_them.run(arrivals)
    without.run(arrivals)
    assert max(with_them.waits) == max(without.waits) < 0.05


def test_a_backlog_of_everybody_is_begun_at_once_for_those_who_answer() -> None:
    crowd = Crowd(hanging=200)
    crowd.run((0.0, n % WEBHOOKS) for n in range(5_000))
    assert len(crowd.waits) == 4_000
    assert max(crowd.waits) < 0.5


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
