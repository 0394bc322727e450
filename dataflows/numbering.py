"""Offsets as a flow counts them: those of the stream, moved so that they only ever grow, whatever stream it is.

A user's state keeps the highest offset it has applied, and so a replay changes nothing. A topic that was made anew, or
another stream that is read instead, begins with low offsets again, and every user would take them for a replay, in
silence. So a flow remembers which stream its offsets are of, refuses another one, and, when it is told to go on with
that (`dataflows.offsets reset`), counts on from where it was: a number is added to each offset of the new stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import redis
from msgspec import Struct

from dataflows.connectors import Bounds, OffsetGone, Records, Stream
from dataflows.store import OFFSETS_KEY

STREAM: Final = "stream"
"""Field of a flow's offsets: the identity of the stream they are of."""
ADDED: Final = "added {}"
"""Field of a flow's offsets: what is added to the stream's own, by partition."""


class Place(Struct, frozen=True):
    """Where a flow is, as it counts.

    Attributes:
        identity: of the stream it reads; empty: it never read one.
        committed: by partition, the offset up to which it has committed; -1: it never was there.
        added: by partition, what its offsets have more than those of the stream.
    """

    identity: str
    committed: Mapping[int, int]
    added: Mapping[int, int]

    def in_stream(self) -> dict[int, int]:
        """What is committed in the stream's own offsets."""
        return {part: max(-1, offset - self.added[part]) for part, offset in self.committed.items()}


def read_place(client: redis.Redis, flow: str, partitions: Iterable[int]) -> Place:
    """Where a flow is."""
    found: dict[bytes, Any] = client.hgetall(OFFSETS_KEY.format(flow))
    wanted = tuple(partitions)
    return Place(
        found.get(STREAM.encode(), b"").decode(),
        {part: int(found.get(str(part).encode(), -1)) for part in wanted},
        {part: int(found.get(ADDED.format(part).encode(), 0)) for part in wanted},
    )


def check_identity(stream: Stream, flow: str, place: Place) -> None:
    """Make sure that the flow's offsets are of that stream.

    Raises:
        OffsetGone: they are of another one.
    """
    if place.identity and place.identity != stream.identity:
        raise OffsetGone(
            f"{flow} is somewhere in another stream: in {place.identity!r}, and this one is {stream.identity!r}; it "
            f"was made anew, or INLAY_STREAM_URL was changed. To go on with it: python -m dataflows.offsets reset "
            f"{flow} --to first (or --to last)"
        )


def moved(stream: Stream, place: Place, to: str) -> Place:
    """The place of a flow that goes on with `stream`, at its first record or behind its last.

    Where the stream is another one, or ends before what the flow has committed, nothing that comes was applied before:
    its offsets are made to lie above all that were.
    """
    committed, added = {}, {}
    for part, offset in place.committed.items():
        bounds = stream.bounds(part)
        more = place.added[part]
        if offset >= 0 and (place.identity not in ("", stream.identity) or bounds.last + more < offset):
            more = offset + 1
        added[part] = more
        committed[part] = more + (bounds.removed if to == "first" else bounds.last)
    return Place(stream.identity, committed, added)


def write_place(client: redis.Redis, flow: str, place: Place) -> None:
    """Let a flow that does not run be in that place."""
    fields: dict[str, str | int] = {STREAM: place.identity}
    fields |= {str(part): offset for part, offset in place.committed.items()}
    fields |= {ADDED.format(part): more for part, more in place.added.items() if more}
    client.hset(OFFSETS_KEY.format(flow), mapping=fields)


class Numbered:
    """A stream in the offsets of a flow.

    Args:
        own: the stream.
        added: what is added to its offsets, by partition.
    """

    def __init__(self, own: Stream, added: Mapping[int, int]) -> None:
        self.own, self._added = own, added
        self.name, self.identity, self.partitions = own.name, own.identity, own.partitions

    def read(self, after: Mapping[int, int], most: int, wait: float) -> list[Records]:
        """As `Stream.read`."""
        batches = self.own.read(self._less(after), most, wait)
        return [self._more(batch) if self._added[batch.partition] else batch for batch in batches]

    def bounds(self, partition: int) -> Bounds:
        """As `Stream.bounds`."""
        removed, last = self.own.bounds(partition)
        more = self._added[partition]
        return Bounds(removed + more, last + more)

    def rewound(self, partition: int, offset: int, seconds: float) -> int:
        """As `Stream.rewound`."""
        more = self._added[partition]
        return self.own.rewound(partition, offset - more, seconds) + more

    def moment(self, partition: int, offset: int) -> int | None:
        """As `Stream.moment`."""
        return self.own.moment(offset - self._added[partition])

    def lag(self, after: Mapping[int, int], most: int = 100_000) -> dict[int, int]:
        """As `Stream.lag`."""
        return self.own.lag(self._less(after), most)

    def _less(self, after: Mapping[int, int]) -> dict[int, int]:
        return {part: max(-1, offset - self._added[part]) for part, offset in after.items()}

    def _more(self, batch: Records) -> Records:
        more = self._added[batch.partition]
        return Records(batch.partition, [offset + more for offset in batch.offsets], batch.values)
