"""Customers in the people flow: the population is exact whatever dies, and rows say how somebody stands in it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st

from dataflows import aggregate_people
from dataflows.aggregates.people import User
from dataflows.aggregates.population import Standing, bucket_of
from dataflows.derived import read_event
from dataflows.events import DAY, HOUR, MINUTE
from tests.given import NOW, raw, seeds
from tests.unit.dataflows.doubles import Clock, Committed, People, in_batches
from tests.unit.dataflows.proofs import fails, for_all, holds

SHOPPERS = ("u1", "u2", "u3", "u4")
GAPS = (0, HOUR, DAY, 40 * DAY, 95 * DAY)
STORIES = st.lists(
    st.tuples(st.sampled_from(SHOPPERS), st.sampled_from(GAPS), st.sampled_from((0, 1, 20))), min_size=1, max_size=12
)


def counted(committed: Committed) -> dict[str, int]:
    """What is stored of the population, all partitions together."""
    total: Counter[str] = Counter()
    for partition in committed.population(2):
        total.update(partition)
    return dict(total)


def expected(committed: Committed) -> dict[str, int]:
    """The standings of all users, told by their rows."""
    total: Counter[str] = Counter()
    for (entity, _), row in committed.values(whole=True).items():
        if entity == "user" and row["orders_90d"]:
            standing = (row["last_purchase_at"] // 86_400, row["orders_90d"], bucket_of(row["spend_90d"]))
            total.update(f"{name}:{value}" for name, value in zip(Standing._fields, standing, strict=True))
    return dict(total)


@for_all(story=STORIES, seed=seeds())
def the_population_is_that_of_the_rows(flow: Any, story: list[tuple[str, int, int]], seed: int) -> None:
    """People buy over months; the process dies between commits, and what was read is read again."""
    chance = random.Random(seed)
    committed, clock = Committed(), Clock()
    process, streams = flow(committed, clock), {0: list[bytes](), 1: list[bytes]()}
    for number, (user, gap, price) in enumerate(story):
        clock.now += gap
        partition = SHOPPERS.index(user) % 2
        event = {"event_id": f"e{number}", "type": "purchase", "user_id": user, "item_id": "p1", "price": price}
        streams[partition].append(raw(**event, occurred_at=clock.now, order_id=f"o{number}"))
        process.expire()
        first = len(streams[partition]) - 1
        process.take(in_batches(partition, streams[partition][first:], [], first))
        if chance.random() < 0.4:
            process = flow(committed, clock)
            again = max(0, first - chance.randrange(3))
            process.take(in_batches(partition, streams[partition][again:], [], again))
        assert counted(committed) == expected(committed)


def people(user: type[User] = User) -> Any:
    return lambda committed, clock: People(committed, clock, user=user)


def test_the_population_is_that_of_the_rows() -> None:
    holds(the_population_is_that_of_the_rows, people())


class ForgetsItsStanding(User):
    @classmethod
    def unpack(cls, packed: bytes) -> User:
        user = super().unpack(packed)
        user.standing = None
        return user


def test_a_state_that_forgets_its_standing_is_caught() -> None:
    assert fails(the_population_is_that_of_the_rows, people(ForgetsItsStanding))


def test_a_move_that_is_not_committed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate_people, "population_commands", lambda partition, moves: [])
    assert fails(the_population_is_that_of_the_rows, people())


def test_rows_say_how_customers_stand() -> None:
    """Five who buy at the same moment are scored among all five within the hour."""
    committed, clock = Committed(), Clock()
    flow = People(committed, clock, 1)
    events = [raw(event_id="look", user_id="browser", item_id="p1")]
    for number in range(5):
        for order in range(number + 1):
            name = f"e{number}-{order}"
            event = {"event_id": name, "order_id": name, "user_id": f"c{number}", "price": 10.0**number}
            events.append(raw(**event, type="purchase", item_id="p1", occurred_at=NOW - (4 - number) * DAY))
    flow.take(in_batches(0, events, []))
    clock.now += HOUR
    flow.expire()
    rows = committed.values(whole=True)
    for name in ("rfm_recency", "rfm_frequency", "rfm_monetary"):
        assert [rows["user", f"c{number}"][name] for number in range(5)] == [1, 2, 3, 4, 5]
    assert rows["user", "c4"]["segment"] == "champions"
    assert rows["user", "c0"]["segment"] == "lost"
    assert (rows["user", "browser"]["segment"], rows["user", "browser"]["rfm_recency"]) == ("browsers", None)
    assert rows["user", "browser"]["lifecycle"] == "new"


def test_a_customer_of_two_ids_is_counted_once() -> None:
    committed, clock = Committed(), Clock()
    flow = People(committed, clock, 1)
    bought = {"type": "purchase", "item_id": "p1", "price": 5}
    events = [
        raw(**bought, event_id="e1", user_id="old", order_id="o1"),
        raw(**bought, event_id="e2", user_id="new", order_id="o2"),
        raw(event_id="e3", type="identify", user_id="new", previous_id="old"),
    ]
    flow.take(in_batches(0, events, []))
    for _ in range(4):
        clock.now += 1_000_000
        flow.expire()
    assert committed.values(whole=True)["user", "new"]["orders_90d"] == 2
    (counts,) = committed.population(1)
    assert counts == {f"day:{NOW // DAY}": 1, "orders:2": 1, f"amount:{bucket_of(10.0)}": 1}


def test_a_cart_is_told_of_under_one_id_and_not_if_another_id_bought_it() -> None:
    committed, clock = Committed(), Clock()
    flow = People(committed, clock, 1)
    flow.take(in_batches(0, [
        raw(event_id="e1", type="add_to_cart", user_id=None, anonymous_id="d1", item_id="p1"),
        raw(event_id="e2", type="identify", user_id="u1", anonymous_id="d1"),
        raw(event_id="e3", type="add_to_cart", user_id=None, anonymous_id="d2", item_id="p1"),
        raw(event_id="e4", type="add_to_cart", user_id=None, anonymous_id="d2", item_id="p2"),
        raw(event_id="e5", type="identify", user_id="u2", anonymous_id="d2"),
        raw(event_id="e6", type="purchase", user_id="u2", item_id="p2"),
        raw(event_id="e7", type="add_to_cart", user_id="old", item_id="p3"),
        raw(event_id="e8", type="identify", user_id="u3", properties={"previous_id": "old"}),
    ], []))  # fmt: skip
    for _ in range(4):
        clock.now += 40 * MINUTE
        flow.expire()
    told = [read_event(value) for entries in committed.derived.values() for _, value in entries]
    left = [(each.user_id, each.properties["items"]) for each in told if each.type == "cart_abandoned"]
    assert sorted(left) == [("u1", ["p1"]), ("u3", ["p3"])]
