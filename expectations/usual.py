"""Usual: which hours an hour, or a day, is held against, and what they looked like. Pure: profiles in, profiles out.

The same hour of the same weekday; while there are fewer than three such weeks, the same hour of the last days.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Final, NamedTuple

from expectations.joining import joined
from expectations.profiles import Profile

HOUR: Final = 3600
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
WEEKS_BACK: Final = 8
LEAST_WEEKS: Final = 3
DAYS_BACK: Final = 14
LEAST_DAYS: Final = 5


class Span(NamedTuple):
    """Hours that are judged as one, after every how many of them, and in words."""

    hours: int
    every: int
    words: str


SPANS: Final = (Span(1, 1, ""), Span(24, 6, "over the last 24 hours "))
"""An hour has too few people to say much, where a shop or a source is small."""


class Usual(NamedTuple):
    """The same hours of before: of which hours they are, in words, and what they looked like; and of which span."""

    words: str
    hours: tuple[int, ...]
    profiles: tuple[Profile, ...]
    span: Span = SPANS[0]


def spans_at(hour: int) -> list[Span]:
    """The spans that end with `hour` (epoch seconds) and are judged then."""
    return [span for span in SPANS if (hour // HOUR + 1) % span.every == 0]


def compared_with(hour: int, first: int, span: Span) -> list[int]:
    """The hours with which the same span ends that this one is compared with, in a history that begins with `first`."""
    begins = first + (span.hours - 1) * HOUR
    weeks = [back for number in range(WEEKS_BACK, 0, -1) if (back := hour - number * WEEK) >= begins]
    if len(weeks) >= LEAST_WEEKS:
        return weeks
    days = [back for number in range(DAYS_BACK, 0, -1) if (back := hour - number * DAY) >= begins]
    return days if len(days) >= LEAST_DAYS else []


def hours_of(end: int, span: Span) -> list[int]:
    """The hours of a span, the last one last."""
    return [*range(end - (span.hours - 1) * HOUR, end + HOUR, HOUR)]


def usual_of(hour: int, first: int, span: Span, profiles: Callable[[int], Profile]) -> Usual | None:
    """What a span is compared with; nothing while there is too little history.

    Args:
        hour: its last.
        first: the first hour of the history.
        span: that is judged.
        profiles: what an hour looked like.
    """
    ends = compared_with(hour, first, span)
    if not ends:
        return None
    moment = datetime.fromtimestamp(hour, timezone.utc)
    words = f"{moment:%A}s {moment:%H:%M}" if ends[-1] == hour - WEEK else f"{moment:%H:%M}"
    return Usual(words, tuple(ends), tuple(joined([*map(profiles, hours_of(end, span))]) for end in ends), span)
