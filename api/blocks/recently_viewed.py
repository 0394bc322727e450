"""Recently viewed: what the user looked at, the newest first; for a stranger, what others look at."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Kind, Rung
from api.known import Known


def rungs(known: Known) -> Iterable[Rung]:
    """The user's own views."""
    yield Rung("personal", known.user.recent_items, "viewed", first_choice=True)


KIND = Kind(rungs, mixes=False)
