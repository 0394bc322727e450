"""States and what else a flow keeps beside the features: tables, facts, ids that were seen, times that are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.aggregate import EXPIRED_AT_ONCE, DueSet
from dataflows.aggregate_items import SEEN_KEY, SeenIds
from dataflows.aggregates.effects import Fact
from dataflows.aggregates.seen import Seen, hash_id
from dataflows.stages import Aggregated
from dataflows.state import FOUND_FOR, MISSING_FOR, CatalogueFacts, StateTable, entity_states, visit_key, visit_states
from feature_repo.layout import ITEM, USER
from tests.given import NOW, lists_of, written
from tests.unit.dataflows.doubles import Committed
from tests.unit.dataflows.proofs import fails, for_all, holds


class Hashes:
    """Redis, as far as states and facts are read from it: hashes and texts, and how often somebody asked."""

    def __init__(self) -> None:
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.texts: dict[str, bytes] = {}
        self.asked: list[int] = []
        self._queued: list[Any] = []

    def put(self, layout: Any, key: str, **values: Any) -> None:
        written_key, self.hashes[layout.key(key)] = written(layout.hset(key, values, NOW))
        assert written_key == layout.key(key)

    def pipeline(self, transaction: bool) -> Hashes:
        assert not transaction
        return self

    def execute_command(self, verb: str, key: bytes, *fields: bytes) -> None:
        found = [self.hashes.get(key, {}).get(field) for field in fields]
        assert verb in ("HGET", "HMGET")
        self._queued.append(found if verb == "HMGET" else found[0])

    def execute(self) -> list[Any]:
        self.asked.append(len(self._queued))
        answers, self._queued = self._queued, []
        return answers

    @property
    def connection_pool(self) -> Hashes:
        """Of questions that are packed already: pool, connection and retry in one."""
        return self

    retry = connection_pool

    def get_connection(self) -> Hashes:
        return self

    def release(self, connection: Hashes) -> None:
        assert not self._queued

    def call_with_retry(self, ask: Any, fail: Any) -> Any:
        return ask()

    def send_packed_command(self, packed: list[bytes]) -> None:
        reader = hiredis.Reader()
        reader.feed(b"".join(packed))
        while (command := reader.gets()) is not False:
            self.execute_command(command[0].decode(), *command[1:])
        self.asked.append(len(self._queued))

    def read_response(self) -> Any:
        return self._queued.pop(0)

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.texts.get(key) for key in keys]


class Box:
    """A state: what was stored, and what was added since."""

    def __init__(self, stored: bytes = b"") -> None:
        self.content = stored


LOADS = lists_of(40, tuple("abcdefgh"), tuple("abcdefgh"), (0, 1))


@for_all(loads=LOADS, capacity=st.integers(0, 5), behind=st.integers(0, 3))
def states_are_never_lost_and_few_are_kept(
    table: Any, loads: list[tuple[str, str, int]], capacity: int, behind: int
) -> None:
    """Each load changes its states, and these are stored so many loads later, on their way through a flow."""
    stored: dict[str, bytes] = {}
    calls: list[list[str]] = []
    on_their_way: list[tuple[Aggregated, dict[str, bytes]]] = []

    def read(keys: list[str]) -> list[bytes | None]:
        calls.append(keys)
        return [stored.get(key) for key in keys]

    made, expected = table(read, Box, Box, capacity), dict[str, bytes]()
    for one, other, both in loads:
        keys = {one, other} if both else {one}
        calls.clear()
        made.shrink()
        states = made.load(keys)
        assert list(states) == list(keys)
        assert len(calls) <= 1
        assert len(made) <= max(capacity, 2 * behind) + 2 * behind + len(keys)
        for key, state in states.items():
            assert state.content == expected.get(key, b"")
            state.content += b"."
            expected[key] = state.content
        result = Aggregated(())
        made.stay([result])
        on_their_way.append((result, {key: state.content for key, state in states.items()}))
        while len(on_their_way) > behind:
            result, contents = on_their_way.pop(0)
            stored |= contents
            result.stored = True


class ReadsOneByOne(StateTable[Any]):
    def load(self, keys: Collection[str]) -> dict[str, Any]:
        return {key: super(ReadsOneByOne, self).load([key])[key] for key in keys}


class NeverForgets(StateTable[Any]):
    def shrink(self) -> None:
        """Nothing."""


class AlwaysNew(StateTable[Any]):
    def load(self, keys: Collection[str]) -> dict[str, Any]:
        return super().load(keys) | {key: self._new() for key in keys if self._capacity < 2}


class WaitsForNothing(StateTable[Any]):
    def stay(self, results: Sequence[Aggregated]) -> None:
        super().stay([])


class WaitsForTheNewOnesOnly(StateTable[Any]):
    def load(self, keys: Collection[str]) -> dict[str, Any]:
        found = super().load(keys)
        self._handed_out = 0
        return found


def test_states_are_never_lost_and_few_are_kept() -> None:
    holds(states_are_never_lost_and_few_are_kept, StateTable)


@pytest.mark.parametrize("mutant", [ReadsOneByOne, NeverForgets, AlwaysNew, WaitsForNothing, WaitsForTheNewOnesOnly])
def test_a_table_that_is_wrong_is_caught(mutant: type[StateTable[Any]]) -> None:
    assert fails(states_are_never_lost_and_few_are_kept, mutant)


class Asked:
    """Where states are read from: everything is stored, and it is remembered what was asked for."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, keys: list[str]) -> list[bytes | None]:
        self.calls.append(keys)
        return [key.encode() for key in keys]


