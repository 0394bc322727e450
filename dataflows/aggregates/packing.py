"""Compact data for what a state is full of: times, ids, names of categories.

A state is read and written for every user of a micro-batch, so this is quick before it is small.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, islice, repeat
from math import gcd
from operator import sub
from typing import Any, Final, TypeAlias

from dataflows.aggregates.columns import FEW, Column, pack_column, unpack_column

MILLISECOND: Final = 1000
SECOND: Final = 1_000_000
UNITS: Final = (1, MILLISECOND, SECOND)
"""What times are counted in, as clients send them."""
LONG: Final = (29, 19, 9)
"""Bits of what is less than some nine minutes in them: within a visit there are few longer pauses."""
MOST_STARTS: Final = 8
MOST_DIGITS: Final = 15
REMEMBERED: Final = 2**16
"""How many ids are remembered with their parts: those of a catalogue come again and again."""
SHARED: Final = 63
"""So many characters a name may share with the one before it."""

Ids: TypeAlias = list[str] | tuple[list[str], Column] | tuple[list[str], Column, Column]
"""Ids: as they are, or how they begin, the numbers that follow, and, if there are several, which beginning is whose."""
Steps: TypeAlias = Column | tuple[Column, list[int], list[int]]
"""How long from one to the next: a column; or one of the lowest bits, and the places and rests of those with more."""
Times: TypeAlias = Column | tuple[Steps, Column, bytes | list[int]]
"""Times by how long before a common moment they are. Many are kept in three: how long before the next each of those is
that come oldest first, how long ago the others are, and the places among both of those that are there already."""


def pack_times(to: Writer, base: int) -> tuple[int, Times]:
    """What a writer was given, in the largest of UNITS that is exact, whose place comes first.

    Args:
        to: the times, in microseconds, that are not after `base`.
        base: the common moment.
    """
    times, ordered = to.times, to.ordered
    if not ordered:
        ages = [base - at for at in times]
        place = _place(gcd(*ages))
        if place:
            unit = UNITS[place]
            ages = [age // unit for age in ages]
        return place, pack_column(ages)
    known = dict(zip(times, range(len(times)), strict=True))
    places: list[int] = []
    for at in to.again:
        if at not in known:
            known[at] = len(times)
            times.append(at)
        places.append(known[at])
    steps = list(map(sub, (*times[1:ordered], base), times))
    others = [base - at for at in times[ordered:]]
    place = _place(gcd(*steps, *others))
    if place:
        unit = UNITS[place]
        steps = [step // unit for step in steps]
        others = [age // unit for age in others]
    return place, (_pack_steps(steps, LONG[place]), pack_column(others), bytes(places) if len(known) < 256 else places)


def unpack_times(place: int, packed: Any, base: int) -> Reader:
    """The times that `pack_times` packed, to be read in the same order."""
    unit = UNITS[place]
    if isinstance(packed, bytes) or not packed or isinstance(packed[0], int):
        ages = unpack_column(packed)
        return Reader([base - age * unit for age in ages] if place else list(map(sub, repeat(base), ages)))
    steps, others, places = packed
    ages = _unpack_steps(steps, LONG[place])
    ages.append(-sum(ages))
    ages.insert(0, ages.pop())
    times = [base + age * unit for age in accumulate(ages)]
    times.pop()
    times += [base - age * unit for age in unpack_column(others)]
    return Reader(times, list(map(times.__getitem__, places)))


def _place(step: int) -> int:
    """The place of the largest of UNITS that `step` is a multiple of."""
    if step % MILLISECOND:
        return 0
    return 1 if step % SECOND else 2


def _pack_steps(steps: list[int], long: int) -> Steps:
    most = (1 << long) - 1
    if max(steps) <= most:
        return pack_column(steps)
    larger = [place for place, step in enumerate(steps) if step > most]
    rests = [steps[place] >> long for place in larger]
    return pack_column([step & most for step in steps]), larger, rests


def _unpack_steps(packed: Any, long: int) -> list[int]:
    if isinstance(packed, bytes) or isinstance(packed[0], int):
        return unpack_column(packed)
    column, larger, rests = packed
    steps = unpack_column(column)
    for place, rest in zip(larger, rests, strict=True):
        steps[place] |= rest << long
    return steps


def pack_ids(ids: list[str]) -> Ids:
    """Ids that differ; where they are alike but for a number at the end, how they begin, and a column of numbers."""
    if len(ids) <= FEW:
        return ids
    starts, numbers = zip(*map(_parted, ids), strict=True)
    table = list(dict.fromkeys(starts))
    if len(table) > MOST_STARTS:
        return ids
    if len(table) == 1:
        return table, pack_column(numbers)
    return table, pack_column(numbers), pack_column(list(map(table.index, starts)))


def unpack_ids(packed: list[Any]) -> list[str]:
    """The ids that `pack_ids` packed; of the same id always the same object, so that users share them."""
    if not packed or isinstance(packed[0], str):
        return packed
    table, numbers, *places = packed
    starts = map(table.__getitem__, unpack_column(*places)) if places and places[0] else repeat(table[0])
    return list(map(_joined, starts, unpack_column(numbers)))


def pack_words(words: Sequence[str]) -> list[str]:
    """Names, such as categories, each by how many characters it shares with the one before, as one, and the rest."""
    return list(map(_cut, words, ("", *words)))


def unpack_words(packed: Iterable[str]) -> list[str]:
    """The names that `pack_words` packed."""
    return list(accumulate(packed, _uncut, initial=""))[1:]


@lru_cache(REMEMBERED)
def _cut(word: str, before: str) -> str:
    shared = 0
    while shared < min(len(word), len(before), SHARED) and word[shared] == before[shared]:
        shared += 1
    return chr(shared) + word[shared:]


@lru_cache(REMEMBERED)
def _uncut(before: str, cut: str) -> str:
    return before[: ord(cut[0])] + cut[1:]


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
    """Where the parts of a state put what they have in common: item ids, each of them once, and times.

    Attributes:
        ids: by id, its number.
        times: those that are hardly among the others.
        ordered: how many of them, from the first one on, come oldest first; 0 if it is not worth telling.
        again: those that most often are; the same list as `times` where nothing is ordered.
    """

    __slots__ = ("again", "ids", "ordered", "times")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.ordered = 0
        self.again = self.times = list[int]()

    def numbers(self, item_ids: Iterable[str]) -> list[int]:
        """The numbers of some ids."""
        ids = self.ids
        return [ids.setdefault(each, len(ids)) for each in item_ids]


class Reader:
    """What a `Writer` was given: ids by number, and the times in the order in which they were written.

    Args:
        times: those that are hardly among the others; all of them if `again` is None.
        again: those that most often are.
    """

    __slots__ = ("_again", "_times", "ids")

    def __init__(self, times: list[int], again: list[int] | None = None) -> None:
        self.ids: list[str] = []
        self._times = iter(times)
        self._again = self._times if again is None else iter(again)

    def times(self, number: int) -> list[int]:
        """The next so many times that are hardly among the others."""
        return list(islice(self._times, number))

    def again(self, number: int) -> list[int]:
        """The next so many times that most often are."""
        return list(islice(self._again, number))
