"""What is popular where, held against the events: the scores and the purchases of the items that a scope lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from expectations.audits.comparison import Finding, differing
from expectations.audits.online import OnlineRow
from expectations.audits.recompute import Recompute

LISTED: Final = 100
"""Items that a scope lists."""
REMEMBERED: Final = 600
"""Items that a scope remembers: of a country with more of them some have lost their past, and it is not judged."""
ROUNDED: Final = 1e-4
LEAST: Final = 1e-3
"""Scores below it are about to be nothing."""


class Expected(NamedTuple):
    """By item, the score and the purchases in a scope."""

    scores: dict[str, float]
    purchases: dict[str, float]


class ReadsRows(Protocol):
    """What is online."""

    def rows(self, entity: str, keys: Sequence[str]) -> Mapping[str, OnlineRow]:
        """The rows of some entities."""


def expected_scopes(lake: Recompute, now: int) -> dict[str, Expected]:
    """What each scope would list at `now` (microseconds) if it listed everything."""
    stats, catalogue = lake.item_rows(lake.items(), now)
    trends = lake.trends()
    found: defaultdict[str, Expected] = defaultdict(lambda: Expected({}, {}))
    for item, counts in stats.items():
        levels = (catalogue.get(item, {}).get("category") or "").split("/")
        inner = ["category:" + "/".join(levels[:depth]) for depth in range(1, len(levels) + 1)] if levels[0] else []
        for scope in ("all", *inner):
            if item in trends:
                found[scope].scores[item] = round(trends[item], 6)
            if counts["purchases_7d"]:
                found[scope].purchases[item] = counts["purchases_7d"]
    for scope, item, score, bought in lake.countries():
        found[scope].scores[item] = score
        if bought:
            found[scope].purchases[item] = bought
    return {
        scope: each
        for scope, each in found.items()
        if not (scope.startswith("country:") and len(each.scores) > REMEMBERED)
    }


def scopes(lake: Recompute, online: ReadsRows, now: int) -> list[Finding]:
    """Where a scope has other scores or purchases than the events make, or lacks an item that would stand in it."""
    expected = expected_scopes(lake, now)
    rows = online.rows("scope", sorted(expected))
    findings: list[Finding] = []
    for scope, each in expected.items():
        row = rows.get(scope)
        if row is None:
            if max(each.scores.values(), default=0.0) > LEAST:
                findings.append(Finding("missing", "scope", scope, "", None, now))
            continue
        findings += _listed(scope, "score of ", row.values, ("items", "scores"), each.scores, ROUNDED)
        names = ("bestsellers", "bestseller_purchases")
        findings += _listed(scope, "purchases of ", row.values, names, each.purchases, 0.0)
    return findings


def _listed(
    scope: str, what: str, row: Mapping[str, Any], names: tuple[str, str], expected: Mapping[str, float], slack: float
) -> list[Finding]:
    items, numbers = ((row.get(name) or []) for name in names)
    shown = dict(zip(items, numbers, strict=False))
    wanted = {what + item: expected.get(item) for item in shown}
    found = differing("scope", scope, {what + item: number for item, number in shown.items()}, wanted)
    least = min(shown.values(), default=0.0) if len(shown) >= LISTED else 0.0
    best = {item: number for item, number in expected.items() if number > least + slack and item not in shown}
    return found + [Finding("mismatch", "scope", scope, what + item, None, number) for item, number in best.items()]
