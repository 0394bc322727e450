"""Processes that die anywhere on their way to Redis: in a read, before a commit, in the middle of one, or behind it.

The flows' own folds and their own store on a real Redis, without the engine around them. A life ends at some command:
it is never sent, half of it is, or all of it is, and the process is gone before it hears what came of it. The next one
knows no more than what Redis holds, and reads again from before it.
"""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec
import pytest
import redis
from hypothesis import strategies as st

from dataflows import items, people
from dataflows.aggregate_items import FoldItems
from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.items import COUNTED
from dataflows.connectors.letters import DeadLetters
from dataflows.connectors.redis_streams import connect
from dataflows.derived import DerivedStream
from dataflows.enrich import enrich
from dataflows.events import DAY, HOUR, MINUTE, Event, Refused, parse
from dataflows.lease import Lease
from dataflows.population import POPULATION_KEY
from dataflows.settings import FlowSettings, flow_settings
from dataflows.stages import Aggregated, Received
from dataflows.store import OFFSETS_KEY, OUTCOMES_KEY, Store
from dataflows.validate import Validate
from feature_repo.layout import ITEM, USER, EntityLayout
from tests.contract.redis_server import RedisServer
from tests.given import FACTS, NOW, histories, seeds
from tests.unit.dataflows.oracle import Arrival, item_stats, user_row
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import PARTITIONS, USERS, batched, spread, with_repeats

FLOWS: Final = ("people", "items")
LETTERS: Final = "dead_letters"
PLACES: Final = (0, 0, 1, 1, 2, 3, 4, 6, 9)
"""At which of its commits, or a third of its commands, a process dies."""
PAUSES: Final = (0, MINUTE, 31 * MINUTE, 5 * HOUR, DAY, 8 * DAY, 31 * DAY)


class Death(BaseException):
    """The process is no more: nothing that it would do about an error happens."""


class Fate:
    """When the process dies: at the n-th of its commands from now, or of its commits; before, amid or behind it."""

    left = -1
    how = ""
    commits_only = False

    def draw(self, chance: random.Random) -> None:
        self.commits_only = chance.random() < 0.7
        self.left = chance.choice(PLACES) * (1 if self.commits_only else 3)
        self.how = chance.choice(("before", "amid", "behind"))

    def is_now(self, command: bytes) -> bool:
        if self.commits_only and b"EXEC" not in command:
            return False
        self.left -= 1
        return self.left == -1


FATE: Final = Fate()


