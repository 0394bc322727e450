from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, SlidingWindower, fold_window
from bytewax.testing import TestingSink, TestingSource, run_main
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.aggregates.tiles import ITEM_LEVELS, USER_LEVELS, Level, Tiles, is_late
from dataflows.events import DAY, EPOCH, HOUR, MINUTE
from tests.given import NOW, nows, occasions, seeds
from tests.unit.dataflows.oracle import WINDOWS, within
from tests.unit.dataflows.proofs import fails, for_all, holds

COUNTS = occasions(30, range(3))
LEVELS = {"users": USER_LEVELS, "items": ITEM_LEVELS}


def filled(
    tiles: type[Tiles], events: list[tuple[int, int]], now: int, levels: tuple[Level, ...] = USER_LEVELS
) -> Tiles:
    made = tiles(levels, 3)
    for kind, at in events:
        made.count(kind, at, now)
    return made


@for_all(events=COUNTS, now=nows(), whose=st.sampled_from(sorted(LEVELS)))
def windows_equal_the_oracle(tiles: type[Tiles], events: list[tuple[int, int]], now: int, whose: str) -> None:
    counts = filled(tiles, events, now, LEVELS[whose]).totals(now).counts
    assert set(counts) == ({"1h", "24h", "7d"} | ({"30d"} if whose == "users" else set()))
    for window, totals in counts.items():
        assert list(totals) == [
            sum(within(at, now, window) for each, at in events if each == kind) for kind in range(3)
        ]


@for_all(events=COUNTS, now=nows(), seed=seeds())
def order_and_packing_change_nothing(tiles: type[Tiles], events: list[tuple[int, int]], now: int, seed: int) -> None:
    chance = random.Random(seed)
    shuffled = chance.sample(events, len(events))
    made = tiles(USER_LEVELS, 3)
    for kind, at in shuffled:
        if chance.random() < 0.2:
            made = tiles.unpack(made.pack(), USER_LEVELS, 3)
        made.count(kind, at, now)
    assert made.totals(now) == filled(tiles, events, now).totals(now)


@for_all(events=COUNTS, now=nows(), seed=seeds())
def looking_in_between_changes_nothing(tiles: type[Tiles], events: list[tuple[int, int]], now: int, seed: int) -> None:
    """Events arrive while time passes, some long after they happened, and rows are read on the way."""
    chance = random.Random(seed)
    arrivals = sorted((max(at, now - chance.choice((0, HOUR, 8 * DAY, 60 * DAY))), kind, at) for kind, at in events)
    made = tiles(USER_LEVELS, 3)
    for arrived, kind, at in arrivals:
        if arrived <= now:
            made.count(kind, at, arrived)
            if chance.random() < 0.3:
                made.totals(arrived)
    alive = [(kind, at) for arrived, kind, at in arrivals if arrived <= now]
    assert made.totals(now) == filled(tiles, alive, now).totals(now)


@for_all(events=COUNTS, now=nows(), seed=seeds())
def numbers_change_first_when_due(tiles: type[Tiles], events: list[tuple[int, int]], now: int, seed: int) -> None:
    counts, due = filled(tiles, events, now).totals(now)
    chance = random.Random(seed)
    if due is None:
        assert not any(map(any, counts.values()))
        assert filled(tiles, events, now).totals(now + chance.randrange(100 * DAY)).counts == counts
        return
    assert due > now
    for moment in (due - 1, chance.randrange(now, due), chance.randrange(now, due)):
        assert filled(tiles, events, now).totals(moment) == (counts, due)
    assert filled(tiles, events, now).totals(due).counts != counts


class OneTileMore(Tiles):
    def totals(self, now: int) -> Any:
        self.levels = tuple(Level(size, tuple((name, n + 1) for name, n in windows)) for size, windows in self.levels)
        return super().totals(now)


class OneTileLess(Tiles):
    def totals(self, now: int) -> Any:
        self.levels = tuple(Level(size, tuple((name, n - 1) for name, n in windows)) for size, windows in self.levels)
        return super().totals(now)


class Sliding(Tiles):
    """A window that is exactly W long, as if there were no tiles."""

    def count(self, kind: int, at: int, now: int, times: int = 1) -> None:
        if at > now - 7 * DAY:
            super().count(kind, at, now, times)


class ByEventTime(Tiles):
    """Windows that end at the newest event, whenever that was."""

    newest = 0

    def count(self, kind: int, at: int, now: int, times: int = 1) -> None:
        self.newest = max(self.newest, at)
        super().count(kind, at, self.newest, times)

    def totals(self, now: int) -> Any:
        return super().totals(self.newest or now)


class LateByWatermark(Tiles):
    """What lies behind the newest event by more than an hour is late, as a windowing engine has it."""

    newest = 0

    def count(self, kind: int, at: int, now: int, times: int = 1) -> None:
        self.newest = max(self.newest, at)
        if at >= self.newest - HOUR:
            super().count(kind, at, now, times)


