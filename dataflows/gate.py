"""Gate: no row reaches the store that its suite of expectations refuses.

Great Expectations costs some tens of milliseconds a validation, however many rows it looks at, so the rows of all
partitions of a micro-batch are judged in one table an entity. A row that breaks a rule goes to the dead letters with
the rule's name, and the others go on; its state is stored all the same, so that nothing is lost that the events said.

Rows that only time changed bring only what time changes. They are a table of their own, judged by those expectations of
the same suite that are about nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, Protocol

from dataflows.stages import Aggregated, Row


class Verdict(Protocol):
    """Judges a table of rows of one entity."""

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        """The positions of the rows that break a rule, each with the name of the first rule it breaks.

        Raises:
            Exception: the table as a whole cannot be right, such as when a column is missing.
        """


NONE: Final[Mapping[str, Verdict]] = {}


class Gate:
    """The verdicts of a flow, one an entity.

    Args:
        verdicts: by entity.
        timed: by entity, of rows that only time changed.
    """

    def __init__(self, verdicts: Mapping[str, Verdict], timed: Mapping[str, Verdict] = NONE) -> None:
        self._verdicts = {False: verdicts, True: timed}

    def __call__(self, batches: list[Aggregated]) -> list[Aggregated]:
        """The micro-batches with the rows that broke a rule set aside."""
        places: defaultdict[tuple[str, bool], list[tuple[Aggregated, Row]]] = defaultdict(list)
        for batch in batches:
            for row in batch.rows:
                places[row.entity, row.timed].append((batch, row))
        held: set[int] = set()
        for (entity, timed), placed in places.items():
            verdict = self._verdicts[timed][entity]
            for position, rule in verdict.broken([_record(row) for _, row in placed]).items():
                batch, row = placed[position]
                batch.quarantined.append((row, rule))
                held.add(id(row))
        if held:
            for batch in batches:
                batch.rows = [row for row in batch.rows if id(row) not in held]
        return batches


def _record(row: Row) -> dict[str, Any]:
    return {"key": row.key, **row.values}
