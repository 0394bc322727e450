"""Taking turns: contestants run one after another, several rounds, and the best round of each counts.

What else a shared machine does then falls on all of them alike, and a disturbed round is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

ROUNDS = 3


def best_rates(contestants: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """The highest rate that each contestant reached."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            rates[name].append(run())
    return {name: max(reached) for name, reached in rates.items()}
