"""The rules of a suite that look at a table as a whole: what a micro-batch of rows must satisfy.

A figure of a few rows says little, so each of these rules names from how many values on it holds (`from_rows` in its
`meta`); of a long table some rows, evenly taken, say the same as all. Missing values have no part in a figure.

They are looked at in numpy; Great Expectations is asked only where one is broken, and has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

LOOKED_AT_ONCE: Final = 2000
"""Most rows of a table that its rules look at."""
FROM_ROWS: Final = "from_rows"
Columns = Mapping[str, Sequence[Any]]


class NoTableRule(ValueError):
    """A suite has a rule about tables that is not known here; the message names it."""


class TableRule(NamedTuple):
    """A rule as the suite has it, and how it is looked at.

    Attributes:
        expectation: of the suite.
        column: that it is about.
        from_rows: how many values of it there must be.
        measure: the figure of those values.
        low, high: what the figure may be.
    """

    expectation: Mapping[str, Any]
    column: str
    from_rows: int
    measure: Callable[[list[Any]], float]
    low: float
    high: float

    @property
    def name(self) -> str:
        """As quarantined rows tell it."""
        return f"{self.expectation['type']}({self.column})"


class Broken(NamedTuple):
    """A rule that a table breaks, the figure, and of how many values it is."""

    rule: TableRule
    figure: float
    values: int

    def __str__(self) -> str:
        """In words."""
        why = self.rule.expectation["meta"]["why"]
        return f"{self.rule.name}: {self.figure:.6g} of {self.values:,} values is outside {self._range()}: {why}"

    def _range(self) -> str:
        low, high = self.rule.low, self.rule.high
        return f"{low:g} and above" if high == float("inf") else f"{low:g} to {high:g}"


def is_table_rule(expectation: Mapping[str, Any]) -> bool:
    """Whether a rule of a suite is about tables as a whole."""
    return FROM_ROWS in expectation.get("meta", {})


def table_rules(suite: Mapping[str, Any]) -> list[TableRule]:
    """The rules of a suite that are about tables.

    Raises:
        NoTableRule: one is of a type that is missing in `_MEASURES`.
    """
    found = []
    for expectation in filter(is_table_rule, suite["expectations"]):
        kind, kwargs = expectation["type"], expectation["kwargs"]
        if kind not in _MEASURES:
            raise NoTableRule(f"{kind} of the suite {suite['name']} has no line in the table of measures")
        found.append(
            TableRule(
                expectation, kwargs["column"], expectation["meta"][FROM_ROWS], _MEASURES[kind],
                kwargs.get("min_value", float("-inf")), kwargs.get("max_value", float("inf")),
            )
        )  # fmt: skip
    return found


def broken_rules(rules: Sequence[TableRule], columns: Columns) -> list[Broken]:
    """The rules that a table breaks; a column that is missing breaks its rules."""
    found = []
    for rule in rules:
        values = [value for value in columns.get(rule.column, ()) if value is not None and value == value]
        if rule.column not in columns:
            found.append(Broken(rule, float("nan"), 0))
        elif len(values) >= rule.from_rows:
            figure = rule.measure(values)
            if not rule.low <= figure <= rule.high:
                found.append(Broken(rule, figure, len(values)))
    return found


def some_of(number: int) -> slice:
    """Which of that many rows are looked at: all, or some evenly taken."""
    return slice(None, None, -(-number // LOOKED_AT_ONCE) or 1)


def _unique(values: list[Any]) -> float:
    return len(set(values)) / len(values)


_MEASURES: Final[Mapping[str, Callable[[list[Any]], float]]] = {
    "expect_column_mean_to_be_between": lambda values: float(np.mean(values)),
    "expect_column_median_to_be_between": lambda values: float(np.median(values)),
    "expect_column_proportion_of_unique_values_to_be_between": _unique,
}
"""By type of expectation, its figure; the range is that of the suite."""
