"""History: the events of a file as micro-batches of the stream's partitions, less those that the stream itself holds.

What the stream holds is the live flows' to count, be it read already or not yet. Which of the two counts an event is so
decided before the first row is written, by the stream alone, and not by how many ids a state remembers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition

from dataflows.aggregates.seen import hash_id
from dataflows.aggregates.tiles import is_late
from dataflows.connectors import Stream
from dataflows.events import TIMELESS, Refused, parse, partition_of
from dataflows.stages import Received
from dataflows.stopping import StopSignal

READ_AT_ONCE: Final = 40_000
PATIENCE: Final = 1.0
"""Seconds after which a stream that brings nothing more is taken to be read: its last record may have been removed."""
Ids = npt.NDArray[np.int64]
"""Hashes of events, sorted."""


def ids_in_stream(stream: Stream, now: int, max_skew: int) -> Ids:
    """The events that the live flows have counted or will count, of all that the stream holds at this moment.

    What a flow refuses it does not count. What is late at `now` is not counted either if it is still unread; if it is
    read, it was counted or was late, and the ids that a state remembers tell which.

    Args:
        stream: read from its beginning to where it ends when this is called.
        now: microseconds since 1970.
        max_skew: microseconds an event may lie in the future.
    """
    bounds = {partition: stream.bounds(partition) for partition in range(stream.partitions)}
    after = {partition: bound.removed for partition, bound in bounds.items() if bound.last > bound.removed}
    hashes = array("q")
    while after:
        batches = stream.read(after, READ_AT_ONCE, PATIENCE)
        if not batches and not any(stream.lag(after).values()):
            break
        for batch in batches:
            for raw in batch.values:
                event = parse(raw, now, max_skew=max_skew)
                if not isinstance(event, Refused) and (event.type in TIMELESS or not is_late(event.at, now)):
                    hashes.append(_hash(event.key, event.event_id))
            after[batch.partition] = batch.offsets[-1]
        after = {partition: at for partition, at in after.items() if at < bounds[partition].last}
    return np.unique(np.frombuffer(hashes, dtype=np.int64))


class History:
    """The events of one file in order of time; the place of an event in that order is its offset in its partition.

    Args:
        events: as `read_events` gives them.
        partitions: how many the stream has.
        in_stream: the events that are left to the live flows.
    """

    def __init__(self, events: list[dict[str, Any]], partitions: int, in_stream: Ids) -> None:
        self._events = events
        keys = [
            str(event.get("user_id") or event.get("anonymous_id") or event.get("item_id") or "") for event in events
        ]
        self._partitions = np.fromiter((partition_of(key, partitions) for key in keys), np.int64, len(keys))
        hashes = np.fromiter(
            (_hash(key, str(event.get("event_id"))) for key, event in zip(keys, events, strict=True)),
            np.int64, len(keys),
        )  # fmt: skip
        self._wanted = ~_among(hashes, in_stream)

    def __len__(self) -> int:
        return len(self._events)

    def chunks(self, size: int) -> Iterator[list[dict[str, Any]]]:
        """What is not left to the live flows, `size` events at a time."""
        rows = np.flatnonzero(self._wanted)
        for first in range(0, len(rows), size):
            yield [self._events[row] for row in rows[first : first + size].tolist()]

    def share_done(self, committed: Mapping[int, int]) -> float:
        """Of what share of the rows nothing is left to do: they are committed, or left to the live flows."""
        return 1 - len(self._left(committed)) / len(self) if len(self) else 1.0

    def _left(self, committed: Mapping[int, int]) -> npt.NDArray[np.int64]:
        done = np.array([committed[partition] for partition in range(len(committed))], np.int64)
        return np.flatnonzero(self._wanted & (np.arange(len(self._events)) > done[self._partitions]))

    def batches(self, committed: Mapping[int, int], size: int) -> Iterator[list[Received]]:
        """What is left to do behind the committed places, `size` events at a time, in one micro-batch a partition."""
        encode = msgspec.json.Encoder().encode
        rows = self._left(committed)
        for first in range(0, len(rows), size):
            chunk = rows[first : first + size]
            owners = self._partitions[chunk]
            together = []
            for partition in np.unique(owners).tolist():
                places = chunk[owners == partition].tolist()
                together.append(Received(partition, places, [encode(self._events[place]) for place in places]))
            yield together


class HistorySource(FixedPartitionedSource[Received, None]):
    """The micro-batches as Bytewax drives them; it ends when they do.

    Args:
        batches: as `History.batches` gives them.
        stop: whether to stop before.
        on_read: told how many events each read brings.
    """

    def __init__(self, batches: Iterator[list[Received]], stop: StopSignal, on_read: Callable[[int], object]) -> None:
        self.batches, self.stop, self.on_read = batches, stop, on_read

    def list_parts(self) -> list[str]:
        """One: all partitions are read together."""
        return ["history"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _HistoryPartition:
        """The partition that reads."""
        return _HistoryPartition(self)


class _HistoryPartition(StatefulSourcePartition[Received, None]):
    def __init__(self, source: HistorySource) -> None:
        self._source = source

    def next_batch(self) -> list[Received]:
        if self._source.stop.told():
            raise AbortExecution
        together = next(self._source.batches)
        self._source.on_read(sum(len(batch.offsets) for batch in together))
        return together

    def snapshot(self) -> None:
        """Nothing: the places are committed with the rows."""


def _hash(key: str, event_id: str) -> int:
    """An id counts once a user, so whose it is belongs to it; neither holds the separator."""
    return hash_id(f"{key}\n{event_id}")


def _among(hashes: Ids, ids: Ids) -> npt.NDArray[np.bool_]:
    """Which of the hashes are among the ids."""
    if not len(ids):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(ids, hashes), len(ids) - 1)
    return np.asarray(ids[places] == hashes, np.bool_)
