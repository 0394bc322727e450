"""Gate: no row reaches the store that its suite of expectations refuses.

Great Expectations costs some tens of milliseconds a validation, however many rows it looks at, so the rows of all
partitions of a micro-batch are judged in one table an entity. A row that breaks a rule is set aside with the rule's
name, and the others go on. Where too large a share of a table does, or the table as a whole breaks a rule, all of it is
held: what is wrong then is not one row, and what looks right in it may be wrong too. In both cases the state is stored
all the same, so that nothing is lost that the events said, and the next event writes the row anew.

Rows that only time changed bring only what time changes. They are a table of their own, judged by those expectations of
the same suite that are about nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from dataflows.held import LEAST_BROKEN, Ceiling
from dataflows.stages import Aggregated, Row

WHERE: Final = "python -m dataflows.quarantine list"


class Verdict(Protocol):
    """Judges a table of rows of one entity."""

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        """The positions of the rows that break a rule, each with the name of the first rule it breaks.

        Raises:
            Exception: no release makes such a table, such as when a column is missing.
        """

    def table(self, rows: list[Mapping[str, Any]]) -> str:
        """Why the rows as a whole cannot be right, in words; empty if nothing says so."""


NONE: Final[Mapping[str, Verdict]] = {}
NO_CEILING: Final = Ceiling("", 0)


class Gate:
    """The verdicts of a flow, one an entity.

    Args:
        verdicts: by entity.
        timed: by entity, of rows that only time changed.
        ratio: the share of broken rows from which a table is held whole; from 1 on none is for that.
        ceiling: told of each table that is held.
    """

    def __init__(
        self,
        verdicts: Mapping[str, Verdict],
        timed: Mapping[str, Verdict] = NONE,
        ratio: float = 1.0,
        ceiling: Ceiling = NO_CEILING,
    ) -> None:
        self._verdicts = {False: verdicts, True: timed}
        self._ratio, self._ceiling = ratio, ceiling

    def __call__(self, batches: list[Aggregated]) -> list[Aggregated]:
        """The micro-batches with the rows set aside that broke a rule, or that are held.

        Raises:
            TooManyHeld: the ceiling was reached.
        """
        places: defaultdict[tuple[str, bool], list[tuple[Aggregated, Row]]] = defaultdict(list)
        for batch in batches:
            for row in batch.rows:
                places[row.entity, row.timed].append((batch, row))
        aside: set[int] = set()
        for (entity, timed), placed in places.items():
            verdict = self._verdicts[timed][entity]
            records: list[Mapping[str, Any]] = [_record(row) for _, row in placed]
            broken = verdict.broken(records)
            why = _too_many(broken, len(placed), self._ratio) or verdict.table(records)
            if why:
                self._ceiling.hold(f"rows of {entity}", len(placed), why, where=WHERE)
                for batch, row in placed:
                    batch.held.append((row, why))
                aside.update(id(row) for _, row in placed)
                continue
            for position, rule in broken.items():
                batch, row = placed[position]
                batch.quarantined.append((row, rule))
                aside.add(id(row))
        if aside:
            for batch in batches:
                batch.rows = [row for row in batch.rows if id(row) not in aside]
        return batches


def _too_many(broken: Mapping[int, str], rows: int, ratio: float) -> str:
    """Why the rows that broke a rule hold the others; empty if they do not."""
    if len(broken) < LEAST_BROKEN or len(broken) <= ratio * rows:
        return ""
    rules = list(broken.values())
    most = max(set(rules), key=rules.count)
    return f"{len(broken):,} of {rows:,} rows break a rule of their suite, most of them {most}"


def _record(row: Row) -> dict[str, Any]:
    return {"key": row.key, **row.values}
