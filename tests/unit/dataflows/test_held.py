"""What is held whole: rows of a table, events of a batch; the alarm, and the ceiling."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from dataflows.aggregates.effects import Fact
from dataflows.derived import read_event
from dataflows.event_gate import (
    FEW,
    OLD,
    SETTLED,
    Behaviour,
    EventGate,
    catalogue,
    is_behaviour,
    is_catalogue,
    judge_items,
    judge_people,
)
from dataflows.events import HOUR, Event
from dataflows.gate import Gate
from dataflows.held import LEAST_BROKEN, SPAN, Ceiling, Held, TooManyHeld
from dataflows.stages import Aggregated, Enriched, Received, Row, Validated
from expectations.verdict import load_tables
from tests.given import NOW, an_event
from tests.unit.dataflows.doubles import Clock, Committed, People
from tests.unit.dataflows.streams import written


class Odd:
    """Finds rows with an odd number wrong, and tables whose first number is 99."""

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        return {place: "is_even(n)" for place, row in enumerate(rows) if row["n"] % 2}

    def table(self, rows: list[Mapping[str, Any]]) -> str:
        return "no table begins with 99" if rows[0]["n"] == 99 else ""


class Alarms(list[Held]):
    def __call__(self, held: Held) -> None:
        self.append(held)


def gated(numbers: Sequence[int], ratio: float, most: int = 0) -> tuple[Aggregated, Alarms]:
    alarms = Alarms()
    rows = [Row("user", f"u{place}", NOW, {"n": n}, b"s") for place, n in enumerate(numbers)]
    gate = Gate({"user": Odd()}, ratio=ratio, ceiling=Ceiling("people", most, (alarms,)))
    (after,) = gate([Aggregated((0,), {0: 9}, rows=rows)])
    assert len(after.rows) + len(after.quarantined) + len(after.held) == len(numbers), "every row is somewhere, once"
    return after, alarms


@pytest.mark.parametrize(
    ("good", "bad", "held"),
    [
        (80, LEAST_BROKEN, False),  # a fifth, and not more
        (79, LEAST_BROKEN, True),
        (0, LEAST_BROKEN - 1, False),  # all of them, and too few to mean anything
        (0, LEAST_BROKEN, True),
        (200, 0, False),
    ],
)
def test_a_table_is_held_whole_where_too_large_a_share_breaks_rules(good: int, bad: int, held: bool) -> None:
    after, alarms = gated([2] * good + [1] * bad, 0.2)
    assert (len(after.rows), len(after.quarantined), len(after.held)) == (
        (0, 0, good + bad) if held else (good, bad, 0)
    )
    assert [(each.flow, each.what, each.number) for each in alarms] == [("people", "rows of user", good + bad)] * held
    if held:
        assert "is_even(n)" in alarms[0].why
        assert str(alarms[0]).startswith(f"people holds {good + bad:,} rows of user whole, since ")


def test_a_table_that_breaks_a_rule_of_tables_is_held_whole() -> None:
    after, alarms = gated([99, 2, 2], 1.0)
    assert ([row.key for row, _ in after.held], after.rows) == (["u0", "u1", "u2"], [])
    assert after.offsets == {0: 9}
    assert [each.why for each in alarms] == ["no table begins with 99"]


def test_what_was_broken_before_holds_nothing_again() -> None:
    gate = Gate({"user": Odd()}, ratio=0.2, ceiling=Ceiling("people", 0, ()))

    def again(bad: int) -> Aggregated:
        rows = [Row("user", f"u{n}", NOW, {"n": int(n < bad)}, b"s") for n in range(100)]
        (after,) = gate([Aggregated((0,), rows=rows)])
        return after

    assert len(again(30).held) == 100
    for bad in (30, 25, 49, 50):
        after = again(bad)
        assert (len(after.held), len(after.quarantined)) == (0, bad)
    assert len(again(75).held) == 100, "the others are news"


def test_a_table_of_another_entity_goes_on() -> None:
    rows = [Row("user", "u", NOW, {"n": 99}, b""), Row("item", "i", NOW, {"n": 2}, b"")]
    (after,) = Gate({"user": Odd(), "item": Odd()}, ceiling=Ceiling("items", 0, ()))([Aggregated((0,), rows=rows)])
    assert ([row.key for row in after.rows], [row.key for row, _ in after.held]) == (["i"], ["u"])


def test_the_flow_stops_in_front_of_one_batch_too_many_within_an_hour() -> None:
    now = [0.0]
    alarms = Alarms()
    ceiling = Ceiling("people", 3, (alarms,), lambda: now[0])
    for _ in range(2):
        ceiling.hold("events", 10, "of a rule", where="a command")
        now[0] += SPAN / 2
    now[0] += 1
    ceiling.hold("events", 10, "of a rule", where="a command")  # the first is forgotten
    with pytest.raises(
        TooManyHeld, match=r"batch 3 within an hour and stays in the stream.*INLAY_GATE_HELD.*a command"
    ):
        ceiling.hold("events", 10, "of a rule", where="a command")
    assert len(alarms) == 4
    with pytest.raises(TooManyHeld, match="too many to be set aside"):
        Ceiling("people", 3, ()).hold("events", 10**6, "of a rule", where="a command", too_many=True)
    for _ in range(100):
        Ceiling("people", 0, ()).hold("events", 10**6, "of a rule", where="a command", too_many=True)


@pytest.mark.parametrize("held", [False, True])
def test_what_follows_from_events_waits_where_its_rows_are_held(held: bool) -> None:
    """A cart is left behind, as time tells; the table of that moment is held, or is not."""

    class Says(Odd):
        def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
            return {}

        def table(self, rows: list[Mapping[str, Any]]) -> str:
            return "so it is" if held else ""

    committed, clock = Committed(), Clock()
    gate = Gate({"user": Says()}, {"user": Says()}, ceiling=Ceiling("people", 0, ()))
    flow = People(committed, clock, 1)
    cart = an_event(event_id="c", type="add_to_cart", occurred_at=NOW, item_id="p1", price=2.0)
    flow.take([Received(0, [0], [written(cart)])], {})
    told = len(committed.derived.get("derived:0", ()))
    flow.commit = lambda batch: committed.commit(gate([batch])[0])
    clock.now += 3 * HOUR
    flow.expire()
    following = [read_event(value).type for _, value in committed.derived["derived:0"][told:]]
    assert following == ([] if held else ["session_ended", "cart_abandoned"])
    assert bool(committed.held) == held


# Events

FACTS = {f"p{n}": Fact("A", 10.0 + n) for n in range(20)}
COUNTED = "the events of a micro-batch"


def batch_of(events: Sequence[Event], partition: int = 0, first: int = 0) -> Validated:
    offsets = list(range(first, first + len(events)))
    received = Received(partition, offsets, [f"{event.event_id}".encode() for event in events])
    return Validated(partition, offsets[-1], list(zip(offsets, events, strict=True)), [], received)


def views(number: int, price: Callable[[int], float | None] = lambda n: 10.0 + n % 20, **more: Any) -> list[Event]:
    return [
        an_event(
            event_id=f"e{n}",
            occurred_at=NOW - n * 1_000_000,
            user_id=f"u{n % 50}",
            item_id=f"p{n % 20}",
            price=price(n),
            **more,
        )
        for n in range(number)
    ]


def items(number: int, price: Callable[[int], float]) -> list[Event]:
    return [
        an_event(event_id=f"i{n}", type="item", user_id=None, item_id=f"p{n % 20}", price=price(n), title=f"Thing {n}")
        for n in range(number)
    ]


def people(**more: Any) -> tuple[EventGate, Alarms]:
    alarms = Alarms()
    ceiling = Ceiling("people", 0, (alarms,))
    return EventGate(load_tables("events"), Behaviour(Clock()), is_behaviour, ceiling, **more), alarms


def test_prices_in_cents_are_refused_with_their_whole_batch_before_they_are_counted() -> None:
    gate, alarms = people()
    batches = [batch_of(views(100, lambda n: 100 * (10.0 + n % 20))), batch_of(items(5, lambda n: 1.0), 1)]
    shopping, described = gate(batches, FACTS)
    assert (shopping.events, len(shopping.refused), shopping.offset) == ([], 100, 99)
    assert described == batches[1], "the catalogue is another table"
    _, refused = shopping.refused[7]
    assert (refused.stage, refused.kind, refused.original) == ("gate", "gate", b"e7")
    assert refused.reason.startswith(
        "held with its whole batch, since expect_column_median_to_be_between(price_ratio): 100"
    )
    assert [each.number for each in alarms] == [100]


def test_what_a_person_has_sent_again_passes_alone() -> None:
    again = {b"e3", b"e9"}
    gate, _ = people(sent_again=lambda values: {place for place, value in enumerate(values) if value in again})
    (after,) = gate([batch_of(views(100, lambda n: 1000.0 * (10 + n % 20)))], FACTS)
    assert [event.event_id for _, event in after.events] == ["e3", "e9"]
    assert len(after.refused) == 98


def test_what_was_held_and_is_read_again_stays_refused_in_whatever_company() -> None:
    gate, alarms = people(held=[(0, 3), (0, 4), (1, 3)])
    first, other = gate([batch_of(views(5)), batch_of(views(2), 1)], FACTS)
    assert [offset for offset, _ in first.events] == [0, 1, 2]
    assert [refused.reason for _, refused in first.refused] == ["held with its whole batch, since it was before"] * 2
    assert len(other.events) == 2
    (after,) = gate([batch_of(views(5), 0)], FACTS)
    assert len(after.events) == 5, "they are behind us"
    assert not alarms


def test_too_large_a_batch_is_left_in_the_stream() -> None:
    gate, _ = people(most=99)
    gate._ceiling = Ceiling("people", 3, ())
    with pytest.raises(TooManyHeld, match="too many to be set aside"):
        gate([batch_of(views(100, lambda n: 1e6))], FACTS)


@pytest.mark.parametrize(
    "events",
    [
        views(2000),
        views(49, lambda n: 1e6),  # few
        views(300, lambda n: None),
        views(300, lambda n: 10.0 + n % 20 if n % 3 else 1e6),  # a third only
        views(300, lambda n: 0.5 * (10 + n % 20)),  # a sale
        [an_event(event_id=f"e{n}", occurred_at=NOW, item_id="p1") for n in range(3000)],  # one moment, this one
        [
            an_event(event_id=f"e{n}", type="profile", occurred_at=NOW - 9 * OLD) for n in range(3000)
        ],  # says when they all were written down
    ],
    ids=["right", "few", "no prices", "a third", "a sale", "one busy second", "an import"],
)
def test_what_may_well_be_right_passes(events: list[Event]) -> None:
    gate, alarms = people()
    batches = [batch_of(events)]
    assert gate(batches, FACTS) == batches
    assert not alarms


def test_a_clock_that_stands_still_is_found() -> None:
    gate, alarms = people()
    (after,) = gate(
        [batch_of([an_event(event_id=f"e{n}", occurred_at=NOW - OLD - 1, item_id="p1") for n in range(300)])], FACTS
    )
    assert (len(after.refused), len(alarms)) == (300, 1)
    assert "old_time" in alarms[0].why


def test_ids_that_are_not_the_catalogues_are_found_once_it_is_known_that_most_are() -> None:
    gate, alarms = people()
    strange = [batch_of([an_event(event_id=f"e{n}", occurred_at=NOW - n, item_id=f"u{n}") for n in range(FEW)])]
    assert gate(strange, FACTS) == strange, "there may be no catalogue yet"
    for _ in range(SETTLED + 7):
        gate([batch_of(views(FEW))], FACTS)
    assert not alarms
    for _ in range(30):
        (after,) = gate(strange, FACTS)
        assert len(after.refused) == FEW
    assert len(alarms) == 30, "what is held does not become the rule"
    assert "unknown_item" in alarms[0].why


def test_a_shop_without_a_catalogue_is_never_held() -> None:
    gate, alarms = people()
    for _ in range(50):
        gate([batch_of(views(FEW))], {})
    assert not alarms


def test_a_feed_in_cents_is_refused_and_a_first_feed_is_not() -> None:
    alarms = Alarms()
    gate = EventGate(load_tables("catalogue"), catalogue, is_catalogue, Ceiling("items", 0, (alarms,)))
    judge = judge_items(gate, lambda ids: {item_id: FACTS.get(item_id, Fact(None, None)) for item_id in ids})
    feed = [batch_of(items(40, lambda n: 100 * (10.0 + n % 20)) + views(3))]
    (after,) = judge(feed)
    assert ([event.type for _, event in after.events], len(after.refused)) == (["view"] * 3, 40)
    first = judge_items(gate, lambda ids: dict.fromkeys(ids, Fact(None, None)))
    assert first(feed) == feed
    flapping = [batch_of([an_event(event_id=f"f{n}", type="item", item_id="p1", title="Mug") for n in range(300)])]
    assert judge(flapping) == flapping, "one thing has one title"
    assert judge([batch_of(views(300, lambda n: 1e6))])[0].events, "what shoppers do is not this flow's to judge"
    assert len(alarms) == 1


def test_the_people_flow_judges_all_partitions_as_one() -> None:
    gate, _ = people()
    bad = views(60, lambda n: 1e5)
    several = [Enriched(batch_of(bad[:30]), FACTS), Enriched(batch_of(bad[30:], 1), FACTS)]
    after = judge_people(gate)(several)
    assert [(each.batch.events, len(each.batch.refused)) for each in after] == [([], 30), ([], 30)]
    assert judge_people(gate)([]) == []


def test_every_event_is_applied_or_refused_whatever_is_held() -> None:
    chance = random.Random(5)
    gate, _ = people(sent_again=lambda values: {n for n in range(len(values)) if chance.random() < 0.1})
    for _ in range(60):
        sizes = [chance.randint(0, 60) for _ in range(3)]
        batches = [
            batch_of(views(size, lambda n: chance.choice((1e5, 10.0 + n % 20, None))), part)
            for part, size in enumerate(sizes)
            if size
        ]
        after = gate(batches, FACTS)
        for before, each in zip(batches, after, strict=True):
            places = [offset for offset, _ in (*each.events, *each.refused)]
            assert sorted(places) == [offset for offset, _ in before.events]
            assert each.offset == before.offset
