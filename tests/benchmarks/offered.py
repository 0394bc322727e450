"""What is offered at a fixed rate, whatever becomes of it, and what became of each: answered how, when, or not at all.

`open_loop` asks a service that must answer everything. Here it may send away, close a connection, or go: a connection
is opened where none is free, one that is closed is opened again, and a request that went with it has failed. It is
sockets and nothing between: a loop that made a request dearer than the service makes its answer would measure itself.
"""

from __future__ import annotations

import gc
import math
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from itertools import cycle, pairwise
from typing import Final, NamedTuple
from urllib.parse import urlsplit

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
READ: Final = 262_144


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
        self._address = address.hostname or "", address.port or 80
        self.requests, self.rate, self.most, self.mark = cycle(requests), rate, connections, mark
        self.outcomes: list[Outcome] = []
        self.idle: list[_Wire] = []
        self.waiting: deque[float] = deque()
        self._wires: dict[int, _Wire] = {}
        self.poll = select.epoll()

    def run(self, seconds: float) -> None:
        """Offer for some seconds, and wait until the last one is answered."""
        self._run(seconds, lambda: False)

    def run_until(self, over: Callable[[], bool]) -> None:
        """Offer until it is over, and wait until the last one is answered."""
        self._run(math.inf, over)

    def _run(self, seconds: float, over: Callable[[], bool]) -> None:
        """Nothing that is measured waits for this process to collect its own garbage."""
        gc.collect()
        gc.disable()
        try:
            self._offer(seconds, over)
        finally:
            gc.enable()
            for wire in list(self._wires.values()):
                wire.close()
            self.idle.clear()

    def _offer(self, seconds: float, over: Callable[[], bool]) -> None:
        started, given, before = time.monotonic(), 0, len(self.outcomes)
        while given < seconds * self.rate and not over():
            now = time.monotonic()
            until = int(min(seconds, now - started) * self.rate) + 1
            for index in range(given, until):
                self._give(started + index / self.rate, now)
            given = max(given, until)
            self._look(TICK)
        give_up_at = time.monotonic() + ANSWER_SECONDS
        while len(self.outcomes) < before + given and time.monotonic() < give_up_at:
            self._drop_late(time.monotonic())
            self._look(0.01)

    def _look(self, seconds: float) -> None:
        """Read what was answered; wait for some seconds if nothing was."""
        wires = self._wires
        for number, event in self.poll.poll(seconds):
            if (wire := wires.get(number)) is not None:
                if event == select.EPOLLIN:
                    wire.read()
                else:
                    wire.changed()

    def _give(self, due: float, now: float) -> None:
        if self.idle:
            self.idle.pop().ask(due, now)
            return
        self.waiting.append(due)
        self._drop_late(now)
        if len(self._wires) < self.most:
            self._connect()

    def _drop_late(self, now: float) -> None:
        while self.waiting and now - self.waiting[0] > LATE:
            self.outcomes.append(Outcome(self.waiting.popleft(), now, now, UNSENT, False))

    def _connect(self) -> None:
        wire = _Wire(self, self._address)
        self._wires[wire.number] = wire
        self.poll.register(wire.number, select.EPOLLOUT)

    def free(self, wire: _Wire) -> None:
        """A connection has nothing to do."""
        if self.waiting:
            wire.ask(self.waiting.popleft(), time.monotonic())
        else:
            self.idle.append(wire)

    def refused(self) -> None:
        """A connection could not be opened."""
        if self.waiting:
            due, now = self.waiting.popleft(), time.monotonic()
            self.outcomes.append(Outcome(due, now, now, FAILED, False))

    def lost(self, wire: _Wire) -> None:
        """A connection is closed."""
        del self._wires[wire.number]
        if wire in self.idle:
            self.idle.remove(wire)
        if self.waiting and len(self._wires) < self.most:
            self._connect()

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


class _Wire:
    """One connection, one request at a time."""

    def __init__(self, offered: Offered, address: tuple[str, int]) -> None:
        self._offered, self._due, self._sent, self._got = offered, 0.0, 0.0, b""
        self._busy, self._open, self._left = False, False, memoryview(b"")
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex(address)  # whether it came about is told by `changed`
        self.number = self._socket.fileno()

    def ask(self, due: float, now: float) -> None:
        """Send the next request."""
        self._due, self._sent, self._busy = due, now, True
        request = next(self._offered.requests)
        try:
            sent = self._socket.send(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose()
            return
        if sent < len(request):
            self._left = memoryview(request)[sent:]
            self._offered.poll.modify(self.number, select.EPOLLIN | select.EPOLLOUT)

    def read(self) -> None:
        """Take what came."""
        try:
            data = self._socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose()
            return
        got = self._got = self._got + data if self._got else data
        ended = got.find(b"\r\n\r\n")
        if ended < 0:
            return
        head = got[:ended].lower()
        length = head.find(b"content-length: ") + 16
        if len(got) < ended + 4 + (int(head[length:].split(b"\r", 1)[0]) if length > 15 else 0):
            return
        offered = self._offered
        marked = bool(offered.mark) and got.find(offered.mark, ended) > 0
        outcome = Outcome(self._due, self._sent, time.monotonic(), int(head[9:12]), AGAIN in head, marked)
        offered.outcomes.append(outcome)
        self._got, self._busy = b"", False
        if b"\nconnection: close" in head:
            self._lose()
        else:
            offered.free(self)

    def changed(self) -> None:
        """Something came, was taken, or went wrong."""
        if not self._open:
            if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._offered.refused()
                self._lose()
                return
            self._open = True
            self._offered.poll.modify(self.number, select.EPOLLIN)
            self._offered.free(self)
            return
        if self._left:
            try:
                self._left = self._left[self._socket.send(self._left) :]
            except BlockingIOError:
                pass
            except OSError:
                self._lose()
                return
            if not self._left:
                self._offered.poll.modify(self.number, select.EPOLLIN)
        self.read()

    def _lose(self) -> None:
        self.close()
        if self._busy:
            self._offered.outcomes.append(Outcome(self._due, self._sent, time.monotonic(), FAILED, False))
        self._offered.lost(self)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
