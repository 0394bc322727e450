"""Identity: devices, users and aliases over several processes that share nothing but Redis, against the oracle."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import strategies as st

from dataflows import aggregate_people
from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates import merging
from dataflows.aggregates.identity import Identity, Links, Part
from dataflows.aggregates.people import User
from dataflows.aggregates.seen import SeenByUser
from dataflows.events import Event, partition_of
from dataflows.identities import Identities
from dataflows.inbox import INBOX_KEY
from dataflows.stages import Aggregated, Received
from tests.given import FACTS, NOW, histories, lists_of, nows, seeds
from tests.unit.dataflows.doubles import MANY, Clock, Committed, People
from tests.unit.dataflows.oracle import Arrival
from tests.unit.dataflows.oracle_identity import rows
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import written

ROUNDS: Final = 60
"""Ticks after which every message has arrived, whatever the aliases."""

KINDS: Final = (
    "view", "view", "view", "add_to_cart", "remove_from_cart", "purchase", "refund", "custom", "profile",
    "identify", "identify", "identify", "identify", "identify", "sign_up", "email_click",
)  # fmt: skip
WHO: Final = (
    (None, "d1"), (None, "d1"), (None, "d1"), (None, "d2"), ("u1", None), ("u2", None), ("u3", None),
    ("u1", "d1"), ("u1", "d1"), ("u2", "d1"), ("u2", "d2"), ("u3", "d2"),
)  # fmt: skip
PREVIOUS: Final = (None, None, "u1", "u2", "u3", "d1", "d2")


def told(events: list[Event], people: list[tuple[Any, ...]]) -> list[Event]:
    """The events as those people's; some at one moment, some that named no user come once more and name one."""
    story: list[Event] = []
    for number, event in enumerate(events):
        (user, device), previous, again, at_once = people[number] if number < len(people) else (WHO[0], None, None, 0)
        said = {"previous_id": previous} if event.type == "identify" and user and previous else {}
        told_ = msgspec.structs.replace(
            event,
            user_id=user,
            anonymous_id=device,
            properties={**event.properties, **said},
            occurred_at=story[-1].at if story and at_once else event.at,
        )
        story.append(told_)
        if again and user is None:
            story.append(msgspec.structs.replace(told_, user_id=again))
    return story


STORIES: Final = st.builds(
    told, histories(most=16, kinds=KINDS), lists_of(16, WHO, PREVIOUS, (None, None, "u1", "u2"), (False, True))
)


class Process:
    """One process of the people flow; what it folded is committed when it pleases, and lost if it dies before."""

    def __init__(self, world: World, owned: list[int]) -> None:
        self.world, self.owned = world, owned
        self.begin()

    def begin(self) -> None:
        """Start, and read again from somewhere before what was committed."""
        world = self.world
        self.pending: list[Aggregated] = []
        self.flow = People(
            world.committed, world.clock, world.partitions, owned=self.owned, commit=self.keep,
            fold=world.fold, identities=world.identities, capacity=world.capacity,
        )  # fmt: skip
        self.places = {}
        for partition in self.owned:
            offset = world.committed.offsets.get(partition, -1)
            self.places[partition] = max(-1, offset - world.chance.choice((0, 0, 1, 5))) + 1
        self.flow.take([Received(partition, [], []) for partition in self.owned], FACTS)

    def step(self) -> None:
        """Read a micro-batch, or let the timers ring."""
        chance = self.world.chance
        if chance.random() < 0.5:
            self.flow.expire()
            return
        partition = chance.choice(self.owned)
        at = self.places[partition]
        values = self.world.streams[partition][at : at + chance.choice((1, 1, 2, 5))]
        self.places[partition] = at + len(values)
        self.flow.take([Received(partition, list(range(at, at + len(values))), values)], FACTS)

    def keep(self, result: Aggregated) -> None:
        """Without a cache everything must be stored before the next partition's turn."""
        self.pending.append(result)
        if self.world.capacity < MANY:
            self.commit()

    def commit(self, some: int = MANY) -> None:
        """Store what was folded, or the first of it."""
        for result in self.pending[:some]:
            self.world.committed.commit(result)
        del self.pending[:some]


