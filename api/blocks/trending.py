"""Trending: what rises right now, in the user's country first."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Kind, Rung, popular_rungs
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The country's trend, then everybody's."""
    yield from popular_rungs(known, lambda scope: scope.items, "trending")


KIND = Kind(rungs, fallback=("static",))
