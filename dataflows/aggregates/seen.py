"""Event ids that were seen, so that a client's repeats count once; bounded, oldest forgotten first."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

import mmh3

USER_SEEN: Final = 4096
"""Ids remembered a user. Sixteen times the 99.9th percentile of a shop's visitors over eleven weeks."""
WIDTH: Final = 5
"""Bytes kept of a user's event id. A new event is taken for one of n that are remembered with a chance of n / 2^40:
of a million users with sixty events each, one in six hundred loses one event; where the ring is full, it is one event
in 268 million."""
INDEXED: Final = 1024
"""With more ids than this a set is kept beside them; with fewer, looking through their bytes is quicker than making
one, and takes a tenth of the memory."""
_MASK: Final = (1 << 8 * WIDTH) - 1


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


class SeenByUser:
    """A ring of a user's event ids in order of arrival, `WIDTH` bytes of the hash of each, as they are stored.

    Args:
        capacity: how many ids are remembered before the oldest is forgotten.
        packed: what `pack` gave.
    """

    __slots__ = ("_index", "_packed", "capacity")

    def __init__(self, capacity: int = USER_SEEN, packed: bytes | bytearray = b"") -> None:
        self.capacity = capacity
        self._packed = bytearray(packed)
        self._index: set[bytes] | None = None

    def add(self, event_id: str) -> bool:
        """Remember the id; False if it was seen before."""
        return self._add(mmh3.hash_bytes(event_id)[:WIDTH])

    def add_hash(self, hashed: int) -> bool:
        """As `add`, for an id hashed by `hash_id`."""
        return self._add((hashed & _MASK).to_bytes(WIDTH, "little"))

    def update(self, other: SeenByUser) -> None:
        """Remember all that another does."""
        for digest in other._digests():
            self._add(digest)

    def is_disjoint(self, other: SeenByUser) -> bool:
        """Whether no id is in both."""
        return self._digests().isdisjoint(other._digests())

    def __contains__(self, hashed: int) -> bool:
        return self._has((hashed & _MASK).to_bytes(WIDTH, "little"))

    def _has(self, digest: bytes) -> bool:
        if self._index is not None:
            return digest in self._index
        at = self._packed.find(digest)
        while at > 0 and at % WIDTH:  # found across the border of two ids
            at = self._packed.find(digest, at + 1)
        return at >= 0

    def _add(self, digest: bytes) -> bool:
        if self._has(digest):
            return False
        packed, index = self._packed, self._index
        packed += digest
        if index is not None:
            index.add(digest)
        elif len(packed) > INDEXED * WIDTH:
            index = self._index = self._digests()
        if len(packed) > self.capacity * WIDTH:
            if index is not None:
                index.discard(bytes(packed[:WIDTH]))
            del packed[:WIDTH]
        return True

    def _digests(self) -> set[bytes]:
        packed = bytes(self._packed)
        return self._index or {packed[at : at + WIDTH] for at in range(0, len(packed), WIDTH)}

    def __len__(self) -> int:
        return len(self._packed) // WIDTH

    def pack(self) -> bytearray:
        """The ids, oldest first, to be read and not changed."""
        return self._packed

    @classmethod
    def of(cls, hashes: Iterable[int]) -> SeenByUser:
        """A ring that holds these, hashed by `hash_id`."""
        seen = cls()
        seen._packed = bytearray(b"".join((hashed & _MASK).to_bytes(WIDTH, "little") for hashed in hashes))
        return seen
