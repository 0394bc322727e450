"""Identity: devices, users and aliases over several processes that share nothing but Redis, against the oracle."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import strategies as st

from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates import identity as who
from dataflows.aggregates.identity import Identity, Links, Part
from dataflows.aggregates.people import User
from dataflows.events import Event, partition_of
from dataflows.identities import Identities
from dataflows.inbox import INBOX_KEY
from dataflows.stages import Aggregated, Received
from tests.given import FACTS, NOW, USER_TYPES, histories, lists_of, nows, seeds
from tests.unit.dataflows.doubles import MANY, Clock, Committed, People
from tests.unit.dataflows.oracle import Arrival
from tests.unit.dataflows.oracle_identity import rows
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import written

ROUNDS: Final = 60
"""Ticks after which every message has arrived, whatever the aliases."""

KINDS: Final = (
    "view", "view", "view", "add_to_cart", "remove_from_cart", "purchase", "refund", "click", "profile",
    "identify", "identify", "identify", "sign_up", "email_click", *USER_TYPES,
)  # fmt: skip
WHO: Final = (
    (None, "d1"), (None, "d1"), (None, "d1"), (None, "d2"), ("u1", None), ("u2", None), ("u3", None),
    ("u1", "d1"), ("u1", "d1"), ("u2", "d1"), ("u2", "d2"), ("u3", "d2"),
)  # fmt: skip
PREVIOUS: Final = (None, None, None, None, None, "u1", "u2", "u3", "d1", "d2")


def told(events: list[Event], people: list[tuple[Any, ...]]) -> list[Event]:
    """The events as those people's; some that named no user come once more and name one."""
    story = []
    for number, event in enumerate(events):
        (user, device), previous, again = people[number] if number < len(people) else (WHO[0], None, None)
        said = {"previous_id": previous} if event.type == "identify" and user and previous else {}
        told_ = msgspec.structs.replace(
            event, user_id=user, anonymous_id=device, properties={**event.properties, **said}
        )
        story.append(told_)
        if again and user is None:
            story.append(msgspec.structs.replace(told_, user_id=again))
    return story


STORIES: Final = st.builds(
    told, histories(most=16, kinds=KINDS), lists_of(16, WHO, PREVIOUS, (None, None, None, None, "u1", "u2"))
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
            world.committed, world.clock, world.partitions, owned=self.owned, commit=self.pending.append,
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
        if chance.random() < 0.3:
            self.flow.expire()
            return
        partition = chance.choice(self.owned)
        at = self.places[partition]
        values = self.world.streams[partition][at : at + chance.choice((1, 1, 2, 5))]
        self.places[partition] = at + len(values)
        self.flow.take([Received(partition, list(range(at, at + len(values))), values)], FACTS)

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
        self.partitions = chance.choice((1, 2, 3, 5))
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
        for _ in range(3 * self.number):
            process = chance.choice(self.processes)
            process.step()
            if chance.random() < 0.1:
                process.commit(chance.randrange(len(process.pending) + 1))
                process.begin()
            elif self.capacity < MANY or chance.random() < 0.7:
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
        for _ in range(ROUNDS):
            for process in self.processes:
                process.flow.expire()
                process.commit()
            if not any(self.committed.streams.values()):
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
    assert found == {key: expected[key] for key in found}
    assert world.committed.received == sum(world.committed.outcomes.values()) == world.number
    world.clock.now = later
    world.settle()
    expected = rows(arrivals, FACTS, later)
    assert world.rows() == {key: expected[key] for key in found}


def test_every_row_equals_the_oracle() -> None:
    holds(every_row_equals_the_oracle, OURS)
