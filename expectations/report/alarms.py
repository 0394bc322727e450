"""Alarms: what of the hours that nobody judged yet is not as usual, and what was told of before."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from math import log10
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from expectations import anomalies
from expectations.drift import Drift, drifts, subject_in_words
from expectations.history import History, write_whole
from expectations.joining import joined
from expectations.profiles import Profile, to_profiles
from expectations.usual import DAY, HOUR, hours_of, spans_at, usual_of

HOURS_AT_ONCE: Final = 24
"""Hours judged in one run; of a longer pause the newest."""
SAME: Final = 12 * HOUR
"""An alarm that comes again within this time is the one of before."""
MOST_REMEMBERED: Final = 576
"""Profiles in memory: a day of nine weeks twice, and some."""
SHOWN_HOURS: Final = 9 * 24


class Alarm(msgspec.Struct):
    """Something that is not as usual.

    Attributes:
        kind: a line of `drift.THRESHOLDS`, or `silence`, `drop`, `spike`, `leak` of a rate.
        subject, column: of the profile.
        since, until: the first and the last hour of which it was said (epoch seconds).
        sentence: of the last one.
        score: how far it is over its threshold.
        picture: the name of the file that shows it; empty: none.
        drawn: what the picture shows, as plain values.
    """

    kind: str
    subject: str
    column: str
    since: int
    until: int
    sentence: str
    score: float
    picture: str = ""
    drawn: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """What is the same of one alarm from hour to hour."""
        return f"{self.kind} {self.subject} {self.column}".strip()


def judge(history: History, before: int, after: int = 0) -> tuple[list[Alarm], list[int]]:
    """The alarms of the hours that ended before `before` and begin after `after`, and which hours those are."""
    known = history.hours()
    if not known:
        return [], []
    first, last = known[0], before // HOUR * HOUR - HOUR
    hours = range(max(after + HOUR, first, last - (HOURS_AT_ONCE - 1) * HOUR), last + HOUR, HOUR)
    if not hours:
        return [], []
    rates = Rates(history, first, last)
    found: list[Alarm] = []
    profiles = Profiles(history, first)
    for hour in hours:
        found += rates.alarms(hour)
        told: dict[str, Alarm] = {}
        for span in spans_at(hour):
            usual = usual_of(hour, first, span, profiles.of)
            if usual is not None:
                now = joined([*map(profiles.of, hours_of(hour, span))])
                # Once they know a season the rates speak of that: they know people from events, and sums from parts.
                for drift in drifts(now, usual, rates.season_known):
                    alarm = _of_drift(drift, hour)
                    told.setdefault(alarm.name, alarm)  # of the shortest span, which has least of before in it
        found += told.values()
    return found, [*hours]


class Profiles:
    """The profiles of a history, each read once; an hour without a file is one without a row."""

    def __init__(self, history: History, first: int) -> None:
        self._history, self._first = history, first
        self._known: OrderedDict[int, Profile] = OrderedDict()

    def of(self, hour: int) -> Profile:
        """What an hour looked like."""
        if hour not in self._known:
            self._known[hour] = to_profiles(self._history.read([hour])).get(hour, {})
            if len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return self._known[hour]


class Rates:
    """The event rates of a history, by subject, and what is wrong with them.

    Args:
        history: of profiles.
        first, last: hours (epoch seconds).
    """

    def __init__(self, history: History, first: int, last: int) -> None:
        start = -(-max(first, last - (anomalies.MOST_WEEKS + 1) * 7 * DAY) // DAY) * DAY
        self._start = start
        hours = max((last - start) // HOUR + 1, 0)
        table = history.read(range(start, last + HOUR, HOUR), subjects_alone=True)
        self._people: dict[str, anomalies.Counts] = {}
        for hour, profile in to_profiles(table).items():
            for subject, seen in profile.items():
                if subject.startswith("events/"):
                    series = self._people.setdefault(subject, np.zeros(hours))
                    series[(hour - start) // HOUR] = seen.people
        self.season_known = hours > anomalies.LEAST_WEEKS * anomalies.WEEK
        self._seasons: dict[tuple[str, int], anomalies.Season] = {}

    def alarms(self, hour: int) -> list[Alarm]:
        """What is wrong in an hour."""
        found = {}
        for subject, series in self._people.items():
            counts = series[: (hour - self._start) // HOUR + 1]
            since = (len(counts) - 1) % anomalies.DAY + 1
            past = counts[:-since]
            if not anomalies.is_watched(past):
                continue
            if (key := (subject, len(past))) not in self._seasons:
                self._seasons[key] = anomalies.season_of(past)
            season = self._seasons[key]
            if (anomaly := anomalies.look(season, counts, since)) is not None:
                found[subject] = self._alarm(subject, hour, anomaly, counts, anomalies.expected(season, since))
        return [found[subject] for subject in telling({name: alarm.kind == "spike" for name, alarm in found.items()})]

    def _alarm(
        self, subject: str, hour: int, found: anomalies.Anomaly, counts: anomalies.Counts, expected: anomalies.Counts
    ) -> Alarm:
        shown = min(SHOWN_HOURS, len(counts), len(expected))
        drawn = {
            "hour": hour, "window": found.hours,
            "seen": counts[-shown:].tolist(), "expected": np.round(expected[-shown:], 2).tolist(),
        }  # fmt: skip
        # A window says the same of the next hour, so the hour is that of the window's end.
        return Alarm(found.kind, subject, "", hour, hour, rate_in_words(subject, hour, found),
                     1 + max(-log10(max(found.odds, 1e-300)), 0) / 10, drawn=drawn)  # fmt: skip


def telling(rises: Mapping[str, bool]) -> list[str]:
    """Of subjects with an anomaly, whether it is a rise by name, those that tell most.

    A sum (`*`) stands for its parts, but where it is all one part's doing: that one says more.
    """
    left = dict(rises)
    for subject in sorted(rises, key=lambda name: (-name.count("*"), name)):
        if subject not in left or "*" not in subject:
            continue
        parts = [each for each in left if each != subject and rises[each] == rises[subject] and _is_part(each, subject)]
        ends = [each for each in parts if not any(_is_part(other, each) for other in parts if other != each)]
        if any(all(_is_part(end, each) for end in ends) for each in parts):
            del left[subject]
        else:
            for each in parts:
                del left[each]
    return sorted(left)


def rate_in_words(subject: str, hour: int, found: anomalies.Anomaly) -> str:
    """A plain sentence."""
    moment = datetime.fromtimestamp(hour + HOUR, timezone.utc)
    span = "the last hour" if found.hours == 1 else f"the last {found.hours} hours"
    if found.hours >= 3 * anomalies.DAY:
        span = f"the last {found.hours // anomalies.DAY} days"
    of = subject_in_words(subject)
    if found.kind == "silence":
        return f"No {of} in {span} up to {moment:%A %H:%M}, where {found.expected:,.0f} people are usual."
    side = "above" if found.kind == "spike" else "below"
    return (
        f"{of[0].upper()}{of[1:]}: {found.seen:,.0f} people in {span} up to {moment:%A %H:%M}, "
        f"{abs(found.seen / found.expected - 1):.0%} {side} the usual {found.expected:,.0f}."
    )


class AlarmBook:
    """All alarms of a time, and up to which hour was judged.

    Args:
        path: a file of JSON.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.judged, self.alarms = 0, []
        if path.exists():
            book = msgspec.json.decode(path.read_bytes(), type=_Book)
            self.judged, self.alarms = book.judged, book.alarms

    def add(self, found: Iterable[Alarm]) -> list[Alarm]:
        """Take alarms in; those that were not told of before."""
        known = {alarm.name: alarm for alarm in self.alarms}
        fresh = []
        for alarm in found:
            before = known.get(alarm.name)
            if before is not None and alarm.since - before.until <= SAME:
                before.until, before.sentence, before.score = alarm.until, alarm.sentence, alarm.score
                before.drawn = alarm.drawn
            else:
                known[alarm.name] = alarm
                self.alarms.append(alarm)
                fresh.append(alarm)
        return fresh

    def keep(self, judged: int, after: int) -> None:
        """Write the book, without the alarms that ended before `after`."""
        self.judged = max(judged, self.judged)
        self.alarms = sorted((each for each in self.alarms if each.until >= after), key=lambda each: -each.until)
        write_whole(self._path, msgspec.json.encode(_Book(self.judged, self.alarms)))

    def open(self, hours: int = 24) -> list[Alarm]:
        """The alarms of the last hours that were judged, the worst first."""
        recent = [alarm for alarm in self.alarms if alarm.until > self.judged - hours * HOUR]
        return sorted(recent, key=lambda alarm: (alarm.until < self.judged, alarm.kind != "silence", -alarm.score))


