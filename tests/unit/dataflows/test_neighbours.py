"""What goes with what: a visit at a time, both sides alike, in bounded memory."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest

from dataflows.aggregates.neighbours import (
    CANDIDATES,
    NEIGHBOURS,
    STRENGTHS,
    VISIT_ITEMS,
    VISIT_PAUSE,
    Visit,
    bind,
    weigh,
)
from dataflows.events import MINUTE, Event
from tests.given import NOW, an_event, lists_of
from tests.unit.dataflows.oracle import neighbours
from tests.unit.dataflows.proofs import fails, for_all, holds

MET = lists_of(25, ("a", "b", "c", "d"), ("u1", "u2"), tuple(STRENGTHS), (0, 1, 10, 29, 30, 31, 45))


class Pairs:
    """Both sides of every pair, as the flow keeps them."""

    def __init__(self, visit: type[Visit], bind_: Any = bind) -> None:
        self.visit, self.bind = visit, bind_
        self.visits: dict[str, Visit] = {}
        self.own: dict[str, int] = {}
        self.bindings: dict[str, dict[str, int]] = {}

    def meet(self, event: Event) -> None:
        visit = self.visit.unpack(self.visits.get(event.key, self.visit()).pack())
        self.visits[event.key] = visit
        item_id = event.item_id or ""
        more, pairs = visit.strengthen(item_id, event.at, STRENGTHS[event.type])
        self.own[item_id] = self.own.get(item_id, 0) + more
        for other, stronger in pairs:
            self.bind(self.bindings.setdefault(item_id, {}), other, stronger)
            self.bind(self.bindings.setdefault(other, {}), item_id, stronger)

    def weights(self, item_id: str) -> list[tuple[str, float]]:
        return list(zip(*weigh(self.own[item_id], self.bindings.get(item_id, {}), self.own), strict=True))


def in_time(met: list[tuple[str, str, str, int]]) -> list[Event]:
    """The events one after another, each so many minutes after the one before."""
    at, events = NOW, []
    for number, (item_id, user, kind, pause) in enumerate(met):
        at += pause * MINUTE + 1
        events.append(an_event(event_id=f"e{number}", item_id=item_id, user_id=user, type=kind, occurred_at=at))
    return events


@for_all(met=MET)
def weights_equal_the_oracle(subject: Any, met: list[tuple[str, str, str, int]]) -> None:
    events = in_time(met)
    pairs = Pairs(*subject)
    for event in events:
        pairs.meet(event)
    assert {item_id: pairs.weights(item_id) for item_id in pairs.own} == neighbours(events)


@for_all(met=MET)
def both_sides_agree_and_no_weight_is_above_one(subject: Any, met: list[tuple[str, str, str, int]]) -> None:
    pairs = Pairs(*subject)
    for event in in_time(met):
        pairs.meet(event)
        for item_id, bindings in pairs.bindings.items():
            assert all(pairs.bindings[other][item_id] == count for other, count in bindings.items())
            assert item_id not in bindings
            assert all(0 < weight <= 1 for _, weight in pairs.weights(item_id))


class NoPause(Visit):
    def strengthen(self, item_id: str, at: int, strength: int) -> Any:
        return super().strengthen(item_id, max(self.last_at, min(at, self.last_at + 1)), strength)


class AddsUp(Visit):
    """Strength by how often, not by the strongest thing done."""

    def strengthen(self, item_id: str, at: int, strength: int) -> Any:
        return super().strengthen(item_id, at, self.strengths.get(item_id, 0) + strength)


class BoundByTheGreater(Visit):
    def strengthen(self, item_id: str, at: int, strength: int) -> Any:
        more, pairs = super().strengthen(item_id, at, strength)
        return more, [(other, max(stronger, strength)) for other, stronger in pairs]


class ForgetsWhenStored(Visit):
    def pack(self) -> bytes:
        return Visit(self.last_at).pack()


def test_weights_equal_the_oracle() -> None:
    holds(weights_equal_the_oracle, (Visit,))


def test_both_sides_of_a_pair_agree_and_no_weight_is_above_one() -> None:
    holds(both_sides_agree_and_no_weight_is_above_one, (Visit,), examples=200)


@pytest.mark.parametrize("mutant", [NoPause, AddsUp, BoundByTheGreater, ForgetsWhenStored])
def test_a_visit_that_is_wrong_is_caught(mutant: type[Visit]) -> None:
    assert fails(weights_equal_the_oracle, (mutant,))


def test_a_pair_that_one_side_misses_is_caught() -> None:
    def half(bindings: dict[str, int], other: str, more: int) -> None:
        if other != "a":
            bind(bindings, other, more)

    def catches_key_errors(subject: Any, met: Any) -> None:
        try:
            both_sides_agree_and_no_weight_is_above_one.check(subject, met=met)
        except KeyError:
            raise AssertionError("one side does not know the other") from None

    assert fails(both_sides_agree_and_no_weight_is_above_one._replace(check=catches_key_errors), (Visit, half))


def test_a_visit_ends_after_a_pause_of_thirty_minutes() -> None:
    visit = Visit()
    visit.strengthen("a", NOW, 1)
    assert visit.strengthen("b", NOW + VISIT_PAUSE, 1) == (1, [("a", 1)])
    assert visit.strengthen("c", NOW + 2 * VISIT_PAUSE + 1, 1) == (1, [])
    assert visit.strengths == {"c": 1}


def test_the_lesser_of_two_strengths_binds_and_only_more_is_counted() -> None:
    visit = Visit()
    assert visit.strengthen("a", NOW, 1) == (1, [])
    assert visit.strengthen("b", NOW, 4) == (4, [("a", 1)])
    assert visit.strengthen("a", NOW, 2) == (1, [("b", 1)])
    assert visit.strengthen("a", NOW, 2) == (0, [])
    assert visit.strengthen("a", NOW, 4) == (2, [("b", 2)])


def test_inside_a_visit_order_changes_nothing() -> None:
    forth, back = Visit(), Visit()
    met = [("a", NOW, 1), ("b", NOW + 20 * MINUTE, 4), ("a", NOW + 25 * MINUTE, 2)]
    for each in met:
        forth.strengthen(*each)
    for each in reversed(met):
        back.strengthen(*each)
    assert (forth.strengths, forth.last_at) == (back.strengths, back.last_at)


def test_an_event_from_before_the_visit_stands_alone() -> None:
    visit = Visit()
    visit.strengthen("a", NOW, 1)
    assert visit.strengthen("b", NOW - VISIT_PAUSE - 1, 2) == (2, [])
    assert visit.strengths == {"a": 1}


def test_a_visit_remembers_twenty_items_and_the_first_goes() -> None:
    visit = Visit()
    for n in range(60):
        more, pairs = visit.strengthen(f"i{n}", NOW + n, 1)
        assert (more, len(pairs)) == (1, min(n, VISIT_ITEMS))
    assert list(visit.strengths) == [f"i{n}" for n in range(40, 60)]


def test_a_newcomer_takes_the_place_and_the_count_of_the_weakest() -> None:
    bindings = {f"i{n:03}": n + 2 for n in range(CANDIDATES)}
    bind(bindings, "new", 5)
    assert len(bindings) == CANDIDATES
    assert "i000" not in bindings
    assert bindings["new"] == 2 + 5
    bind(bindings, "i200", 1)
    assert bindings["i200"] == 203


def test_what_is_met_often_is_found_whatever_comes_in_between() -> None:
    """The promise of Space-Saving: no count is below the truth, and who has more than 1/400 of all is counted."""
    bindings: dict[str, int] = {}
    for n in range(6000):
        bind(bindings, "often" if n % 200 == 0 else f"i{n}", 1)
        assert len(bindings) <= CANDIDATES
    assert 30 <= bindings["often"] <= 30 + 6000 // CANDIDATES
    assert sum(bindings.values()) == 6000


def test_neighbours_are_at_most_fifty_the_strongest_first_and_equal_ones_by_id() -> None:
    names, weights = weigh(100, {f"i{n:02}": 1 + n // 2 for n in range(80)}, {f"i{n:02}": 50 for n in range(80)})
    assert len(names) == len(weights) == NEIGHBOURS
    assert names[:4] == ["i78", "i79", "i76", "i77"]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == round(40 / sqrt(100 * 50), 6)
    assert weigh(0, {"a": 1}, {}) == ([], [])
