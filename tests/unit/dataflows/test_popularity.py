"""Scopes: their best items are those that sorting all items would give."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given

from dataflows.aggregate import DueSet
from dataflows.aggregate_items import SCOPE_DUE, SCOPES_AT_ONCE, FoldItems
from dataflows.aggregates.items import pack_scope, unpack_scope
from dataflows.aggregates.popularity import CANDIDATES, LISTED, Scope, country_scope, is_of_country, scopes_of, trend
from dataflows.events import DAY, HOUR, MINUTE, Event
from tests.given import NOW, histories, lists_of, raw, seeds
from tests.unit.dataflows.doubles import DUE, Clock, Committed, Items, in_batches
from tests.unit.dataflows.oracle import Arrival, country
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import written

NAMES = tuple(f"i{n:03}" for n in range(200))
PLACED = lists_of(120, NAMES, (0, 0.000001, 0.5, 1, 1, 8, 1000.25), range(20))
WARM = lists_of(120, NAMES, (0.5, 1, 3, 8, 1000.25), range(72))


@for_all(placed=PLACED)
def order_equals_sorting_all_items(scope: type[Scope], placed: list[tuple[str, float, int]]) -> None:
    made = scope()
    for each in placed:
        made.place(*each, NOW)
    last = {item_id: (score, bought) for item_id, score, bought in placed}
    row = made.row(NOW)
    best = sorted((-score, item_id) for item_id, (score, _) in last.items() if score)[:LISTED]
    assert row["items"] == [item_id for _, item_id in best]
    assert row["scores"] == pytest.approx([-score for score, _ in best], abs=1e-6)
    sold = sorted((-bought, item_id) for item_id, (_, bought) in last.items() if bought)[:LISTED]
    assert row["bestsellers"] == [item_id for _, item_id in sold]
    assert row["bestseller_purchases"] == [-bought for bought, _ in sold]


@for_all(placed=WARM)
def an_item_cools_down_without_being_touched(scope: type[Scope], placed: list[tuple[str, float, int]]) -> None:
    """Placed at whatever hour, items stand as their scores of now do: each half of what it was a day before."""
    made = scope()
    now = NOW
    scores: dict[str, float] = {}
    for item_id, score, hours in placed:
        now += hours * HOUR // 10
        scores[item_id] = score * 2 ** (now // HOUR / 24 - NOW // HOUR / 24)
        made.place(item_id, score, 0, now)
    row = made.row(now)
    cooled = {item_id: score * 2 ** -(now // HOUR / 24 - NOW // HOUR / 24) for item_id, score in scores.items()}
    assert len(row["items"]) == min(LISTED, len(scores))
    assert row["scores"] == sorted(row["scores"], reverse=True)
    assert row["scores"] == pytest.approx([cooled[item_id] for item_id in row["items"]], rel=1e-9, abs=1e-6)
    left_out = [cooled[item_id] for item_id in cooled.keys() - set(row["items"])]
    assert not left_out or max(left_out) <= row["scores"][-1] + 1e-6


class NeverTakenOut(Scope):
    def place(self, item_id: str, score: float, purchases: int, now: int) -> None:
        super().place(item_id, score or 1e-9, purchases, now)


class EqualOnesAsTheyCame(Scope):
    def row(self, now: int) -> dict[str, Any]:
        row = super().row(now)
        best = sorted(self.heat, key=lambda item_id: -self.heat[item_id])[:LISTED]
        return {**row, "items": best}


class DoesNotCool(Scope):
    def place(self, item_id: str, score: float, purchases: int, now: int) -> None:
        super().place(item_id, score, purchases, NOW)


def test_the_order_equals_sorting_all_items() -> None:
    holds(order_equals_sorting_all_items, Scope)


def test_an_item_cools_down_without_being_touched() -> None:
    holds(an_item_cools_down_without_being_touched, Scope)


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        (order_equals_sorting_all_items, NeverTakenOut),
        (order_equals_sorting_all_items, EqualOnesAsTheyCame),
        (an_item_cools_down_without_being_touched, DoesNotCool),
    ],
)
def test_a_mutant_is_caught(claim: Any, mutant: type[Scope]) -> None:
    assert fails(claim, mutant)


@given(placed=PLACED)
def test_a_scope_that_was_stored_is_the_same(placed: list[tuple[str, float, int]]) -> None:
    scope = Scope()
    for each in placed:
        scope.place(*each, NOW)
        scope.count(each[0], NOW, 3, 1)
    assert unpack_scope(pack_scope(scope)).row(NOW) == scope.row(NOW)
    assert pack_scope(unpack_scope(pack_scope(scope))) == pack_scope(scope)


def test_a_scope_remembers_a_bounded_number_of_items_and_the_best_are_right() -> None:
    scope, chance = Scope(), random.Random(1)
    scores = {f"i{n}": chance.uniform(0.1, 1000) for n in range(5000)}
    for item_id, score in scores.items():
        scope.place(item_id, score, round(score), NOW)
        assert len(scope.heat) <= CANDIDATES + LISTED
    best = sorted(scores, key=lambda item_id: -scores[item_id])[:LISTED]
    assert scope.row(NOW)["items"] == best
    assert len(scope.purchases) <= CANDIDATES + LISTED


def test_the_trend_halves_in_a_day_and_weighs_what_was_done() -> None:
    hour = NOW // HOUR
    assert trend([(hour, [1, 0, 0])], NOW) == 1
    assert trend([(hour, [0, 1, 0])], NOW) == 3
    assert trend([(hour, [0, 0, 1])], NOW) == 8
    assert trend([(hour - 24, [2, 0, 0]), (hour - 48, [0, 0, 1])], NOW) == 1 + 2
    assert trend([], NOW) == 0


def a_country(*counted: tuple[str, int, int, int]) -> Scope:
    """A country of NOW: item, days ago, weight and purchases."""
    scope = Scope()
    for item_id, days, weight, bought in counted:
        scope.count(item_id, NOW - days * DAY, weight, bought)
    scope.settle(NOW)
    return scope


def test_a_country_is_judged_by_days_whatever_the_hour() -> None:
    scope = a_country(("a", 0, 1, 0), ("b", 1, 8, 1), ("c", 7, 8, 1), ("d", 8, 8, 1))
    for moment in (NOW, NOW // DAY * DAY, NOW // DAY * DAY + DAY - 1):
        row = unpack_scope(pack_scope(scope)).row(moment)
        assert row["items"] == ["b", "a", "c"]
        assert row["scores"] == [4.0, 1.0, 0.0625]
        assert (row["bestsellers"], row["bestseller_purchases"]) == (["b", "c"], [1, 1])


def test_a_country_is_due_at_every_change_of_the_day_until_it_holds_nothing() -> None:
    scope, midnight = a_country(("a", 0, 8, 1)), (NOW // DAY + 1) * DAY
    for day in range(7):
        assert scope.due(midnight + day * DAY - 1) == midnight + day * DAY
        scope.settle(midnight + day * DAY)
        assert scope.row(midnight + day * DAY)["scores"] == [8 / 2 ** (day + 1)]
        assert scope.row(midnight + day * DAY)["bestsellers"] == ["a"]
    scope.settle(midnight + 7 * DAY)
    assert scope.row(midnight + 7 * DAY)["bestsellers"] == []
    assert scope.days == {}
    assert scope.due(midnight + 7 * DAY) is None


def test_what_nobody_touches_falls_out_of_a_country_after_seven_days() -> None:
    scope, later = a_country(("a", 0, 8, 1)), NOW + 30 * DAY
    scope.count("b", later, 8, 1)
    scope.settle(later)
    assert scope.row(later)["bestsellers"] == ["b"]


def test_a_country_remembers_a_bounded_number_of_items_and_the_best_are_right() -> None:
    scope, chance = Scope(), random.Random(1)
    counts = {f"i{n}": chance.randrange(1, 1000) for n in range(3000)}
    for number, (item_id, weight) in enumerate(counts.items()):
        scope.count(item_id, NOW, weight, int(number % 10 == 0))
        scope.settle(NOW)
        assert scope.heat.keys() == scope.days.keys() >= scope.purchases.keys()
        assert len(scope.days) <= CANDIDATES + LISTED
    best = sorted(counts, key=lambda item_id: (-counts[item_id], item_id))[:LISTED]
    assert scope.row(NOW)["items"] == best


def test_a_country_forgets_its_coldest_items_once_it_holds_more_than_it_may() -> None:
    counted = [(f"i{n:03}", 0, n + 1, 0) for n in range(CANDIDATES + LISTED)]
    assert len(a_country(*counted).days) == CANDIDATES + LISTED
    fuller = a_country(*counted, ("new", 0, 999, 0))
    assert set(fuller.days) == {"new", *(f"i{n:03}" for n in range(LISTED + 1, CANDIDATES + LISTED))}


def test_an_event_counts_for_its_country_until_the_end_of_the_seventh_day_after() -> None:
    midnight = (NOW // DAY - 7) * DAY
    assert is_of_country(midnight, NOW)
    assert not is_of_country(midnight - 1, NOW)


AT_HOME = histories(most=25, kinds=("view", "add_to_cart", "purchase"), users=("u1", "u2"), days=12)


@for_all(story=AT_HOME, seed=seeds())
def countries_equal_the_oracle_at_any_time(how: tuple[Any, Any], story: list[Event], seed: int) -> None:
    """Events arrive over days, in any batches, some twice; timers tick now and then; processes die in between."""
    fold, capacity = how
    chance = random.Random(seed)
    committed, clock = Committed(), Clock(NOW)
    arrivals: list[Arrival] = []
    process = Items(committed, clock, 1, fold=fold, capacity=capacity)
    number = 0
    while number < len(story) or chance.random() < 0.8:
        if chance.random() < 0.3:
            process = Items(committed, clock, 1, fold=fold, capacity=capacity)
        some = story[number : number + chance.choice((0, 0, 1, 3, 9))]
        arrivals += [Arrival(event, clock.now) for event in some]
        stream = [written(event) for event in [*story[:number], *some]]
        again = chance.randrange(number + 1)
        process.take(in_batches(0, stream[again:], [], again))
        number += len(some)
        clock.now += chance.choice((0, MINUTE, 7 * HOUR, DAY, 2 * DAY))
        if chance.random() < 0.7:
            process.expire()
    process.expire()
    for code in ("FR", "DE"):
        row = committed.values().get(("scope", f"country:{code}"))
        expected = country(arrivals, code, clock.now)
        assert row == expected if row or any(expected.values()) else row is None
        due = committed.sets.get(DUE.format("items"), {}).get(f"{SCOPE_DUE}country:{code}")
        assert due == ((clock.now // DAY + 1) * DAY if expected["items"] else None)


class CountriesNeverFall(FoldItems):
    def expire(self, now: int) -> Any:
        due = self._due
        self._due = EveryItem(due)
        try:
            return super().expire(now)
        finally:
            self._due = due


class EveryItem(DueSet):
    """What is due, without the countries."""

    def __init__(self, due: DueSet) -> None:
        self.all = due

    def until(self, now: int) -> list[str]:
        return [key for key in self.all.until(now) if not key.startswith(SCOPE_DUE)]

    def commands(self, due: dict[str, int | None]) -> Any:
        return self.all.commands(due)


class TwentyFourHoursLater(FoldItems):
    """Countries are due a day after they were touched, not at the change of the day."""

    def _emit(self, result: Any, touch: Any, now: int) -> None:
        super()._emit(result, touch, now)
        due = {SCOPE_DUE + name: now + DAY if scope.days else None for name, scope in touch.countries.items()}
        result.commands += self._due.commands(due)


@pytest.mark.parametrize("capacity", [10, 1000])
def test_countries_equal_the_oracle_at_any_time(capacity: int) -> None:
    holds(countries_equal_the_oracle_at_any_time, (FoldItems, capacity))


@pytest.mark.parametrize("mutant", [CountriesNeverFall, TwentyFourHoursLater])
def test_a_country_that_does_not_fall_in_time_is_caught(mutant: Any) -> None:
    assert fails(countries_equal_the_oracle_at_any_time, (mutant, 1000))


def test_countries_fall_a_bounded_number_a_tick_and_a_restart_forgets_none() -> None:
    committed, clock = Committed(), Clock()
    codes = [a + b for a in "ABCDEFGHIJKL" for b in "ABCDEFGHIJ"]
    story = [raw(event_id=f"e{n}", item_id="p1", country=code) for n, code in enumerate(codes)]
    Items(committed, clock).take(in_batches(0, story, []))
    clock.now += DAY
    fallen = []
    for _ in range(3):
        before = sum(row.get("scores") == [0.5] for row in committed.values().values())
        Items(committed, clock).expire()
        fallen.append(sum(row.get("scores") == [0.5] for row in committed.values().values()) - before)
    assert fallen == [SCOPES_AT_ONCE, SCOPES_AT_ONCE, len(codes) - 2 * SCOPES_AT_ONCE]
    clock.now += 8 * DAY
    for _ in range(3):
        Items(committed, clock).expire()
    assert not any(row.get("items") for row in committed.values().values())
    assert committed.sets[DUE.format("items")] == {}
    commits_before = committed.commits
    Items(committed, clock).expire()
    assert committed.commits == commits_before


def test_an_event_too_old_for_a_country_does_not_write_its_row() -> None:
    committed = Committed()
    Items(committed, Clock()).take(in_batches(0, [raw(item_id="p1", country="FR", occurred_at=NOW - 8 * DAY)], []))
    assert ("scope", "country:FR") not in committed.values()


@pytest.mark.parametrize(
    ("category", "scopes"),
    [
        (None, ["all"]),
        ("", ["all"]),
        ("Home", ["all", "category:Home"]),
        ("Home/Lamps/Floor", ["all", "category:Home", "category:Home/Lamps", "category:Home/Lamps/Floor"]),
    ],
)
def test_an_item_belongs_to_all_and_to_each_level_of_its_category(category: str | None, scopes: list[str]) -> None:
    assert scopes_of(category) == scopes


@pytest.mark.parametrize(
    ("country", "scope"),
    [
        ("FR", "country:FR"),
        ("fr", "country:FR"),
        (None, None),
        ("", None),
        ("France", None),
        ("F1", None),
        ("ßß", None),
    ],
)
def test_a_country_is_a_code_of_two_letters(country: str | None, scope: str | None) -> None:
    assert country_scope(country) == scope
