"""Rolling features on one worker, against the sliding windows of Bytewax and Pathway on the same events.

The peers count events by type in windows of 24 hours that begin every hour. We fold the whole user: every window, every
type, and each row that is read from it. What both sides claim, the counts of a window that ends at a full hour, must be
equal, or there is no figure.

Bytewax runs twice: as it comes, and with the settings of garbage collection that our flows have, which make it faster.
"""

from __future__ import annotations

import gc
import heapq
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, SlidingWindower, fold_window
from bytewax.testing import TestingSink, TestingSource, run_main

from dataflows.aggregate import Aggregate
from dataflows.aggregate_people import FoldPeople, Partition
from dataflows.aggregates.effects import COUNTED, Fact
from dataflows.aggregates.people import KINDS, User
from dataflows.aggregates.tiles import USER_LEVELS, Tiles, Totals
from dataflows.derived import silence
from dataflows.erased_ids import ErasedIds
from dataflows.events import HOUR, Event
from dataflows.identities import Identities
from dataflows.inbox import Message
from dataflows.owning import settle_memory
from dataflows.population import Population
from dataflows.stages import Aggregated, Command, Enriched, Validated
from dataflows.state import StateTable
from tests.benchmarks import sample
from tests.benchmarks.figures import Figure
from tests.benchmarks.pathway_venv import pathway_python
from tests.benchmarks.turns import best_rates
from tests.integration.stand import ROOT

EVENTS: Final = 60_000
BATCH: Final = 40_000
FOLDER: Final = ROOT / "var" / "bench"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
STILL: Final = datetime(2000, 1, 1, tzinfo=timezone.utc)

Counts = dict[tuple[str, int], tuple[int, ...]]
"""By user and the hour since 1970 at which a window of 24 hours ends: how many events of each kind it holds."""


class Unequal(AssertionError):
    """Two engines disagree on a number that both claim."""


def measure() -> list[Figure]:
    print(f"windows: on {'the real sample' if sample.is_present() else 'made-up events: there is no sample data'}")
    facts = sample.shop_facts()
    counted = [sample.as_event(fields) for fields in sample.shop_events() if fields["type"] in COUNTED][:EVENTS]
    python = pathway_python(FOLDER)
    return [
        *_compare(counted, "every type", facts, python),
        *_compare([event for event in counted if event.type == "view"], "views only", facts, python),
    ]


def _compare(events: list[Event], what: str, facts: Mapping[str, Fact], python: Path | None) -> list[Figure]:
    full = by_hour(events, facts, BATCH)
    hourly = by_hour(events, facts, 1)
    timed = [(event.key, (EPOCH + timedelta(microseconds=event.at), COUNTED[event.type])) for event in events]
    path = _to_file(events)
    found: dict[str, Any] = {}

    def ours() -> float:
        found["ours"], seconds = _fold(full, expire=False)
        return len(events) / seconds

    def windows_alone() -> float:
        found["windows alone"], seconds = _tiles(full)
        return len(events) / seconds

    def ours_by_hour() -> float:
        found["by hour"], seconds = _fold(hourly, expire=True)
        return len(events) / seconds

    def bytewax() -> float:
        found["Bytewax"], seconds = _bytewax(timed, as_python_collects, documented_clock())
        return len(events) / seconds

    def bytewax_settled() -> float:
        found["Bytewax, settled"], seconds = _bytewax(timed, settle_memory, still_clock())
        return len(events) / seconds

    def pathway() -> float:
        counts, seconds = _pathway(python, path, compared="Pathway" in found)
        found.setdefault("Pathway", counts)
        return len(events) / seconds

    contestants: dict[str, Callable[[], float]] = {
        "ours": ours, "windows alone": windows_alone, "by hour": ours_by_hour,
        "Bytewax": bytewax, "Bytewax, settled": bytewax_settled,
    }  # fmt: skip
    if python:
        contestants["Pathway"] = pathway
    rates = best_rates(contestants)
    peers = [name for name in ("Bytewax", "Bytewax, settled", "Pathway") if name in rates]
    for peer in peers:
        check_rows(found["ours"], found[peer], peer)
        check_rows(found["windows alone"], found[peer], peer)
        check_every_window(found["by hour"], found[peer], peer)
    windows = len(found["Bytewax"])
    print(f"windows, {what}: {len(events):,} events, {windows:,} windows equal, {len(found['ours']):,} rows equal")
    names = {
        "ours": f"rolling features, {what}",
        "windows alone": f"… the windows alone, {what}",
        "by hour": f"… with what time alone changes, {what}",
    }
    return [
        *(Figure(names[own], rates[own], "events/s", {p: rates[own] / rates[p] for p in peers}) for own in names),
        *(Figure(f"{peer}, sliding window, {what}", rates[peer], "events/s") for peer in peers),
    ]


