"""The population: its counts against the users themselves, through crashes; its cuts against all values, sorted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from math import ceil, log
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st

from dataflows.aggregates.population import (
    NOBODY,
    Cuts,
    Standing,
    amount_of,
    bucket_of,
    changes,
    cuts_of,
    standing_of,
)
from dataflows.aggregates.segments import scores_of
from dataflows.events import DAY, MINUTE, partition_of
from dataflows.population import POPULATION_KEY, Population, population_commands
from dataflows.stages import Aggregated, Row
from tests.given import NOW, lists_of, seeds
from tests.unit.dataflows.doubles import Committed
from tests.unit.dataflows.proofs import fails, for_all, holds

USERS = tuple(f"u{n}" for n in range(12))
SPENT = (0.0, 0.0001, 0.01, 1.0, 1.01, 5.0, 5.02, 19.99, 20.0, 20.3, 20.5, 99.0, 100.0, 1e6, 1e15)
FATES = ("stored", "stored", "stored", "dies before", "dies after", "reads again")
STEPS = lists_of(40, USERS, range(100), range(4), SPENT, range(3), FATES)
"""A user, days since the last purchase, orders, money, days that pass before, and what becomes of the commit."""


class Bought(NamedTuple):
    """What a user's row says: the moment of the last purchase, the orders and the money of 90 days."""

    last: int
    orders: int
    spend: float


class Books:
    """How the flow keeps the population: a user's standing lies with the state, what changed goes into the commit.

    Args:
        redis: what is committed.
        partitions: of the stream.
    """

    def __init__(self, redis: Committed, partitions: int) -> None:
        self.redis, self.partitions = redis, partitions
        self.memory: dict[str, Standing | None] = {}

    def standing(self, bought: Bought, now: int) -> Standing | None:
        return standing_of(bought.last, bought.orders, bought.spend)

    def moves(self, before: Standing | None, after: Standing | None) -> list[Any]:
        return [(before, after)]

    def look(self, user: str, bought: Bought, now: int) -> Aggregated:
        """What the row of a user comes to."""
        if user not in self.memory:
            packed = self.redis.states.get(("user", user))
            self.memory[user] = None if packed is None else msgspec.msgpack.decode(packed, type=Standing | None)
        before, after = self.memory[user], self.standing(bought, now)
        self.memory[user] = after
        partition = partition_of(user, self.partitions)
        at = self.redis.rows.get(("user", user), (0, {}))[0] + 1
        row = Row("user", user, at, {}, msgspec.msgpack.encode(after))
        return Aggregated((partition,), rows=[row], commands=population_commands(partition, self.moves(before, after)))


class NobodyLeaves(Books):
    """What a customer was counted as before stays counted."""

    def moves(self, before: Standing | None, after: Standing | None) -> list[Any]:
        return [] if after == before else [(None, after)]


class CountsAgain(Books):
    """Whoever is looked at is counted, whatever the state says."""

    def moves(self, before: Standing | None, after: Standing | None) -> list[Any]:
        return [(None if before == after else before, after)]


class RemembersInMemory(Books):
    """The standing is not stored: a process that begins anew counts its customers anew."""

    def look(self, user: str, bought: Bought, now: int) -> Aggregated:
        self.memory.setdefault(user, None)
        return super().look(user, bought, now)


