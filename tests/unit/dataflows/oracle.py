"""The oracle: what the features are, computed the long way from `docs/features.md`, sharing no code with the flows.

It looks at all events again for every number. Where the page leaves something open (a tie), it says so here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import sqrt
from statistics import median
from typing import Any, Final, NamedTuple

SECOND: Final = 10**6
MINUTE: Final = 60 * SECOND
HOUR: Final = 3600 * SECOND
DAY: Final = 86_400 * SECOND

WINDOWS: Final = {
    "1h": (5 * MINUTE, 12),
    "24h": (HOUR, 24),
    "7d": (HOUR, 168),
    "30d": (DAY, 30),
    "90d": (DAY, 90),
}
KINDS: Final = {
    "views": "view",
    "clicks": "click",
    "carts": "add_to_cart",
    "purchases": "purchase",
    "email_opens": "email_open",
    "email_clicks": "email_click",
}
NEVER_LATE: Final = ("item", "sign_up", "identify", "profile", "consent", "email_complaint", "email_unsubscribe")
DESCRIBING: Final = ("sign_up", "identify", "profile", "consent")
TEXTS: Final = ("country", "locale", "timezone", "first_name")
FLAGS: Final = ("email_allowed", "profile_allowed")


class Arrival(NamedTuple):
    """An event, and when it reached the flow."""

    event: Any
    at: int


class Fact(NamedTuple):
    """What the catalogue says of an item."""

    category: str | None
    price: float | None


def within(at: int, now: int, window: str) -> bool:
    """Whether an event at `at` counts at `now`: floor(t/s) >= floor(now/s) - n."""
    size, tiles = WINDOWS[window]
    return at // size >= now // size - tiles


def counted(arrivals: Iterable[Arrival]) -> list[Any]:
    """The events that count: each id once, and none that was late when it arrived."""
    found: dict[str, Any] = {}
    for event, arrived in arrivals:
        late = event.occurred_at // DAY < arrived // DAY - 90
        if not (late and event.type not in NEVER_LATE):
            found.setdefault(event.event_id, event)
    return list(found.values())


def by_machine(event: Any) -> bool:
    """Whether a machine opened or clicked, which nothing comes of."""
    return event.type in ("email_open", "email_click") and event.properties.get("machine") is True


def lines_of(event: Any) -> list[tuple[str, float | None, float | None]]:
    """Item, quantity and price of each line."""
    if event.items:
        return [(line.item_id, line.quantity, line.price) for line in event.items]
    return [] if event.item_id is None else [(event.item_id, event.quantity, event.price)]


def user_row(arrivals: Iterable[Arrival], facts: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Every feature of a user at `now`."""
    events = [event for event in counted(arrivals) if not by_machine(event)]
    of: defaultdict[str, list[Any]] = defaultdict(list)
    for event in events:
        of[event.type].append(event)
    row: dict[str, Any] = {}
    for kind, type_ in KINDS.items():
        for window in ("1h", "24h", "7d", "30d"):
            row[f"{kind}_{window}"] = sum(within(event.occurred_at, now, window) for event in of[type_])
    row |= _spending(of["purchase"], of["refund"], facts, now)
    for name, type_ in (("view", "view"), ("cart", "add_to_cart"), ("purchase", "purchase"),
                        ("email_open", "email_open"), ("email_click", "email_click")):  # fmt: skip
        row[f"last_{name}_at"] = _seconds(max((event.occurred_at for event in of[type_]), default=None))
    row["first_seen_at"] = _seconds(min((event.occurred_at for event in events), default=None))
    row |= _recent(of["view"], facts)
    row |= _cart(of["add_to_cart"], of["remove_from_cart"], of["purchase"])
    row["wishlist_items"] = _kept(of["add_to_wishlist"], of["remove_from_wishlist"])[:100]
    undone = {refund.order_id for refund in of["refund"] if _is_whole(refund)}
    row["purchased_items"] = _kept(of["purchase"], of["refund"], undone)[:200]
    return row | _profile(events)


def _spending(purchases: list[Any], refunds: list[Any], facts: Mapping[str, Any], now: int) -> dict[str, Any]:
    orders: defaultdict[Any, list[Any]] = defaultdict(list)
    for purchase in purchases:
        orders[purchase.order_id or ("alone", purchase.event_id)].append(purchase)
    row: dict[str, Any] = {"orders_90d": 0}
    for window in ("30d", "90d"):
        whole = Fraction(0)
        for order, bought in orders.items():
            given_back = [refund for refund in refunds if refund.order_id == order]
            inside = [purchase for purchase in bought if within(purchase.occurred_at, now, window)]
            if any(map(_is_whole, given_back)) or not inside:
                continue
            spent = sum((_worth(purchase, facts) for purchase in inside), Fraction(0))
            back = sum((_worth(refund, facts) for refund in given_back), Fraction(0))
            whole += max(Fraction(0), spent - back)
            row["orders_90d"] += window == "90d"
        row[f"spend_{window}"] = float(whole)
    return row


