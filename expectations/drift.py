"""Drift: whether an hour looks like the same hours of the weeks before. Pure: profiles in, drifts out.

What is usual is the median of the hours that `expectations.usual` gives, and how far from it is still usual the median
of the deviations from it (Hampel, 1974): one bad week among them changes neither. Distributions are compared as a
whole: numbers by the greatest distance of their distribution functions (Kolmogorov and Smirnov), categories by the
population stability index.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import log, sqrt
from typing import Final, NamedTuple

import numpy as np

from expectations.profiles import QUANTILES, Column, Profile, Subject
from expectations.usual import LEAST_WEEKS, Usual


class Threshold(NamedTuple):
    """What makes a difference a drift; all of it must hold.

    Attributes:
        far: usual deviations from the median; of a distribution the figure itself.
        change: the least change, as a share of what is usual; of a share (nulls) in points of 1.
        rows: the fewest rows, in this hour or usually.
    """

    far: float
    change: float
    rows: int


THRESHOLDS: Final[Mapping[str, Threshold]] = {
    "volume": Threshold(5, 0.5, 50),
    "repeats": Threshold(3.5, 0.4, 30),
    "nulls": Threshold(6, 0.05, 8),
    "delay": Threshold(6, 2.0, 5),
    "middle": Threshold(3.5, 0.2, 5),
    "spread": Threshold(0.25, 0, 10),
    "shares": Threshold(0.25, 0, 10),
}
"""The one table of what is a drift, by kind."""
LEAST_DELAY: Final = 60.0
"""Seconds by which events must be later than usual."""
UNEVEN: Final = 1.2
"""The standard deviation of events a person, as a share of their mean: most look at little, some at much."""
FAR_LABEL: Final = 5
"""Usual deviations by which a label's share must differ."""
_SMALL: Final = 0.05
"""The share from which on a label is looked at by itself."""
_STEADY: Final = 0.05
"""A share of the median that always counts as usual deviation."""


class Drift(NamedTuple):
    """One thing that is not as usual.

    Attributes:
        kind: a line of `THRESHOLDS`.
        subject, column: of the profile.
        sentence: plain words for whoever is on call.
        seen: of this hour; `usual` likewise of the usual ones, by hour, as far as it is a number an hour.
        score: by how many times it is over the threshold.
        now, before: of a distribution, what is drawn: its quantiles, or its shares by label.
    """

    kind: str
    subject: str
    column: str
    sentence: str
    seen: float
    usual: Mapping[int, float]
    score: float
    now: Sequence[float] | Mapping[str, float] = ()
    before: Sequence[float] | Mapping[str, float] = ()


def drifts(profile: Profile, usual: Usual, rates_are_watched: bool = False) -> list[Drift]:
    """What of an hour is not as usual, the worst first.

    A subject whose volume is not as usual is told for that alone: its columns follow. Of events it is told how often
    they come a person, if that is what makes the volume.

    Args:
        profile: of the hour.
        usual: what it is compared with.
        rates_are_watched: how many people there are is told elsewhere (`expectations.anomalies`), and not here.
    """
    found: list[Drift] = []
    for subject in sorted({*profile, *(name for each in usual.profiles for name in each)}):
        now = profile.get(subject, Subject(0, 0, {}))
        before = {
            hour: each.get(subject, Subject(0, 0, {}))
            for hour, each in zip(usual.hours, usual.profiles, strict=True)
        }  # fmt: skip
        is_rate = rates_are_watched and subject.startswith("events/")
        people = {hour: _people(there) for hour, there in before.items()}
        is_crowd = any(_volume(subject, _people(now), people, usual.words))
        volume = [] if is_rate or usual.span.hours > 1 else [*_volume(subject, now, before, usual.words)]
        repeats = [*_repeats(subject, now, before)]
        if repeats and repeats[0].seen > np.median([*repeats[0].usual.values()]):
            found += [*repeats, *(volume if is_crowd else _columns(subject, now, before))]
        elif is_crowd if is_rate or usual.span.hours > 1 else volume:
            found += volume
        else:
            found += [*repeats, *_columns(subject, now, before)]
    if usual.span.words:
        found = [each._replace(sentence=_sentence(usual.span.words + _lower(each.sentence))) for each in found]
    return sorted(found, key=lambda each: -each.score)


