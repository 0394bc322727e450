"""Event ids that were seen, so that a client's repeats count once; bounded, oldest forgotten first."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

import mmh3

from dataflows.aggregates.columns import FEW, spread, squeezed

USER_SEEN: Final = 4096
"""Ids remembered a user. Sixteen times the 99.9th percentile of a shop's visitors over eleven weeks."""
EARLY: Final = 64
"""So many of a user's ids, the oldest ones, take fewer bytes, since of few it is less likely that one is like another;
most users never have more."""
EARLY_WIDTH: Final = 4
WIDTH: Final = 5
"""Bytes kept of a user's event id; of an early one EARLY_WIDTH. A new event is taken for one of n that are remembered,
and so not counted, with a chance of n / 2^32; past the early ones of 1 / 67 million + (n - 64) / 2^40. Of a million
users with sixty events each, 0.4 of the 60 million events are lost; where the ring is full, it is one event in 54
million."""
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
    """A ring of a user's event ids in order of arrival, some bytes of the hash of each.

    The oldest EARLY ids have EARLY_WIDTH bytes each, all others WIDTH. Among the early ones there is no order: they are
    stored by size, each as how much it is more than the one before, and the smallest of them is the next one forgotten.

    Args:
        capacity: how many ids are remembered before one is forgotten.
        packed: what `pack` gave.
        most_early: how many ids are early; EARLY, and never more than one in EARLY of the capacity, if None.
    """

    __slots__ = ("_early", "_index", "_later", "_most_early", "capacity")

    def __init__(self, capacity: int = USER_SEEN, packed: bytes = b"", most_early: int | None = None) -> None:
        self.capacity = capacity
        self._most_early = most_early
        early, later = _unpacked(packed) if packed else (b"", b"")
        self._early, self._later = bytearray(early), bytearray(later)
        self._index: set[bytes] | None = None

    def add(self, event_id: str) -> bool:
        """Remember the id; False if it was seen before."""
        return self._add(mmh3.hash_bytes(event_id)[:WIDTH])

    def add_hash(self, hashed: int) -> bool:
        """As `add`, for an id hashed by `hash_id`."""
        return self._add(_digest(hashed))

    def is_disjoint(self, other: SeenByUser) -> bool:
        """Whether no id is in both; judged by EARLY_WIDTH bytes, so that a no may be wrong and a yes never is."""
        return self._beginnings().isdisjoint(other._beginnings())

    def __contains__(self, hashed: int) -> bool:
        return self._has(_digest(hashed))

    def _has(self, digest: bytes) -> bool:
        if _holds(self._early, digest[:EARLY_WIDTH], EARLY_WIDTH):
            return True
        later = self._later
        if not later:
            return False
        if self._index is None and len(later) > INDEXED * WIDTH:
            raw = bytes(later)
            self._index = {raw[at : at + WIDTH] for at in range(0, len(raw), WIDTH)}
        return _holds(later, digest, WIDTH) if self._index is None else digest in self._index

    def _add(self, digest: bytes) -> bool:
        if self._has(digest):
            return False
        early, later = self._early, self._later
        if not later and self._is_early(len(early) // EARLY_WIDTH):
            early += digest[:EARLY_WIDTH]
        else:
            later += digest
            if self._index is not None:
                self._index.add(digest)
        if len(self) > self.capacity:
            if early:
                early[:] = _by_size(early)[EARLY_WIDTH:] + later[:EARLY_WIDTH]
            if self._index is not None:
                self._index.discard(bytes(later[:WIDTH]))
            del later[:WIDTH]
        return True

    def _is_early(self, place: int) -> bool:
        most = self._most_early
        return place < (min(EARLY, self.capacity // EARLY) if most is None else most)

    def _beginnings(self) -> set[bytes]:
        early, later = bytes(self._early), bytes(self._later)
        return {early[at : at + EARLY_WIDTH] for at in range(0, len(early), EARLY_WIDTH)} | {
            later[at : at + EARLY_WIDTH] for at in range(0, len(later), WIDTH)
        }

    def __len__(self) -> int:
        return len(self._early) // EARLY_WIDTH + len(self._later) // WIDTH

    def pack(self) -> bytes:
        """The ids: how many are early, in how many bits each of those, then they, then the others, oldest first."""
        early, number = self._early, len(self._early) // EARLY_WIDTH
        if number <= FEW:
            return bytes((number, EARLY_BITS)) + early + self._later if len(self) else b""
        lanes = int.from_bytes(_by_size(early), "little")
        over = lanes - (lanes << EARLY_BITS & (1 << EARLY_BITS * number) - 1)
        width = _widest(over)
        bits = squeezed(over, EARLY_BITS, width, number)
        return bytes((number, width)) + bits.to_bytes((width * number + 7) // 8, "little") + self._later

    @classmethod
    def of(cls, hashes: Iterable[int]) -> SeenByUser:
        """A ring that holds these, hashed by `hash_id`."""
        return cls.of_digests(b"".join(map(_digest, hashes)))

    @classmethod
    def of_digests(cls, digests: bytes) -> SeenByUser:
        """A ring that holds these, of WIDTH bytes each, as earlier releases stored all of them."""
        seen, end = cls(), EARLY * WIDTH
        for at in range(0, min(len(digests), end), WIDTH):
            seen._early += digests[at : at + EARLY_WIDTH]
        seen._later += digests[end:]
        return seen


EARLY_BITS: Final = 8 * EARLY_WIDTH


def _by_size(early: bytearray) -> bytes:
    return array("I", sorted(array("I", bytes(early)))).tobytes()


def _widest(lanes: int) -> int:
    """The bits of the largest number in at most EARLY lanes."""
    for place in reversed(range(EARLY.bit_length())):
        lanes |= lanes >> (EARLY_BITS << place)
    return (lanes & (1 << EARLY_BITS) - 1).bit_length()


def _unpacked(packed: bytes) -> tuple[bytes, bytes]:
    """The early ids and the others in what `pack` gave."""
    number, width = packed[0], packed[1]
    end = 2 + (width * number + 7) // 8
    if number <= FEW:
        return packed[2:end], packed[end:]
    lanes = spread(int.from_bytes(packed[2:end], "little"), EARLY_BITS, width, number)
    for place in range((number - 1).bit_length()):
        lanes += lanes << (EARLY_BITS << place)
    size = EARLY_WIDTH * number
    return (lanes & (1 << 8 * size) - 1).to_bytes(size, "little"), packed[end:]


def _digest(hashed: int) -> bytes:
    return (hashed & _MASK).to_bytes(WIDTH, "little")


def _holds(packed: bytearray, digest: bytes, width: int) -> bool:
    at = packed.find(digest)
    while at > 0 and at % width:  # found across the border of two ids
        at = packed.find(digest, at + 1)
    return at >= 0
