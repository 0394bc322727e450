"""The people flow: what each user did, as features of that user. `python -m bytewax.run dataflows.people`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from dataflows.aggregate import Aggregate, DueSet
from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import User
from dataflows.connectors import open_stream
from dataflows.enrich import LookUp, enrich
from dataflows.gate import Gate
from dataflows.identities import Identities
from dataflows.inbox import Inbox
from dataflows.settings import flow_settings
from dataflows.stages import Aggregated, Enriched, Received
from dataflows.state import CatalogueFacts, StateTable, entity_states
from dataflows.validate import Validate
from dataflows.wiring import wire
from feature_repo.layout import USER

DUE_KEY = "inlay:due:{}"


def build(
    received: Source[Received],
    store: Sink[tuple[str, Aggregated]],
    *,
    validate: Validate,
    look_up: LookUp,
    aggregate: Callable[[], Aggregate[Enriched]],
    gate: Gate,
) -> Dataflow:
    """The pipeline between its edges: whatever the stream and the store are, this is what happens in between."""
    flow = Dataflow("people")
    batches = op.input("receive", flow, received)
    validated = op.map("validate", batches, validate)
    enriched = op.flat_map_batch("enrich", validated, lambda several: enrich(several, look_up))
    keyed = op.key_on("partition", enriched, lambda each: str(each.batch.partition))
    aggregated = op.stateful_batch("aggregate", keyed, lambda _: aggregate())
    gated = op.flat_map_batch("gate", op.key_rm("rows", aggregated), gate)
    op.output("store", op.key_on("place", gated, lambda _: "store"), store)
    return flow


def flow() -> Dataflow:
    """The flow on the configured stream, owning the configured partitions."""
    settings = flow_settings(os.environ)
    wiring = wire(settings, "people", ["user"])
    client = wiring.client
    cache = max(settings.state_cache, 2 * settings.batch_events)
    read = entity_states(client, USER)
    users = StateTable(read, User.unpack, User, cache)
    partitions = open_stream(settings.stream_url).partitions

    def stored(keys: Collection[str]) -> dict[str, User]:
        return StateTable(read, User.unpack, User, 0).peek(keys)

    return build(
        wiring.receive,
        wiring.store,
        validate=wiring.validate,
        look_up=CatalogueFacts(client, time.monotonic),
        aggregate=lambda: Aggregate(
            FoldPeople(
                users,
                lambda partition: DueSet(client, DUE_KEY.format(partition)),
                wiring.committed,
                lambda partition: Identities(Inbox(client, partition), stored, partitions),
            ),
            wiring.clock,
        ),
        gate=wiring.gate,
    )
