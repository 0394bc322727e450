"""Verdicts: which rows of a table break a suite of expectations. The one place that runs Great Expectations.

Every row is looked at by the compiled rules of its suite; Great Expectations judges those that fail there, and now and
then a whole table, to prove that the quick look misses nothing.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read when the library is imported

import great_expectations as gx
import numpy as np
import pandas as pd

from expectations import multicolumn
from expectations.compiled import CompiledSuite
from expectations.tables import Broken, Columns, broken_rules, is_table_rule, some_of, table_rules

_log = logging.getLogger(__name__)

WHOLE_EVERY: Final = 60.0
"""Seconds between two tables that Great Expectations judges whole."""
SUITES: Final = Path(__file__).parent / "suites"
CUSTOM: Final = (
    multicolumn.ExpectMulticolumnValuesToBeBetween,
    multicolumn.ExpectMulticolumnRunsToBeAscending,
    multicolumn.ExpectMulticolumnValuesToBeInSets,
)


class TableRefused(RuntimeError):
    """The table is none that a release makes: a column is missing, or all rows are; the message names the rule."""


class SuiteVerdict:
    """Judges tables by one suite, in one ephemeral context.

    A validation asks first only whether all holds, which is cheap; which rows fail is asked when something does.

    Args:
        suite: as read from its JSON file.
        monotonic: the clock, in seconds, by which a whole table is judged every `WHOLE_EVERY`.
    """

    def __init__(self, suite: Mapping[str, Any], monotonic: Callable[[], float] = time.monotonic) -> None:
        self.name: str = suite["name"]
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
        self._definition = asset.add_batch_definition_whole_dataframe("rows")
        rows = {**suite, "expectations": [each for each in suite["expectations"] if not is_table_rule(each)]}
        self._suite = context.suites.add(gx.ExpectationSuite(**rows))
        self._looked_at = _columns_looked_at(rows)
        self._compiled = CompiledSuite(rows)
        self._tables = TableVerdict(suite, self._definition)
        self._monotonic, self._whole_at = monotonic, monotonic()

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        """The positions of the rows that break an expectation, each with the first one it breaks.

        Raises:
            TableRefused: an expectation about the whole table failed, or could not be looked at.
        """
        if not rows:
            return {}
        suspects = self._compiled.suspects(rows)
        if self._monotonic() >= self._whole_at:
            broken = self.judged(rows)
            self._whole_at = self._monotonic() + WHOLE_EVERY
            if broken.keys() - set(suspects):
                _log.error(
                    "the quick look at rows of %s missed what breaks %s", self.name, sorted(set(broken.values()))
                )
            return broken
        if not suspects:
            return {}
        return {suspects[place]: rule for place, rule in self.judged([rows[each] for each in suspects]).items()}

    def table(self, rows: list[Mapping[str, Any]]) -> str:
        """Why the rows as a whole cannot be right, in words; empty if nothing says so."""
        if not self._tables.columns:
            return ""
        some = rows[some_of(len(rows))]
        return self._tables.broken({name: [row.get(name) for row in some] for name in self._tables.columns})

    def judged(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        """What `broken` says, by Great Expectations alone."""
        batch = self._definition.get_batch({"dataframe": self._table(rows)})
        if batch.validate(self._suite, result_format="BOOLEAN_ONLY").success:
            return {}
        broken: dict[int, str] = {}
        for result in batch.validate(self._suite, result_format={"result_format": "COMPLETE"}).results:
            if result.success:
                continue
            rule = result.expectation_config.type
            column = result.expectation_config.kwargs.get("column")
            positions = result.result.get("unexpected_index_list")
            if not positions:
                raise TableRefused(f"the rows of {self.name} break {rule}: {_why(result)}")
            for position in positions:
                broken.setdefault(int(position), f"{rule}({column})" if column else rule)
        return broken

    def _table(self, rows: list[Mapping[str, Any]]) -> pd.DataFrame:
        """The rows as a table. A column that no expectation looks into is there by name only, which is all that counts.

        Great Expectations copies the table several times and takes its hash, and lists of items are what costs most
        of that.
        """
        names = tuple(rows[0]) if rows else ()
        if not rows or any(tuple(row) != names for row in rows):
            return pd.DataFrame.from_records(rows)
        unread = np.zeros(len(rows), bool)
        columns = zip(*[row.values() for row in rows], strict=True)
        return pd.DataFrame(
            {
                name: _column(values) if name in self._looked_at else unread
                for name, values in zip(names, columns, strict=True)
            }
        )


class TableVerdict:
    """Judges tables as a whole by the rules of a suite that are about tables.

    Args:
        suite: as read from its JSON file.
        definition: of a batch that is a whole table, of a context that may be used; None: of one of its own.
    """

    def __init__(self, suite: Mapping[str, Any], definition: Any = None) -> None:
        self.name: str = suite["name"]
        self._rules = table_rules(suite)
        self.columns: tuple[str, ...] = tuple(dict.fromkeys(rule.column for rule in self._rules))
        self._definition = definition

    def broken(self, columns: Columns) -> str:
        """The first rule that a table of these columns breaks, in words; empty if it breaks none."""
        for each in broken_rules(self._rules, columns):
            if self.judged(each, columns):
                return str(each)
            _log.error("Great Expectations does not find that %s is broken: %s", self.name, each)
        return ""

    def judged(self, broken: Broken, columns: Columns) -> bool:
        """Whether Great Expectations finds the rule broken too."""
        if self._definition is None:
            self._definition = _definition()
        rule = broken.rule
        kind = "".join(word.capitalize() for word in rule.expectation["type"].split("_"))
        expectation = getattr(gx.expectations, kind)(**rule.expectation["kwargs"])
        batch = self._definition.get_batch({"dataframe": pd.DataFrame({rule.column: columns.get(rule.column, [])})})
        return not batch.validate(expectation, result_format="BOOLEAN_ONLY").success


def _definition() -> Any:
    """A batch definition that is a whole table, in an ephemeral context of its own."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("rows")


