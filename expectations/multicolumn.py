"""Expectations over many columns at once: Great Expectations pays some milliseconds each, however wide it is."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from great_expectations.compatibility import pydantic
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import MulticolumnMapMetricProvider
from great_expectations.expectations.metrics.map_metric_provider.multicolumn_condition_partial import (
    multicolumn_condition_partial,
)

_DOMAIN = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")


class MulticolumnValuesBetween(MulticolumnMapMetricProvider):
    """Whether each of a row's values lies between two numbers; a missing value does not."""

    condition_metric_name = "multicolumn_values.between"
    condition_domain_keys = _DOMAIN
    condition_value_keys = ("min_value", "max_value")

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: Any, *, min_value: float, max_value: float, **_: Any) -> Any:  # noqa: N805  # its rule
        table = column_list.to_numpy(dtype=float)
        return pd.Series(((table >= min_value) & (table <= max_value)).all(axis=1), column_list.index)


class MulticolumnRunsAscending(MulticolumnMapMetricProvider):
    """Whether each run of columns never falls from one column to the next."""

    condition_metric_name = "multicolumn_runs.ascending"
    condition_domain_keys = _DOMAIN
    condition_value_keys = ("runs",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: Any, *, runs: list[int], **_: Any) -> Any:  # noqa: N805  # its rule
        table = column_list.to_numpy(dtype=float)
        rises = table[:, 1:] >= table[:, :-1]
        between = np.cumsum(runs)[:-1] - 1  # from the end of one run to the start of the next all is allowed
        rises[:, between] = True
        return pd.Series(rises.all(axis=1), column_list.index)


class MulticolumnValuesInSets(MulticolumnMapMetricProvider):
    """Whether each column's value is in the set of that column; a missing value is not."""

    condition_metric_name = "multicolumn_values.in_sets"
    condition_domain_keys = _DOMAIN
    condition_value_keys = ("value_sets",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: Any, *, value_sets: list[list[Any]], **_: Any) -> Any:  # noqa: N805  # its rule
        sets = dict(zip(column_list.columns, value_sets, strict=True))
        return column_list.apply(lambda column: column.isin(sets[column.name])).all(axis=1)


class ExpectMulticolumnValuesToBeBetween(MulticolumnMapExpectation):
    """Expect every value of the columns to be a number from `min_value` to `max_value`."""

    min_value: float = pydantic.Field(description="the smallest value allowed")
    max_value: float = pydantic.Field(description="the largest value allowed")
    map_metric: ClassVar[str] = "multicolumn_values.between"
    success_keys: ClassVar[tuple[str, ...]] = ("min_value", "max_value", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "min_value", "max_value")


class ExpectMulticolumnRunsToBeAscending(MulticolumnMapExpectation):
    """Expect windows to be nested: the columns come in runs, in each the shortest window first."""

    runs: list[int] = pydantic.Field(description="how many columns each run has")
    map_metric: ClassVar[str] = "multicolumn_runs.ascending"
    success_keys: ClassVar[tuple[str, ...]] = ("runs", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "runs")


class ExpectMulticolumnValuesToBeInSets(MulticolumnMapExpectation):
    """Expect the value of each column to be one of its own set."""

    value_sets: list[list[Any]] = pydantic.Field(description="what is allowed, a list for each column in turn")
    map_metric: ClassVar[str] = "multicolumn_values.in_sets"
    success_keys: ClassVar[tuple[str, ...]] = ("value_sets", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "value_sets")
