"""Recommended: what goes with the things in the user's cart and the things they looked at."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import SEEDS, Candidate, Kind, Rung, popular_rungs, segment_rungs
from api.known import Known

CART_WEIGHT = 2.0
FADE = 0.8
"""What each older item counts, compared with the one after it."""


def seeds(known: Known) -> dict[str, float]:
    """The user's items that recommendations start from, with their weights: the cart first, then the newest views."""
    weights: dict[str, float] = {}
    for rank, item_id in enumerate(known.user.cart_items[:SEEDS]):
        weights[item_id] = CART_WEIGHT * FADE**rank
    for rank, item_id in enumerate(known.user.recent_items[:SEEDS]):
        weights[item_id] = weights.get(item_id, 0.0) + FADE**rank
    for rank, item_id in enumerate(known.user.purchased_items[: SEEDS // 2]):
        weights[item_id] = weights.get(item_id, 0.0) + FADE**rank
    return weights


def rungs(known: Known) -> Iterable[Rung]:
    """Neighbours of the seeds by the weighted sum of their closeness; the best of liked categories; the trend."""
    scores: dict[str, float] = {}
    best: dict[str, tuple[float, str]] = {}
    weights = seeds(known)
    for seed, weight in weights.items():
        for neighbour in known.neighbours.get(seed, ()):
            share = weight * neighbour.weight
            if share <= 0:
                continue
            scores[neighbour.item_id] = scores.get(neighbour.item_id, 0.0) + share
            if share > best.get(neighbour.item_id, (0.0, ""))[0]:
                best[neighbour.item_id] = share, seed
    bought = set(known.user.purchased_items)
    ranked = sorted(scores, key=lambda item_id: (-scores[item_id], item_id))
    yield Rung(
        "personal",
        [
            Candidate(item_id, "goes with" if (seed := best[item_id][1]) in bought else "because you viewed", seed)
            for item_id in ranked
            if item_id not in weights
        ],
        first_choice=True,
    )
    yield from segment_rungs(known, lambda scope: scope.items, "popular in {}")
    yield from popular_rungs(known, lambda scope: scope.items, "trending now")


KIND = Kind(rungs, mixes=True)
