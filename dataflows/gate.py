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

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from dataflows.held import LEAST_BROKEN, Ceiling
from dataflows.stages import Aggregated, Row

MOST_BROKEN: Final = 10_000
"""Rows that are remembered to have broken a rule."""
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
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

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
            with _keyed([row for _, row in placed]) as records:
                broken = verdict.broken(records)
                why = self._too_many(entity, broken, placed) or verdict.table(records)
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

    def _too_many(self, entity: str, broken: Mapping[int, str], placed: Sequence[tuple[Aggregated, Row]]) -> str:
        """Why the rows that broke a rule hold the others; empty if they do not.

        A row that broke the same rule before is no news: what is wrong with an item stays wrong until the shop mends
        it, and would hold every batch until then.
        """
        news = []
        for position, rule in broken.items():
            key = (entity, placed[position][1].key)
            if self._known.get(key) != rule:
                news.append(rule)
            self._known[key] = rule
            self._known.move_to_end(key)
        while len(self._known) > MOST_BROKEN:
            self._known.popitem(last=False)
        if len(news) < LEAST_BROKEN or len(news) <= self._ratio * len(placed):
            return ""
        most = max(set(news), key=news.count)
        return f"{len(news):,} of {len(placed):,} rows break a rule of their suite, most of them {most}"


@contextmanager
def _keyed(rows: Sequence[Row]) -> Iterator[list[Mapping[str, Any]]]:
    """The features of rows with their keys among them, for that long: copies would cost as much as the judging."""
    records = [row.values for row in rows]
    try:
        for row, record in zip(rows, records, strict=True):
            record["key"] = row.key
        yield [*records]
    finally:
        for record in records:
            record.pop("key", None)
