"""Freshness: which rows of the online store are too old to be shown for what they say. Pure: no reading, no clock.

The limit of a view is its `ttl`, which Feast itself does not apply when it reads. It is counted from the row's own
time, the newest event in it, so that an idle user's row ages and a busy one's does not. A row may also be young and
wrong, where the flow that writes it stands still: then what happened since is missing in it, and nobody can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from dataflows.events import MINUTE, partition_of

BEHIND: Final = 15 * MINUTE
"""How far a flow may be behind the stream before the rows that it writes are not trusted any more."""
Cause: TypeAlias = Literal["age", "unstamped", "lag"]


def too_old(at: int | None, limit: int, now: int) -> Cause | None:
    """Why a row is not fresh; None if it is.

    Args:
        at: what the row is of, in microseconds; None: nothing says it.
        limit: of its view, in microseconds.
        now: microseconds since 1970.
    """
    if at is None:
        return "unstamped"
    return "age" if now - at > limit else None


class CaughtUp(NamedTuple):
    """How far a flow is.

    Attributes:
        at: by partition, up to when all that came was counted (microseconds); what is not there is not known.
        partitions: how many the stream has; 0: no flow ever said.
    """

    at: Mapping[int, int] = {}
    partitions: int = 0

    def is_behind(self, key: str, now: int) -> bool:
        """Whether what happened to a key (such as a user's id) more than `BEHIND` ago may be missing at `now`."""
        if not self.partitions:
            return False
        at = self.at.get(partition_of(key, self.partitions))
        return at is not None and now - at > BEHIND
