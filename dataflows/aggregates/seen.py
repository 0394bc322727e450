"""Event ids that were seen, so that a client's repeats count once; bounded, oldest forgotten first."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

import mmh3

USER_SEEN: Final = 4096
"""Ids remembered a user. Sixteen times the 99.9th percentile of a shop's visitors over eleven weeks."""


def hash_id(event_id: str) -> int:
    """64 bits of MurmurHash3 of an event id: two of a million ids collide with a chance of 3 in 100 million."""
    return mmh3.hash64(event_id)[0]


class Seen:
    """A ring of event ids in order of arrival.

    Args:
        capacity: how many ids are remembered before the oldest is forgotten.
    """

    __slots__ = ("_ids", "capacity")

    def __init__(self, capacity: int = USER_SEEN) -> None:
        self.capacity = capacity
        self._ids: dict[int, None] = {}

    def add(self, event_id: str) -> bool:
        """Remember the id; False if it was seen before."""
        return self.add_hash(hash_id(event_id))

    def add_hash(self, hashed: int) -> bool:
        """As `add`, for an id hashed by `hash_id`."""
        if hashed in self._ids:
            return False
        self._ids[hashed] = None
        if len(self._ids) > self.capacity:
            del self._ids[next(iter(self._ids))]
        return True

    def is_disjoint(self, other: Seen) -> bool:
        """Whether no id is in both."""
        return self._ids.keys().isdisjoint(other._ids.keys())

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def pack(self) -> bytes:
        """The ids, eight bytes each, oldest first."""
        return array("q", self._ids).tobytes()

    @classmethod
    def of(cls, hashes: Iterable[int]) -> Seen:
        """A ring that holds just these."""
        seen = cls()
        seen._ids = dict.fromkeys(hashes)
        return seen

    @classmethod
    def unpack(cls, packed: bytes, capacity: int = USER_SEEN) -> Seen:
        """The ring that `pack` wrote."""
        seen = cls(capacity)
        seen._ids = dict.fromkeys(array("q", packed))
        return seen
