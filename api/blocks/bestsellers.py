"""Bestsellers: what was bought most in seven days, in the categories that the user likes first."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Candidate, Kind, Rung, popular_rungs, segment_rungs
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The liked categories' bestsellers, the shop's, and in a week without purchases what is trending."""
    yield from segment_rungs(known, lambda scope: scope.bestsellers, "bestseller in {}")
    *popular, static = popular_rungs(known, lambda scope: scope.bestsellers, "bestseller")
    yield from popular
    if everywhere := known.scopes.get("all"):
        yield Rung("popular", [Candidate(item_id, "trending now") for item_id in everywhere.items])
    yield static


KIND = Kind(rungs, mixes=True)
