"""What was undone is undone in the mail: a refund lets an item be shown again, and so does taking it out of the cart.

From events through the fold of a user to the blocks of a mail, over random histories.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import resolve
from api.known import CatalogueRow, Known, ScopeFeatures, UserFeatures
from api.plans import BlockPlan, Layout
from dataflows.aggregates.people import User
from dataflows.events import MINUTE, Event
from tests.given import NOW, an_event
from tests.unit.dataflows.proofs import fails, for_all, holds

ITEMS = ("p1", "p2", "p3")
ROW = CatalogueRow("Lamp", "https://shop.example/p", "https://shop.example/i", 9.5, in_stock=True)
SHOP = dict.fromkeys(ITEMS, ROW)
MAIL = Layout("mail", (BlockPlan("trending", "Hot", count=3),))
STEPS = ("view", "add_to_cart", "remove_from_cart", "purchase", "refund")


def shown_after(events: list[Event], **instead: Any) -> set[str]:
    """The items of a mail after some events; `instead` puts other features in the place of some."""
    user = User()
    for event in events:
        user.apply(event, {}, NOW)
    row = {**user.row(NOW)[0], **instead}
    features = UserFeatures(**{name: row[name] for name in ("cart_items", "purchased_items", "recent_items")})
    known = Known(features, {"all": ScopeFeatures(ITEMS)}, {})
    (block,) = resolve.fill(resolve.prepare(MAIL, known), SHOP)
    return {item.item_id for item in block.items}


def told(steps: list[tuple[str, str]]) -> list[Event]:
    """Events in the order of time, the last at NOW; each purchase is an order of its own, which a refund takes back."""
    events, orders = [], dict.fromkeys(ITEMS, 0)
    for number, (kind, item_id) in enumerate(steps):
        orders[item_id] += kind == "purchase"
        order = f"{item_id}-{orders[item_id]}" if kind in ("purchase", "refund") else None
        at = NOW - (len(steps) - number) * MINUTE
        events.append(
            an_event(event_id=f"e{number}", type=kind, item_id=item_id, occurred_at=at, order_id=order, quantity=1)
        )
    return events


def expected(steps: list[tuple[str, str]]) -> set[str]:
    """By a ledger: how many are in the cart, and whether the last word on an item was its purchase."""
    cart, bought = dict.fromkeys(ITEMS, 0), dict.fromkeys(ITEMS, False)
    for kind, item_id in steps:
        if kind == "add_to_cart":
            cart[item_id] += 1
        elif kind == "remove_from_cart":
            cart[item_id] = max(cart[item_id] - 1, 0)
        elif kind == "purchase":
            cart[item_id], bought[item_id] = 0, True
        elif kind == "refund":
            bought[item_id] = False
    return {item_id for item_id in ITEMS if not cart[item_id] and not bought[item_id]}


HISTORIES = st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(ITEMS)), max_size=8)


@for_all(steps=HISTORIES)
def shows_what_is_neither_kept_nor_in_the_cart(shown: Any, steps: list[tuple[str, str]]) -> None:
    assert shown(told(steps)) == expected(steps)


def test_what_is_shown_follows_what_was_done_and_undone() -> None:
    holds(shows_what_is_neither_kept_nor_in_the_cart, shown_after)


@pytest.mark.parametrize("feature", ["cart_items", "purchased_items"])
def test_a_mail_blind_to_it_is_caught(feature: str) -> None:
    assert fails(shows_what_is_neither_kept_nor_in_the_cart, lambda events: shown_after(events, **{feature: ()}))


@settings(max_examples=100)
@given(st.sampled_from(ITEMS))
def test_the_two_ways_back(item_id: str) -> None:
    for done, undone in (("purchase", "refund"), ("add_to_cart", "remove_from_cart")):
        assert item_id not in shown_after(told([(done, item_id)]))
        assert item_id in shown_after(told([(done, item_id), (undone, item_id)]))
