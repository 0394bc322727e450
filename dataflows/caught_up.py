"""Up to when a flow has counted all that came to the stream, by partition: what says whether its rows can be trusted.

When a flow last committed says nothing where nothing comes, and a lag in records says nothing about time. So the end
of the stream is noted with the time now and then, and once that end is committed, all up to that time is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

CAUGHT_UP_KEY: Final = "inlay:caught_up:{}"
"""A hash in the Redis of the features: partition, microseconds since 1970."""
PARTITIONS: Final = "of"
"""Field of it: how many partitions the stream has."""
MOST_NOTES: Final = 1000
"""Ends remembered a partition that are not committed yet; while there are more, none is added."""


class CaughtUp:
    """The notes of the partitions that a process owns.

    Args:
        partitions: which ones.
    """

    def __init__(self, partitions: Iterable[int]) -> None:
        self._notes: dict[int, deque[tuple[int, int]]] = {partition: deque() for partition in partitions}

    def note(self, ends: Mapping[int, int], now: int) -> None:
        """Remember where the stream ended at `now` (microseconds)."""
        for partition, end in ends.items():
            notes = self._notes[partition]
            if len(notes) < MOST_NOTES:
                notes.append((end, now))

    def passed(self, committed: Mapping[int, int]) -> dict[int, int]:
        """Up to when all that came is committed, of the partitions of which there is news."""
        news: dict[int, int] = {}
        for partition, notes in self._notes.items():
            while notes and notes[0][0] <= committed[partition]:
                _, news[partition] = notes.popleft()
        return news
