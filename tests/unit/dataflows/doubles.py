"""Doubles of what lies around the folds: what Redis holds, a clock, and one run of a flow's pure half.

`Committed` does what `dataflows.store.Store` does with a micro-batch, in memory; a crash is a new run on the same
`Committed`, or on a copy from before.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from dataflows.aggregate import DueSet
from dataflows.aggregate_items import SEEN_KEY, FoldItems, SeenIds
from dataflows.aggregate_people import FoldPeople, Partition
from dataflows.aggregates.effects import Fact
from dataflows.aggregates.items import Item, unpack_scope
from dataflows.aggregates.neighbours import Visit
from dataflows.aggregates.people import User
from dataflows.aggregates.popularity import Scope
from dataflows.derived import KEEP, DerivedStream
from dataflows.enrich import enrich
from dataflows.erased_ids import ErasedIds
from dataflows.events import HOUR
from dataflows.identities import Identities
from dataflows.inbox import Inbox
from dataflows.population import POPULATION_KEY, Population
from dataflows.stages import Aggregated, Received, Validated
from dataflows.state import ReadStates, StateTable, Stored, user_table, visit_key
from dataflows.validate import Validate
from feature_repo.layout import USER
from tests.given import FACTS, NOW

DUE: Final = "due:{}"
SEGMENTS: Final = frozenset(column.name for column in USER.columns.values() if column.view == "user_segment")
MANY: Final = 10**9


class Clock:
    """Microseconds that stand still until they are told otherwise."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Committed:
    """Everything that a flow's commits left in Redis."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self.states: dict[tuple[str, str], bytes] = {}
        self.stamps: dict[tuple[str, str], int] = {}
        self.offsets: dict[int, int] = {}
        self.outcomes: Counter[str] = Counter()
        self.received = 0
        self.letters: list[tuple[int, int]] = []
        self.quarantined: list[tuple[str, str]] = []
        self.held: list[tuple[str, str]] = []
        self.sets: dict[str, dict[str, int]] = {}
        self.lists: dict[str, list[bytes]] = {}
        self.texts: dict[str, bytes] = {}
        self.streams: dict[str, list[tuple[int, bytes]]] = {}
        self.derived: dict[str, list[tuple[int, bytes]]] = {}
        self.answers: Counter[str] = Counter()
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.added = 0
        self.commits = 0

    def commit(self, batch: Aggregated) -> None:
        """Store a micro-batch; a row that is not newer than the one before would be dropped by Feast."""
        self.commits += 1
        batch.stored = True
        stored = [(row, row.values) for row in batch.rows] + [(row, None) for row in batch.aside()]
        for row, values in stored:
            place = (row.entity, row.key)
            before = self.rows.get(place, (-1, {}))
            assert row.at > before[0], f"the row of {place} is of {row.at}, there is one of {before[0]}"
            if values is not None:
                assert not row.timed or set(before[1]) > set(values), f"{place} has no row that time could change"
                written = {name: value for name, value in values.items() if name not in row.steady}
                values = {**before[1], **written} if row.timed else values
                self.stamps[place] = row.at
            self.rows[place] = (row.at, before[1] if values is None else values)
            if row.state is not None:
                self.states[place] = row.state
        for place in batch.forgotten:
            for kept in (self.rows, self.states, self.stamps):
                kept.pop(place, None)
        self.quarantined += [(row.key, rule) for row, rule in batch.quarantined]
        self.held += [(row.key, why) for row, why in batch.held]
        self.letters += [(partition, offset) for partition, offset, _ in batch.refused]
        for command, key, *arguments in (*(each for row in batch.rows for each in row.follows), *batch.commands):
            self.run(command, key, arguments)
        self.outcomes.update(batch.outcomes)
        self.received += batch.received
        self.offsets.update(batch.offsets)

    def run(self, command: str, key: str, arguments: list[Any]) -> None:
        """Carry out a command of a commit."""
        if command == "ZADD":
            self.sets.setdefault(key, {}).update(zip(arguments[1::2], arguments[::2], strict=True))
        elif command == "ZREM":
            for member in arguments:
                self.sets.get(key, {}).pop(member, None)
        elif command == "ZINCRBY":
            members = self.sets.setdefault(key, {})
            members[arguments[1]] = members.get(arguments[1], 0) + arguments[0]
        elif command == "ZREMRANGEBYSCORE":
            low, high = arguments
            kept = {member: score for member, score in self.sets.get(key, {}).items() if not low <= score <= high}
            self.sets[key] = kept
        elif command == "RPUSH":
            self.lists.setdefault(key, []).extend(arguments)
        elif command == "LPOP":
            del self.lists.get(key, [])[:1]
        elif command == "XADD":
            *bound, place, _, value = arguments
            assert (place, bound) in (("*", []), ("*", ["MAXLEN", "~", KEEP]))
            self.added += 1
            (self.derived if bound else self.streams).setdefault(key, []).append((self.added, value))
        elif command == "XTRIM":
            how, least = arguments
            assert how == "MINID"
            self.streams[key] = [entry for entry in self.streams.get(key, []) if place_of(entry[0]) >= place_of(least)]
        elif command == "DEL":
            self.texts.pop(key, None)
        elif command == "HSET" and key.startswith("inlay:erased:"):
            self.hashes.setdefault(key, {})[arguments[0]] = b"%d" % arguments[1]
        elif command in ("HSET", "HINCRBY", "SADD", "EXPIRE"):
            assert key.startswith("inlay:erasure:")
            if command == "HINCRBY":
                self.answers[arguments[0]] += arguments[1]
        else:
            assert command == "SET", command
            self.texts[key] = arguments[0]

    def read(self, entity: str) -> ReadStates:
        """How a table reads the states of an entity."""
        return lambda keys: [self.states.get((entity, key)) for key in keys]

    def users(self, keys: list[str]) -> list[Stored | None]:
        """How a table reads users."""
        places = [("user", key) for key in keys]
        return [
            Stored(self.states[place], self.stamps.get(place, 0)) if place in self.states else None for place in places
        ]

    def visits(self, users: list[str]) -> list[bytes | None]:
        """How a table reads visits."""
        return [self.texts.get(visit_key(user)) for user in users]

    def zrangebyscore(self, key: str, low: str, high: int, start: int, num: int) -> list[bytes]:
        """As Redis does; a `DueSet` is given this object as its client."""
        assert low == "-inf"
        due = sorted((at, member) for member, at in self.sets.get(key, {}).items() if at <= high)
        return [member.encode() for _, member in due[start : start + num]]

    def xrange(self, key: str, low: bytes, high: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """As Redis does; an `Inbox` is given this object as its client."""
        assert (low[:1], high) in ((b"-", "+"), (b"(", "+"))
        behind = (0, 0) if low == b"-" else place_of(low.removeprefix(b"(").decode())
        found = [entry for entry in self.streams.get(key, []) if place_of(entry[0]) > behind]
        return [(b"%d-0" % number, {b"m": value}) for number, value in found[:count]]

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        """As Redis does; an `ErasedIds` is given this object as its client."""
        return self.hashes.get(key, {})

    def population(self, partitions: int) -> list[dict[str, int]]:
        """The counts of all customers, by partition."""
        return [self.sets.get(POPULATION_KEY.format(partition), {}) for partition in range(partitions)]

    def stored(self, keys: Collection[str]) -> dict[str, User]:
        """The users as they are stored."""
        return user_table(self.users, 0).peek(keys)

    def values(self, *, whole: bool = False) -> dict[tuple[str, str], dict[str, Any]]:
        """The rows without their times, which depend on how events were batched.

        Unless they are wanted whole, users' rows are without their segments, which depend on all other users and on
        when these were looked at.
        """
        found = {place: row for place, (_, row) in self.rows.items()}
        if whole:
            return found
        return {place: {name: row[name] for name in row if name not in SEGMENTS} for place, row in found.items()}

    def copy(self) -> Committed:
        """What a backup of this moment holds."""
        return copy.deepcopy(self)


def place_of(entry: int | str) -> tuple[int, int]:
    """Where an entry lies in a stream: Redis's two numbers, of which the double counts the first."""
    first, _, second = str(entry).partition("-")
    return int(first), int(second or 0)


