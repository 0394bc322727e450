"""What is popular where: a decayed score an item, and the best of a scope.

Score at hour h: the sum over hourly tiles t of weight(t) * 2^(-(h - t) / 24), a view weighing 1, a cart 3, a purchase
8: exponential decay with a half-life of a day. All scores fall alike, so the order of items that nobody touched stays
as it is, and a scope needs to look only at those that were touched (forward decay: Cormode et al., 2009).
A country counts by day: its score on day d is the sum over days t of weight(t) * 2^(t - d), t at least d - 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from math import inf, log2
from typing import Any, Final

from dataflows.events import DAY, HOUR

WEIGHTS: Final = (1, 3, 8)
"""Of a view, a cart and a purchase, in the order in which an item counts them."""
HALF_LIFE_HOURS: Final = 24
LISTED: Final = 100
CANDIDATES: Final = 500
COUNTRY_DAYS: Final = 7
BOUGHT_BITS: Final = 20
ALL_BOUGHT: Final = (1 << BOUGHT_BITS) - 1
"""A country counts one number an item and day: the weights of its events, and below them how many were purchases."""


def trend(hours: Iterable[tuple[int, Sequence[int]]], now: int) -> float:
    """The decayed score of an item at `now` from its hourly tiles, oldest first."""
    current = now // HOUR
    score = 0.0
    for hour, counts in hours:
        weight = sum(count * each for count, each in zip(counts, WEIGHTS, strict=True))
        score += weight * 2.0 ** ((hour - current) / HALF_LIFE_HOURS)
    return score


class Scope:
    """The best items of one scope: their heat (a score that does not fall with time) and their purchases of 7 days.

    A country is told what happened (`count`, then `settle`) and keeps `days`; its heat is the score of the day. Another
    scope is told where each of its items stands (`place`).
    """

    __slots__ = ("days", "heat", "purchases", "row_at")

    def __init__(self) -> None:
        self.row_at = 0
        self.heat: dict[str, float] = {}
        self.purchases: dict[str, int] = {}
        self.days: dict[str, dict[int, int]] = {}

    def place(self, item_id: str, score: float, purchases: int, now: int) -> None:
        """Say what an item's score and purchases are now; zero takes it out."""
        _place(self.heat, item_id, log2(score) + now // HOUR / HALF_LIFE_HOURS if score > 0 else None)
        _place(self.purchases, item_id, purchases or None)

    def count(self, item_id: str, at: int, weight: int, bought: int) -> None:
        """Count an event of this scope alone (a country), by day: its items have no tiles of their own elsewhere."""
        day = at // DAY
        days = self.days.setdefault(item_id, {})
        days[day] = days.get(day, 0) + (weight << BOUGHT_BITS) + bought

    def settle(self, now: int) -> None:
        """Bring a country up to date: score and purchases of each item, from its days that are not over."""
        today = now // DAY
        oldest = today - COUNTRY_DAYS
        self.heat, self.purchases = {}, {}
        for item_id, days in list(self.days.items()):
            if min(days) < oldest:
                self.days[item_id] = days = {day: counts for day, counts in days.items() if day >= oldest}
                if not days:
                    del self.days[item_id]
                    continue
            score, bought = 0.0, 0
            for day, counts in sorted(days.items()):
                score += (counts >> BOUGHT_BITS) * 2.0 ** (day - today)
                bought += counts & ALL_BOUGHT
            self.heat[item_id] = score
            if bought:
                self.purchases[item_id] = bought
        if len(self.days) > CANDIDATES + LISTED:
            self._forget_the_coldest()

    def due(self, now: int) -> int | None:
        """When a country will change by itself: at the next change of the day (UTC), unless it holds nothing."""
        return (now // DAY + 1) * DAY if self.days else None

    def row(self, now: int) -> dict[str, Any]:
        """The features of the scope at `now`: a country's are of the day it was settled, all others of the hour."""
        scores = _best_scores(self.heat if self.days else _cooled(self.heat, now // HOUR / HALF_LIFE_HOURS))
        bought = sorted(self.purchases.items(), key=_best_first)[:LISTED]
        return {
            "items": [item_id for item_id, _ in scores],
            "scores": [score for _, score in scores],
            "bestsellers": [item_id for item_id, _ in bought],
            "bestseller_purchases": [number for _, number in bought],
        }

    def _forget_the_coldest(self) -> None:
        """Keep the CANDIDATES with the highest score, and the bestsellers."""
        best = sorted(self.heat.items(), key=_best_first)[:CANDIDATES]
        best += sorted(self.purchases.items(), key=_best_first)[:LISTED]
        kept = {item_id for item_id, _ in best}
        for held in (self.days, self.heat, self.purchases):
            for item_id in held.keys() - kept:
                del held[item_id]


def scopes_of(category: str | None) -> list[str]:
    """The scopes of an item: `all`, and each level of its category: of A/B `category:A` and `category:A/B`."""
    scopes = ["all"]
    if category:
        parts = category.split("/")
        scopes += ["category:" + "/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return scopes


def country_scope(country: str | None) -> str | None:
    """The scope of a country: `country:FR` for an ISO 3166 code of two letters, else none."""
    if country and len(country) == 2 and country.isascii() and country.isalpha():
        return f"country:{country.upper()}"
    return None


def is_of_country(at: int, now: int) -> bool:
    """Whether an event at `at` counts in the scope of its country at `now` (both in microseconds)."""
    return at // DAY >= now // DAY - COUNTRY_DAYS


def _cooled(heat: Mapping[str, float], reference: float) -> dict[str, float]:
    """The scores that can be among the best, from their heat."""
    low = -inf
    if len(heat) > LISTED:
        least = 2.0 ** (nlargest(LISTED, heat.values())[-1] - reference) - 2e-6
        low = log2(least) + reference if least > 0 else -inf
    return {item_id: 2.0 ** (each - reference) for item_id, each in heat.items() if each >= low}


def _best_scores(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    """The LISTED items with the highest scores, to 6 digits; those with equal ones by id.

    What is equal to 6 digits is equal: whether an item was placed now or an hour ago must not show.
    """
    return sorted([(item_id, round(score, 6)) for item_id, score in scores.items()], key=_best_first)[:LISTED]


def _best_first(entry: tuple[str, float]) -> tuple[float, str]:
    return -entry[1], entry[0]


def _place(ranking: dict[str, Any], item_id: str, value: float | None) -> None:
    if value is None:
        ranking.pop(item_id, None)
        return
    ranking[item_id] = value
    if len(ranking) > CANDIDATES + LISTED:
        best: Mapping[str, Any] = dict(sorted(ranking.items(), key=_best_first)[:CANDIDATES])
        for each in [each for each in ranking if each not in best]:
            del ranking[each]
