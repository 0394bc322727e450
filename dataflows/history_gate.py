"""Gate of history: what the events of a file must satisfy as tables before the first of them is counted.

A live batch that cannot be right is held in the dead letters, since the stream behind it must go on. A file can wait:
it is not begun, and the person who is there mends it, or says that it is right. It is looked at as a whole before
anything is written, since what was counted of it stays counted, and a mended file is another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from dataflows.aggregates.effects import Fact
from dataflows.event_gate import LOOKED_AT, Behaviour, LookUp, TableVerdict, catalogue
from dataflows.events import Event, Refused, parse

Told = Mapping[str, Any]
"""An event as a file tells it."""


class Unlikely(RuntimeError):
    """The events of a file cannot be right as they are; the message says why, and where."""


class HistoryGate:
    """Looks at the events of files, by the suites that the live flows hold their batches against.

    Args:
        behaviour: of tables of what shoppers did.
        catalogue: of tables of what the catalogue said.
        look_up: what is known of items before the first file.
        now: microseconds since 1970.
        max_skew: microseconds an event may lie in the future; what is refused has no part in a figure.
    """

    def __init__(
        self, behaviour: TableVerdict, catalogue: TableVerdict, look_up: LookUp, now: int, max_skew: int
    ) -> None:
        self._verdicts = (catalogue, behaviour)
        self._behaviour, self._look_up = Behaviour(lambda: now), look_up
        self._now, self._max_skew = now, max_skew
        self._said: dict[str, Fact] = {}

    def look_at(self, name: str, chunks: Iterable[Sequence[Told]]) -> None:
        """Look at a file, in the order in which its events are counted.

        Args:
            name: of the file, for people.
            chunks: its events, as many at a time as a micro-batch has.

        Raises:
            Unlikely: a table of them breaks a rule.
        """
        first = 1
        for chunk in chunks:
            for why in self._broken(chunk):
                raise Unlikely(
                    f"{name} is not taken, since {why} This is so in events {first:,} to {first + len(chunk) - 1:,} of "
                    "it, in order of time. Nothing of it was counted: mend it and start again, or, if it is right, "
                    "start again with --as-it-is"
                )
            first += len(chunk)

    def _broken(self, chunk: Sequence[Told]) -> Iterable[str]:
        described = self._parsed([each for each in chunk if each.get("type") == "item"])
        did = self._parsed(_some([each for each in chunk if each.get("type") != "item"]))
        facts = self._facts({event.item_id or "" for event in described} | _named_in(did))
        by_catalogue, by_behaviour = self._verdicts
        if described:
            yield from filter(None, [by_catalogue.broken(catalogue(_some(described), facts))])
        for event in described:
            self._said[event.item_id or ""] = facts[event.item_id or ""] = _told_of(event, facts[event.item_id or ""])
        if did:
            yield from filter(None, [by_behaviour.broken(self._behaviour(did, facts))])

    def _parsed(self, some: Iterable[Told]) -> list[Event]:
        judged = (parse(_encode(each), self._now, max_skew=self._max_skew) for each in some)
        return [each for each in judged if not isinstance(each, Refused)]

    def _facts(self, item_ids: set[str]) -> dict[str, Fact]:
        """What was said of items: by the files so far, else by the catalogue that is online."""
        online = self._look_up(item_ids - self._said.keys())
        return {item_id: self._said.get(item_id) or online[item_id] for item_id in item_ids}


def _some(events: Sequence[Any]) -> Sequence[Any]:
    """At most so many, evenly taken."""
    return events[:: -(-len(events) // LOOKED_AT) or 1]


def _named_in(events: Iterable[Event]) -> set[str]:
    named = {event.item_id for event in events if event.item_id is not None}
    return named.union(line.item_id for event in events for line in event.lines())


def _told_of(event: Event, before: Fact) -> Fact:
    return Fact(event.category or before.category, before.price if event.price is None else event.price)


_encode: Final = msgspec.json.Encoder().encode
