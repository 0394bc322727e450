"""Rows that only time changed, written without what stayed as it was: the table is the same as if all were written."""

from __future__ import annotations

from random import Random
from typing import Any, TypeAlias
from zlib import crc32

import msgspec
import pytest
from hypothesis import strategies as st

from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import STEADY_BUYING_NOTHING, User
from dataflows.events import DAY, HOUR, MINUTE, SECOND, partition_of
from dataflows.stages import Aggregated
from tests.given import raw
from tests.unit.dataflows.doubles import Clock, Committed, People, in_batches
from tests.unit.dataflows.proofs import fails, for_all, holds

Kinds: TypeAlias = tuple[type[FoldPeople], type[User]]
USUAL: Kinds = (FoldPeople, User)
PARTITIONS = 2
PAUSES = (0, SECOND, 5 * MINUTE, 31 * MINUTE, HOUR, 3 * HOUR, DAY, 8 * DAY, 31 * DAY, -2 * HOUR)


class Store:
    """What is committed, some of the rows set aside, and each result so many results later than it was made."""

    def __init__(self, seed: int, behind: int, *, whole: bool) -> None:
        self.committed, self._seed, self._behind, self._whole = Committed(), seed, behind, whole
        self._on_their_way: list[Aggregated] = []

    def __call__(self, result: Aggregated) -> None:
        for row in result.rows[:]:
            fate = crc32(f"{row.key}/{row.at}/{self._seed}".encode()) % 5
            if fate < 2 and self.committed.rows.get((row.entity, row.key), (0, {}))[1]:
                result.rows.remove(row)
                (result.quarantined if fate else result.held).append((row, "why"))
        self._on_their_way.append(result)
        while len(self._on_their_way) > self._behind:
            self.let_in()

    def let_in(self) -> None:
        """Store the result that waited longest."""
        result = self._on_their_way.pop(0)
        written = [msgspec.structs.replace(row, steady=frozenset()) if self._whole else row for row in result.rows]
        # Of what was set aside without a state, nothing is stored.
        aside = [[each for each in rows if each[0].state is not None] for rows in (result.quarantined, result.held)]
        self.committed.commit(
            msgspec.structs.replace(result, rows=written, quarantined=aside[0], held=aside[1])  # the fold keeps its own
        )
        result.stored = True


@for_all(seed=st.integers(0, 2**32), behind=st.integers(0, 2), capacity=st.sampled_from([1, 2, 100]))
def a_table_is_the_same_as_if_all_were_written(kinds: Kinds, seed: int, behind: int, capacity: int) -> None:
    chance, clock = Random(seed), Clock()
    stores = [Store(seed, behind, whole=whole) for whole in (False, True)]
    flows = [
        People(store.committed, clock, PARTITIONS, commit=store, fold=kind, user=made, capacity=capacity)
        for store, (kind, made) in zip(stores, (kinds, USUAL), strict=True)
    ]
    offsets = [-1] * PARTITIONS
    for number in range(14):
        if chance.random() < 0.5:
            sender = chance.choice(("u1", "u2", "u3"))
            place = partition_of(sender, PARTITIONS)
            offsets[place] += 1
            more: dict[str, Any] = {"order_id": f"o{number}", "price": 5.0} if chance.random() < 0.2 else {}
            event = raw(
                event_id=f"e{number}", user_id=sender, item_id="p1", type="purchase" if more else "view",
                occurred_at=(clock() - chance.randrange(HOUR)) // SECOND, **more,
            )  # fmt: skip
            for flow in flows:
                flow.take(in_batches(place, [event], [], first=offsets[place]))
        else:
            clock.now += chance.choice(PAUSES)
            for flow in flows:
                flow.expire()
        assert stores[0].committed.rows == stores[1].committed.rows
        assert stores[0].committed.states == stores[1].committed.states


class LooksAtNothing(FoldPeople):
    """Takes every row for stored."""

    def _look_back(self) -> None:
        self._sent.clear()


class NeverBehind(User):
    """Takes whatever is stored for up to date."""

    __slots__ = ()
    behind = property(lambda self: False, lambda self, is_behind: None)  # type: ignore[assignment]


class TakesAllForSteady(User):
    """Takes time for something that changes nothing."""

    __slots__ = ()

    def steady(self, now: int) -> frozenset[str]:
        return STEADY_BUYING_NOTHING[-1]


def test_a_table_is_the_same_as_if_all_were_written() -> None:
    holds(a_table_is_the_same_as_if_all_were_written, USUAL)


@pytest.mark.parametrize("kinds", [(LooksAtNothing, User), (FoldPeople, NeverBehind), (FoldPeople, TakesAllForSteady)])
def test_a_flow_that_leaves_out_too_much_is_caught(kinds: Kinds) -> None:
    assert fails(a_table_is_the_same_as_if_all_were_written, kinds)


def test_who_viewed_once_has_one_window_written_when_that_falls() -> None:
    store, clock = Store(0, 0, whole=False), Clock()
    store.committed.commit = (written := list[Aggregated]()).append  # type: ignore[method-assign,assignment]
    flow = People(store.committed, clock, 1, commit=store)
    flow.take(in_batches(0, [raw(user_id="u1", item_id="p1", occurred_at=clock() // SECOND)], []))
    user = flow.folds[0]._users.at_hand("u1")
    assert user is not None
    assert user.steady(clock() + HOUR) == STEADY_BUYING_NOTHING[-1]
    assert set(STEADY_BUYING_NOTHING[-1] - user.steady(clock() + 2 * HOUR)) == {
        f"{kind}_1h" for kind in ("views", "clicks", "carts", "purchases", "email_opens", "email_clicks")
    }
    assert [row.steady for result in written for row in result.rows] == [frozenset()]
