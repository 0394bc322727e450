"""What goes with what: a visit at a time, in either direction, decayed, in bounded memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import sqrt
from typing import Any, NamedTuple

import msgspec
import pytest

from dataflows.aggregates import neighbours as product
from dataflows.aggregates.neighbours import (
    CANDIDATES,
    NEIGHBOURS,
    ORIGIN,
    STRENGTHS,
    VISIT_ITEMS,
    VISIT_PAUSE,
    Visit,
    bind,
    decay,
    weigh,
)
from dataflows.events import DAY, MINUTE, Event
from tests.given import NOW, an_event, lists_of, seeds
from tests.unit.dataflows.doubles import Clock, Committed, Items
from tests.unit.dataflows.oracle import neighbours
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import PARTITIONS, batched, take_items, written

ITEMS = ("a", "b", "c", "d")
PAUSES = (0, 1, 10, 29, 30, 31, 45, 24 * 60, 9 * 24 * 60)
"""Minutes from one event to the next: inside a visit, at its edge, and days later."""
MET = lists_of(25, ITEMS, ("u1", "u2"), tuple(STRENGTHS), PAUSES)
MIDNIGHT = NOW // DAY * DAY
INSIDE = lists_of(12, ITEMS, ("u1", "u2"), tuple(STRENGTHS), range(31))
"""One visit of each user, half an hour around midnight."""


class How(NamedTuple):
    """The parts that neighbours are made of."""

    visit: type[Visit] = Visit
    bind: Callable[..., None] = bind
    weigh: Callable[..., tuple[list[str], list[float]]] = weigh


class Pairs:
    """Every item's own strength and its bindings, as the flow keeps them."""

    def __init__(self, how: How) -> None:
        self.how = how
        self.visits: dict[str, bytes] = {}
        self.own: dict[str, float] = {}
        self.bindings: dict[str, dict[str, float]] = {}

    def meet(self, event: Event) -> None:
        visit_type = self.how.visit
        visit = visit_type.unpack(self.visits.get(event.key, visit_type().pack()))
        item_id = event.item_id or ""
        more, pairs = visit.meet(item_id, event.at, STRENGTHS[event.type])
        self.visits[event.key] = visit.pack()
        self.own[item_id] = self.own.get(item_id, 0) + more
        for other, with_it, with_other in pairs:
            self.how.bind(self.bindings.setdefault(item_id, {}), other, with_it)
            self.how.bind(self.bindings.setdefault(other, {}), item_id, with_other)

    def weights(self, item_id: str) -> dict[str, float]:
        names, weights = self.how.weigh(self.own[item_id], self.bindings.get(item_id, {}), self.own)
        assert sorted(zip(names, weights, strict=True), key=lambda each: (-each[1], each[0])) == list(
            zip(names, weights, strict=True)
        )
        return dict(zip(names, weights, strict=True))


def pairs_of(events: list[Event], how: How) -> Pairs:
    pairs = Pairs(how)
    for event in events:
        pairs.meet(event)
    return pairs


def in_time(met: list[tuple[str, str, str, int]], start: int = NOW - 90 * DAY) -> list[Event]:
    """The events one after another, each so many minutes after the one before."""
    at, events = start, []
    for number, (item_id, user, kind, pause) in enumerate(met):
        at += pause * MINUTE + 1
        events.append(an_event(event_id=f"e{number}", item_id=item_id, user_id=user, type=kind, occurred_at=at))
    return events


def assert_like(found: dict[str, dict[str, float]], expected: dict[str, dict[str, float]]) -> None:
    assert found.keys() == expected.keys()
    for item_id, weights in expected.items():
        assert found[item_id] == pytest.approx(weights, abs=1e-6)


@for_all(met=MET)
def weights_equal_the_oracle(how: How, met: list[tuple[str, str, str, int]]) -> None:
    events = in_time(met)
    pairs = pairs_of(events, how)
    assert_like({item_id: pairs.weights(item_id) for item_id in pairs.own}, neighbours(events))


