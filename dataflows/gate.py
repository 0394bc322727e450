"""Gate: no row reaches the store that its suite of expectations refuses.

Great Expectations costs some tens of milliseconds a validation, however many rows it looks at, so the rows of all
partitions of a micro-batch are judged in one table an entity. A row that breaks a rule goes to the dead letters with
the rule's name, and the others go on; its state is stored all the same, so that nothing is lost that the events said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Protocol

from dataflows.stages import Aggregated, Row


class Verdict(Protocol):
    """Judges a table of rows of one entity."""

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        """The positions of the rows that break a rule, each with the name of the first rule it breaks.

        Raises:
            Exception: the table as a whole cannot be right, such as when a column is missing.
        """


class Gate:
    """The verdicts of a flow, one an entity.

    Args:
        verdicts: by entity.
    """

    def __init__(self, verdicts: Mapping[str, Verdict]) -> None:
        self._verdicts = verdicts

    def __call__(self, batches: list[Aggregated]) -> list[Aggregated]:
        """The micro-batches with the rows that broke a rule set aside."""
        places: defaultdict[str, list[tuple[Aggregated, Row]]] = defaultdict(list)
        for batch in batches:
            for row in batch.rows:
                places[row.entity].append((batch, row))
        held: set[int] = set()
        for entity, placed in places.items():
            for position, rule in self._verdicts[entity].broken([_record(row) for _, row in placed]).items():
                batch, row = placed[position]
                batch.quarantined.append((row, rule))
                held.add(id(row))
        if held:
            for batch in batches:
                batch.rows = [row for row in batch.rows if id(row) not in held]
        return batches


def _record(row: Row) -> dict[str, Any]:
    return {"key": row.key, **row.values}
