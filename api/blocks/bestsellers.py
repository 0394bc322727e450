"""Bestsellers: what was bought most in seven days, in the categories that the user likes first."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from api.blocks.ladder import Kind, Rung, popular_rungs, segment_rungs
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The liked categories' bestsellers, then the country's and the shop's."""
    for rung in segment_rungs(known, lambda scope: scope.bestsellers, "bestseller_in"):
        yield replace(rung, first_choice=True)
    yield from popular_rungs(known, lambda scope: scope.bestsellers, "bestseller")


KIND = Kind(rungs)  # in a week without purchases the trend stands in
