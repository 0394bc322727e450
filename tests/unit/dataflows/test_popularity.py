"""Scopes: their best items are those that sorting all items would give."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given

from dataflows.aggregates.items import pack_scope, unpack_scope
from dataflows.aggregates.popularity import CANDIDATES, LISTED, Scope, country_scope, scopes_of, trend
from dataflows.events import DAY, HOUR
from tests.given import NOW, lists_of
from tests.unit.dataflows.proofs import fails, for_all, holds

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
    holds(order_equals_sorting_all_items, Scope, examples=300)


def test_an_item_cools_down_without_being_touched() -> None:
    holds(an_item_cools_down_without_being_touched, Scope, examples=200)


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
        scope.count(each[0], NOW, 3, 1, NOW)
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


def test_a_country_is_judged_by_days() -> None:
    scope = Scope()
    for item_id, days, weight, bought in (("a", 0, 1, 0), ("b", 1, 8, 1), ("c", 7, 8, 1), ("d", 8, 8, 1)):
        scope.count(item_id, NOW - days * DAY, weight, bought, NOW)
    scope.settle(NOW)
    row = unpack_scope(pack_scope(scope)).row(NOW // DAY * DAY)
    assert row["items"] == ["b", "a", "c"]
    assert row["scores"] == [4.0, 1.0, 0.0625]
    assert (row["bestsellers"], row["bestseller_purchases"]) == (["b", "c"], [1, 1])


def test_what_is_counted_again_falls_out_of_a_country_after_seven_days() -> None:
    scope = Scope()
    scope.count("a", NOW, 8, 1, NOW)
    scope.settle(NOW)
    scope.settle(NOW + 7 * DAY)
    assert scope.row(NOW + 7 * DAY)["bestsellers"] == ["a"]
    scope.settle(NOW + 8 * DAY)
    assert scope.row(NOW + 8 * DAY)["bestsellers"] == []
    assert scope.days == {}


def test_what_nobody_touches_falls_out_of_a_country_after_seven_days() -> None:
    scope = Scope()
    scope.count("a", NOW, 8, 1, NOW)
    scope.settle(NOW)
    later = NOW + 30 * DAY
    scope.count("b", later, 8, 1, later)
    scope.settle(later)
    assert scope.row(later)["bestsellers"] == ["b"]


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
