"""Recommended: what goes with the things in the user's cart, those they looked at and those they bought."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import SEEDS, Because, Kind, Rung, faded, near, segment_rungs
from api.known import Known, UserFeatures

CART_WEIGHT = 2.0


def seeds(user: UserFeatures) -> dict[str, float]:
    """The user's items that recommendations start from, with their weights: the cart first, then the newest views."""
    return faded((user.cart_items, CART_WEIGHT), (user.recent_items, 1.0), (user.purchased_items[: SEEDS // 2], 1.0))


def rungs(known: Known) -> Iterable[Rung]:
    """Neighbours of the seeds; the best of liked categories."""
    found, best = near(known, seeds(known.user))
    viewed = {*known.user.recent_items}.difference(known.user.purchased_items)

    def because(item_id: str) -> Because:
        seed = best[item_id]
        return Because("because_viewed" if seed in viewed else "goes_with", seed)

    yield Rung("personal", found, "picked", first_choice=True, because=because)
    yield from segment_rungs(known, lambda scope: scope.items, "popular_in")


KIND = Kind(rungs, seeds=seeds)
