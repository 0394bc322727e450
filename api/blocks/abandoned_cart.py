"""Abandoned cart: what is still in the user's cart; with an empty cart, what they looked at, then what others like."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Kind, Rung
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The cart."""
    yield Rung("personal", known.user.cart_items, "in_cart", first_choice=True)


KIND = Kind(
    rungs, fallback=("recently_viewed", "trending", "static"), mixes=False, shows_cart=True, template="cart"
)  # fmt: skip
