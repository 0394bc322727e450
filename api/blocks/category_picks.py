"""Category picks: the best of each category that the user likes, in turns."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

from api.blocks.ladder import Because, Kind, Rung, segment_rungs
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The first of each liked category, then the second of each, and so on."""
    liked = list(segment_rungs(known, lambda scope: scope.items, "popular_in"))
    because: dict[str, Because] = {}
    for turn in zip_longest(*(rung.ids for rung in liked)):
        for rung, item_id in zip(liked, turn, strict=True):
            if item_id is not None:
                because.setdefault(item_id, Because(rung.phrase, about=rung.about))
    yield Rung("segment", list(because), "picked", first_choice=True, because=because.__getitem__)


KIND = Kind(rungs, fallback=("bestsellers", "trending", "static"))
