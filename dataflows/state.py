"""A flow's view of the states that are kept in Redis beside the features: read on a miss, bounded in memory."""

from __future__ import annotations

import logging
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import redis

from dataflows.aggregates.effects import Fact
from dataflows.aggregates.people import User
from dataflows.metrics import ENRICHMENTS_FAILED
from dataflows.stages import Aggregated
from dataflows.transaction import ask
from feature_repo.layout import ITEM, USER, EntityLayout, UnreadableValue, read_stamp

State = TypeVar("State")
Packed = TypeVar("Packed")
FOUND_FOR: Final = 30.0
MISSING_FOR: Final = 1.0
MOST_FACTS: Final = 200_000
VISIT_TTL_SECONDS: Final = 7200
"""How long a visit is kept in Redis: four times the pause that ends it."""

ReadStates: TypeAlias = Callable[[list[str]], list[bytes | None]]


def entity_states(client: redis.Redis, layout: EntityLayout) -> ReadStates:
    """How the states beside an entity's features are read: the feature `state`, in one pipelined call."""
    state = layout.columns["state"]

    def read(keys: list[str]) -> list[bytes | None]:
        return [state.read(raw) for raw in ask(client, [layout.hget(key, state.name) for key in keys])]

    return read


class Stored(NamedTuple):
    """A user's state as it is stored, and the time of the newest row in microseconds.

    That may be newer than what the state says: rows that only time changed leave the state as it was.
    """

    packed: bytes
    row_at: int


ReadUsers: TypeAlias = Callable[[list[str]], Sequence[Stored | None]]


def user_states(client: redis.Redis) -> ReadUsers:
    """How users are read: their states, and of when their rows are, in one pipelined call."""
    state = USER.columns["state"]

    def read(keys: list[str]) -> list[Stored | None]:
        found = ask(client, [USER.hmget_stamped(key, state.name, "user_activity") for key in keys])
        states = ((state.read(raw), stamp) for raw, stamp in found)
        return [packed and Stored(packed, read_stamp(stamp) if stamp else 0) for packed, stamp in states]

    return read


def user_table(read: ReadUsers, capacity: int, kind: type[User] = User) -> StateTable[User]:
    """The users behind `read`, each with the time of the newest row, so that the next one is newer."""

    def unpack(stored: Stored) -> User:
        user = kind.unpack(stored.packed)
        user.behind = user.row_at > stored.row_at  # that row was set aside, and the state stored without it
        user.row_at = max(user.row_at, stored.row_at)
        return user

    return StateTable(read, unpack, kind, capacity)


def visit_states(client: redis.Redis) -> ReadStates:
    """How the current visits of users are read: keys of their own, since the people flow owns the users' hashes."""
    return lambda users: client.mget([visit_key(user) for user in users])


def visit_key(user: str) -> str:
    """Where a user's current visit is kept."""
    return f"inlay:visit:{user}"


class Stay(NamedTuple):
    """What was handed out and waits for being stored: results, how many states they may hold, and the passing ones."""

    results: Sequence[Aggregated]
    handed_out: int
    passing: Sequence[str]


