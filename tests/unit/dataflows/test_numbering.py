"""A flow counts on whatever stream it is moved to: no event is passed over for one that was applied before."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.connectors import Bounds, OffsetGone, Records
from dataflows.numbering import Numbered, Place, check_identity, moved
from dataflows.receive import starting_offsets
from tests.unit.dataflows.proofs import fails, for_all, holds

NEVER: Final = Place("", {0: -1}, {0: 0})


class Topic:
    """One partition whose records are their own offsets."""

    name, partitions = "events", 1

    def __init__(self, identity: str, removed: int, last: int) -> None:
        self.identity, self.removed, self.last = identity, removed, last

    def bounds(self, partition: int) -> Bounds:
        return Bounds(self.removed, self.last)

    def rewound(self, partition: int, offset: int, seconds: float) -> int:
        return max(-1, offset - round(seconds))

    def lag(self, after: dict[int, int], most: int = 0) -> dict[int, int]:
        return {0: self.last - max(after[0], self.removed)}

    def read(self, after: dict[int, int], most: int, wait: float) -> list[Records]:
        offsets = list(range(max(after[0], self.removed) + 1, self.last + 1))[:most]
        return [Records(0, offsets, [b"%d" % each for each in offsets])] if offsets else []


STREAMS: Final = st.lists(st.tuples(st.booleans(), st.integers(-1, 20), st.integers(0, 30)), min_size=1, max_size=6)


@for_all(story=STREAMS, rewind=st.integers(0, 9))
def counts_every_event_of_every_stream_once(move: Any, story: list[tuple[bool, int, int]], rewind: int) -> None:
    """A flow reads a stream to its end, and is moved to the next one, or is told to read the same one again."""
    place, guard, applied, there = NEVER, -1, [], []
    topic = Topic("none", -1, -1)
    for number, (anew, removed, held) in enumerate(story):
        if anew or number == 0:
            topic = Topic(f"topic {number}", removed, removed + held)
            there += [(topic.identity, offset) for offset in range(removed + 1, topic.last + 1)]
        place = move(topic, place, "first")
        stream: Any = Numbered(topic, place.added)  # type: ignore[arg-type]
        after = starting_offsets(stream, "people", place.committed, rewind)
        for each in stream.read(after, 100, 0):
            for offset, value in zip(each.offsets, each.values, strict=True):
                if offset > guard:  # what the state of a user says
                    guard = offset
                    applied.append((topic.identity, int(value)))
        place = Place(topic.identity, {0: max(place.committed[0], stream.bounds(0).last)}, place.added)
        assert place.in_stream() == {0: topic.last}
    assert applied == there


def as_the_stream_counts(stream: Any, place: Place, to: str) -> Place:
    return Place(stream.identity, {0: stream.bounds(0).removed}, {0: 0})


def from_what_was_committed(stream: Any, place: Place, to: str) -> Place:
    """One too few: the first event is taken for the last."""
    return Place(stream.identity, {0: place.committed[0] + stream.bounds(0).removed}, {0: place.committed[0]})


def test_every_event_of_every_stream_counts_once() -> None:
    holds(counts_every_event_of_every_stream_once, moved)


@pytest.mark.parametrize("mutant", [as_the_stream_counts, from_what_was_committed])
def test_counting_anew_is_caught(mutant: Any) -> None:
    assert fails(counts_every_event_of_every_stream_once, mutant)


def test_a_flow_that_is_in_another_stream_is_told_what_to_do() -> None:
    topic: Any = Topic("kafka events 2", -1, 50)
    for fine in (NEVER, Place("kafka events 2", {0: 7}, {0: 0})):
        check_identity(topic, "people", fine)
    said = r"people is somewhere in another stream: in 'kafka events 1'.*dataflows.offsets reset people --to first"
    with pytest.raises(OffsetGone, match=said):
        check_identity(topic, "people", Place("kafka events 1", {0: 7}, {0: 0}))


@given(committed=st.integers(-1, 50), last=st.integers(-1, 50))
def test_a_flow_that_is_told_to_read_what_comes_reads_nothing_else(committed: int, last: int) -> None:
    topic: Any = Topic("b", -1, last)
    place = moved(topic, Place("a", {0: committed}, {0: 0}), "last")
    assert Numbered(topic, place.added).read(place.committed, 100, 0) == []
    topic.last += 3
    (found,) = Numbered(topic, place.added).read(place.committed, 100, 0)
    assert len(found.offsets) == 3
    assert found.offsets[0] > committed
