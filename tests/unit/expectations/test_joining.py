"""Hours as one: what is joined is what all their rows together look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.joining import joined
from expectations.profiles import QUANTILES, Column, Profile, Subject
from expectations.usual import HOUR, SPANS, hours_of, spans_at

hours = st.lists(
    st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=30), min_size=2, max_size=6
)  # fmt: skip


def of_labels(values: list[str | None]) -> Profile:
    there = [value for value in values if value is not None]
    shares = {label: there.count(label) / len(there) for label in set(there)}
    return {"view": Subject(len(values), 3, {"label": Column(len(values), 1 - len(there) / len(values), (), shares)})}


@given(hours)
def test_rows_nulls_and_shares_are_those_of_all_rows(told: list[list[str | None]]) -> None:
    subject = joined([of_labels(values) for values in told])["view"]
    (expected,) = (each["view"] for each in [of_labels([value for values in told for value in values])])
    assert (subject.rows, subject.people) == (expected.rows, 3 * len(told))
    assert subject.columns["label"].nulls == pytest.approx(expected.columns["label"].nulls)
    assert subject.columns["label"].shares == pytest.approx(expected.columns["label"].shares)


@settings(max_examples=25)
@given(st.lists(st.integers(50, 400), min_size=2, max_size=5), st.floats(0.1, 3), st.integers(0, 1000))
def test_quantiles_are_about_those_of_all_values(sizes: list[int], apart: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    values = [chance.normal(apart * place, 1, size) for place, size in enumerate(sizes)]
    profiles: list[Profile] = [
        {"view": Subject(len(each), 9, {"price": Column(len(each), 0, tuple(np.quantile(each, QUANTILES)))})}
        for each in values
    ]
    together = np.sort(np.concatenate(values))
    found = joined(profiles)["view"].columns["price"].quantiles
    places = np.searchsorted(together, found) / len(together)
    assert places[1:-1] == pytest.approx(QUANTILES[1:-1], abs=0.04)
    assert found == tuple(sorted(found))


def test_one_hour_is_itself_and_a_subject_may_be_missing_in_some() -> None:
    one, other = of_labels(["a"]), {"click": Subject(7, 2, {})}
    assert joined([one]) is one
    assert joined([one, other]) == {**one, **other}


def test_a_day_is_judged_four_times_a_day_and_an_hour_each_hour() -> None:
    spans = [spans_at(hour * HOUR) for hour in range(24)]
    assert all(SPANS[0] in each for each in spans)
    assert [place for place, each in enumerate(spans) if SPANS[1] in each] == [5, 11, 17, 23]
    assert hours_of(30 * HOUR, SPANS[1]) == [hour * HOUR for hour in range(7, 31)]
    assert hours_of(30 * HOUR, SPANS[0]) == [30 * HOUR]