@for_all(met=MET)
def both_sides_know_each_other_and_no_weight_is_above_one(how: How, met: list[tuple[str, str, str, int]]) -> None:
    pairs = Pairs(how)
    for event in in_time(met):
        pairs.meet(event)
        for item_id, bindings in pairs.bindings.items():
            assert all(item_id in pairs.bindings.get(other, ()) for other in bindings)
            assert item_id not in bindings
            for other, count in bindings.items():
                assert 0 < count <= sqrt(pairs.own[item_id]) * sqrt(pairs.own[other]) * (1 + 1e-12)
            assert all(0 < weight <= 1 for weight in pairs.weights(item_id).values())


@for_all(met=INSIDE, seed=seeds())
def inside_a_visit_order_changes_nothing(how: How, met: list[tuple[str, str, str, int]], seed: int) -> None:
    events = [
        an_event(
            event_id=f"e{number}",
            item_id=item_id,
            user_id=user,
            type=kind,
            occurred_at=MIDNIGHT + (minute - 15) * MINUTE,
        )
        for number, (item_id, user, kind, minute) in enumerate(met)
    ]
    straight = pairs_of(sorted(events, key=lambda event: event.at), how)
    mixed = pairs_of(random.Random(seed).sample(events, len(events)), how)
    assert (mixed.own, mixed.bindings) == (straight.own, straight.bindings)


@for_all(met=MET, days=seeds())
def passing_time_changes_no_weight(how: How, met: list[tuple[str, str, str, int]], days: int) -> None:
    now = pairs_of(in_time(met), how)
    then = pairs_of(in_time(met, NOW + days % 20_000 * DAY), how)
    for item_id in now.own:
        assert then.weights(item_id) == pytest.approx(now.weights(item_id), abs=1.1e-6)


@for_all(met=MET, seed=seeds())
def rows_equal_the_oracle_whatever_dies(flow: Any, met: list[tuple[str, str, str, int]], seed: int) -> None:
    """Events in order of time, some repeated, in any batches; processes die and read again from before."""
    chance = random.Random(seed)
    events = in_time(met)
    now = events[-1].at if events else NOW
    stream = []
    for event in events:
        stream += [written(event)] * chance.choice((1, 1, 2))
    committed = Committed()
    for _ in range(chance.randrange(3)):
        batches = batched(stream, chance, rewound(committed, chance))
        take_items(flow(committed, Clock(now)), batches[: chance.randrange(len(batches) + 1)], chance)
    process = flow(committed, Clock(now))
    take_items(process, batched(stream, chance, rewound(committed, chance)), chance)
    again = [an_event(type="item", event_id=f"i{item_id}", item_id=item_id, occurred_at=now) for item_id in ITEMS]
    take_items(process, batched([*stream, *map(written, again)], chance, committed.offsets), chance)
    rows = {key: row for (entity, key), row in committed.values().items() if entity == "item"}
    expected = {item_id: {} for item_id in ITEMS} | neighbours(events)
    found = {key: dict(zip(row["neighbours"], row["neighbour_weights"], strict=True)) for key, row in rows.items()}
    assert_like(found, expected)


def rewound(committed: Committed, chance: random.Random) -> dict[int, int]:
    """Offsets some way before those that were committed."""
    return {partition: max(-1, offset - chance.randrange(9)) for partition, offset in committed.offsets.items()}


def items(**how: Any) -> Any:
    return lambda committed, clock: Items(committed, clock, PARTITIONS, **how)


class NoPause(Visit):
    def meet(self, item_id: str, at: int, strength: int) -> Any:
        return super().meet(item_id, max(self.last_at, min(at, self.last_at + 1)) if self.last_at else at, strength)


class AddsUp(Visit):
    """Strength by how often, not by the strongest thing done."""

    def meet(self, item_id: str, at: int, strength: int) -> Any:
        return super().meet(item_id, at, self.met.get(item_id, (0,))[0] + strength)


class DirectionSwapped(Visit):
    def meet(self, item_id: str, at: int, strength: int) -> Any:
        more, pairs = super().meet(item_id, at, strength)
        return more, [(other, with_other, with_it) for other, with_it, with_other in pairs]


class ForgetsWhenStored(Visit):
    def pack(self) -> bytes:
        return Visit(self.last_at).pack()


class OnlyTheFirstIsHeard(Visit):
    """An item met before keeps the moments of the event that came first."""

    def meet(self, item_id: str, at: int, strength: int) -> Any:
        known = self.met.get(item_id)
        return super().meet(item_id, max(at, known[1]) if known else at, strength)