def psi(now: Mapping[str, float], before: Mapping[str, float], rows: int, rows_before: int) -> float:
    """The population stability index of shares by label, less what chance alone would give it.

    A label that one side lacks counts as half a row there.
    """
    labels = {*now, *before}
    little, little_before = 0.5 / max(rows, 1), 0.5 / max(rows_before, 1)
    total = 0.0
    for label in labels:
        here, there = max(now.get(label, 0.0), little), max(before.get(label, 0.0), little_before)
        total += (here - there) * log(here / there)
    chance = 1 / max(rows, 1) + 1 / max(rows_before, 1)
    return total - (len(labels) - 1 + 4 * sqrt(2 * (len(labels) - 1))) * chance


def distance(now: Sequence[float], before: Sequence[float], rows: int, rows_before: int) -> float:
    """The greatest distance of two distribution functions, known by their quantiles, less what chance would give it."""
    grid = np.unique([*now, *before])
    gaps = []
    for side in ("left", "right"):
        ours, theirs = (np.searchsorted(values, grid, side=side) / len(QUANTILES) for values in (now, before))
        gaps.append(float(np.abs(ours - theirs).max()))
    return max(gaps) - 1.63 * sqrt(1 / max(rows, 1) + 1 / max(rows_before, 1))


def subject_in_words(subject: str) -> str:
    """`events/shopify/purchase` as `purchase events from shopify`; a view is itself."""
    kind, _, rest = subject.partition("/")
    if kind != "events":
        return f"rows of {subject}"
    source, _, what = rest.partition("/")
    return ("events" if what == "*" else f"{what} events") + ("" if source == "*" else f" from {source}")


def _volume(subject: str, now: Subject, before: Mapping[int, Subject], words: str) -> Iterator[Drift]:
    rows = {hour: float(each.rows) for hour, each in before.items()}
    middle, spread = _middle(rows.values())
    score = _score("volume", now.rows, middle, max(spread, sqrt(middle + 1)), now.rows, middle)
    if score:
        change = f"{abs(now.rows / middle - 1):.0%} {'below' if now.rows < middle else 'above'}" if middle else "above"
        said = f"{subject_in_words(subject)} per hour are {change} the usual {middle:,.0f} for {words}"
        if not now.rows:
            said = f"no {subject_in_words(subject)} in this hour, where {middle:,.0f} are usual for {words}"
        yield Drift("volume", subject, "", _sentence(said), now.rows, rows, score)


def _people(of: Subject) -> Subject:
    return of._replace(rows=of.people)


def _repeats(subject: str, now: Subject, before: Mapping[int, Subject]) -> Iterator[Drift]:
    """Events a person: who sends everything twice is seen here."""
    if not subject.startswith("events/") or not now.people:
        return
    each = {hour: there.rows / there.people for hour, there in before.items() if there.people}
    middle, spread = _middle(each.values())
    seen = now.rows / now.people
    spread = max(spread, middle * UNEVEN / sqrt(now.people))
    if middle and (score := _score("repeats", seen, middle, spread, now.people, now.people)):
        said = f"{subject_in_words(subject)} come {seen:.1f} times a person instead of {middle:.1f}"
        yield Drift("repeats", subject, "", _sentence(said), seen, each, score)


def _columns(subject: str, now: Subject, before: Mapping[int, Subject]) -> Iterator[Drift]:
    for name, column in now.columns.items():
        column = _counted(column, now)
        past = {hour: _counted(each.columns[name], each) for hour, each in before.items() if name in each.columns}
        if len(past) < LEAST_WEEKS:
            continue
        of = f"the {name} of {subject_in_words(subject)}"
        nulls = [*_nulls(of, column, past)]
        numbers = [] if nulls else [*_numbers(of, name, column, past)]
        shares = [] if nulls else [*_shares(of, column, past)]
        for drift in (*nulls, *numbers, *shares):
            yield drift._replace(subject=subject, column=name)


