"""The rules of a suite that look at one row, compiled to numpy: the quick first look at every row.

Great Expectations is the judge, and costs tens of milliseconds a table; nearly all rows are right. So each row is
looked at here first, by rules that are made from the very same suite, and only those that fail go to the judge, who
names what they break. A test holds the two verdicts equal on a great many rows, good and bad.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import numpy as np

Rows = Sequence[Mapping[str, Any]]
Look = Callable[[Rows], Any]
"""Says of each row whether it keeps a rule: an array of booleans, or one boolean for all."""


ALL_MISSING: Final = "all_values_are_missing"
"""What Great Expectations takes for `ignore_row_if` where a suite does not say."""


class NotCompiled(ValueError):
    """A suite has an expectation that is not known here; the message names it."""


class CompiledSuite:
    """The quick look at rows by one suite.

    Args:
        suite: as read from its JSON file.

    Raises:
        NotCompiled: it has an expectation of a type that is missing in `_COMPILERS`.
    """

    def __init__(self, suite: Mapping[str, Any]) -> None:
        self._looks: list[Look] = []
        self._shared = _Shared(suite)
        for expectation in suite["expectations"]:
            kind, kwargs = expectation["type"], expectation["kwargs"]
            if kind not in _COMPILERS:
                raise NotCompiled(f"{kind} of the suite {suite['name']} has no line in the table of compiled rules")
            look = _COMPILERS[kind](**kwargs)
            self._looks.append(self._shared.look(kind, kwargs, look))

    def suspects(self, rows: Rows) -> list[int]:
        """The positions of the rows that break a rule, or cannot be looked at; empty if all is well."""
        kept: Any = True
        try:
            for look in self._looks:
                kept = kept & look(rows)
        except (TypeError, ValueError, KeyError, OverflowError):
            # Not even the type of some value is right, or a column is missing: all of it goes to the judge.
            return list(range(len(rows)))
        finally:
            self._shared.forget()
        return [] if np.all(kept) else np.flatnonzero(~np.broadcast_to(kept, len(rows))).tolist()


class _Shared:
    """Numbers that several rules look at, read once a table of rows.

    Args:
        suite: whose rules they are: those that want every one of their numbers to be there.
    """

    def __init__(self, suite: Mapping[str, Any]) -> None:
        lists = [each["kwargs"]["column_list"] for each in suite["expectations"] if self._shares(each)]
        self._columns = [*dict.fromkeys(chain.from_iterable(lists))]
        self._places = {name: place for place, name in enumerate(self._columns)}
        self._read = _numbers(self._columns) if self._columns else None
        self._table: Any = None

    @staticmethod
    def _shares(expectation: Mapping[str, Any]) -> bool:
        return expectation["type"] in _NUMERIC and expectation["kwargs"].get("ignore_row_if") == "never"

    def look(self, kind: str, kwargs: Mapping[str, Any], look: Callable[..., Any]) -> Look:
        """The look, at its part of what is read for all, if it is one that shares."""
        if not self._shares({"type": kind, "kwargs": kwargs}) or self._read is None:
            return look
        places, read = [self._places[name] for name in kwargs["column_list"]], self._read
        part = slice(0, len(places)) if places == list(range(len(places))) else places

        def look_at_part(rows: Rows) -> Any:
            if self._table is None:
                self._table = read(rows)
            return look(rows, self._table[:, part])

        return look_at_part

    def forget(self) -> None:
        """The next rows are others."""
        self._table = None


def _columns(column_set: list[str], exact_match: bool = True) -> Look:
    wanted = frozenset(column_set)

    def look(rows: Rows) -> bool:
        usual = list(rows[0]) if rows else []  # rows are made alike, and lists of the same names compare quickly
        fits = _fits(usual, wanted, exact_match)
        return all(list(row) == usual or _fits(row, wanted, exact_match) for row in rows) and fits

    return look


def _row_count(min_value: int) -> Look:
    return lambda rows: len(rows) >= min_value


def _not_null(column: str) -> Look:
    return lambda rows: ~_missing([row[column] for row in rows])


def _lengths(column: str, min_value: int, max_value: int) -> Look:
    return _each(column, lambda text: min_value <= len(text) <= max_value)


def _regex(column: str, regex: str) -> Look:
    found = re.compile(regex).search
    return _each(column, lambda text: found(text) is not None)


def _not_in_set(column: str, value_set: list[Any]) -> Look:
    barred = frozenset(value_set)
    return lambda rows: np.array([row[column] not in barred for row in rows], bool)


def _no_regex(column: str, regex: str) -> Look:
    found = re.compile(regex).search
    return _each(column, lambda text: found(text) is None)


def _between(column: str, min_value: float, max_value: float) -> Look:
    def look(rows: Rows) -> Any:
        values = np.array([row[column] for row in rows], float)
        return ((values >= min_value) & (values <= max_value)) | np.isnan(values)

    return look


def _all_between(column_list: list[str], min_value: float, max_value: float, ignore_row_if: str = ALL_MISSING) -> Look:
    numbers = _numbers(column_list)

    def look(rows: Rows, table: Any = None) -> Any:
        table = numbers(rows) if table is None else table
        return ((table >= min_value) & (table <= max_value)).all(axis=1) | _ignored(np.isnan(table), ignore_row_if)

    return look


def _runs(column_list: list[str], runs: list[int], ignore_row_if: str = ALL_MISSING) -> Look:
    numbers, between = _numbers(column_list), np.cumsum(runs)[:-1] - 1

    def look(rows: Rows, table: Any = None) -> Any:
        table = numbers(rows) if table is None else table
        rises = table[:, 1:] >= table[:, :-1]
        rises[:, between] = True  # from the end of one run to the start of the next all is allowed
        return rises.all(axis=1) | _ignored(np.isnan(table), ignore_row_if)

    return look


def _in_sets(column_list: list[str], value_sets: list[list[Any]], ignore_row_if: str = ALL_MISSING) -> Look:
    allowed = [frozenset(each) for each in value_sets]
    pick = itemgetter(*column_list)
    picks = [itemgetter(column) for column in column_list]

    def look(rows: Rows) -> Any:
        if all(set(map(each, rows)) <= names for each, names in zip(picks, allowed, strict=True)):
            return True
        picked = [pick(row) for row in rows]
        kept = np.array([all(v in names for v, names in zip(each, allowed, strict=True)) for each in picked])
        return kept | _ignored(np.array([_missing(each) for each in picked]), ignore_row_if)

    return look


def _fits(names: Iterable[str], wanted: frozenset[str], exact_match: bool) -> bool:
    return wanted == set(names) if exact_match else wanted <= set(names)


def _each(column: str, keeps: Callable[[Any], bool]) -> Look:
    """Each value that is there keeps a rule; what is missing is left to the rule against that."""

    def look(rows: Rows) -> Any:
        values = [row[column] for row in rows]
        return np.array([value is None or value != value or keeps(value) for value in values], bool)

    return look


def _numbers(column_list: list[str]) -> Callable[[Rows], Any]:
    """What reads some columns as a table of floats, nan where a number is missing."""
    pick, width = itemgetter(*column_list), len(column_list)

    def read(rows: Rows) -> Any:
        try:
            flat = np.fromiter(chain.from_iterable(map(pick, rows)), float, len(rows) * width)
        except TypeError:  # a value is missing, which this quicker way does not take
            return np.array([pick(row) for row in rows], float)
        return flat.reshape(len(rows), width)

    return read


def _missing(values: Sequence[Any]) -> Any:
    return np.array([value is None or value != value for value in values], bool)


def _ignored(missing: Any, ignore_row_if: str) -> Any:
    if ignore_row_if == "never":
        return False
    return missing.all(axis=1) if ignore_row_if == ALL_MISSING else missing.any(axis=1)


_NUMERIC: Final = ("expect_multicolumn_values_to_be_between", "expect_multicolumn_runs_to_be_ascending")
_COMPILERS: Final[Mapping[str, Callable[..., Look]]] = {
    "expect_table_columns_to_match_set": _columns,
    "expect_table_row_count_to_be_between": _row_count,
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_value_lengths_to_be_between": _lengths,
    "expect_column_values_to_match_regex": _regex,
    "expect_column_values_to_not_match_regex": _no_regex,
    "expect_column_values_to_not_be_in_set": _not_in_set,
    "expect_column_values_to_be_between": _between,
    "expect_multicolumn_values_to_be_between": _all_between,
    "expect_multicolumn_runs_to_be_ascending": _runs,
    "expect_multicolumn_values_to_be_in_sets": _in_sets,
}
"""By type of expectation, what makes its look; its arguments are those of the suite."""
