"""What an event of each type does to a user: what it is counted as, which moment it moves, and what it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from dataflows.aggregates.baskets import EVERYTHING
from dataflows.aggregates.orders import MONEY
from dataflows.aggregates.seen import hash_id
from dataflows.events import EVENT_TYPES, Event

if TYPE_CHECKING:
    from dataflows.aggregates.log import Entry
    from dataflows.aggregates.people import User

    Told: TypeAlias = Event | Entry
    """What is folded: an event, or what a log keeps of one."""

COUNTED: Final[Mapping[str, int]] = {
    "view": 0, "click": 1, "add_to_cart": 2, "purchase": 3, "email_open": 4, "email_click": 5,
}  # fmt: skip
LAST: Final[Mapping[str, str]] = {
    "view": "last_view_at", "add_to_cart": "last_cart_at", "purchase": "last_purchase_at",
    "email_open": "last_email_open_at", "email_click": "last_email_click_at",
}  # fmt: skip
TRAITS: Final[Mapping[str, type]] = {"country": str, "locale": str, "timezone": str, "first_name": str}
CONSENTS: Final = ("email_allowed", "profile_allowed")


class Fact(NamedTuple):
    """What the catalogue says of an item, as far as a user's features need it."""

    category: str | None
    price: float | None


UNKNOWN: Final = Fact(None, None)


def _view(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    for line in event.lines():
        fact = facts.get(line.item_id, UNKNOWN)
        price = fact.price if line.price is None else line.price
        user.recent.touch(line.item_id, at, price, event.category or fact.category)


def _add_to_cart(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    for line in event.lines():
        user.cart.change(line.item_id, at, line.quantity or 1.0)


def _remove_from_cart(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    for line in event.lines():
        user.cart.change(line.item_id, at, -line.quantity if line.quantity else EVERYTHING)


def _add_to_wishlist(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    for line in event.lines():
        user.wishes.keep(line.item_id, at)


def _remove_from_wishlist(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    for line in event.lines():
        user.wishes.give_up(line.item_id, at)


def _purchase(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    order = hash_id(event.order_id or event.event_id)
    lines = event.lines()
    amount = 0
    for line in lines:
        price = facts.get(line.item_id, UNKNOWN).price if line.price is None else line.price
        amount += round((price or 0.0) * (line.quantity or 1.0) * MONEY)
        user.cart.change(line.item_id, at, EVERYTHING)
        user.bought.keep(line.item_id, at, order)
    if not lines and event.price is not None:
        amount = round(event.price * (event.quantity or 1.0) * MONEY)
    user.orders.buy(order, at, amount)


def _refund(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    lines = event.lines()
    for line in lines:
        user.bought.give_up(line.item_id, at)
    if event.order_id is None:
        return
    amount: int | None = None
    if lines:
        prices = [(facts.get(x.item_id, UNKNOWN).price if x.price is None else x.price) for x in lines]
        amount = sum(round((p or 0.0) * (x.quantity or 1.0) * MONEY) for p, x in zip(prices, lines, strict=True))
    elif event.price is not None:
        amount = round(event.price * MONEY)
    user.orders.refund(hash_id(event.order_id), amount)


def _describe(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    for said in (event.properties, event.traits):
        for name, kind in TRAITS.items():
            if isinstance(said.get(name), kind) and said[name]:
                user.learn(name, said[name][:200], at)
        for name in CONSENTS:
            if isinstance(said.get(name), bool):
                user.learn(name, said[name], at)


def _withdraw(user: User, event: Told, at: int, facts: Mapping[str, Fact]) -> None:
    user.learn("email_allowed", False, at)


SAYING: Final = frozenset({"sign_up", "identify", "profile", "consent", "email_complaint", "email_unsubscribe"})
"""Types that may say something of consent."""
_FOLDS: Final = {
    "view": _view,
    "add_to_cart": _add_to_cart,
    "remove_from_cart": _remove_from_cart,
    "add_to_wishlist": _add_to_wishlist,
    "remove_from_wishlist": _remove_from_wishlist,
    "purchase": _purchase,
    "refund": _refund,
    "sign_up": _describe,
    "identify": _describe,
    "profile": _describe,
    "consent": _describe,
    "email_complaint": _withdraw,
    "email_unsubscribe": _withdraw,
}

EFFECTS: Final = {kind: (COUNTED.get(kind), LAST.get(kind), _FOLDS.get(kind)) for kind in EVENT_TYPES}
"""By type of event: as which kind it is counted, which moment it is the newest of, and what else it does."""