def _nulls(of: str, now: Column, past: Mapping[int, Column]) -> Iterator[Drift]:
    each = {hour: column.nulls for hour, column in past.items()}
    middle, spread = _middle(each.values())
    spread = max(spread, sqrt(max(middle * (1 - middle), 0.001) / max(now.rows, 1)))
    threshold = THRESHOLDS["nulls"]
    far = abs(now.nulls - middle) / spread
    if now.rows >= threshold.rows and far >= threshold.far and abs(now.nulls - middle) >= threshold.change:
        said = f"{of} is missing in {now.nulls:.0%} of the rows, where {middle:.0%} is usual"
        yield Drift("nulls", "", "", _sentence(said), now.nulls, each, far / threshold.far)


def _numbers(of: str, name: str, now: Column, past: Mapping[int, Column]) -> Iterator[Drift]:
    before = {hour: column for hour, column in past.items() if column.quantiles}
    if now.quantiles and before:
        yield from (_delay if name == "delay" else _values)(of, now, before)


def _delay(of: str, now: Column, before: Mapping[int, Column]) -> Iterator[Drift]:
    each = {hour: _late(column) for hour, column in before.items()}
    middle, spread = _middle(each.values())
    seen, filled = _late(now), _filled(now)
    score = _score("delay", seen, middle, spread, filled, filled)
    if score and seen - middle >= LEAST_DELAY:
        said = f"{of}: one in ten comes more than {_seconds(seen)} late, where {_seconds(middle)} are usual"
        yield Drift("delay", "", "", _sentence(said), seen, each, score)


def _values(of: str, now: Column, before: Mapping[int, Column]) -> Iterator[Drift]:
    """What numbers are like: the middle of them first, and where that is as usual their distribution."""
    filled, typical = _filled(now), Column(now.rows, now.nulls, _mean(before.values()))
    each = {hour: _middle_half(column) for hour, column in before.items()}
    middle, _ = _middle(each.values())
    seen = _middle_half(now)
    if score := _shift(now, typical, before.values()) if abs(seen - middle) > _change("middle", middle) else 0.0:
        said = f"{of} is {seen:,.4g} instead of {middle:,.4g} (mean of the middle half)"
        yield Drift("middle", "", "", _sentence(said), seen, each, score, now.quantiles, typical.quantiles)
        return
    rows_before = sum(map(_filled, before.values()))
    own = [distance(column.quantiles, typical.quantiles, _filled(column), rows_before) for column in before.values()]
    gap = distance(now.quantiles, typical.quantiles, filled, rows_before) - max(*own, 0.0)
    threshold = THRESHOLDS["spread"]
    if filled >= threshold.rows and gap >= threshold.far:
        said = f"{of} is spread otherwise than usual (distance {gap:.2f} of at most 1)"
        yield Drift("spread", "", "", _sentence(said), gap, {}, gap / threshold.far, now.quantiles, typical.quantiles)


def _shift(now: Column, typical: Column, before: Iterable[Column]) -> float:
    """By how many times the middle of numbers is over the threshold; 0 if it is not.

    Prices are skewed: of what is above zero, twice as much is as far as half as much.
    """
    if _filled(now) < THRESHOLDS["middle"].rows:
        return 0.0
    skewed = min(now.quantiles[0], typical.quantiles[0]) > 0
    now, typical, *past = (_logs(column) if skewed else column for column in (now, typical, *before))
    middle, spread = _middle(map(_middle_half, past))
    least = _STEADY * (1.0 if skewed else abs(middle))
    far = abs(_middle_half(now) - middle) / max(spread, _error(now), _error(typical), least, 1e-9)
    return far / THRESHOLDS["middle"].far if far >= THRESHOLDS["middle"].far else 0.0


def _change(kind: str, middle: float) -> float:
    return THRESHOLDS[kind].change * abs(middle)


