"""What came last: items by their newest moment, bounded, the same in whatever order the events arrive.

Each entry keeps the largest thing ever said about it, and a maximum does not depend on order. The `keep` newest of
all entries are also the newest of any larger selection, so that dropping the rest loses nothing.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from operator import le, lt
from statistics import median
from typing import Any, Final, NamedTuple, TypeAlias

from dataflows.aggregates.columns import MANY, Column, pack_column, unpack_column
from dataflows.aggregates.packing import REMEMBERED, Reader, Writer, pack_words, unpack_words
from dataflows.events import DAY

RECENT: Final = 30
TASTE_HALF_LIFE: Final = 7 * DAY
TOP_CATEGORIES: Final = 5


Seen: TypeAlias = tuple[int, float, str]
"""When an item was last looked at (microseconds), and its price and category then, where known."""


class Taste(NamedTuple):
    """What the recent items have in common: categories with their shares, and a typical price."""

    categories: list[str]
    weights: list[float]
    price: float | None


UNKNOWN_PRICE: Final = -1.0


class Recent:
    """Distinct items, at most `RECENT` of them when read, in order of coming, which most often is that of time."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[str, Seen] = {}

    def touch(self, item_id: str, at: int, price: float | None, category: str | None) -> None:
        """An item was looked at."""
        seen = (at, UNKNOWN_PRICE if price is None else price, category or "")
        entries = self.entries
        before = entries.get(item_id)
        if before is None:
            entries[item_id] = seen
            if len(entries) > 2 * RECENT:
                self.entries = dict(reversed(self.newest()))
        elif seen > before:
            del entries[item_id]
            entries[item_id] = seen

    def merge(self, other: Recent) -> None:
        """Take in what another looked at."""
        for item_id, seen in other.entries.items():
            before = self.entries.get(item_id)
            if before is None or seen > before:
                self.entries[item_id] = seen

    def newest(self) -> list[tuple[str, Seen]]:
        """The items newest first; items of one moment by their id."""
        entries = list(self.entries.items())
        times = [seen[0] for _, seen in entries]
        if all(map(lt, times, times[1:])):
            entries.reverse()
            return entries[:RECENT]
        return sorted(entries, key=_newest_first)[:RECENT]

    def write(self, to: Writer) -> list[Any] | None:
        """What is stored; ids and times go to where all parts have theirs, of which this one has to be the first."""
        entries = self.entries
        if not entries:
            return None
        if len(entries) == 1:
            ((item_id, (at, price, category)),) = entries.items()
            to.ids[item_id] = 0
            to.times.append(at)
            return [_packed_prices((price,)), pack_words((category,))]
        times, prices, categories = zip(*entries.values(), strict=True)
        if len(times) > MANY:
            if len(times) > RECENT or not all(map(le, times, times[1:])):
                entries = dict(reversed(self.newest()))
                times, prices, categories = zip(*entries.values(), strict=True)
            to.ordered, to.again = len(times), []
        to.ids.update(zip(entries, range(RECENT), strict=False))
        to.times += times
        table = {category: place for place, category in enumerate(sorted(set(categories)))}
        words = pack_words(tuple(table))
        if len(table) == 1:
            return [_packed_prices(prices), words]
        return [_packed_prices(prices), words, _packed_places(bytes(map(table.__getitem__, categories)))]

    @classmethod
    def read(cls, packed: list[Any], source: Reader) -> Recent:
        """What `write` gave."""
        prices, words, *places = packed
        prices, table = _unpacked_prices(prices), unpack_words(words)
        times = source.times(len(prices))
        categories = map(table.__getitem__, _unpacked_places(*places)) if places else table * len(times)
        recent = cls()
        seen = zip(times, prices, categories)  # noqa: B905  # of categories there may be one more
        recent.entries = dict(zip(source.ids, seen, strict=False))
        return recent

    @classmethod
    def unpack(cls, packed: list[tuple[str, int, float, str]]) -> Recent:
        """What was stored before `write`."""
        recent = cls()
        recent.entries = {item_id: (at, price, category) for item_id, at, price, category in packed}
        return recent


def _packed_places(places: bytes) -> bytes:
    """Numbers up to 15, two in a byte; up to 255, after a byte of that value."""
    if max(places) > 15:
        return b"\xff" + places
    digits = places.hex()[1::2]
    return bytes.fromhex(digits if len(digits) % 2 == 0 else digits + "f")


def _unpacked_places(packed: bytes | list[int]) -> bytes | list[int]:
    """What `_packed_places` packed, and perhaps one number more; a list is what version 3 wrote."""
    if isinstance(packed, list):
        return packed
    if packed[0] == 0xFF:
        return packed[1:]
    return bytes.fromhex("0" + "0".join(packed.hex()))


CENTS: Final = 100
DEAREST: Final = 1e9