def work_on(table: StateTable[Box], *keys: str, stored: bool = True) -> Aggregated:
    """What a flow does with a table, from one micro-batch to the next."""
    table.shrink()
    assert [state.content for state in table.load(keys).values()] == [key.encode() for key in keys]
    result = Aggregated((), stored=stored)
    table.stay([result])
    return result


def test_misses_are_read_in_one_call_and_what_was_handed_out_stays_until_it_is_stored() -> None:
    asked = Asked()
    table = StateTable(asked, Box, Box, 2)
    result = work_on(table, "a", "b", "c", "d", stored=False)
    table.shrink()
    assert (len(table), asked.calls) == (4, [["a", "b", "c", "d"]])
    result.stored = True
    table.shrink()
    assert len(table) == 2


def test_who_comes_once_puts_nobody_out() -> None:
    asked = Asked()
    table = StateTable(asked, Box, Box, 2)
    work_on(table, "a", "b")
    for number in range(100):
        work_on(table, f"once-{number}")
    work_on(table, "a", "b")
    assert len(asked.calls) == 101
    table.shrink()
    assert len(table) == 2


def test_who_comes_again_soon_takes_the_place_of_the_least_recently_used() -> None:
    asked = Asked()
    table = StateTable(asked, Box, Box, 2)
    work_on(table, "a", "b")
    work_on(table, "a")
    work_on(table, "c")
    work_on(table, "a")  # by now c is stored, and gone
    work_on(table, "c")
    work_on(table, "a", "c")
    assert asked.calls == [["a", "b"], ["c"], ["c"]]
    work_on(table, "b")
    assert asked.calls[3:] == [["b"]]


def test_who_is_asked_for_before_being_stored_stays() -> None:
    asked = Asked()
    table = StateTable(asked, Box, Box, 1)
    work_on(table, "a")
    waiting = work_on(table, "b", stored=False)
    work_on(table, "b")
    waiting.stored = True
    work_on(table, "b")
    work_on(table, "b")
    assert asked.calls == [["a"], ["b"]]


