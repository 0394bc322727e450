"""The edges of a flow in a test: what comes in as a list, what goes out into memory, and a crash as an input.

    run(people(committed, clock), [Received(...), ..., CRASH, ...])

`people` and `items` make a process: everything that it remembers is lost with it, what it committed stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition
from bytewax.testing import TestingSource, run_main

import dataflows.items
import dataflows.people
from dataflows.aggregate import Aggregate
from dataflows.gate import Gate
from dataflows.stages import Aggregated, Received, Validated
from tests.given import FACTS
from tests.unit.dataflows.doubles import MANY, Committed, Items, People

CRASH: Final = TestingSource.ABORT
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=timezone.utc)
"""For an engine whose clock stands there every timer is due at once."""

Process = Callable[[Source[Received], Sink[Any]], Dataflow]


class Out(RuntimeError):
    """Redis went away."""


class CommittedSink(FixedPartitionedSink[Aggregated, None]):
    """The store: what it is given is committed, `lasts` micro-batches of it, before Redis goes away."""

    def __init__(self, committed: Committed, lasts: int = MANY) -> None:
        self.committed, self.lasts = committed, lasts

    def list_parts(self) -> list[str]:
        return ["store"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> StatefulSinkPartition[Aggregated, None]:
        return _CommittedPartition(self)


class _CommittedPartition(StatefulSinkPartition[Aggregated, None]):
    def __init__(self, sink: CommittedSink) -> None:
        self._sink = sink

    def write_batch(self, items: list[Aggregated]) -> None:
        for batch in items:
            if self._sink.lasts <= 0:
                raise Out("the store is gone")
            self._sink.lasts -= 1
            self._sink.committed.commit(batch)

    def snapshot(self) -> None:
        return None


class NoneBroken:
    """A verdict that finds all rows right."""

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        return {}

    def table(self, rows: list[Mapping[str, Any]]) -> str:
        return ""


class Broken:
    """A verdict that finds the rows of one key wrong."""

    def __init__(self, key: str) -> None:
        self.key = key

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        return {place: "is_allowed(key)" for place, row in enumerate(rows) if row["key"] == self.key}

    def table(self, rows: list[Mapping[str, Any]]) -> str:
        return ""


def people(
    committed: Committed,
    clock: Callable[[], int],
    *,
    verdict: Any = None,
    idle: bool = False,
    capacity: int = MANY,
    complete: Callable[[Validated], Validated] = lambda batch: batch,
) -> Process:
    """A process of the people flow; with `idle`, its timers are due all the time."""
    parts = People(committed, clock, capacity=capacity)
    folds = iter(parts.folds.values())
    wall = (lambda: LONG_AGO) if idle else (lambda: datetime.now(timezone.utc))
    return lambda source, sink: dataflows.people.build(
        source,
        sink,
        validate=parts.validate,
        look_up=lambda item_ids: {item_id: fact for item_id, fact in FACTS.items() if item_id in item_ids},
        aggregate=lambda: Aggregate(next(folds), clock, wall),
        gate=Gate({"user": verdict or NoneBroken()}, {"user": verdict or NoneBroken()}),
        complete=complete,
    )


def items(
    committed: Committed, clock: Callable[[], int], *, verdict: Any = None, idle: bool = False, capacity: int = MANY
) -> Process:
    """A process of the items flow."""
    parts = Items(committed, clock, capacity=capacity)
    wall = (lambda: LONG_AGO) if idle else (lambda: datetime.now(timezone.utc))
    return lambda source, sink: dataflows.items.build(
        source,
        sink,
        validate=parts.validate,
        aggregate=lambda: Aggregate(parts.fold, clock, wall),
        gate=Gate({"item": verdict or NoneBroken(), "scope": NoneBroken()}),
    )


def run(process: Process, batches: Iterable[Any], sink: CommittedSink, at_once: int = 1) -> None:
    """Drive a process until the batches end, or it crashes; `at_once` micro-batches come with one read."""
    run_main(process(TestingSource(batches, at_once), sink))  # type: ignore[no-untyped-call]
