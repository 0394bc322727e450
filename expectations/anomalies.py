"""Anomalies of an event rate: whether the last hours of one source and type are what its season lets expect.

The season is STL's (Cleveland et al., 1990; statsmodels), robust against the outliers it is to show, and whether a
count is too far from it is a tail of the negative binomial distribution (scipy): of counts a normal score would call
every busy night a spike, and could say nothing of zero. Own code only measures how bursty a series is over each length
of window, and takes hours that were anomalies themselves out of the history.

What is counted is people an hour, not events: one robot, or one eager visitor, is no anomaly of a source. A sender that
sends everything twice is seen by the events a person (`expectations.drift`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import nbinom
from statsmodels.tsa.seasonal import STL

Counts: TypeAlias = NDArray[np.float64]
"""One number an hour, the oldest first, without a gap."""

DAY: Final = 24
WEEK: Final = 7 * DAY
LEAST_WEEKS: Final = 4
"""Weeks of history without which nothing is said: the season of a week is not known from fewer."""
MOST_WEEKS: Final = 8
LEAST_AN_HOUR: Final = 1.0
"""People an hour on average, below which a series is not watched by itself but in the sums it is part of."""


class Window(NamedTuple):
    """A number of hours that is looked at as one, and what makes it an anomaly.

    Attributes:
        hours: its length.
        lag: how many hours old the level is that it is compared with. Beyond a slow leak, or the leak is the level.
        odds_low: the most probable lower tail that counts as an anomaly; `odds_high` likewise the upper one.
        fall: the least share by which it must be lower; `rise` likewise higher.
    """

    hours: int
    lag: int
    odds_low: float
    odds_high: float
    fall: float
    rise: float


WINDOWS: Final = (
    Window(1, DAY, 1e-6, 1e-9, 0.80, 1.5),
    Window(3, DAY, 1e-5, 3e-8, 0.70, 1.4),
    Window(6, DAY, 1e-5, 3e-8, 0.60, 1.3),
    Window(12, DAY, 3e-5, 1e-8, 0.55, 1.0),
    Window(24, DAY, 1e-4, 1e-7, 0.50, 0.8),
    Window(3 * DAY, WEEK, 3e-4, 1e-5, 0.35, 0.8),
    Window(WEEK, WEEK, 3e-3, 1e-5, 0.25, 0.6),
)
"""The one table of what is an anomaly; the shortest window that is one is told."""
LEAST_OFF: Final = 12
"""A window that is off by fewer than these is nobody's night's sleep worth."""

_SPAN, _FAR, _LITTLE = 6, 3.0, 0.4
"""Hours of a span, how far the root of its count is from the usual one, and the share: then it was an anomaly."""


class Anomaly(NamedTuple):
    """A window that is not as expected: `silence`, `drop`, `spike` or `leak`; its hours, people, and those expected."""

    kind: str
    hours: int
    seen: float
    expected: float
    odds: float


class Season(NamedTuple):
    """What is known of a series at the end of its history; by lag, and by hours of a window."""

    ahead: dict[int, Counts]
    behind: dict[int, Counts]
    burst: dict[int, float]


def is_watched(history: Counts) -> bool:
    """Whether a series is long and busy enough that something can be said of it."""
    return len(history) >= LEAST_WEEKS * WEEK and float(history[-MOST_WEEKS * WEEK :].mean()) >= LEAST_AN_HOUR


def expected(season: Season, since: int) -> Counts:
    """What is expected of the hours of the history, and of `since` more."""
    return np.concatenate([season.behind[DAY], season.ahead[DAY][:since]])


def season_of(history: Counts) -> Season:
    """The season of hourly counts, of which the newest `MOST_WEEKS` are looked at."""
    history = cleaned(history[-MOST_WEEKS * WEEK :])
    fit = STL(
        np.sqrt(history),  # the spread of counts grows with them, that of their roots does not
        period=WEEK, seasonal=35, trend=2 * WEEK + 1, robust=True,
        seasonal_jump=5, trend_jump=DAY, low_pass_jump=DAY,
    ).fit(inner_iter=1, outer_iter=4)  # fmt: skip
    trend, spare = np.asarray(fit.trend), float(np.var(np.asarray(fit.resid)))
    season = np.convolve(np.pad(np.asarray(fit.seasonal), 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")

    def counted(root: Any) -> Counts:
        expected: Counts = np.maximum(root, 0) ** 2 + spare
        return expected

    ahead, behind = {}, {}
    for lag in sorted({window.lag for window in WINDOWS}):
        level = trend[max(len(trend) - 1 - (lag - DAY), 0)]
        ahead[lag] = counted(level + season[-WEEK:])
        behind[lag] = counted(np.concatenate([np.full(lag, trend[0]), trend[:-lag]]) + season)
    return Season(ahead, behind, {each.hours: _burst(history, behind[each.lag], each) for each in WINDOWS})


def look(season: Season, counts: Counts, since: int) -> Anomaly | None:
    """What is wrong with the newest hours: the shortest window that is an anomaly.

    Args:
        season: of all counts but the newest `since`.
        counts: the series.
        since: hours, at most a week.
    """
    calm = cleaned(counts)
    for window in WINDOWS:
        known = np.concatenate([season.behind[window.lag], season.ahead[window.lag][:since]])
        expected = float(known[-window.hours :].sum())
        # A slow leak is what is left when the hours are taken out that were anomalies by themselves.
        seen = float((counts if window.hours <= DAY else calm)[-window.hours :].sum())
        change = seen / expected - 1
        if abs(seen - expected) < LEAST_OFF or -window.fall < change < window.rise:
            continue
        size = 1 / season.burst[window.hours]
        chance = size / (size + expected)
        odds = float(nbinom.cdf(seen, size, chance) if change < 0 else nbinom.sf(seen - 1, size, chance))
        if odds <= (window.odds_low if change < 0 else window.odds_high):
            low = "silence" if seen == 0 else "drop" if window.hours <= DAY else "leak"
            return Anomaly(low if change < 0 else "spike", window.hours, seen, expected, odds)
    return None


def cleaned(counts: Counts) -> Counts:
    """Counts, the usual ones of their hour of the week in the place of those that were anomalies themselves.

    Whole weeks are looked at, back from the newest; what is before them stays.
    """
    weeks = len(counts) // WEEK
    if not weeks:
        return counts
    rest, table = counts[: len(counts) - weeks * WEEK], counts[-weeks * WEEK :].reshape(weeks, WEEK)
    spans = _sums(np.concatenate([np.zeros(_SPAN - 1), table.ravel()]), _SPAN).reshape(weeks, WEEK)
    usual = np.median(spans, axis=0)
    far = np.abs(np.sqrt(spans) - np.sqrt(usual)) > _FAR
    far &= (spans < _LITTLE * usual) | (spans > usual / _LITTLE)
    backward = np.convolve(far.ravel()[::-1], np.ones(_SPAN))[: far.size]  # a span is named by its last hour
    calm = np.where(backward[::-1].reshape(weeks, WEEK) > 0, np.median(table, axis=0), table)
    return np.concatenate([rest, calm.ravel()])


def _burst(history: Counts, behind: Counts, window: Window) -> float:
    """By how much the variance of a window's count grows with the square of what is expected of it."""
    step = max(1, window.hours // 4)
    seen = _sums(history[window.lag :], window.hours)[::step]
    expected = _sums(behind[window.lag :], window.hours)[::step]
    excess = (seen - expected) ** 2 - expected
    usual = excess <= np.quantile(excess, 0.98)
    return 1.3 * max(float(excess[usual].sum() / (expected[usual] ** 2).sum()), 0.0) + 0.005


def _sums(values: Counts, hours: int) -> Counts:
    total = np.concatenate([[0.0], np.cumsum(values)])
    sums: Counts = total[hours:] - total[:-hours]
    return sums
