"""Back in stock: what can be had again, of the things that the user put into the cart, wished for or viewed first."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Kind, Rung, moment_rungs
from api.known import CatalogueRow, Known


def is_back(row: CatalogueRow, seed: CatalogueRow | None, since: int) -> bool:
    """Whether an item that was sold out came back since then."""
    return bool(row.in_stock) and row.restocked_at is not None and row.restocked_at >= since


def rungs(known: Known) -> Iterable[Rung]:
    """The user's own things that came back; then those of the liked categories, and of the shop."""
    user = known.user
    own = [*user.cart_items, *user.wishlist_items, *user.recent_items]
    yield from moment_rungs(known, "restocked_at", "back_in_stock", own, is_back)


KIND = Kind(rungs, shows_cart=True, moment="restocked_at")
