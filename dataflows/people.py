"""The people flow: what each user did, as features of that user. `python -m bytewax.run dataflows.people`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping

import bytewax.operators as op
import redis
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink

from dataflows.aggregate import Aggregate, DueSet
from dataflows.aggregate_people import FoldPeople, Partition
from dataflows.aggregates.people import User
from dataflows.derived import open_derived, silence
from dataflows.enrich import Complete, LookUp, enrich
from dataflows.enrichments import EnrichmentError, open_sources
from dataflows.erased_ids import ErasedIds
from dataflows.event_gate import judge_people
from dataflows.events import DAY, SECOND
from dataflows.gate import Gate
from dataflows.identities import Identities
from dataflows.inbox import Inbox
from dataflows.population import Population, population_counts
from dataflows.redis_memory import advice
from dataflows.settings import FlowSettings, flow_settings
from dataflows.stages import Aggregated, Enriched, Received, Validated
from dataflows.state import CatalogueFacts, user_states, user_table
from dataflows.validate import Validate
from dataflows.wiring import wire

DUE_KEY = "inlay:due:{}"


def build(
    received: Source[Received],
    store: Sink[tuple[str, Aggregated]],
    *,
    validate: Validate,
    look_up: LookUp,
    aggregate: Callable[[], Aggregate[Enriched]],
    gate: Gate,
    complete: Callable[[Validated], Validated] = lambda batch: batch,
    judge: Callable[[list[Enriched]], list[Enriched]] = lambda several: several,
) -> Dataflow:
    """The pipeline between its edges: whatever the stream and the store are, this is what happens in between."""
    flow = Dataflow("people")
    batches = op.input("receive", flow, received)
    validated = op.map("validate", batches, validate)
    enriched = op.flat_map_batch("enrich", validated, lambda several: enrich(several, look_up, complete))
    judged = op.flat_map_batch("judge", enriched, judge)
    keyed = op.key_on("partition", judged, lambda each: str(each.batch.partition))
    aggregated = op.stateful_batch("aggregate", keyed, lambda _: aggregate())
    gated = op.flat_map_batch("gate", op.key_rm("rows", aggregated), gate)
    op.output("store", op.key_on("place", gated, lambda _: "store"), store)
    return flow


def folds(client: redis.Redis, settings: FlowSettings, partitions: int) -> Callable[..., FoldPeople]:
    """What makes a fold of the users in Redis: `make(committed, history=False)`.

    Args:
        client: of the online store.
        settings: of the flow.
        partitions: how many the stream has.
    """
    read = user_states(client)
    users = user_table(read, settings.state_cache)
    derived = open_derived(settings)
    population = Population(population_counts(client, range(partitions)))

    def stored(keys: Collection[str]) -> dict[str, User]:
        return user_table(read, 0).peek(keys)

    def make(committed: Mapping[int, int], *, history: bool = False) -> FoldPeople:
        def open_partition(number: int) -> Partition:
            return Partition(
                DueSet(client, DUE_KEY.format(number)),
                Identities(Inbox(client, number), stored, partitions, ErasedIds(client, number)),
                silence if history else derived.commands,
                population,
            )

        return FoldPeople(
            users,
            open_partition,
            committed,
            cart_idle=round(settings.cart_idle * SECOND),
            state_ttl=round(settings.state_ttl * DAY),
            history=history,
        )

    return make


def make_complete(settings: FlowSettings) -> Complete:
    """What fills in events, by the settings.

    Raises:
        EnrichmentError: they name one that there is not, or that is strict and not used.
    """
    sources = open_sources(settings.enrich)
    if unused := set(settings.enrich_strict) - sources.keys():
        raise EnrichmentError(f"INLAY_ENRICH_STRICT names {min(unused)!r}, which is not in INLAY_ENRICH")
    return Complete(sources, settings.enrich_strict)


def flow() -> Dataflow:
    """The flow on the configured stream, owning the configured partitions."""
    settings = flow_settings(os.environ)
    wiring = wire(settings, "people", ["user"])
    if command := advice(wiring.client):
        logging.getLogger(__name__).warning("users take three times the memory that they need; type: %s", command)
    fold = folds(wiring.client, settings, wiring.receive.stream.partitions)
    return build(
        wiring.receive,
        wiring.store,
        validate=wiring.validate,
        look_up=CatalogueFacts(wiring.client, time.monotonic),
        aggregate=lambda: Aggregate(fold(wiring.committed), wiring.clock, alive=wiring.receive.lease.renew),
        gate=wiring.gate,
        complete=make_complete(settings),
        judge=judge_people(wiring.event_gate),
    )
