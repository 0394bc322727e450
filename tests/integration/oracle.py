"""The oracle: what the features of the sample must be, computed from its files alone.

Written from `docs/features.md` and sharing no code with the flows, so that both are wrong together only where the
specification is. The sample has no e-mail, no wish list and no refund: those features are empty here.
"""

from __future__ import annotations

import gzip
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

EVENTS: Final = "ga360_events.parquet"
ITEMS: Final = "ga360_items.csv.gz"
MOST_QUANTITY: Final = 1_000_000
"""An event that names a higher quantity is refused."""

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WINDOWS: Final = {
    "1h": (5 * MINUTE, 12),
    "24h": (HOUR, 24),
    "7d": (HOUR, 7 * 24),
    "30d": (DAY, 30),
    "90d": (DAY, 90),
}
"""Tile size in microseconds, and n, how many tiles a window goes back."""

USER_KINDS: Final = {
    "views": "view",
    "clicks": "click",
    "carts": "add_to_cart",
    "purchases": "purchase",
    "email_opens": "email_open",
    "email_clicks": "email_click",
}
LAST: Final = {
    "last_view_at": "view",
    "last_cart_at": "add_to_cart",
    "last_purchase_at": "purchase",
    "last_email_open_at": "email_open",
    "last_email_click_at": "email_click",
}
ITEM_KINDS: Final = {"views": ("view", 1), "carts": ("add_to_cart", 3), "purchases": ("purchase", 8)}
STRENGTHS: Final = {"view": 1, "click": 1, "add_to_cart": 2, "purchase": 4}

VISIT_PAUSE: Final = 30 * MINUTE
VISIT_ITEMS: Final = 20

Features = dict[str, Any]


def sample_folder() -> Path:
    """Where the sample data lies, if it is there at all."""
    return Path(os.environ.get("INLAY_SAMPLE_DATA") or Path(__file__).parents[3] / "shared" / "data")


def row_times(folder: Path) -> list[int]:
    """The time of each row of the events file in microseconds since 1970, as the file has it."""
    return _micros(pd.read_parquet(folder / EVENTS, columns=["event_time"])["event_time"]).tolist()


class Event(NamedTuple):
    """One row of the file, `at` shifted and in microseconds; None where the file says nothing."""

    at: int
    kind: str
    item: str
    price: float | None
    quantity: float | None
    order: str | None


class _Met(NamedTuple):
    """An item in a visit: its strength, when it was first met there, and when it was last bought."""

    strength: int
    first: int
    bought: int = -1


def _goes(one: _Met, other: _Met) -> int:
    """How much a visit binds the other item to the one: bought after the one was met, it counts 2 at least."""
    return max(min(one.strength, other.strength), 2 if other.bought >= one.first else 0)


