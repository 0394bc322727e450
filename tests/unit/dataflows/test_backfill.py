"""Backfill: a file and the stream together come to what all events come to, whoever dies and whatever overlaps."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import redis
from bytewax.dataflow import Dataflow
from bytewax.operators import input as op_input
from bytewax.operators import output as op_output
from bytewax.testing import TestingSink, run_main
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from dataflows import backfill, exclusive
from dataflows.aggregate_items import FoldItems
from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import User
from dataflows.aggregates.seen import SeenByUser
from dataflows.connectors import Bounds, Records, Stream
from dataflows.events import DAY, MINUTE, Event, partition_of
from dataflows.history import History, HistorySource, Ids, ids_in_stream
from dataflows.input_files import files_of, fingerprint, version_of
from dataflows.lease import LeaseError
from dataflows.mapping import MappingError
from dataflows.stages import Aggregated, Received
from dataflows.stopping import StopSignal
from tests.given import FACTS, NOW, histories, raw, seeds
from tests.unit.dataflows.doubles import Clock, Committed, Items, People
from tests.unit.dataflows.oracle import Arrival, item_stats, user_row
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import PARTITIONS, USERS, spread, written

SKEW = 5 * MINUTE
YEARS = histories(most=30, users=USERS, days=400)
NONE: Ids = np.array([], np.int64)


class Log:
    """A stream in memory, read two records of a partition at a time; `removed` of each are gone."""

    name, partitions = "log", PARTITIONS

    def __init__(self, stream: Sequence[bytes] = (), removed: int = 0) -> None:
        self.records, self.removed = spread(stream), removed
        self.on_read: Callable[[], None] = lambda: None

    def bounds(self, partition: int) -> Bounds:
        last = len(self.records[partition]) - 1
        return Bounds(min(self.removed - 1, last), last)

    def read(self, after: Mapping[int, int], most: int, wait: float) -> list[Records]:
        self.on_read()
        return list(self.behind(after, 2))

    def behind(self, after: Mapping[int, int], most: int) -> Iterator[Records]:
        for partition, offset in after.items():
            first = max(offset + 1, self.removed)
            if found := self.records[partition][first : first + most]:
                yield Records(partition, list(range(first, first + len(found))), found)


class Death(RuntimeError):
    """The process is killed."""


Die = Callable[[], None]


def in_one(committed: Committed, progress: Committed, batch: Aggregated, die: Die) -> None:
    """Rows and progress in one transaction, which happened or did not."""
    die()
    committed.commit(replace(batch, offsets={}, outcomes={}, received=0, refused=()))
    count(progress, batch)
    die()


def apart(committed: Committed, progress: Committed, batch: Aggregated, die: Die) -> None:
    """Progress outside the commit."""
    committed.commit(replace(batch, offsets={}, outcomes={}, received=0, refused=()))
    die()
    count(progress, batch)


def count(progress: Committed, batch: Aggregated) -> None:
    progress.offsets.update(batch.offsets)
    progress.outcomes.update(batch.outcomes)
    progress.received += batch.received


class Forgetful(User):
    """A user who remembers one id, so that ids do not help."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = SeenByUser(1)

    @classmethod
    def unpack(cls, packed: bytes) -> User:
        user = super().unpack(packed)
        user.seen.capacity = 1
        return user


class Parts(NamedTuple):
    """What a backfill is made of, for mutants to be put in."""

    ids: Callable[[Stream, int, int], Ids] = ids_in_stream
    commit: Callable[[Committed, Committed, Aggregated, Die], None] = in_one
    people: Callable[..., FoldPeople] = FoldPeople
    items: Callable[..., FoldItems] = FoldItems
    user: type[User] = Forgetful


def live_people(committed: Committed, parts: Parts) -> People:
    return People(committed, Clock(), PARTITIONS, user=parts.user)


def live_items(committed: Committed, parts: Parts) -> Items:
    return Items(committed, Clock(), PARTITIONS, seen=1)


def old_people(committed: Committed, parts: Parts, places: dict[int, int], commit: Callable[..., None]) -> People:
    def fold(users: Any, open_partition: Any, _: Any, **settings: Any) -> FoldPeople:
        return parts.people(users, open_partition, places, **settings | {"history": True})

    return People(committed, Clock(), PARTITIONS, user=parts.user, fold=fold, commit=commit)  # type: ignore[arg-type]


def old_items(committed: Committed, parts: Parts, places: dict[int, int], commit: Callable[..., None]) -> Items:
    def fold(items: Any, visits: Any, scopes: Any, seen: Any, due: Any, _: Any) -> FoldItems:
        return parts.items(items, visits, scopes, seen, due, places, history=True)

    flow = Items(committed, Clock(), PARTITIONS, fold=fold, seen=1)  # type: ignore[arg-type]
    flow.commit = commit
    return flow


