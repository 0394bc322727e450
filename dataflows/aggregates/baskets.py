"""The cart: what was put in, taken out and bought, replayed in order of time whenever its content is wanted."""

from __future__ import annotations

from itertools import chain, islice, repeat
from typing import Any, Final

from dataflows.aggregates.packing import Reader, Writer

MOST_ITEMS: Final = 50
MOST_CHANGES: Final = 32
EVERYTHING: Final = float("-inf")
"""A change that takes all of an item out: bought, or removed without a quantity."""


LARGEST_WHOLE: Final = 2.0**53
NO_OTHERS: Final[list[Any]] = [[], []]


class Cart:
    """Changes of each item's quantity, kept as (when, by how much).

    The quantity is the fold of an item's changes in order of time, never below zero; of changes at one moment the
    additions come first. It is a function of the set of changes alone, so late events find their right place.
    """

    __slots__ = ("changes", "updated_at")

    def __init__(self) -> None:
        self.changes: dict[str, list[tuple[int, float]]] = {}
        self.updated_at: int | None = None

    def change(self, item_id: str, at: int, by: float) -> None:
        """Put in (`by` > 0) or take out (`by` < 0, or EVERYTHING) at `at` (microseconds)."""
        changes = self.changes.setdefault(item_id, [])
        changes.append((at, by))
        if len(changes) > MOST_CHANGES:
            self._shorten(item_id)
        if len(self.changes) > 2 * MOST_ITEMS:
            self.changes = dict(sorted(self.changes.items(), key=_held_and_newest_first)[:MOST_ITEMS])
        self.updated_at = at if self.updated_at is None else max(self.updated_at, at)

    def merge(self, other: Cart) -> None:
        """Take in the changes that another made, all of them: what is merged is read, and not changed any more."""
        for item_id, changes in other.changes.items():
            self.changes[item_id] = self.changes.get(item_id, []) + changes
        moments = [at for at in (self.updated_at, other.updated_at) if at is not None]
        self.updated_at = max(moments, default=None)

    def items(self) -> list[str]:
        """What is in the cart, the item that was put in last first."""
        held = []
        for item_id, changes in self.changes.items():
            if _quantity(changes) > 0:
                held.append((-max(at for at, by in changes if by > 0), item_id))
        return [item_id for _, item_id in sorted(held)[:MOST_ITEMS]]

    def _shorten(self, item_id: str) -> None:
        """Fold the older half of an item's changes into what they came to."""
        changes = sorted(self.changes[item_id], key=_in_time)
        older, newer = changes[: MOST_CHANGES // 2], changes[MOST_CHANGES // 2 :]
        left = _quantity(older)
        added_at = max((at for at, by in older if by > 0), default=older[-1][0])
        self.changes[item_id] = [(added_at, left) if left else (older[-1][0], EVERYTHING), *newer]

    def write(self, to: Writer) -> list[Any] | None:
        """What is stored: items, changes by another quantity than 1, and how many changes each item has, if not one.

        Ids and times go to where all parts have theirs.
        """
        if not self.changes:
            return None
        changes = list(chain.from_iterable(self.changes.values()))
        times, quantities = zip(*changes, strict=True)
        to.times += times
        to.again.append(self.updated_at or 0)
        numbers = to.numbers(self.changes)
        content: list[Any] = [numbers]
        if set(quantities) != {1.0}:
            others = ((place, by) for place, by in enumerate(quantities) if by != 1.0)
            content.append([part for place, by in others for part in (place, _packed_quantity(by))])
        if len(changes) != len(numbers):
            content += [[]] * (2 - len(content))
            content.append(list(map(len, self.changes.values())))
        return content

    @classmethod
    def read(cls, packed: list[Any], source: Reader) -> Cart:
        """The cart that `write` gave."""
        cart, ids = cls(), source.ids
        if len(packed) == 1:
            (numbers,) = packed
            changes = zip(source.times(len(numbers)), repeat(1.0))  # each is by one
            cart.changes = {ids[number]: [change] for number, change in zip(numbers, changes, strict=True)}
            (cart.updated_at,) = source.again(1)
            return cart
        numbers, others, lengths = packed + NO_OTHERS[len(packed) - 1 :]
        lengths = lengths or [1] * len(numbers)
        quantities = [1.0] * sum(lengths)
        for place, by in zip(others[::2], others[1::2], strict=True):
            quantities[place] = EVERYTHING if by is None else float(by)
        changes = zip(source.times(len(quantities)), quantities, strict=True)
        cart = cls()
        cart.changes = {
            source.ids[number]: list(islice(changes, length)) for number, length in zip(numbers, lengths, strict=True)
        }
        (cart.updated_at,) = source.again(1)
        return cart

    @classmethod
    def unpack(cls, packed: dict[str, list[tuple[int, float | None]]], updated_at: int | None) -> Cart:
        """The cart that was stored before `write`."""
        cart = cls()
        cart.updated_at = updated_at
        for item_id, changes in packed.items():
            cart.changes[item_id] = [(at, EVERYTHING if by is None else by) for at, by in changes]
        return cart


def _packed_quantity(by: float) -> float | int | None:
    """A change as few bytes: a whole number as one."""
    if by == EVERYTHING:
        return None
    return int(by) if abs(by) < LARGEST_WHOLE and by == int(by) else by


def _in_time(change: tuple[int, float]) -> tuple[int, float]:
    at, by = change
    return at, -by


def _held_and_newest_first(entry: tuple[str, list[tuple[int, float]]]) -> tuple[bool, int, str]:
    item_id, changes = entry
    return _quantity(changes) <= 0, -max(changes)[0], item_id


def _quantity(changes: list[tuple[int, float]]) -> float:
    quantity = 0.0
    for _, by in sorted(changes, key=_in_time):
        quantity = max(0.0, quantity + by)
    return quantity
