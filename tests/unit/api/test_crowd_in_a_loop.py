"""A process under ten times what it can do answers as much in time as it could whole, and the rest soon."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import pytest

from api.crowd import LEAST_IN_WORK, MOST_IN_WORK, Crowd, Place, Way

Make: TypeAlias = Callable[[Callable[[], float]], Crowd]

DEADLINE = 0.06
PROMISED = 0.07
PROMISED_EVENTS = 0.1
BLOCKS = ("GET", "/v1/blocks/weekly")
EVENTS = ("POST", "/v1/events")
SECONDS = 1.5
CONNECTIONS = 256
STEPS = 4
TRIP = 0.0003
"""Of a whole one: it goes on so many times, and waits for the store before each."""


class Costs(NamedTuple):
    """Seconds of the processor; of events: of a request that brings some."""

    whole: float
    plain: float
    away: float
    events: float


USUAL = Costs(0.00045, 0.00006, 0.00001, 0.00012)
DEAR = Costs(0.0009, 0.00012, 0.00002, 0.00024)
"""On another machine, or while somebody else has the processor for half of the time."""


class Work(NamedTuple):
    """A request in work: when it goes on, when it was due, and what is left of it."""

    at: float
    due: float
    place: Place
    steps: int
    takes: float


class Loop:
    """Reads all that came, then lets all go on that can, as a loop does; time is what that takes."""

    def __init__(self, make: Make, costs: Costs, rate: float, asked: tuple[str, str] = BLOCKS) -> None:
        self.now, self.costs, self.rate, self._asked = 0.0, costs, rate, asked
        self.crowd = make(lambda: self.now)
        self.took: dict[Way, list[float]] = {way: [] for way in Way}
        self._work: list[Work] = []

    def run(self) -> Loop:
        waiting, given, free = deque[float](), 0, CONNECTIONS
        while self.now < SECONDS:
            began = self.now
            while given / self.rate <= self.now:
                waiting.append(given / self.rate)
                given += 1
            came = [waiting.popleft() for _ in range(min(free, len(waiting)))]
            free += sum(map(self._read, came)) - len(came)
            free += self._go_on()
            self.now += 0.00001
            self.crowd.turned(began)
        return self

    def _read(self, due: float) -> bool:
        place = self.crowd.place(*self._asked)
        if place.way is not Way.whole:
            self.now += self.costs.plain if place.way is Way.plain else self.costs.away
            self._note(due, place.way)
            if place.way is Way.plain:  # it is answered, and its place kept for a turn
                self._work.append(Work(self.now, due, place, 0, 0.0))
            return True
        takes = self.costs.whole if self._asked == BLOCKS else self.costs.events
        self._work.append(Work(self.now, due, place, STEPS, takes / STEPS))
        return False

    def _go_on(self) -> int:
        """How many were answered."""
        can = [each for each in self._work if each.at <= self.now]
        self._work = [each for each in self._work if each.at > self.now]
        answered = 0
        for each in can:
            self.now += each.takes
            if each.steps > 1:
                self._work.append(each._replace(at=self.now + TRIP, steps=each.steps - 1))
            else:
                self.crowd.leave(each.place)
                if each.steps:
                    self._note(each.due, each.place.way)
                    answered += 1
        return answered

    def _note(self, due: float, way: Way) -> None:
        if due > SECONDS / 3:
            self.took[way].append(self.now - due)

    def good(self, *ways: Way) -> float:
        """How many a second were answered so in time."""
        return sum(took <= PROMISED for way in ways for took in self.took[way]) / (SECONDS * 2 / 3)

    def p99(self, *ways: Way) -> float:
        every = sorted(took for way in ways for took in self.took[way]) or [0.0]
        return every[int(len(every) * 0.99)]


def ours(clock: Callable[[], float]) -> Crowd:
    return Crowd(DEADLINE, [EVENTS[1]], clock=clock)


class Unwatched(Crowd):
    """One that does not look how long a turn of the loop is."""

    def turned(self, since: float) -> None: ...


def unwatched(clock: Callable[[], float]) -> Crowd:
    return Unwatched(DEADLINE, [EVENTS[1]], clock=clock)


class Stubborn(Crowd):
    """One whose whole ones never give way."""

    def leave(self, place: Place) -> None:
        if place.limit is not None:
            place.limit.leave(place.since, self._clock())


def stubborn(clock: Callable[[], float]) -> Crowd:
    return Stubborn(DEADLINE, [], clock=clock)


def grown(make: Make) -> Make:
    """One that takes as many events at once as there may ever be: more than come, while not too many came."""

    def crowd(clock: Callable[[], float]) -> Crowd:
        made = make(clock)
        made.events.most = float(MOST_IN_WORK)
        return made

    return crowd


ANSWERED = (Way.whole, Way.plain)


@pytest.mark.parametrize("costs", [USUAL, DEAR])
@pytest.mark.parametrize("factor", [2, 5, 10])
def test_as_much_is_answered_in_time_as_could_be_whole(costs: Costs, factor: int) -> None:
    peak = 1 / costs.whole
    loop = Loop(ours, costs, peak * factor if costs is USUAL else factor / USUAL.whole).run()
    assert loop.good(*ANSWERED) > 0.9 * peak
    assert loop.p99(*ANSWERED) < PROMISED
    assert loop.p99(Way.away) < 0.01


def test_where_whole_ones_do_not_give_way_they_take_the_time_of_all() -> None:
    """So that the test before this one is known to test something."""
    ways = {make: Loop(make, DEAR, 10 / USUAL.whole).run().good(*ANSWERED) for make in (ours, stubborn)}
    assert ways[ours] > 1.5 * ways[stubborn]


@pytest.mark.parametrize("costs", [USUAL, DEAR])
def test_of_twice_as_many_events_most_of_what_can_be_taken_is_taken_in_time(costs: Costs) -> None:
    peak = 1 / costs.events
    loop = Loop(grown(ours), costs, 2 * peak, EVENTS).run()
    assert loop.good(Way.whole) > 0.8 * peak
    assert loop.p99(Way.whole) < PROMISED_EVENTS


def test_where_no_turn_is_watched_they_wait_with_who_sends_them() -> None:
    """So that the test before this one is known to test something."""
    assert Loop(grown(unwatched), USUAL, 2 / USUAL.events, EVENTS).run().p99(Way.whole) > 2 * PROMISED_EVENTS


def test_events_that_can_be_taken_are() -> None:
    loop = Loop(ours, USUAL, 0.9 / USUAL.events, EVENTS).run()
    assert loop.good(Way.whole) > 0.89 / USUAL.events
    assert not loop.took[Way.away]


def test_what_can_be_done_is_whole() -> None:
    loop = Loop(ours, USUAL, 0.9 / USUAL.whole).run()
    assert loop.good(Way.whole) > 0.89 / USUAL.whole
    assert not loop.took[Way.away]


def test_where_the_store_alone_is_slow_whole_ones_keep_their_places() -> None:
    now = [0.0]
    crowd = Crowd(DEADLINE, [], clock=lambda: now[0])
    for _ in range(100):
        whole = [crowd.place("GET", "/v1/blocks/weekly") for _ in range(int(crowd.whole.most))]
        now[0] += DEADLINE
        plain = [crowd.place("GET", "/v1/blocks/weekly") for _ in range(200)]
        for place in (*plain, *whole):
            crowd.leave(place)
    assert crowd.whole.most == LEAST_IN_WORK
    assert crowd.plain.most >= 128