class StateTable(Generic[State]):
    """States by key, the most useful ones in memory.

    A state that is handed out is changed in place and stored with the results of that work, so it stays until they
    are; nothing is forgotten but by `shrink`, which a fold calls before it begins. While there is room every state
    stays. In a full table one that is not there only passes through: it goes as soon as it is stored, unless it is
    asked for before that, or was not long ago, and then takes the place of the least recently used. So those who come
    once do not put out those who come again and again, and are let go while they are at hand.

    Args:
        read: the stored states of some keys, in one call.
        unpack, new: read a stored state; make that of a key never seen.
        capacity: how many decoded states are kept beside those that pass through.
    """

    def __init__(
        self,
        read: Callable[[list[str]], Sequence[Packed | None]],
        unpack: Callable[[Packed], State],
        new: Callable[[], State],
        capacity: int,
    ) -> None:
        self._read: Callable[[list[str]], Sequence[Any]] = read
        self._unpack: Callable[[Any], State] = unpack
        self._new, self._capacity = new, capacity
        self._states: OrderedDict[str, State] = OrderedDict()
        self._passing: dict[str, State] = {}
        self._passed: array[int] | None = None
        """Of keys that passed through lately, their hashes, each in the place that it says."""
        self._stays: deque[Stay] = deque()
        self._handed_out, self._came = 0, list[str]()

    def load(self, keys: Collection[str]) -> dict[str, State]:
        """The states of `keys`; those not in memory are read in one pipelined call."""
        states, passing = self._states, self._passing
        found, missing = dict[str, State](), list[str]()
        for key in keys:
            if key in states:
                found[key] = states[key]
                states.move_to_end(key)
            elif key in passing:
                found[key] = states[key] = passing.pop(key)
            else:
                missing.append(key)
        if missing:
            for key, packed in zip(missing, self._read(missing), strict=True):
                found[key] = state = self._new() if packed is None else self._unpack(packed)
                self._admit(key, state)
            found = {key: found[key] for key in keys}  # whatever is in memory, what is done with them has one order
        self._handed_out += len(found)
        return found

    def peek(self, keys: Collection[str]) -> dict[str, State]:
        """The states of `keys` to look at, not to change; those not in memory are read, and not kept."""
        inside = (self._states, self._passing)
        found = {key: states[key] for states in inside for key in keys if key in states}
        missing = [key for key in keys if key not in found]
        for key, packed in zip(missing, self._read(missing) if missing else (), strict=True):
            found[key] = self._new() if packed is None else self._unpack(packed)
        return found

    def at_hand(self, key: str) -> State | None:
        """The state of a key that is in memory."""
        state = self._states.get(key)
        return self._passing.get(key) if state is None else state

    def renew(self, key: str) -> None:
        """Put a state of a key never seen in the place of one that is being deleted, which Redis may hold still."""
        self._passing.pop(key, None)
        self._states[key] = self._new()

    def stay(self, results: Sequence[Aggregated]) -> None:
        """What was loaded since the last call stays until these are stored."""
        self._stays.append(Stay(results, self._handed_out, self._came))
        self._handed_out, self._came = 0, []

    def shrink(self) -> None:
        """Forget what passed through and is stored, and the least recently used states beyond the capacity."""
        stays, passing = self._stays, self._passing
        while stays and all(result.stored for result in stays[0].results):
            for key in stays.popleft().passing:
                if passing.pop(key, None) is not None:
                    self._note(key)
        # Whatever may not be stored yet is among the most recently used.
        waiting = self._handed_out + sum(each.handed_out for each in stays)
        for _ in range(len(self._states) - max(self._capacity, waiting)):
            self._states.popitem(last=False)

    def _admit(self, key: str, state: State) -> None:
        if len(self._states) < self._capacity or self._is_noted(key):
            self._states[key] = state
        else:
            self._passing[key] = state
            self._came.append(key)

    def _note(self, key: str) -> None:
        if self._passed is None:
            self._passed = array("q", bytes(8 * (self._capacity + 1)))
        hashed = hash(key)
        self._passed[hashed % len(self._passed)] = hashed

    def _is_noted(self, key: str) -> bool:
        passed = self._passed
        if passed is None:
            return False
        hashed = hash(key)
        return passed[hashed % len(passed)] == hashed

    def __len__(self) -> int:
        return len(self._states) + len(self._passing)


class CatalogueFacts:
    """What the catalogue says of items, for the flow that does not own it; remembered briefly.

    Args:
        client: the Redis of the online store.
        monotonic: the clock that says how old a remembered fact is, in seconds.
    """

    def __init__(self, client: redis.Redis, monotonic: Callable[[], float]) -> None:
        self._client, self._monotonic = client, monotonic
        self._columns = [ITEM.columns[name] for name in ("category", "price")]
        self._facts: dict[str, tuple[float, Fact]] = {}

    def __call__(self, item_ids: Collection[str]) -> dict[str, Fact]:
        """The facts of `item_ids`; what is unknown has none of its fields."""
        now = self._monotonic()
        if len(self._facts) > MOST_FACTS:
            self._facts.clear()
        missing = [item_id for item_id in item_ids if self._facts.get(item_id, (0.0,))[0] <= now]
        if missing:
            pipeline = self._client.pipeline(transaction=False)
            for item_id in missing:
                pipeline.execute_command("HMGET", ITEM.key(item_id), *(column.field for column in self._columns))
            for item_id, found in zip(missing, pipeline.execute(), strict=True):
                self._facts[item_id] = self._fact(found, now)
        return {item_id: self._facts[item_id][1] for item_id in item_ids}

    def _fact(self, found: list[Any], now: float) -> tuple[float, Fact]:
        try:
            category, price = (column.read(raw) for column, raw in zip(self._columns, found, strict=True))
        except UnreadableValue as error:  # somebody else wrote there: the items flow will write it anew
            ENRICHMENTS_FAILED.labels("catalogue").inc()
            logging.getLogger(__name__).warning("%s", error)
            category = price = None
        known = category is not None or price is not None
        return now + (FOUND_FOR if known else MISSING_FOR), Fact(category, price)