class People:
    """One process of the people flow, up to its store: all partitions, or those it owns; one fold each."""

    def __init__(
        self,
        committed: Committed,
        clock: Callable[[], int],
        partitions: int = 2,
        *,
        user: type[User] = User,
        fold: type[FoldPeople] = FoldPeople,
        identities: type[Identities] = Identities,
        capacity: int = MANY,
        commit: Callable[[Aggregated], None] | None = None,
        owned: Collection[int] | None = None,
        state_ttl: int = 0,
        history: bool = False,
    ) -> None:
        self.clock, self.commit = clock, commit or committed.commit
        self.validate = Validate(clock, 300_000_000, MANY)
        users = user_table(committed.users, capacity, user)
        places = {partition: committed.offsets.get(partition, -1) for partition in range(partitions)}
        population = Population(lambda: committed.population(partitions))
        self.folds = {
            partition: fold(
                users,
                lambda number: Partition(
                    DueSet(committed, DUE.format(number)),
                    identities(Inbox(committed, number), committed.stored, partitions, ErasedIds(committed, number)),
                    DerivedStream("derived", partitions).commands,
                    population,
                ),
                places,
                cart_idle=HOUR,
                state_ttl=state_ttl,
                history=history,
            )
            for partition in (range(partitions) if owned is None else owned)
        }

    def take(self, batches: Iterable[Received], facts: dict[str, Fact] = FACTS) -> None:
        """Fold micro-batches, and commit each."""
        for batch in batches:
            for enriched in enrich([self.validate(batch)], lambda _: facts):
                for result in self.folds[batch.partition].fold([enriched], self.clock()):
                    self.commit(result)

    def expire(self) -> None:
        """What timers do."""
        for fold in self.folds.values():
            for result in fold.expire(self.clock()):
                self.commit(result)


