"""The gate lets every row of `user_segment` pass that the flow can read, and none that it cannot."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from dataflows.aggregates.people import User
from dataflows.aggregates.segments import LIFECYCLES, RULES
from expectations.verdict import SuiteVerdict, load_verdict
from tests.given import NOW

SEGMENTS = [*dict.fromkeys(rule.segment for rule in RULES)]
CUSTOMER = {"rfm_recency": 5, "rfm_frequency": 1, "rfm_monetary": 3, "segment": "promising", "lifecycle": "new"}
BROWSER = {**dict.fromkeys(CUSTOMER), "segment": "browsers", "lifecycle": "lapsed"}


@pytest.fixture(scope="module")
def verdict() -> SuiteVerdict:
    return load_verdict("user")


def rows(*those: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": f"u{number}", **User().row(NOW)[0], **each} for number, each in enumerate(those)]


def test_every_segment_and_life_cycle_passes(verdict: SuiteVerdict) -> None:
    names = [{"segment": segment, "lifecycle": lifecycle} for segment, lifecycle in product(SEGMENTS, LIFECYCLES)]
    assert verdict.broken(rows(*(CUSTOMER | each for each in names), BROWSER)) == {}


def test_those_who_never_bought_pass_by_themselves(verdict: SuiteVerdict) -> None:
    assert verdict.broken(rows(BROWSER, BROWSER)) == {}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"rfm_recency": 0}, {"rfm_frequency": 6}, {"rfm_monetary": None}, {"segment": "champion"}, {"segment": None},
        {"lifecycle": "gone"}, {"lifecycle": None},
    ],
    ids=str,
)  # fmt: skip
def test_anything_else_is_held_back(verdict: SuiteVerdict, spoilt: dict[str, Any]) -> None:
    rule = "between" if "rfm" in str(spoilt) else "in_sets"
    broken = verdict.broken(rows(CUSTOMER, CUSTOMER | spoilt, BROWSER))
    assert broken == {1: f"expect_multicolumn_values_to_be_{rule}"}
