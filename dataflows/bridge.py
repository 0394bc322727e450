"""The bridge: brings a foreign source into the stream. `python -m bytewax.run dataflows.bridge`.

A record is read, made an event of ours, published, and only when the stream has acknowledged it, and the dead letters
have what was refused, is the source told. So everything arrives at least once, and what comes again is known by its id.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

import bytewax.operators as op
import redis
from bytewax.dataflow import Dataflow
from bytewax.inputs import AbortExecution, FixedPartitionedSource, Source, StatefulSourcePartition
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition

from dataflows.avro_wire import open_avro
from dataflows.connectors import Delivered, Inlet, Stream, StreamError, open_inlet, open_stream
from dataflows.connectors.letters import DeadLetters, open_letters
from dataflows.connectors.redis_streams import connect
from dataflows.events import SECOND, Refused
from dataflows.lease import Lease, LeaseError
from dataflows.mapping import load_mapping
from dataflows.metrics import BRIDGED, COMMITTED_AT, serve_metrics
from dataflows.retries import Answer, patiently
from dataflows.settings import FlowSettings, SettingError, flow_settings, split_query
from dataflows.stopping import StopSignal
from dataflows.translate import Translate, Translated
from dataflows.validate import Validate

READ_WAIT: Final = 0.1
MOST_UNCONFIRMED: Final = 2
"""Batches that may be on their way through the flow; the source is not read further before one of them is confirmed."""
LETTER_SECONDS: Final = 7 * 86_400
"""How long a record that was refused is remembered, so that its dead letter is written once though it is read twice."""
POSITIONS_KEY: Final = "inlay:bridge:{}"
LETTER_KEY: Final = "inlay:bridge:refused:{}"


class RedisPositions:
    """Where an inlet is, in Redis, for a source that does not keep it."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        self._client, self._key = client, POSITIONS_KEY.format(_address(url))

    def read(self) -> dict[str, str]:
        """All positions."""
        found = self._client.hgetall(self._key)
        return {name.decode(): value.decode() for name, value in found.items()}

    def write(self, positions: Mapping[str, str]) -> None:
        """Set some."""
        if positions:
            self._client.hset(self._key, mapping=dict(positions))

    def forget(self) -> None:
        """Begin anew."""
        self._client.delete(self._key)


class Letters:
    """Keeps what was refused: a record that is read twice has one dead letter.

    Args:
        client: the Redis of the dead letters.
        letters: how they are written.
        clock: microseconds since 1970, now.
    """

    def __init__(self, client: redis.Redis, letters: DeadLetters, clock: Callable[[], int]) -> None:
        self._client, self._letters, self._clock = client, letters, clock

    def keep(self, refused: Sequence[tuple[str, Refused]]) -> None:
        """Write what was not written before."""
        keys = [LETTER_KEY.format(blake2b(place.encode(), digest_size=16).hexdigest()) for place, _ in refused]
        known = self._client.mget(keys) if keys else ()
        for key, (place, each), found in zip(keys, refused, known, strict=True):
            if found is None:
                pipeline = self._client.pipeline(transaction=True)
                pipeline.execute_command(*self._letters.command("bridge", each, self._clock(), place))
                pipeline.set(key, b"", ex=LETTER_SECONDS)
                pipeline.execute()


class Crossing:
    """What the two ends of the bridge share: how to try again, when to stop, and how much is on its way.

    Args:
        inlet: where records come from.
        stream: where events go.
        letters: keeps what was refused.
        stop: whether to stop.
        lease: the right to the source; of nothing, where the source shares itself out.
        most: records read at once.
        patience: seconds for which a system that is down is tried again.
        clock: microseconds since 1970, now.
    """

    def __init__(
        self,
        inlet: Inlet,
        stream: Stream,
        letters: Letters,
        stop: StopSignal,
        lease: Lease,
        *,
        most: int,
        patience: float,
        clock: Callable[[], int],
    ) -> None:
        self._inlet, self._stream, self._letters, self._stop, self._lease = inlet, stream, letters, stop, lease
        self._most, self._patience, self._clock = most, patience, clock
        self._unconfirmed = 0
        self._abandoned = False

    def read(self) -> list[Delivered]:
        """What the source has, or nothing while enough is on its way."""
        if self._stop.told():
            raise AbortExecution
        if self._unconfirmed >= MOST_UNCONFIRMED:
            return []
        delivered = self._patiently("read", lambda: self._inlet.read(self._most, READ_WAIT))
        if delivered is None:
            return []
        self._unconfirmed += 1
        return [delivered]

    def publish(self, batch: Translated) -> None:
        """Publish, keep what was refused, and then tell the source."""
        if self._abandoned:
            return  # told to stop while something before it could not be published: that comes first
        try:
            self._patiently("publish", lambda: self._stream.publish(batch.records))
            self._patiently("letters", lambda: self._letters.keep(batch.refused))
            self._patiently("confirm", lambda: self._inlet.confirm(batch.receipt))
        except AbortExecution:
            self._abandoned = True
            return
        self._unconfirmed -= 1
        BRIDGED.labels("published").inc(len(batch.records))
        BRIDGED.labels("refused").inc(len(batch.refused))
        COMMITTED_AT.labels("bridge").set(self._clock() / 1_000_000)

    def close(self) -> None:
        """Let go of the source."""
        self._inlet.close()
        self._lease.release()

    def _patiently(self, what: str, call: Callable[[], Answer]) -> Answer:
        return patiently(what, call, self._patience, self._may_go_on)

    def _may_go_on(self) -> None:
        if self._stop.told():
            raise AbortExecution
        if self._lease.keys:
            self._lease.renew()


