"""Load at a fixed rate, whatever the answers: how long each request took from the moment at which it was due.

A generator that waits for an answer before it asks again asks least while answers are slow, and so leaves out the very
requests that would have waited.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Final
from urllib.parse import urlsplit

import uvloop

from tests.benchmarks.figures import percentile

WARMING: Final = 1.0
"""Seconds at the start that do not count."""
ANSWER_SECONDS: Final = 10.0
HUNG_UP: Final = b"hung up"
"""What is counted instead of a status where a connection went with a request."""


class OpenLoop:
    """Requests in turn, over connections that are kept.

    Args:
        url: where to.
        requests: as bytes; after the last one comes the first again.
        rate: requests a second.

    Attributes:
        seconds: what each request took from the moment at which it was due.
        statuses: how many were answered how.
    """

    def __init__(self, url: str, requests: Sequence[bytes], rate: float) -> None:
        address = urlsplit(url)
        self._host, self._port, self.rate = address.hostname or "", address.port or 80, rate
        self.requests = cycle(requests)
        self.seconds: list[float] = []
        self.statuses: Counter[bytes] = Counter()
        self.waiting: deque[float] = deque()
        self.idle: list[_Connection] = []
        self._counts_from = 0.0

    def run(self, seconds: float, connections: int) -> None:
        """Ask for some seconds.

        Raises:
            RuntimeError: not everything was answered, or not with 2xx.
        """
        uvloop.run(self._run(seconds, connections))
        if bad := {status: number for status, number in self.statuses.items() if not status.startswith(b"2")}:
            raise RuntimeError(f"answers other than 2xx: {bad}")

    def p(self, share: float) -> float:
        """The seconds that `share` of the requests did not exceed."""
        return percentile(self.seconds, share)

    def answered(self, due: float, status: bytes) -> None:
        """Take note of an answer to what was due then."""
        self.statuses[status] += 1
        if due >= self._counts_from:
            self.seconds.append(time.perf_counter() - due)

    async def _run(self, seconds: float, connections: int) -> None:
        loop = asyncio.get_running_loop()
        opened = [
            (await loop.create_connection(lambda: _Connection(self), self._host, self._port))[1]
            for _ in range(connections)
        ]
        started, number = time.perf_counter() + 0.1, round((seconds + WARMING) * self.rate)
        self._counts_from = started + WARMING
        for index in range(number):
            due = started + index / self.rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            self.waiting.append(due)
            if self.idle:
                self.idle.pop().ask()
        give_up_at = time.perf_counter() + ANSWER_SECONDS
        while self.statuses.total() < number:
            if time.perf_counter() > give_up_at:
                raise RuntimeError(
                    f"{number - self.statuses.total()} of {number} requests were not answered, the others so:"
                    f" {dict(self.statuses)}"
                )
            await asyncio.sleep(0.01)
        for each in opened:
            each.close()


def posting(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A request that posts JSON."""
    about = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return _request("POST", url, about | dict(headers)) + body


def getting(url: str, headers: Mapping[str, str]) -> bytes:
    """A request that asks for something."""
    return _request("GET", url, headers)


def _request(method: str, url: str, headers: Mapping[str, str]) -> bytes:
    address = urlsplit(url)
    target = f"{address.path}?{address.query}" if address.query else address.path
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": address.netloc, **headers}.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: OpenLoop) -> None:
        self._load, self._due, self._got, self._closed = load, 0.0, b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._load.idle.append(self)

    def ask(self) -> None:
        """Send what has been due for longest."""
        self._due = self._load.waiting.popleft()
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, ended, body = self._got.partition(b"\r\n\r\n")
        if not ended or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        self._load.answered(self._due, head[9:12])
        self._got = b""
        if self._load.waiting:
            self.ask()
        else:
            self._load.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing is asked here any more; what was asked and not answered is told."""
        if self in self._load.idle:
            self._load.idle.remove(self)
        elif not self._closed:
            self._load.answered(self._due, HUNG_UP)

    def close(self) -> None:
        """Hang up."""
        self._closed = True
        self._transport.close()