def _decayed(count: int, at: int, now: int) -> float:
    """A half-life of 30 days, by days of UTC."""
    return count * 2.0 ** ((at // DAY - now // DAY) / 30)


class Oracle:
    """The expected features of the sample with all times moved by `shift` microseconds.

    Args:
        folder: where the sample data lies.
        shift: microseconds added to every time of the file.
    """

    def __init__(self, folder: Path, shift: int) -> None:
        rows = pd.read_parquet(folder / EVENTS)
        self.received = len(rows)
        rows["quantity"] = _as_written(rows["quantity"])
        rows["price"] = _as_written(rows["price"])
        rows["item_id"] = rows["item_id"].astype(str)
        rows["at"] = _micros(rows["event_time"]) + shift
        self._rows = rows[~(rows["quantity"] > MOST_QUANTITY)]
        with gzip.open(folder / ITEMS, "rt", encoding="utf-8") as file:
            items = pd.read_csv(file, dtype={"item_id": str}, keep_default_na=False)
        self.catalogue_rows = len(items)
        self._categories = dict(zip(items["item_id"], items["category"], strict=True))
        self._prices = {item: float(price) for item, price in zip(items["item_id"], items["price_usd"], strict=True)}

    @property
    def users(self) -> list[str]:
        """Everybody who did something that counts, sorted."""
        return sorted(self._rows["user_id"].unique())

    @property
    def items(self) -> list[str]:
        """Every item of the catalogue and of the events, sorted."""
        return sorted(set(self._rows["item_id"]) | set(self._categories))

    def outcomes(self, now: int) -> dict[str, int]:
        """What must have become of the events of the file (without its catalogue) that arrived at `now`."""
        applied = len(self._counting(now))
        refused = self.received - len(self._rows)
        return {"received": self.received, "applied": applied, "refused": refused, "late": len(self._rows) - applied}

    def user_activity(self, users: Iterable[str], now: int) -> dict[str, Features]:
        """The view `user_activity` of each of `users` at `now` (microseconds)."""
        return {user: self._activity(events, now) for user, events in self._events(users, now).items()}

    def user_items(self, users: Iterable[str], now: int) -> dict[str, Features]:
        """The view `user_items` of each of `users` at `now` (microseconds)."""
        return {
            user: self._recency(events) | _cart(events) | _purchased(events)
            for user, events in self._events(users, now).items()
        }

    def item_stats(self, now: int) -> dict[str, Features]:
        """The view `item_stats` of every item at `now` (microseconds)."""
        found: dict[str, Features] = {item: {"trend": 0.0} for item in self.items}
        rows = self._counting(now)
        for name, (kind, weight) in ITEM_KINDS.items():
            of_kind = rows[rows["event_type"] == kind]
            for window in ("1h", "24h", "7d"):
                counts = of_kind[_inside(of_kind["at"], window, now)].groupby("item_id").size()
                for item, features in found.items():
                    features[f"{name}_{window}"] = int(counts.get(item, 0))
            in_trend = of_kind[_inside(of_kind["at"], "7d", now)]
            ages = now // HOUR - in_trend["at"] // HOUR
            for item, trend in (weight * 2.0 ** (-ages / 24)).groupby(in_trend["item_id"]).sum().items():
                found[str(item)]["trend"] += float(trend)
        return found

    def item_neighbours(self, now: int) -> dict[str, Features]:
        """The view `item_neighbours` of every item at `now` (microseconds), if every row were written then.

        An event that meets no item, such as a checkout, does not prolong a visit; a visit holds VISIT_ITEMS items, the
        first met making room. What an item counted before it made room stays, so a visit's share is added up by event.
        """
        rows = self._counting(now)
        rows = rows[rows["event_type"].isin(list(STRENGTHS))].sort_values(["user_id", "at"], kind="stable")
        own: dict[str, float] = defaultdict(float)
        bound: dict[str, dict[str, float]] = {item: defaultdict(float) for item in self.items}
        visitor, last_at, visit = "", 0, dict[str, _Met]()
        columns = ["user_id", "at", "event_type", "item_id"]
        for user, at, kind, item in rows[columns].itertuples(index=False):
            if user != visitor or at - last_at > VISIT_PAUSE:
                visit = {}
            visitor, last_at = user, at
            before = visit.get(item)
            after = (
                before._replace(strength=max(before.strength, STRENGTHS[kind])) if before else _Met(STRENGTHS[kind], at)
            )
            if kind == "purchase":
                after = after._replace(bought=at)
            own[item] += _decayed(after.strength - (before.strength if before else 0), after.first, now)
            for other in visit.keys() - {item}:
                theirs = visit[other]
                first = min(after.first, theirs.first)
                bound[item][other] += _decayed(
                    _goes(after, theirs) - (_goes(before, theirs) if before else 0), first, now
                )
                bound[other][item] += _decayed(
                    _goes(theirs, after) - (_goes(theirs, before) if before else 0), first, now
                )
            visit[item] = after
            if len(visit) > VISIT_ITEMS:
                del visit[next(iter(visit))]
        found = {}
        for item, bindings in bound.items():
            weights = {other: binding / (own[item] * own[other]) ** 0.5 for other, binding in bindings.items()}
            best = sorted(weights, key=lambda other: (-round(weights[other], 6), other))[:50]
            found[item] = {"neighbours": best, "neighbour_weights": [weights[other] for other in best]}
        return found

    def scopes(self, now: int) -> dict[str, Features]:
        """The views `scope_popular` and `scope_bestsellers` of every scope at `now` (microseconds)."""
        inside: dict[str, list[str]] = defaultdict(list)
        for item in self.items:
            levels = self._categories[item].split("/") if self._categories[item] else []
            for scope in ("all", *("category:" + "/".join(levels[: depth + 1]) for depth in range(len(levels)))):
                inside[scope].append(item)
        stats = self.item_stats(now)
        found = {}
        for scope, items in inside.items():
            scores = {item: trend for item in items if (trend := stats[item]["trend"]) > 0}
            sold = {item: bought for item in items if (bought := stats[item]["purchases_7d"]) > 0}
            popular = sorted(scores, key=lambda item: (-round(scores[item], 6), item))[:100]
            bestsellers = sorted(sold, key=lambda item: (-sold[item], item))[:100]
            found[scope] = {
                "items": popular,
                "scores": [scores[item] for item in popular],
                "bestsellers": bestsellers,
                "bestseller_purchases": [sold[item] for item in bestsellers],
            }
        return found

    def _counting(self, now: int) -> pd.DataFrame:
        """The rows that are not late at `now`."""
        return self._rows[_inside(self._rows["at"], "90d", now)]

    def _events(self, users: Iterable[str], now: int) -> dict[str, list[Event]]:
        """The events of each user in order of time."""
        events: dict[str, list[Event]] = {user: [] for user in users}
        rows = self._counting(now)
        rows = rows[rows["user_id"].isin(list(events))].sort_values("at", kind="stable")
        columns = ["user_id", "at", "event_type", "item_id", "price", "quantity", "order_id"]
        for user, at, *rest in rows[columns].astype(object).itertuples(index=False):
            events[user].append(Event(at, *(None if value != value else value for value in rest)))
        return events

    def _price(self, event: Event) -> float | None:
        return self._prices.get(event.item) if event.price is None else event.price

    def _activity(self, events: list[Event], now: int) -> Features:
        found: Features = {}
        times = {kind: np.array([each.at for each in events if each.kind == kind], dtype=np.int64) for kind in _KINDS}
        for name, kind in USER_KINDS.items():
            for window in ("1h", "24h", "7d", "30d"):
                found[f"{name}_{window}"] = int(_inside(times[kind], window, now).sum())
        purchases = [each for each in events if each.kind == "purchase"]
        for window in ("30d", "90d"):
            bought = [each for each in purchases if _inside(each.at, window, now)]
            found[f"spend_{window}"] = sum((self._price(each) or 0.0) * _or_one(each.quantity) for each in bought)
        # A purchase without an order is an order of its own: its place in the list names it.
        found["orders_90d"] = len({each.order or number for number, each in enumerate(purchases)})
        for name, kind in LAST.items():
            found[name] = int(times[kind].max()) // SECOND if len(times[kind]) else None
        found["first_seen_at"] = events[0].at // SECOND if events else None
        return found

    def _recency(self, events: list[Event]) -> Features:
        newest: dict[str, Event] = {each.item: each for each in events if each.kind == "view"}
        recent = sorted(newest.values(), key=lambda each: (-each.at, each.item))[:30]
        weights: dict[str, float] = defaultdict(float)
        for each in recent:
            if category := self._categories.get(each.item):
                weights[category] += 2.0 ** (-(recent[0].at - each.at) / (7 * DAY))
        shares = {category: weight / sum(weights.values()) for category, weight in weights.items()}
        best = sorted(shares, key=lambda category: (-weights[category], category))[:5]
        prices = [price for each in recent if (price := self._price(each)) is not None]
        return {
            "recent_items": [each.item for each in recent],
            "recent_at": [each.at // SECOND for each in recent],
            "wishlist_items": [],
            "top_categories": best,
            "top_category_weights": [shares[category] for category in best],
            "typical_price": median(prices) if prices else None,
        }


def _cart(events: list[Event]) -> Features:
    changes = [each for each in events if each.kind in ("add_to_cart", "remove_from_cart", "purchase")]
    held: dict[str, float] = defaultdict(float)
    added: dict[str, int] = {}
    for each in sorted(changes, key=lambda each: (each.at, each.kind != "add_to_cart")):
        if each.kind == "add_to_cart":
            held[each.item] += _or_one(each.quantity)
            added[each.item] = each.at
        elif each.kind == "purchase" or each.quantity is None:
            held[each.item] = 0
        else:
            held[each.item] = max(0, held[each.item] - each.quantity)
    inside = [item for item, quantity in held.items() if quantity > 0]
    return {
        "cart_items": sorted(inside, key=lambda item: (-added[item], item))[:50],
        "cart_updated_at": changes[-1].at // SECOND if changes else None,
    }


def _purchased(events: list[Event]) -> Features:
    newest = {each.item: each.at for each in events if each.kind == "purchase"}
    return {"purchased_items": sorted(newest, key=lambda item: (-newest[item], item))[:200]}


_KINDS: Final = frozenset(USER_KINDS.values())


def _inside(at: Any, window: str, now: int) -> Any:
    """Whether a time, or each of an array of times, counts in the window at `now`."""
    size, tiles = WINDOWS[window]
    return at // size >= now // size - tiles


def _or_one(quantity: float | None) -> float:
    return 1.0 if quantity is None else quantity


def _micros(times: pd.Series) -> pd.Series:
    return times.astype("datetime64[us, UTC]").astype("int64")


def _as_written(singles: pd.Series) -> pd.Series:
    """Numbers of single precision as the shortest decimal that means them: 16.99, not 16.989999771118164."""
    decimals = {single: float(str(np.float32(single))) for single in singles.dropna().unique()}
    return singles.map(decimals).astype(float)
