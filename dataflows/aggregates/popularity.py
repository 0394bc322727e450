"""What is popular where: a decayed score an item, and the best of a scope.

Score at hour h: the sum over hourly tiles t of weight(t) * 2^(-(h - t) / 24), a view weighing 1, a cart 3, a purchase
8: exponential decay with a half-life of a day. All scores fall alike, so the order of items that nobody touched stays
as it is, and a scope needs to look only at those that were touched (forward decay: Cormode et al., 2009).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log2
from typing import Any, Final

from dataflows.events import DAY, HOUR

WEIGHTS: Final = (1, 3, 8)
"""Of a view, a cart and a purchase, in the order in which an item counts them."""
HALF_LIFE_HOURS: Final = 24
LISTED: Final = 100
CANDIDATES: Final = 500
COUNTRY_DAYS: Final = 7


def trend(hours: Iterable[tuple[int, list[int]]], now: int) -> float:
    """The decayed score of an item at `now` from its hourly tiles, oldest first."""
    current = now // HOUR
    score = 0.0
    for hour, counts in hours:
        weight = sum(count * each for count, each in zip(counts, WEIGHTS, strict=True))
        score += weight * 2.0 ** ((hour - current) / HALF_LIFE_HOURS)
    return score


class Scope:
    """The best items of one scope: their heat (a score that does not fall with time) and their purchases of 7 days."""

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

    def count(self, item_id: str, at: int, weight: int, bought: int, now: int) -> None:
        """Count an event of this scope alone (a country), by day: its items have no tiles of their own elsewhere."""
        day, today = at // DAY, now // DAY
        if day < today - COUNTRY_DAYS:
            return
        days = self.days.setdefault(item_id, {})
        days[day] = days.get(day, 0) + (weight << 20) + bought

    def settle(self, now: int) -> None:
        """Bring the scores of all counted items up to date; what nobody touched for seven days falls out."""
        today = now // DAY
        for item_id in sorted(self.days):
            days = {day: n for day, n in self.days[item_id].items() if day >= today - COUNTRY_DAYS}
            self.days[item_id] = days
            score = sum((n >> 20) * 2.0 ** (day - today) for day, n in sorted(days.items()))
            _place(self.heat, item_id, log2(score) + today if score > 0 else None)
            _place(self.purchases, item_id, sum(n & 0xFFFFF for n in days.values()) or None)
        for item_id in self.days.keys() - self.heat.keys():
            del self.days[item_id]

    def row(self, now: int) -> dict[str, Any]:
        """The features of the scope at `now`."""
        reference = now // HOUR / HALF_LIFE_HOURS
        heat = sorted(self.heat.items(), key=_best_first)[:LISTED]
        bought = sorted(self.purchases.items(), key=_best_first)[:LISTED]
        return {
            "items": [item_id for item_id, _ in heat],
            "scores": [round(2.0 ** (each - reference), 6) for _, each in heat],
            "bestsellers": [item_id for item_id, _ in bought],
            "bestseller_purchases": [number for _, number in bought],
        }


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
