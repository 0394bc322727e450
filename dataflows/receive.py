"""Receive: the micro-batches of the owned partitions, from where the flow committed, at a pace that suits the load.

One multiplexed read brings what all partitions have. While little comes, reads are spaced so that the gate's flat cost
is paid a few times a second; under load a micro-batch grows to INLAY_BATCH_EVENTS.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import redis
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition

from dataflows.caught_up import CAUGHT_UP_KEY, PARTITIONS, CaughtUp
from dataflows.connectors import Bounds, OffsetGone, Stream, StreamError
from dataflows.lease import Lease
from dataflows.metrics import LAG
from dataflows.numbering import Numbered, read_place
from dataflows.stages import Received
from dataflows.stopping import StopSignal
from dataflows.store import OFFSETS_KEY

IDLE_WAIT: Final = 0.05
FULL: Final = 0.25
"""A read that brings this share of a whole micro-batch is followed by the next one without a pause."""
TRIM_SECONDS: Final = 30.0
TELL_SECONDS: Final = 5.0
MOST_LAG: Final = 10_000
"""Records that are counted for the lag where the stream must count them."""
FLOWS: Final = ("people", "items")
"""The flows that there always are."""

_log: Final = logging.getLogger(__name__)


def committed_offsets(client: redis.Redis, flow: str, partitions: Iterable[int]) -> dict[int, int]:
    """Where the flow is in each partition; -1 where it never was."""
    found = client.hgetall(OFFSETS_KEY.format(flow))
    return {partition: int(found.get(str(partition).encode(), -1)) for partition in partitions}


class Readable(Protocol):
    """What of a stream matters for where to read on."""

    name: str

    def bounds(self, partition: int) -> Bounds:
        """As `Stream.bounds`."""

    def rewound(self, partition: int, offset: int, seconds: float) -> int:
        """As `Stream.rewound`."""


def starting_offsets(stream: Readable, flow: str, committed: Mapping[int, int], rewind: float) -> dict[int, int]:
    """Where to read on: some seconds before the commit, as far as the stream still holds them.

    Raises:
        OffsetGone: events behind the committed offset were removed, or the stream is shorter than what was committed.
    """
    starts = {}
    for partition, offset in committed.items():
        removed, last = stream.bounds(partition)
        if offset >= 0 and (removed > offset or last < offset):
            what = "events behind it were removed" if removed > offset else f"the stream ends at {last}"
            raise OffsetGone(
                f"{flow} committed offset {offset} of partition {partition} of {stream.name!r}, but {what}. "
                f"To go on all the same: python -m dataflows.offsets reset {flow} --to first (or --to last)"
            )
        starts[partition] = max(stream.rewound(partition, offset, rewind), removed) if offset >= 0 else removed
    return starts


class _ReceivePartition(StatefulSourcePartition[Received, None]):
    def __init__(self, receive: Receive, after: dict[int, int]) -> None:
        self._receive, self._after = receive, after
        self._paused_until = 0.0
        self._wake_at = receive.monotonic()
        self._trim_at = receive.monotonic() + TRIM_SECONDS
        self._tell_at = receive.monotonic()

    def next_batch(self) -> list[Received]:
        receive = self._receive
        if receive.stop.told():
            raise AbortExecution
        receive.lease.renew()
        now = receive.monotonic()
        if now >= self._trim_at:
            receive.trim()
            self._trim_at = now + TRIM_SECONDS
        if now >= self._tell_at:
            receive.tell()
            self._tell_at = now + TELL_SECONDS
        if now >= self._wake_at:
            # An empty micro-batch a partition wakes its timer, so that numbers fall where no event comes.
            self._wake_at = now + receive.wake_every
            return [Received(partition, [], []) for partition in self._after]
        if now < self._paused_until:
            time.sleep(min(self._paused_until - now, IDLE_WAIT))
            if receive.monotonic() < self._paused_until:
                return []
        batches = receive.stream.read(self._after, receive.batch_events, IDLE_WAIT)
        brought = 0
        for batch in batches:
            self._after[batch.partition] = batch.offsets[-1]
            brought += len(batch.offsets)
        if 0 < brought < receive.batch_events * FULL:
            self._paused_until = receive.monotonic() + receive.batch_wait
        return batches

    def next_awake(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        """Nothing: the offsets are committed with the rows."""

    def close(self) -> None:
        self._receive.tell()
        self._receive.stream.own.close()
        self._receive.lease.release()


class Receive(FixedPartitionedSource[Received, None]):
    """The stream as Bytewax drives it, and the owner of the lease: it takes it at the start and gives it back.

    Args:
        stream: what is read, in the flow's own offsets.
        client: the Redis that holds the flow's offsets.
        flow: `people`, `items` or `lake`.
        lease: the right to the partitions.
        committed: where the flow is, by partition; filled in when the lease is held.
        stop: whether to stop.
        rewind: seconds read again on resume.
        batch_events: most events of a micro-batch.
        batch_wait: seconds between micro-batches at low load.
        keep: seconds the stream is kept after every flow has read it.
        readers: those flows.
        wake_every: seconds after which empty micro-batches come again; they come at the start in any case.
        monotonic: the clock that paces.
        clock: microseconds since 1970, now.
    """

    def __init__(
        self,
        stream: Numbered,
        client: redis.Redis,
        flow: str,
        lease: Lease,
        committed: dict[int, int],
        stop: StopSignal,
        *,
        rewind: float,
        batch_events: int,
        batch_wait: float,
        keep: float,
        readers: Sequence[str] = FLOWS,
        wake_every: float = float("inf"),
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.stream, self.lease, self.stop = stream, lease, stop
        self.batch_events, self.batch_wait, self.monotonic = batch_events, batch_wait, monotonic
        self._client, self._flow, self._committed = client, flow, committed
        self._rewind, self._keep, self._readers = rewind, keep, readers
        self.wake_every = wake_every
        self._clock, self._caught_up = clock, CaughtUp(committed)

    def list_parts(self) -> list[str]:
        """One: all owned partitions are read together."""
        return ["stream"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _ReceivePartition:
        """Find the place to read on from."""
        with self.lease.given_back_if_refused():
            after = starting_offsets(self.stream, self._flow, self._committed, self._rewind)
        return _ReceivePartition(self, after)

    def trim(self) -> None:
        """Give up what every flow has read long ago; a flow that never read this stream holds everything."""
        own = self.stream.own
        places = [self._in_stream(own, flow) for flow in self._readers]
        for partition in self._committed:
            read_by_all = min(place[partition] for place in places)
            if read_by_all < 0:
                continue
            try:
                up_to = own.rewound(partition, read_by_all, max(self._keep, self._rewind))
                if up_to > own.bounds(partition).removed:
                    own.remove(partition, up_to)
            except StreamError as error:
                _log.warning("nothing is given up of the stream: %s", error)
                return

    def tell(self) -> None:
        """Say where the flow is: to the stream, for its own tools, and to those who look at the metrics."""
        own = self.stream.own
        place = self._in_stream(own, self._flow)
        try:
            own.tell(self._flow, place)
            for partition, lag in own.lag(place, MOST_LAG).items():
                LAG.labels(self._flow, partition).set(lag)
            self._caught_up.note({partition: own.bounds(partition).last for partition in place}, self._clock())
        except StreamError as error:
            _log.warning("how far the flow lags is not known: %s", error)
        if news := self._caught_up.passed(place):
            fields: dict[Any, int] = {PARTITIONS: own.partitions, **news}
            self._client.hset(CAUGHT_UP_KEY.format(self._flow), mapping=fields)

    def _in_stream(self, own: Stream, flow: str) -> dict[int, int]:
        place = read_place(self._client, flow, self._committed)
        return place.in_stream() if place.identity == own.identity else dict.fromkeys(self._committed, -1)