def read_stream(flow: Any, committed: Committed, log: Log, chance: random.Random, most: int) -> None:
    """The live flow goes on from before where it was, over so many reads."""
    after = {each: max(-1, committed.offsets.get(each, -1) - chance.randrange(4)) for each in range(PARTITIONS)}
    for _ in range(most):
        batches = list(log.behind(after, chance.randint(1, 4)))
        after.update({batch.partition: batch.offsets[-1] for batch in batches})
        if batches:
            flow.take(batches)


def read_file(make: Any, committed: Committed, parts: Parts, history: History, chance: random.Random) -> Committed:
    """The backfill of one flow: killed now and then, and started again until it is through."""
    progress, lives = Committed(), chance.randrange(4)

    def die() -> None:
        nonlocal lives
        if lives and chance.random() < 0.3:
            lives -= 1
            raise Death

    while True:
        places = {each: progress.offsets.get(each, -1) for each in range(PARTITIONS)}
        flow = make(committed, parts, dict(places), lambda batch: parts.commit(committed, progress, batch, die))
        try:
            for batches in history.batches(places, chance.randint(1, 6)):
                flow.take(batches)
        except Death:
            continue
        return progress


def in_time(events: list[Event]) -> list[dict[str, Any]]:
    """As `read_events` gives them."""
    return [msgspec.json.decode(written(event)) for event in sorted(events, key=lambda event: event.at)]


@for_all(story=YEARS, seed=seeds())
def a_file_and_the_stream_come_to_all_events(parts: Parts, story: list[Event], seed: int) -> None:
    """Of each flow: some of the stream is read, then the file, then the rest, with deaths and rewinds."""
    chance = random.Random(seed)
    where = [(event, chance.choice(("file", "stream", "both"))) for event in story]
    filed = [event for event, place in where if place != "stream"]
    at_first = [event for event, place in where if place == "both" or (place == "stream" and chance.random() < 0.7)]
    afterwards = [event for event, place in where if place == "stream" and event not in at_first]
    chance.shuffle(at_first)
    history = [*in_time(filed), *([{"event_id": "bad", "type": "view"}] if chance.random() < 0.3 else [])]
    arrivals = [*(Arrival(e, e.at) for e in filed), *(Arrival(e, NOW) for e in (*at_first, *afterwards))]
    for live, old in ((live_items, old_items), (live_people, old_people)):
        committed, log = Committed(), Log([written(event) for event in at_first])
        read_stream(live(committed, parts), committed, log, chance, chance.randrange(4))
        in_file = History(history, PARTITIONS, parts.ids(log, NOW, SKEW))
        progress = read_file(old, committed, parts, in_file, chance)
        for event in afterwards:
            log.records[partition_of(event.key, PARTITIONS)].append(written(event))
        read_stream(live(committed, parts), committed, log, chance, chance.randrange(4))
        read_stream(live(committed, parts), committed, log, chance, 2 * len(story) + 10)

        left = len(history) - sum(len(b.offsets) for each in in_file.batches({0: -1, 1: -1}, 9) for b in each)
        assert progress.received == progress.outcomes.total() == len(history) - left
        assert progress.outcomes["late"] == 0
        assert committed.received == committed.outcomes.total() == len(at_first) + len(afterwards)
        assert_equal_to_oracle(committed, arrivals)


def assert_equal_to_oracle(committed: Committed, arrivals: list[Arrival]) -> None:
    """Everything but neighbours, where the order of arrival counts."""
    found = committed.values()
    if any(entity == "user" for entity, _ in found):
        for key in {arrival.event.key for arrival in arrivals}:
            row = user_row([each for each in arrivals if each.event.key == key], FACTS, NOW)
            assert (
                found.get(("user", key), user_row([], FACTS, NOW)) == row
            )  # who did nothing that counts may have none
        return
    for (entity, key), row in found.items():
        if entity == "item":
            expected = item_stats(arrivals, key, NOW)
            assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    counted = {line.item_id for event, _ in arrivals for line in event.lines()}
    for key in counted - {key for entity, key in found if entity == "item"}:
        assert not any(item_stats(arrivals, key, NOW).values())


class JudgedNow(Forgetful):
    """Lateness by the clock."""

    def apply(self, event: Event, facts: Any, now: int) -> Any:
        return super().apply(event, facts, NOW)


def items_without_history(*states: Any, history: bool) -> FoldItems:
    return FoldItems(*states)


def people_without_history(*states: Any, **settings: Any) -> FoldPeople:
    return FoldPeople(*states, **settings | {"history": False})


def skips_all_ids(stream: Any, now: int, max_skew: int) -> Ids:
    """Also those that the flows do not count, because they come too late."""
    return ids_in_stream(stream, -DAY * 10_000, DAY * 100_000)


