"""The people process where Redis holds a million users: how long a restart takes, and how much memory it holds.

A restart is timed from the command, imports included, until the row of an event that waits in the stream is in Redis;
the process before it was killed, so that leases have to be taken over too.
"""

from __future__ import annotations

import random
import time
from typing import Final

from tests.benchmarks.backlog import encode, memory, owners, publish_gently
from tests.benchmarks.crowd import ITEMS, clock, models, populate, user_id
from tests.benchmarks.figures import Figure
from tests.integration.stand import Stand

USERS: Final = 1_000_000
RESTARTS: Final = 3
TOUCHED: Final = 300_000
CACHE: Final = 100_000
GIVE_UP: Final = 120.0


def measure() -> list[Figure]:
    with Stand({"INLAY_STATE_CACHE": str(CACHE)}) as stand:
        populate(stand.client, range(USERS), models(stand.client, stand.url))
        restarts = [_restart(stand, number) for number in range(RESTARTS + 1)][1:]  # the first start has no past
        print(f"million_users: restarts took {', '.join(f'{seconds:.1f}' for seconds in restarts)} s", flush=True)
        (pid,) = owners(stand)
        idle = memory(pid)["VmRSS"]
        _touch(stand, random.Random(1).sample(range(USERS), TOUCHED))
        used = memory(pid)
    bare = Figure("memory of the people process, nobody in it", idle / 2**20, "MB")
    return [
        Figure(f"restart to first output, {USERS:,} users, best of {RESTARTS}", min(restarts), "s"),
        Figure(f"restart to first output, {USERS:,} users, worst", max(restarts), "s"),
        Figure(
            f"memory of the people process, {CACHE:,} cached", used["VmRSS"] / 2**20, "MB",
            {"with nobody in it": used["VmRSS"] / idle},
        ),
        Figure("… at its highest", used["VmHWM"] / 2**20, "MB"),
        bare,
        Figure("… a cached user", (used["VmRSS"] - idle) / CACHE, "bytes"),
    ]  # fmt: skip


def _restart(stand: Stand, number: int) -> float:
    """Kill the flow, if it runs, start it anew, and wait for the row of one event."""
    if number:
        stand.kill("people")
    key, at = user_id(number), clock() // 1_000_000
    [(partition, record)] = encode([_view(key, at * 1_000_000, f"restart-{number}")])
    started = time.monotonic()
    stand.publish(partition, [record])
    stand.start("people", wait=False)
    while time.monotonic() < started + GIVE_UP:
        if stand.read("user", [key])[key]["last_view_at"] == at:
            return time.monotonic() - started
        time.sleep(0.02)
    raise TimeoutError(f"the row of {key} was not written within {GIVE_UP:.0f} s")


def _touch(stand: Stand, numbers: list[int]) -> None:
    """A view of each user, so that the cache is full of users like those in Redis."""
    now = clock()
    publish_gently(stand, [_view(user_id(number), now, f"touch-{number}") for number in numbers])


def _view(key: str, at: int, event_id: str) -> dict[str, object]:
    item = f"item-{len(event_id) % ITEMS}"
    return {"event_id": event_id, "type": "view", "occurred_at": at, "user_id": key, "item_id": item}
