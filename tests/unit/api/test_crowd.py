"""The crowd: so many are in work that answers come in time, however fast the machine is, and the rest costs little."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.crowd import LEAST_BEHIND, LEAST_IN_WORK, LEAST_PLAIN, MOST_IN_WORK, Crowd, Limit, Place, Way

DEADLINE = 0.06
COLLECTING = ("/v1/events", "/v1/batch", "/v1/pixel/track")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 0.2)), max_size=300))
def test_no_more_are_in_work_than_may_be_and_none_is_forgotten(steps: list[tuple[bool, float]]) -> None:
    limit, now, inside = Limit(0.02), 0.0, list[float]()
    for enters, passes in steps:
        now += passes
        if enters:
            room = len(inside) < limit.most
            assert limit.enter() == room
            if room:
                inside.append(now)
        elif inside:
            limit.leave(inside.pop(0), now)
        assert limit.in_work == len(inside)
        assert LEAST_IN_WORK <= limit.most <= MOST_IN_WORK


def test_one_pause_shrinks_it_once() -> None:
    limit = Limit(0.02)
    for _ in range(40):
        limit.enter()
    before = limit.most
    for _ in range(40):
        limit.leave(0.0, 1.0)
    assert limit.most == before * 0.8


def test_a_few_that_are_late_do_not_shrink_it() -> None:
    limit = Limit(0.02)
    before = limit.most
    for now in range(100):
        for _ in range(20):
            limit.enter()
        for _ in range(20):
            limit.leave(now, now + 0.5)
    assert limit.most == before


def test_it_grows_only_while_it_is_needed() -> None:
    limit = Limit(0.02)
    before = limit.most
    for _ in range(1000):
        limit.enter()
        limit.leave(0.0, 0.001)
    assert limit.most == before


def test_a_calm_while_after_a_late_answer_there_may_be_as_many_as_at_first() -> None:
    limit = Limit(0.02)
    first = limit.most

    def answer(came: float, took: float) -> None:
        for _ in range(60):
            limit.enter()
        for _ in range(60):
            limit.leave(came, came + took)

    for came in (10.0, 11.0, 12.0):
        answer(came, 0.5)
    shrunk = limit.most
    assert shrunk < first
    limit.enter()
    limit.leave(16.0, 16.001)
    assert limit.most == shrunk
    limit.enter()
    limit.leave(18.0, 18.001)
    assert limit.most == first


def test_a_burst_of_a_platform_that_sends_is_answered_though_one_pause_was_before() -> None:
    crowd = Crowd(DEADLINE, COLLECTING, clock=(clock := Clock()))
    places = [crowd.place("GET", "/v1/blocks/weekly") for _ in range(150)]
    clock.now += 1.0
    for place in places:
        crowd.leave(place)
    ways = [crowd.place("GET", "/v1/blocks/weekly").way for _ in range(150)]
    assert Way.away not in ways
    assert ways.count(Way.whole) > 50


def overloaded(enter: Callable[[], bool], leave: Callable[[float, float], None], cost: float) -> tuple[float, float]:
    """Ten times as much as a machine can do that works one thing at a time; its rate, and p99, of the second half."""
    free_at, done, took = 0.0, list[tuple[float, float]](), list[float]()
    for number in range(40_000):
        now = number * cost / 10
        while done and done[0][0] <= now:
            finished, since = heapq.heappop(done)
            leave(since, finished)
            if since > 2000 * cost:
                took.append(finished - since)
        if enter():
            free_at = max(free_at, now) + cost
            heapq.heappush(done, (free_at, now))
    rate = len(took) / 2000
    took += [finished - since for finished, since in done]
    return rate, sorted(took)[int(len(took) * 0.99)]


@pytest.mark.parametrize("cost", [0.00005, 0.0002, 0.001])
def test_under_ten_times_as_much_the_work_goes_on_and_its_answers_come_in_time(cost: float) -> None:
    limit = Limit(0.02)
    rate, p99 = overloaded(limit.enter, limit.leave, cost)
    assert rate > 0.9
    assert p99 < 0.03


def test_without_a_limit_they_do_not() -> None:
    """So that the test before this one is known to test something."""
    _, p99 = overloaded(lambda: True, lambda since, now: None, 0.001)
    assert p99 > 1


class TestCrowd:
    def test_blocks_are_whole_then_plain_then_away_and_whole_again(self) -> None:
        crowd = Crowd(DEADLINE, COLLECTING, clock=Clock())
        places = [crowd.place("GET", "/v1/blocks/weekly") for _ in range(300)]
        ways = [place.way for place in places]
        assert ways == sorted(ways, key=list(Way).index)
        assert set(ways) == set(Way)
        for place in places:
            crowd.leave(place)
        assert crowd.whole.in_work == crowd.plain.in_work == 0
        assert crowd.place("GET", "/v1/blocks/weekly").way is Way.whole

    @pytest.mark.parametrize("path", ["/v1/events", "/v1/batch", "/v1/webhooks/sendgrid"])
    def test_events_are_taken_or_sent_away(self, path: str) -> None:
        crowd = Crowd(DEADLINE, COLLECTING, clock=Clock())
        ways = [crowd.place("POST", path).way for _ in range(100)]
        assert set(ways) == {Way.whole, Way.away}
        assert crowd.place("GET", "/v1/blocks/weekly").way is Way.whole, "who asks does not wait for who tells"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics"), ("GET", "/v1/pixel/track"),
            ("GET", "/v1/open/t/b/1.png"), ("GET", "/v1/click/t/b/1"), ("DELETE", "/v1/users/u1"),
            ("OPTIONS", "/v1/events"), ("POST", "/v1/admin/keys"), ("POST", "/v1/blocks/weekly/batch"),
        ],
    )  # fmt: skip
    def test_nothing_else_is_ever_sent_away(self, method: str, path: str) -> None:
        crowd = Crowd(DEADLINE, COLLECTING)
        for limit in (crowd.whole, crowd.plain, crowd.events):
            limit.most = 0
        assert [crowd.place(method, path) for _ in range(2000)] == [Place(Way.whole)] * 2000

    def test_plain_ones_have_few_places_where_the_loop_is_slow(self) -> None:
        clock = Clock()
        crowd = Crowd(DEADLINE, COLLECTING, clock=clock)
        for _ in range(20):
            places = [crowd.place("GET", "/v1/blocks/weekly") for _ in range(300)]
            clock.now += DEADLINE
            for place in places:
                crowd.leave(place)
        assert (crowd.whole.most, crowd.plain.most) == (LEAST_BEHIND, LEAST_PLAIN)
