"""Segments: scores, names and the life cycle against the page that documents them, and when they change."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import strategies as st

from dataflows.aggregates import segments
from dataflows.aggregates.population import NOBODY, Cuts, Standing, bucket_of, standing_of
from dataflows.aggregates.segments import LIFECYCLES, RULES, Scores, scores_of, segment_of, turn_of
from dataflows.events import DAY, HOUR, MINUTE, partition_of
from expectations.verdict import SUITES
from feature_repo.layout import USER
from tests.given import NOW, nows, occasions, seeds
from tests.unit.dataflows.proofs import fails, for_all, holds

PAGE: Final = (Path(__file__).parents[3] / "docs/features.md").read_text()
MOMENTS: Final = (
    "last_view_at",
    "last_cart_at",
    "last_purchase_at",
    "last_email_open_at",
    "last_email_click_at",
    "first_seen_at",
)
SHOWS_ACTIVITY: Final = set(MOMENTS) - {"last_email_open_at"}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)

HAPPENED: Final = occasions(8, MOMENTS, days=130)
"""What happened last, of what is known at all."""
STANDINGS: Final = st.builds(Standing, st.integers(0, 9), st.integers(1, 9), st.integers(0, 9))
CUTS: Final = st.one_of(
    st.just(NOBODY),
    st.builds(
        Cuts,
        st.lists(st.integers(0, 9), min_size=4, max_size=4).map(lambda days: tuple(sorted(days, reverse=True))),
        st.lists(st.integers(1, 9), min_size=4, max_size=4).map(lambda orders: tuple(sorted(orders))),
        st.lists(st.integers(0, 9), min_size=4, max_size=4).map(lambda amounts: tuple(sorted(amounts))),
    ),
)


def told(happened: list[tuple[str, int]]) -> dict[str, int]:
    """The last moments as a state holds them: some event was the first."""
    last: dict[str, int] = {}
    for name, at in happened:
        last[name] = max(at, last.get(name, at))
    if last:
        last["first_seen_at"] = min(last.values())
    return last


@cache
def table() -> list[tuple[str, list[range]]]:
    """The table of segments as the page has it, from top to bottom."""
    rows = re.findall(r"^\| `(\w+)` \| ([1-5–any]+) \| ([1-5–any]+) \| ([1-5–any]+) \|", PAGE, re.MULTILINE)
    assert len(rows) > 8
    return [(name, [_range(cell) for cell in cells]) for name, *cells in rows]


def _range(cell: str) -> range:
    low, _, high = cell.replace("any", "1–5").partition("–")
    return range(int(low), int(high or low) + 1)


def documented(scores: tuple[int, ...]) -> str:
    return next(
        name for name, ranges in table() if all(score in each for score, each in zip(scores, ranges, strict=True))
    )


def day_of(micros: int) -> Any:
    return (EPOCH + timedelta(microseconds=micros)).date()


def lifecycle(last: Mapping[str, int], now: int) -> str:
    """The life cycle by the calendar; of whom nothing is known is new."""
    if not last:
        return "new"
    today = day_of(now)
    if (today - day_of(last["first_seen_at"])).days <= 7:
        return "new"
    away = min((today - day_of(last[name])).days for name in SHOWS_ACTIVITY & last.keys())
    return "active" if away <= 30 else "lapsing" if away <= 90 else "lapsed"


class Segments:
    """The features of a user as the product reads them."""

    def scores(self, standing: Standing, cuts: Cuts) -> tuple[int, ...]:
        return scores_of(standing, cuts)

    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        return segment_of(last, standing, cuts, now, turn)


@for_all(happened=HAPPENED, standing=st.none() | STANDINGS, cuts=CUTS, now=nows(), turn=st.integers(0, HOUR - 1))
def a_user_is_what_the_page_says(
    subject: Segments, happened: list[Any], standing: Any, cuts: Cuts, now: int, turn: int
) -> None:
    last = told(happened)
    row, _ = subject(last, standing, cuts, now, turn)
    assert row["lifecycle"] == lifecycle(last, now)
    if standing:
        scores: Any = subject.scores(standing, cuts)
    else:
        scores = (1, 1, 1) if "last_purchase_at" in last else (None, None, None)
    assert (row["rfm_recency"], row["rfm_frequency"], row["rfm_monetary"]) == scores
    assert row["segment"] == ("browsers" if None in scores else documented(scores))


@for_all(people=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=40))
def scores_follow_the_definition(subject: Segments, people: list[tuple[int, int, int]]) -> None:
    """Each fifth that has less is a point; for days, each fifth that bought later costs one."""
    at = [-(-len(people) * k // 5) - 1 for k in range(1, 5)]
    days, orders, amounts = (sorted(each) for each in zip(*people, strict=True))
    cuts = Cuts(*(tuple(each[i] for i in at) for each in (days[::-1], orders, amounts)))
    for day, number, amount in people:
        assert subject.scores(Standing(day, number, amount), cuts) == (
            5 - 5 * sum(other > day for other in days) // len(people),
            1 + 5 * sum(other < number for other in orders) // len(people),
            1 + 5 * sum(other < amount for other in amounts) // len(people),
        )


@for_all(happened=HAPPENED, standing=st.none() | STANDINGS, now=nows(), turn=st.integers(0, HOUR - 1), seed=seeds())
def nothing_changes_before_it_is_due(
    subject: Segments, happened: list[Any], standing: Any, now: int, turn: int, seed: int
) -> None:
    last = told(happened)
    row, due = subject(last, standing, NOBODY, now, turn)
    chance = random.Random(seed)
    until = now + 300 * DAY if due is None else due
    assert until > now
    for moment in (until - 1, chance.randrange(now, until)):
        assert subject(last, standing, NOBODY, moment, turn) == (row, due)
    if standing:
        assert due is not None
        assert due <= now + HOUR
        assert due % HOUR == turn or due % DAY == 0
    elif due is not None:
        assert subject(last, standing, NOBODY, due, turn)[0] != row


class OffByOne(Segments):
    def scores(self, standing: Standing, cuts: Cuts) -> tuple[int, ...]:
        recency, frequency, monetary = scores_of(standing, cuts)
        return recency, min(5, frequency + 1), monetary


class CutsCount(Segments):
    """Who has the standing of a cut is above it."""

    def scores(self, standing: Standing, cuts: Cuts) -> tuple[int, ...]:
        day, orders, amount = standing
        return scores_of(Standing(day, orders + 1, amount), cuts)


class OlderIsBetter(Segments):
    def scores(self, standing: Standing, cuts: Cuts) -> tuple[int, ...]:
        recency, frequency, monetary = scores_of(standing, cuts)
        return 6 - recency, frequency, monetary


class ByHours(Segments):
    """The life cycle by spans of 24 hours instead of days."""

    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        shifted = {name: at // DAY * DAY + at % DAY - NOW % DAY for name, at in last.items()}
        return segment_of(shifted, standing, cuts, now - NOW % DAY, turn)


class OpenedMails(Segments):
    """An opened mail shows that somebody is there."""

    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        opened = last.get("last_email_open_at", 0)
        seen = {**last, "last_view_at": max(opened, last.get("last_view_at", 0))} if last else last
        return segment_of(seen, standing, cuts, now, turn)


class NeverNew(Segments):
    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        row, due = segment_of(last, standing, cuts, now, turn)
        return row | {"lifecycle": "active" if row["lifecycle"] == "new" else row["lifecycle"]}, due


class BuyersOfOldAreBrowsers(Segments):
    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        forgot = {name: at for name, at in last.items() if standing or name != "last_purchase_at"}
        row, due = segment_of(forgot, standing, cuts, now, turn)
        return row | {"lifecycle": segment_of(last, standing, cuts, now, turn)[0]["lifecycle"]}, due


class DueAnHourLate(Segments):
    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        row, due = segment_of(last, standing, cuts, now, turn)
        return row, due and due + HOUR


class DueEveryHour(Segments):
    """Everybody is looked at again every hour, customer or not."""

    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        row, due = segment_of(last, standing, cuts, now, turn)
        again = (now // HOUR + 1) * HOUR
        return row, again if due is None else min(due, again)


class AllAtOnce(Segments):
    """All customers are looked at again at one moment."""

    def __call__(
        self, last: Mapping[str, int], standing: Standing | None, cuts: Cuts, now: int, turn: int
    ) -> tuple[dict[str, Any], int | None]:
        return segment_of(last, standing, cuts, now, 1)


def test_a_user_is_what_the_page_says() -> None:
    holds(a_user_is_what_the_page_says, Segments())


def test_scores_follow_the_definition() -> None:
    holds(scores_follow_the_definition, Segments())


def test_nothing_changes_before_it_is_due_and_who_is_no_customer_changes_then() -> None:
    holds(nothing_changes_before_it_is_due, Segments())


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        (scores_follow_the_definition, OffByOne()),
        (scores_follow_the_definition, CutsCount()),
        (scores_follow_the_definition, OlderIsBetter()),
        (a_user_is_what_the_page_says, OffByOne()),
        (a_user_is_what_the_page_says, ByHours()),
        (a_user_is_what_the_page_says, OpenedMails()),
        (a_user_is_what_the_page_says, NeverNew()),
        (a_user_is_what_the_page_says, BuyersOfOldAreBrowsers()),
        (nothing_changes_before_it_is_due, DueAnHourLate()),
        (nothing_changes_before_it_is_due, DueEveryHour()),
        (nothing_changes_before_it_is_due, AllAtOnce()),
    ],
)
def test_a_mutant_is_caught(claim: Any, mutant: Segments) -> None:
    assert fails(claim, mutant)


ALL_SCORES: Final = [Scores(*each) for each in product(range(1, 6), repeat=3)]


def named(scores: Scores) -> str:
    """The segment of a customer who comes to these scores among customers of every standing from 1 to 5."""
    row, _ = segment_of({"last_purchase_at": 0, "first_seen_at": 0}, Standing(*scores), EVEN, NOW, 0)
    assert (row["rfm_recency"], row["rfm_frequency"], row["rfm_monetary"]) == scores
    return str(row["segment"])


EVEN: Final = Cuts((5, 4, 3, 2), (1, 2, 3, 4), (1, 2, 3, 4))


@pytest.mark.parametrize("scores", ALL_SCORES, ids=lambda scores: "".join(map(str, scores)))
def test_every_combination_of_scores_has_the_segment_that_the_page_says(scores: Scores) -> None:
    assert any(rule.fits(scores) for rule in RULES)
    assert named(scores) == documented(scores)


def test_every_rule_is_the_first_that_fits_some_scores() -> None:
    met = {next(number for number, rule in enumerate(RULES) if rule.fits(scores)) for scores in ALL_SCORES}
    assert met == set(range(len(RULES)))


def test_better_scores_never_make_a_customer_of_a_lesser_kind() -> None:
    """What somebody gains in one score never leads from a better group of segments to a worse one."""
    good = {"champions": 3, "loyal": 2, "big_spenders": 2, "new_customers": 1, "promising": 1, "needs_attention": 1}
    for scores in ALL_SCORES:
        for place in range(3):
            better = Scores(*(min(5, score + (place == n)) for n, score in enumerate(scores)))
            assert good.get(named(better), 0) >= good.get(named(scores), 0)


def test_the_gate_knows_every_segment_and_every_life_cycle() -> None:
    suite = (SUITES / "user.json").read_text()
    for name in (*(rule.segment for rule in RULES), "browsers", *LIFECYCLES):
        assert f'"{name}"' in suite


def test_the_features_are_those_of_the_view() -> None:
    row, _ = segment_of({"first_seen_at": NOW}, None, NOBODY, NOW, 0)
    assert set(row) == {name for name, column in USER.columns.items() if column.view == "user_segment"}


def test_the_first_customer_of_all_is_a_new_one() -> None:
    standing = standing_of(NOW, 1, 20.0)
    row, _ = segment_of({"first_seen_at": NOW, "last_purchase_at": NOW}, standing, NOBODY, NOW, 0)
    alone = Cuts((NOW // DAY,) * 4, (1,) * 4, (bucket_of(20.0),) * 4)
    assert standing is not None
    assert scores_of(standing, NOBODY) == scores_of(standing, alone) == (5, 1, 1)
    assert (row["segment"], row["lifecycle"]) == ("new_customers", "new")


def test_who_bought_long_ago_is_lost_and_who_never_did_browses() -> None:
    last = {"first_seen_at": NOW - 200 * DAY, "last_view_at": NOW}
    assert segment_of(last, None, EVEN, NOW, 0)[0] == {
        "rfm_recency": None, "rfm_frequency": None, "rfm_monetary": None, "segment": "browsers", "lifecycle": "active",
    }  # fmt: skip
    assert segment_of({**last, "last_purchase_at": NOW - 91 * DAY}, None, EVEN, NOW, 0)[0] == {
        "rfm_recency": 1, "rfm_frequency": 1, "rfm_monetary": 1, "segment": "lost", "lifecycle": "active",
    }  # fmt: skip


def test_somebody_of_whom_nothing_is_known_is_a_new_browser() -> None:
    row, due = segment_of({}, None, NOBODY, NOW, 0)
    assert row == {**dict.fromkeys(row), "segment": "browsers", "lifecycle": "new"}
    assert due is None


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, "new"), (7, "new"), (8, "active"), (30, "active"), (31, "lapsing"), (90, "lapsing"), (91, "lapsed")],
)
def test_the_life_of_somebody_who_came_once(days: int, expected: str) -> None:
    midnight = NOW // DAY * DAY
    for seen in (midnight, midnight + DAY - 1):
        for now in (midnight + days * DAY, midnight + days * DAY + DAY - 1):
            row, _ = segment_of({"first_seen_at": seen}, None, NOBODY, now, 0)
            assert row["lifecycle"] == expected


def test_the_customers_of_a_partition_are_spread_over_the_hour() -> None:
    users = [user for user in (f"user-{n}" for n in range(40_000)) if partition_of(user, 8) == 3]
    minutes = Counter(turn_of(user) // MINUTE for user in users)
    assert set(minutes) == set(range(60))
    assert max(minutes.values()) < 1.6 * len(users) / 60
    assert all(0 <= turn_of(user) < HOUR for user in users)


def test_what_is_said_of_a_segment_is_the_table() -> None:
    assert [(rule.segment, [range(low, high + 1) for low, high in rule[1:]]) for rule in RULES] == table()
    assert segments.LAPSING == 90
