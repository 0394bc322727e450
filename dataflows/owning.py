"""What a flow owns: its partitions of the stream, the right to write for them, and where it goes on; by the settings.

Apart from the gate, so that what judges no rows does not load what judges them.
"""

from __future__ import annotations

import gc
import logging
import time
from typing import Final

import redis
from msgspec import Struct

from dataflows.avro_wire import open_avro
from dataflows.connectors import Stream, StreamError, open_stream
from dataflows.connectors.letters import DeadLetters, open_letters
from dataflows.connectors.quarantine import Quarantine
from dataflows.connectors.redis_streams import connect
from dataflows.lake_rows import NO_ROWS, RowsOut, RowsToLake, stored_rows
from dataflows.lease import Lease
from dataflows.metrics import serve_metrics
from dataflows.numbering import STREAM, Numbered, check_identity, read_place
from dataflows.receive import FLOWS, Receive
from dataflows.settings import FlowSettings, split_query
from dataflows.stopping import StopSignal
from dataflows.store import OFFSETS_KEY
from dataflows.validate import Validate

LAKE: Final = "lake"
"""The flow that there is where there is a lake."""
REGISTRY_SECONDS = 5.0
"""How long a registry of schemas that does not answer is asked again: less than a lease lasts."""
YOUNG: Final = 1_000_000
"""Objects made, and not gone again, before young garbage is looked for: more than a large micro-batch makes."""


def clock() -> int:
    """Microseconds since 1970, now."""
    return time.time_ns() // 1000


def settle_memory() -> None:
    """Leave what the libraries hold out of garbage collection, and collect rarely.

    A full collection of what Great Expectations holds takes 100 ms; with Python's defaults it comes every few
    thousand events and takes a third of the flow's time. Events, rows and states form no cycles: a state that is read
    from Redis goes again by itself, and looking through all of a micro-batch's took 2 to 3 of the 65 microseconds of an
    event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 50, 100)


class Edges(Struct, frozen=True):
    """What everybody who writes features is connected to."""

    client: redis.Redis
    stream: Stream
    dead_letters: DeadLetters
    quarantine: Quarantine


def open_edges(settings: FlowSettings) -> Edges:
    """Connect to Redis and to the stream.

    Raises:
        StreamError: no such stream, or the dead letters are in another Redis.
    """
    address, dead_letters = open_letters(
        settings.dead_letters_url,
        settings.dead_letters_keep,
        settings.dead_letters_age,
        settings.dead_letters_bytes,
    )
    if address != split_query(settings.redis_url)[0]:
        raise StreamError("INLAY_DEAD_LETTERS_URL must be in the Redis of INLAY_REDIS_URL: both are one transaction")
    quarantine = Quarantine(settings.quarantine_keep, settings.quarantine_age, settings.quarantine_bytes)
    return Edges(connect(settings.redis_url), open_stream(settings.stream_url), dead_letters, quarantine)


def make_validate(settings: FlowSettings, refused_run: int | None = None) -> Validate:
    """What judges records, by the settings and the clock; `refused_run` in the place of the setting."""
    avro = open_avro(settings.schema_registry, REGISTRY_SECONDS) if settings.schema_registry else None
    skew = round(settings.max_skew * 1_000_000)
    run = settings.refused_run if refused_run is None else refused_run
    return Validate(clock, skew, run, settings.refused_share, avro=avro)


def rows_out(settings: FlowSettings, client: redis.Redis) -> RowsOut:
    """What becomes of rows beside that they are stored: where there is a lake, they go there."""
    return RowsToLake(stored_rows(client), clock) if settings.lake_url else NO_ROWS


class Owned(Struct, frozen=True):
    """Partitions that are ours.

    Attributes:
        edges: what else we are connected to.
        partitions: their numbers.
        committed: by partition, where the flow is.
        lease: the right to them.
        receive: brings what is in them.
    """

    edges: Edges
    partitions: tuple[int, ...]
    committed: dict[int, int]
    lease: Lease
    receive: Receive


def readers(settings: FlowSettings) -> tuple[str, ...]:
    """The flows that read the stream, and that its trimming waits for."""
    return (*FLOWS, LAKE) if settings.lake_url else FLOWS


def own(
    settings: FlowSettings, flow: str, *, rewind: float, batch_wait: float, wake_every: float = float("inf")
) -> Owned:
    """Connect a flow to the stream and take its partitions.

    Args:
        settings: as read from the environment.
        flow: its name.
        rewind: seconds read again on resume.
        batch_wait: seconds between micro-batches at low load.
        wake_every: seconds after which empty micro-batches come again.

    Raises:
        LeaseError: another process owns the partitions.
        OffsetGone: the flow's offsets are of another stream.
        StreamError: the partitions asked for do not exist, or the dead letters are in another Redis.
    """
    edges = open_edges(settings)
    client, stream = edges.client, edges.stream
    partitions = settings.partitions or tuple(range(stream.partitions))
    if outside := [partition for partition in partitions if partition >= stream.partitions]:
        raise StreamError(f"INLAY_PARTITIONS names partition {outside[0]}, the stream has 0-{stream.partitions - 1}")
    serve_metrics(settings.metrics_port)
    lease = Lease(client, flow, partitions, settings.lease)
    lease.acquire()
    with lease.given_back_if_refused():
        place = read_place(client, flow, partitions)
        check_identity(stream, flow, place)
    client.hset(OFFSETS_KEY.format(flow), STREAM, stream.identity)
    committed = dict(place.committed)
    stop = StopSignal()
    stop.listen()
    receive = Receive(
        Numbered(stream, place.added), client, flow, lease, committed, stop,
        rewind=rewind, batch_events=settings.batch_events, batch_wait=batch_wait,
        keep=settings.stream_keep, readers=readers(settings), wake_every=wake_every,
    )  # fmt: skip
    settle_memory()
    logging.getLogger(__name__).info("%s owns partitions %s", flow, partitions)
    return Owned(edges, partitions, committed, lease, receive)
