"""The log of a device: its events in few bytes, to be folded again into whoever turns out to have been there.

What the catalogue said when an event arrived is written down with it, so that folding it again needs nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from dataflows.aggregates.effects import CONSENTS, TRAITS, UNKNOWN, Fact
from dataflows.aggregates.identity import MOST_LOGGED, SLACK
from dataflows.aggregates.seen import hash_id
from dataflows.events import EVENT_TYPES, Event, Line

NUMBERS: Final[Mapping[str, int]] = {kind: number for number, kind in enumerate(EVENT_TYPES)}
"""Types as numbers. New types go to the end of EVENT_TYPES: these are stored."""
NAMES: Final = (*TRAITS, *CONSENTS)
DESCRIBING: Final = frozenset({"sign_up", "identify", "profile", "consent"})
WORDY: Final = DESCRIBING | {"purchase", "refund"}
"""Types of which more is folded than what, when and where."""

LoggedLine = tuple[str, float | None, float | None, str | None]
"""Item, quantity, price and category, as far as known."""


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One logged event. It has what folding asks of an `Event`, but for its id, of which only the hash is kept."""

    hashed: int
    at: int
    number: int
    logged: tuple[LoggedLine, ...] = ()
    country: str | None = None
    order_id: str | None = None
    price: float | None = None
    quantity: float | None = None
    traits: dict[str, Any] = {}
    properties: dict[str, Any] = {}

    event_id = ""
    category = None

    @property
    def type(self) -> str:
        """What kind of event it was."""
        return EVENT_TYPES[self.number]

    @property
    def facts(self) -> dict[str, Fact]:
        """What the catalogue, or the event itself, said of the categories of the items."""
        return {item_id: Fact(category, None) for item_id, _, _, category in self.logged}

    def lines(self) -> tuple[Line, ...]:
        """What it is about as lines, with the prices of the moment."""
        return tuple(Line(item_id, quantity, price) for item_id, quantity, price, _ in self.logged)


_encode: Final = msgspec.msgpack.Encoder().encode
read: Final = msgspec.msgpack.Decoder(Entry).decode
"""The entry that `write` wrote."""


def write(event: Event, facts: Mapping[str, Fact]) -> bytes:
    """An event and what the catalogue says of its items now, as bytes."""
    kind, item_id = event.type, event.item_id
    logged: Sequence[LoggedLine] = ()
    if event.items:
        logged = [_line(event, line, facts.get(line.item_id, UNKNOWN)) for line in event.items]
    elif item_id is not None:
        logged = (_line(event, event, facts.get(item_id, UNKNOWN)),)
    head = (hash_id(event.event_id), event.occurred_at, NUMBERS[kind], logged)
    if event.country is None and kind not in WORDY:
        return _encode(head)
    fields: list[Any] = [*head, event.country, event.order_id]
    if kind == "purchase":  # one without an order is an order of its own, which is named as the event is
        fields[-1] = event.order_id or event.event_id
    fields += (None, None) if logged else (event.price, event.quantity)
    if kind in DESCRIBING:
        fields += _said(event.traits), _said(event.properties)
    while not fields[-1] and fields[-1] != 0:
        fields.pop()
    return _encode(fields)


def newest(log: list[bytes]) -> list[bytes]:
    """The MOST_LOGGED entries of the latest events, in the order they have; of events at one moment by hash."""
    if len(log) <= MOST_LOGGED:
        return log
    places = sorted(range(len(log)), key=lambda n: _place(log[n]))
    return [log[n] for n in sorted(places[-MOST_LOGGED:])]


def is_overgrown(log: list[bytes]) -> bool:
    """Whether it is time to cut a log to its `newest`."""
    return len(log) > MOST_LOGGED + SLACK


def moment(log: Iterable[bytes]) -> int:
    """When the latest event of a log happened; 0 if there is none."""
    return max((read(packed).at for packed in log), default=0)


def _place(packed: bytes) -> tuple[int, int]:
    entry = read(packed)
    return entry.at, entry.hashed


def _line(event: Event, line: Event | Line, fact: Fact) -> LoggedLine:
    """A line, the event itself where it has no others, with what is known of its item."""
    price = fact.price if line.price is None else line.price
    return line.item_id or "", line.quantity, price, event.category or fact.category


def _said(words: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the words that a user's profile may take over."""
    return {
        name: said[:200] if isinstance(said, str) else said
        for name in NAMES
        if isinstance(said := words.get(name), (str, bool))
    }