def test_a_look_at_states_keeps_none_and_sees_changes_that_are_not_stored() -> None:
    calls: list[list[str]] = []

    def read(keys: list[str]) -> list[bytes | None]:
        calls.append(keys)
        return [b"stored"] * len(keys)

    table = StateTable(read, Box, Box, 2)
    table.load(["a"])["a"].content = b"changed"
    assert {key: box.content for key, box in table.peek(["a", "b"]).items()} == {"a": b"changed", "b": b"stored"}
    assert calls == [["a"], ["b"]]
    assert len(table) == 1
    assert table.peek(["a"]).keys() == {"a"}
    assert len(calls) == 2


def test_states_are_read_from_beside_the_features_in_one_call() -> None:
    redis = Hashes()
    redis.put(USER, "u1", state=b"packed", views_1h=3)
    redis.put(USER, "u2", views_1h=3)
    read = entity_states(redis, USER)
    assert read(["u1", "u2", "u3"]) == [b"packed", None, None]
    assert redis.asked == [3]


def test_visits_are_read_from_keys_of_their_own() -> None:
    redis = Hashes()
    redis.texts[visit_key("u1")] = b"packed"
    assert visit_states(redis)(["u0", "u1"]) == [None, b"packed"]


def test_facts_are_remembered_for_thirty_seconds_and_their_absence_for_one() -> None:
    redis, seconds = Hashes(), [0.0]
    redis.put(ITEM, "p1", category="Home", price=5.0, title="Lamp")
    redis.put(ITEM, "p2", price=7.0)
    facts = CatalogueFacts(redis, lambda: seconds[0])
    assert facts({"p1", "p2", "p3"}) == {"p1": Fact("Home", 5.0), "p2": Fact(None, 7.0), "p3": Fact(None, None)}
    redis.put(ITEM, "p1", category="Toys", price=6.0)
    redis.put(ITEM, "p3", category="Toys")
    assert facts(["p1", "p3"]) == {"p1": Fact("Home", 5.0), "p3": Fact(None, None)}
    assert redis.asked == [3]
    seconds[0] = MISSING_FOR
    assert facts(["p1", "p3"]) == {"p1": Fact("Home", 5.0), "p3": Fact("Toys", None)}
    seconds[0] = FOUND_FOR - 0.001
    assert facts(["p1"]) == {"p1": Fact("Home", 5.0)}
    seconds[0] = FOUND_FOR
    assert facts(["p1"]) == {"p1": Fact("Toys", 6.0)}
    assert redis.asked == [3, 1, 1]
    assert facts([]) == {}


def test_a_fact_that_cannot_be_read_is_as_good_as_none_and_is_read_again_soon() -> None:
    redis = Hashes()
    redis.put(ITEM, "p1", category="Home", price=5.0)
    ((key, fields),) = redis.hashes.items()
    redis.hashes[key] = dict.fromkeys(fields, b"\xff\xff")
    redis.put(ITEM, "p2", price=7.0)
    assert CatalogueFacts(redis, lambda: 0.0)(["p1", "p2"]) == {"p1": Fact(None, None), "p2": Fact(None, 7.0)}


def run(seen: SeenIds, committed: Committed, ids: list[str]) -> list[bool]:
    """Add ids, and commit."""
    new = [seen.add("u1", each) for each in ids]
    for command, key, *arguments in seen.commands():
        committed.run(command, key, arguments)
    return new


COMMITS = lists_of(12, range(20), range(20), range(20))


