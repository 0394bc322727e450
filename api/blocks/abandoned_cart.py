"""Abandoned cart: what is still in the user's cart; with an empty cart, what they looked at, then what others like."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Candidate, Kind, Rung, popular_rungs
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The cart, else the user's own views, else what is trending."""
    yield Rung("personal", [Candidate(item_id, "still in your cart") for item_id in known.user.cart_items], True)
    yield Rung("personal", [Candidate(item_id, "you viewed it") for item_id in known.user.recent_items])
    yield from popular_rungs(known, lambda scope: scope.items, "trending now")


KIND = Kind(rungs, mixes=False, shows_cart=True)
