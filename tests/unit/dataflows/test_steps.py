"""The steps between the edges: validate, enrich, gate, and what drives a fold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bytewax.operators import StatefulBatchLogic
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataflows.aggregate import TICK, Aggregate
from dataflows.aggregates.effects import Fact
from dataflows.enrich import enrich, items_of
from dataflows.events import MINUTE, Event, Line, Refused, parse
from dataflows.gate import Gate
from dataflows.stages import Aggregated, Received, Row, Validated
from dataflows.validate import TooManyRefused, Validate
from tests.given import NOW, an_event, raw
from tests.unit.dataflows.doubles import MANY, Clock

GOOD, BAD = raw(), b"{}"


def test_a_batch_is_judged_record_by_record_and_keeps_its_place() -> None:
    judged = Validate(Clock(), 5 * MINUTE, MANY)(Received(3, [10, 11, 15], [GOOD, BAD, raw(event_id="e2")]))
    assert (judged.partition, judged.offset) == (3, 15)
    assert [(offset, event.event_id) for offset, event in judged.events] == [(10, "e1"), (15, "e2")]
    assert [(offset, refused.original, refused.stage) for offset, refused in judged.refused] == [(11, BAD, "validate")]


def test_an_empty_batch_has_no_place() -> None:
    assert Validate(Clock(), 0, 1)(Received(3, [], [])) == Validated(3, -1, [], [])


def test_a_batch_of_refusals_moves_on_all_the_same() -> None:
    assert Validate(Clock(), 0, MANY)(Received(0, [7, 8], [BAD, BAD])).offset == 8


def test_how_far_ahead_an_event_may_lie_is_set_and_the_clock_is_read_each_time() -> None:
    clock = Clock(NOW - 2 * MINUTE)
    validate = Validate(clock, MINUTE, MANY)
    assert not validate(Received(0, [0], [GOOD])).events
    clock.now += MINUTE
    assert validate(Received(0, [1], [GOOD])).events


@given(
    records=st.lists(st.booleans(), max_size=30),
    ceiling=st.integers(1, 6),
    sizes=st.lists(st.integers(1, 5), min_size=30, max_size=30),
)
def test_a_run_of_refusals_stops_the_flow_wherever_batches_end(
    records: list[bool], ceiling: int, sizes: list[int]
) -> None:
    validate = Validate(Clock(), 0, ceiling)
    values = [GOOD if good else BAD for good in records]
    stopped = False
    try:
        for size in sizes:
            batch, values = values[:size], values[size:]
            validate(Received(0, list(range(len(batch))), batch))
    except TooManyRefused:
        stopped = True
    assert stopped == ("0" * ceiling in "".join(str(int(good)) for good in records))


@given(
    records=st.lists(st.booleans(), max_size=40),
    ceiling=st.integers(1, 6),
    good_for=st.integers(1, 4),
    size=st.integers(1, 5),
)
def test_a_share_of_refusals_stops_the_flow_wherever_batches_end(
    records: list[bool], ceiling: int, good_for: int, size: int
) -> None:
    validate = Validate(Clock(), 0, ceiling, good_for / (good_for + 1) + 1e-12)
    values = [GOOD if good else BAD for good in records]
    stopped = False
    try:
        for at in range(0, len(values), size):
            batch = values[at : at + size]
            validate(Received(0, list(range(len(batch))), batch))
    except TooManyRefused:
        stopped = True
    stretches = [records[a:b] for a in range(len(records)) for b in range(a + 1, len(records) + 1)]
    assert stopped == any(each.count(False) - good_for * each.count(True) >= ceiling for each in stretches)


def test_nearly_everything_stops_the_flow_and_half_of_it_never_does() -> None:
    Validate(Clock(), 0, 10, 0.95)(Received(0, list(range(2000)), [GOOD, BAD] * 1000))
    records = [GOOD, *[BAD] * 40] * 3
    said = r"nearly everything is refused, 50 events beyond a share of 0\.95, the last because: event_id: is missing"
    with pytest.raises(TooManyRefused, match=said):
        Validate(Clock(), 0, 50, 0.95)(Received(0, list(range(len(records))), records))


def test_the_flow_that_stops_says_why_and_what_to_do() -> None:
    said = r"3 events in a row were refused, the last because: event_id: is missing\. Mend .*INLAY_REFUSED_RUN"
    with pytest.raises(TooManyRefused, match=said):
        Validate(Clock(), 0, 3)(Received(0, [0, 1, 2, 3], [BAD] * 4))


def a_batch(partition: int, *events: Event) -> Validated:
    return Validated(partition, len(events) - 1, list(enumerate(events)), [])


def test_one_look_up_brings_the_facts_of_every_item_of_every_batch() -> None:
    asked: list[set[str]] = []

    def look_up(item_ids: Collection[str]) -> dict[str, Fact]:
        asked.append(set(item_ids))
        return {item_id: Fact(item_id.upper(), None) for item_id in item_ids}

    batches = [
        a_batch(0, an_event(item_id="a"), an_event(type="purchase", items=(Line("b"),))),
        a_batch(1, an_event(item_id="a"), an_event()),
        a_batch(2),
    ]
    enriched = enrich(batches, look_up)
    assert asked == [{"a", "b"}]
    assert [each.batch for each in enriched] == batches
    assert all(each.facts["b"] == Fact("B", None) for each in enriched)


def test_the_lines_of_an_event_are_its_items_where_there_are_any() -> None:
    assert items_of(a_batch(0, an_event(item_id="a", items=(Line("b"),)))) == {"b"}


class Below:
    """A verdict: a row may not have a number below zero; it notes the tables that it saw."""

    def __init__(self) -> None:
        self.tables: list[list[Mapping[str, Any]]] = []

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        self.tables.append([dict(row) for row in rows])
        return {place: "not_below(n)" for place, row in enumerate(rows) if row["n"] < 0}

    def table(self, rows: list[Mapping[str, Any]]) -> str:
        return ""


ROWS = st.lists(st.tuples(st.sampled_from(("user", "item")), st.integers(0, 5), st.integers(-2, 2)), max_size=8)


@given(batches=st.lists(ROWS, max_size=4))
def test_the_gate_sets_rows_aside_and_keeps_all_else_in_its_order(batches: list[list[tuple[str, int, int]]]) -> None:
    verdicts = {"user": Below(), "item": Below()}
    made = [
        Aggregated((place,), {place: 9}, rows=[Row(kind, f"k{key}", NOW, {"n": n}, b"s") for kind, key, n in rows])
        for place, rows in enumerate(batches)
    ]
    before = [list(batch.rows) for batch in made]
    after = Gate(verdicts)(made)
    assert [batch.owners for batch in after] == [(place,) for place in range(len(batches))]
    for batch, rows in zip(after, before, strict=True):
        assert batch.rows == [row for row in rows if row.values["n"] >= 0]
        assert sorted(row.key for row, _ in batch.quarantined) == sorted(r.key for r in rows if r.values["n"] < 0)
        assert {rule for _, rule in batch.quarantined} <= {"not_below(n)"}
        assert len(batch.rows) + len(batch.quarantined) == len(rows)
    for entity, verdict in verdicts.items():
        wanted = [{"key": row.key, "n": row.values["n"]} for rows in before for row in rows if row.entity == entity]
        assert verdict.tables == ([wanted] if wanted else [])


def test_the_gate_judges_once_an_entity_however_many_batches_there_are() -> None:
    verdict = Below()
    rows = [Row("user", f"u{n}", NOW, {"n": 1}, b"") for n in range(3)]
    Gate({"user": verdict})([Aggregated((n,), rows=[row]) for n, row in enumerate(rows)])
    assert [len(table) for table in verdict.tables] == [3]


class Recorder:
    """A fold that notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def fold(self, batches: list[str], now: int) -> list[Aggregated]:
        self.asked.append(("fold", batches, now))
        return [Aggregated((0,))]

    def expire(self, now: int) -> list[Aggregated]:
        self.asked.append(("expire", now))
        return []


