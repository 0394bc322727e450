"""Enrich: fill in what an event tells without saying it, and put beside a micro-batch what the catalogue says.

An enrichment is a bonus: one that fails is counted, and the event goes on without it. Only one that was declared strict
sends the event to the dead letters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from msgspec.structs import replace

from dataflows.aggregates.effects import Fact
from dataflows.enrichments import Source
from dataflows.events import OURS, Event, Placed, Refused
from dataflows.metrics import ENRICHMENTS_FAILED
from dataflows.stages import Enriched, Validated

LookUp: TypeAlias = Callable[[Collection[str]], dict[str, Fact]]


class Complete:
    """Fills in events of a micro-batch.

    Args:
        sources: what is asked, by name.
        strict: names of sources whose failure refuses the event.
    """

    def __init__(self, sources: Mapping[str, Source], strict: Collection[str] = ()) -> None:
        self._sources, self._strict = dict(sources), frozenset(strict)
        self._parts = tuple({each.url_part for each in sources.values() if each.url_part is not None})
        self._properties = frozenset[str]().union(*(each.properties for each in sources.values()))

    def __call__(self, batch: Validated) -> Validated:
        """The micro-batch with its events filled in; the same one where there is nothing to fill in."""
        changed: dict[int, Event | Refused] = {}
        parts, properties = self._parts, self._properties
        for place, (offset, event) in enumerate(batch.events):
            if not event.properties or properties.isdisjoint(event.properties):
                if event.url is None:
                    continue
                for part in parts:
                    if part in event.url:
                        break
                else:
                    continue
            after = self._asked(event, batch, offset)
            if after is not event:
                changed[place] = after
        return _with(batch, changed) if changed else batch

    def _asked(self, event: Event, batch: Validated, offset: int) -> Event | Refused:
        """The event with what the sources find."""
        for name, source in self._sources.items():
            try:
                found = source.find(event)
                if found and (added := _added(event, found)):
                    event = replace(event, **added)
            except Exception as error:  # whatever a source stumbles over, it must not stop the flow
                ENRICHMENTS_FAILED.labels(name).inc()
                logging.getLogger(__name__).debug("%s of event %r: %r", name, event.event_id, error)
                if name in self._strict:
                    say = f"the enrichment {name} failed: {type(error).__name__}: {error}"
                    return Refused("enrich", "enrichment", say, "", batch.original(offset))
        return event


def items_of(batch: Validated) -> set[str]:
    """Every item of which an event of the micro-batch wants to know something."""
    found: set[str] = set()
    for _, event in batch.events:
        if event.type in OURS:
            continue
        if event.items:
            found.update(line.item_id for line in event.items)
        elif event.item_id is not None:
            found.add(event.item_id)
    return found


def enrich(
    batches: list[Validated], look_up: LookUp, complete: Callable[[Validated], Validated] = lambda batch: batch
) -> list[Enriched]:
    """The micro-batches of all partitions, filled in, with their facts, found in one look-up."""
    batches = [complete(batch) for batch in batches]
    wanted: set[str] = set().union(*map(items_of, batches))
    facts = look_up(wanted)
    return [Enriched(batch, facts) for batch in batches]


def _added(event: Event, found: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that change, by what was found; what the event says itself stays."""
    added: dict[str, Any] = {}
    for name, value in found.items():
        if name == "properties":
            if not value.keys() <= event.properties.keys():
                added[name] = value | event.properties
        elif getattr(event, name) is None:
            added[name] = value
    return added


def _with(batch: Validated, changed: Mapping[int, Event | Refused]) -> Validated:
    events: list[Placed] = []
    refused = list(batch.refused)
    for place, (offset, event) in enumerate(batch.events):
        each = changed.get(place, event)
        if isinstance(each, Refused):
            refused.append((offset, each))
        else:
            events.append((offset, each))
    refused.sort(key=lambda one: one[0])
    return batch._replace(events=events, refused=refused)
