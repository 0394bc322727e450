"""A hundred thousand users whose hour ends at one instant: how long their rows take, and what ingest pays for it.

Each of them viewed one item within the same five minutes, an hour ago: at the next full five minutes that tile leaves
their `1h` window. Measured twice, at two such moments: with others' events coming at a steady rate, and with a backlog
of others' events that the flow works off as fast as it can. Takes ten minutes, most of them spent waiting.
`STORM_SHARE=0.2` in the environment makes it that share as large, to try something out.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from dataflows.events import MINUTE, SECOND
from dataflows.people import DUE_KEY
from tests.benchmarks.backlog import encode, fill, owners, publish, publish_gently, release
from tests.benchmarks.crowd import ITEMS, clock
from tests.benchmarks.figures import Figure
from tests.integration.stand import PARTITIONS, Stand

SHARE: Final = float(os.environ.get("STORM_SHARE", "1"))
USERS: Final = round(100_000 * SHARE)
OTHERS: Final = 25_000
TILE: Final = 5 * MINUTE
TILES_BEFORE: Final = 13
"""A view counts while its tile is one of the last twelve or the current one: it leaves thirteen tiles after its own."""

SET_UP: Final = 35.0 + 125.0 * SHARE
"""Seconds before the moment at which the views of the crowd must be on their way."""
BESIDE: Final = 15.0
"""Seconds before and after the storm that it is compared with."""
STEADY: Final = 5000
STEADY_CHUNK: Final = 0.1
BACKLOG: Final = 400_000 + round(2_800_000 * SHARE)
RUN: Final = 8
"""Events of one user that come one after another, as in a visit."""
POLL: Final = 0.1
GIVE_UP: Final = 120.0


class Storm(NamedTuple):
    """Seconds until nobody was due, and events a second: before, during, and after."""

    seconds: float
    before: float
    during: float
    after: float

    @property
    def kept(self) -> float:
        """The share of its pace that ingest kept during the storm."""
        return self.during / ((self.before + self.after) / 2)


def measure() -> list[Figure]:
    figures = []
    for name, ingest in (("at a steady rate", _steady), ("at full speed", _backlog)):
        storm = _storm(ingest)
        print(f"storm, ingest {name}: {storm.seconds:.1f} s, ingest kept {storm.kept:.0%} of its pace", flush=True)
        figures += [
            Figure(f"storm over, ingest {name}", storm.seconds, "s"),
            Figure(f"ingest {name} during the storm", storm.during, "events/s", {"before and after": storm.kept}),
            Figure(f"ingest {name} before", storm.before, "events/s"),
            Figure(f"ingest {name} after", storm.after, "events/s"),
        ]
    return figures


def _storm(ingest: Callable[[Stand, int, threading.Event], None]) -> Storm:
    with Stand() as stand:
        stand.start("people")
        owners(stand)
        moment = _moment()
        print(f"storm: in {(moment - clock()) / SECOND:.0f} s", flush=True)
        publish_gently(
            stand, [_view(f"storm-{n}", moment - TILES_BEFORE * TILE + n % TILE, f"s{n}") for n in range(USERS)]
        )
        if (due := _due(stand, moment)) != USERS or _due(stand, moment - 1):
            raise RuntimeError(f"{due:,} users are due at the moment, there should be {USERS:,}")
        stop = threading.Event()
        thread = threading.Thread(target=ingest, args=(stand, moment, stop))
        thread.start()
        try:
            storm = _watch(stand, moment)
        finally:
            stop.set()
            thread.join()
        _check(stand)
    return storm


def _moment() -> int:
    """The next full five minutes that leave time to prepare, in microseconds."""
    return -(-(clock() + round(SET_UP * SECOND)) // TILE) * TILE


def _watch(stand: Stand, moment: int) -> Storm:
    """Follow what is received and who is due, from before the moment until some seconds after the storm."""
    times: list[float] = []
    received: list[int] = []
    over = float("inf")
    start = moment / SECOND
    while time.time() < min(over + BESIDE + 1, start + GIVE_UP):
        count, now = stand.outcomes("people")["received"], time.time()
        if not received or count != received[-1]:
            times.append(now)
            received.append(count)
        if now > start and over == float("inf") and not _due(stand, moment):
            over = time.time()
        time.sleep(POLL)
    if over == float("inf"):
        raise TimeoutError(f"{_due(stand, moment):,} users were due still {GIVE_UP:.0f} s after the moment")
    if times[-1] < over + BESIDE - 5 or times[0] > start - BESIDE:
        raise RuntimeError("ingest did not last from before the storm until after it: enlarge BACKLOG")

    def rate(since: float, until: float) -> float:
        # Counts come in bursts, a micro-batch each: between two of them the pace is taken as even.
        low, high = np.interp([since, until], times, received)
        return float(high - low) / (until - since)

    return Storm(
        over - start, rate(start - BESIDE, start), rate(start, over), rate(over, min(over + BESIDE, times[-1]))
    )


def _check(stand: Stand) -> None:
    """The storm did what it was for: nobody of the crowd has a view in the last hour, everybody one of the day."""
    keys = [f"storm-{number}" for number in random.Random(1).sample(range(USERS), 1000)]
    for key, values in stand.read("user", keys).items():
        if (values["views_1h"], values["views_24h"]) != (0, 1):
            raise RuntimeError(f"{key} has {values['views_1h']} views in 1h and {values['views_24h']} in 24h")


def _steady(stand: Stand, moment: int, stop: threading.Event) -> None:
    """Events of others at a steady rate, until told to stop."""
    sent, started = 0, time.monotonic()
    while not stop.wait(max(0.0, started + sent / STEADY - time.monotonic())):
        publish(stand, _others(sent, round(STEADY * STEADY_CHUNK)))
        sent += round(STEADY * STEADY_CHUNK)


def _backlog(stand: Stand, moment: int, stop: threading.Event) -> None:
    """A backlog of others' events, seen by the flow some seconds before the moment."""
    for first in range(0, BACKLOG, 50_000):
        fill(stand, encode(_others(first, 50_000)))
    if clock() > moment - (BESIDE + 5) * SECOND:
        raise RuntimeError("the backlog took too long to prepare: make SET_UP longer")
    stop.wait((moment - clock()) / SECOND - BESIDE - 5)
    release(stand)


def _others(first: int, count: int) -> list[dict[str, Any]]:
    now = clock()
    return [
        _view(f"other-{number // RUN * 7919 % OTHERS}", now - number % MINUTE, f"o{number}")
        for number in range(first, first + count)
    ]


def _due(stand: Stand, until: int) -> int:
    """How many of the crowd and the others are due at `until`."""
    pipeline = stand.client.pipeline(transaction=False)
    for partition in range(PARTITIONS):
        pipeline.zcount(DUE_KEY.format(partition), "-inf", until)
    return int(sum(pipeline.execute()))


def _view(key: str, at: int, event_id: str) -> dict[str, Any]:
    item = f"item-{len(event_id) % ITEMS}"
    return {"event_id": event_id, "type": "view", "occurred_at": at, "user_id": key, "item_id": item}
