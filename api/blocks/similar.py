"""Similar: other things of the same category as what the user looked at last."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Because, Kind, Rung, faded, near, segment_rungs
from api.known import CatalogueRow, Known, UserFeatures


def seeds(user: UserFeatures) -> dict[str, float]:
    """The newest views."""
    return faded((user.recent_items, 1.0))


def alike(row: CatalogueRow, seed: CatalogueRow | None, since: int) -> bool:
    """Whether an item is of the same category as the one it is similar to."""
    return row.category is not None and seed is not None and row.category == seed.category


def rungs(known: Known) -> Iterable[Rung]:
    """Neighbours of what was viewed that are of the same category; then the best of the categories they like."""
    found, best = near(known, seeds(known.user))
    yield Rung(
        "personal",
        found,
        "picked",
        first_choice=True,
        because=lambda item_id: Because("similar_to", best[item_id]),
        suits=alike,
    )
    yield from segment_rungs(known, lambda scope: scope.items, "popular_in")


KIND = Kind(rungs, seeds=seeds)
