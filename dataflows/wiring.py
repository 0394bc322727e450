"""What the flows and a backfill are wired to: leases, gates and stores, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import redis
from msgspec import Struct

from dataflows.aggregates.people import TIMED
from dataflows.event_gate import Behaviour, EventGate, catalogue, is_behaviour, is_catalogue
from dataflows.gate import Gate
from dataflows.held import Ceiling
from dataflows.owning import Edges, clock, make_validate, own, rows_out
from dataflows.receive import Receive
from dataflows.settings import FlowSettings
from dataflows.store import Store, StoreSink
from dataflows.validate import Validate
from expectations.verdict import load_tables, load_verdict

TIMED_OF: Final = {"user": TIMED}
"""The features of an entity that time alone changes, where there are rows of nothing else."""


def make_gate(settings: FlowSettings, entities: Sequence[str], ceiling: Ceiling) -> Gate:
    """The gate for the rows of some entities; each has a suite of expectations."""
    return Gate(
        {entity: load_verdict(entity) for entity in entities},
        {entity: load_verdict(entity, TIMED_OF[entity]) for entity in entities if entity in TIMED_OF},
        settings.gate_ratio,
        ceiling,
    )


def make_event_gate(
    settings: FlowSettings, edges: Edges, flow: str, ceiling: Ceiling, now: Callable[[], int] = clock
) -> EventGate:
    """The gate for the events of a flow."""
    letters, client = edges.dead_letters, edges.client
    of_people = flow == "people"
    return EventGate(
        load_tables("events" if of_people else "catalogue"),
        Behaviour(now) if of_people else catalogue,
        is_behaviour if of_people else is_catalogue,
        ceiling,
        lambda values: letters.sent_again(client, values),
        settings.dead_letters_keep // 10,
        letters.held_places(client, flow),
    )


class Wiring(Struct, frozen=True):
    """The edges of a flow, and what its steps are given."""

    client: redis.Redis
    partitions: tuple[int, ...]
    committed: dict[int, int]
    receive: Receive
    validate: Validate
    gate: Gate
    event_gate: EventGate
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
    ceiling = Ceiling(flow, settings.gate_held)
    gate = make_gate(settings, entities, ceiling)
    owned = own(settings, flow, rewind=settings.rewind, batch_wait=settings.batch_wait)
    edges, client = owned.edges, owned.edges.client
    return Wiring(
        client,
        owned.partitions,
        owned.committed,
        owned.receive,
        make_validate(settings),
        gate,
        make_event_gate(settings, edges, flow, ceiling),
        StoreSink(
            Store(
                client,
                flow,
                owned.lease,
                edges.dead_letters,
                clock,
                rows=rows_out(settings, client),
                quarantine=edges.quarantine,
            )
        ),
        clock,
    )
