"""Orders and what they came to, over rolling days; a refund undoes its order, whichever of the two arrives first."""

from __future__ import annotations

from typing import Final

from dataflows.aggregates.tiles import HORIZON
from dataflows.events import DAY

MONEY: Final = 10_000
"""Money is added up in whole ten-thousandths: such sums do not depend on their order, floats' would."""
MOST_ORDERS: Final = 1000
MOST_MONEY: Final = 2**64 - 1
"""The largest amount of an order and day, and of what was given back of an order (1.8 quadrillion): the largest number
that a state's bytes hold. Amounts are never below 0, so that where they come to more it is as much in any order."""


class Orders:
    """Amounts by order and day. An entry is: days with their amounts, what was refunded, whether all of it was."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[int, tuple[dict[int, int], int, bool]] = {}

    def buy(self, order: int, at: int, amount: int) -> None:
        """An amount (in 1 / MONEY) was spent on an order at `at` (microseconds)."""
        days, refunded, whole = self.entries.get(order, ({}, 0, False))
        day = at // DAY
        days[day] = min(MOST_MONEY, days.get(day, 0) + amount)
        self.entries[order] = days, refunded, whole
        self._bound()

    def refund(self, order: int, amount: int | None) -> None:
        """An amount of an order was given back; None: all of it."""
        days, refunded, whole = self.entries.get(order, ({}, 0, False))
        self.entries[order] = days, min(MOST_MONEY, refunded + (amount or 0)), whole or amount is None
        self._bound()

    def merge(self, other: Orders) -> None:
        """Take in what another spent and gave back; an order that both know is one order."""
        for order, (days, refunded, whole) in other.entries.items():
            ours, back, all_of_it = self.entries.get(order, ({}, 0, False))
            both = dict(ours)
            for day, amount in days.items():
                both[day] = min(MOST_MONEY, both.get(day, 0) + amount)
            self.entries[order] = both, min(MOST_MONEY, back + refunded), all_of_it or whole

    def refunded(self) -> set[int]:
        """The orders that were given back whole."""
        return {order for order, (_, _, whole) in self.entries.items() if whole}

    def spend(self, now: int, tiles: int) -> float:
        """What was spent and not given back in the window of `tiles` days at `now`."""
        if not self.entries:
            return 0.0
        low = now // DAY - tiles
        total = 0
        for days, refunded, whole in self.entries.values():
            if not whole:
                total += max(0, sum(amount for day, amount in days.items() if day >= low) - refunded)
        return total / MONEY

    def count(self, now: int, tiles: int) -> int:
        """How many orders not wholly given back lie in the window of `tiles` days at `now`."""
        low = now // DAY - tiles
        return sum(not whole and any(day >= low for day in days) for days, _, whole in self.entries.values())

    def due(self, now: int) -> int | None:
        """When the next day leaves the window of 30 or of 90 days.

        Days that left both are dropped on the way, and orders that are left with none; a refund is remembered, since
        what was sent back stays sent back.
        """
        current, next_due = now // DAY, None
        for order, (days, refunded, whole) in list(self.entries.items()):
            for day in [day for day in days if day < current - HORIZON]:
                del days[day]
            if not days and not refunded and not whole:
                del self.entries[order]
            for day in days:
                for tiles in (30, HORIZON):
                    leaves = (day + tiles + 1) * DAY
                    if leaves > now and (next_due is None or leaves < next_due):
                        next_due = leaves
        return next_due

    def _bound(self) -> None:
        if len(self.entries) > MOST_ORDERS:
            newest = sorted(self.entries.items(), key=lambda entry: (-max(entry[1][0], default=0), entry[0]))
            self.entries = dict(newest[: MOST_ORDERS // 2])
