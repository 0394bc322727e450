"""More than one API process can do: once, twice, five and ten times as much, at a fixed rate whatever the answers.

The process has a core to itself; what asks, and Redis, have the other. What it can do is found first, with as few
connections as are never sent away. Good is what is answered 200 or 202 within the time that was promised: the deadline
and 10 ms for blocks, 100 ms for events.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec

from api.crowd import LEAST_IN_WORK
from tests.benchmarks.collector import BATCH, _event, _processor_seconds
from tests.benchmarks.failing_store import KEY, USERS, _mail, _stock, _wait_until_personal
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.offered import UNSENT, Offered, Outcome
from tests.benchmarks.open_loop import getting, posting
from tests.benchmarks.reading import _resident
from tests.integration.stand import Stand

FACTORS: Final = (1, 2, 5, 10)
SECONDS: Final = float(os.environ.get("INLAY_BENCH_OVERLOAD") or 5)
"""Of each factor, after the first second, which does not count: that is when all connections are opened."""
WARMING: Final = 1.0
CONNECTIONS: Final = 256
AFTER: Final = 3.0
"""Seconds of half of what it can do, right after ten times as much."""
WELL: Final = 50
"""So many good answers in a row are back to normal."""
SERVER_CORE, OTHER_CORE = "0", "1"
PERSONAL: Final = b'"source":"personal"'
PEAK: Final = "what it can do"


class Kind(NamedTuple):
    """What is offered: requests, each worth so many of a unit, the status of a good answer and its time in seconds."""

    name: str
    requests: Sequence[bytes]
    worth: int
    unit: str
    status: int
    promised: float
    mark: bytes = b""
    factors: Sequence[int] = FACTORS


def measure() -> list[Figure]:
    figures = []
    with _on_cores() as stand:
        _stock(stand)
        url = stand.start_api(through=["taskset", "-c", SERVER_CORE])
        key = {"X-Api-Key": KEY}
        one = msgspec.json.encode(_event(0))
        many = msgspec.json.encode([_event(number) for number in range(BATCH)])
        mails = [getting(_mail(url, user), key) for user in USERS]
        # Ten times as many single events are more than a core can read off its sockets, and than the other can send.
        for kind in (
            Kind("blocks", mails, 1, "mails/s", 200, 0.07, PERSONAL),
            Kind("single events", [posting(f"{url}/v1/events", one, key)], 1, "events/s", 202, 0.1, factors=(1, 2)),
            Kind(
                f"events in batches of {BATCH}", [posting(f"{url}/v1/events", many, key)], BATCH, "events/s", 202, 0.1
            ),
        ):
            _wait_until_personal(url)
            figures += _overloaded(stand, url, kind)
    return figures


def _overloaded(stand: Stand, url: str, kind: Kind) -> list[Figure]:
    pid, figures = stand._processes["api"].pid, []
    peak = _peak(stand, url, kind)
    for factor in kind.factors:
        before = _processor_seconds(pid)
        offered = Offered(url, kind.requests, peak * factor, CONNECTIONS, kind.mark)
        offered.run(WARMING + SECONDS)
        used = (_processor_seconds(pid) - before) / (WARMING + SECONDS)
        outcomes = _counted(offered.outcomes)
        figures += _figures(f"{kind.name}, {factor} ×", kind, outcomes, peak)
        figures.append(Figure("… processor time of the process", used, "cores"))
        figures.append(Figure("… memory of the process", _resident(pid) / 1e6, "MB"))
        ended = max(each.done for each in offered.outcomes)
        if factor == max(kind.factors):
            after = Offered(url, kind.requests, peak / 2, CONNECTIONS, kind.mark)
            after.run(AFTER)
            figures.append(Figure(f"{kind.name}, normal again after", _normal(after.outcomes, kind) - ended, "s"))
        _forget(stand)
    return figures


def _figures(name: str, kind: Kind, outcomes: list[Outcome], peak: float) -> list[Figure]:
    taken = [each.took for each in outcomes if each.status == kind.status]
    good = sum(took <= kind.promised for took in taken) / SECONDS
    away = [each for each in outcomes if each.status in (429, 503)]
    other = sum(each.status not in (kind.status, 429, 503, UNSENT) for each in outcomes)
    sent = sum(each.status != UNSENT for each in outcomes)
    figures = [
        Figure(f"{name}: sent", sent / SECONDS, "requests/s"),
        Figure("… good", good * kind.worth, kind.unit, {PEAK: good / peak}),
        Figure("… p99 of what was taken", percentile(taken or [0.0], 0.99) * 1000, "ms"),
    ]
    if kind.mark:
        figures.append(Figure("… of them personal", sum(each.marked for each in outcomes) / SECONDS, kind.unit))
    if away:
        waited = [each.done - each.sent for each in away]
        figures += [
            Figure("… sent away", len(away) / SECONDS, "requests/s"),
            Figure(
                "… sent away without being told when to come again", sum(not each.again for each in away), "requests"
            ),
            Figure("… sent away, p50 as seen from outside", percentile(waited, 0.5) * 1000, "ms"),
            Figure("… sent away, p99 as seen from outside", percentile(waited, 0.99) * 1000, "ms"),
        ]
    return [*figures, Figure("… answered in another way, or not", other, "requests")]


def _peak(stand: Stand, url: str, kind: Kind) -> float:
    """Requests a second that are answered well, with as many connections as there are places for in any case."""
    rates = []
    for _ in range(2):
        offered = Offered(url, kind.requests, 50_000 / max(1, kind.worth / 10), int(LEAST_IN_WORK), kind.mark)
        offered.run(WARMING + 2)
        done = [each.done for each in offered.outcomes if each.status == kind.status]
        since = min(done) + WARMING
        counted = [at for at in done if at >= since]
        rates.append(len(counted) / (max(counted) - since))
        _forget(stand)
    return max(rates)


def _counted(outcomes: list[Outcome]) -> list[Outcome]:
    since = min(each.due for each in outcomes) + WARMING
    return [each for each in outcomes if each.due >= since]


def _normal(outcomes: list[Outcome], kind: Kind) -> float:
    """When the first of so many good answers in a row was given, by when they were due."""
    row = 0
    ordered = sorted(outcomes)
    for place, each in enumerate(ordered):
        well = each.status == kind.status and each.took <= kind.promised and (each.marked or not kind.mark)
        row = row + 1 if well else 0
        if row == WELL:
            return ordered[place - WELL + 1].done
    return float("inf")


def _forget(stand: Stand) -> None:
    stand.client.delete(*(f"events:{part}" for part in range(8)))
    time.sleep(0.5)


@contextmanager
def _on_cores() -> Iterator[Stand]:
    """A stand whose Redis is where this process is, away from the API."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(OTHER_CORE)} & allowed or allowed)
    try:
        with Stand({"INLAY_API_KEYS": KEY}) as stand:
            yield stand
    finally:
        os.sched_setaffinity(0, allowed)
