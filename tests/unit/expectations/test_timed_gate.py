"""What the gate asks of rows that only time changed: all of the suite that is about nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from dataflows.aggregates.people import TIMED, User
from expectations.verdict import SuiteVerdict, TableRefused, load_suite, load_verdict, restricted
from tests.given import NOW

RIGHT = {**User().numbers(NOW)[0], **dict.fromkeys(TIMED[-5:-2]), "segment": "browsers", "lifecycle": "lapsed"}


@pytest.fixture(scope="module")
def verdict() -> SuiteVerdict:
    return load_verdict("user", TIMED)


def rows(*those: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": f"u{number}", **RIGHT, **each} for number, each in enumerate(those)]


def test_of_the_suite_only_what_is_about_other_features_is_left_out() -> None:
    whole, part = load_suite("user")["expectations"], restricted(load_suite("user"), {"key", *TIMED})["expectations"]
    out = [each for each in whole if each not in part]
    assert [each["kwargs"].get("column") for each in out] == [None, "typical_price"]
    (columns,) = [each["kwargs"]["column_set"] for each in part if each not in whole]
    assert set(columns) == {"key", *TIMED}


def test_what_falls_passes(verdict: SuiteVerdict) -> None:
    assert verdict.broken(rows({}, {"views_30d": 3, "views_7d": 2}, {"spend_90d": 1.5})) == {}


@pytest.mark.parametrize(
    "spoilt",
    [{"views_1h": -1}, {"views_1h": 1}, {"spend_30d": 1e16}, {"orders_90d": None}, {"lifecycle": "gone"}, {"key": ""}],
    ids=str,
)
def test_anything_else_is_held_back(verdict: SuiteVerdict, spoilt: dict[str, Any]) -> None:
    assert verdict.broken(rows({}, spoilt, {})).keys() == {1}


def test_a_column_too_many_or_too_few_stops_the_flow(verdict: SuiteVerdict) -> None:
    few = {name: value for name, value in rows({})[0].items() if name != "views_7d"}
    for row in (few, {**rows({})[0], "cart_items": []}):
        with pytest.raises(TableRefused):
            verdict.broken([row])
