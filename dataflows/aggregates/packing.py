"""Compact data for what a state is full of: whole numbers, times, ids.

A state is read and written for every user of a micro-batch, so this is quick before it is small: few numbers stay a
list, which msgpack packs by itself and small ones in a byte; many become an array of the width that they need.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from math import gcd
from typing import Any, Final, TypeAlias

MILLISECOND: Final = 1000
SECOND: Final = 1_000_000
UNITS: Final = (1, MILLISECOND, SECOND)
"""What times are counted in, as clients send them."""
FEW: Final = 8
"""So many numbers are not worth a column: it would take longer than it saves."""
WORDS: Final[Mapping[int, str]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Widths that `array` knows."""
MOST_STARTS: Final = 8
MOST_DIGITS: Final = 15
REMEMBERED: Final = 2**16
"""How many ids are remembered with their parts: those of a catalogue come again and again."""

Column: TypeAlias = bytes | list[int]
"""Whole numbers: as they are, or as bytes: a width, then the numbers in it, the lowest byte first as machines have it.
Where no machine word is as wide, the lowest bytes of all come first, then the next ones, and so on."""
Ids: TypeAlias = list[str] | tuple[list[str], Column, Column]
"""Ids: as they are, or how they begin, the numbers that follow, and, if there are several, which beginning is whose."""


def pack_column(numbers: Sequence[int]) -> Column:
    """Whole numbers from 0 to 2^64 - 1."""
    if len(numbers) <= FEW:
        return list(numbers)
    width = max(1, (max(numbers).bit_length() + 7) // 8)
    if width in WORDS:
        return bytes((width,)) + array(WORDS[width], numbers).tobytes()
    raw = array("Q", numbers).tobytes()
    return bytes((width,)) + b"".join([raw[place::8] for place in range(width)])


def unpack_column(packed: Column) -> list[int]:
    """The numbers that `pack_column` packed."""
    if isinstance(packed, list):
        return packed
    width = packed[0]
    if width in WORDS:
        return array(WORDS[width], packed[1:]).tolist()
    number = (len(packed) - 1) // width
    raw = bytearray(8 * number)
    for place in range(width):
        raw[place::8] = packed[1 + place * number : 1 + (place + 1) * number]
    return array("Q", raw).tolist()


def pack_times(times: Iterable[int], base: int) -> tuple[int, Column]:
    """Times by how long before `base` they are, all in microseconds, and not after it.

    They are counted in the largest of UNITS that is exact, whose place comes first.
    """
    ages = [base - at for at in times]
    step = gcd(*ages)
    if step % MILLISECOND:
        return 0, pack_column(ages)
    place = 1 if step % SECOND else 2
    unit = UNITS[place]
    return place, pack_column([age // unit for age in ages])


def unpack_times(place: int, packed: Column, base: int) -> list[int]:
    """The times that `pack_times` packed."""
    unit = UNITS[place]
    return [base - age * unit for age in unpack_column(packed)]


def pack_ids(ids: list[str]) -> Ids:
    """Ids that differ; where they are alike but for a number at the end, how they begin, and a column of numbers."""
    if len(ids) <= FEW:
        return ids
    starts, numbers = zip(*map(_parted, ids), strict=True)
    table = list(dict.fromkeys(starts))
    if len(table) > MOST_STARTS:
        return ids
    return table, pack_column(numbers), pack_column(list(map(table.index, starts))) if len(table) > 1 else b""


def unpack_ids(packed: list[Any]) -> list[str]:
    """The ids that `pack_ids` packed; of the same id always the same object, so that users share them."""
    if len(packed) != 3 or isinstance(packed[0], str):
        return packed
    table, numbers, places = packed
    starts = map(table.__getitem__, unpack_column(places)) if places else repeat(table[0])
    return list(map(_joined, starts, unpack_column(numbers)))


@lru_cache(REMEMBERED)
def _parted(item_id: str) -> tuple[str, int]:
    """How an id begins, and the number that it ends with, counted from 1; 0 if it ends with none."""
    digits = item_id[len(item_id.rstrip("0123456789")) :][-MOST_DIGITS:]
    if not digits:
        return item_id, 0
    number = int(digits)
    return item_id[: -len(str(number))], number + 1


@lru_cache(REMEMBERED)
def _joined(start: str, number: int) -> str:
    return f"{start}{number - 1}" if number else start


class Writer:
    """Where the parts of a state put what they have in common: item ids, each of them once, and times."""

    __slots__ = ("ids", "times")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.times: list[int] = []

    def numbers(self, item_ids: Iterable[str]) -> list[int]:
        """The numbers of some ids."""
        ids = self.ids
        return [ids.setdefault(each, len(ids)) for each in item_ids]


class Reader:
    """What a `Writer` was given: ids by number, and the times in the order in which they were written.

    Args:
        ids: by number.
        times: all of them.
    """

    __slots__ = ("_place", "_times", "ids")

    def __init__(self, ids: list[str], times: list[int]) -> None:
        self.ids, self._times, self._place = ids, times, 0

    def times(self, number: int) -> list[int]:
        """The next so many times."""
        start = self._place
        self._place = start + number
        return self._times[start : self._place]
