"""Rate limits of a webhook and of its application, alone and together. Time is what a test says."""

from __future__ import annotations

import heapq
from collections import Counter
from datetime import datetime, timedelta

import pytest

from making import NOW
from stafett.engine.pace import Paces
from stafett.ids import AppId, EndpointId

SECOND = timedelta(seconds=1)
APP, OTHER_APP = AppId("app_1"), AppId("app_2")


def sent(
    wanted: dict[str, int],
    *,
    own: dict[str, int] | None = None,
    application: int | None = None,
    late: timedelta = timedelta(0),
) -> list[tuple[datetime, str]]:
    """When what is sent to each endpoint, if so many are `wanted` at once.

    What is told to wait comes back at its time, or a little late.
    """
    paces, done = Paces(), list[tuple[datetime, str]]()
    queue = [(NOW, number, name) for name, count in wanted.items() for number in range(count)]
    heapq.heapify(queue)
    asked: Counter[str] = Counter()
    while queue:
        now, number, name = heapq.heappop(queue)
        at = paces.turn(
            APP, EndpointId(name), own=(own or {}).get(name), application=application, now=now
        )
        asked[name] += 1
        if at > now:
            heapq.heappush(queue, (at + late, number, name))
        else:
            done.append((now, name))
    for name, count in wanted.items():
        assert asked[name] <= 4 * count  # hardly anything is told to wait over and over
    return done


def in_each_second(done: list[tuple[datetime, str]], name: str | None = None) -> list[int]:
    last = max(at for at, _ in done)
    return [
        sum(start <= at < start + SECOND and name in (None, by) for at, by in done)
        for start in (NOW + n * SECOND for n in range((last - NOW) // SECOND + 1))
    ]


def test_without_limits_everything_goes_at_once() -> None:
    assert {at for at, _ in sent({"a": 50, "b": 50})} == {NOW}


def test_an_endpoints_own_limit_is_its_own() -> None:
    done = sent({"a": 30, "b": 5}, own={"a": 10})
    assert in_each_second(done, "a") == [10, 10, 10]
    assert in_each_second(done, "b")[0] == 5


def test_an_applications_limit_holds_for_all_its_endpoints_together() -> None:
    done = sent({"a": 15, "b": 15}, application=10)
    assert in_each_second(done) == [10, 10, 10]
    assert in_each_second(done, "a")[0] == 5


@pytest.mark.parametrize("late", [timedelta(0), timedelta(milliseconds=15)])
def test_both_limits_hold_and_neither_is_wasted(late: timedelta) -> None:
    done = sent({"a": 20, "b": 60}, own={"a": 4}, application=20, late=late)
    assert max(in_each_second(done, "a")) <= 5
    assert max(in_each_second(done)) <= 21
    # The other one's fill the application's first three seconds; then the slow one has its five.
    assert in_each_second(done)[:3] == [20, 20, 20]
    assert done[-1][0] < NOW + 8 * SECOND


def test_what_waits_behind_one_that_waits_for_the_application_is_not_asked_in_vain() -> None:
    done = sent({"a": 3, "b": 200}, own={"a": 4}, application=20)
    first, second, third = (at for at, name in done if name == "a")
    assert first < NOW + SECOND
    assert third - second >= SECOND / 4


def test_a_slow_endpoint_does_not_use_up_the_turns_of_its_application() -> None:
    done = sent({"slow": 5, "b": 20}, own={"slow": 1}, application=10)
    assert in_each_second(done, "b")[:3] == [9, 10, 1]


def test_applications_do_not_share() -> None:
    paces = Paces()
    turns = [
        paces.turn(app, EndpointId(app), own=None, application=1, now=NOW)
        for app in (APP, OTHER_APP)
    ]
    assert turns == [NOW, NOW]


def test_a_turn_that_nobody_came_back_for_is_given_up() -> None:
    paces = Paces()

    def turn(now: datetime) -> datetime:
        return paces.turn(APP, EndpointId("a"), own=1, application=None, now=now)

    assert turn(NOW) == NOW
    assert turn(NOW) == NOW + SECOND
    later = NOW + 10 * SECOND
    assert [turn(later), turn(later)] == [later, later + SECOND]
