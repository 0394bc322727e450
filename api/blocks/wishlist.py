"""Wishlist: what the user wished for, the newest wish first."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Kind, Rung
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The wishes."""
    yield Rung("personal", known.user.wishlist_items, "wished", first_choice=True)


KIND = Kind(rungs, fallback=("recently_viewed", "trending", "static"), mixes=False)
