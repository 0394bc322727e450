from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.breaker import FAILURES, PAUSE, Breaker


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_it_is_closed_at_first_and_some_failures_do_not_open_it() -> None:
    breaker = Breaker(Clock())
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.allows()


def test_only_failures_in_a_row_open_it() -> None:
    breaker = Breaker(Clock())
    for _ in range(10):
        for _ in range(FAILURES - 1):
            breaker.failed()
        breaker.succeeded()
    assert breaker.allows()


def test_failures_in_a_row_open_it_for_a_pause() -> None:
    clock = Clock()
    breaker = broken(clock)
    assert not breaker.allows()
    clock.now += PAUSE * 0.99
    assert not breaker.allows()


def test_after_the_pause_one_request_tries_and_the_others_do_not_wait_for_it() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += PAUSE
    assert [breaker.allows() for _ in range(5)] == [True, False, False, False, False]


def test_a_try_that_fails_opens_it_for_another_pause() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += PAUSE
    assert breaker.allows()
    clock.now += PAUSE / 2
    breaker.failed()
    clock.now += PAUSE * 0.99
    assert not breaker.allows()
    clock.now += PAUSE * 0.02
    assert breaker.allows()


def test_a_try_that_succeeds_closes_it() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now += PAUSE
    assert breaker.allows()
    breaker.succeeded()
    assert all(breaker.allows() for _ in range(100))


def test_a_try_that_was_never_heard_of_again_does_not_keep_it_open() -> None:
    """A caller that hangs up takes its request with it: neither success nor failure is told."""
    clock = Clock()
    breaker = broken(clock)
    for _ in range(3):
        clock.now += PAUSE
        assert breaker.allows()


@given(st.lists(st.tuples(st.sampled_from(["fails", "works", "hangs up"]), st.floats(0, 2 * PAUSE)), max_size=60))
def test_while_the_store_is_gone_it_is_asked_once_a_pause(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    in_a_row = 0
    last_asked = last_failed = float("-inf")
    for outcome, passed in steps:
        clock.now += passed
        was_open = in_a_row >= FAILURES
        allowed = breaker.allows()
        if not was_open:
            assert allowed
        elif clock.now < last_failed + PAUSE or clock.now < last_asked + PAUSE:
            assert not allowed
        else:
            assert allowed
        if not allowed:
            continue
        last_asked = clock.now if was_open else last_asked
        if outcome == "fails":
            breaker.failed()
            in_a_row, last_failed = in_a_row + 1, clock.now
        elif outcome == "works":
            breaker.succeeded()
            in_a_row, last_asked, last_failed = 0, float("-inf"), float("-inf")
