"""The law of the stream over both folds, whatever is in it; and that what is read again changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from dataflows.aggregate_items import FoldItems
from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import User
from dataflows.aggregates.seen import SeenByUser
from dataflows.events import DAY, OUTCOMES, Event, Refused, parse
from tests.given import NOW, raw, raw_events, seeds
from tests.unit.dataflows.doubles import Clock, Committed, Items, People, in_batches
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import (
    PARTITIONS,
    STORIES,
    batched,
    comparable,
    spread,
    take_items,
    take_people,
    with_repeats,
)

NOISE = st.lists(
    st.one_of(
        raw_events(),
        st.sampled_from([raw(event_id=f"e{n}", occurred_at=NOW - 89 * DAY * n, user_id=f"u{n}") for n in range(4)]),
    ),
    max_size=25,
)


@for_all(stream=NOISE, seed=seeds())
def the_law_of_the_stream(flow: Any, stream: list[bytes], seed: int) -> None:
    """Received = applied + duplicate + late + refused, and every record is received."""
    process, take = flow
    chance = random.Random(seed)
    committed = Committed()
    take(process(committed, Clock()), batched(stream, chance), chance)
    assert committed.received == len(stream)
    assert sum(committed.outcomes.values()) == len(stream)
    assert set(committed.outcomes) <= set(OUTCOMES)
    refused = [value for value in stream if isinstance(parse(value, NOW), Refused)]
    assert committed.outcomes["refused"] == len(refused)
    assert committed.offsets == {p: len(values) - 1 for p, values in spread(stream).items() if values}


class LosesRepeats(FoldPeople):
    def fold(self, batches: Any, now: int) -> Any:
        results = super().fold(batches, now)
        for result in results:
            result.outcomes = {name: n for name, n in result.outcomes.items() if name != "duplicate"}
        return results


class LosesRefusals(FoldItems):
    def fold(self, batches: Any, now: int) -> Any:
        return super().fold([batch._replace(refused=[]) for batch in batches], now)


def people(**how: Any) -> Any:
    return (lambda committed, clock: People(committed, clock, PARTITIONS, **how)), take_people


def items(**how: Any) -> Any:
    return (lambda committed, clock: Items(committed, clock, PARTITIONS, **how)), take_items


@pytest.mark.parametrize("flow", [people(), items()], ids=["people", "items"])
def test_the_law_of_the_stream_holds(flow: Any) -> None:
    holds(the_law_of_the_stream, flow)


@pytest.mark.parametrize("flow", [people(fold=LosesRepeats), items(fold=LosesRefusals)], ids=["people", "items"])
def test_an_event_without_an_outcome_is_caught(flow: Any) -> None:
    assert fails(the_law_of_the_stream, flow)


SCOPES = 3
"""`all` and two countries: a table of scopes must hold as many as one commit touches."""


class ShortRing(User):
    """A user whose ring reaches back two events, so that it is the offset that keeps a replay harmless."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = SeenByUser(2)

    @classmethod
    def unpack(cls, packed: bytes) -> User:
        user = super().unpack(packed)
        user.seen.capacity = 2
        return user


class WithoutOffset(ShortRing):
    offset = property(lambda self: -1, lambda self, offset: None)


class CountsAgain(FoldPeople):
    def fold(self, batches: Any, now: int) -> Any:
        results = super().fold(batches, now)
        self._counted = -1
        return results


class AppliesAgain(FoldItems):
    def fold(self, batches: Any, now: int) -> Any:
        self._counted = dict.fromkeys(self._counted, -1)
        return super().fold(batches, now)


@for_all(story=STORIES, seed=seeds())
def what_is_read_again_changes_nothing(flow: Any, story: list[Event], seed: int) -> None:
    """A process dies somewhere, and the next one reads again from before its last commits."""
    process, take = flow
    chance = random.Random(seed)
    stream = with_repeats(story, chance)
    whole, broken = Committed(), Committed()
    take(process(whole, Clock()), batched(stream, chance), chance)
    some = batched(stream, chance)
    take(process(broken, Clock()), some[: chance.randrange(len(some) + 1)], chance)
    rewound = {partition: max(-1, offset - chance.randrange(9)) for partition, offset in broken.offsets.items()}
    take(process(broken, Clock()), batched(stream, chance, rewound), chance)
    assert comparable(broken) == comparable(whole)
    assert broken.received == len(stream)


@pytest.mark.parametrize(
    "flow",
    [people(user=ShortRing), people(), people(capacity=0), items(), items(capacity=SCOPES)],
    ids=["people, short ring", "people", "people, no cache", "items", "items, small cache"],
)
def test_what_is_read_again_changes_nothing_and_counts_nothing_twice(flow: Any) -> None:
    holds(what_is_read_again_changes_nothing, flow)


@pytest.mark.parametrize(
    "flow",
    [people(user=WithoutOffset), people(fold=CountsAgain), items(fold=AppliesAgain)],
    ids=["without offset", "counts again", "applies again"],
)
def test_a_state_without_the_guard_is_caught(flow: Any) -> None:
    assert fails(what_is_read_again_changes_nothing, flow)


@pytest.mark.parametrize("process", [People, Items])
def test_a_flow_that_dies_again_while_it_reads_again_counts_nothing_twice(process: Callable[..., Any]) -> None:
    stream = in_batches(0, [raw(event_id=f"e{n}") for n in range(6)], [1] * 6)
    committed = Committed()
    for batches in (stream, stream[2:3], stream):
        flow = process(committed, Clock())
        for batch in batches:
            flow.take([batch])
    assert committed.offsets == {0: 5}
    assert committed.received == 6