class StockWindows(Tiles):
    """Bytewax's own sliding windows in the place of ours of 24 hours: 25 tiles of an hour, one of them begun."""

    def __init__(self, levels: tuple[Level, ...], kinds: int) -> None:
        super().__init__(levels, kinds)
        self.events: list[tuple[str, tuple[int, int]]] = []

    def count(self, kind: int, at: int, now: int, times: int = 1) -> None:
        super().count(kind, at, now, times)
        self.events.append(("u1", (kind, at)))

    def totals(self, now: int) -> Any:
        found, out = super().totals(now), []
        clock = EventClock(lambda value: EPOCH + timedelta(microseconds=value[1]), timedelta(hours=1))
        windower = SlidingWindower(timedelta(hours=25), timedelta(hours=1), EPOCH)
        flow = Dataflow("stock")
        events = op.input("events", flow, TestingSource(self.events))
        counted = fold_window("count", events, clock, windower, lambda: [0] * self.kinds, add_one, add_all)
        op.output("windows", counted.down, TestingSink(out))
        run_main(flow)
        windows = {window: tuple(counts) for _, (window, counts) in out}
        found.counts["24h"] = windows.get(now // HOUR - 24, (0,) * self.kinds)
        return found


def add_one(counts: list[int], value: tuple[int, int]) -> list[int]:
    counts[value[0]] += 1
    return counts


def add_all(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


@given(events=COUNTS, now=nows())
@settings(max_examples=20)
def test_the_stock_windows_are_ours_where_events_come_in_order(events: list[tuple[int, int]], now: int) -> None:
    """So what the mutant is caught for is what they do with events out of order."""
    in_order = sorted((each for each in events if each[1] <= now), key=lambda each: each[1])
    assert list(filled(StockWindows, in_order, now).totals(now).counts["24h"]) == list(
        filled(Tiles, in_order, now).totals(now).counts["24h"]
    )


class KindsMixed(Tiles):
    def count(self, kind: int, at: int, now: int, times: int = 1) -> None:
        super().count(min(kind, 1), at, now, times)


class DueOneTileLate(Tiles):
    def totals(self, now: int) -> Any:
        found = super().totals(now)
        return found if found.due is None else found._replace(due=found.due + 5 * MINUTE)


class DropsTooEarly(Tiles):
    """A look drops what the shortest window of a level no longer holds."""

    def totals(self, now: int) -> Any:
        found = super().totals(now)
        for (size, windows), grid in zip(self.levels, self.grids, strict=True):
            for tile in [tile for tile in grid if tile < now // size - windows[0][1]]:
                del grid[tile]
        return found


class PacksTheFinestOnly(Tiles):
    def pack(self) -> list[dict[int, Any]]:
        return [super().pack()[0], *({} for _ in self.grids[1:])]


def test_every_window_of_every_kind_equals_the_oracle() -> None:
    holds(windows_equal_the_oracle, Tiles)


def test_order_and_packing_change_no_window() -> None:
    holds(order_and_packing_change_nothing, Tiles)


def test_looking_at_the_windows_while_time_passes_changes_none() -> None:
    holds(looking_in_between_changes_nothing, Tiles)


def test_the_windows_change_when_they_are_due_and_not_before() -> None:
    holds(numbers_change_first_when_due, Tiles)


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        (windows_equal_the_oracle, OneTileMore),
        (windows_equal_the_oracle, OneTileLess),
        (windows_equal_the_oracle, Sliding),
        (windows_equal_the_oracle, ByEventTime),
        (windows_equal_the_oracle, LateByWatermark),
        (windows_equal_the_oracle, StockWindows),
        (windows_equal_the_oracle, KindsMixed),
        (order_and_packing_change_nothing, LateByWatermark),
        (order_and_packing_change_nothing, PacksTheFinestOnly),
        (looking_in_between_changes_nothing, DropsTooEarly),
        (numbers_change_first_when_due, DueOneTileLate),
    ],
)
def test_a_mutant_is_caught(claim: Any, mutant: type[Tiles]) -> None:
    assert fails(claim, mutant)


@pytest.mark.parametrize("window", [window for window in WINDOWS if window != "90d"])
def test_a_window_spans_at_least_its_length_and_at_most_a_tile_more(window: str) -> None:
    size, tiles = WINDOWS[window]
    for now in (NOW, NOW - NOW % size, NOW - NOW % size - 1):
        first = (now // size - tiles) * size
        assert tiles * size <= now - first < (tiles + 1) * size
        for at, count in ((first, 1), (first - 1, 0), (now, 1)):
            assert filled(Tiles, [(0, at)], now).totals(now).counts[window][0] == count


def test_an_event_of_ninety_days_ago_is_in_time_and_one_of_the_day_before_is_late() -> None:
    midnight = NOW // DAY * DAY
    assert not is_late(midnight - 90 * DAY, NOW)
    assert is_late(midnight - 90 * DAY - 1, NOW)
    assert not is_late(NOW + HOUR, NOW)


def test_what_no_window_holds_takes_no_memory() -> None:
    tiles = filled(Tiles, [(0, NOW - age * HOUR) for age in range(0, 40 * 24, 5)], NOW)
    tiles.totals(NOW + 31 * DAY)
    assert tiles.pack() == [{}, {}, {}]


def test_hours_come_oldest_first() -> None:
    tiles = filled(Tiles, [(0, NOW), (1, NOW - 3 * HOUR), (0, NOW - HOUR)], NOW)
    hour = NOW // HOUR
    assert list(tiles.hours()) == [(hour - 3, (0, 1, 0)), (hour - 1, (1, 0, 0)), (hour, (1, 0, 0))]


def test_some_may_be_counted_at_once() -> None:
    tiles = Tiles(USER_LEVELS, 3)
    tiles.count(1, NOW, NOW, times=4)
    assert tiles.totals(NOW).counts["1h"] == (0, 4, 0)