class Dying(redis.Connection):
    """A connection over which a process sends its last command."""

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        whole = command if isinstance(command, bytes) else b"".join(command)
        if not FATE.is_now(whole):
            super().send_packed_command(command, check_health)
            return
        if FATE.how != "before":
            some = whole[: len(whole) // 2] if FATE.how == "amid" else whole
            super().send_packed_command([some], check_health=False)
            self._sock.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                while self._sock.recv(65536):  # until Redis has done what it was sent, and hangs up
                    pass
        raise Death


class Made(NamedTuple):
    """What processes are made of: a mutant has another store."""

    client: redis.Redis
    settings: FlowSettings
    store: type[Store] = Store


class Life:
    """One process of both flows; `now` is its clock."""

    def __init__(self, made: Made, leases: Mapping[str, Lease], chance: random.Random, now: int) -> None:
        client = made.client
        self.now, self.stores, self.committed = now, dict[str, Store](), dict[str, dict[int, int]]()
        self._validate, self._chance = Validate(lambda: self.now, 5 * MINUTE, 10**9), chance
        for flow in FLOWS:
            self.stores[flow] = made.store(client, flow, leases[flow], DeadLetters(LETTERS, 10**6), lambda: self.now)
            self.committed[flow] = committed(client, flow)
        make = people.folds(client, made.settings, PARTITIONS)
        self.people: list[FoldPeople] = [make(self.committed["people"]) for _ in range(PARTITIONS)]
        self.items: FoldItems = items.folds(client, made.settings, range(PARTITIONS))(self.committed["items"], False)

    def wake(self) -> None:
        """An empty micro-batch a partition, so that timers run though no event comes."""
        for number in range(PARTITIONS):
            self._take("people", Received(number, [], []))

    def read(self, stream: list[bytes]) -> None:
        """Read from before what was committed to the end, the flows and the timers by turns."""
        chance = self._chance
        left = {}
        for flow in FLOWS:
            rewound = {at: max(-1, end - chance.choice((0, 0, 1, 9))) for at, end in self.committed[flow].items()}
            left[flow] = batched(stream, chance, rewound)
        while any(left.values()):
            flow = chance.choice([flow for flow in FLOWS if left[flow]])
            self._take(flow, left[flow].pop(0))
            if chance.random() < 0.2:
                self.expire()

    def expire(self) -> None:
        for fold in self.people:
            self._commit("people", fold.expire(self.now))
        self._commit("items", self.items.expire(self.now))

    def _take(self, flow: str, batch: Received) -> None:
        validated = self._validate(batch)
        if flow == "items":
            self._commit(flow, self.items.fold([validated], self.now))
        else:
            self._commit(flow, self.people[batch.partition].fold(enrich([validated], lambda _: FACTS), self.now))

    def _commit(self, flow: str, results: list[Aggregated]) -> None:
        if results:
            self.stores[flow].commit(*results)


def committed(client: redis.Redis, flow: str) -> dict[int, int]:
    """By partition, where a flow is."""
    found: Any = client.hgetall(OFFSETS_KEY.format(flow))
    return {number: int(found.get(b"%d" % number, -1)) for number in range(PARTITIONS)}


def one_after_another(
    life: Callable[[], Life], chance: random.Random, deaths: int, work: Callable[[Life], None]
) -> None:
    """Processes at the same work, of which the last one lives to its end."""
    for number in range(deaths + 1):
        process = life()
        if number < deaths:
            FATE.draw(chance)
        with suppress(Death):
            process.wake()
            work(process)
        FATE.left = -1


@for_all(story=histories(most=14, users=USERS), seed=seeds(), later=st.sampled_from(PAUSES))
def whatever_dies_the_features_are_those_of_the_events(made: Made, story: list[Event], seed: int, later: int) -> None:
    chance = random.Random(seed)
    made.client.flushall()
    stream = with_repeats(story, chance)
    leases = {flow: Lease(made.client, flow, range(PARTITIONS), 60) for flow in FLOWS}
    for lease in leases.values():
        lease.acquire()
    one_after_another(lambda: Life(made, leases, chance, NOW), chance, 2, lambda life: life.read(stream))
    one_after_another(lambda: Life(made, leases, chance, NOW + later), chance, 1, Life.expire)

    client: Any = made.client
    refused = sum(isinstance(parse(each, NOW), Refused) for each in stream)
    for flow in FLOWS:
        assert committed(client, flow) == {at: len(values) - 1 for at, values in spread(stream).items()}
        outcomes = {name.decode(): int(number) for name, number in client.hgetall(OUTCOMES_KEY.format(flow)).items()}
        assert outcomes.pop("received", 0) == sum(outcomes.values()) == len(stream)
        assert outcomes.get("refused", 0) == refused
    assert client.xlen(LETTERS) == refused

    arrivals = [Arrival(event, NOW) for event in story]
    customers: Counter[str] = Counter()
    for key in {event.key for event in story}:
        expected = user_row([each for each in arrivals if each.event.key == key], FACTS, NOW + later)
        assert_row(stored(client, USER, key), expected)
        if expected["orders_90d"]:
            customers[f"orders:{expected['orders_90d']}"] += 1
    counted: Counter[str] = Counter()
    for number in range(PARTITIONS):
        for name, more in client.zrange(POPULATION_KEY.format(number), 0, -1, withscores=True):
            counted[name.decode()] += int(more)
    assert {name: number for name, number in counted.items() if number and name.startswith("orders:")} == customers
    for item_id in {line.item_id for event in story if event.type in COUNTED for line in event.lines()}:
        assert_row(stored(client, ITEM, item_id), item_stats(arrivals, item_id, NOW + later))
    for due in (people.DUE_KEY.format(0), people.DUE_KEY.format(1), items.DUE_KEY):
        assert client.zcount(due, "-inf", NOW + later) == 0
    told = [raw for key in client.scan_iter("derived:*") for _, fields in client.xrange(key) for raw in fields.values()]
    assert len({msgspec.json.decode(raw)["event_id"] for raw in told}) == len(told)


def stored(client: redis.Redis, layout: EntityLayout, key: str) -> dict[str, Any]:
    """A row as it is in Redis."""
    found: Any = client.hgetall(layout.key(key))
    return layout.decode(found)[0]


def assert_row(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """What nothing is known of need not be there."""
    for name, value in expected.items():
        there = found.get(name)
        if isinstance(value, float):
            assert (there or 0.0) == pytest.approx(value, abs=1e-6), name
        else:
            assert there == value or (not value and not there), name


class OffsetFirst(Store):
    """Where the flow is is committed before what it wrote."""

    def commit(self, *batches: Aggregated) -> None:
        for batch in batches:
            super().commit(Aggregated(batch.owners, offsets=batch.offsets))
            super().commit(batch)


class RowsFirst(Store):
    """What it wrote is committed before what it counted, and where it is."""

    def commit(self, *batches: Aggregated) -> None:
        for batch in batches:
            super().commit(Aggregated(batch.owners, rows=batch.rows))
            batch.rows = []
            super().commit(batch)


class TriesAgain(Store):
    """A commit that nobody answered is sent once more by the next process, as a client with retries does."""

    unanswered: tuple[Aggregated, ...] = ()

    def commit(self, *batches: Aggregated) -> None:
        unanswered, TriesAgain.unanswered = TriesAgain.unanswered, ()
        if unanswered:
            super().commit(*unanswered)
        TriesAgain.unanswered = batches
        super().commit(*batches)
        TriesAgain.unanswered = ()


@pytest.fixture
def made(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    # Opening it is a connection of its own a process, and a fifth of the time of all this.
    monkeypatch.setattr(people, "open_derived", lambda settings: DerivedStream("derived", PARTITIONS))
    client = connect(server.url)
    client.connection_pool.connection_class = Dying
    yield Made(client, flow_settings({"INLAY_REDIS_URL": server.url}))
    FATE.left = -1
    client.close()


def test_whatever_dies_the_features_are_those_of_the_events(made: Made) -> None:
    holds(whatever_dies_the_features_are_those_of_the_events, made)


@pytest.mark.parametrize("store", [OffsetFirst, RowsFirst, TriesAgain])
def test_a_commit_that_is_not_one_is_caught(made: Made, store: type[Store]) -> None:
    TriesAgain.unanswered = ()
    assert fails(whatever_dies_the_features_are_those_of_the_events, made._replace(store=store))
