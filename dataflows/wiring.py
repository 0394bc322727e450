"""What the flows and a backfill are wired to: Redis, the stream, leases, gates and stores, from the settings."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import redis
from msgspec import Struct

from dataflows.aggregates.people import TIMED
from dataflows.avro_wire import open_avro
from dataflows.connectors import Stream, StreamError, open_stream
from dataflows.connectors.letters import DeadLetters, open_letters
from dataflows.connectors.redis_streams import connect
from dataflows.gate import Gate
from dataflows.lease import Lease
from dataflows.metrics import serve_metrics
from dataflows.numbering import STREAM, Numbered, check_identity, read_place
from dataflows.receive import Receive
from dataflows.settings import FlowSettings, split_query
from dataflows.stopping import StopSignal
from dataflows.store import OFFSETS_KEY, Store, StoreSink
from dataflows.validate import Validate
from expectations.verdict import load_verdict

TIMED_OF: Final = {"user": TIMED}
"""The features of an entity that time alone changes, where there are rows of nothing else."""
REGISTRY_SECONDS = 5.0
"""How long a registry of schemas that does not answer is asked again: less than a lease lasts."""


def clock() -> int:
    """Microseconds since 1970, now."""
    return time.time_ns() // 1000


def settle_memory() -> None:
    """Leave what the libraries hold out of garbage collection, and collect rarely.

    A full collection of what Feast and Great Expectations hold takes 100 ms; with Python's defaults it comes every few
    thousand events and takes a third of the flow's time. Events and rows form no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


class Edges(Struct, frozen=True):
    """What everybody who writes features is connected to."""

    client: redis.Redis
    stream: Stream
    dead_letters: DeadLetters


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
    return Edges(connect(settings.redis_url), open_stream(settings.stream_url), dead_letters)


def make_gate(entities: Sequence[str]) -> Gate:
    """The gate for the rows of some entities; each has a suite of expectations."""
    return Gate(
        {entity: load_verdict(entity) for entity in entities},
        {entity: load_verdict(entity, TIMED_OF[entity]) for entity in entities if entity in TIMED_OF},
    )


def make_validate(settings: FlowSettings) -> Validate:
    """What judges records, by the settings and the clock."""
    avro = open_avro(settings.schema_registry, REGISTRY_SECONDS) if settings.schema_registry else None
    skew = round(settings.max_skew * 1_000_000)
    return Validate(clock, skew, settings.refused_run, settings.refused_share, avro=avro)


class Wiring(Struct, frozen=True):
    """The edges of a flow, and what its steps are given."""

    client: redis.Redis
    partitions: tuple[int, ...]
    committed: dict[int, int]
    receive: Receive
    validate: Validate
    gate: Gate
    store: StoreSink
    clock: Callable[[], int]


def wire(settings: FlowSettings, flow: str, entities: Sequence[str]) -> Wiring:
    """Connect a flow to the world and take its partitions.

    Args:
        settings: as read from the environment.
        flow: `people` or `items`.
        entities: whose rows the flow writes; each has a suite of expectations.

    Raises:
        LeaseError: another process owns the partitions.
        OffsetGone: the flow's offsets are of another stream.
        StreamError: the partitions asked for do not exist, or the dead letters are in another Redis.
    """
    edges, gate = open_edges(settings), make_gate(entities)
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
        rewind=settings.rewind, batch_events=settings.batch_events, batch_wait=settings.batch_wait,
        keep=settings.stream_keep,
    )  # fmt: skip
    settle_memory()
    logging.getLogger(__name__).info("%s owns partitions %s", flow, partitions)
    return Wiring(
        client,
        partitions,
        committed,
        receive,
        make_validate(settings),
        gate,
        StoreSink(Store(client, flow, lease, edges.dead_letters, clock)),
        clock,
    )