def never_corrected(own: float, bindings: Any, theirs: Any) -> Any:
    return weigh(own, bindings, dict.fromkeys(bindings, own))


def test_weights_equal_the_oracle() -> None:
    holds(weights_equal_the_oracle, How())


def test_both_sides_of_a_pair_know_each_other_and_no_weight_is_above_one() -> None:
    holds(both_sides_know_each_other_and_no_weight_is_above_one, How())


def test_inside_a_visit_order_changes_nothing() -> None:
    holds(inside_a_visit_order_changes_nothing, How())


def test_passing_time_changes_no_weight() -> None:
    holds(passing_time_changes_no_weight, How())


@pytest.mark.parametrize("flow", [items(), items(capacity=3)], ids=["items", "items, small cache"])
def test_rows_equal_the_oracle_whatever_dies(flow: Any) -> None:
    holds(rows_equal_the_oracle_whatever_dies, flow)


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        (weights_equal_the_oracle, How(visit=NoPause)),
        (weights_equal_the_oracle, How(visit=AddsUp)),
        (weights_equal_the_oracle, How(visit=DirectionSwapped)),
        (weights_equal_the_oracle, How(visit=ForgetsWhenStored)),
        (weights_equal_the_oracle, How(weigh=never_corrected)),
        (inside_a_visit_order_changes_nothing, How(visit=OnlyTheFirstIsHeard)),
    ],
)
def test_a_mutant_is_caught(claim: Any, mutant: How) -> None:
    assert fails(claim, mutant)


@pytest.mark.parametrize(
    ("claim", "subject"), [(weights_equal_the_oracle, How()), (rows_equal_the_oracle_whatever_dies, items())]
)
@pytest.mark.parametrize("wrong", [lambda day: 1.0, lambda day: decay(2 * day)], ids=["none", "twice as fast"])
def test_a_wrong_decay_is_caught(claim: Any, subject: Any, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "decay", wrong)
    assert fails(claim, subject)


def test_a_pair_that_one_side_misses_is_caught() -> None:
    def half(bindings: dict[str, float], other: str, more: float) -> None:
        if other != "a":
            bind(bindings, other, more)

    assert fails(both_sides_know_each_other_and_no_weight_is_above_one, How(bind=half))


