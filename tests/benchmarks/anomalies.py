"""Precision and recall of the anomalies of event rates, on the real sample with planted faults.

Every series of the sample with a person an hour or more gets every kind of fault, three times, somewhere in the last
20 days; the days before were looked at when the thresholds were chosen, these were not.
"""

from __future__ import annotations

import numpy as np

from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.sample import SAMPLE, is_present
from tests.faulty_rates import (
    KINDS,
    STRETCH,
    Detector,
    Remembered,
    Score,
    made_up_series,
    sample_series,
    three_deviations,
    trial,
)

FIRST, LAST = 55, 75  # days of the sample
TRIALS = 3
SEED = 7
BUSY = 4.0  # people an hour


def measure() -> list[Figure]:
    """Recall by kind of fault, and both over all, beside what three standard deviations give on the same faults."""
    series = sample_series(SAMPLE) if is_present() else made_up_series(LAST, {"a": 1, "b": 3, "c": 10, "d": 40}, SEED)
    ours, theirs = scores(series, Remembered()), scores(series, three_deviations)
    for kind in KINDS:
        for busy in (True, False):
            score = ours[kind, busy]
            print(
                f"  {kind:<8} {'busy' if busy else 'thin'}: planted {score.planted:>3}, found {score.found:>3}, "
                f"half of them within {percentile([*map(float, score.delays)], 0.5):.0f} h; false alarms {score.false}"
            )
    figures = []
    for kind in KINDS:
        mine, other = (score[kind, True] + score[kind, False] for score in (ours, theirs))
        figures.append(_figure(f"anomalies_recall_{kind}", mine.recall, other.recall))
    total, peer = (sum(score.values(), Score()) for score in (ours, theirs))
    weeks = total.planted * STRETCH / 7
    return [
        *figures,
        _figure("anomalies_recall", total.recall, peer.recall),
        _figure("anomalies_precision", total.precision, peer.precision),
        Figure("anomalies_false_a_series_and_week", total.false / weeks, "alarms", {"3σ": total.false / peer.false}),
    ]


def scores(series: dict[tuple[str, str], np.ndarray], detect: Detector) -> dict[tuple[str, bool], Score]:
    """By kind of fault, and whether the series is busy."""
    chance = np.random.default_rng(SEED)
    found = {(kind, busy): Score() for kind in KINDS for busy in (True, False)}
    for counts in series.values():
        for kind in KINDS:
            for _ in range(TRIALS):
                first = int(chance.integers(FIRST, LAST - STRETCH + 1))
                found[kind, bool(counts.mean() >= BUSY)] += trial(counts, kind, first, chance, detect)
    return found


def _figure(name: str, value: float, peer: float) -> Figure:
    return Figure(name, value, "share", {"3σ": value / peer})
