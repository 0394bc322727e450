"""The items flow: how each item does, what goes with it, what is popular. `python -m bytewax.run dataflows.items`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping

import bytewax.operators as op
import redis
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from dataflows.aggregate import Aggregate, DueSet
from dataflows.aggregate_items import SEEN_KEY, FoldItems, SeenIds
from dataflows.aggregates.items import Item, unpack_scope
from dataflows.aggregates.neighbours import Visit
from dataflows.aggregates.popularity import Scope
from dataflows.connectors import StreamError, open_stream
from dataflows.event_gate import judge_items
from dataflows.gate import Gate
from dataflows.settings import FlowSettings, flow_settings
from dataflows.stages import Aggregated, Received, Validated
from dataflows.state import CatalogueFacts, StateTable, entity_states, visit_states
from dataflows.validate import Validate
from dataflows.wiring import wire
from feature_repo.layout import ITEM, SCOPE

DUE_KEY = "inlay:due:items"
ITEMS_AT_ONCE = 2000
"""Items a tick: one key of the flow has them all, and all that were met lately are due with every hour."""


def build(
    received: Source[Received],
    store: Sink[tuple[str, Aggregated]],
    *,
    validate: Validate,
    aggregate: Callable[[], Aggregate[Validated]],
    gate: Gate,
    judge: Callable[[list[Validated]], list[Validated]] = lambda several: several,
) -> Dataflow:
    """The pipeline between its edges. It enriches nothing: what the catalogue says is part of an item's state."""
    flow = Dataflow("items")
    batches = op.input("receive", flow, received)
    validated = op.map("validate", batches, validate)
    judged = op.flat_map_batch("judge", validated, judge)
    keyed = op.key_on("all", judged, lambda _: "items")
    aggregated = op.stateful_batch("aggregate", keyed, lambda _: aggregate())
    gated = op.flat_map_batch("gate", op.key_rm("rows", aggregated), gate)
    op.output("store", op.key_on("place", gated, lambda _: "store"), store)
    return flow


def folds(
    client: redis.Redis, settings: FlowSettings, partitions: Iterable[int]
) -> Callable[[Mapping[int, int], bool], FoldItems]:
    """What makes a fold of the items in Redis, given what was committed and whether the events are history."""
    cache = settings.state_cache
    items = StateTable(entity_states(client, ITEM), Item.unpack, Item, cache)
    visits = StateTable(visit_states(client), Visit.unpack, Visit, cache)
    scopes = StateTable(entity_states(client, SCOPE), unpack_scope, Scope, cache)
    seen = {
        partition: SeenIds(partition, settings.seen_events, client.lrange(SEEN_KEY.format(partition), 0, -1))
        for partition in partitions
    }
    due = DueSet(client, DUE_KEY, ITEMS_AT_ONCE)
    return lambda committed, history: FoldItems(items, visits, scopes, seen, due, dict(committed), history=history)


def flow() -> Dataflow:
    """The flow on the configured stream.

    Raises:
        StreamError: INLAY_PARTITIONS leaves some out; an item's events come from all of them.
    """
    settings = flow_settings(os.environ)
    if settings.partitions and len(settings.partitions) != open_stream(settings.stream_url).partitions:
        raise StreamError(
            "the items flow needs every partition, since an item's events come from all: unset INLAY_PARTITIONS"
        )
    wiring = wire(settings, "items", ["item", "scope"])
    fold = folds(wiring.client, settings, wiring.partitions)
    return build(
        wiring.receive,
        wiring.store,
        validate=wiring.validate,
        aggregate=lambda: Aggregate(fold(wiring.committed, False), wiring.clock, alive=wiring.receive.lease.renew),
        gate=wiring.gate,
        judge=judge_items(wiring.event_gate, CatalogueFacts(wiring.client, time.monotonic)),
    )
