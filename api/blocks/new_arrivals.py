"""New arrivals: what came into the shop lately, in the categories that the user likes first."""

from __future__ import annotations

from collections.abc import Iterable

from api.blocks.ladder import Kind, Rung, moment_rungs
from api.known import CatalogueRow, Known


def is_new(row: CatalogueRow, seed: CatalogueRow | None, since: int) -> bool:
    """Whether an item was added since then."""
    return row.added_at is not None and row.added_at >= since


def rungs(known: Known) -> Iterable[Rung]:
    """The newest of the liked categories, then of the shop."""
    _, *found = moment_rungs(known, "added_at", "new", (), is_new)
    yield from found


KIND = Kind(rungs, moment="added_at")