class World:
    """A stream, and the processes that share its partitions."""

    def __init__(self, subject: Subject, story: list[Event], seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.fold, self.identities = subject
        self.committed, self.clock = Committed(), Clock()
        self.partitions = chance.choice((1, 2, 3, 13))
        self.capacity = chance.choice((0, MANY))
        arrivals = [event for event in story for _ in range(chance.choice((1, 1, 1, 2)))]
        chance.shuffle(arrivals)
        self.streams: dict[int, list[bytes]] = {partition: [] for partition in range(self.partitions)}
        for event in arrivals:
            self.streams[partition_of(event.key, self.partitions)].append(written(event))
        self.number = len(arrivals)
        owners = chance.choice((1, 2, self.partitions))
        shares = [[p for p in range(self.partitions) if p % owners == n] for n in range(owners)]
        self.processes = [Process(self, share) for share in shares if share]

    def live(self) -> None:
        """Processes work in any order, and some die."""
        chance = self.chance
        for _ in range(4 * self.number):
            process = chance.choice(self.processes)
            process.step()
            if chance.random() < 0.1:
                process.commit(chance.randrange(len(process.pending) + 1))
                process.begin()
            elif chance.random() < 0.7:
                process.commit()

    def settle(self) -> None:
        """Read all that is left, and let the timers ring until nobody has anything more to tell."""
        for process in self.processes:
            process.commit()
            for partition in process.owned:
                at, values = process.places[partition], self.streams[partition]
                process.flow.take([Received(partition, list(range(at, len(values))), values[at:])], FACTS)
                process.places[partition] = len(values)
                process.commit()
        quiet = 0
        for _ in range(ROUNDS):
            for process in self.processes:
                process.flow.expire()
                process.commit()
            quiet = 0 if any(self.committed.streams.values()) else quiet + 1
            if quiet == 3:
                return
        raise AssertionError("they never stop telling each other")

    def rows(self) -> dict[str, Any]:
        return {key: row for (_, key), row in self.committed.values().items()}


Subject = tuple[type[FoldPeople], type[Identities]]
OURS: Final[Subject] = (FoldPeople, Identities)


@for_all(story=STORIES, seed=seeds(), later=nows())
def every_row_equals_the_oracle(subject: Subject, story: list[Event], seed: int, later: int) -> None:
    world = World(subject, story, seed)
    world.live()
    world.settle()
    arrivals = [Arrival(event, NOW) for event in story]
    expected = rows(arrivals, FACTS, NOW)
    found = world.rows()
    assert {key for key, row in expected.items() if row["first_seen_at"] is not None} <= set(found)
    assert found == {key: expected.get(key) for key in found}
    assert world.committed.received == sum(world.committed.outcomes.values()) == world.number
    world.clock.now = later
    world.settle()
    expected = rows(arrivals, FACTS, later)
    assert world.rows() == {key: expected[key] for key in found}


RESENT: Final = st.builds(
    told,
    histories(most=4, kinds=("view", "purchase", "identify")),
    lists_of(4, ((None, "d1"), (None, "d1"), ("u1", "d1")), (None,), ("u1",), (False,)),
)
"""Of one visitor, whose every event comes again with the user."""

every_row_of_one_visitor_equals_the_oracle = for_all(story=RESENT, seed=seeds(), later=nows())(
    every_row_equals_the_oracle.check
)


def test_every_row_equals_the_oracle() -> None:
    holds(every_row_equals_the_oracle, OURS)


def test_every_row_of_one_visitor_whose_events_come_again_equals_the_oracle() -> None:
    holds(every_row_of_one_visitor_equals_the_oracle, OURS)


class SaysItOutsideTheCommit(FoldPeople):
    """What it has to tell is sent after the commit, the next time it is called: a process that dies never does."""

    def fold(self, batches: Any, now: int) -> Any:
        return self._later(super().fold(batches, now))

    def expire(self, now: int) -> Any:
        return self._later(super().expire(now))

    def _later(self, results: list[Aggregated]) -> list[Aggregated]:
        client: Any = self._identities._inbox._client
        unsent = vars(self).setdefault("unsent", [])
        while unsent:
            command, key, *arguments = unsent.pop()
            client.run(command, key, arguments)
        for result in results:
            unsent += [command for command in result.commands if command[0] == "XADD"]
            result.commands = [command for command in result.commands if command[0] != "XADD"]
        return results


class TellsItsOwnProcessOnly(FoldPeople):
    """What is told goes from memory to memory, and reaches no partition that another process has."""

    def fold(self, batches: Any, now: int) -> Any:
        return self._within(super().fold(batches, now))

    def expire(self, now: int) -> Any:
        return self._within(super().expire(now))

    def _within(self, results: list[Aggregated]) -> list[Aggregated]:
        ours = vars(self._users).setdefault("partitions of this process", set())
        ours.add(INBOX_KEY.format(self._partition))
        for result in results:
            result.commands = [command for command in result.commands if command[0] != "XADD" or command[1] in ours]
        return results


class EmptiesTheInboxWhenItReads(Identities):
    def read(self) -> Any:
        messages = super().read()
        client: Any = self._inbox._client
        for command, key, *arguments in self.taken() if messages else ():
            client.run(command, key, arguments)
        return messages


class KeepsItToItself(Identities):
    """What changed for one id is not passed on to those it is an alias of."""

    def _replace(self, message: Any, user: User, origins: Any) -> bool:
        before = dict(self._told)
        changed = super()._replace(message, user, origins)
        self._told = before
        return changed


class TellsANewTargetOnlyOfItself(Identities):
    def _alias(self, message: Any, alias: User) -> bool:
        before = dict(self._told)
        known = super()._alias(message, alias)
        self._told = {**before, **{each: None for each in self._told if each not in before and each.part == message.to}}
        return known


class TellsNothingOfNewEvents(Identities):
    def changed(self, key: str, user: User) -> None:
        """Nothing."""


class LogsNothing(Identities):
    """An unknown visitor's events count for nobody else."""

    def _log(self, key: str, user: User, event: Event, facts: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    "mutant",
    [
        (SaysItOutsideTheCommit, Identities),
        (TellsItsOwnProcessOnly, Identities),
        (FoldPeople, EmptiesTheInboxWhenItReads),
        (FoldPeople, KeepsItToItself),
        (FoldPeople, TellsANewTargetOnlyOfItself),
        (FoldPeople, TellsNothingOfNewEvents),
        (FoldPeople, LogsNothing),
    ],
    ids=lambda mutant: next(each.__name__ for each in mutant if each not in OURS),
)
def test_a_message_that_gets_lost_is_caught(mutant: Subject) -> None:
    assert fails(every_row_equals_the_oracle, mutant)


def the_newest_user(links: Links, at: int) -> str:
    return max(links.pairs)[1]


def the_first_user(links: Links, at: int) -> str:
    return min(links.pairs)[1]


def nobody_before_the_link(links: Links, at: int) -> str:
    return max((pair for pair in links.pairs if pair[0] <= at), default=(0, ""))[1]


def whoever_was_first_of_a_moment(links: Links, at: int) -> str:
    before = [pair for pair in links.pairs if pair[0] <= at] or [min(links.pairs)]
    newest = max(before)[0]
    return min(user for moment, user in before if moment == newest)


@pytest.mark.parametrize(
    "owner", [the_newest_user, the_first_user, nobody_before_the_link, whoever_was_first_of_a_moment]
)
def test_another_rule_for_whose_an_event_is_is_caught(owner: Callable[..., str], monkeypatch: Any) -> None:
    monkeypatch.setattr(Links, "owner", owner)
    assert fails(every_row_equals_the_oracle, OURS)


def adds(identity: Identity, name: str, part: Part | None) -> bool:
    """What a part was stays beside what it is."""
    before = identity.parts.get(name, Part(0, []))
    if part is None or part == before:
        return False
    identity.parts[name] = Part(part.newest, [*before.entries, *part.entries], part.state)
    identity.folded = None
    return True


def without_a_look_at_what_the_user_did(user: User, identity: Identity, now: int) -> User:
    apart = User()
    return merging_fold(apart, identity, now)


merging_fold = merging._fold


@pytest.mark.parametrize(
    ("place", "name", "instead"),
    [
        (Identity, "replace", adds),
        (merging, "_fold", without_a_look_at_what_the_user_did),
        (aggregate_people, "whole", lambda user, now: user),
        (aggregate_people, "whole", lambda user, now: DueAsItself(user, now)),
    ],
    ids=["adds", "counts repeats twice", "ignores its parts", "due by itself"],
)
def test_a_whole_that_is_not_the_sum_of_its_parts_is_caught(
    place: Any, name: str, instead: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(place, name, instead)
    assert fails(every_row_equals_the_oracle, OURS)


def test_a_user_who_keeps_what_was_folded_before_the_event_came_again_is_caught(monkeypatch: Any) -> None:
    monkeypatch.setattr(SeenByUser, "is_disjoint", lambda ours, theirs: True)
    assert fails(every_row_of_one_visitor_equals_the_oracle, OURS)


class DueAsItself:
    """Its row is that of all its parts, its due time only its own."""

    def __init__(self, user: User, now: int) -> None:
        self.user, self.both = user, merging.whole(user, now)
        self.cart, self.last, self.is_consent_withheld = self.both.cart, self.both.last, user.is_consent_withheld
        self.cart_changed_at = self.both.cart_changed_at
        self.is_denied = self.both.is_denied

    def row(self, now: int) -> Any:
        return self.both.row(now)[0], self.user.row(now)[1]

    def numbers(self, now: int) -> Any:
        return self.both.numbers(now)[0], self.user.numbers(now)[1]
