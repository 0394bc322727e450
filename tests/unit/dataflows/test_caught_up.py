"""Up to when a flow has counted everything, against a plain account of what was published and committed when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataflows.caught_up import MOST_NOTES, CaughtUp


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40))
def test_all_that_came_until_then_is_committed_and_no_note_says_more(steps: list[tuple[int, int]]) -> None:
    """Each step publishes some records, notes, and commits some of what is there."""
    told = CaughtUp([0])
    ends: list[int] = []
    end, committed, known = -1, -1, 0
    for now, (published, more) in enumerate(steps, start=1):
        end += published
        ends.append(end)
        told.note({0: end}, now)
        committed = min(end, committed + more)
        known = told.passed({0: committed}).get(0, known)
        assert known == max((at for at, there in enumerate(ends, start=1) if there <= committed), default=0)


def test_a_flow_that_stands_still_remembers_no_more_and_no_more_than_it_may() -> None:
    told = CaughtUp([0])
    for now in range(3 * MOST_NOTES):
        told.note({0: now + 1}, now)
    assert told.passed({0: 0}) == {}
    assert told.passed({0: 10 * MOST_NOTES}) == {0: MOST_NOTES - 1}, "too early rather than too late"
    told.note({0: 5}, 9 * MOST_NOTES)
    assert told.passed({0: 5}) == {0: 9 * MOST_NOTES}
