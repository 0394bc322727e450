"""Price drop: what became cheaper lately, of the things that the user put into the cart, wished for or viewed first."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Kind, Rung, moment_rungs
from api.known import CatalogueRow, Known


def is_cheaper(row: CatalogueRow, seed: CatalogueRow | None, since: int) -> bool:
    """Whether the price of an item fell since then."""
    return row.price_dropped_at is not None and row.price_dropped_at >= since


def rungs(known: Known) -> Iterable[Rung]:
    """The user's own things that became cheaper; then those of the liked categories, and of the shop."""
    user = known.user
    own = [*user.cart_items, *user.wishlist_items, *user.recent_items]
    yield from moment_rungs(known, "price_dropped_at", "price_dropped", own, is_cheaper)


KIND = Kind(rungs, shows_cart=True, moment="price_dropped_at")