def _packed_prices(prices: tuple[float, ...]) -> Column | list[Any]:
    """Prices in cents; where all differ from the lowest by so and so often a step, a column of how often, the lowest
    and the step; as they are, in a list, where one of them is no whole cents.
    """
    cents = list(map(_cents, prices))
    low = min(cents)
    if low < 0:
        return [prices]
    if len(cents) > MANY:
        over = [each - low for each in cents]
        step = gcd(*over)
        if step > 1:
            return [pack_column([each // step for each in over]), low, step]
    return pack_column(cents)


def _unpacked_prices(packed: Any) -> list[float]:
    if isinstance(packed, list):
        if len(packed) == 1 and isinstance(packed[0], list):
            return packed[0]
        if isinstance(packed[0], bytes):
            column, low, step = packed
            return [_price(low + step * each) for each in unpack_column(column)]
    return list(map(_price, unpack_column(packed)))


@lru_cache(REMEMBERED)
def _cents(price: float) -> int:
    """A price in cents, counted from UNKNOWN_PRICE; -1 if it is no whole cents."""
    number = round(price * CENTS) + CENTS if price < DEAREST else -1
    return number if number >= 0 and _price(number) == price else -1


@lru_cache(REMEMBERED)
def _price(number: int) -> float:
    return (number - CENTS) / CENTS


def _newest_first(entry: tuple[str, Seen]) -> tuple[int, str]:
    item_id, seen = entry
    return -seen[0], item_id


def taste(newest: list[tuple[str, Seen]]) -> Taste:
    """The taste that the recent items show.

    A category's share is the sum of 2^(-age / 7 days) over its items, age counted from the newest item so that the
    same events give the same shares at any time; the typical price is the median of the known prices.
    """
    shares: dict[str, float] = {}
    prices: list[float] = []
    last = newest[0][1][0] if newest else 0
    for _, (at, price, category) in newest:
        if category:
            shares[category] = shares.get(category, 0.0) + 2.0 ** ((at - last) / TASTE_HALF_LIFE)
        if price >= 0:
            prices.append(price)
    typical = round(median(prices) if len(prices) > 1 else prices[0], 4) if prices else None
    if len(shares) == 1:
        return Taste(list(shares), [1.0], typical)
    whole = sum(shares.values())
    best = sorted(shares.items(), key=_largest_first)[:TOP_CATEGORIES]
    return Taste([category for category, _ in best], [round(weight / whole, 6) for _, weight in best], typical)


def _largest_first(share: tuple[str, float]) -> tuple[float, str]:
    category, weight = share
    return -weight, category


class Kept:
    """Items that are kept until they are given up: a wish list, or what was bought and not sent back.

    An item is in while its newest keeping lies after its newest giving up.

    Args:
        most: how many items are remembered.
    """

    __slots__ = ("entries", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.entries: dict[str, list[int]] = {}

    def keep(self, item_id: str, at: int, label: int = 0) -> None:
        """The item was kept at `at`; `label` tells with what (an order), the newest one stays."""
        entry = self.entries.setdefault(item_id, [0, 0, 0])
        if (at, label) > (entry[0], entry[2]):
            entry[0], entry[2] = at, label
        self._bound()

    def give_up(self, item_id: str, at: int) -> None:
        """The item was given up at `at`."""
        entry = self.entries.setdefault(item_id, [0, 0, 0])
        entry[1] = max(entry[1], at)
        self._bound()

    def merge(self, other: Kept) -> None:
        """Take in what another kept and gave up."""
        for item_id, (kept, given_up, label) in other.entries.items():
            ours = self.entries.get(item_id, (0, 0, 0))
            (at, newest), gone = max((ours[0], ours[2]), (kept, label)), max(ours[1], given_up)
            self.entries[item_id] = [at, gone, newest]

    def newest(self, without: frozenset[int] | set[int] = frozenset()) -> list[str]:
        """The items that are in, newest first, those whose label is in `without` left out."""
        if not self.entries:
            return []
        held = [
            (-kept, item_id)
            for item_id, (kept, given_up, label) in self.entries.items()
            if kept > given_up and not (label and label in without)
        ]
        return [item_id for _, item_id in sorted(held)[: self.most]]

    def write(self, to: Writer) -> list[Any] | dict[str, list[int]] | None:
        """What is stored; ids and times go to where all parts have theirs, unless something was given up."""
        if not self.entries:
            return None
        kept, given_up, labels = zip(*self.entries.values(), strict=True)
        if any(given_up):
            return self.entries
        to.times += kept
        return [to.numbers(self.entries), labels] if any(labels) else [to.numbers(self.entries)]

    def read(self, packed: list[Any] | dict[str, list[int]], source: Reader) -> None:
        """Take in what `write` gave."""
        if isinstance(packed, dict):
            self.entries = packed
            return
        numbers, *labels = packed
        never = [0] * len(numbers)
        entries = zip(source.times(len(numbers)), never, labels[0] if labels else never, strict=True)
        self.entries = dict(zip(map(source.ids.__getitem__, numbers), map(list, entries), strict=True))

    def _bound(self) -> None:
        if len(self.entries) > 2 * self.most:
            self.entries = dict(sorted(self.entries.items(), key=_kept_and_newest_first)[: self.most])


def _kept_and_newest_first(entry: tuple[str, list[int]]) -> tuple[bool, int, str]:
    item_id, (kept, given_up, _) = entry
    return kept <= given_up, -max(kept, given_up), item_id
