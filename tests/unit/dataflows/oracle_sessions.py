"""The oracle of sessions: what is told of a user, found the long way from `docs/features.md`, sharing no code.

It sorts all events, cuts them where nothing happened for longer than 30 minutes, and goes through the readings of the
row one by one, looking at everything again at each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

PAUSE: Final = 1800 * 10**6
DAY: Final = 86_400 * 10**6
PRESENT: Final = (
    "view", "click", "search", "add_to_cart", "remove_from_cart", "add_to_wishlist", "remove_from_wishlist",
    "checkout", "purchase", "sign_up", "email_click",
)  # fmt: skip
"""What somebody does who is there."""


class Reading(NamedTuple):
    """A reading of the row: when, and how many of the events had arrived."""

    now: int
    arrived: int


def visits(events: Sequence[Any]) -> list[list[Any]]:
    """The sessions of a user, each with its events in order of time."""
    found: list[list[Any]] = []
    for event in sorted(events, key=lambda event: event.occurred_at):
        if event.type in PRESENT:
            if not found or event.occurred_at - found[-1][-1].occurred_at > PAUSE:
                found.append([])
            found[-1].append(event)
    return found


def items_of(event: Any) -> list[str]:
    """The items an event is about."""
    if event.items:
        return [line.item_id for line in event.items]
    return [] if event.item_id is None else [event.item_id]


def viewed(events: Sequence[Any]) -> list[str]:
    """Distinct items viewed, newest view first, then by id, at most 30."""
    looks = {(event.occurred_at, item) for event in events if event.type == "view" for item in items_of(event)}
    newest = {item: max(at for at, each in looks if each == item) for _, item in looks}
    return sorted(newest, key=lambda item: (-newest[item], item))[:30]


def number(events: Sequence[Any], kind: str) -> int:
    """How many are of a type."""
    return len([event for event in events if event.type == kind])


def ending(events: Sequence[Any]) -> dict[str, Any]:
    """What is told of a session that is over."""
    return {
        "started_at": events[0].occurred_at,
        "ended_at": events[-1].occurred_at,
        "pages": number(events, "view"),
        "carts": number(events, "add_to_cart"),
        "purchases": number(events, "purchase"),
        "items": viewed(events),
    }


def cart(events: Sequence[Any]) -> tuple[list[str], int | None]:
    """What is in the cart, last added first, and its newest change: each addition is one piece, each removal is all."""
    held: dict[str, int] = {}
    changed = None
    order = {"add_to_cart": 0, "remove_from_cart": 1, "purchase": 1}
    changes = [event for event in events if event.type in order and items_of(event)]
    for event in sorted(changes, key=lambda event: (event.occurred_at, order[event.type])):
        changed = event.occurred_at
        for item in items_of(event):
            if event.type == "add_to_cart":
                held[item] = event.occurred_at
            else:
                held.pop(item, None)
    return sorted(held, key=lambda item: (-held[item], item)), changed


def told(events: Sequence[Any], readings: Sequence[Reading], idle: int) -> list[tuple[str, int, dict[str, Any]]]:
    """Everything told, as type, moment and properties: of events that arrived in order, as a clock would bring them."""
    found: list[tuple[str, int, dict[str, Any]]] = []
    done: list[tuple[str, int]] = []

    def tell(now: int, kind: str, at: int, properties: dict[str, Any]) -> None:
        if (kind, at) not in done:
            done.append((kind, at))
            if now - at <= DAY:
                found.append((kind, at, properties))

    for now, arrived in readings:
        known = events[:arrived]
        sessions = visits(known)
        for place, session in enumerate(sessions):
            start, end = session[0].occurred_at, session[-1].occurred_at
            tell(now, "session_started", start, {"started_at": start})
            if place + 1 < len(sessions) or now > end + PAUSE:
                whole = ending(session)
                tell(now, "session_ended", end + PAUSE, whole)
                if whole["items"] and not whole["carts"] and not whole["purchases"]:
                    browse = {name: whole[name] for name in ("started_at", "ended_at", "items")}
                    tell(now, "browse_abandoned", end + PAUSE, browse)
        items, changed = cart(known)
        bought = max((event.occurred_at for event in known if event.type == "purchase"), default=-1)
        if items and changed is not None and changed > bought and now >= changed + idle:
            tell(now, "cart_abandoned", changed + idle, {"items": items, "updated_at": changed})
    return found


def due(events: Sequence[Any], now: int, idle: int) -> int | None:
    """When time alone may bring more, seen from `now`: it takes the set of events to tell, and not their order."""
    times = [event.occurred_at + PAUSE + 1 for event in events if event.type in PRESENT]
    items, changed = cart(events)
    bought = max((event.occurred_at for event in events if event.type == "purchase"), default=-1)
    left = [changed + idle] if items and changed is not None and changed > bought else []
    return min((at for at in (*sorted(times)[-1:], *left) if at > now), default=None)
