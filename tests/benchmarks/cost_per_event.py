"""What an event costs the people flow as the number of users grows: from 10,000 to a million of them in Redis.

The work is the same at every size: micro-batches of 40,000 events of 10,000 users, drawn evenly from all, four each;
so are the states, put back to twelve events before each micro-batch. The gate is left out: what it costs does not know
how many users there are, and would only make the line flatter. Draws `docs/cost-per-event.svg`.

A shared machine is now faster and now slower by a fifth, for a minute at a time, and only ever slower than it is by
itself. So the sizes take turns, and the best turn of each counts.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Final, NamedTuple

from dataflows.events import MINUTE, Event
from dataflows.lease import Lease
from dataflows.owning import settle_memory
from tests.benchmarks.backlog import cpu_seconds, redis_pid
from tests.benchmarks.crowd import ITEMS, TYPES, Model, batches, clock, models, people_in_process, populate, take_lease
from tests.benchmarks.crowd import user_id as id_of
from tests.benchmarks.figures import Figure
from tests.benchmarks.picture import Line, draw
from tests.integration.stand import ROOT, Stand

ROUNDS: Final = 8
SIZES: Final = (10_000, 30_000, 100_000, 300_000, 1_000_000)
CACHE: Final = 100_000
BATCH: Final = 40_000
DISTINCT: Final = 10_000
PICTURE: Final = ROOT / "docs" / "cost-per-event.svg"
MICROS: Final = 1_000_000

WARM: Final = "cache of 100,000 users"
HELD: Final = "every user in memory"
MISSED: Final = "every user read from Redis"
"""What is in memory when a micro-batch comes: as many of all users as the cache holds, its own users, nobody."""


class Cost(NamedTuple):
    """Microseconds an event: processor time of the flow and of Redis, and on the clock."""

    flow: float
    redis: float
    wall: float

    @property
    def cpu(self) -> float:
        """Processor time of both."""
        return self.flow + self.redis


class Crowd(NamedTuple):
    """A Redis with a number of users, ours to write to."""

    size: int
    stand: Stand
    lease: Lease
    made: Sequence[Model]


def measure() -> list[Figure]:
    costs: dict[tuple[str, int], list[Cost]] = {(case, size): [] for case in (WARM, HELD, MISSED) for size in SIZES}
    with ExitStack() as exits:
        crowds = [_crowd(exits.enter_context(Stand()), size) for size in SIZES]
        settle_memory()
        for turn in range(ROUNDS):
            for case in (WARM, HELD, MISSED):
                for crowd in crowds:
                    costs[case, crowd.size].append(_cost(crowd, case, random.Random(turn)))
    best = {place: min(measured, key=lambda cost: cost.cpu) for place, measured in costs.items()}
    draw(
        PICTURE,
        "Processor time an event, by the number of users",
        "µs of the people flow and Redis together",
        [Line(case, [(size, best[case, size].cpu) for size in SIZES]) for case in (MISSED, WARM, HELD)],
    )
    least = {case: min(best[case, size].cpu for size in SIZES) for case in (WARM, HELD, MISSED)}
    figures = []
    for (case, size), cost in best.items():
        figures.append(
            Figure(f"{case}, {size:,} users", cost.cpu, "µs/event", {"the cheapest": cost.cpu / least[case]})
        )
        if case == WARM:
            figures.append(Figure(f"… of which Redis, {size:,} users", cost.redis, "µs/event"))
            figures.append(Figure(f"… on the clock, {size:,} users", cost.wall, "µs/event"))
            middle = median(each.cpu for each in costs[case, size])
            figures.append(Figure(f"… the median turn, {size:,} users", middle, "µs/event"))
    return figures


def _crowd(stand: Stand, size: int) -> Crowd:
    made = models(stand.client, stand.url)
    populate(stand.client, range(size), made)
    return Crowd(size, stand, take_lease(stand.url), made)


def _cost(crowd: Crowd, case: str, chance: random.Random) -> Cost:
    """One micro-batch on a fresh cache; the users in it are put back to what they were."""
    people = people_in_process(crowd.stand.url, crowd.lease, max(CACHE, DISTINCT))
    now = clock()
    numbers = chance.sample(range(crowd.size), DISTINCT)
    remembered = {
        WARM: chance.sample(range(crowd.size), min(CACHE, crowd.size)),
        HELD: numbers,
        MISSED: [],
    }[case]
    for first in range(0, len(remembered), DISTINCT):
        people.users.load([id_of(number) for number in remembered[first : first + DISTINCT]])
    users = numbers * (BATCH // DISTINCT)
    chance.shuffle(users)
    events = [
        Event(
            event_id=f"{number}-{place}-{now}", type=chance.choice(TYPES), occurred_at=now - chance.randrange(MINUTE),
            user_id=id_of(number), item_id=f"item-{chance.randrange(ITEMS)}",
        )
        for place, number in enumerate(users)
    ]  # fmt: skip
    made = batches(events, now)
    pid = redis_pid(crowd.stand)
    gc.collect()
    redis, flow, wall = cpu_seconds(pid), time.process_time(), time.perf_counter()
    people.take(made, now)
    took = time.process_time() - flow, cpu_seconds(pid) - redis, time.perf_counter() - wall
    populate(crowd.stand.client, numbers, crowd.made)
    return Cost(*(seconds * MICROS / BATCH for seconds in took))
