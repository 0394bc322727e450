"""An item: its place in the catalogue, its windows and its neighbours, as one state that is folded and one row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from operator import gt, lt
from typing import Any, Final

import msgspec
from msgspec import UNSET

from dataflows.aggregates.neighbours import weigh
from dataflows.aggregates.popularity import Scope, trend
from dataflows.aggregates.tiles import ITEM_LEVELS, Tiles
from dataflows.aggregates.versions import unpack_versioned
from dataflows.events import HOUR, SECOND, Event

VERSION: Final = 2
UNDECAYED: Final = 1
"""The version whose bindings do not fall with time: all of them are as if of the day from which decay is counted."""
SCOPE_VERSION: Final = 1
KINDS: Final = ("views", "carts", "purchases")
COUNTED: Final[Mapping[str, int]] = {"view": 0, "add_to_cart": 1, "purchase": 2}
CATALOGUE: Final = (
    "title", "url", "image_url", "price", "list_price", "currency", "category", "brand", "in_stock", "added_at",
)  # fmt: skip
MOST_CHANGES: Final = 16
HISTORIES: Final[Mapping[str, Callable[[Any, Any], bool]]] = {"price": gt, "in_stock": lt}
"""What is remembered over time, and when a step from one value to the next is a moment worth a mail."""


class Item:
    """The state of one item: `catalogue` holds by name when and what was said last."""

    __slots__ = ("binding", "bindings", "catalogue", "described_from", "histories", "row_at", "tiles")

    def __init__(self) -> None:
        self.row_at = 0
        self.tiles = Tiles(ITEM_LEVELS, len(KINDS))
        self.binding = 0.0
        self.bindings: dict[str, float] = {}
        self.catalogue: dict[str, list[Any]] = {}
        self.described_from: int | None = None
        self.histories: dict[str, dict[int, Any]] = {}

    def describe(self, event: Event, at: int) -> None:
        """The shop describes the product: what it names is kept if it is the newest said, what it leaves out stays.

        Of two things said of one moment the larger is kept, so that the order of arrival does not matter.
        """
        said = {name: value for name in CATALOGUE if (value := getattr(event, name)) not in (None, UNSET)}
        if event.list_price is None:
            said["list_price"] = None
        if "added_at" in said:
            said["added_at"] //= SECOND
        self.described_from = at if self.described_from is None else min(at, self.described_from)
        for name, value in said.items():
            known = self.catalogue.get(name)
            if known is None or (at, str(value)) > (known[0], str(known[1])):
                self.catalogue[name] = [at, value]
            if name in HISTORIES:
                self._remember(name, at, value)

    def _remember(self, name: str, at: int, value: Any) -> None:
        """Keep what was said of a price or of the stock, to find the moments at which it changed; bounded."""
        history = self.histories.setdefault(name, {})
        history[at] = max(value, history.get(at, value))
        if len(history) > MOST_CHANGES:
            del history[self._least_telling(name)]

    def _least_telling(self, name: str) -> int:
        """What can be forgotten of a history: a repetition of what was said before and after, else the oldest word.

        The newest moment stays, however often a catalogue that does not change is said again.
        """
        history = self.histories[name]
        times = sorted(history)
        for before, at, after in zip(times, times[1:], times[2:], strict=False):
            if history[before] == history[at] == history[after]:
                return at
        moment = self._moment(name)
        return times[0] if moment is None or moment > times[1] else times[2]

    def _moment(self, name: str) -> int | None:
        """The newest time at which the price fell or the item came back into stock."""
        better = HISTORIES[name]
        changes = sorted(self.histories.get(name, {}).items())
        found = [at for (_, before), (at, after) in pairwise(changes) if better(before, after)]
        return found[-1] if found else None

    def said(self, name: str) -> Any:
        """The newest thing said under a name of the catalogue; None if nothing was."""
        known = self.catalogue.get(name)
        return None if known is None else known[1]

    def row(self, now: int, theirs: Mapping[str, float]) -> tuple[dict[str, Any], int | None]:
        """Every feature of the item at `now`, given its neighbours' bindings; and when it will change by itself."""
        counts, due = self.tiles.totals(now)
        values: dict[str, Any] = {name: self.said(name) for name in CATALOGUE}
        if self.described_from is not None:  # what a shop need not say of a product that it sells
            values["in_stock"] = values["in_stock"] is not False
            values["added_at"] = values["added_at"] or self.described_from // SECOND
        for feature, name in (("price_dropped_at", "price"), ("restocked_at", "in_stock")):
            moment = self._moment(name)
            values[feature] = None if moment is None else moment // SECOND
        for window, totals in counts.items():
            for kind, total in zip(KINDS, totals, strict=True):
                values[f"{kind}_{window}"] = total
        values["trend"] = round(trend(self.tiles.hours(), now), 6)
        values["neighbours"], values["neighbour_weights"] = weigh(self.binding, self.bindings, theirs)
        if due is not None:
            due = min(due, (now // HOUR + 1) * HOUR)
        return values, due

    def pack(self) -> bytes:
        """The state as bytes: msgpack, the version first."""
        return msgspec.msgpack.encode((
            VERSION, self.row_at, self.tiles.pack(), self.binding, self.bindings, self.catalogue,
            self.described_from, self.histories,
        ))  # fmt: skip

    @classmethod
    def unpack(cls, packed: bytes) -> Item:
        """The state that `pack` wrote.

        Raises:
            UnknownVersion: another version of the product wrote it.
        """
        content = unpack_versioned(packed, VERSION, "an item's", oldest=UNDECAYED)
        item = cls()
        item.row_at, tiles, item.binding, item.bindings, item.catalogue, *described = content
        item.described_from, item.histories = described
        item.tiles = Tiles.unpack(tiles, ITEM_LEVELS, len(KINDS))
        return item


def pack_scope(scope: Scope) -> bytes:
    """A scope's state as bytes: msgpack, the version first."""
    return msgspec.msgpack.encode((SCOPE_VERSION, scope.row_at, scope.heat, scope.purchases, scope.days))


def unpack_scope(packed: bytes) -> Scope:
    """The state that `pack_scope` wrote.

    Raises:
        UnknownVersion: another version of the product wrote it.
    """
    content = unpack_versioned(packed, SCOPE_VERSION, "a scope's")
    scope = Scope()
    scope.row_at, scope.heat, scope.purchases, scope.days = content
    return scope
