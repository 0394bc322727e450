"""The events that the benchmarks feed: the real sample where it is present, else made-up visits of the same shape."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any, Final

from dataflows.aggregates.effects import Fact
from dataflows.events import DAY, HOUR, MINUTE, SECOND, Event
from dataflows.mapping import load_mapping
from dataflows.replay import read_events
from tests.integration.stand import ROOT

SAMPLE: Final = Path(os.environ.get("INLAY_SAMPLE_DATA") or ROOT.parent / "shared" / "data")
MAPS: Final = ROOT / "tests" / "maps"
USERS: Final = 25_000
ITEMS: Final = 370
DAYS: Final = 75
FIRST_DAY: Final = 17_000 * DAY
# The shares that these types have in the real sample.
SHARES: Final = {"click": 38, "view": 31, "checkout": 18, "add_to_cart": 9, "purchase": 2, "remove_from_cart": 1}


def is_present() -> bool:
    """Whether the real sample is there."""
    return (SAMPLE / "ga360_events.parquet").exists()


def shop_events() -> list[dict[str, Any]]:
    """Events of a shop over eleven weeks, in order of time, as JSON objects with times in microseconds."""
    if is_present():
        return read_events(SAMPLE / "ga360_events.parquet", load_mapping(MAPS / "ga360_events.yaml"))
    return _made_up(random.Random(1))


def shop_facts() -> dict[str, Fact]:
    """What the catalogue says of the items in those events."""
    if is_present():
        items = read_events(SAMPLE / "ga360_items.csv.gz", load_mapping(MAPS / "ga360_items.yaml"))
        return {item["item_id"]: Fact(item.get("category"), item.get("price")) for item in items}
    return {f"item-{number}": Fact(f"A/{number % 7}", number / 10) for number in range(ITEMS)}


def as_event(fields: dict[str, Any]) -> Event:
    """The event of a JSON object of `shop_events`."""
    return Event(**fields)


def _made_up(chance: random.Random) -> list[dict[str, Any]]:
    """One or two visits a user, some fourteen events together, a few seconds apart."""
    types, weights = tuple(SHARES), tuple(SHARES.values())
    events: list[dict[str, Any]] = []
    for user in range(USERS):
        for _ in range(chance.choice((1, 1, 1, 2))):
            at = FIRST_DAY + chance.randrange(DAYS * DAY - HOUR)
            for kind in chance.choices(types, weights, k=chance.randint(2, 20)):
                at += chance.randrange(SECOND, MINUTE)
                item = chance.randrange(ITEMS)
                events.append(
                    {
                        "event_id": f"e{len(events)}", "type": kind, "occurred_at": at, "user_id": f"user-{user}",
                        "item_id": f"item-{item}", "price": item / 10, "quantity": 1.0,
                    }
                )  # fmt: skip
    return sorted(events, key=lambda event: event["occurred_at"])
