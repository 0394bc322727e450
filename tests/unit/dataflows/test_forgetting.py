"""Users who did nothing for long are forgotten, whole and once; nobody who came, and nobody who said no."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Final

import pytest

from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import User
from dataflows.aggregates.population import changes
from dataflows.events import DAY, HOUR, Event, partition_of
from dataflows.stages import Aggregated, Received
from dataflows.state import StateTable
from tests.given import FACTS, NOW, an_event, histories, seeds
from tests.unit.dataflows.doubles import DUE, Clock, Committed, People, in_batches
from tests.unit.dataflows.oracle import Arrival, user_row
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import PARTITIONS, written

TTL: Final = 100 * DAY
PAUSES: Final = (0, HOUR, 20 * DAY, 99 * DAY, 101 * DAY, 250 * DAY)
WITHHELD: Final = ("email_allowed", "profile_allowed")
STORIES: Final = histories(most=14, users=("u1", "u2", "u3"), days=95)


def process(committed: Committed, clock: Clock, **parts: Any) -> People:
    """A process that forgets, awake."""
    flow = People(committed, clock, PARTITIONS, **{"state_ttl": TTL, **parts})
    flow.take(Received(partition, [], []) for partition in range(PARTITIONS))
    return flow


def take(flow: People, committed: Committed, event: Event, ahead: int = 0) -> None:
    """An event arrives, behind `ahead` that are not committed."""
    partition = partition_of(event.key, PARTITIONS)
    flow.take(in_batches(partition, [written(event)], [], first=committed.offsets.get(partition, -1) + 1 + ahead))


def until_settled(flow: People, committed: Committed, clock: Clock) -> None:
    while any(at <= clock.now for each in committed.sets.values() for at in each.values() if at > DAY):
        before = committed.commits
        flow.expire()
        assert committed.commits > before, "somebody is due and nothing happens"


def moved(event: Event, by: int) -> Event:
    """The event at another time; ids stay, so that one that was forgotten with its user counts anew."""
    return an_event(**{name: getattr(event, name) for name in event.__struct_fields__} | {"occurred_at": event.at + by})


def expected_row(arrivals: list[Arrival], now: int) -> dict[str, Any] | None:
    row = user_row(arrivals, FACTS, now)
    return None if row["first_seen_at"] is None else row


@for_all(story=STORIES, seed=seeds())
def idle_users_are_forgotten(fold: type[FoldPeople], story: list[Event], seed: int) -> None:
    """Known is what arrived since a user was last forgotten; whoever came too late for every window never arrived."""
    chance = random.Random(seed)
    committed, clock = Committed(), Clock()
    flow = process(committed, clock, fold=fold)
    known: dict[str, list[Arrival]] = {}
    stored_at: dict[str, int] = {}

    def look() -> None:
        until_settled(flow, committed, clock)
        for key, arrivals in list(known.items()):
            row = expected_row(arrivals, clock.now)
            if row is None:
                continue
            applied = [each.event.at for each in arrivals if expected_row([each], each.at) is not None]
            idle = clock.now >= max(applied) + TTL and clock.now >= stored_at[key] + DAY
            if idle and not any(row[name] is False for name in WITHHELD):
                del known[key]

    for event in story:
        if chance.random() < 0.5:
            clock.now += chance.choice(PAUSES)
            look()
        if chance.random() < 0.2:
            flow = process(committed, clock, fold=fold, capacity=chance.choice((0, 1000)))
        arrived = moved(event, clock.now - NOW)
        known.setdefault(arrived.key, []).append(Arrival(arrived, clock.now))
        stored_at[arrived.key] = clock.now
        take(flow, committed, arrived)
    clock.now += chance.choice(PAUSES)
    look()
    rows = {key: expected_row(arrivals, clock.now) for key, arrivals in known.items()}
    stored = {place: row for place, row in committed.values().items() if row["first_seen_at"] is not None}
    assert stored == {("user", key): row for key, row in rows.items() if row is not None}, "but for rows of nobody"
    due = committed.sets.get(DUE.format(0), {}) | committed.sets.get(DUE.format(1), {})
    assert due.keys() <= {key for _, key in committed.rows}
    never = {key for _, key in committed.rows} - due.keys()
    assert all(any((rows[key] or {}).get(name) is False for name in WITHHELD) for key in never)
    standings = [user.standing for user in committed.stored([key for _, key in committed.rows]).values()]
    counted: Counter[str] = Counter()
    for partition in committed.population(PARTITIONS):
        counted.update(partition)
    assert {name: number for name, number in counted.items() if number} == changes((None, each) for each in standings)


class ForgetsWhoeverIsDue(FoldPeople):
    def _is_forgotten(self, user: User, person: User, now: int) -> bool:
        return True


class ForgetsByAge(FoldPeople):
    def _is_forgotten(self, user: User, person: User, now: int) -> bool:
        return not user.is_consent_withheld() and now >= user.last.get("first_seen_at", 0) + TTL


class ForgetsNobody(FoldPeople):
    def _is_forgotten(self, user: User, person: User, now: int) -> bool:
        return False


def test_idle_users_are_forgotten() -> None:
    holds(idle_users_are_forgotten, FoldPeople)


@pytest.mark.parametrize("mutant", [ForgetsWhoeverIsDue, ForgetsByAge, ForgetsNobody])
def test_who_forgets_others_is_caught(mutant: type[FoldPeople]) -> None:
    assert fails(idle_users_are_forgotten, mutant)


@pytest.mark.parametrize(
    ("place", "name", "instead"),
    [
        (User, "is_consent_withheld", lambda user: False),
        (StateTable, "renew", lambda table, key: None),
    ],
    ids=["forgets a no", "goes on with what is deleted"],
)
def test_what_forgets_wrongly_is_caught(place: Any, name: str, instead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, name, instead)
    assert fails(idle_users_are_forgotten, FoldPeople)


def idle_for(days: int, **parts: Any) -> tuple[Committed, Clock, People]:
    """A user who bought something that many days ago."""
    committed, clock = Committed(), Clock()
    flow = process(committed, clock, **parts)
    take(flow, committed, an_event(event_id="before", type="purchase", item_id="p1", price=5))
    clock.now += days * DAY
    return committed, clock, flow


def test_an_event_that_was_read_before_keeps_the_user() -> None:
    committed, clock, flow = idle_for(100)
    waiting: list[Aggregated] = []
    flow.commit = waiting.append
    take(flow, committed, an_event(event_id="now", item_id="p2", occurred_at=clock.now))
    flow.expire()  # what is due is still what was due before
    for result in waiting:
        committed.commit(result)
    row = committed.values()["user", "u1"]
    assert (row["views_1h"], row["purchased_items"]) == (1, ["p1"])


@pytest.mark.parametrize("reads_again", [False, True], ids=["once", "due again before it is stored"])
def test_an_event_that_comes_while_the_user_is_being_forgotten_is_the_first_of_a_new_one(reads_again: bool) -> None:
    committed, clock, flow = idle_for(100)
    waiting: list[Aggregated] = []
    flow.commit = waiting.append
    flow.expire()
    if reads_again:
        flow.expire()
    take(flow, committed, an_event(event_id="now", item_id="p2", occurred_at=clock.now))
    for result in waiting:
        committed.commit(result)
    row = committed.values()["user", "u1"]
    assert (row["views_1h"], row["purchased_items"], row["first_seen_at"]) == (1, [], clock.now // 1_000_000)
    assert committed.outcomes["applied"] == 2
    assert "u1" in committed.sets[DUE.format(partition_of("u1", PARTITIONS))]


def test_without_a_term_nobody_is_forgotten_and_nobody_stays_due() -> None:
    committed, clock, flow = idle_for(5000, state_ttl=0)
    until_settled(flow, committed, clock)
    assert committed.values()["user", "u1"]["purchased_items"] == ["p1"]
    assert not any(members for name, members in committed.sets.items() if name.startswith("due"))


def test_history_makes_nobody_go_and_leaves_that_to_the_flow() -> None:
    committed, clock = Committed(), Clock()
    flow = process(committed, clock, history=True)
    take(flow, committed, an_event(event_id="e1", item_id="p1", occurred_at=NOW - 3 * TTL))
    for _ in range(3):
        clock.now += 2 * DAY
        flow.expire()
    take(flow, committed, an_event(event_id="e2", item_id="p2", occurred_at=NOW - TTL // 2))
    assert committed.values()["user", "u1"]["recent_items"] == ["p2", "p1"]
    until_settled(process(committed, clock), committed, clock)
    assert ("user", "u1") in committed.rows
    clock.now = NOW + TTL
    until_settled(process(committed, clock), committed, clock)
    assert committed.rows == {}


def settle(flow: People, times: int = 6) -> None:
    for _ in range(times):
        flow.expire()


def test_what_a_device_does_keeps_its_user() -> None:
    committed, clock = Committed(), Clock()
    flow = process(committed, clock)
    take(flow, committed, an_event(event_id="e1", type="identify", user_id="u1", anonymous_id="d1"))
    settle(flow)
    for number in range(4):
        clock.now += 60 * DAY
        device = {"user_id": None, "anonymous_id": "d1", "occurred_at": clock.now}
        take(flow, committed, an_event(event_id=f"d{number}", item_id=f"p{number}", **device))
        settle(flow)
    assert committed.values()["user", "u1"]["recent_items"] == ["p3", "p2", "p1", "p0"]
    clock.now += 101 * DAY
    settle(flow)
    assert committed.rows == {}
    assert not any(members for name, members in committed.sets.items() if name.startswith("due"))


def test_a_device_that_is_forgotten_takes_nothing_from_its_user() -> None:
    committed, clock = Committed(), Clock()
    flow = process(committed, clock)
    device = {"user_id": None, "anonymous_id": "d1"}
    take(flow, committed, an_event(event_id="e1", type="identify", user_id="u1", anonymous_id="d1"))
    take(flow, committed, an_event(event_id="e2", item_id="p1", **device))
    settle(flow)
    for number in range(4):
        clock.now += 60 * DAY
        take(flow, committed, an_event(event_id=f"u{number}", item_id="p2", occurred_at=clock.now))
        settle(flow)
    assert {key for _, key in committed.rows} == {"u1"}
    assert committed.values()["user", "u1"]["recent_items"] == ["p2", "p1"]


def test_an_alias_that_is_forgotten_and_named_again_takes_nothing_from_its_user() -> None:
    committed, clock = Committed(), Clock()
    flow = process(committed, clock)
    take(flow, committed, an_event(event_id="e1", type="add_to_wishlist", user_id="old", item_id="p1"))
    for number in range(4):
        named = {"type": "identify", "properties": {"previous_id": "old"}, "occurred_at": clock.now}
        take(flow, committed, an_event(event_id=f"u{number}", **named))
        settle(flow)
        assert committed.values()["user", "u1"]["wishlist_items"] == ["p1"]
        assert number < 2 or not committed.stored(["old"])["old"].wishes.newest()
        clock.now += 60 * DAY
        settle(flow)
