"""The folds of both flows: their rows against the oracle, the times of rows, and rows that time changes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from dataflows.aggregate import CALM, EXPIRED_AT_ONCE, EXPIRED_IN_CALM
from dataflows.aggregate_items import FoldItems
from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import User
from dataflows.aggregates.seen import Seen, SeenByUser
from dataflows.events import DAY, HOUR, MINUTE, SECOND, Event, partition_of
from dataflows.stages import Received
from tests.given import FACTS, ITEMS, NOW, histories, raw, seeds
from tests.unit.dataflows.doubles import DUE, Clock, Committed, Items, People, in_batches
from tests.unit.dataflows.oracle import Arrival, item_stats, neighbours, user_row
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import PARTITIONS, STORIES, USERS, batched, spread, take_items, with_repeats, written


@for_all(story=STORIES, seed=seeds())
def rows_of_people_equal_the_oracle(how: dict[str, Any], story: list[Event], seed: int) -> None:
    """In whatever order events come, how often, and in what micro-batches."""
    chance = random.Random(seed)
    committed = Committed()
    People(committed, Clock(), PARTITIONS, capacity=chance.choice((0, 1, 1000)), **how).take(
        batched(with_repeats(story, chance), chance)
    )
    expected = {}
    for key in {event.key for event in story}:
        row = user_row([Arrival(event, NOW) for event in story if event.key == key], FACTS, NOW)
        if row["first_seen_at"] is not None:
            expected["user", key] = row
    assert committed.values() == expected


class ForgetsWhatItSaw(User):
    @classmethod
    def unpack(cls, packed: bytes) -> User:
        user = super().unpack(packed)
        user.seen = SeenByUser()
        return user


class RowsOfOneMoment(User):
    """A row may be of the moment of the one before, and is dropped then."""

    row_at = property(lambda self: self.__dict__["at"] - 1, lambda self, at: self.__dict__.update(at=at))


class CountsBatchByBatch(FoldPeople):
    """What came before is forgotten, as if a micro-batch were a window."""

    def fold(self, batches: Any, now: int) -> Any:
        for batch in batches:
            for _, event in batch.batch.events:
                self._users.renew(event.key)
        return super().fold(batches, now)


def test_the_rows_of_the_people_flow_equal_the_oracle() -> None:
    holds(rows_of_people_equal_the_oracle, {})


@pytest.mark.parametrize(
    "mutant", [{"user": ForgetsWhatItSaw}, {"user": RowsOfOneMoment}, {"fold": CountsBatchByBatch}], ids=str
)
def test_rows_that_depend_on_repeats_or_batches_are_caught(mutant: dict[str, Any]) -> None:
    assert fails(rows_of_people_equal_the_oracle, mutant)


@for_all(story=STORIES, seed=seeds())
def rows_of_items_equal_the_oracle(fold: type[FoldItems], story: list[Event], seed: int) -> None:
    chance = random.Random(seed)
    committed = Committed()
    flow = Items(committed, Clock(), PARTITIONS, fold=fold, capacity=chance.choice((len(ITEMS), 1000)))
    take_items(flow, batched(with_repeats(story, chance), chance), chance)
    arrivals = [Arrival(event, NOW) for event in story]
    for (entity, key), row in committed.values().items():
        if entity == "item":
            expected = item_stats(arrivals, key, NOW)
            assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    trends = {key: row["trend"] for (entity, key), row in committed.values().items() if entity == "item"}
    best = sorted((item_id for item_id in trends if trends[item_id] > 0), key=lambda each: (-trends[each], each))
    assert committed.values().get(("scope", "all"), {"items": []})["items"] == best


class ForgetsWhichItCounted(FoldItems):
    def fold(self, batches: Any, now: int) -> Any:
        for seen in self._seen.values():
            seen._seen = Seen(0)
        return super().fold(batches, now)


class CountsItemsBatchByBatch(FoldItems):
    def fold(self, batches: Any, now: int) -> Any:
        for batch in batches:
            for line in (line for _, event in batch.events for line in event.lines()):
                self._items.renew(line.item_id)
        return super().fold(batches, now)


def test_the_rows_of_the_items_flow_equal_the_oracle() -> None:
    holds(rows_of_items_equal_the_oracle, FoldItems)


@pytest.mark.parametrize("mutant", [ForgetsWhichItCounted, CountsItemsBatchByBatch])
def test_rows_of_items_that_depend_on_repeats_or_batches_are_caught(mutant: type[FoldItems]) -> None:
    assert fails(rows_of_items_equal_the_oracle, mutant)


@pytest.mark.parametrize("partitions", [1, 2, 5])
def test_an_event_id_counts_once_a_sender_for_items_too_whatever_the_partitions(partitions: int) -> None:
    committed = Committed()
    flow = Items(committed, Clock(), partitions)
    for number, sender in enumerate((*USERS, *USERS)):
        at = partition_of(sender, partitions)
        offset = committed.offsets.get(at, -1) + 1
        flow.take(in_batches(at, [raw(user_id=sender, item_id="p1")], [], first=offset))
        assert committed.values()["item", "p1"]["views_1h"] == min(number + 1, len(USERS))
    assert +committed.outcomes == {"applied": len(USERS), "duplicate": len(USERS)}


@given(story=histories(kinds=("view", "click", "add_to_cart", "purchase"), users=USERS, days=1))
def test_the_neighbours_of_one_commit_equal_the_oracle(story: list[Event]) -> None:
    in_time = sorted(story, key=lambda event: event.at)
    committed = Committed()
    stream = spread([written(event) for event in in_time])
    Items(committed, Clock(), PARTITIONS).take([b for p, values in stream.items() for b in in_batches(p, values, [])])
    found = {
        key: dict(zip(row["neighbours"], row["neighbour_weights"], strict=True))
        for (entity, key), row in committed.values().items()
        if entity == "item"
    }
    expected = neighbours(in_time)
    assert found.keys() == expected.keys()
    for key, weights in expected.items():
        assert found[key] == pytest.approx(weights, abs=1e-6)


def visits_of_two(times: int) -> list[bytes]:
    """User u1 looks at a and b together; others look at b alone."""
    alone = [raw(event_id=f"x{n}", user_id=f"v{n}", item_id="b") for n in range(times)]
    return [*alone, raw(event_id="e1", item_id="a"), raw(event_id="e2", item_id="b")]


def test_weights_of_neighbours_do_not_depend_on_what_is_in_memory() -> None:
    later = raw(event_id="e3", item_id="a", occurred_at=NOW + MINUTE, user_id="u2")
    weights = []
    for restart in (False, True):
        committed = Committed()
        flow = Items(committed, Clock())
        flow.take(in_batches(0, visits_of_two(8), []))
        flow = Items(committed, Clock()) if restart else flow
        flow.take(in_batches(0, [later], [], first=10))
        weights.append(committed.values()["item", "a"]["neighbour_weights"])
    assert weights[0] == weights[1]


def test_weights_of_neighbours_come_to_the_same_within_the_hour_whatever_the_batches() -> None:
    alone, together = visits_of_two(8)[:8], visits_of_two(8)[8:]
    weights = []
    for sizes in ([], [2]):
        committed, clock = Committed(), Clock()
        flow = Items(committed, clock)
        for batch in in_batches(0, [*together, *alone], sizes):
            flow.take([batch])
        clock.now += HOUR
        flow.expire()
        weights.append(committed.values()["item", "a"]["neighbour_weights"])
    assert weights[0] == weights[1]


@pytest.mark.parametrize("process", [People, Items])
def test_events_of_one_moment_give_rows_of_strictly_later_ones(process: Callable[..., Any]) -> None:
    committed = Committed()
    flow = process(committed, Clock())
    times: list[int] = []
    for batch in in_batches(0, [raw(event_id=f"e{n}", item_id="p1", country="FR") for n in range(5)], [1] * 5):
        flow.take([batch])
        times.append(committed.rows[("user", "u1") if process is People else ("item", "p1")][0])
    assert times == [NOW, NOW + 1, NOW + 2, NOW + 3, NOW + 4]


@pytest.mark.parametrize("process", [People, Items])
def test_an_older_event_gives_a_newer_row(process: Callable[..., Any]) -> None:
    committed = Committed()
    for batch in in_batches(0, [raw(item_id="p1"), raw(event_id="e2", item_id="p1", occurred_at=NOW - DAY)], [1]):
        process(committed, Clock()).take([batch])
    place = ("user", "u1") if process is People else ("item", "p1")
    assert committed.rows[place][0] == NOW + 1
    assert committed.rows[place][1]["views_7d"] == 2


def test_a_description_of_an_item_that_has_lines_is_taken() -> None:
    committed = Committed()
    Items(committed, Clock()).take(
        in_batches(0, [raw(type="item", item_id="p1", title="Lamp", items=[{"item_id": "p2"}])], [])
    )
    assert committed.values()["item", "p1"]["title"] == "Lamp"


def test_descriptions_of_items_are_never_late() -> None:
    old = [
        raw(event_id=f"i{n}", type="item", item_id="p1", title="Lamp", occurred_at=f"20{10 + n}-01-01T00:00:00Z")
        for n in range(3)
    ]
    committed = Committed()
    Items(committed, Clock()).take(in_batches(0, old, []))
    assert committed.outcomes == Counter(applied=3)
    assert committed.values()["item", "p1"]["title"] == "Lamp"
    committed = Committed()
    People(committed, Clock()).take(in_batches(0, old, []))
    assert committed.outcomes == Counter(applied=3)
    assert committed.rows == {}


def test_a_row_of_a_user_falls_when_it_is_due_and_no_event_comes() -> None:
    committed, clock = Committed(), Clock()
    flow = People(committed, clock)
    flow.expire()
    flow.take(in_batches(0, [raw(item_id="p1")], []))
    due = committed.sets[DUE.format(0)]
    assert due == {"u1": NOW + 30 * MINUTE + 1}  # the session is over
    clock.now = due["u1"]
    flow.expire()
    assert due == {"u1": NOW // (5 * MINUTE) * 5 * MINUTE + 13 * 5 * MINUTE}
    clock.now = due["u1"] - 1
    flow.expire()
    assert committed.commits == 2
    clock.now += 1
    flow.expire()
    assert committed.rows["user", "u1"][0] == NOW + 2
    row = committed.values()["user", "u1"]
    assert (row["views_1h"], row["views_24h"]) == (0, 1)
    assert due["u1"] == (NOW // HOUR + 25) * HOUR
    assert committed.received == 1


def test_users_fall_until_nothing_is_left_to_fall_whatever_is_restarted() -> None:
    committed, clock = Committed(), Clock()
    People(committed, clock).take(in_batches(0, [raw(event_id=f"e{n}", user_id=f"u{n}") for n in range(9)], [4]))
    while any(due := committed.sets[DUE.format(0)].values()):
        clock.now = min(due)
        flow = People(committed, clock)
        flow.take([Received(0, [], [])])
        flow.expire()
        assert all(at > clock.now for at in committed.sets[DUE.format(0)].values())
    assert clock.now > NOW + 30 * DAY
    assert not any(row["views_30d"] for row in committed.values().values())


def test_more_users_fall_at_once_where_few_events_come() -> None:
    committed = Committed()
    flow, crowd = People(committed, Clock()), 2 * EXPIRED_IN_CALM
    flow.take(in_batches(0, [raw(event_id=f"e{n}", user_id=f"u{n}") for n in range(crowd)], []))
    flow.expire()
    due = committed.sets[DUE.format(0)]
    for first, events, fallen in ((0, CALM - 1, EXPIRED_IN_CALM), (CALM, CALM, EXPIRED_AT_ONCE)):
        flow.take(in_batches(0, [raw(event_id=f"x{first + n}", user_id="u0") for n in range(events)], [], first=crowd))
        crowd += events
        due.update({f"u{n}": NOW for n in range(2 * EXPIRED_IN_CALM)})
        flow.expire()
        assert sum(at > NOW for at in due.values()) == fallen


def test_an_empty_batch_wakes_the_timer_and_commits_nothing() -> None:
    committed, clock = Committed(), Clock()
    People(committed, clock).take(in_batches(1, [raw()], []))
    clock.now += 2 * HOUR
    flow = People(committed, clock)
    flow.take([Received(1, [], [])])
    assert committed.commits == 1
    flow.expire()
    assert committed.values()["user", "u1"]["views_1h"] == 0


def test_a_row_of_an_item_and_its_scopes_cool_down_by_the_hour() -> None:
    committed, clock = Committed(), Clock()
    flow = Items(committed, clock)
    described = raw(event_id="i", type="item", item_id="p1", category="Home/Lamps", user_id=None)
    flow.take(in_batches(0, [described, raw(item_id="p1")], []))
    assert committed.sets[DUE.format("items")] == {"p1": (NOW // HOUR + 1) * HOUR}
    clock.now = NOW + 24 * HOUR
    flow.expire()
    assert committed.values()["item", "p1"]["trend"] == 0.5
    for name in ("all", "category:Home", "category:Home/Lamps"):
        assert committed.values()["scope", name]["items"] == ["p1"]
        assert committed.values()["scope", name]["scores"] == [0.5]
    clock.now = NOW + 8 * DAY
    Items(committed, clock).expire()
    assert committed.values()["item", "p1"]["views_7d"] == 0
    assert committed.values()["scope", "all"]["items"] == []
    assert committed.sets[DUE.format("items")] == {}


def test_an_item_that_moves_leaves_its_old_category() -> None:
    committed = Committed()
    flow = Items(committed, Clock())
    story = [
        raw(event_id="i1", type="item", item_id="p1", category="Home/Lamps"),
        raw(item_id="p1"),
        raw(event_id="i2", type="item", item_id="p1", category="Toys", occurred_at=NOW + SECOND),
    ]
    for batch in in_batches(0, story, [2]):
        flow.take([batch])
    scopes = {key: row["items"] for (entity, key), row in committed.values().items() if entity == "scope"}
    assert scopes == {"all": ["p1"], "category:Home": [], "category:Home/Lamps": [], "category:Toys": ["p1"]}


def test_countries_have_their_own_best() -> None:
    committed = Committed()
    story = [
        raw(event_id="e1", item_id="p1", country="fr"),
        raw(event_id="e2", item_id="p2", country="FR", type="purchase"),
        raw(event_id="e3", item_id="p3", country="Narnia"),
    ]
    Items(committed, Clock()).take(in_batches(0, story, []))
    rows = committed.values()
    assert rows["scope", "country:FR"]["items"] == ["p2", "p1"]
    assert rows["scope", "country:FR"]["bestsellers"] == ["p2"]
    assert rows["scope", "all"]["items"] == ["p2", "p1", "p3"]
    assert {key for entity, key in rows if entity == "scope"} == {"all", "country:FR"}
