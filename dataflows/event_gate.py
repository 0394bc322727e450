"""Gate of events: what a whole micro-batch of them must satisfy before it is counted.

A row can be taken back, a state cannot: once prices in cents are in it, every later row is made of them. So what only a
table shows is looked at before events are folded. A batch that breaks a rule of its suite is refused whole; its events
are in the dead letters, and a person who sends them again has decided: they pass.

What shoppers did is one table and the catalogue another, since a broken feed says nothing about visits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from dataflows.aggregates.effects import Fact
from dataflows.events import MINUTE, TIMELESS, Event, Refused
from dataflows.held import Ceiling
from dataflows.stages import Enriched, Validated

WHERE: Final = "python -m dataflows.dead_letters list --where kind=gate"
OLD: Final = 10 * MINUTE
"""An event that old was not sent the moment it happened; younger ones may well share a second."""
LOOKED_AT: Final = 2000
"""Most events of a batch that are looked at, evenly taken."""
SETTLED: Final = 3
"""So many batches must have shown that most items are known before unknown ones mean anything."""
FEW: Final = 200

NOTHING_KNOWN: Final = Fact(None, None)
LookUp: TypeAlias = Callable[[Collection[str]], dict[str, Fact]]
SentAgain: TypeAlias = Callable[[Sequence[bytes]], set[int]]
"""Of some events, by their bytes, the places of those that a person has sent again."""


class TableVerdict(Protocol):
    """Judges a table by its columns."""

    def broken(self, columns: Mapping[str, Sequence[Any]]) -> str:
        """Why the table cannot be right, in words; empty if nothing says so."""


class EventGate:
    """Looks at the events of one flow.

    Args:
        verdict: of tables.
        columns: makes the table of some events, given what is known of their items.
        concerns: whether an event belongs to the table.
        ceiling: told of each batch that is held.
        sent_again: which of some events a person has sent again.
        most: events that are held at once; a batch that has more stops the flow, since the stream keeps it better.
        held: partitions and offsets of events that are in the dead letters for this; they may be read again after a
            start, in other company, and stay refused.
    """

    def __init__(
        self,
        verdict: TableVerdict,
        columns: Callable[[Sequence[Event], Mapping[str, Fact]], dict[str, list[Any]]],
        concerns: Callable[[Event], bool],
        ceiling: Ceiling,
        sent_again: SentAgain = lambda events: set(),
        most: int = 10_000,
        held: Iterable[tuple[int, int]] = (),
    ) -> None:
        self._verdict, self._columns, self._concerns = verdict, columns, concerns
        self._ceiling, self._sent_again, self._most = ceiling, sent_again, most
        self._held = set(held)

    def __call__(self, batches: list[Validated], facts: Mapping[str, Fact]) -> list[Validated]:
        """The micro-batches of all partitions, as they came or with their events refused.

        Raises:
            TooManyHeld: the ceiling was reached, or there are too many events to be set aside.
        """
        batches = [self._still_refused(batch) for batch in batches] if self._held else list(batches)
        events = [event for batch in batches for _, event in batch.events if self._concerns(event)]
        if not self._why(events, facts):
            return batches
        passed = self._sent_again_in(batches)
        events = [
            event
            for batch in batches
            for offset, event in batch.events
            if self._concerns(event) and (batch.partition, offset) not in passed
        ]
        why = self._why(events, facts)
        if not why:
            return batches
        self._ceiling.hold("events", len(events), why, where=WHERE, too_many=len(events) > self._most)
        for place, batch in enumerate(batches):
            concerned = {offset for offset, event in batch.events if self._concerns(event)}
            passed_here = {offset for partition, offset in passed if partition == batch.partition}
            batches[place] = self._refused(batch, concerned - passed_here, why)
        return batches

    def _still_refused(self, batch: Validated) -> Validated:
        """A batch that is read again, without the events that were held when it was read first."""
        partition = batch.partition
        again = {offset for offset, _ in batch.events if (partition, offset) in self._held}
        self._held = {place for place in self._held if place[0] != partition or place[1] > batch.offset}
        if not again:
            return batch
        return self._refused(batch, again, "it was before")

    def _why(self, events: Sequence[Event], facts: Mapping[str, Fact]) -> str:
        some = events[:: -(-len(events) // LOOKED_AT) or 1]
        return self._verdict.broken(self._columns(some, facts)) if some else ""

    def _sent_again_in(self, batches: Iterable[Validated]) -> set[tuple[int, int]]:
        places = [
            (batch.partition, offset) for batch in batches for offset, event in batch.events if self._concerns(event)
        ]
        originals = {batch.partition: _originals(batch) for batch in batches}
        found = self._sent_again([originals[partition].get(offset, b"") for partition, offset in places])
        return {places[place] for place in found}

    @staticmethod
    def _refused(batch: Validated, held: set[int], why: str) -> Validated:
        originals = _originals(batch)
        refused = list(batch.refused)
        events = []
        for offset, event in batch.events:
            if offset in held:
                say = f"held with its whole batch, since {why}"
                refused.append((offset, Refused("gate", "gate", say, "", originals.get(offset, b""))))
            else:
                events.append((offset, event))
        refused.sort(key=lambda one: one[0])
        return batch._replace(events=events, refused=refused)


class Behaviour:
    """The table of what shoppers did; it remembers whether most items used to be known.

    Args:
        clock: microseconds since 1970, now.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._known, self._batches = 0.0, 0

    def __call__(self, events: Sequence[Event], facts: Mapping[str, Fact]) -> dict[str, list[Any]]:
        """Of some events: what the price is beside the catalogue's, the time if that is old, whether the item is new.

        `unknown_item` is 1 or 0; it is missing until most items of some batches were known, as in a shop that has no
        catalogue here.
        """
        old = self._clock() - OLD
        ratios = [_ratio(line.price, facts.get(line.item_id)) for event in events for line in event.lines()]
        named = [event.item_id for event in events if event.item_id is not None]
        unknown = [float(facts.get(item_id, NOTHING_KNOWN) == NOTHING_KNOWN) for item_id in named]
        settled = self._batches >= SETTLED and self._known >= 0.5
        if len(unknown) >= FEW:
            share = 1 - sum(unknown) / len(unknown)
            if not settled or share >= 0.5:  # what is held is no example
                self._known = share if not self._batches else 0.8 * self._known + 0.2 * share
                self._batches += 1
        return {
            "price_ratio": ratios,
            "old_time": [event.at if event.at < old and event.type not in TIMELESS else None for event in events],
            "unknown_item": unknown if settled else [],
        }


