"""The slowest of very many: how long mails take at a fixed rate, and what the ten slowest of them waited for.

The API is watched from within (`watched_api`); what asks, and a process beside it that has Feast, pandas and Great
Expectations loaded and works a little each second, have the machine with it. `INLAY_BENCH_TAIL=1800` makes it half an
hour; with `INLAY_BENCH_COLLECTS=1` that process also looks through all it has each second, a fifth of a processor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from api.demo.embedded import free_port
from tests.benchmarks.failing_store import KEY, USERS, _stock
from tests.benchmarks.figures import Figure
from tests.benchmarks.offered import Offered, Outcome
from tests.benchmarks.open_loop import getting
from tests.integration.stand import Stand

RATE: Final = int(os.environ.get("INLAY_BENCH_TAIL_RATE") or 500)
"""Mails a second: set it to half of what the machine reaches."""
SECONDS: Final = float(os.environ.get("INLAY_BENCH_TAIL") or 60)
CONNECTIONS: Final = 64
WORST: Final = 10
WARMING: Final = 1.0
BESIDE: Final = """
import gc, os, time
import feast, great_expectations, pandas
print("loaded", flush=True)
while True:
    pandas.DataFrame({"a": range(10_000), "b": range(10_000)}).groupby("a").sum()
    if os.environ.get("INLAY_BENCH_COLLECTS"):
        gc.collect()
    time.sleep(1)
"""


def measure() -> Iterator[Figure]:
    """On a small shop made up; `reading` does the same on the features of the sample."""
    with Stand({"INLAY_API_KEYS": KEY}) as stand:
        _stock(stand)
        yield from of(stand, [f"/v1/blocks/abandoned_cart?user_id={user}" for user in USERS], KEY)


def of(stand: Stand, asked: Sequence[str], key: str) -> Iterator[Figure]:
    """How long the slowest wait; what they waited for is printed.

    Raises:
        RuntimeError: not everything was answered with 200; told after the figures, which half an hour was spent on.
    """
    with tempfile.TemporaryDirectory() as folder, _beside(), _watched(stand, Path(folder) / "seen.json") as (url, file):
        offered = Offered(url, [getting(url + path, {"X-Api-Key": key}) for path in asked], RATE, CONNECTIONS)
        started = time.monotonic()
        offered.run(WARMING + SECONDS)
        process = stand.release("watched")
        process.terminate()  # it ends as the signal says, not with 0
        process.wait(30)
        seen: dict[str, Any] = json.loads(file.read_text())
    counted = [each for each in offered.outcomes if each.due >= started + WARMING]
    offered.outcomes = counted
    if bad := set(seen["imported"]) & {"feast", "pandas", "great_expectations", "bytewax"}:
        raise RuntimeError(f"the API has {bad} loaded")
    _tell(counted, seen, started)
    what = f"blocks, {RATE} mails/s for {SECONDS:.0f} s"
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("the slowest", 1.0)):
        yield Figure(f"{what}, {name}", offered.p(share, 200) * 1000, "ms")
    meanwhile = [each for each in seen["collections"] if each[1] >= started]
    for generation in range(3):
        pauses = [pause for kind, _, pause in meanwhile if kind == generation]
        name = f"garbage collections of generation {generation}"
        yield Figure(name, len(pauses), f"{max(pauses, default=0.0) * 1000:.1f} ms")
    if bad := {status: number for status, number in offered.statuses().items() if status != 200}:
        raise RuntimeError(f"of {len(counted):,} answers these were not 200 (0: the connection went): {bad}")


def _tell(outcomes: list[Outcome], seen: dict[str, Any], started: float) -> None:
    """What the slowest waited for, on the terminal."""
    for each in sorted(outcomes, key=lambda each: -each.took)[:WORST]:
        inside = [one for one in seen["slow"] if each.sent <= one["ended"] <= each.done and one["came"] >= each.sent]
        parts = {"to be sent": each.sent - each.due}
        if inside:
            it = min(inside, key=lambda one: each.done - one["ended"])
            parts |= {"to be read by the API": it["came"] - each.sent, **it["spans"], "back": each.done - it["ended"]}
        late = max((late for due, late in seen["late"] if each.due - late <= due <= each.done), default=0.0)
        collected = [
            f"generation {kind}: {pause * 1000:.1f}"
            for kind, at, pause in seen["collections"]
            if at <= each.done and at + pause >= each.due and pause > 0.001
        ]
        told = ", ".join(f"{name} {seconds * 1000:.1f}" for name, seconds in parts.items() if seconds > 0.0005)
        print(
            f"  at {each.due - started:8.2f} s {each.took * 1000:6.1f} ms: {told or 'nothing that took long'}"
            f"; the loop was late by {late * 1000:.1f}; {', '.join(collected) or 'no garbage collected'}",
            flush=True,
        )


@contextmanager
def _beside() -> Iterator[None]:
    """Another process that has all that the API must not be held up by."""
    process = subprocess.Popen([sys.executable, "-c", BESIDE], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "loaded":
            raise RuntimeError("Feast, pandas and Great Expectations could not be loaded")
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def _watched(stand: Stand, file: Path) -> Iterator[tuple[str, Path]]:
    port = free_port()
    stand._spawn("watched", sys.executable, "-m", f"{__package__}.watched_api", port, file)
    url = f"http://127.0.0.1:{port}"
    give_up_at = time.monotonic() + 120
    while not _answers(url):
        if time.monotonic() > give_up_at:
            raise stand._error("the watched API did not start")
        time.sleep(0.2)
    yield url, file


def _answers(url: str) -> bool:
    first = Offered(url, [getting(f"{url}/health/ready", {})], 10, 1)
    first.run(0.1)
    return first.statuses()[200] > 0
