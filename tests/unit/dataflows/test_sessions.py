"""Sessions and what follows from them: against the oracle, in any order, across readings, packing and time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import pytest
from hypothesis import strategies as st

from dataflows.aggregates.baskets import EVERYTHING, Cart
from dataflows.aggregates.packing import Writer
from dataflows.aggregates.sessions import GAP, MOST_ITEMS, PROLONGING, STALE, Derived, Session, Sessions
from dataflows.events import DAY, EVENT_TYPES, HOUR, MINUTE, Event, Line
from tests.given import NOW, an_event, lists_of, seeds
from tests.unit.dataflows import oracle_sessions as oracle
from tests.unit.dataflows.oracle_sessions import Reading
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.storing import packed, read_again

IDLE: Final = HOUR
GAPS: Final = (
    0, 1, MINUTE, 10 * MINUTE, 20 * MINUTE, GAP - 1, GAP, GAP + 1, 45 * MINUTE, HOUR - 1, HOUR, HOUR + 1, 5 * HOUR,
    DAY - GAP, DAY, DAY + GAP + 1, 3 * DAY,
)  # fmt: skip
WITHIN: Final = (0, 1, MINUTE, 5 * MINUTE, 20 * MINUTE, GAP - 1, GAP)
OFTEN: Final = ("view", "view", "view", "add_to_cart", "add_to_cart", "remove_from_cart", "purchase", "search")
KINDS: Final = (*OFTEN, *OFTEN, *(kind for kind in EVENT_TYPES if kind != "item"))
ITEMS: Final = (("a",), ("b",), ("c",), (), ("b", "a"))
LATER: Final = (None, None, None, 0, 1, MINUTE, GAP, GAP + 1, HOUR - 1, HOUR, DAY + HOUR, DAY + HOUR + 1, 9 * DAY)
"""How long after an event a row is read, if at all; never after the next event, which was not there yet."""


class Person:
    """A user as far as sessions are concerned: what a wiring does, with a cart beside."""

    def __init__(self, sessions: type[Sessions]) -> None:
        self._sessions = sessions
        self.state, self.cart = sessions(), Cart()
        self.told: list[Derived] = []

    def apply(self, event: Event) -> None:
        for line in event.lines():
            if event.type in ("add_to_cart", "remove_from_cart", "purchase"):
                self.cart.change(line.item_id, event.at, 1.0 if event.type == "add_to_cart" else EVERYTHING)
        self.state.observe(event, event.at)

    def read(self, now: int) -> int | None:
        told, due = self.state.passed(now, self.cart.items(), self.cart.updated_at, IDLE)
        assert told == sorted(told, key=lambda each: each.occurred_at)
        self.told += told
        return due

    def stored(self) -> None:
        self.state = read_again(self.state)


def made(number: int, kind: str, at: int, items: Sequence[str]) -> Event:
    if len(items) == 1:
        return an_event(event_id=f"e{number}", type=kind, occurred_at=at, item_id=items[0])
    return an_event(event_id=f"e{number}", type=kind, occurred_at=at, items=tuple(Line(item) for item in items))


def in_order(steps: Iterable[tuple[Any, ...]]) -> list[Event]:
    """Events one after the other, each some time after the one before, up to about NOW."""
    events, at = [], NOW
    for number, (gap, kind, items, *_) in enumerate(steps):
        at += gap
        events.append(made(number, kind, at, items))
    return events


def plain(told: Iterable[Derived]) -> list[tuple[Any, ...]]:
    return sorted(map(tuple, told), key=repr)


def kinds_of(person: Person) -> list[str]:
    return [each.type for each in person.told]


@for_all(
    steps=lists_of(14, GAPS, KINDS, ITEMS, LATER, (False, False, True)),
    after=st.sampled_from((0, GAP, GAP + 1, HOUR, DAY + GAP, DAY + HOUR + 1)),
)
def tells_what_the_oracle_tells(sessions: type[Sessions], steps: list[tuple[Any, ...]], after: int) -> None:
    """Events come in order of time; rows are read, and states stored, wherever it happens."""
    events, readings, person = in_order(steps), [], Person(sessions)
    for place, (event, (*_, later, stored)) in enumerate(zip(events, steps, strict=True)):
        person.apply(event)
        if stored:
            person.stored()
        if later is not None:
            now = min(event.at + later, *(each.at for each in events[place + 1 : place + 2]), event.at + 99 * DAY)
            readings.append(Reading(now, place + 1))
            person.read(now)
            if stored:
                person.stored()
    if events:
        readings.append(Reading(events[-1].at + after, len(events)))
        person.read(readings[-1].now)
    assert plain(person.told) == sorted(oracle.told(events, readings, IDLE), key=repr)


class ShorterPause(Sessions):
    gap = GAP - 1


class LongerPause(Sessions):
    gap = GAP + 1


class NothingIsStale(Sessions):
    stale = 10**18


class StaleABitEarly(Sessions):
    stale = STALE - 1


class OneCartAPerson(Sessions):
    """A cart that was told of is not armed again."""

    def passed(self, *arguments: Any) -> Any:
        before = self.settled_at
        answer = super().passed(*arguments)
        if any(each.type == "cart_abandoned" for each in answer[0]) and self.settled_at != before:
            self.settled_at = 10**18
        return answer


class PurchasesCancelNothing(Sessions):
    def observe(self, event: Event, at: int) -> None:
        settled_at = self.settled_at
        super().observe(event, at)
        self.settled_at = settled_at


class ForgetsWhatItTold(Sessions):
    """Emits twice after unpacking."""

    def write(self, to: Writer) -> Any:
        for session in self.known:
            session.ended = False
        return super().write(to)


class ForgetsThatTheCartWasTold(Sessions):
    def write(self, to: Writer) -> Any:
        self.settled_at = 0
        return super().write(to)


class ForgetsTheEarlier(Sessions):
    def write(self, to: Writer) -> Any:
        self.known = self.known[-1:]
        return super().write(to)


class MailsProlong(Sessions):
    def observe(self, event: Event, at: int) -> None:
        super().observe(msgspec.structs.replace(event, type="click") if event.type == "email_open" else event, at)


class EverythingIsViewed(Sessions):
    def observe(self, event: Event, at: int) -> None:
        super().observe(event, at)
        if event.type == "search" and event.item_id and not self.known[-1].ended:
            self.known[-1].look(event.item_id, at)


def test_what_is_told_is_what_the_oracle_tells() -> None:
    holds(tells_what_the_oracle_tells, Sessions)


@pytest.mark.parametrize(
    "mutant",
    [
        ShorterPause, LongerPause, NothingIsStale, StaleABitEarly, OneCartAPerson, PurchasesCancelNothing,
        ForgetsWhatItTold, ForgetsThatTheCartWasTold, ForgetsTheEarlier, MailsProlong, EverythingIsViewed,
    ],
)  # fmt: skip
def test_telling_wrongly_is_caught(mutant: type[Sessions]) -> None:
    assert fails(tells_what_the_oracle_tells, mutant)


@for_all(steps=lists_of(14, WITHIN, KINDS, ITEMS), seed=seeds())
def is_one_session_in_any_order(sessions: type[Sessions], steps: list[tuple[Any, ...]], seed: int) -> None:
    """A micro-batch of any order; where it spans no more than a pause, several of them with readings in between."""
    chance = random.Random(seed)
    events = in_order(steps)
    present = [event.at for event in events if event.type in oracle.PRESENT]
    person = Person(sessions)
    for event in chance.sample(events, len(events)):
        person.apply(event)
        if chance.random() < 0.2:
            person.stored()
        if present and present[-1] - present[0] <= GAP and chance.random() < 0.2:
            person.read(chance.randint(present[-1], present[0] + GAP))
    person.read(NOW + DAY)
    ended = [each.properties for each in person.told if each.type == "session_ended"]
    whole = [oracle.ending(session) for session in oracle.visits(events)]
    assert ended == whole
    started = [each for each in person.told if each.type == "session_started"]
    assert len(started) == len(whole)


class NeverJoins(Sessions):
    def _place(self, at: int) -> Session | None:
        before = list(self.known)
        session = super()._place(at)
        if len(self.known) < len(before):
            assert session is not None
            session.pages = max(0, session.pages - 1)
        return session


class StartsWhereItBegan(Sessions):
    def _place(self, at: int) -> Session | None:
        started_at = self.known[-1].started_at if self.known else at
        session = super()._place(at)
        if session is not None:
            session.started_at = max(started_at, session.started_at)
        return session


class LastIsWhatCameLast(Sessions):
    def observe(self, event: Event, at: int) -> None:
        super().observe(event, at)
        if event.type in PROLONGING and self.known:
            self.known[-1].last_at = max(at, self.known[-1].started_at)


def test_a_session_is_the_same_in_whatever_order_it_arrives() -> None:
    holds(is_one_session_in_any_order, Sessions)


@pytest.mark.parametrize("mutant", [NeverJoins, StartsWhereItBegan, LastIsWhatCameLast, ShorterPause])
def test_order_that_counts_is_caught(mutant: type[Sessions]) -> None:
    assert fails(is_one_session_in_any_order, mutant)


@for_all(steps=lists_of(20, GAPS, KINDS, ITEMS), seed=seeds())
def tells_nothing_twice(sessions: type[Sessions], steps: list[tuple[Any, ...]], seed: int) -> None:
    """Whatever the order, lateness, readings and storing; what began has ended, and order moves no due time."""
    chance = random.Random(seed)
    events = in_order(steps)
    person, now = Person(type("Untiring", (sessions,), {"stale": 10**18})), NOW
    arrived: list[Event] = []
    for event in sorted(events, key=lambda event: event.at + chance.choice((0, 0, 0, HOUR, 5 * HOUR, DAY))):
        now = max(now, event.at)
        person.apply(event)
        arrived.append(event)
        if chance.random() < 0.5:
            now += chance.choice((0, 0, MINUTE, GAP, HOUR))
            assert person.read(now) == oracle.due(arrived, now, IDLE)
        if chance.random() < 0.3:
            person.stored()
    person.read(now + HOUR + GAP)
    moments = [(each.type, each.occurred_at) for each in person.told]
    assert len(moments) == len(set(moments))
    assert kinds_of(person).count("session_ended") == kinds_of(person).count("session_started")


class ForgetsWhatIsOver(Sessions):
    """An event of a session that was told to be over makes one anew."""

    def _place(self, at: int) -> Session | None:
        self.known = [session for session in self.known if not session.ended]
        return super()._place(at)


def test_nothing_is_told_twice() -> None:
    holds(tells_nothing_twice, Sessions)


@pytest.mark.parametrize("mutant", [ForgetsWhatItTold, ForgetsThatTheCartWasTold, ForgetsWhatIsOver])
def test_telling_twice_is_caught(mutant: type[Sessions]) -> None:
    assert fails(tells_nothing_twice, mutant)


@for_all(steps=lists_of(14, GAPS, KINDS, ITEMS))
def tells_at_once_when_read_when_due(sessions: type[Sessions], steps: list[tuple[Any, ...]]) -> None:
    """Read when an event comes, and when time alone brings something: then everything is told at its moment."""
    events, person = in_order(steps), Person(sessions)
    clocks: list[int] = []

    def read(now: int) -> int | None:
        before = len(person.told)
        due = person.read(now)
        assert due is None or due > now
        clocks.extend([now] * (len(person.told) - before))
        return due

    due: int | None = None
    for event in events:
        while due is not None and due < event.at:
            due = read(due)
        person.apply(event)
        due = read(event.at)
    for _ in range(3):
        due = None if due is None else read(due)
    assert due is None
    moments = [each.occurred_at + (each.type in ("session_ended", "browse_abandoned")) for each in person.told]
    assert clocks == moments
    times = {event.at for event in events}
    timers = {at + after for at in times for after in (GAP + 1, IDLE)} - times
    readings = [Reading(event.at, place + 1) for place, event in enumerate(events)]
    readings += [Reading(now, sum(event.at < now for event in events)) for now in timers]
    every = oracle.told(events, sorted(readings, key=lambda reading: (reading.arrived, reading.now)), IDLE)
    assert plain(person.told) == sorted(every, key=repr)


class DueTooLate(Sessions):
    def passed(self, *arguments: Any) -> Any:
        told, due = super().passed(*arguments)
        return told, None if due is None else due + 1


class CartsAreNeverDue(Sessions):
    def passed(self, now: int, items: list[str], updated_at: int | None, idle: int) -> Any:
        told, due = super().passed(now, items, updated_at, idle)
        return told, None if due is not None and updated_at is not None and due == updated_at + idle else due


def test_what_is_due_is_told_at_its_moment() -> None:
    holds(tells_at_once_when_read_when_due, Sessions)


@pytest.mark.parametrize("mutant", [DueTooLate, CartsAreNeverDue, LongerPause, OneCartAPerson])
def test_what_is_told_at_another_time_is_caught(mutant: type[Sessions]) -> None:
    assert fails(tells_at_once_when_read_when_due, mutant)


LOOKS = lists_of(130, range(70), range(50))


@for_all(looks=LOOKS, seed=seeds())
def lists_the_newest_thirty(sessions: type[Sessions], looks: list[tuple[int, int]], seed: int) -> None:
    chance = random.Random(seed)
    person = Person(sessions)
    events = [made(n, "view", NOW + minute * MINUTE // 10, (f"i{item}",)) for n, (item, minute) in enumerate(looks)]
    for event in chance.sample(events, len(events)):
        if chance.random() < 0.1:
            person.stored()
        person.apply(event)
        if chance.random() < 0.1:
            person.read(NOW)
            assert len(person.state.known[0].items) <= 2 * MOST_ITEMS
    person.read(NOW + HOUR)
    listed = [each.properties["items"] for each in person.told if each.type == "browse_abandoned"]
    assert listed == ([oracle.viewed(events)] if looks else [])


class OneTooFew(Sessions):
    def write(self, to: Writer) -> Any:
        for session in self.known:
            session.items = {item: session.items[item] for item in session.newest()[: MOST_ITEMS - 1]}
        return super().write(to)


class KeepsThoseMetFirst(Sessions):
    def passed(self, *arguments: Any) -> Any:
        answer = super().passed(*arguments)
        for session in self.known:
            session.items = dict(list(session.items.items())[:MOST_ITEMS])
        return answer


def test_the_newest_thirty_items_are_exact_whatever_the_order() -> None:
    holds(lists_the_newest_thirty, Sessions)


@pytest.mark.parametrize("mutant", [OneTooFew, KeepsThoseMetFirst])
def test_items_that_are_lost_are_caught(mutant: type[Sessions]) -> None:
    assert fails(lists_the_newest_thirty, mutant)


def test_the_items_of_a_session_are_cut_to_the_newest_once_they_are_more_than_twice_as_many_as_are_listed() -> None:
    person = Person(Sessions)
    for number in range(2 * MOST_ITEMS):
        person.apply(made(number, "view", NOW + number, (f"i{number}",)))
    person.read(NOW + MINUTE)
    assert len(person.state.known[0].items) == 2 * MOST_ITEMS
    person.apply(made(999, "view", NOW + 2 * MOST_ITEMS, (f"i{2 * MOST_ITEMS}",)))
    person.read(NOW + MINUTE)
    assert set(person.state.known[0].items) == {f"i{number}" for number in range(MOST_ITEMS + 1, 2 * MOST_ITEMS + 1)}


def test_types_that_prolong_a_session_are_those_of_the_page() -> None:
    assert set(PROLONGING) == set(oracle.PRESENT) <= set(EVENT_TYPES)
    person = Person(Sessions)
    for kind in set(EVENT_TYPES) - set(PROLONGING):
        person.apply(made(0, kind, NOW, ("a",)))
    assert (person.read(NOW), person.told, person.state.known) == (None, [], [])


def a_person(*events: tuple[str, int]) -> Person:
    person = Person(Sessions)
    for number, (kind, minutes) in enumerate(events):
        person.apply(made(number, kind, NOW + minutes * MINUTE, ("a",)))
    return person


def test_what_was_told_is_not_taken_back_by_a_late_event() -> None:
    person = a_person(("view", 0))
    person.read(NOW + GAP + 1)
    assert kinds_of(person) == ["session_started", "session_ended", "browse_abandoned"]
    person.apply(made(1, "add_to_cart", NOW + 20 * MINUTE, ("a",)))
    assert person.read(NOW + 40 * MINUTE) == NOW + 20 * MINUTE + GAP + 1
    assert person.read(NOW + 20 * MINUTE + GAP + 1) == NOW + 80 * MINUTE
    person.read(NOW + 80 * MINUTE)
    assert kinds_of(person)[3:] == ["cart_abandoned"]


def test_an_event_older_than_what_was_read_changes_nothing() -> None:
    person = a_person(("view", 60))
    person.read(NOW + 60 * MINUTE)
    before = packed(person.state)
    person.apply(made(1, "add_to_cart", NOW + 30 * MINUTE - 1, ("b",)))
    assert packed(person.state) == before
    person.apply(made(2, "view", NOW + 30 * MINUTE, ("b",)))
    assert person.state.known[0].started_at == NOW + 30 * MINUTE


def test_a_purchase_of_no_item_that_is_named_cancels_too() -> None:
    person = a_person(("add_to_cart", 0))
    person.apply(made(1, "purchase", NOW, ()))
    person.read(NOW + DAY)
    assert "cart_abandoned" not in kinds_of(person)
    person.apply(made(2, "add_to_cart", NOW + DAY, ("b",)))
    person.read(NOW + DAY + HOUR)
    abandoned = Derived("cart_abandoned", NOW + DAY + HOUR, {"items": ["b", "a"], "updated_at": NOW + DAY})
    assert [each for each in person.told if each.type == "cart_abandoned"] == [abandoned]


def test_what_is_dropped_counts_as_told() -> None:
    person = a_person(("view", 0), ("add_to_cart", 1))
    person.state.passed(NOW + DAY, ["a"], NOW + MINUTE, IDLE)
    assert person.read(NOW + 2 * DAY) is None
    assert person.told == []


def test_a_state_is_small_once_its_session_is_over() -> None:
    person = Person(Sessions)
    for number in range(200):
        person.apply(made(number, "view", NOW + number, (f"item-{number}",)))
    assert len(packed(person.state)) < 600
    person.read(NOW + HOUR)
    person.apply(made(999, "view", NOW + 300, ("late",)))
    assert person.state.known[0].items == {}
    assert len(packed(person.state)) < 30
    assert Sessions().write(Writer()) is None