def test_a_fold_is_driven_by_batches_and_by_one_timer() -> None:
    clock, wall, fold = Clock(), [datetime(2026, 5, 17, tzinfo=timezone.utc)], Recorder()
    aggregate = Aggregate(fold, clock, lambda: wall[0])
    assert aggregate.notify_at() == wall[0] + TICK
    wall[0] += TICK / 3
    assert Aggregate(fold, clock, lambda: wall[0]).notify_at() == aggregate.notify_at()  # keys tick together
    results, discard = aggregate.on_batch(["a", "b"])
    assert (list(results), discard) == ([Aggregated((0,))], StatefulBatchLogic.RETAIN)
    wall[0] += timedelta(seconds=5) - TICK / 3
    clock.now += 1
    assert aggregate.on_notify() == ([], StatefulBatchLogic.RETAIN)
    assert aggregate.notify_at() == wall[0] + TICK
    assert fold.asked == [("fold", ["a", "b"], NOW), ("expire", NOW + 1)]


def test_what_the_door_and_the_flow_refuse_differs_only_in_the_stage() -> None:
    at_the_door = parse(BAD, NOW, stage="collect")
    ((_, in_the_flow),) = Validate(Clock(), 5 * MINUTE, MANY)(Received(0, [0], [BAD])).refused
    assert isinstance(at_the_door, Refused)
    assert replace(at_the_door, stage="validate") == in_the_flow


def test_rows_that_only_time_changed_are_a_table_of_their_own() -> None:
    verdict, timed = Below(), Below()
    rows = [Row("user", f"u{n}", NOW, {"n": n}, None, timed=n < 1) for n in (-1, 0, 1)]
    (after,) = Gate({"user": verdict}, {"user": timed})([Aggregated((0,), rows=rows)])
    assert [[row["n"] for row in table] for table in timed.tables + verdict.tables] == [[-1, 0], [1]]
    assert ([row.key for row in after.rows], [row.key for row, _ in after.quarantined]) == (["u0", "u1"], ["u-1"])
