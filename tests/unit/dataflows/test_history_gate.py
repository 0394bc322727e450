"""History is looked at before it is counted: what a live flow would hold, a backfill does not begin."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import pytest

from dataflows.aggregates.effects import UNKNOWN, Fact
from dataflows.event_gate import FEW, SETTLED
from dataflows.events import DAY, HOUR
from dataflows.history_gate import HistoryGate, Told, Unlikely
from expectations.verdict import load_tables
from tests.given import NOW

SKEW = 300_000_000


def gate(online: dict[str, Fact] | None = None) -> HistoryGate:
    def look_up(item_ids: Collection[str]) -> dict[str, Fact]:
        return {item_id: (online or {}).get(item_id, UNKNOWN) for item_id in item_ids}

    return HistoryGate(load_tables("events"), load_tables("catalogue"), look_up, NOW, SKEW)


def views(number: int, price: Callable[[int], Any], first: int = 0, item: str = "p") -> list[Told]:
    return [
        {"event_id": f"e{n}", "type": "view", "occurred_at": NOW - 300 * DAY + n * 1_000_000, "user_id": f"u{n % 9}",
         "item_id": f"{item}{n % 20}", "price": price(n)}
        for n in range(first, first + number)
    ]  # fmt: skip


def items(number: int, price: Callable[[int], float], at: int = NOW - 300 * DAY - HOUR) -> list[Told]:
    return [
        {"event_id": f"i{n} {at}", "type": "item", "occurred_at": at, "item_id": f"p{n}", "title": f"Thing {n}",
         "price": price(n)}
        for n in range(number)
    ]  # fmt: skip


def about(n: int) -> float:
    return 10.0 + n % 20


def test_what_is_right_is_taken() -> None:
    looked = gate()
    looked.look_at("a", [items(20, about), views(500, about), views(500, about, 500)])
    looked.look_at("b", [items(20, lambda n: 0.8 * about(n), NOW - HOUR), []])
    refused: list[Told] = [{"nonsense": 1}, *({**each, "price": -1} for each in items(60, about))]
    looked.look_at("c", [views(60, lambda n: None), refused])


@pytest.mark.parametrize("place", ["this file", "a file before", "online"])
def test_prices_in_cents_are_found_by_what_was_said_of_the_items_before(place: str) -> None:
    looked = gate({f"p{n}": Fact("A", about(n)) for n in range(20)} if place == "online" else None)
    if place == "a file before":
        looked.look_at("items.csv", [items(20, about)])
    chunks = [items(20, about)] if place == "this file" else []
    cents = [*chunks, views(400, about), views(400, lambda n: 100 * about(n), 400)]
    first = 421 if place == "this file" else 401
    with pytest.raises(
        Unlikely, match=r"^old\.csv is not taken, since .*_median_.*\(price_ratio\): 100 of 400"
    ) as found:
        looked.look_at("old.csv", cents)
    assert f"in events {first} to {first + 399} of it, in order of time. Nothing of it was counted" in str(found.value)


SETTLING: Final = [items(20, about), *(views(FEW, about, n * FEW) for n in range(SETTLED + 1))]


@pytest.mark.parametrize(
    ("chunks", "rule"),
    [
        ([items(60, about), items(60, lambda n: 100 * about(n), NOW - DAY)], "price_ratio"),
        ([[{**each, "title": "{{ title }}"} for each in items(400, about)]], r"unique.*title"),
        ([[{**each, "occurred_at": NOW - DAY} for each in views(400, about)]], "old_time"),
        ([*SETTLING, views(FEW, about, 0, "u")], "unknown_item"),
    ],
    ids=["a feed in cents", "a template for every title", "a clock that stood still", "ids of something else"],
)
def test_what_a_live_flow_holds_a_backfill_does_not_begin(chunks: list[list[Told]], rule: str) -> None:
    with pytest.raises(Unlikely, match=rule):
        gate().look_at("old.csv", chunks)
