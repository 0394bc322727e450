"""What callers see while the workers of the API are replaced one after another, under load.

Requests that went with a connection have failed; what an answer may not be is anything but 200. The gap is the longest
time in which nothing was answered at all.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

from tests.benchmarks.failing_store import KEY, USERS, _mail, _stock, _wait_until_personal
from tests.benchmarks.figures import Figure
from tests.benchmarks.offered import FAILED, UNSENT, Offered
from tests.benchmarks.open_loop import getting
from tests.integration.stand import Stand

TIMES: Final = int(os.environ.get("INLAY_BENCH_RESTARTS") or 20)
RATE: Final = 200
CONNECTIONS: Final = 32
WORKERS: Final = 1
"""So that nothing but the one that is to be replaced, or the one that takes its place, could answer."""


def measure() -> list[Figure]:
    with Stand({"INLAY_API_KEYS": KEY}) as stand:
        _stock(stand)
        url = stand.start_api("--workers", WORKERS)
        _wait_until_personal(url)
        offered = replaced_under_load(stand, url, TIMES)
    statuses = offered.statuses()
    wrong = sum(statuses.values()) - statuses[200]
    return [
        Figure(f"requests while a worker is replaced {TIMES} times, {RATE}/s", sum(statuses.values()), "requests"),
        Figure("… that failed with their connection, or found none", statuses[FAILED] + statuses[UNSENT], "requests"),
        Figure("… that were answered with anything but 200", wrong, "requests"),
        Figure("… the longest time without an answer", offered.longest_silence(200) * 1000, "ms"),
        Figure("… p99", offered.p(0.99, 200) * 1000, "ms"),
        Figure("… p99.9", offered.p(0.999, 200) * 1000, "ms"),
        Figure("… the slowest", max(offered.seconds(200)) * 1000, "ms"),
    ]


def replaced_under_load(stand: Stand, url: str, times: int, rate: float = RATE) -> Offered:
    """Replace the workers so many times, while mails are asked for."""
    parent = stand._processes["api"].pid
    offered = Offered(url, [getting(_mail(url, user), {"X-Api-Key": KEY}) for user in USERS], rate, CONNECTIONS)
    over = threading.Event()
    loading = threading.Thread(target=offered.run_until, args=(over.is_set,))
    loading.start()
    try:
        time.sleep(0.5)
        for _ in range(times):
            before = workers_of(parent)
            os.kill(parent, signal.SIGHUP)
            _wait_until_replaced(parent, before)
        time.sleep(0.5)
    finally:
        over.set()
        loading.join()
    return offered


def workers_of(parent: int) -> set[int]:
    """The processes of the workers; Python's own tracker of resources is none."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def _wait_until_replaced(parent: int, before: set[int], seconds: float = 120) -> None:
    give_up_at = time.monotonic() + seconds
    while (now := workers_of(parent)) & before or len(now) != len(before):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"workers {before} are not replaced after {seconds:g} s")
        time.sleep(0.05)
