"""Segments: how good a customer somebody is among the others, and how long they have been away.

A mail speaks differently to the best customers, to a newcomer and to somebody who is slipping away. The scores are RFM
by fifths of all customers (recency, frequency, monetary value; Hughes: "Strategic Database Marketing", 1994). They are
the one feature of a user that depends on other users: everything else here is a function of the events and of now.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from itertools import product
from typing import Any, Final, NamedTuple

from dataflows.aggregates.population import FIFTHS, Cuts, Standing
from dataflows.aggregates.tiles import HORIZON
from dataflows.events import DAY, HOUR

NEW: Final = 7
ACTIVE: Final = 30
LAPSING: Final = HORIZON
"""Days since the first event, or since the last activity."""

ACTIVITY: Final = ("last_view_at", "last_cart_at", "last_purchase_at", "last_email_click_at", "first_seen_at")
"""What shows that somebody is there. An opened mail does not: mail programs open mails by themselves."""

LIFECYCLES: Final = ("new", "active", "lapsing", "lapsed")
BROWSERS: Final = "browsers"


class Scores(NamedTuple):
    """1 to 5 each: the fifth of all customers that somebody is in, 5 the best."""

    recency: int
    frequency: int
    monetary: int


LOWEST: Final = Scores(1, 1, 1)


class Rule(NamedTuple):
    """A segment, and the least and the greatest of each score for it."""

    segment: str
    recency: tuple[int, int]
    frequency: tuple[int, int]
    monetary: tuple[int, int]

    def fits(self, scores: Scores) -> bool:
        """Whether the scores are within the rule."""
        return all(low <= score <= high for score, (low, high) in zip(scores, self[1:], strict=True))


ANY: Final = (1, 5)
RULES: Final = (
    Rule("champions", (4, 5), (4, 5), (4, 5)),
    Rule("loyal", (3, 5), (4, 5), ANY),
    Rule("big_spenders", (3, 5), ANY, (4, 5)),
    Rule("new_customers", (4, 5), (1, 1), ANY),
    Rule("promising", (4, 5), ANY, ANY),
    Rule("needs_attention", (3, 3), ANY, ANY),
    Rule("at_risk", (1, 2), (3, 5), ANY),
    Rule("at_risk", (1, 2), ANY, (4, 5)),
    Rule("hibernating", (2, 2), ANY, ANY),
    Rule("lost", (1, 1), ANY, ANY),
)
"""The segments of customers: the first rule that fits is the one. `docs/features.md` has the same table."""

_SEGMENTS: Final = {
    scores: next(rule.segment for rule in RULES if rule.fits(scores))
    for scores in map(Scores._make, product(range(1, FIFTHS + 1), repeat=3))
}


def segment_of(
    last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
) -> tuple[dict[str, Any], int | None]:
    """The features of the view `user_segment` at `now`, and when they change or are to be looked at again.

    Args:
        last: when what last happened (microseconds), by the names of the features; `first_seen_at` too.
        standing: the user's own in the population.
        cuts: the population's.
        now: in microseconds.
        turn: when in the hour the user's scores are looked at again, see `turn_of`.
    """
    lifecycle, due = _lifecycle(last, now)
    if standing is not None:
        scores: Scores | None = scores_of(standing, cuts)
        again = now + HOUR - (now - turn) % HOUR
        due = again if due is None else min(due, again)
    else:
        scores = LOWEST if "last_purchase_at" in last else None
    recency, frequency, monetary = scores or (None, None, None)
    return {
        "rfm_recency": recency,
        "rfm_frequency": frequency,
        "rfm_monetary": monetary,
        "segment": BROWSERS if scores is None else _SEGMENTS[scores],
        "lifecycle": lifecycle,
    }, due


def scores_of(standing: Standing, cuts: Cuts) -> Scores:
    """The fifths that a customer is in. Equals score the same: the score of the first of them in the order of the cuts.

    So when everybody bought on one day, everybody bought lately (5); when everybody has one order, nobody buys often
    (1); and the first customer of all, whom no cut stands beside, is a new one (5, 1, 1).
    """
    day, orders, amount = standing
    return Scores(
        FIFTHS - sum(day < cut for cut in cuts.days),
        1 + sum(cut < orders for cut in cuts.orders),
        1 + sum(cut < amount for cut in cuts.amounts),
    )


def turn_of(user: str) -> int:
    """When in the hour (microseconds) a customer's scores are looked at again: spread by the id."""
    return zlib.crc32(user.encode()) * HOUR >> 32


def _lifecycle(last: Mapping[str, int], now: int) -> tuple[str, int | None]:
    """How long somebody has been here or away, and when that changes; of whom nothing is known is new.

    By whole days (UTC), as all windows of days: within n days means floor(t / day) >= floor(now / day) - n.
    """
    first = last.get("first_seen_at")
    if first is None:
        return "new", None
    today, seen = now // DAY, first // DAY
    if today <= seen + NEW:
        return "new", (seen + NEW + 1) * DAY
    active = max(last.get(moment, 0) for moment in ACTIVITY) // DAY
    if today <= active + ACTIVE:
        return "active", (active + ACTIVE + 1) * DAY
    if today <= active + LAPSING:
        return "lapsing", (active + LAPSING + 1) * DAY
    return "lapsed", None