def _column(values: tuple[Any, ...]) -> Any:
    """Numbers, of which most columns consist, as numpy reads them at once; pandas looks at each value twice."""
    if type(values[0]) not in (int, float):
        return list(values)
    column = np.array(values)
    return column if column.dtype in (np.int64, np.float64) else list(values)


def _columns_looked_at(suite: Mapping[str, Any]) -> frozenset[str]:
    """The columns whose values some expectation of the suite looks at."""
    return frozenset().union(*map(_columns_of, suite["expectations"]))


def _columns_of(expectation: Mapping[str, Any]) -> frozenset[str]:
    kwargs = expectation["kwargs"]
    named = (kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs)
    return frozenset((*kwargs.get("column_list", ()), *named))


def load_suite(entity: str) -> dict[str, Any]:
    """The suite of an entity as it stands under version control."""
    suite: dict[str, Any] = json.loads((SUITES / f"{entity}.json").read_text())
    return suite


def load_verdict(entity: str, only: Collection[str] | None = None) -> SuiteVerdict:
    """What judges the rows of an entity; with `only`, rows that have no other columns than those and the key."""
    suite = load_suite(entity)
    return SuiteVerdict(suite if only is None else restricted(suite, {"key", *only}))


def load_tables(name: str) -> TableVerdict:
    """What judges tables by a suite that is about tables alone, such as that of events."""
    return TableVerdict(load_suite(name))


def restricted(suite: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """The expectations of a suite that are about some columns alone, and that there are no others."""
    kept = []
    for expectation in suite["expectations"]:
        if "column_set" in expectation["kwargs"]:
            kept.append({**expectation, "kwargs": {**expectation["kwargs"], "column_set": sorted(columns)}})
        elif _columns_of(expectation) <= set(columns):
            kept.append(expectation)
    return {**suite, "expectations": kept}


def _why(result: Any) -> str:
    observed = result.result.get("details") or result.result.get("observed_value")
    raised = result.exception_info or {}
    return str(observed or raised.get("exception_message") or raised)