def test_a_file_and_the_stream_come_to_all_events() -> None:
    holds(a_file_and_the_stream_come_to_all_events, Parts())


@pytest.mark.parametrize(
    "mutant",
    [
        Parts(user=JudgedNow),
        Parts(items=items_without_history),
        Parts(people=people_without_history),
        Parts(ids=lambda stream, now, max_skew: NONE),
        Parts(ids=skips_all_ids),
        Parts(commit=apart),
    ],
    ids=["late users", "late items", "no history", "nothing skipped", "late skipped", "progress apart"],
)
def test_a_backfill_that_is_wrong_is_caught(mutant: Parts) -> None:
    assert fails(a_file_and_the_stream_come_to_all_events, mutant)


def test_the_offset_that_a_user_has_in_the_stream_is_left_alone() -> None:
    committed = Committed()
    People(committed, Clock(), 1).take([Received(0, [10**15], [raw(event_id="live")])])
    history = History([{"event_id": "old", "type": "view", "user_id": "u1", "occurred_at": NOW - DAY}], 1, NONE)
    fold = old_people(committed, Parts(user=User), {0: -1, 1: -1}, committed.commit)
    fold.take(next(history.batches({0: -1}, 10)))
    user = User.unpack(committed.states["user", "u1"])
    assert (user.offset, len(user.seen)) == (10**15, 2)


def test_an_event_is_in_the_stream_if_a_flow_counts_it() -> None:
    old = NOW - 91 * DAY
    stream = [
        raw(event_id="counted"),
        raw(event_id="late", occurred_at=old),
        raw(event_id="timeless", type="profile", occurred_at=old),
        raw(event_id="refused", price=-1),
        raw(event_id="ahead", occurred_at=NOW + SKEW + 1),
        b"",
    ]
    ids = [*("counted", "late", "timeless", "refused", "ahead"), "other"]
    events = [{"event_id": each, "type": "view", "user_id": "u1", "occurred_at": NOW} for each in ids]
    assert rows_left(events, ids_in_stream(Log(stream), NOW, SKEW)) == [1, 3, 4, 5]


def test_an_id_is_that_of_one_user() -> None:
    events = [{"event_id": "e1", "type": "view", "user_id": user, "occurred_at": NOW} for user in ("u1", "u2")]
    events += [{"event_id": "e1", "type": "view", "anonymous_id": user, "occurred_at": NOW} for user in ("u1", "a")]
    assert rows_left(events, ids_in_stream(Log([raw(user_id="u1")]), NOW, SKEW)) == [1, 3]


def test_of_a_stream_that_grows_what_was_there_is_read_and_what_was_removed_is_not() -> None:
    log = Log([raw(event_id=f"e{n}") for n in range(7)], removed=2)
    partition = partition_of("u1", PARTITIONS)
    log.on_read = lambda: log.records[partition].extend([raw(event_id=f"new{n}") for n in range(3)])
    found = ids_in_stream(log, NOW, SKEW)  # type: ignore[arg-type]
    events = [{"event_id": f"e{n}", "type": "view", "user_id": "u1", "occurred_at": NOW} for n in range(7)]
    assert rows_left(events, found) == [0, 1]
    assert len(found) <= 5 + 2


def test_a_stream_whose_last_record_is_gone_is_read_to_its_end() -> None:
    class Shortened(Log):
        def bounds(self, partition: int) -> Bounds:
            return Bounds(-1, 10)

        def lag(self, after: dict[int, int]) -> dict[int, int]:
            return dict.fromkeys(after, 0)

    assert len(ids_in_stream(Shortened([raw(event_id="e1"), raw(event_id="e2")]), NOW, SKEW)) == 2  # type: ignore[arg-type]
    assert len(ids_in_stream(Log(), NOW, SKEW)) == 0  # type: ignore[arg-type]


def rows_left(events: list[dict[str, Any]], ids: Ids) -> list[int]:
    """The places of the events that are in the file alone."""
    batches = History(events, PARTITIONS, ids).batches({0: -1, 1: -1}, 100)
    return sorted(place for each in batches for batch in each for place in batch.offsets)