class _ReadPartition(StatefulSourcePartition[Delivered, None]):
    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing

    def next_batch(self) -> list[Delivered]:
        return self._crossing.read()

    def next_awake(self) -> datetime | None:
        return None

    def snapshot(self) -> None:
        """Nothing: the source is told, or the positions are kept, by what publishes."""

    def close(self) -> None:
        self._crossing.close()


class Read(FixedPartitionedSource[Delivered, None]):
    """The inlet as Bytewax drives it."""

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing

    def list_parts(self) -> list[str]:
        """One."""
        return ["source"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _ReadPartition:
        """The inlet knows where it was."""
        return _ReadPartition(self._crossing)


class _PublishPartition(StatefulSinkPartition[Translated, None]):
    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing

    def write_batch(self, items: list[Translated]) -> None:
        for batch in items:
            self._crossing.publish(batch)

    def snapshot(self) -> None:
        """Nothing: see the source."""


class Publish(FixedPartitionedSink[Translated, None]):
    """The stream as Bytewax drives it; it returns when everything is acknowledged."""

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing

    def list_parts(self) -> list[str]:
        """One."""
        return ["stream"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _PublishPartition:
        """No state."""
        return _PublishPartition(self._crossing)


def build(
    read: Source[Delivered], publish: Sink[tuple[str, Translated]], *, translate: Callable[[Delivered], Translated]
) -> Dataflow:
    """The pipeline between its edges."""
    flow = Dataflow("bridge")
    delivered = op.input("read", flow, read)
    translated = op.map("translate", delivered, translate)
    op.output("publish", op.key_on("place", translated, lambda _: "stream"), publish)
    return flow


def flow() -> Dataflow:
    """The flow from the configured source into the configured stream.

    Raises:
        StreamError: the source or the stream cannot be used, or there is none.
        MappingError: the mapping cannot be used.
        LeaseError: another bridge reads the source.
    """
    settings = flow_settings(os.environ)
    client = connect(settings.redis_url)
    mapping = load_mapping(Path(settings.bridge_map)) if settings.bridge_map else None
    stream = open_stream(settings.stream_url)
    inlet = open_inlet(_source(settings), RedisPositions(client, settings.bridge_from))
    lease = Lease(client, f"bridge {_address(settings.bridge_from)}", () if inlet.shared else (0,), settings.lease)
    lease.acquire()
    stop = StopSignal()
    stop.listen()
    crossing = Crossing(
        inlet, stream, _open_letters(settings), stop, lease,
        most=settings.bridge_batch, patience=settings.bridge_patience, clock=clock,
    )  # fmt: skip
    translate = Translate(
        mapping,
        Validate(clock, round(settings.max_skew * SECOND), settings.refused_run, settings.refused_share),
        open_avro(settings.schema_registry, settings.bridge_patience, lease.renew),
        stream.partitions,
    )
    serve_metrics(settings.metrics_port)
    logging.getLogger(__name__).info("the bridge reads %s", inlet.name)
    return build(Read(crossing), Publish(crossing), translate=translate)


def clock() -> int:
    """Microseconds since 1970, now."""
    return time.time_ns() // 1000


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m dataflows.bridge reset`."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.bridge", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("reset", help="forget where the bridge was in INLAY_BRIDGE_FROM: it begins at the first record")
    parser.parse_args(arguments)
    try:
        settings = flow_settings(os.environ)
        client = connect(settings.redis_url)
        lease = Lease(client, f"bridge {_address(_source(settings))}", (0,), settings.lease)
        lease.acquire()
    except (SettingError, StreamError, LeaseError) as error:
        print(f"bridge: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    RedisPositions(client, settings.bridge_from).forget()
    lease.release()
    print("forgotten; what is read again is known by its id and counts once")  # noqa: T201
    return 0


def _source(settings: FlowSettings) -> str:
    if not settings.bridge_from:
        raise StreamError("INLAY_BRIDGE_FROM is empty: write the source, such as kinesis://eu-west-1/events")
    if _address(settings.bridge_from) == _address(settings.stream_url):
        raise StreamError("INLAY_BRIDGE_FROM is INLAY_STREAM_URL: a bridge from a stream into itself never ends")
    return settings.bridge_from


def _address(url: str) -> str:
    return split_query(url)[0]


def _open_letters(settings: FlowSettings) -> Letters:
    address, letters = open_letters(
        settings.dead_letters_url,
        settings.dead_letters_keep,
        settings.dead_letters_age,
        settings.dead_letters_bytes,
    )
    return Letters(connect(address), letters, clock)


if __name__ == "__main__":
    sys.exit(main())
