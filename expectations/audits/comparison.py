"""Comparison: where two rows of features differ, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isclose
from typing import Any, Final, Literal, NamedTuple

TOLERANCE: Final = 1e-5
"""Numbers that were added up in another order, or rounded to six digits, differ by less."""
TIED: Final[Mapping[str, str]] = {"top_categories": "top_category_weights"}
"""Lists whose entries may change places where the weights beside them are equal."""
EMPTY: Final[tuple[Any, ...]] = (None, [], "", 0, 0.0, False)

Kind = Literal["mismatch", "missing", "extra", "stale"]
KINDS: Final[tuple[Kind, ...]] = ("mismatch", "missing", "extra", "stale")
"""A value differs; no row where the events make one; a row that no event makes; a row that is older than an event."""


class Finding(NamedTuple):
    """One thing that is not as the events say. `field` is empty where it is about the whole row."""

    kind: Kind
    entity: str
    key: str
    field: str
    online: Any
    expected: Any

    def __str__(self) -> str:
        """In words."""
        where = f"{self.entity} {self.key}"
        if self.kind == "missing":
            return f"{where}: nothing is online, the events make a row"
        if self.kind == "extra":
            return f"{where}: a row is online that no event makes"
        if self.kind == "stale":
            return f"{where}: the row is of {self.online}, its newest event of {self.expected}"
        return f"{where}: {self.field} is {self.online!r}, the events make it {self.expected!r}"


def differing(entity: str, key: str, online: Mapping[str, Any], expected: Mapping[str, Any]) -> list[Finding]:
    """The fields of `expected` in which the row online is something else."""
    found = []
    for field, value in expected.items():
        if not _alike(online.get(field), value):
            if (weights := TIED.get(field)) and _same_but_for_ties(online, expected, field, weights):
                continue
            found.append(Finding("mismatch", entity, key, field, online.get(field), value))
    return found


def summed(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each kind."""
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    for each in findings:
        counts[each.kind] += 1
    return counts


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if one in EMPTY and other in EMPTY:
        return one == other or (one in (None, []) and other in (None, []))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, int) and isinstance(other, int):
        return one == other  # counts and moments are whole: a tolerance for sums would be hours of a moment
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)


def _same_but_for_ties(online: Mapping[str, Any], expected: Mapping[str, Any], field: str, weights: str) -> bool:
    """Whether each name stands at a weight that is its own, though equal ones changed places."""
    ours, theirs = online.get(field) or [], online.get(weights) or []
    wanted = dict(zip(expected[field], expected[weights], strict=True))
    return len(ours) == len(theirs) == len(wanted) and all(
        name in wanted and _alike(weight, wanted[name]) for name, weight in zip(ours, theirs, strict=True)
    )
