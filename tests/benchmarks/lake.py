"""What a lake costs: the people flow without one, and with one and the lake flow beside it, in turns.

Two streams: one in which twelve events of a user come together and are one row, as in the sample, and one in which
every event is another user's, and so a row of its own. The rate is that of the people flow, to its last commit, with
whatever shares the machine with it; processor time says what of it is the flow's own work, and what Redis and the lake
flow do.
"""

import tempfile
import time
from typing import Final, NamedTuple

from dataflows.events import MINUTE
from tests.benchmarks.backlog import cpu_seconds, drained_after, encode, fill, owners, redis_pid, release
from tests.benchmarks.figures import Figure
from tests.integration.stand import Stand

ROUNDS: Final = 3
STREAMS: Final = {"twelve events a user": (240_000, 12), "every event another user's": (120_000, 1)}
Records = list[tuple[int, bytes]]


class Run(NamedTuple):
    """One turn: events a second, and microseconds of processor time an event, of each process."""

    rate: float
    people: float
    redis: float
    lake: float


def measure() -> list[Figure]:
    figures = []
    for name, (events, each) in STREAMS.items():
        records = _records(events, each)
        without, beside = [], []
        for _ in range(ROUNDS):
            without.append(_drain(records, lake=False))
            beside.append(_drain(records, lake=True))
        figures += _figures(name, without, beside)
    return figures


def _figures(name: str, without: list[Run], beside: list[Run]) -> list[Figure]:
    plain, rate = max(run.rate for run in without), max(run.rate for run in beside)
    least = {run: [min(getattr(each, run) for each in turn) for turn in (without, beside)] for run in Run._fields[1:]}
    return [
        Figure(f"people flow without a lake, {name}", plain, "events/s"),
        Figure(f"people flow, lake flow beside it, {name}", rate, "events/s", {"without a lake": rate / plain}),
        *(
            Figure(f"processor time of {process}, with a lake, {name}", with_lake, "µs/event", {"without": ratio})
            for process, (plain_time, with_lake) in least.items()
            if process != "lake" and (ratio := with_lake / plain_time)
        ),
        Figure(f"processor time of the lake flow, {name}", least["lake"][1], "µs/event"),
    ]


def _records(events: int, each: int) -> Records:
    """Views of `events // each` users, those of one near each other."""
    now = time.time_ns() // 1000
    return encode(
        {
            "event_id": f"e{number}", "type": "view", "occurred_at": now - number % (60 * MINUTE),
            "user_id": f"stranger-{number // each}", "item_id": f"item-{number % 400}", "price": 3.5,
        }
        for number in range(events)
    )  # fmt: skip


def _drain(records: Records, *, lake: bool) -> Run:
    with tempfile.TemporaryDirectory(prefix="inlay-lake-") as folder:
        flows = ("people", "lake") if lake else ("people",)
        with Stand({"INLAY_LAKE_URL": folder} if lake else {}) as stand:
            fill(stand, records)
            for flow in flows:
                stand.start(flow)
            pids = {flow: (*owners(stand, flow),) for flow in flows} | {"redis": (redis_pid(stand),)}
            before = {name: cpu_seconds(*each) for name, each in pids.items()}
            seconds = drained_after(stand, release(stand))
            if lake:
                drained_after(stand, time.monotonic(), "lake")
                while any(stand.client.xlen(f"inlay:rows:{partition}") for partition in range(8)):
                    time.sleep(0.05)
            used = {name: (cpu_seconds(*each) - before[name]) / len(records) * 1e6 for name, each in pids.items()}
            if (applied := stand.outcomes("people")["applied"]) != len(records):
                raise RuntimeError(f"{applied:,} of {len(records):,} events were applied")
            return Run(len(records) / seconds, used["people"], used["redis"], used.get("lake", 0.0))