def met(visit: Visit, item_id: str, at: int, strength: int) -> tuple[float, list[tuple[str, float, float]]]:
    """As `meet`, counted as if of the day ORIGIN."""
    day = decay(at // DAY)
    more, pairs = visit.meet(item_id, at, strength)
    return more / day, [(other, with_it / day, with_other / day) for other, with_it, with_other in pairs]


def test_a_visit_ends_after_a_pause_of_thirty_minutes() -> None:
    visit = Visit()
    met(visit, "a", NOW, 1)
    assert met(visit, "b", NOW + VISIT_PAUSE, 1) == (1, [("a", 1, 1)])
    assert met(visit, "c", NOW + 2 * VISIT_PAUSE + 1, 1) == (1, [])
    assert visit.met.keys() == {"c"}


def test_the_lesser_of_two_strengths_binds_and_only_more_is_counted() -> None:
    visit = Visit()
    assert met(visit, "a", NOW, 1) == (1, [])
    assert met(visit, "b", NOW, 2) == (2, [("a", 1, 1)])
    assert met(visit, "a", NOW, 2) == (1, [("b", 1, 1)])
    assert met(visit, "a", NOW, 2) == (0, [])
    assert met(visit, "b", NOW, 4) == (2, [])
    assert met(visit, "a", NOW, 4) == (2, [("b", 2, 2)])


def test_what_was_bought_goes_with_what_was_viewed_before_it_and_not_the_other_way() -> None:
    visit = Visit()
    met(visit, "before", NOW, 1)
    assert met(visit, "bought", NOW + 1, 4) == (4, [("before", 1, 2)])
    assert met(visit, "after", NOW + 2, 1) == (1, [("before", 1, 1), ("bought", 1, 1)])
    assert met(visit, "bought", NOW + 2, 4) == (0, [("after", 0, 1)])


def test_a_purchase_that_is_heard_of_first_counts_the_same() -> None:
    visit = Visit()
    met(visit, "bought", NOW + 1, 4)
    assert met(visit, "before", NOW, 1) == (1, [("bought", 2, 1)])


def test_an_event_from_before_the_visit_stands_alone() -> None:
    visit = Visit()
    met(visit, "a", NOW, 1)
    assert met(visit, "b", NOW - VISIT_PAUSE - 1, 2) == (2, [])
    assert visit.met.keys() == {"a"}


def test_a_late_event_joins_a_long_visit_that_was_under_way() -> None:
    visit = Visit()
    for n in range(4):
        met(visit, f"i{n}", NOW + n * VISIT_PAUSE, 1)
    assert [other for other, _, _ in met(visit, "late", NOW - VISIT_PAUSE, 1)[1]] == ["i0", "i1", "i2", "i3"]
    assert visit.last_at == NOW + 3 * VISIT_PAUSE


def test_a_visit_remembers_twenty_items_and_the_first_goes() -> None:
    visit = Visit()
    for n in range(60):
        more, pairs = met(visit, f"i{n}", NOW + n, 1)
        assert (more, len(pairs)) == (1, min(n, VISIT_ITEMS))
    assert list(visit.met) == [f"i{n}" for n in range(40, 60)]


def test_a_month_halves_and_days_multiply() -> None:
    assert decay(ORIGIN) == 1
    assert decay(ORIGIN + 30) == 2
    assert decay(ORIGIN - 60) == 0.25
    for day in range(-400, 400):
        assert decay(ORIGIN + day) == pytest.approx(2 ** (day / 30), rel=1e-11)


def test_a_visit_of_an_older_release_is_read_and_nothing_in_it_counts_twice() -> None:
    visit = Visit.unpack(msgspec.msgpack.encode((NOW, {"a": 1, "b": 4})))
    assert met(visit, "a", NOW + MINUTE, 1) == (0, [])
    assert met(visit, "a", NOW + MINUTE, 2) == (1, [("b", 1, 1)])
    assert met(visit, "b", NOW + MINUTE, 4) == (0, [])
    assert met(visit, "c", NOW + MINUTE, 1) == (1, [("a", 1, 1), ("b", 2, 1)])


def test_a_newcomer_takes_the_place_and_the_count_of_the_weakest() -> None:
    bindings: dict[str, float] = {f"i{n:03}": n // 2 + 2 for n in range(CANDIDATES)}
    bind(bindings, "new", 5)
    assert len(bindings) == CANDIDATES
    assert "i000" not in bindings
    assert bindings["new"] == 2 + 5
    bind(bindings, "i200", 1)
    assert bindings["i200"] == 103


def test_nobody_makes_room_while_there_is_some() -> None:
    bindings: dict[str, float] = {f"i{n:03}": 2 for n in range(CANDIDATES - 1)}
    bind(bindings, "new", 5)
    assert (len(bindings), bindings["i000"], bindings["new"]) == (CANDIDATES, 2, 5)


def test_less_of_a_neighbour_that_is_no_longer_counted_changes_nothing() -> None:
    bindings: dict[str, float] = {"a": 2}
    bind(bindings, "b", -1)
    assert bindings == {"a": 2}


def test_what_is_met_often_is_found_whatever_comes_in_between() -> None:
    """The promise of Space-Saving: no count is below the truth, and who has more than 1/400 of all is counted."""
    bindings: dict[str, float] = {}
    for n in range(6000):
        bind(bindings, "often" if n % 200 == 0 else f"i{n}", 1)
        assert len(bindings) <= CANDIDATES
    assert 30 <= bindings["often"] <= 30 + 6000 // CANDIDATES
    assert sum(bindings.values()) == 6000


def test_neighbours_are_at_most_fifty_the_strongest_first_and_equal_ones_by_id() -> None:
    names, weights = weigh(100, {f"i{n:02}": 1 + n // 4 for n in range(80)}, {f"i{n:02}": 50 for n in range(80)})
    assert len(names) == len(weights) == NEIGHBOURS
    assert names[:5] == ["i76", "i77", "i78", "i79", "i72"]
    assert names[-2:] == ["i28", "i29"]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == round(20 / sqrt(100 * 50), 6)
    assert weigh(0, {"a": 1}, {}) == ([], [])
