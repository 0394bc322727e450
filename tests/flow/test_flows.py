"""Both flows as their engine runs them: events in, rows out; killed, restarted and left alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings

from dataflows.aggregates.people import User
from dataflows.aggregates.versions import UnknownVersion
from dataflows.enrich import Complete
from dataflows.enrichments import Source
from dataflows.events import HOUR, Event
from dataflows.stages import Received
from feature_repo.layout import LAYOUTS
from tests.flow.edges import CRASH, Broken, CommittedSink, Out, items, people, run
from tests.given import FACTS, NOW, raw, seeds
from tests.unit.dataflows.doubles import Clock, Committed, in_batches
from tests.unit.dataflows.oracle import Arrival, item_stats, user_row
from tests.unit.dataflows.streams import STORIES, batched, comparable, spread, with_repeats

STORIES_AN_ENGINE: Final = 25
"""An engine is started two to four times a story, which is too dear for five hundred of them. Those are in
`tests/unit/dataflows/test_law.py`: the same streams, deaths and readings again, through the same folds, by turns;
and in `tests/contract/test_crash_points.py`, with the store and a real Redis, and deaths in the middle of a commit."""

FLOWS = pytest.mark.parametrize("flow", [people, items])


@given(story=STORIES, seed=seeds())
@settings(max_examples=STORIES_AN_ENGINE)
def test_events_in_rows_out(story: list[Event], seed: int) -> None:
    chance = random.Random(seed)
    stream = with_repeats(story, chance)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for flow in (people, items):
        committed = Committed()
        process = flow(committed, Clock(), capacity=chance.choice((3, 1000)))
        run(process, batched(stream, chance), CommittedSink(committed))
        assert committed.received == sum(committed.outcomes.values()) == len(stream)
        assert committed.offsets == {p: len(values) - 1 for p, values in spread(stream).items() if values}
        found |= committed.values()
    for (entity, key), row in found.items():
        if entity == "user":
            assert row == user_row([Arrival(event, NOW) for event in story if event.key == key], FACTS, NOW)
        elif entity == "item":
            expected = item_stats([Arrival(event, NOW) for event in story], key, NOW)
            assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@FLOWS
@given(story=STORIES, seed=seeds())
@settings(max_examples=STORIES_AN_ENGINE)
def test_a_process_that_is_killed_and_started_again_ends_with_the_same_table(
    flow: Any, story: list[Event], seed: int
) -> None:
    chance = random.Random(seed)
    stream = with_repeats(story, chance)
    whole, broken = Committed(), Committed()
    run(flow(whole, Clock()), batched(stream, chance), CommittedSink(whole))

    some: list[Any] = [*batched(stream, chance)]
    some.insert(chance.randrange(len(some) + 1), CRASH())
    run(flow(broken, Clock()), some, CommittedSink(broken))
    rewound = {partition: max(-1, offset - chance.randrange(9)) for partition, offset in broken.offsets.items()}
    run(flow(broken, Clock()), batched(stream, chance, rewound), CommittedSink(broken))
    assert comparable(broken) == comparable(whole)


@FLOWS
@pytest.mark.parametrize("lasts", range(5))
def test_a_process_that_cannot_commit_stops_and_the_next_one_goes_on(flow: Any, lasts: int) -> None:
    stream = [raw(event_id=f"e{n % 7}", user_id=f"u{n % 3}", item_id="p1") for n in range(10)]
    partitions = [batch for p, values in spread(stream).items() for batch in in_batches(p, values, [2] * 9)]
    whole, broken = Committed(), Committed()
    run(flow(whole, Clock()), partitions, CommittedSink(whole))
    with pytest.raises(Exception, match=r".*") as caught:  # the engine wraps what the store raises
        run(flow(broken, Clock()), partitions, CommittedSink(broken, lasts))
    assert isinstance(caught.value.__cause__ or caught.value, Out)
    assert broken.commits == lasts
    run(flow(broken, Clock()), partitions, CommittedSink(broken))
    assert comparable(broken) == comparable(whole)


@FLOWS
def test_several_partitions_come_with_one_read_and_a_small_memory_is_enough(flow: Any) -> None:
    stream = [raw(event_id=f"e{n}", user_id=f"u{n % 5}", item_id=f"p{n % 4}") for n in range(40)]
    cut = [in_batches(p, values, [3] * 20) for p, values in spread(stream).items()]
    turns = [batch or Received(p, [], []) for pair in zip_longest(*cut) for p, batch in enumerate(pair)]
    whole, small = Committed(), Committed()
    run(flow(whole, Clock()), turns, CommittedSink(whole))
    run(flow(small, Clock(), capacity=2), turns, CommittedSink(small), at_once=2)
    assert comparable(small) == comparable(whole)
    assert small.received == 40


@FLOWS
def test_rows_that_a_rule_refuses_are_set_aside_and_their_states_stored(flow: Any) -> None:
    key = "u1" if flow is people else "p1"
    place = ("user" if flow is people else "item", key)
    committed = Committed()
    stream = [
        raw(event_id="e1", item_id="p1"),
        raw(event_id="e2", user_id="u2", item_id="p2"),
        raw(event_id="e3", item_id="p1"),
    ]
    run(flow(committed, Clock(), verdict=Broken(key)), in_batches(0, stream, [1, 1, 1]), CommittedSink(committed))
    assert committed.quarantined == [(key, "is_allowed(key)")] * 2
    assert committed.values()[place] == {}
    assert committed.received == 3
    assert len([row for row in committed.values().values() if row]) == (1 if flow is people else 2)
    run(
        flow(committed, Clock()),
        in_batches(0, [raw(event_id="e4", item_id="p1")], [], first=3),
        CommittedSink(committed),
    )
    assert committed.values()[place]["views_1h"] == 3


def test_what_is_refused_is_kept_once_with_its_place() -> None:
    stream = [raw(event_id="e1"), b"{}", raw(event_id="e2"), b"\xff", b""]
    committed = Committed()
    for _ in range(2):
        run(people(committed, Clock()), in_batches(1, stream, [2, 2]), CommittedSink(committed))
    assert committed.letters == [(1, 1), (1, 3), (1, 4)]
    assert committed.outcomes == {"applied": 2, "refused": 3}
    committed = Committed()
    run(items(committed, Clock()), in_batches(1, stream, [2, 2]), CommittedSink(committed))
    assert committed.letters == []
    assert committed.outcomes == {"applied": 2, "refused": 3}


def test_an_enrichment_that_fails_costs_its_event_only_where_it_is_strict_and_the_counts_add_up_all_the_same() -> None:
    def failing(event: Event) -> Mapping[str, Any]:
        if event.event_id == "e2":
            raise OSError("gone")
        return {"country": "FR"}

    sources = {"there": Source(failing, "/")}
    stream = [raw(event_id=f"e{number}", user_id=f"u{number}", url="/") for number in (1, 2, 3)]
    for strict, outcomes, countries in (
        ((), {"applied": 3}, {"u1": "FR", "u2": None, "u3": "FR"}),
        (("there",), {"applied": 2, "refused": 1}, {"u1": "FR", "u3": "FR"}),
    ):
        committed, complete = Committed(), Complete(sources, strict)
        for _ in range(2):
            process = people(committed, Clock(), complete=complete)
            run(process, in_batches(1, stream, [2]), CommittedSink(committed))
        assert committed.outcomes == outcomes
        assert committed.received == 3
        assert committed.letters == ([(1, 1)] if strict else [])
        assert {key: row.get("country") for (_, key), row in committed.values().items()} == countries


@FLOWS
def test_numbers_fall_by_themselves_while_no_event_comes(flow: Any) -> None:
    committed, clock = Committed(), Clock()
    place, due = (("user", "u1"), "due:0") if flow is people else (("item", "p1"), "due:items")

    def quiet_hours() -> Iterator[Received]:
        yield Received(0, [0], [raw(item_id="p1")])
        for _ in range(26):
            clock.now += HOUR
            yield Received(0, [], [])

    run(flow(committed, clock, idle=True), quiet_hours(), CommittedSink(committed))
    row = committed.values()[place]
    assert (row["views_1h"], row["views_24h"], row["views_7d"]) == (0, 0, 1)
    assert committed.sets[due][place[1]] > clock.now
    assert committed.received == 1


def test_a_flow_that_begins_again_wakes_its_timers_without_an_event() -> None:
    committed, clock = Committed(), Clock()
    run(people(committed, clock), in_batches(0, [raw()], []), CommittedSink(committed))
    clock.now += 3 * HOUR
    waking = [Received(partition, [], []) for partition in range(2)]
    run(people(committed, clock, idle=True), [*waking, *waking], CommittedSink(committed))
    assert committed.values()["user", "u1"]["views_1h"] == 0
    assert User.unpack(committed.states["user", "u1"]).row_at == NOW + 1


@FLOWS
def test_a_state_of_a_later_release_stops_the_flow_in_words_and_stays_as_it_is(flow: Any) -> None:
    committed = Committed()
    run(flow(committed, Clock()), in_batches(0, [raw(item_id="p1")], []), CommittedSink(committed))
    place = ("user", "u1") if flow is people else ("item", "p1")
    version, *content = msgspec.msgpack.decode(committed.states[place], strict=False)
    committed.states[place] = msgspec.msgpack.encode((version + 1, *content))
    before = committed.copy()
    later = in_batches(0, [raw(event_id="e2", item_id="p2", user_id="u2"), raw(event_id="e3", item_id="p1")], [], 1)
    with pytest.raises(Exception, match=r".*") as caught:  # the engine wraps what a step raises
        run(flow(committed, Clock()), later, CommittedSink(committed))
    cause = caught.value.__cause__ or caught.value
    assert isinstance(cause, UnknownVersion)
    assert "run the release that wrote it, or rebuild the features from the stream" in str(cause)
    assert vars(committed) == vars(before)


def test_every_field_of_a_row_has_its_place_in_the_store() -> None:
    stream = [
        raw(event_id="e1", item_id="p1", country="FR"),
        raw(event_id="e2", type="item", item_id="p1", title="Lamp", category="Home"),
    ]
    for flow in (people, items):
        committed = Committed()
        run(flow(committed, Clock()), in_batches(0, stream, []), CommittedSink(committed))
        for (entity, _), row in committed.values(whole=True).items():
            assert {*row, "state"} == set(LAYOUTS[entity].columns)
            assert LAYOUTS[entity].hset("key", row, NOW)
