"""Drift: an hour beside the same hours of before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations import drift
from expectations.drift import THRESHOLDS, distance, drifts, psi
from expectations.profiles import QUANTILES, Column, Profile, Subject
from expectations.usual import DAY, HOUR, SPANS, WEEK, compared_with, usual_of

TUESDAY = 1_764_684_000  # 2025-12-02 14:00 UTC
CHANCE = np.random.default_rng(2)
COUNTRIES = {"DE": 0.5, "FR": 0.3, "AT": 0.2}


def column(values: np.ndarray, nulls: float = 0.1, **more: object) -> Column:
    return Column(round(len(values) / (1 - nulls)), nulls, tuple(np.quantile(values, QUANTILES).tolist()), **more)  # type: ignore[arg-type]


def hour(rows: int = 1840, people: int = 900, **columns: Column) -> Profile:
    usual = {
        "price": column(CHANCE.lognormal(3, 0.5, 1500)),
        "delay": column(CHANCE.exponential(2, 1500), 0),
        "country": Column(rows, CHANCE.uniform(0.01, 0.02), (), COUNTRIES),
    }
    return {"events/shopify/view": Subject(rows, people, usual | columns)}


def history(**of: int) -> dict[int, Profile]:
    return {TUESDAY - back * WEEK: hour(1840 + 20 * (back % 3), **of) for back in range(1, 9)}


def said(now: Profile, before: dict[int, Profile] | None = None) -> list[tuple[str, str]]:
    there = before or history()
    usual = usual_of(TUESDAY, min(there), SPANS[0], lambda at: there.get(at, {}))
    assert usual is not None
    return [(each.kind, each.sentence) for each in drifts(now, usual)]


def test_an_hour_as_usual_is_no_news() -> None:
    assert said(hour(1870)) == []


def test_the_sentence_of_a_volume_names_the_share_the_usual_and_the_hour() -> None:
    kind, sentence = said(hour(707))[0]
    assert kind == "volume"
    assert sentence == "View events from shopify per hour are 62% below the usual 1,860 for Tuesdays 14:00."


def test_a_subject_that_is_gone_is_told_and_a_new_one_is_not_below_itself() -> None:
    assert said({}) == [
        ("volume", "No view events from shopify in this hour, where 1,860 are usual for Tuesdays 14:00.")
    ]
    new = {**hour(1850), "events/pos/view": Subject(400, 300, {})}
    assert [sentence for _, sentence in said(new)] == [
        "View events from pos per hour are above the usual 0 for Tuesdays 14:00."
    ]


@pytest.mark.parametrize(
    ("columns", "kind", "words"),
    [
        ({"price": column(CHANCE.lognormal(3, 0.5, 1500), 0.4)}, "nulls", "is missing in 40% of the rows, where 10%"),
        ({"price": column(100 * CHANCE.lognormal(3, 0.5, 1500))}, "middle", "(mean of the middle half)"),
        ({"price": column(np.repeat([19.9, 20.1], 750))}, "spread", "is spread otherwise than usual"),
        ({"delay": column(600 + CHANCE.exponential(300, 1500), 0)}, "delay", "one in ten comes more than"),
        (
            {"country": Column(1840, 0.015, (), {"Germany": 0.5, "FR": 0.3, "AT": 0.2})},
            "shares",
            "where 50% is usual",
        ),
    ],
)
def test_each_kind_of_damage_to_a_column_is_told_by_its_kind(columns: dict[str, Column], kind: str, words: str) -> None:
    found = said(hour(1850, **columns))
    assert [each for each, _ in found] == [kind]
    assert words in found[0][1]


def test_who_sends_everything_three_times_is_told_as_repeats() -> None:
    # Three times the rows would be a volume; so many people less hide it there, and not here.
    assert said(hour(2000, people=330)) == [
        ("repeats", "View events from shopify come 6.1 times a person instead of 2.1.")
    ]


def test_once_rates_are_watched_twice_the_events_are_told_as_repeats_and_twice_the_people_elsewhere() -> None:
    there = history()
    usual = usual_of(TUESDAY, min(there), SPANS[0], lambda at: there.get(at, {}))
    assert usual is not None
    assert [each.kind for each in drifts(hour(3700), usual, rates_are_watched=True)] == ["repeats"]
    assert [each.kind for each in drifts(hour(3700), usual)] == ["repeats"]
    assert drifts(hour(3700, people=1800), usual, rates_are_watched=True) == []
    assert [each.kind for each in drifts(hour(3700, people=1800), usual)] == ["volume"]


def test_what_a_few_people_do_much_of_says_little() -> None:
    dear = {"price": column(3 * CHANCE.lognormal(3, 0.5, 1500))}
    assert [kind for kind, _ in said(hour(1840, people=900, **dear))] == ["middle"]
    few = {at: {name: each._replace(people=4) for name, each in there.items()} for at, there in history().items()}
    assert said(hour(1840, people=4, **dear), few) == []


def test_one_bad_week_of_eight_changes_nothing() -> None:
    before = history()
    before[TUESDAY - 3 * WEEK] = hour(20)
    assert said(hour(1870), before) == []
    assert said(hour(700), before)[0][0] == "volume"


def test_too_few_rows_say_nothing() -> None:
    few = {TUESDAY - back * WEEK: {"events/api/refund": Subject(6, 6, {})} for back in range(1, 9)}
    assert said({}, few) == []


def test_while_there_are_few_weeks_the_days_before_are_what_is_usual() -> None:
    hour_, day = SPANS
    assert compared_with(TUESDAY, TUESDAY - 5 * DAY, hour_) == [TUESDAY - back * DAY for back in (5, 4, 3, 2, 1)]
    assert compared_with(TUESDAY, TUESDAY - 5 * DAY + HOUR, hour_) == []
    assert compared_with(TUESDAY, TUESDAY - 3 * WEEK, hour_) == [TUESDAY - back * WEEK for back in (3, 2, 1)]
    assert compared_with(TUESDAY, TUESDAY - 3 * WEEK, day) == [TUESDAY - back * DAY for back in range(14, 0, -1)]
    assert compared_with(TUESDAY, TUESDAY - 3 * WEEK - 23 * HOUR, day) == [TUESDAY - back * WEEK for back in (3, 2, 1)]
    days = {TUESDAY - back * DAY: hour() for back in range(1, 6)}
    usual = usual_of(TUESDAY, min(days), hour_, days.__getitem__)
    assert usual is not None
    assert usual.words == "14:00"
    assert usual_of(TUESDAY, TUESDAY, hour_, days.__getitem__) is None


def test_without_its_threshold_a_drift_would_not_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = {kind: each._replace(far=float("inf")) for kind, each in THRESHOLDS.items()}
    monkeypatch.setattr(drift, "THRESHOLDS", deaf)
    assert said(hour(707)) == []


shares = st.dictionaries(st.sampled_from("ABCDEF"), st.integers(1, 1000), min_size=1).map(
    lambda counts: {label: count / sum(counts.values()) for label, count in counts.items()}
)


@given(shares, shares)
def test_the_index_is_least_for_what_is_alike_and_knows_no_order(
    one: dict[str, float], other: dict[str, float]
) -> None:
    alike = psi(one, one, 10_000, 10_000)
    assert alike <= 0
    assert psi(one, other, 10_000, 10_000) >= alike - 5 * 2 / 10_000
    turned = dict(reversed(other.items()))
    assert psi(one, turned, 10_000, 10_000) == pytest.approx(psi(one, other, 10_000, 10_000))


@given(st.lists(st.floats(-1e6, 1e6), min_size=21, max_size=200), st.floats(0.1, 1e6))
def test_the_distance_is_that_of_kolmogorov_and_smirnov_on_the_quantiles(values: list[float], shift: float) -> None:
    quantiles = np.quantile(values, QUANTILES)
    chance = 1.63 * np.sqrt(2 / 1000)
    assert distance(quantiles, quantiles, 1000, 1000) == pytest.approx(-chance)
    far = quantiles + (quantiles.max() - quantiles.min()) + shift
    assert distance(far, quantiles, 1000, 1000) == pytest.approx(1 - chance)
    assert distance(far, quantiles, 1000, 1000) == distance(quantiles, far, 1000, 1000)