@given(story=YEARS, size=st.integers(1, 7), done=st.tuples(st.integers(-1, 30), st.integers(-1, 30)))
def test_micro_batches_hold_the_rest_of_the_file_once_each_in_order(
    story: list[Event], size: int, done: tuple[int, int]
) -> None:
    events = in_time(story)
    history = History(events, PARTITIONS, NONE)
    reads = list(history.batches(dict(enumerate(done)), size))
    left = sum(len(batch.offsets) for read in reads for batch in read)
    assert history.share_done(dict(enumerate(done))) == (1 - left / len(events) if events else 1)
    found = [(batch.partition, place, value) for each in reads for batch in each
             for place, value in zip(batch.offsets, batch.values, strict=True)]  # fmt: skip
    owners = [partition_of(event["user_id"], PARTITIONS) for event in events]
    expected = [(owner, place) for place, owner in enumerate(owners) if place > done[owner]]
    assert sorted(expected) == [(partition, place) for partition, place, _ in sorted(found)]
    assert all(msgspec.json.decode(value) == events[place] for _, place, value in found)
    for partition in range(PARTITIONS):
        places = [place for owner, place, _ in found if owner == partition]
        assert places == sorted(places)
    assert [sum(len(batch.offsets) for batch in each) for each in reads[:-1]] == [size] * (len(reads) - 1)
    assert all(len({batch.partition for batch in each}) == len(each) for each in reads)


def drive(batches: list[list[Received]], stop: StopSignal) -> tuple[list[Received], int]:
    """What comes through the engine, and the progress that was told."""
    told: list[int] = []
    out: list[Received] = []
    flow = Dataflow("drive")
    source = HistorySource(iter(batches), stop, told.append)
    op_output("out", op_input("in", flow, source), TestingSink(out))
    run_main(flow)  # type: ignore[no-untyped-call]
    return out, sum(told)


def test_the_source_ends_with_the_file_or_when_it_is_told_to_stop() -> None:
    reads = [[Received(0, [0], [b"a"]), Received(1, [1], [b"b"])], [Received(0, [2, 3], [b"c", b"d"])]]
    assert drive(reads, StopSignal()) == ([batch for each in reads for batch in each], 4)
    stop = StopSignal()
    stop._tell(15, None)
    assert drive(reads, stop) == ([], 0)


def test_the_files_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.parquet", "a/2.jsonl.gz", "a/1.csv", "_SUCCESS", "a/1.csv.tmp", "c.ndjson"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(each.relative_to(tmp_path)) for each in files_of(tmp_path)] == [
        "a/1.csv", "a/2.jsonl.gz", "b.parquet", "c.ndjson",
    ]  # fmt: skip
    assert files_of(tmp_path / "b.parquet") == [tmp_path / "b.parquet"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(MappingError, match=r"empty holds no file that ends in one of \.jsonl"):
        files_of(tmp_path / "empty")


def test_a_fingerprint_is_that_of_the_content_and_a_version_changes_with_it(tmp_path: Path) -> None:
    one, copy, other = tmp_path / "one", tmp_path / "copy", tmp_path / "other"
    one.write_bytes(b"ab")
    copy.write_bytes(b"ab")
    other.write_bytes(b"b")
    assert fingerprint(one) == fingerprint(copy)
    assert len({fingerprint(one), fingerprint(other), fingerprint(one, other), fingerprint(other, one)}) == 4
    before = version_of(one)
    assert version_of(one) == before
    one.write_bytes(b"abc")
    assert version_of(one) != before


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        (None, {}, "No such file"),
        ("x", {"INLAY_BATCH_EVENTS": "many"}, "INLAY_BATCH_EVENTS='many' is no number"),
        ("x", {"INLAY_STREAM_URL": "tape://0"}, "'tape' is no stream"),
        ("x", {"INLAY_DEAD_LETTERS_URL": "redis://127.0.0.1:1/0"}, "must be in the Redis of INLAY_REDIS_URL"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(
    content: str | None, settings: dict[str, str], said: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "events.jsonl"
    if content:
        file.write_text(content)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(backfill, "StopSignal", Silent)
    assert backfill.main([str(file)]) == 2
    assert said in capsys.readouterr().err


class Silent(StopSignal):
    def listen(self) -> None:
        """Leave the signals of the test's process alone."""


class Renewed:
    """A lease that notes its renewals, and may be lost or out of reach."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.times, self.twice = error, 0, threading.Event()

    def renew(self) -> None:
        self.times += 1
        if self.times == 2:
            self.twice.set()
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, redis.ConnectionError()], ids=["held", "Redis away for a moment"])
def test_leases_are_renewed_during_a_long_step_and_not_beyond_it(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive, "RENEW_SECONDS", 0)
    lease: Any = Renewed(error)
    with exclusive.renewing({"items": lease}):
        assert lease.twice.wait(60)
    assert renewing_threads() == []


def test_a_lease_that_was_lost_is_not_asked_for_again_and_whoever_commits_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exclusive, "RENEW_SECONDS", 0)
    lease: Any = Renewed(LeaseError("lost"))
    with exclusive.renewing({"items": lease}):
        for thread in renewing_threads():
            thread.join(60)
        assert renewing_threads() == []
    assert lease.times == 1
    with pytest.raises(LeaseError, match="lost"):
        exclusive.renew({"items": lease})


def renewing_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "renew leases"]