@for_all(commits=COMMITS, capacity=st.integers(3, 12), restarts=st.sets(st.integers(0, 12)))
def ids_are_remembered_across_restarts(
    seen_ids: type[SeenIds], commits: list[tuple[int, ...]], capacity: int, restarts: set[int]
) -> None:
    """A process that reloads at any moment answers as one that never stopped, unless a commit brings more ids than it
    remembers.
    """
    steady, committed, elsewhere = seen_ids(3, capacity), Committed(), Committed()
    restarted = seen_ids(3, capacity)
    key = SEEN_KEY.format(3)
    newest: list[str] = []
    for place, commit in enumerate(commits):
        if place in restarts:
            restarted = seen_ids(3, capacity, committed.lists.get(key, []))
        ids = [f"e{number}" for number in commit]
        expected = []
        for each in ids:
            expected.append(each not in newest)
            newest = newest if each in newest else [*newest, each][-capacity:]
        assert run(restarted, committed, ids) == run(steady, elsewhere, ids) == expected
        chunks = committed.lists.get(key, [])
        sizes = [len(chunk) // 8 for chunk in chunks]
        assert sum(sizes) <= capacity + max(sizes, default=0)
        assert chunks == elsewhere.lists.get(key, [])


class PopsTooMuch(SeenIds):
    def commands(self) -> Any:
        out = super().commands()
        return [*out, ("LPOP", self._key)] if len(self._sizes) > 1 else out


class NeverPops(SeenIds):
    def commands(self) -> Any:
        return [command for command in super().commands() if command[0] != "LPOP"]


class StoresNothingNew(SeenIds):
    def add(self, sender: str, event_id: str) -> bool:
        new = super().add(sender, event_id)
        self._fresh = self._fresh[:1]
        return new


def test_ids_are_remembered_across_restarts_as_far_back_as_the_capacity() -> None:
    holds(ids_are_remembered_across_restarts, SeenIds)


@pytest.mark.parametrize("mutant", [PopsTooMuch, NeverPops, StoresNothingNew])
def test_ids_that_are_forgotten_too_early_or_never_are_caught(mutant: type[SeenIds]) -> None:
    assert fails(ids_are_remembered_across_restarts, mutant)


def test_a_chunk_is_dropped_only_when_all_of_it_is_out_of_reach() -> None:
    seen, committed = SeenIds(0, 4), Committed()
    run(seen, committed, ["a", "b"])
    run(seen, committed, ["c", "d", "e"])
    assert len(committed.lists[SEEN_KEY.format(0)]) == 2
    run(seen, committed, ["f"])
    assert len(committed.lists[SEEN_KEY.format(0)]) == 1 + 1
    assert seen.commands() == []


def test_an_id_counts_once_a_sender() -> None:
    seen = SeenIds(0, 9)
    assert [seen.add(sender, "a") for sender in ("u1", "u2", "u1", "u2")] == [True, True, False, False]


def test_ids_that_were_stored_without_their_senders_are_known_of_everybody() -> None:
    committed = Committed()
    committed.lists[SEEN_KEY.format(0)] = [Seen.of([hash_id("a"), hash_id("b")]).pack()]
    seen = SeenIds(0, 4, committed.lists[SEEN_KEY.format(0)])
    assert run(seen, committed, ["a", "b", "c"]) == [False, False, True]
    again = SeenIds(0, 4, committed.lists[SEEN_KEY.format(0)])
    assert run(again, committed, ["a", "c", "d"]) == [False, False, True]
    assert again.add("u2", "c")


@given(
    due=st.dictionaries(st.text("abc", max_size=2), st.one_of(st.none(), st.integers(0, 50))), now=st.integers(0, 50)
)
def test_who_is_due_is_told_the_longest_overdue_first(due: dict[str, int | None], now: int) -> None:
    committed = Committed()
    due_set = DueSet(committed, "due:0")
    for command, key, *arguments in due_set.commands(dict.fromkeys(due, 7)) + due_set.commands(due):
        committed.run(command, key, arguments)
    times = {key: at for key, at in due.items() if at is not None and at <= now}
    assert due_set.until(now) == sorted(times, key=lambda key: (times[key], key))


def test_a_bounded_number_are_due_at_once() -> None:
    committed = Committed()
    due_set = DueSet(committed, "due:0")
    ((command, key, *arguments),) = due_set.commands({f"u{n}": n for n in range(3 * EXPIRED_AT_ONCE)})
    committed.run(command, key, arguments)
    assert due_set.until(NOW) == [f"u{n}" for n in range(EXPIRED_AT_ONCE)]
    assert due_set.commands({}) == []