class Items:
    """One process of the items flow, up to its store."""

    def __init__(
        self,
        committed: Committed,
        clock: Callable[[], int],
        partitions: int = 2,
        *,
        fold: type[FoldItems] = FoldItems,
        seen: int = MANY,
        capacity: int = MANY,
    ) -> None:
        self.clock, self.commit = clock, committed.commit
        self.validate = Validate(clock, 300_000_000, MANY)
        self.fold = fold(
            StateTable(committed.read("item"), Item.unpack, Item, capacity),
            StateTable(committed.visits, Visit.unpack, Visit, capacity),
            StateTable(committed.read("scope"), unpack_scope, Scope, capacity),
            {
                number: SeenIds(number, seen, committed.lists.get(SEEN_KEY.format(number), []))
                for number in range(partitions)
            },
            DueSet(committed, DUE.format("items")),
            {partition: committed.offsets.get(partition, -1) for partition in range(partitions)},
        )

    def take(self, batches: Sequence[Received]) -> None:
        """Fold micro-batches of all partitions together, and commit them as one."""
        validated: list[Validated] = [self.validate(batch) for batch in batches]
        for result in self.fold.fold(validated, self.clock()):
            self.commit(result)

    def expire(self) -> None:
        """What timers do."""
        for result in self.fold.expire(self.clock()):
            self.commit(result)


def in_batches(partition: int, values: Sequence[bytes], sizes: Iterable[int], first: int = 0) -> list[Received]:
    """The records of a partition from offset `first` on, cut into micro-batches of these sizes and the rest."""
    batches, at = [], 0
    for size in (*sizes, len(values)):
        if at < len(values) and size > 0:
            part = values[at : at + size]
            batches.append(Received(partition, list(range(first + at, first + at + len(part))), list(part)))
            at += len(part)
    return batches