def catalogue(events: Sequence[Event], facts: Mapping[str, Fact]) -> dict[str, list[Any]]:
    """Of some events of the catalogue: what the price is beside the one that is known, and of each item a title."""
    titles = {event.item_id: event.title for event in events}
    return {
        "price_ratio": [_ratio(event.price, facts.get(event.item_id or "")) for event in events],
        "title": list(titles.values()),
    }


def is_behaviour(event: Event) -> bool:
    """Whether an event is about what somebody did."""
    return event.type != "item"


def is_catalogue(event: Event) -> bool:
    """Whether an event is about an item."""
    return event.type == "item"


def judge_people(gate: EventGate) -> Callable[[list[Enriched]], list[Enriched]]:
    """The step of the people flow: its events are together with what the catalogue says."""

    def judge(several: list[Enriched]) -> list[Enriched]:
        facts = several[0].facts if several else {}
        judged = gate([each.batch for each in several], facts)
        return [each._replace(batch=batch) for each, batch in zip(several, judged, strict=True)]

    return judge


def judge_items(gate: EventGate, look_up: LookUp) -> Callable[[list[Validated]], list[Validated]]:
    """The step of the items flow, which looks up what is known of the items that are described anew."""

    def judge(several: list[Validated]) -> list[Validated]:
        items = {event.item_id or "" for batch in several for _, event in batch.events if event.type == "item"}
        return gate(several, look_up(items)) if items else several

    return judge


def _ratio(price: float | None, fact: Fact | None) -> float | None:
    return price / fact.price if price is not None and fact is not None and fact.price else None


def _originals(batch: Validated) -> dict[int, bytes]:
    received = batch.received
    return {} if received is None else dict(zip(received.offsets, received.values, strict=True))
