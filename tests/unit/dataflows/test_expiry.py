"""What time changes in the rows of users: no more than the features said to, and without writing the states again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import strategies as st

from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import TIMED, User
from dataflows.aggregates.population import changes
from dataflows.events import DAY, HOUR, MINUTE, Event, partition_of
from dataflows.stages import Aggregated, Received
from dataflows.state import Stored
from tests.given import FACTS, NOW, an_event, histories, nows, raw, seeds
from tests.unit.dataflows.doubles import DUE, SEGMENTS, Clock, Committed, People, in_batches
from tests.unit.dataflows.oracle import Arrival, user_row
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import PARTITIONS, STORIES, written

PAUSES = (0, MINUTE, 31 * MINUTE, HOUR, 5 * HOUR, DAY, 8 * DAY, 31 * DAY)


@for_all(story=histories(), now=nows(), later=st.sampled_from(PAUSES))
def time_changes_nothing_else(timed: Collection[str], story: list[Event], now: int, later: int) -> None:
    user = User()
    for event in story:
        user.apply(event, FACTS, now)
    before, after = user.row(now)[0], user.row(now + later)[0]
    assert {name for name in before if before[name] != after[name]} <= set(timed)
    numbers = User.unpack(user.pack()).numbers(now + later)[0]
    assert numbers == {name: after[name] for name in numbers}
    assert numbers.keys() | SEGMENTS == set(TIMED)


def test_time_changes_only_the_features_that_are_said_to() -> None:
    holds(time_changes_nothing_else, TIMED)


@pytest.mark.parametrize("name", ["views_1h", "purchases_30d", "spend_90d", "orders_90d"])
def test_a_feature_that_is_left_out_is_noticed(name: str) -> None:
    assert fails(time_changes_nothing_else, set(TIMED) - {name})


class Parts(NamedTuple):
    """What the flow is made of; a mutant has another one."""

    committed: type[Committed] = Committed
    fold: type[FoldPeople] = FoldPeople


def lost(result: Aggregated) -> None:
    """The process dies before it has stored what it made."""


@for_all(story=STORIES, seed=seeds())
def rows_fall_over_any_deaths(parts: Parts, story: list[Event], seed: int) -> None:
    """`Committed` itself sees to it that every row is newer than the one before."""
    chance = random.Random(seed)
    committed, clock = parts.committed(), Clock()

    def process() -> People:
        flow = People(committed, clock, PARTITIONS, fold=parts.fold, capacity=chance.choice((0, 1, 1000)))
        flow.take(Received(partition, [], []) for partition in range(PARTITIONS))
        return flow

    flow, arrivals = process(), []
    for event in story:
        if chance.random() < 0.3:
            clock.now += chance.choice(PAUSES)
            flow.expire()
            if chance.random() < 0.3:
                clock.now += chance.choice(PAUSES)
                flow.commit = lost
                flow.expire()
                flow = process()
        arrivals.append(Arrival(event, clock.now))
        partition = partition_of(event.key, PARTITIONS)
        offset = committed.offsets.get(partition, -1) + 1
        flow.take(in_batches(partition, [written(event)], [], first=offset))
    clock.now += chance.choice(PAUSES)
    flow = process()
    flow.expire()
    assert all(at > clock.now for due in (DUE.format(0), DUE.format(1)) for at in committed.sets.get(due, {}).values())
    expected = {}
    for key in {event.key for event in story}:
        row = user_row([each for each in arrivals if each.event.key == key], FACTS, clock.now)
        if row["first_seen_at"] is not None:
            expected["user", key] = row
    nobody = user_row([], FACTS, clock.now)  # the row of whom machines alone opened and clicked
    assert {place: row for place, row in committed.values().items() if row != nobody} == expected
    told = Counter(
        msgspec.json.decode(value)["event_id"] for stream in committed.derived.values() for _, value in stream
    )
    assert all(times == 1 for times in told.values())
    standings = [user.standing for user in committed.stored([key for _, key in committed.rows]).values()]
    counted: Counter[str] = Counter()
    for partition in committed.population(PARTITIONS):
        counted.update(partition)
    assert {name: number for name, number in counted.items() if number} == changes((None, each) for each in standings)


class StatesAlone(Committed):
    """The time of the newest row is taken from the state, which a row that only time changed left as it was."""

    def users(self, keys: list[str]) -> list[Stored | None]:
        return [found and Stored(found.packed, 0) for found in super().users(keys)]


class KeepsNothing(FoldPeople):
    """What was told, and what a user is counted as, is not stored when time passes."""

    @staticmethod
    def _kept(user: User) -> tuple[Any, ...]:
        return ()


class KeepsNoStanding(FoldPeople):
    @staticmethod
    def _kept(user: User) -> tuple[Any, ...]:
        return (user.sessions.settled,)


class KeepsNoSession(FoldPeople):
    @staticmethod
    def _kept(user: User) -> tuple[Any, ...]:
        return (user.standing,)


def test_rows_fall_over_any_deaths() -> None:
    holds(rows_fall_over_any_deaths, Parts())


@pytest.mark.parametrize(
    "mutant",
    [Parts(StatesAlone), Parts(fold=KeepsNothing), Parts(fold=KeepsNoStanding), Parts(fold=KeepsNoSession)],
    ids=["no time of the row", "nothing kept", "no standing kept", "no session kept"],
)
def test_rows_that_do_not_fall_so_are_caught(mutant: Parts) -> None:
    assert fails(rows_fall_over_any_deaths, mutant)


def test_a_tile_that_leaves_writes_neither_the_state_nor_what_time_does_not_change() -> None:
    committed, clock = Committed(), Clock()
    seen: list[Aggregated] = []
    flow = People(committed, clock, commit=lambda result: (seen.append(result), committed.commit(result))[1])
    flow.take(in_batches(0, [raw(item_id="p1")], []))
    clock.now = NOW + 31 * MINUTE
    flow.expire()
    clock.now = NOW + 2 * HOUR
    flow.expire()
    whole, over, fallen = (result.rows[0] for result in seen)
    assert not whole.timed
    assert (over.timed, set(over.values), over.state is None) == (True, set(TIMED), False)  # the session was told of
    assert (fallen.timed, set(fallen.values), fallen.state is None) == (True, set(TIMED), True)
    assert whole.at < over.at < fallen.at
    assert committed.values()["user", "u1"] == user_row([Arrival(an_event(item_id="p1"), NOW)], FACTS, clock.now)
