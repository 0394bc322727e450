"""The worst offenders: what was held back or refused, by what it broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple, Protocol

MOST_SHOWN: Final = 12
MOST_CHARACTERS: Final = 100
ROWS: Final = ("row", "batch")
"""The kinds of rows that the gate set aside; the others are of events."""


class Letter(Protocol):
    """What is read of a dead letter (`dataflows.connectors.letters.DeadLetter`)."""

    @property
    def kind(self) -> str:
        """The kind of reason."""

    @property
    def stage(self) -> str:
        """The step that refused it."""

    @property
    def field(self) -> str:
        """What of it is to blame; of a row, its entity."""

    @property
    def reason(self) -> str:
        """Why, in words."""

    @property
    def refused_at(self) -> str:
        """When (RFC 3339)."""


class Offender(NamedTuple):
    """What was broken, and how often: lately, and of all letters that are kept."""

    kind: str
    what: str
    day: int
    kept: int


class Offenders(NamedTuple):
    """The worst ones, most of the last day first; how many letters there are, and how many of them are rows."""

    worst: tuple[Offender, ...]
    letters: int
    day: int
    rows_day: int


def worst(letters: Iterable[Letter], since: int) -> Offenders:
    """Count letters by what they broke.

    Args:
        letters: all that are kept.
        since: epoch seconds; later ones are of the last day.
    """
    kept: Counter[tuple[str, str]] = Counter()
    day: Counter[tuple[str, str]] = Counter()
    for letter in letters:
        what = (letter.kind, _what(letter))
        kept[what] += 1
        if datetime.fromisoformat(letter.refused_at.replace("Z", "+00:00")).timestamp() >= since:
            day[what] += 1
    ordered = sorted(kept, key=lambda what: (-day[what], -kept[what], what))
    rows = tuple(Offender(*what, day[what], kept[what]) for what in ordered[:MOST_SHOWN])
    return Offenders(rows, kept.total(), day.total(), sum(count for (kind, _), count in day.items() if kind in ROWS))


def _what(letter: Letter) -> str:
    """The expectation of a row; of an event the field, or where no field is to blame the reason."""
    if letter.kind in ROWS or letter.stage == "gate":
        return (
            f"{letter.field}: {letter.reason[:MOST_CHARACTERS]}"
            if letter.kind in ROWS
            else letter.reason[:MOST_CHARACTERS]
        )
    return f"{letter.stage}: {letter.field or letter.reason[:MOST_CHARACTERS]}"
