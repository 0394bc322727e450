"""Two people processes, each on half of the partitions, against one on all of them, on the same stream.

The stream appears at once when every process is ready. Redis and both processes share the machine's cores; how much
of one Redis takes is measured beside it.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from typing import Final

from dataflows.replay import shift
from tests.benchmarks import sample
from tests.benchmarks.backlog import cpu_seconds, drained_after, encode, fill, owners, redis_pid, release
from tests.benchmarks.figures import Figure
from tests.benchmarks.turns import best_rates
from tests.integration.stand import Stand

ONE: Final = ("0-7",)
HALVES: Final = ("0-3", "4-7")


def measure() -> list[Figure]:
    print(f"two_processes: on {'the real sample' if sample.is_present() else 'made-up events'}, {os.cpu_count()} cores")
    events = sample.shop_events()
    shift(events, time.time_ns() // 1000)
    records = encode(events)
    shares: defaultdict[tuple[str, ...], list[tuple[float, float, float]]] = defaultdict(list)

    def drain(parts: tuple[str, ...]) -> float:
        rate, redis, people = _drain(records, parts)
        shares[parts].append((rate, redis, people))
        return rate

    rates = best_rates({"one": lambda: drain(ONE), "two": lambda: drain(HALVES)})
    figures = [
        Figure("two people processes on halves", rates["two"], "events/s", {"one on all": rates["two"] / rates["one"]}),
        Figure("one people process on all", rates["one"], "events/s"),
    ]
    for parts, name in ((ONE, "one"), (HALVES, "two")):
        _, redis, people = max(shares[parts])
        figures.append(Figure(f"Redis beside {name}", redis, "cores"))
        figures.append(Figure(f"the flow's processes, {name}", people, "cores"))
    return figures


def _drain(records: list[tuple[int, bytes]], parts: tuple[str, ...]) -> tuple[float, float, float]:
    """Events a second until all is committed; and the cores that Redis and the flow's processes took meanwhile."""
    with Stand() as stand:
        fill(stand, records)
        for part in parts:
            stand.start_part("people", part)
        pids = owners(stand)
        if len(pids) != len(parts):
            raise RuntimeError(f"{len(parts)} processes were to own the partitions, {len(pids)} do")
        redis = redis_pid(stand)
        before = cpu_seconds(redis), cpu_seconds(*pids)
        seconds = drained_after(stand, release(stand))
        used = cpu_seconds(redis) - before[0], cpu_seconds(*pids) - before[1]
        if (received := stand.outcomes("people")["received"]) != len(records):
            raise RuntimeError(f"{received:,} of {len(records):,} events were received")
    return len(records) / seconds, used[0] / seconds, used[1] / seconds