def by_hour(events: Iterable[Event], facts: Mapping[str, Fact], least: int) -> list[tuple[int, Enriched]]:
    """Micro-batches that end at a full hour and hold at least so many events, each with that hour in microseconds."""
    cut: list[tuple[int, list[Event]]] = []
    for hour, several in groupby(events, key=lambda event: event.at // HOUR):
        if not cut or len(cut[-1][1]) >= least:
            cut.append((0, []))
        cut[-1] = (hour + 1) * HOUR, cut[-1][1] + list(several)
    out, offset = [], 0
    for now, several in cut:
        placed = list(enumerate(several, offset))
        offset += len(placed)
        out.append((now, Enriched(Validated(0, offset - 1, placed, []), facts)))
    return out


def check_rows(ours: Counts, peer: Counts, name: str) -> None:
    """Every row that we wrote says what the peer's window of that user and hour says.

    Raises:
        Unequal: one does not.
    """
    nothing = (0,) * len(KINDS)
    if not ours:
        raise Unequal("there are no rows to compare")
    for place, counts in ours.items():
        if counts != peer.get(place, nothing):
            raise Unequal(f"{place}: our row says {counts}, the window of {name} {peer.get(place, nothing)}")


def check_every_window(rows: Counts, peer: Counts, name: str) -> None:
    """What our rows say of each hour, those in between included, is what all windows of the peer say, no more, no less.

    A row stands until the next one of that user, the last one until the run ends; later windows are open still.

    Raises:
        Unequal: it is not.
    """
    last = max(hour for _, hour in rows)
    standing: Counts = {}
    for user, several in groupby(sorted(rows), key=lambda place: place[0]):
        hours = [hour for _, hour in several]
        for hour, until in zip(hours, [*hours[1:], last + 1], strict=True):
            if any(rows[user, hour]):
                standing |= dict.fromkeys(((user, each) for each in range(hour, until)), rows[user, hour])
    closed = {place: counts for place, counts in peer.items() if place[1] <= last}
    if standing != closed:
        wrong = sorted(place for place in standing.keys() | closed.keys() if standing.get(place) != closed.get(place))
        place = wrong[0]
        raise Unequal(
            f"{len(wrong):,} of {len(closed):,} windows differ, the first is {place}: "
            f"our rows say {standing.get(place)}, the window of {name} {closed.get(place)}"
        )


def _fold(cut: Sequence[tuple[int, Enriched]], *, expire: bool) -> tuple[Counts, float]:
    """Our features: the counts in the rows, and how long it took."""
    ends = {batch.batch.offset: now for now, batch in cut}
    due = DueInMemory()
    users = StateTable(lambda keys: [None] * len(keys), User.unpack, User, 10**9)
    alone = Identities(NobodyTells(), users.peek, 1, ErasedIds(NobodyTells(), 0))  # type: ignore[arg-type]
    partition = Partition(due, alone, silence, Population(list))  # type: ignore[arg-type]
    people = FoldPeople(users, lambda _: partition, {0: -1}, cart_idle=HOUR)
    out: list[tuple[int, Aggregated]] = []

    class ByHour:
        """The fold of the people flow, told the hour of each micro-batch."""

        def fold(self, batches: list[Enriched], now: int) -> list[tuple[int, Aggregated]]:
            results = []
            for batch in batches:
                hour = ends[batch.batch.offset]
                if expire:
                    results += [(each, result) for each in self._hours_until(hour) for result in people.expire(each)]
                results += [(hour, result) for result in people.fold([batch], hour)]
            return results

        def expire(self, now: int) -> list[tuple[int, Aggregated]]:
            return []  # the hour is told by the events, not by the engine's timer

        def _hours_until(self, hour: int) -> list[int]:
            return due.hours_until(hour)

    seconds = _run(cut, ByHour(), out)
    counts = {
        (row.key, now // HOUR): tuple(row.values[f"{kind}_24h"] for kind in KINDS)
        for now, result in out
        for row in result.rows
    }
    return counts, seconds


def _tiles(cut: Sequence[tuple[int, Enriched]]) -> tuple[Counts, float]:
    """Our windows alone, all four of each type: nothing else of a user, no repeats found, no state to be stored.

    That is what the peers do, too.
    """
    ends = {batch.batch.offset: now for now, batch in cut}
    users: dict[str, Tiles] = {}
    out: list[tuple[int, dict[str, Totals]]] = []

    class Windows:
        """The tiles of each user, and what they come to after each micro-batch."""

        def fold(self, batches: list[Enriched], now: int) -> list[tuple[int, dict[str, Totals]]]:
            results = []
            for batch in batches:
                hour = ends[batch.batch.offset]
                touched: dict[str, Tiles] = {}
                for _, event in batch.batch.events:
                    key = event.key
                    tiles = users.get(key)
                    if tiles is None:
                        tiles = users[key] = Tiles(USER_LEVELS, len(KINDS))
                    touched[key] = tiles
                    tiles.count(COUNTED[event.type], event.at, hour)
                results.append((hour, {key: tiles.totals(hour) for key, tiles in touched.items()}))
            return results

        def expire(self, now: int) -> list[Aggregated]:
            return []

    seconds = _run(cut, Windows(), out)
    counts = {(key, now // HOUR): tuple(totals.counts["24h"]) for now, result in out for key, totals in result.items()}
    return counts, seconds


def _run(cut: Sequence[tuple[int, Enriched]], fold: Any, out: list[Any]) -> float:
    """Seconds that a fold takes in the engine."""
    flow = Dataflow("rolling_features")
    source = op.input("events", flow, TestingSource([batch for _, batch in cut]))
    keyed = op.key_on("partition", source, lambda batch: str(batch.batch.partition))
    aggregated = op.stateful_batch("aggregate", keyed, lambda _: Aggregate(fold, lambda: 0))
    op.output("rows", op.key_rm("unkeyed", aggregated), TestingSink(out))
    settle_memory()
    started = time.perf_counter()
    run_main(flow)
    return time.perf_counter() - started


class NobodyTells:
    """The inbox of somebody who is alone."""

    def read(self) -> list[Message]:
        """Nothing."""
        return []

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        """Nobody was erased."""
        return {}


class DueInMemory:
    """What a sorted set in Redis does for the people flow."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._queue: list[tuple[int, str]] = []

    def until(self, now: int, most: int) -> list[str]:
        """Keys that are due at `now`, all of them."""
        found = {}
        while self._queue and self._queue[0][0] <= now:
            at, key = heapq.heappop(self._queue)
            if self._at.get(key) == at:
                found[key] = None
        return list(found)

    def hours_until(self, hour: int) -> list[int]:
        """The full hours up to `hour` at which somebody may be due."""
        first = self._queue[0][0] if self._queue else hour
        return list(range(-(-min(first, hour) // HOUR) * HOUR, hour + 1, HOUR))

    def commands(self, due: dict[str, int | None]) -> list[Command]:
        """Set the keys' new times."""
        for key, at in due.items():
            if at is None:
                self._at.pop(key, None)
            else:
                self._at[key] = at
                heapq.heappush(self._queue, (at, key))
        return []


def as_python_collects() -> None:
    """Python's own settings of garbage collection, over what the peer makes: what is there before is left out."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 10)


def documented_clock() -> EventClock[tuple[datetime, int]]:
    """The clock of event time as Bytewax's own guide makes it; events may be an hour late."""
    return EventClock(ts_getter=lambda value: value[0], wait_for_system_duration=timedelta(hours=1))


def still_clock() -> EventClock[tuple[datetime, int]]:
    """The fastest clock for events in order of time.

    It stands still, so that the watermark is the newest event's time and nothing is late; it wakes nobody up, which
    costs half of Bytewax's speed on events of the past.
    """
    return EventClock(
        ts_getter=lambda value: value[0],
        wait_for_system_duration=timedelta(0),
        now_getter=lambda: STILL,
        to_system_utc=lambda _: None,
    )


def _bytewax(
    timed: list[tuple[str, tuple[datetime, int]]], collect: Callable[[], None], clock: EventClock[tuple[datetime, int]]
) -> tuple[Counts, float]:
    """Bytewax's own window; it does not sort what is sorted."""
    out: list[tuple[str, tuple[int, list[int]]]] = []
    windower = SlidingWindower(length=timedelta(hours=24), offset=timedelta(hours=1), align_to=EPOCH)

    def add(counts: list[int], value: tuple[datetime, int]) -> list[int]:
        counts[value[1]] += 1
        return counts

    def merge(one: list[int], other: list[int]) -> list[int]:
        return [a + b for a, b in zip(one, other, strict=True)]

    flow = Dataflow("sliding_window")
    source = op.input("events", flow, TestingSource(timed, batch_size=1000))
    counted = fold_window("count", source, clock, windower, lambda: [0] * len(KINDS), add, merge, ordered=False)
    op.output("windows", counted.down, TestingSink(out))
    collect()
    started = time.perf_counter()
    run_main(flow)
    seconds = time.perf_counter() - started
    return {(user, window + 24): tuple(counts) for user, (window, counts) in out}, seconds


def _to_file(events: Iterable[Event]) -> Path:
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "events.json"
    path.write_text(json.dumps([(event.key, event.at // 1_000_000, COUNTED[event.type]) for event in events]))
    return path


def _pathway(python: Path | None, events: Path, *, compared: bool) -> tuple[Counts, float]:
    """Pathway's window, in its own Python; it times itself, without imports and without reading the file.

    Its windows come from a second run, which is spared once they were compared.
    """
    script = Path(__file__).with_name("pathway_peer.py")
    found = FOLDER / "windows.json"
    command = [str(python), str(script), str(events), str(found), str(len(KINDS)), *(["timing only"] * compared)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=900)  # it logs its progress there
    answer = json.loads(found.read_text())
    counts = {(user, end // 3600): tuple(counts) for user, end, counts in answer["windows"]}
    return counts, answer["seconds"]
