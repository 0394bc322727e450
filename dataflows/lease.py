"""One owner a partition and flow: leases in Redis, renewed, each with a fencing number.

A process that lost its lease writes nothing more: every commit watches the lease it was made under, so that Redis
itself refuses the transaction of a process that slept while another took over.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import redis

_RENEW: Final = """
local held = 0
for index, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('PEXPIRE', key, ARGV[2]) held = held + 1 end
end
return held
"""
_RELEASE: Final = """
for index, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
"""


class LeaseError(RuntimeError):
    """Another process owns the partitions, or took them over; the message says which."""


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lease: where it runs, which process, when that started, and its fencing number."""

    host: str
    pid: int
    started: str
    fence: int


class Lease:
    """The right of this process to write for some partitions of a flow.

    Args:
        client: the Redis that the flow commits to.
        flow: `people` or `items`.
        partitions: the partitions to own.
        seconds: after which silence the partitions may be taken.
        monotonic, sleep: the clock for waiting.
    """

    def __init__(
        self,
        client: redis.Redis,
        flow: str,
        partitions: Iterable[int],
        seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.flow = flow
        self.keys = {partition: f"inlay:lease:{flow}:{partition}" for partition in partitions}
        self._client = client
        self._milliseconds = max(1000, round(seconds * 1000))
        self._monotonic, self._sleep = monotonic, sleep
        self._renewed_at = float("-inf")
        self.token = b""

    def acquire(self) -> None:
        """Take the leases.

        A dead holder on this host is replaced at once, one elsewhere once its lease ran out.

        Raises:
            LeaseError: a living process holds one of them.
        """
        fence: Any = self._client.incr(f"inlay:fence:{self.flow}")
        holder = Holder(socket.gethostname(), os.getpid(), _started(os.getpid()), int(fence))
        self.token = msgspec.json.encode(holder)
        for partition, key in self.keys.items():
            while not self._client.set(key, self.token, nx=True, px=self._milliseconds):
                self._replace(partition, key)
        self._renewed_at = self._monotonic()

    def renew(self) -> None:
        """Stretch the leases, when a fifth of their time has passed since the last time.

        Raises:
            LeaseError: one of them was lost.
        """
        if self._monotonic() - self._renewed_at < self._milliseconds / 5000:
            return
        held: Any = self._client.eval(
            _RENEW, len(self.keys), *self.keys.values(), self.token, self._milliseconds
        )  # fmt: skip
        if held != len(self.keys):
            raise self.lost()
        self._renewed_at = self._monotonic()

    def release(self) -> None:
        """Give the leases back, those that are still ours."""
        self._client.eval(_RELEASE, len(self.keys), *self.keys.values(), self.token)

    @contextmanager
    def given_back_if_refused(self) -> Iterator[None]:
        """Whoever refuses to start with the leases in hand gives them back: the command that mends it asks for them."""
        try:
            yield
        except BaseException:
            self.release()
            raise

    def lost(self) -> LeaseError:
        """The error of a process whose partitions were taken over."""
        return LeaseError(
            f"this process lost the lease on its partitions of {self.flow}: another one took them over, "
            "or it did not renew in time; start it again (INLAY_LEASE is how long it may be silent)"
        )

    def _replace(self, partition: int, key: str) -> None:
        """Make room for us where the holder is dead.

        Raises:
            LeaseError: it is alive.
        """
        with self._client.pipeline(transaction=True) as pipeline:
            pipeline.watch(key)
            found: Any = pipeline.get(key)
            if found is None:
                return
            holder = msgspec.json.decode(found, type=Holder)
            if holder.host != socket.gethostname():
                self._outwait(partition, key, found, holder)
            elif _started(holder.pid) == holder.started:
                raise self._held(partition, holder)
            pipeline.multi()
            pipeline.delete(key)
            try:
                pipeline.execute()
            except redis.WatchError:
                return  # somebody else was quicker: look again

    def _outwait(self, partition: int, key: str, found: bytes, holder: Holder) -> None:
        """Wait until a holder on another host has missed its time; one that renews is alive."""
        left: Any = self._client.pttl(key)
        give_up_at = self._monotonic() + self._milliseconds / 1000 + 1
        while self._monotonic() < give_up_at and self._client.get(key) == found:
            before, left = left, self._client.pttl(key)
            if left > before:
                raise self._held(partition, holder)
            self._sleep(0.05)

    def _held(self, partition: int, holder: Holder) -> LeaseError:
        return LeaseError(
            f"partition {partition} of {self.flow} is held by process {holder.pid} on {holder.host}: "
            "stop that one first, or give this one other partitions in INLAY_PARTITIONS"
        )


def _started(pid: int) -> str:
    """What tells a process from a later one with its number: boot and start tick; empty if there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{boot}:{fields[19]}"
