"""A Redis with N users, as the people flow leaves them: full rows, states of twelve events, due times.

A thousand users go through the product's own fold and store; the others are copies of their hashes under keys of
their own, so that a million take a minute. The events lie two to six days back: no number changes by itself for a day.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import redis

from dataflows.aggregate import DueSet
from dataflows.aggregate_people import FoldPeople, Partition
from dataflows.aggregates.effects import Fact
from dataflows.aggregates.people import User
from dataflows.connectors.letters import open_letters
from dataflows.connectors.redis_streams import connect
from dataflows.derived import DerivedStream
from dataflows.erased_ids import ErasedIds
from dataflows.events import DAY, HOUR, Event, Placed, partition_of
from dataflows.identities import Identities
from dataflows.inbox import Inbox
from dataflows.lease import Lease
from dataflows.people import DUE_KEY
from dataflows.population import Population, population_counts
from dataflows.settings import with_query
from dataflows.stages import Enriched, Validated
from dataflows.state import StateTable, user_states, user_table
from dataflows.store import Store
from feature_repo.layout import USER
from tests.integration.stand import PARTITIONS

PAST: Final = 12
MODELS: Final = 1000
ITEMS: Final = 400
CHUNK: Final = 2000
FACTS: Final = {f"item-{number}": Fact(f"Home/{number % 9}", number / 7) for number in range(ITEMS)}
TYPES: Final = ("view",) * 8 + ("click", "add_to_cart")


class PeopleInProcess(NamedTuple):
    """The people flow between its stream and its gate, in this process: states, folds and store on a real Redis."""

    users: StateTable[User]
    folds: dict[int, FoldPeople]
    store: Store

    def take(self, batches: Iterable[Enriched], now: int) -> None:
        """Fold micro-batches and commit what they come to."""
        for batch in batches:
            for result in self.folds[batch.batch.partition].fold([batch], now):
                self.store.commit(result)


class Model(NamedTuple):
    """A user to be copied: the hash as `DUMP` gives it, and when its row changes by itself."""

    dump: bytes
    due: float


def user_id(number: int) -> str:
    """The id of a user of the crowd."""
    return f"user-{number:07d}"


def clock() -> int:
    """Microseconds since 1970, now."""
    return time.time_ns() // 1000


def people_in_process(url: str, lease: Lease, capacity: int) -> PeopleInProcess:
    """The people flow on the Redis at `url`, with nothing in memory yet."""
    client = connect(url)
    users = user_table(user_states(client), capacity)
    stored = user_table(user_states(client), 0).peek
    population = Population(population_counts(client, range(PARTITIONS)))
    derived = DerivedStream("derived", PARTITIONS)

    def open_partition(number: int) -> Partition:
        identities = Identities(Inbox(client, number), stored, PARTITIONS, ErasedIds(client, number))
        return Partition(DueSet(client, DUE_KEY.format(number)), identities, derived.commands, population)

    nothing = dict.fromkeys(range(PARTITIONS), -1)
    folds = {number: FoldPeople(users, open_partition, nothing, cart_idle=HOUR) for number in range(PARTITIONS)}
    _, letters = open_letters(with_query(url, stream="dead_letters"), 1000)
    return PeopleInProcess(users, folds, Store(client, "people", lease, letters, clock))


def take_lease(url: str) -> Lease:
    """All partitions of the people flow, for as long as a benchmark may take."""
    lease = Lease(connect(url), "people", range(PARTITIONS), 3600)
    lease.acquire()
    return lease


def batches(events: Sequence[Event], first_offset: int) -> list[Enriched]:
    """Events as micro-batches, one a partition, with offsets from `first_offset`."""
    parts: defaultdict[int, list[Placed]] = defaultdict(list)
    for offset, event in enumerate(events, first_offset):
        parts[partition_of(event.key, PARTITIONS)].append((offset, event))
    return [
        Enriched(Validated(partition, placed[-1][0], placed, []), FACTS) for partition, placed in sorted(parts.items())
    ]


def models(client: redis.Redis, url: str) -> list[Model]:
    """The users to be copied, made by the product; Redis is left as it was found."""
    now, chance = clock(), random.Random(1)
    keys = [f"model-{number}" for number in range(MODELS)]
    events = [
        Event(
            event_id=f"{key}-{number}", type=chance.choice(TYPES), occurred_at=now - chance.randrange(2 * DAY, 6 * DAY),
            user_id=key, item_id=f"item-{chance.randrange(ITEMS)}", country="FR",
        )
        for key in keys
        for number in range(PAST)
    ]  # fmt: skip
    lease = take_lease(url)
    people_in_process(url, lease, MODELS).take(batches(events, 0), now)
    lease.release()
    found = []
    for key in keys:
        due = client.zscore(_due_key(key), key)
        found.append(Model(client.dump(USER.key(key)), due))
        client.zrem(_due_key(key), key)
        client.delete(USER.key(key))
    client.delete("inlay:offsets:people", "inlay:outcomes:people")
    return found


def populate(client: redis.Redis, users: Sequence[int], made: Sequence[Model]) -> None:
    """Store users of the crowd; one who is there already is put back to what he was.

    The file that Redis appends to is not rewritten meanwhile, nor later: a rewrite would fall into what is measured.
    """
    client.config_set("auto-aof-rewrite-percentage", 0)
    endings = [b"$1\r\n0\r\n$%d\r\n%s\r\n$7\r\nREPLACE\r\n" % (len(model.dump), model.dump) for model in made]
    connection = client.connection_pool.get_connection()
    try:
        for first in range(0, len(users), CHUNK):
            chunk = users[first : first + CHUNK]
            keys = [USER.key(user_id(number)) for number in chunk]
            connection.send_packed_command(
                b"*5\r\n$7\r\nRESTORE\r\n$%d\r\n%s\r\n%s" % (len(key), key, endings[number % len(made)])
                for number, key in zip(chunk, keys, strict=True)
            )
            for _ in chunk:
                connection.read_response()
            _set_due(client, chunk, made)
    finally:
        client.connection_pool.release(connection)


def _set_due(client: redis.Redis, users: Iterable[int], made: Sequence[Model]) -> None:
    due: defaultdict[str, list[Any]] = defaultdict(list)
    for number in users:
        key = user_id(number)
        due[_due_key(key)] += (made[number % len(made)].due, key)
    pipeline = client.pipeline(transaction=False)
    for name, scores in due.items():
        pipeline.execute_command("ZADD", name, *scores)
    pipeline.execute()


def _due_key(key: str) -> str:
    return DUE_KEY.format(partition_of(key, PARTITIONS))
