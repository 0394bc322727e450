"""Anomalies of rates: faults planted in made-up series are found, and little else."""

from __future__ import annotations

import numpy as np
import pytest

from expectations import anomalies
from expectations.anomalies import DAY, WEEK, cleaned, is_watched, look, season_of
from tests.faulty_rates import KINDS, STRETCH, Remembered, Score, made_up_series, planted, trial

DAYS = 6 * 7 + STRETCH
SERIES = made_up_series(DAYS, {"quiet": 3, "busy": 15, "large": 400}, seed=5)


@pytest.fixture(scope="module")
def detect() -> Remembered:
    return Remembered()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_planted_is_found_and_nothing_else(kind: str, detect: Remembered) -> None:
    chance = np.random.default_rng(3)
    score = Score()
    for counts in SERIES.values():
        score += trial(counts, kind, DAYS - STRETCH, chance, detect)
    assert score.recall >= (0.65 if kind in ("spike", "leak") else 1)
    assert score.false <= 1


def test_a_source_that_goes_silent_by_day_is_told_within_three_hours(detect: Remembered) -> None:
    counts = SERIES["busy", "view"].copy()
    noon = (DAYS - 3) * DAY + 12
    counts[noon:] = 0
    found = [detect(counts[:hour], (hour - 1) % DAY + 1) for hour in range(noon + 1, noon + 4)]
    assert [each.kind for each in found if each] != []
    assert all(each.kind in ("silence", "drop") for each in found if each)


def test_the_same_with_the_odds_of_a_detector_that_never_speaks_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tuple(replace_window(each) for each in anomalies.WINDOWS)
    monkeypatch.setattr(anomalies, "WINDOWS", deaf)
    score = trial(SERIES["busy", "view"], "silence", DAYS - STRETCH, np.random.default_rng(3), Remembered())
    assert score.recall == 0


def replace_window(window: anomalies.Window) -> anomalies.Window:
    return window._replace(odds_low=0.0, odds_high=0.0)


def test_an_anomaly_of_the_past_is_no_part_of_what_is_usual() -> None:
    counts = SERIES["busy", "view"][: 6 * WEEK].copy()
    before = season_of(counts)
    counts[-3 * DAY : -2 * DAY] = 0
    after = season_of(counts)
    assert np.allclose(before.ahead[DAY], after.ahead[DAY], rtol=0.25, atol=1.5)


def test_an_hour_that_was_silent_is_taken_for_a_usual_one_and_others_stay() -> None:
    counts = np.tile(np.full(WEEK, 20.0), 5)
    counts[3 * WEEK : 3 * WEEK + 8] = 0
    calm = cleaned(counts)
    assert calm.tolist() == np.full(5 * WEEK, 20.0).tolist()
    quiet = np.tile(np.arange(WEEK, dtype=float) % 5, 5)
    assert cleaned(quiet).tolist() == quiet.tolist()


def test_what_is_short_or_thin_is_not_watched() -> None:
    assert not is_watched(np.full(4 * WEEK - 1, 50.0))
    assert not is_watched(np.full(4 * WEEK, 0.5))
    assert is_watched(np.full(4 * WEEK, 2.0))


def test_a_fault_is_planted_where_it_says() -> None:
    counts = np.full(DAYS * DAY, 100.0)
    for kind in KINDS:
        faulty, start, end = planted(counts, kind, DAYS - STRETCH, np.random.default_rng(1))
        assert (DAYS - STRETCH) * DAY <= start < end <= DAYS * DAY
        outside = np.r_[faulty[:start], faulty[end:]]
        assert (outside == 100).all()
        assert (faulty[end - 1] > 100) == (kind == "spike")


def test_nothing_is_said_of_a_series_as_usual() -> None:
    counts = SERIES["large", "view"][: 5 * WEEK]
    history = counts[:-DAY]
    assert look(season_of(history), counts, DAY) is None
