"""Compact bytes for what a state is full of: whole numbers, times, ids.

A state is read and written for every user of a micro-batch, so nothing here goes number by number in Python: a column
of numbers is one slice a byte of width, and the rest is what `array`, `zip` and msgpack do by themselves.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import islice
from math import gcd
from operator import itemgetter
from sys import byteorder
from typing import Any, Final

MILLISECOND: Final = 1000
SECOND: Final = 1_000_000
UNITS: Final = (1, MILLISECOND, SECOND)
"""What the ages of times are counted in, the largest that tells them exactly: clients send milliseconds or seconds."""
WIDEST: Final = 8
PLACES: Final = tuple(range(WIDEST)) if byteorder == "little" else tuple(range(WIDEST - 1, -1, -1))
"""Where the bytes of a number of eight lie, the lowest first."""
LARGEST_ID: Final = 2**53


def pack_column(numbers: Sequence[int]) -> bytes:
    """Whole numbers from 0 to 2^64 - 1 as bytes: a width, then the lowest bytes of all, the next ones, and so on.

    Raises:
        OverflowError: one of them is none of these.
    """
    if not numbers:
        return b""
    highest = max(numbers)
    if highest < 256:
        return b"\x01" + array("B", numbers).tobytes()
    width = (highest.bit_length() + 7) // 8
    raw = array("Q", numbers).tobytes()
    return b"".join((bytes((width,)), *[raw[place::WIDEST] for place in PLACES[:width]]))


def unpack_column(packed: bytes) -> list[int]:
    """The numbers that `pack_column` wrote."""
    if not packed:
        return []
    width = packed[0]
    if width == 1:
        return list(packed[1:])
    number = (len(packed) - 1) // width
    raw = bytearray(WIDEST * number)
    for plane, place in enumerate(PLACES[:width]):
        raw[place::WIDEST] = packed[1 + plane * number : 1 + (plane + 1) * number]
    return array("Q", raw).tolist()


def pack_times(times: Sequence[int], base: int) -> bytes:
    """Times (microseconds) as a column of how long before `base` each was, in the largest unit that is exact.

    Args:
        times: none of them after `base`; 0 is no time, and costs as little as a short age.
        base: a whole second.
    """
    ages = [base - at for at in times if at]
    step = gcd(*ages)
    unit = 0 if step % MILLISECOND else 1 if step % SECOND else 2
    size = UNITS[unit]
    if len(ages) == len(times):
        counted = [age // size + 1 for age in ages]
    else:
        counted = [(base - at) // size + 1 if at else 0 for at in times]
    return bytes((unit,)) + pack_column(counted)


def unpack_times(packed: bytes, base: int) -> list[int]:
    """The times that `pack_times` wrote."""
    size = UNITS[packed[0]]
    start = base + size
    return [start - age * size if age else 0 for age in unpack_column(packed[1:])]


def pack_ids(ids: Sequence[str]) -> list[Any]:
    """Ids that differ: what all begin with, and the rest of each; as a column of numbers where they are that."""
    low, high = min(ids), max(ids)
    same = 0
    for one, other in zip(low, high, strict=False):
        if one != other:
            break
        same += 1
    rest = [each[same:] for each in ids] if same else list(ids)
    try:
        numbers = list(map(int, rest))
    except ValueError:
        return [low[:same], rest]
    if list(map(str, numbers)) != rest or not 0 <= min(numbers) <= max(numbers) < LARGEST_ID:
        return [low[:same], rest]
    return [low[:same], pack_column(numbers)]


def unpack_ids(packed: Sequence[Any]) -> list[str]:
    """The ids that `pack_ids` wrote."""
    same, rest = packed
    if isinstance(rest, bytes):
        rest = map(str, unpack_column(rest))
    return [same + each for each in rest] if same else list(rest)


class Writer:
    """Where the parts of a state put what they share: item ids, each of them once, and times.

    A part writes what is its own as plain data, and says by number which id it means.
    """

    __slots__ = ("ids", "times")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.times: list[int] = []

    def number(self, item_id: str) -> int:
        """The number of an id."""
        return self.ids.setdefault(item_id, len(self.ids))

    def numbers(self, item_ids: Iterable[str]) -> bytes:
        """The numbers of some ids, as a column."""
        return pack_column([self.number(each) for each in item_ids])


class Reader:
    """What a `Writer` was given: ids by number, and the times one after the other, as they were written.

    Args:
        ids: by number.
        times: in the order in which they were written.
    """

    __slots__ = ("_times", "ids")

    def __init__(self, ids: list[str], times: list[int]) -> None:
        self.ids = ids
        self._times = iter(times)

    def times(self, number: int) -> list[int]:
        """The next so many times."""
        return list(islice(self._times, number))

    def items(self, packed: bytes) -> list[str]:
        """The ids whose numbers `Writer.numbers` gave."""
        numbers = unpack_column(packed)
        return list(itemgetter(*numbers)(self.ids)) if len(numbers) > 1 else [self.ids[each] for each in numbers]
