"""Recently viewed: what the user looked at, the newest first; for a stranger, what others look at."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Candidate, Kind, Rung, popular_rungs
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The user's own views, else what is trending."""
    yield Rung("personal", [Candidate(item_id, "you viewed it") for item_id in known.user.recent_items], True)
    yield from popular_rungs(known, lambda scope: scope.items, "trending now")


KIND = Kind(rungs, mixes=False)
