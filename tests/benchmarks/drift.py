"""Precision and recall of drift, on the real sample with planted faults.

In each series of the sample (a channel and a type, or all) with enough rows each kind of fault is planted some times,
in each column that it can befall, and every hour of it is judged as it would be live. Thresholds were chosen on the
weeks before the last 20 days. The sample does not say when an event was received: that is made up, two seconds later on
average.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from expectations.drift import Drift, drifts
from expectations.joining import joined
from expectations.profiles import QUANTILES, Column, Profile, Subject, of_events, to_profiles, to_table
from expectations.usual import DAY, HOUR, Usual, hours_of, spans_at, usual_of
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.sample import SAMPLE, is_present
from tests.contract.weeks import MIDNIGHT, as_events, events

FIRST, LAST = 55, 75  # days of the sample
LASTS = 24  # hours of a fault
STRETCH = 9  # days of a trial
TRIALS = 2
LEAST_ROWS = 15.0  # an hour on average
SEED = 7
Chance: TypeAlias = np.random.Generator
Spoil: TypeAlias = Callable[[pd.DataFrame, str, Chance], pd.DataFrame]
Judge: TypeAlias = Callable[[Profile, Usual], list[Drift]]


class Kind(NamedTuple):
    """A kind of fault: in which columns, as which kinds of drift it may be told, and what it does to rows."""

    columns: tuple[str, ...]
    told: tuple[str, ...]
    spoil: Spoil


def _nulls(rows: pd.DataFrame, column: str, chance: Chance) -> pd.DataFrame:
    return rows.assign(**{column: rows[column].mask(chance.random(len(rows)) < chance.uniform(0.3, 0.8))})


def _late(rows: pd.DataFrame, column: str, chance: Chance) -> pd.DataFrame:
    return rows.assign(occurred_at=rows.occurred_at - pd.Timedelta(seconds=chance.uniform(600, 10_800)))


def _renamed(rows: pd.DataFrame, column: str, chance: Chance) -> pd.DataFrame:
    most = rows[column].mode()
    return rows.assign(**{column: rows[column].replace(most.iloc[0], "renamed")}) if len(most) else rows


def _fewer(rows: pd.DataFrame, column: str, chance: Chance) -> pd.DataFrame:
    people = rows.user_id.unique()
    lost = people[chance.random(len(people)) < chance.uniform(0.7, 0.95)]
    return rows[~rows.user_id.isin(lost)]


def _twice(rows: pd.DataFrame, column: str, chance: Chance) -> pd.DataFrame:
    return pd.concat([rows, rows.assign(event_id=rows.event_id + "-again")])


def _times(factor: float) -> Spoil:
    return lambda rows, column, chance: rows.assign(**{column: rows[column] * factor})


def _one_value(rows: pd.DataFrame, column: str, chance: Chance) -> pd.DataFrame:
    return rows.assign(**{column: rows[column].median()})


KINDS: Final[Mapping[str, Kind]] = {
    "nulls": Kind(("price", "item_id", "country", "device"), ("nulls",), _nulls),
    "delay": Kind(("delay",), ("delay",), _late),
    "middle, 100 times": Kind(("price",), ("middle",), _times(100)),
    "middle, 1.5 times": Kind(("price",), ("middle", "spread"), _times(1.5)),
    "middle, 1.3 times": Kind(("price",), ("middle", "spread"), _times(1.3)),
    "spread": Kind(("price",), ("spread", "middle"), _one_value),
    "shares": Kind(("country", "device"), ("shares",), _renamed),
    "repeats": Kind(("",), ("repeats",), _twice),
}


class Score(NamedTuple):
    """Faults planted and found, hours until each was found, and alarms of the same series that were about nothing."""

    planted: int = 0
    false: int = 0
    delays: tuple[int, ...] = ()

    def plus(self, other: Score) -> Score:
        return Score(self.planted + other.planted, self.false + other.false, self.delays + other.delays)

    @property
    def recall(self) -> float:
        return len(self.delays) / max(self.planted, 1)

    @property
    def precision(self) -> float:
        return len(self.delays) / max(len(self.delays) + self.false, 1)


class Weeks:
    """The sample as the lake would have it, hour by hour, and its profiles."""

    def __init__(self) -> None:
        rows = sample_rows() if is_present() else made_up_rows()
        rows["hour"] = rows.received_at.astype("datetime64[us, UTC]").astype("int64") // 1_000_000 // HOUR * HOUR
        self.rows = rows.sort_values("received_at", kind="stable")
        self.first = int(rows.hour.min()) // DAY * DAY
        self.profiles: dict[int, Profile] = {hour: {} for hour in range(self.first, self.first + LAST * DAY, HOUR)}
        for _, day in self.rows.groupby(self.rows.hour // DAY):
            self.profiles.update(profiled(day))
        self._by_hour = dict(tuple(self.rows.groupby("hour")))

    def series(self) -> list[str]:
        """Subjects with enough rows."""
        rows: dict[str, int] = {}
        for profile in self.profiles.values():
            for name, subject in profile.items():
                rows[name] = rows.get(name, 0) + subject.rows
        return sorted(name for name, count in rows.items() if count >= LEAST_ROWS * len(self.profiles))

    def usual(self, hour: int, subject: str | None = None) -> list[Usual]:
        """What the spans that end with an hour are compared with, all of it or a subject alone."""

        def profile(at: int) -> Profile:
            return self.profiles[at] if subject is None else _only(self.profiles[at], subject)

        found = [usual_of(hour, self.first, span, profile) for span in spans_at(hour)]
        return [each for each in found if each is not None]

    def between(self, start: int, end: int) -> pd.DataFrame:
        return pd.concat([self._by_hour[hour] for hour in range(start, end, HOUR) if hour in self._by_hour])


def profiled(rows: pd.DataFrame) -> dict[int, Profile]:
    """The profiles of all hours of rows."""
    hours = sorted(map(int, rows.hour.unique()))
    table = pa.Table.from_pandas(rows.drop(columns=["hour"]), preserve_index=False)
    return dict(to_profiles(to_table(of_events(table, hours))))


def sample_rows() -> pd.DataFrame:
    """The events of the sample, with the channel as their source, and country and device of their sessions."""
    events = pd.read_parquet(SAMPLE / "ga360_events.parquet")
    sessions = pd.read_parquet(SAMPLE / "ga360_sessions.parquet")
    sessions = sessions.drop_duplicates(["user_id", "session_id"])[
        ["user_id", "session_id", "channel", "country", "device"]
    ]
    events = events.merge(sessions, how="left", on=["user_id", "session_id"]).fillna({"channel": "unknown"})
    delay = np.random.default_rng(SEED).exponential(2, len(events))
    said = {channel: json.dumps({"source": channel}) for channel in events.channel.unique()}
    return pd.DataFrame(
        {
            "event_id": [f"ga360-{row}" for row in range(len(events))], "type": events.event_type,
            "user_id": events.user_id, "anonymous_id": None, "item_id": events.item_id.astype(str),
            "price": events.price.astype(float), "quantity": events.quantity.astype(float), "currency": "USD",
            "country": events.country, "device": events.device, "send_id": None,
            "properties": events.channel.map(said), "occurred_at": events.event_time.astype("datetime64[us, UTC]"),
            "received_at": (events.event_time + pd.to_timedelta(delay, unit="s")).astype("datetime64[us, UTC]"),
        }
    )  # fmt: skip


def made_up_rows() -> pd.DataFrame:
    """A shop of the same length, where the sample is not there."""
    told = events(MIDNIGHT, LAST * 24, np.random.default_rng(SEED))
    rows: pd.DataFrame = as_events(told).to_pandas()
    return rows.assign(properties=[json.dumps({"source": source}) for source in told["source"]])


def trials(weeks: Weeks, first: int, last: int) -> Iterable[tuple[str, str, str, int]]:
    """What is planted: kind, subject, column, and the hour in which it begins."""
    chance = np.random.default_rng(SEED)
    for name, kind in KINDS.items():
        for subject in weeks.series():
            for column in kind.columns:
                if column and not _is_there(weeks, subject, column, first):
                    continue
                for _ in range(TRIALS):
                    yield (
                        name,
                        subject,
                        column,
                        weeks.first + int(chance.integers(first * 24, last * 24 - LASTS)) * HOUR,
                    )


def _is_there(weeks: Weeks, subject: str, column: str, first: int) -> bool:
    """Whether a subject has a column with something in it."""
    hours = range(weeks.first + first * DAY, weeks.first + (first + 7) * DAY, HOUR)
    found = [weeks.profiles[hour].get(subject, Subject(0, 0, {})).columns.get(column) for hour in hours]
    nulls = [each.nulls for each in found if each is not None]
    return bool(nulls) and float(np.mean(nulls)) < 0.5


def plant(weeks: Weeks, name: str, subject: str, column: str, start: int) -> dict[int, Profile]:
    """The hours of a fault as they are profiled with it."""
    source, kind = subject.split("/")[1:]
    rows = weeks.between(start, start + LASTS * HOUR)
    theirs = np.ones(len(rows), bool)
    if kind != "*":
        theirs &= (rows["type"] == kind).to_numpy()
    if source != "*":
        theirs &= (rows.properties == json.dumps({"source": source})).to_numpy()
    spoilt = KINDS[name].spoil(rows[theirs], column, np.random.default_rng(start // HOUR))
    return profiled(pd.concat([rows[~theirs], spoilt]))


def judged(weeks: Weeks, judge: Judge, faults: list[tuple[str, str, str, int]], hours: list[dict[int, Profile]],
           first: int, last: int) -> dict[str, Score]:  # fmt: skip
    """By kind of fault what was found and what was not; `calm` has all false alarms of the days."""
    calm: dict[tuple[str, str, str], list[int]] = {}
    for hour in range(weeks.first + first * DAY, weeks.first + last * DAY, HOUR):
        for usual in weeks.usual(hour):
            now = joined([weeks.profiles[each] for each in hours_of(hour, usual.span)])
            for alarm in judge(now, usual):
                calm.setdefault((alarm.kind, alarm.subject, alarm.column), []).append(hour)
    calm = {name: _begun(at) for name, at in calm.items()}
    scores = {name: Score() for name in KINDS}
    for (name, subject, column, start), faulty in zip(faults, hours, strict=True):
        found = 0
        there = weeks.profiles | {hour: faulty.get(hour, {}) for hour in range(start, start + LASTS * HOUR, HOUR)}
        for place, hour in enumerate(range(start, start + LASTS * HOUR, HOUR), start=1):
            for usual in weeks.usual(hour, subject):
                now = joined([_only(there[each], subject) for each in hours_of(hour, usual.span)])
                told = [each for each in judge(now, usual) if each.column == column and each.kind in KINDS[name].told]
                found = found or (place if told else 0)
            if found:
                break
        stretch = weeks.first + max(first * DAY, min((start - weeks.first) // DAY * DAY, (last - STRETCH) * DAY))
        false = sum(
            1 for (kind, whose, of), at in calm.items() if (whose, of) == (subject, column) and kind in KINDS[name].told
            for hour in at if stretch <= hour < stretch + STRETCH * DAY and not start <= hour < start + LASTS * HOUR
        )  # fmt: skip
        scores[name] = scores[name].plus(Score(1, false, (found,) if found else ()))
    return scores | {"calm": Score(false=sum(map(len, calm.values())))}


def _begun(hours: list[int]) -> list[int]:
    """Those that begin an alarm; one that comes again within twelve hours is the same."""
    return [hour for before, hour in zip([-DAY * 999, *hours], hours, strict=False) if hour - before > 12 * HOUR]


def _only(profile: Profile, subject: str) -> Profile:
    return {subject: profile[subject]} if subject in profile else {}


def watched(profile: Profile, usual: Usual) -> list[Drift]:
    """The product, once it knows the season of the rates."""
    return drifts(profile, usual, rates_are_watched=True)


def naive(profile: Profile, usual: Usual) -> list[Drift]:
    """What is usual: three standard deviations from the mean, and a population stability index above 0.2."""
    found = []
    for subject in {*profile, *(name for each in usual.profiles for name in each)}:
        nobody = Subject(0, 0, {})
        now, past = profile.get(subject, nobody), [each.get(subject, nobody) for each in usual.profiles]
        figures: list[tuple[str, str, float, list[float]]] = [("volume", "", now.rows, [each.rows for each in past])]
        figures.append(("repeats", "", now.rows / max(now.people, 1), [e.rows / e.people for e in past if e.people]))
        for name, column in now.columns.items():
            before = [each.columns[name] for each in past if name in each.columns]
            figures.append(("nulls", name, column.nulls, [each.nulls for each in before]))
            if column.quantiles:
                kind, at = ("delay", -3) if name == "delay" else ("middle", len(QUANTILES) // 2)
                figures.append((kind, name, column.quantiles[at], [e.quantiles[at] for e in before if e.quantiles]))
            if (
                column.shares
                and (there := [each for each in before if each.shares])
                and _naive_psi(column, there) > 0.2
            ):
                found.append(_told("shares", subject, name))
        for kind, name, seen, before_ in figures:
            if len(before_) >= 3 and abs(seen - np.mean(before_)) > max(3 * np.std(before_), 1e-9):
                found.append(_told(kind, subject, name))
    return found


def _naive_psi(now: Column, before: list[Column]) -> float:
    labels = {*now.shares, *(label for each in before for label in each.shares)}
    there = {label: float(np.mean([each.shares.get(label, 0) for each in before])) for label in labels}
    return sum(
        (max(now.shares.get(label, 0), 1e-4) - max(there[label], 1e-4))
        * np.log(max(now.shares.get(label, 0), 1e-4) / max(there[label], 1e-4))
        for label in labels
    )


def _told(kind: str, subject: str, column: str) -> Drift:
    return Drift(kind, subject, column, "", 0.0, {}, 1.0)


def measure(first: int = FIRST, last: int = LAST) -> list[Figure]:
    """Recall by kind of fault, precision, and false alarms a week, beside what is usual on the same faults."""
    weeks = Weeks()
    faults = [*trials(weeks, first, last)]
    hours = [plant(weeks, *fault) for fault in faults]
    ours, theirs = (judged(weeks, judge, faults, hours, first, last) for judge in (watched, naive))
    figures = []
    for name in KINDS:
        mine, other = ours[name], theirs[name]
        half = percentile([*map(float, mine.delays)] or [0.0], 0.5)
        print(
            f"  {name:<18} planted {mine.planted:>3}, found {len(mine.delays):>3}, half of them within {half:.0f} h; "
            f"false {mine.false:>3}, precision {mine.precision:.0%}; "
            f"the usual way finds {other.recall:.0%}, precision {other.precision:.0%}"
        )
        figures.append(_figure(f"drift_recall_{name}", mine.recall, other.recall))
    total, peer = (_all(scores) for scores in (ours, theirs))
    a_week = (last - first) / 7
    return [
        *figures,
        _figure("drift_recall", total.recall, peer.recall),
        _figure("drift_precision", total.precision, peer.precision),
        Figure("drift_false_a_week", ours["calm"].false / a_week, "alarms",
               {"3σ, PSI": ours["calm"].false / max(theirs["calm"].false, 1)}),
    ]  # fmt: skip


def _all(scores: Mapping[str, Score]) -> Score:
    total = Score()
    for name in KINDS:
        total = total.plus(scores[name])
    return total


def _figure(name: str, value: float, peer: float) -> Figure:
    return Figure(name, value, "share", {"3σ, PSI": value / max(peer, 0.01)})
