"""Bought together: what goes with what the user bought, and with what lies in their cart."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Because, Kind, Rung, faded, near
from api.known import Known, UserFeatures


def seeds(user: UserFeatures) -> dict[str, float]:
    """What was bought and what is about to be."""
    return faded((user.purchased_items, 1.0), (user.cart_items, 1.0))


def rungs(known: Known) -> Iterable[Rung]:
    """Neighbours of the seeds."""
    found, best = near(known, seeds(known.user))
    yield Rung(
        "personal", found, "picked", first_choice=True, because=lambda item_id: Because("goes_with", best[item_id])
    )


KIND = Kind(rungs, fallback=("category_picks", "bestsellers", "static"), seeds=seeds)
