"""Event rates with planted faults: series of the sample or made-up ones, what can go wrong, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from expectations.anomalies import DAY, LEAST_AN_HOUR, WEEK, Anomaly, Season, look, season_of

Counts: TypeAlias = NDArray[np.float64]
Series: TypeAlias = Mapping[tuple[str, str], Counts]
Detector: TypeAlias = Callable[[Counts, int], "Anomaly | None"]
"""Told a series that starts at a midnight and how many hours of its last day there are, says what is wrong."""

KINDS: Final = ("silence", "drop", "spike", "leak")
STRETCH: Final = 9
"""Days of a trial; one fault lies in each."""


def sample_series(folder: Path) -> dict[tuple[str, str], Counts]:
    """People an hour by marketing channel and type in the real sample, `*` for all; those with one an hour or more."""
    events = pd.read_parquet(
        folder / "ga360_events.parquet", columns=["event_time", "user_id", "session_id", "event_type"]
    )
    sessions = pd.read_parquet(folder / "ga360_sessions.parquet", columns=["user_id", "session_id", "channel"])
    sessions = sessions.drop_duplicates(["user_id", "session_id"])
    events = events.merge(sessions, how="left", on=["user_id", "session_id"]).fillna({"channel": "unknown"})
    events["hour"] = events.event_time.dt.floor("h")
    hours = pd.date_range(events.hour.min().floor("D"), events.hour.max().ceil("D"), freq="h", inclusive="left")
    found: dict[tuple[str, str], Counts] = {}
    for table in (events, events.assign(event_type="*"), events.assign(channel="*")):
        people = table.groupby(["channel", "event_type", "hour"]).user_id.nunique()
        for (channel, kind), counts in people.groupby(level=[0, 1]):
            found[channel, kind] = counts.droplevel([0, 1]).reindex(hours, fill_value=0).to_numpy(float)
    return {name: counts for name, counts in found.items() if counts.mean() >= LEAST_AN_HOUR}


def made_up_series(days: int, rates: Mapping[str, float], seed: int) -> dict[tuple[str, str], Counts]:
    """Bursty people an hour with a day and a week in them, and a level that wanders."""
    chance = np.random.default_rng(seed)
    hours = np.arange(days * DAY)
    found = {}
    for name, rate in rates.items():
        day = 1 + 0.7 * np.sin(2 * np.pi * (hours % DAY - 8) / DAY)
        week = np.where(hours // DAY % 7 >= 5, 0.6, 1.1)
        level = np.exp(np.repeat(np.cumsum(chance.normal(0, 0.02, days)), DAY))
        found[name, "view"] = chance.poisson(rate * day * week * level * chance.gamma(50, 1 / 50, len(hours))).astype(
            float
        )
    return found


def planted(counts: Counts, kind: str, first: int, chance: np.random.Generator) -> tuple[Counts, int, int]:
    """The series with a fault in the `STRETCH` that begins with day `first`; and the hours it began and ended.

    silence: 12 to 24 hours of nothing. drop: 70 to 90 % less for 18 to 36 hours. spike: 3 to 8 hours in which 2 to 5
    times the average comes on top. leak: 40 to 70 % less, reached evenly over four to six days, and it stays.
    """
    faulty = counts.copy()
    if kind == "leak":
        start, end = first * DAY + int(chance.integers(0, DAY)), (first + STRETCH) * DAY
        ramp, lost = int(chance.integers(4 * DAY, 6 * DAY + 1)), chance.uniform(0.4, 0.7)
        kept = np.interp(np.arange(end - start), [0, ramp], [1, 1 - lost])
    else:
        least, most = {"silence": (12, 24), "drop": (18, 36), "spike": (3, 8)}[kind]
        length = int(chance.integers(least, most + 1))
        start = int(chance.integers(first * DAY, (first + STRETCH) * DAY - length + 1))
        end = start + length
        kept = np.full(length, {"silence": 0.0, "drop": chance.uniform(0.1, 0.3), "spike": 1.0}[kind])
    hours = slice(start, end)
    faulty[hours] = chance.binomial(faulty[hours].astype(int), kept)
    if kind == "spike":
        faulty[hours] += chance.poisson(chance.uniform(2, 5) * counts[: first * DAY].mean(), end - start)
    return faulty, start, end


@dataclass
class Score:
    """What became of the faults of a kind: planted, found, hours until found; and the alarms about nothing."""

    planted: int = 0
    found: int = 0
    false: int = 0
    delays: list[int] = field(default_factory=list)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.planted + other.planted, self.found + other.found, self.false + other.false, self.delays + other.delays
        )

    @property
    def recall(self) -> float:
        return self.found / self.planted

    @property
    def precision(self) -> float:
        return self.found / max(self.found + self.false, 1)


def trial(counts: Counts, kind: str, first: int, chance: np.random.Generator, detect: Detector) -> Score:
    """One fault, and every hour of its stretch judged as it would be live.

    Alarms less than twelve hours apart that point the same way are one. It is right if its hours and those of the fault
    meet and it points the way of the fault; every other alarm is false, and what went wrong in the real data by itself
    is counted as false, too.
    """
    faulty, start, end = planted(counts, kind, first, chance)
    alarms: list[tuple[int, int, bool]] = []  # began (of the first alarm's window), noticed, is it a rise
    last = -DAY
    for hour in range(first * DAY + 1, (first + STRETCH) * DAY + 1):
        if (found := detect(faulty[:hour], (hour - 1) % DAY + 1)) is None:
            continue
        rise = found.kind == "spike"
        if not alarms or hour - last > DAY // 2 or alarms[-1][2] != rise:
            alarms.append((hour - found.hours, hour, rise))
        last = hour
    right = [alarm for alarm in alarms if alarm[0] < end and alarm[1] > start and alarm[2] == (kind == "spike")]
    false = sum(1 for alarm in alarms if not (alarm[0] < end and alarm[1] > start))
    return Score(1, bool(right), false, [max(right[0][1] - start, 1)] if right else [])


class Remembered:
    """The detector of the product; it remembers seasons, since trials share their histories."""

    def __init__(self) -> None:
        self._seasons: dict[bytes, Season] = {}

    def __call__(self, counts: Counts, since: int) -> Anomaly | None:
        history = counts[:-since]
        if (key := history.tobytes()) not in self._seasons:
            self._seasons[key] = season_of(history)
        return look(self._seasons[key], counts, since)


def three_deviations(counts: Counts, since: int) -> Anomaly | None:
    """What is usual: more than three standard deviations from the mean of the same hour of the last six weeks."""
    same = counts[-1 - 6 * WEEK :: WEEK][:-1] if len(counts) > 6 * WEEK else counts[:0]
    if len(same) and abs(counts[-1] - same.mean()) > max(3 * same.std(), 1):
        return Anomaly("spike" if counts[-1] > same.mean() else "drop", 1, counts[-1], same.mean(), 0.0)
    return None