class _Book(msgspec.Struct):
    judged: int
    alarms: list[Alarm]


def on_call(alarms: Sequence[Alarm]) -> str:
    """One line that says what broke."""
    if not alarms:
        return "All is as usual."
    more = f" And {len(alarms) - 1} more." if len(alarms) > 1 else ""
    return f"{alarms[0].sentence}{more}"


def as_json(alarms: Iterable[Alarm]) -> list[dict[str, Any]]:
    """For machines, without what is drawn."""
    rows: list[dict[str, Any]] = json.loads(msgspec.json.encode([*alarms]))
    return [{name: value for name, value in row.items() if name != "drawn"} for row in rows]


def _of_drift(drift: Drift, hour: int) -> Alarm:
    drawn: dict[str, Any] = {"hour": hour, "seen": drift.seen, "usual": {str(at): to for at, to in drift.usual.items()}}
    if drift.kind == "nulls":
        drawn["is_share"] = True
    if drift.kind == "delay":
        drawn["is_time"] = True
    if drift.now:
        drawn |= {"now": _plain(drift.now), "before": _plain(drift.before)}
    return Alarm(drift.kind, drift.subject, drift.column, hour, hour, drift.sentence, drift.score, drawn=drawn)


def _plain(figures: Sequence[float] | Mapping[str, float]) -> dict[str, float] | list[float]:
    return {**figures} if isinstance(figures, Mapping) else [*figures]


def _is_part(subject: str, whole: str) -> bool:
    return all(there in (here, "*") for here, there in zip(_parts(subject), _parts(whole), strict=True))


def _parts(subject: str) -> Iterator[str]:
    _, source, kind = subject.split("/", 2)
    yield source
    yield kind