def _shares(of: str, now: Column, past: Mapping[int, Column]) -> Iterator[Drift]:
    before = {hour: column for hour, column in past.items() if column.shares}
    if not now.shares or not before:
        return
    labels = sorted({label for column in before.values() for label in column.shares})
    typical = {
        label: float(np.median([column.shares.get(label, 0.0) for column in before.values()])) for label in labels
    }
    total = sum(typical.values()) or 1.0
    typical = {label: share / total for label, share in typical.items() if share}
    told = {
        label for label in {*now.shares, *typical} if max(now.shares.get(label, 0), typical.get(label, 0)) >= _SMALL
    }
    seen, usual = _few(now.shares, told), _few(typical, told)
    filled, rows_before = _filled(now), sum(map(_filled, before.values()))
    own = [psi(_few(column.shares, told), usual, _filled(column), rows_before) for column in before.values()]
    index = psi(seen, usual, filled, rows_before) - max(float(max(own)), 0.0)
    threshold = THRESHOLDS["shares"]
    if told and filled >= threshold.rows and index >= threshold.far:
        moved = max(
            sorted(told),  # of two that traded places, the one that is gone
            key=lambda label: (abs(round(now.shares.get(label, 0) - typical.get(label, 0), 6)), typical.get(label, 0)),
        )
        each = [column.shares.get(moved, 0.0) for column in before.values()]
        middle, spread = _middle(each)
        chance = sqrt(max(middle * (1 - middle), 0.01) / filled)
        if abs(now.shares.get(moved, 0.0) - middle) < FAR_LABEL * max(spread, chance):
            return
        said = f"{of}: {moved} is {now.shares.get(moved, 0):.0%}, where {typical.get(moved, 0):.0%} is usual"
        yield Drift("shares", "", "", _sentence(said), index, {}, index / threshold.far, now.shares, typical)


def _few(shares: Mapping[str, float], told: Collection[str]) -> dict[str, float]:
    """Shares of some labels, and of all others together: what is rare says nothing by itself."""
    rest = sum(share for label, share in shares.items() if label not in told)
    return {label: shares.get(label, 0.0) for label in sorted(told)} | ({"": rest} if rest > 1e-9 else {})


def _score(kind: str, seen: float, middle: float, spread: float, rows: float, rows_usual: float) -> float:
    """By how many times a number is over the threshold; 0 if it is not."""
    threshold = THRESHOLDS[kind]
    far = abs(seen - middle) / max(spread, abs(middle) * _STEADY, 1e-9)
    enough = max(rows, rows_usual) >= threshold.rows
    return (
        far / threshold.far
        if enough and far >= threshold.far and abs(seen - middle) >= threshold.change * abs(middle)
        else 0.0
    )


def _middle(values: Iterable[float]) -> tuple[float, float]:
    """The median, and 1.4826 times the median of the deviations from it: a standard deviation, of what is normal."""
    there = np.array([*values])
    if not there.size:
        return 0.0, 0.0
    middle = float(np.median(there))
    return middle, 1.4826 * float(np.median(np.abs(there - middle)))


def _mean(columns: Iterable[Column]) -> tuple[float, ...]:
    """The median of each quantile."""
    return tuple(np.median([column.quantiles for column in columns], axis=0).tolist())


def _late(column: Column) -> float:
    """What nine of ten stay below."""
    return column.quantiles[-3]


def _middle_half(column: Column) -> float:
    """The mean of the middle half: of whole numbers the median itself jumps."""
    return float(np.mean(column.quantiles[len(QUANTILES) // 4 : -(len(QUANTILES) // 4)]))


def _error(column: Column) -> float:
    """How far the mean of the middle half may be off by chance, as a standard deviation: 1.1 of that of a mean."""
    at = column.quantiles
    deviation = max((at[-6] - at[5]) / 1.349, (at[-2] - at[1]) / 3.29)
    return 1.1 * deviation / sqrt(max(_filled(column), 1))


def _logs(column: Column) -> Column:
    """Prices are skewed: twice as much is as far as half as much."""
    return column._replace(quantiles=tuple(np.log(np.maximum(column.quantiles, 1e-9)).tolist()))


def _counted(column: Column, of: Subject) -> Column:
    """A column as if of so many rows as say as much by chance: what one person does is alike, and some do much."""
    if not of.people or column.rows <= of.people:
        return column
    return column._replace(rows=round(of.people / (1 + UNEVEN**2 * (1 - of.people / column.rows))))


def _filled(column: Column) -> int:
    return round(column.rows * (1 - column.nulls))


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:].rstrip('.')}."


def _lower(said: str) -> str:
    return f"{said[0].lower()}{said[1:]}"
