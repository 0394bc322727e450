"""The population of customers: how many there are of each standing, and the standings that part them into fifths.

Whether somebody buys often or much is only said beside the others. Customers come, change and leave, so what is kept
can forget: counts of buckets, which are added up over partitions and subtracted when a standing changes. Sketches of
samples (KLL, t-digest) cannot take a value back. The buckets are exact days and orders, and for money those of
DDSketch (Masson, Rim and Lee: "DDSketch", PVLDB 12(12), 2019), whose bounds are 2 % apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from ddsketch.mapping import LogarithmicMapping

from dataflows.aggregates.orders import MONEY
from dataflows.events import DAY

FIFTHS: Final = 5
ACCURACY: Final = 0.01
"""How far an amount of money may lie from what its bucket stands for, relative to the amount."""

NOTHING_SPENT: Final = 0
_UNSHIFTED: Final = LogarithmicMapping(ACCURACY)
_AMOUNTS: Final = LogarithmicMapping(ACCURACY, offset=float(1 - _UNSHIFTED.key(1 / MONEY)))
"""The smallest amount there is, 1 / MONEY, is in bucket 1."""


class Standing(NamedTuple):
    """What a customer is counted by.

    Attributes:
        day: the day of the last purchase, in days since 1970: absolute, so that no count changes as time passes.
        orders: `orders_90d`, at least 1.
        amount: the bucket of `spend_90d`.
    """

    day: int
    orders: int
    amount: int


Move: TypeAlias = tuple[Standing | None, Standing | None]
"""What a user was counted as, and is from now on; None: not at all."""


class Cuts(NamedTuple):
    """Where the fifths of the population part: days newest first, orders and buckets of amounts least first.

    Going through the customers in that order, the k-th of four cuts is where k fifths of them have been met (the
    inverse of the distribution function, without interpolation). A population of nobody has none.
    """

    days: tuple[int, ...] = ()
    orders: tuple[int, ...] = ()
    amounts: tuple[int, ...] = ()


NOBODY: Final = Cuts()


def standing_of(last_purchase_at: int | None, orders: int, spend: float) -> Standing | None:
    """The standing of a user in the population; None for who has no order of the last 90 days, and is not part of it.

    Args:
        last_purchase_at: when the user last bought, in microseconds.
        orders: `orders_90d`.
        spend: `spend_90d`.
    """
    if not orders or last_purchase_at is None:
        return None
    return Standing(last_purchase_at // DAY, orders, bucket_of(spend))


def bucket_of(amount: float) -> int:
    """The bucket of an amount of money; those of larger amounts have larger numbers."""
    return int(_AMOUNTS.key(amount)) if amount > 0 else NOTHING_SPENT


def amount_of(bucket: int) -> float:
    """What a bucket stands for: within 1 % of every amount in it."""
    return 0.0 if bucket == NOTHING_SPENT else float(_AMOUNTS.value(bucket))


def changes(moves: Iterable[Move]) -> dict[str, int]:
    """What some moves come to: by name of a bucket, how many more or fewer are counted in it; never 0."""
    counts: dict[str, int] = {}
    for before, after in moves:
        if before == after:
            continue
        for standing, number in ((before, -1), (after, 1)):
            if standing is not None:
                for measure, bucket in zip(Standing._fields, standing, strict=True):
                    name = f"{measure}:{bucket}"
                    counts[name] = counts.get(name, 0) + number
    return {name: number for name, number in counts.items() if number}


def cuts_of(partitions: Iterable[Mapping[str, int]]) -> Cuts:
    """The cuts of a whole population.

    Args:
        partitions: of each partition, the sums of all its `changes`.
    """
    counts: dict[str, dict[int, int]] = {measure: {} for measure in Standing._fields}
    for partition in partitions:
        for name, number in partition.items():
            measure, _, bucket = name.partition(":")
            of_measure = counts[measure]
            of_measure[int(bucket)] = of_measure.get(int(bucket), 0) + number
    return Cuts(
        _cuts(sorted(counts["day"].items(), reverse=True)),
        _cuts(sorted(counts["orders"].items())),
        _cuts(sorted(counts["amount"].items())),
    )


def _cuts(counts: list[tuple[int, int]]) -> tuple[int, ...]:
    """The buckets in which, in the order given, 1/5, 2/5, 3/5 and 4/5 of all have been met."""
    whole = sum(number for _, number in counts)
    if whole <= 0:
        return ()
    found: list[int] = []
    met = 0
    for bucket, number in counts:
        met += number
        while len(found) < FIFTHS - 1 and FIFTHS * met >= (len(found) + 1) * whole:
            found.append(bucket)
    return tuple(found)