def _is_whole(refund: Any) -> bool:
    """A refund that names an order and neither lines nor an amount gives all of it back."""
    return refund.order_id is not None and not lines_of(refund) and refund.price is None


def _worth(event: Any, facts: Mapping[str, Any]) -> Fraction:
    whole = Fraction(0)
    for item_id, quantity, price in lines_of(event):
        known = facts[item_id].price if price is None and item_id in facts else price
        whole += Fraction(str(known or 0)) * Fraction(str(1 if quantity is None else quantity))
    if not lines_of(event) and event.price is not None:
        whole = Fraction(str(event.price))
    return whole


def _recent(views: list[Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    newest: dict[str, tuple[int, float, str]] = {}
    for event in views:
        for item_id, _, price in lines_of(event):
            fact = facts.get(item_id, Fact(None, None))
            known = fact.price if price is None else price
            # Of views of an item at one moment, the one with the higher price, then the later category.
            view = (event.occurred_at, -1.0 if known is None else known, event.category or fact.category or "")
            newest[item_id] = max(newest.get(item_id, view), view)
    recent = sorted(newest, key=lambda item_id: (-newest[item_id][0], item_id))[:30]
    shares: defaultdict[str, float] = defaultdict(float)
    for item_id in recent:
        at, _, category = newest[item_id]
        if category:
            shares[category] += 2 ** (-(newest[recent[0]][0] - at) / (7 * DAY))
    best = sorted(shares, key=lambda category: (-shares[category], category))[:5]
    prices = [newest[item_id][1] for item_id in recent if newest[item_id][1] >= 0]
    return {
        "recent_items": recent,
        "recent_at": [newest[item_id][0] // SECOND for item_id in recent],
        "top_categories": best,
        "top_category_weights": [round(shares[category] / sum(shares.values()), 6) for category in best],
        "typical_price": round(median(prices), 4) if prices else None,
    }


def _cart(added: list[Any], removed: list[Any], bought: list[Any]) -> dict[str, Any]:
    changes: defaultdict[str, list[tuple[int, int, Any]]] = defaultdict(list)
    for event in added:
        for item_id, quantity, _ in lines_of(event):
            changes[item_id].append((event.occurred_at, 0, 1 if quantity is None else quantity))
    for event in removed + bought:
        for item_id, quantity, _ in lines_of(event):
            takes_all = event.type == "purchase" or quantity is None
            changes[item_id].append((event.occurred_at, 1, 10**9 if takes_all else quantity))
    held = []
    for item_id, all_of_it in changes.items():
        quantity, last = 0.0, 0
        for at, takes, amount in sorted(all_of_it):
            quantity = max(0.0, quantity - amount) if takes else quantity + amount
            last = last if takes else at
        if quantity > 0:
            held.append((-last, item_id))
    newest = max((at for all_of_it in changes.values() for at, _, _ in all_of_it), default=None)
    return {"cart_items": [item_id for _, item_id in sorted(held)][:50], "cart_updated_at": _seconds(newest)}


def _kept(kept: list[Any], given_up: list[Any], undone: Iterable[str] = ()) -> list[str]:
    """Items kept and not given up since (at one moment: given up), newest first.

    Of an item in several orders it is its newest purchase that may have been undone.
    """
    newest: dict[str, tuple[int, bool]] = {}
    for event in kept:
        for item_id, _, _ in lines_of(event):
            moment = (event.occurred_at, event.order_id in undone)
            newest[item_id] = max(newest.get(item_id, moment), moment)
    gone = {
        item_id
        for event in given_up
        for item_id, _, _ in lines_of(event)
        if item_id in newest and event.occurred_at >= newest[item_id][0]
    }
    held = [(-at, item_id) for item_id, (at, undone_) in newest.items() if item_id not in gone and not undone_]
    return [item_id for _, item_id in sorted(held)]


def _profile(events: list[Any]) -> dict[str, Any]:
    """The newest word of each name; of two at one moment, the one that sorts last as text."""
    said: defaultdict[str, list[tuple[int, str, Any]]] = defaultdict(list)
    for event in events:
        if event.country:
            said["country"].append((event.occurred_at, event.country, event.country))
        for words in (event.traits, event.properties) if event.type in DESCRIBING else ():
            for name, value in words.items():
                if (name in TEXTS and isinstance(value, str) and value) or (name in FLAGS and isinstance(value, bool)):
                    said[name].append((event.occurred_at, str(value), value))
        if event.type in ("email_complaint", "email_unsubscribe"):
            said["email_allowed"].append((event.occurred_at, "False", False))
    return {name: max(said[name])[2] if said[name] else None for name in (*TEXTS, *FLAGS)}


def item_stats(arrivals: Iterable[Arrival], item_id: str, now: int) -> dict[str, Any]:
    """The windows and the trend of an item at `now`."""
    about = [event for event in counted(arrivals) if any(line[0] == item_id for line in lines_of(event))]
    row: dict[str, Any] = {}
    score = 0.0
    for kind, weight in (("views", 1), ("carts", 3), ("purchases", 8)):
        times = [event.occurred_at for event in about if event.type == KINDS[kind]]
        for window in ("1h", "24h", "7d"):
            row[f"{kind}_{window}"] = sum(within(at, now, window) for at in times)
        for at in times:
            if within(at, now, "7d"):
                score += weight * 2 ** (-(now // HOUR - at // HOUR) / 24)
    return row | {"trend": score}


def moments(events: Sequence[Any]) -> dict[str, int | None]:
    """When the price of an item fell last, and when it came back into stock, from what was said of it in order."""
    row: dict[str, int | None] = {"price_dropped_at": None, "restocked_at": None}
    price, in_stock = None, None
    for event in events:
        if event.price is not None:
            if price is not None and event.price < price:
                row["price_dropped_at"] = _seconds(event.occurred_at)
            price = event.price
        if event.in_stock is not None:
            if event.in_stock and in_stock is False:
                row["restocked_at"] = _seconds(event.occurred_at)
            in_stock = event.in_stock
    return row


def neighbours(events: Sequence[Any]) -> dict[str, dict[str, float]]:
    """What goes with what and how strongly, from events in order of time: the decayed cosine over visits."""
    strength_of = {"view": 1, "click": 1, "add_to_cart": 2, "purchase": 4}
    visits: list[dict[str, list[Any]]] = []
    current: dict[str, tuple[int, dict[str, list[Any]]]] = {}
    for event in counted(Arrival(event, event.occurred_at) for event in events):
        if event.type not in strength_of or not lines_of(event):
            continue  # only where an item is met does a visit go on
        who = event.user_id or event.anonymous_id
        last, visit = current.get(who, (0, {}))
        if event.occurred_at - last > 30 * MINUTE:
            visit = {}
            visits.append(visit)
        current[who] = (event.occurred_at, visit)
        for item_id, _, _ in lines_of(event):
            visit.setdefault(item_id, []).append(event)
    newest = max((event.occurred_at // DAY for event in events), default=0)
    own: defaultdict[str, float] = defaultdict(float)
    found: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    for visit in visits:
        strength = {item_id: max(strength_of[event.type] for event in about) for item_id, about in visit.items()}
        first = {item_id: min(event.occurred_at for event in about) for item_id, about in visit.items()}
        for one in visit:
            own[one] += strength[one] * 2 ** ((first[one] // DAY - newest) / 30)
            for other in visit.keys() - {one}:
                led_to = any(each.type == "purchase" and each.occurred_at >= first[one] for each in visit[other])
                bound = max(min(strength[one], strength[other]), 2 if led_to else 0)
                found[one][other] += bound * 2 ** ((min(first[one], first[other]) // DAY - newest) / 30)
    return {
        one: {other: bound / sqrt(own[one] * own[other]) for other, bound in found[one].items()} for one in sorted(own)
    }


def country(arrivals: Iterable[Arrival], code: str, now: int) -> dict[str, Any]:
    """The scope of a country at `now`."""
    scores: defaultdict[str, float] = defaultdict(float)
    sold: defaultdict[str, int] = defaultdict(int)
    for event in counted(arrivals):
        weight = {"view": 1, "add_to_cart": 3, "purchase": 8}.get(event.type, 0)
        age = now // DAY - event.occurred_at // DAY
        if weight and age <= 7 and (event.country or "").upper() == code:
            for item_id in {item_id for item_id, _, _ in lines_of(event)}:
                scores[item_id] += weight * 2**-age
                sold[item_id] += weight == 8
    popular = sorted(scores, key=lambda item_id: (-round(scores[item_id], 6), item_id))[:100]
    bestsellers = sorted((item_id for item_id in sold if sold[item_id]), key=lambda each: (-sold[each], each))[:100]
    return {
        "items": popular,
        "scores": [round(scores[item_id], 6) for item_id in popular],
        "bestsellers": bestsellers,
        "bestseller_purchases": [sold[item_id] for item_id in bestsellers],
    }


def _seconds(micros: int | None) -> int | None:
    return None if micros is None else micros // SECOND
