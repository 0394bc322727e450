"""Enrich: put beside a micro-batch what the catalogue says of the items in it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from dataflows.aggregates.people import Fact
from dataflows.stages import Enriched, Validated

LookUp: TypeAlias = Callable[[Collection[str]], dict[str, Fact]]


def items_of(batch: Validated) -> set[str]:
    """Every item that an event of the micro-batch is about."""
    found: set[str] = set()
    for _, event in batch.events:
        if event.items:
            found.update(line.item_id for line in event.items)
        elif event.item_id is not None:
            found.add(event.item_id)
    return found


def enrich(batches: list[Validated], look_up: LookUp) -> list[Enriched]:
    """The micro-batches of all partitions with their facts, found in one look-up."""
    wanted: set[str] = set().union(*map(items_of, batches))
    facts = look_up(wanted)
    return [Enriched(batch, facts) for batch in batches]
