"""An item: its place in the catalogue, its windows and its neighbours, as one state that is folded and one row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from dataflows.aggregates.neighbours import weigh
from dataflows.aggregates.people import UnknownVersion
from dataflows.aggregates.popularity import Scope, trend
from dataflows.aggregates.tiles import ITEM_LEVELS, Tiles
from dataflows.events import HOUR, SECOND, Event

VERSION: Final = 1
KINDS: Final = ("views", "carts", "purchases")
COUNTED: Final[Mapping[str, int]] = {"view": 0, "add_to_cart": 1, "purchase": 2}
CATALOGUE: Final = (
    "title", "url", "image_url", "price", "list_price", "currency", "category", "brand", "in_stock", "added_at",
)  # fmt: skip


class Item:
    """The state of one item. `row_at` is the time of its newest row, `described_at` of the newest description."""

    __slots__ = ("binding", "bindings", "catalogue", "described_at", "moments", "row_at", "tiles")

    def __init__(self) -> None:
        self.row_at = 0
        self.tiles = Tiles(ITEM_LEVELS, len(KINDS))
        self.binding = 0
        self.bindings: dict[str, int] = {}
        self.catalogue: dict[str, Any] = {}
        self.described_at = 0
        self.moments: dict[str, int] = {}

    def describe(self, event: Event, at: int) -> None:
        """The shop describes the product: what it names replaces what was known, what it leaves out stays."""
        if at < self.described_at:
            return
        self.described_at = at
        known = self.catalogue
        price, in_stock = known.get("price"), known.get("in_stock")
        for name in CATALOGUE:
            said = getattr(event, name)
            if said is not None and said is not UNSET:
                known[name] = said // SECOND if name == "added_at" else said
        if event.list_price is None:
            known.pop("list_price", None)
        known.setdefault("added_at", at // SECOND)
        known.setdefault("in_stock", True)
        if price is not None and known["price"] < price:
            self.moments["price_dropped_at"] = at // SECOND
        if in_stock is False and known["in_stock"]:
            self.moments["restocked_at"] = at // SECOND

    def row(self, now: int, theirs: Mapping[str, int]) -> tuple[dict[str, Any], int | None]:
        """Every feature of the item at `now`, given its neighbours' bindings; and when it will change by itself."""
        counts, due = self.tiles.totals(now)
        values: dict[str, Any] = {name: self.catalogue.get(name) for name in CATALOGUE}
        values["price_dropped_at"] = self.moments.get("price_dropped_at")
        values["restocked_at"] = self.moments.get("restocked_at")
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
            self.described_at, self.moments,
        ))  # fmt: skip

    @classmethod
    def unpack(cls, packed: bytes) -> Item:
        """The state that `pack` wrote.

        Raises:
            UnknownVersion: another version of the product wrote it.
        """
        version, *content = msgspec.msgpack.decode(packed, strict=False)
        if version != VERSION:
            raise UnknownVersion(f"an item's state has version {version}, this release reads {VERSION}")
        item = cls()
        item.row_at, tiles, item.binding, item.bindings, item.catalogue, *times = content
        item.described_at, item.moments = times
        item.tiles = Tiles.unpack(tiles, ITEM_LEVELS, len(KINDS))
        return item


def pack_scope(scope: Scope) -> bytes:
    """A scope's state as bytes: msgpack, the version first."""
    return msgspec.msgpack.encode((VERSION, scope.row_at, scope.heat, scope.purchases, scope.days))


def unpack_scope(packed: bytes) -> Scope:
    """The state that `pack_scope` wrote.

    Raises:
        UnknownVersion: another version of the product wrote it.
    """
    version, *content = msgspec.msgpack.decode(packed, strict=False)
    if version != VERSION:
        raise UnknownVersion(f"a scope's state has version {version}, this release reads {VERSION}")
    scope = Scope()
    scope.row_at, scope.heat, scope.purchases, scope.days = content
    return scope
