"""What is offered at a fixed rate, whatever becomes of it, and what became of each: answered how, when, or not at all.

`open_loop` asks a service that must answer everything. Here it may send away, close a connection, or go: a connection
is opened where none is free, one that is closed is opened again, and a request that went with it has failed.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import cycle, pairwise
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import uvloop

from tests.benchmarks.figures import percentile

FAILED: Final = 0
"""The connection went with the request, or could not be opened."""
UNSENT: Final = -1
"""No connection was free in time."""
TICK: Final = 0.001
LATE: Final = 1.0
"""Seconds after which a request that found no connection is not sent any more."""
ANSWER_SECONDS: Final = 10.0
AGAIN: Final = b"retry-after"


class Outcome(NamedTuple):
    """What became of a request: when it was due, when it went, when it was answered (`time.monotonic`), and how."""

    due: float
    sent: float
    done: float
    status: int
    again: bool
    marked: bool = False

    @property
    def took(self) -> float:
        """Seconds from when it was due."""
        return self.done - self.due


class Offered:
    """Requests in turn, at a fixed rate.

    Args:
        url: where to.
        requests: as bytes; after the last one comes the first again.
        rate: requests a second.
        connections: open at once at most.
        mark: which answers hold this is kept.
    """

    def __init__(self, url: str, requests: Sequence[bytes], rate: float, connections: int, mark: bytes = b"") -> None:
        address = urlsplit(url)
        self.host, self.port = address.hostname or "", address.port or 80
        self.requests, self.rate, self.most, self.mark = cycle(requests), rate, connections, mark
        self.outcomes: list[Outcome] = []
        self.idle: list[_Wire] = []
        self.waiting: deque[float] = deque()
        self.open = 0

    def run(self, seconds: float) -> None:
        """Offer for some seconds, and wait until the last one is answered."""
        uvloop.run(self.offer(seconds))

    def run_until(self, over: Callable[[], bool]) -> None:
        """Offer until it is over, and wait until the last one is answered."""
        uvloop.run(self.offer(math.inf, over))

    async def offer(self, seconds: float, over: Callable[[], bool] = lambda: False) -> None:
        """As `run`, in a loop that runs. Nothing that is measured waits for this process to collect its own garbage."""
        gc.collect()
        gc.disable()
        try:
            await self._offer(seconds, over)
        finally:
            gc.enable()

    async def _offer(self, seconds: float, over: Callable[[], bool]) -> None:
        started, given, before = time.monotonic(), 0, len(self.outcomes)
        while given < seconds * self.rate and not over():
            now = time.monotonic()
            until = int(min(seconds, now - started) * self.rate) + 1
            for index in range(given, until):
                self._give(started + index / self.rate, now)
            given = max(given, until)
            await asyncio.sleep(TICK)
        give_up_at = time.monotonic() + ANSWER_SECONDS
        while len(self.outcomes) < before + given and time.monotonic() < give_up_at:
            self._drop_late(time.monotonic())
            await asyncio.sleep(0.01)
        for wire in list(self.idle):
            wire.transport.close()
        await asyncio.sleep(0)

    def _give(self, due: float, now: float) -> None:
        if self.idle:
            self.idle.pop().ask(due, now)
            return
        self.waiting.append(due)
        self._drop_late(now)
        if self.open < self.most:
            self.open += 1
            asyncio.get_running_loop().create_task(self._connect())

    def _drop_late(self, now: float) -> None:
        while self.waiting and now - self.waiting[0] > LATE:
            self.outcomes.append(Outcome(self.waiting.popleft(), now, now, UNSENT, False))

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Wire(self), self.host, self.port)
        except OSError:
            self.open -= 1
            if self.waiting:
                due, now = self.waiting.popleft(), time.monotonic()
                self.outcomes.append(Outcome(due, now, now, FAILED, False))

    def free(self, wire: _Wire) -> None:
        """A connection has nothing to do."""
        if self.waiting:
            wire.ask(self.waiting.popleft(), time.monotonic())
        else:
            self.idle.append(wire)

    def lost(self, wire: _Wire) -> None:
        """A connection is closed."""
        self.open -= 1
        if wire in self.idle:
            self.idle.remove(wire)
        if self.waiting and self.open < self.most:
            self.open += 1
            asyncio.get_running_loop().create_task(self._connect())

    def statuses(self) -> Counter[int]:
        """How many were answered how."""
        return Counter(each.status for each in self.outcomes)

    def seconds(self, *statuses: int) -> list[float]:
        """What requests answered so took, from when they were due; [0.0] if there are none."""
        return [each.took for each in self.outcomes if each.status in statuses] or [0.0]

    def p(self, share: float, *statuses: int) -> float:
        """The seconds that `share` of them did not exceed."""
        return percentile(self.seconds(*statuses), share)

    def longest_silence(self, *statuses: int) -> float:
        """The longest time in which no request was answered so."""
        times = sorted(each.done for each in self.outcomes if each.status in statuses)
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)


class _Wire(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, offered: Offered) -> None:
        self._offered, self._due, self._sent, self._got, self._busy = offered, 0.0, 0.0, b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._offered.free(self)

    def ask(self, due: float, now: float) -> None:
        """Send the next request."""
        self._due, self._sent, self._busy = due, now, True
        self.transport.write(next(self._offered.requests))

    def data_received(self, data: bytes) -> None:
        self._got = self._got + data if self._got else data
        head, ended, body = self._got.partition(b"\r\n\r\n")
        if not ended:
            return
        low = head.lower()
        if len(body) < int(low.partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0):
            return
        mark, now = self._offered.mark, time.monotonic()
        marked = bool(mark) and mark in body
        self._offered.outcomes.append(Outcome(self._due, self._sent, now, int(head[9:12]), AGAIN in low, marked))
        self._got, self._busy = b"", False
        if b"connection: close" in low:
            self.transport.close()
        else:
            self._offered.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        if self._busy:
            now = time.monotonic()
            self._offered.outcomes.append(Outcome(self._due, self._sent, now, FAILED, False))
        self._offered.lost(self)