class RelativeRecency(Books):
    """A customer is counted by how long ago the purchase was when the row was read."""

    def standing(self, bought: Bought, now: int) -> Standing | None:
        found = super().standing(bought, now)
        return found and found._replace(day=found.day - now // DAY)


class EverybodyCounts(Books):
    """Who has no order any more is still part of the population."""

    def standing(self, bought: Bought, now: int) -> Standing | None:
        return standing_of(bought.last, max(1, bought.orders), bought.spend)


def kept(books: type[Books], steps: Sequence[tuple[Any, ...]], partitions: int) -> tuple[Committed, dict[str, Bought]]:
    """What is committed after some steps, the time among it, and what the users' rows say then."""
    redis, now = Committed(), NOW
    process, users = books(redis, partitions), {}
    for user, ago, orders, spend, later, fate in steps:
        now += later * DAY
        bought = Bought(now - ago * DAY, orders, spend)
        if fate == "dies before":
            process.look(user, bought, now)
            process = books(redis, partitions)
        redis.commit(process.look(user, bought, now))
        users[user] = bought
        if fate == "dies after":
            process = books(redis, partitions)
        elif fate == "reads again":
            process = books(redis, partitions)
            redis.commit(process.look(user, bought, now))
    redis.texts["now"] = str(now).encode()
    return redis, users


def counts_in(redis: Committed, partitions: int) -> list[dict[str, int]]:
    return [redis.sets.get(POPULATION_KEY.format(partition), {}) for partition in range(partitions)]


def bucket(amount: float) -> int:
    """DDSketch's bucket of an amount by its definition, ceil(log_gamma x), counted from that of the smallest amount."""
    gamma = (1 + 0.01) / (1 - 0.01)
    return ceil(log(amount, gamma)) - ceil(log(0.0001, gamma)) + 1 if amount else 0


@for_all(steps=STEPS, partitions=st.integers(1, 5))
def counts_are_those_of_the_users(books: type[Books], steps: list[Any], partitions: int) -> None:
    redis, users = kept(books, steps, partitions)
    expected: Counter[str] = Counter()
    for last, orders, spend in users.values():
        if orders:
            expected.update((f"day:{last // 86_400_000_000}", f"orders:{orders}", f"amount:{bucket(spend)}"))
    merged: Counter[str] = Counter()
    for counts in counts_in(redis, partitions):
        assert all(number > 0 for number in counts.values())
        merged.update(counts)
    assert merged == expected


@for_all(steps=STEPS, partitions=st.integers(1, 5))
def scores_are_those_of_the_whole_population(books: type[Books], steps: list[Any], partitions: int) -> None:
    """A score is 1 and the fifths of all customers who have less; of days, 5 less the fifths who bought later."""
    redis, users = kept(books, steps, partitions)
    now = int(redis.texts["now"])
    cuts = cuts_of(counts_in(redis, partitions))
    customers = {user: bought for user, bought in users.items() if bought.orders}
    days = [bought.last // 86_400_000_000 for bought in customers.values()]
    orders = [bought.orders for bought in customers.values()]
    spend = [bought.spend for bought in customers.values()]
    for bought in customers.values():
        standing = books(redis, partitions).standing(bought, now)
        assert standing is not None
        scores = scores_of(standing, cuts)
        assert scores.recency == 5 - 5 * sum(day > bought.last // 86_400_000_000 for day in days) // len(days)
        assert scores.frequency == 1 + 5 * sum(number < bought.orders for number in orders) // len(orders)
        # Amounts in one bucket are not told apart; those more than 2 % and a rounding apart are in two.
        least = 1 + 5 * sum(amount * 1.0203 < bought.spend for amount in spend) // len(spend)
        most = 1 + 5 * sum(amount < bought.spend for amount in spend) // len(spend)
        assert least <= scores.monetary <= most


class Fifths:
    """The cuts of values that lie in some partitions."""

    def cuts(self, values: list[tuple[int, int, float]], chance: random.Random) -> Cuts:
        parts: list[list[Any]] = [[] for _ in range(3)]
        for day, orders, spend in values:
            chance.choice(parts).append((None, standing_of(day * DAY, orders, spend)))
        return cuts_of(map(changes, parts))


class LeavesOneOut(Fifths):
    """The first customer is nobody's."""

    def cuts(self, values: list[tuple[int, int, float]], chance: random.Random) -> Cuts:
        return super().cuts(values[1:] or values, chance)


class OneBucketUp(Fifths):
    """The cuts of money are those of the bucket above."""

    def cuts(self, values: list[tuple[int, int, float]], chance: random.Random) -> Cuts:
        days, orders, amounts = super().cuts(values, chance)
        return Cuts(days, orders, tuple(amount + 1 for amount in amounts))


class OldestFirst(Fifths):
    """Days are cut from the oldest on, as if many days were much."""

    def cuts(self, values: list[tuple[int, int, float]], chance: random.Random) -> Cuts:
        return super().cuts(values, chance)._replace(days=super().cuts(values, chance).days[::-1])


class NextCustomer(Fifths):
    """A cut is the customer behind the one at the quantile: one rank too high."""

    def cuts(self, values: list[tuple[int, int, float]], chance: random.Random) -> Cuts:
        return super().cuts([*values, *[max(values, default=(0, 0, 0.0))] * 2], chance)


@for_all(
    values=lists_of(60, range(20_000, 20_100), range(1, 9), range(256), (0, 0.0001, 0.07, 1, 9.99, 1e4)), seed=seeds()
)
def cuts_are_the_quantiles_of_all_values(fifths: Fifths, values: list[Any], seed: int) -> None:
    people = [(day, orders, factor * unit) for day, orders, factor, unit in values]
    cuts = fifths.cuts(people, random.Random(seed))
    if not people:
        assert cuts == NOBODY
        return
    days, orders, spend = (np.array(each) for each in zip(*people, strict=True))
    shares = [k / 5 for k in range(1, 5)]
    assert cuts.days == tuple(-np.quantile(-days, shares, method="inverted_cdf"))
    assert cuts.orders == tuple(np.quantile(orders, shares, method="inverted_cdf"))
    exact = np.quantile(spend, shares, method="inverted_cdf")
    found = np.array([amount_of(each) for each in cuts.amounts])
    assert (abs(found - exact) <= exact * 0.01 * (1 + 1e-9)).all()


@for_all(amount=st.floats(0.0001, 1e18))
def a_bucket_stands_for_what_is_in_it(accuracy: float, amount: float) -> None:
    assert bucket_of(amount) >= 1
    assert abs(amount_of(bucket_of(amount)) - amount) <= amount * accuracy * (1 + 1e-9)


@for_all(one=st.integers(0, 10**12), other=st.integers(0, 10**12))
def buckets_are_in_the_order_of_their_amounts(parts: int, one: int, other: int) -> None:
    low, high = sorted((one / parts, other / parts))
    assert bucket_of(low) <= bucket_of(high)


def test_the_counts_are_those_of_the_users_through_crashes_and_over_partitions() -> None:
    holds(counts_are_those_of_the_users, Books)


def test_the_scores_are_those_of_the_whole_population_whenever_its_rows_were_read() -> None:
    holds(scores_are_those_of_the_whole_population, Books)


def test_the_cuts_are_the_quantiles_of_all_values() -> None:
    holds(cuts_are_the_quantiles_of_all_values, Fifths())


def test_a_bucket_stands_for_what_is_in_it() -> None:
    holds(a_bucket_stands_for_what_is_in_it, 0.01)


def test_buckets_are_in_the_order_of_their_amounts() -> None:
    holds(buckets_are_in_the_order_of_their_amounts, 10_000)


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        (counts_are_those_of_the_users, NobodyLeaves),
        (counts_are_those_of_the_users, CountsAgain),
        (counts_are_those_of_the_users, RemembersInMemory),
        (counts_are_those_of_the_users, EverybodyCounts),
        (scores_are_those_of_the_whole_population, NobodyLeaves),
        (scores_are_those_of_the_whole_population, CountsAgain),
        (scores_are_those_of_the_whole_population, RelativeRecency),
        (scores_are_those_of_the_whole_population, EverybodyCounts),
        (cuts_are_the_quantiles_of_all_values, LeavesOneOut()),
        (cuts_are_the_quantiles_of_all_values, OneBucketUp()),
        (cuts_are_the_quantiles_of_all_values, OldestFirst()),
        (cuts_are_the_quantiles_of_all_values, NextCustomer()),
        (a_bucket_stands_for_what_is_in_it, 0.0099),
    ],
)
def test_a_mutant_is_caught(claim: Any, mutant: Any) -> None:
    assert fails(claim, mutant)


def test_who_has_no_order_is_not_in_the_population() -> None:
    assert standing_of(NOW, 0, 0.0) is None
    assert standing_of(None, 0, 0.0) is None
    assert standing_of(NOW, 1, 0.0) == (NOW // DAY, 1, 0)
    assert standing_of(NOW, 2, 0.0001) == (NOW // DAY, 2, 1)


def test_moves_of_a_micro_batch_are_counted_together() -> None:
    one, two, three = Standing(5, 1, 7), Standing(6, 1, 7), Standing(6, 2, 9)
    assert changes([(None, None), (one, one)]) == {}
    assert changes([(None, one), (None, two)]) == {"day:5": 1, "day:6": 1, "orders:1": 2, "amount:7": 2}
    assert changes([(one, two)]) == {"day:5": -1, "day:6": 1}
    assert changes([(one, two), (two, one)]) == {}
    assert changes([(three, None)]) == {"day:6": -1, "orders:2": -1, "amount:9": -1}


def test_a_bucket_is_looked_for_to_be_taken_out_only_when_somebody_left_one() -> None:
    one = Standing(5, 1, 7)
    assert population_commands(3, []) == []
    assert ("ZREMRANGEBYSCORE", "inlay:population:3", 0, 0) not in population_commands(3, [(None, one)])
    assert population_commands(3, [(one, one._replace(day=6))]) == [
        ("ZINCRBY", "inlay:population:3", -1, "day:5"),
        ("ZINCRBY", "inlay:population:3", 1, "day:6"),
        ("ZREMRANGEBYSCORE", "inlay:population:3", 0, 0),
    ]


def test_somebody_who_moved_between_partitions_is_counted_once() -> None:
    here, there = changes([(None, Standing(5, 1, 7))]), changes([(Standing(5, 1, 7), Standing(6, 1, 7))])
    assert cuts_of([here, there]) == ((6,) * 4, (1,) * 4, (7,) * 4)
    assert cuts_of([here, changes([(Standing(5, 1, 7), None)])]) == NOBODY


def test_the_population_is_looked_at_once_a_minute() -> None:
    counts: dict[str, int] = {}
    looked = []

    def read() -> list[dict[str, int]]:
        looked.append(dict(counts))
        return [dict(counts)]

    population = Population(read)
    assert population.cuts(NOW) == NOBODY
    counts.update(changes([(None, Standing(5, 1, 7))]))
    assert population.cuts(NOW + MINUTE - 1) == NOBODY
    assert len(looked) == 1
    assert population.cuts(NOW + MINUTE) == ((5,) * 4, (1,) * 4, (7,) * 4)
    assert population.cuts(NOW + MINUTE) is population.cuts(NOW + 2 * MINUTE - 1)
    assert len(looked) == 2


def test_a_clock_that_was_set_back_does_not_leave_the_cuts_as_they_were() -> None:
    looked: list[int] = []
    population = Population(lambda: looked.append(1) or [])  # type: ignore[func-returns-value]
    for now in (NOW, NOW - DAY, NOW - DAY + 1, NOW):
        population.cuts(now)
    assert len(looked) == 3
