"""A stream that appears at once: filled beside the real one, and given its name when every process is ready.

So that neither the start of a process nor the filling is part of what is measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from dataflows.events import partition_of
from tests.integration.stand import PARTITIONS, Stand

ASIDE: Final = "aside"
CHUNK: Final = 5000
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def encode(events: Iterable[dict[str, Any]]) -> list[tuple[int, bytes]]:
    """Events with times in microseconds as records: partition and bytes."""
    to_json = msgspec.json.Encoder().encode
    return [(partition_of(event["user_id"], PARTITIONS), to_json(event)) for event in events]


def fill(stand: Stand, records: list[tuple[int, bytes]]) -> None:
    """Put records into streams that no flow reads yet."""
    for first in range(0, len(records), CHUNK):
        pipeline = stand.client.pipeline(transaction=False)
        for partition, record in records[first : first + CHUNK]:
            pipeline.execute_command("XADD", f"{ASIDE}:{partition}", "*", "event", record)
        pipeline.execute()


def release(stand: Stand) -> float:
    """Let the flows see what was put aside, in one transaction; hands back when that was (monotonic seconds)."""
    pipeline = stand.client.pipeline(transaction=True)
    for partition in range(PARTITIONS):
        if stand.client.exists(f"{ASIDE}:{partition}"):
            pipeline.rename(f"{ASIDE}:{partition}", f"events:{partition}")
    pipeline.execute()
    return time.monotonic()


def drained_after(stand: Stand, since: float, flow: str = "people", seconds: float = 300) -> float:
    """Seconds since `since` until the flow has committed the whole stream.

    Raises:
        StandError: it did not within `seconds`, or a process ended; the message shows the ends of the logs.
    """
    stand.wait_until_drained(seconds, [flow])
    return time.monotonic() - since


def publish_gently(stand: Stand, events: list[dict[str, Any]], at_once: int = 2_500) -> None:
    """Publish events that only prepare a measurement, in portions whose micro-batches are short beside a lease."""
    for first in range(0, len(events), at_once):
        publish(stand, events[first : first + at_once])
        drained_after(stand, time.monotonic())


def publish(stand: Stand, events: Iterable[dict[str, Any]]) -> None:
    """Append events to the stream that the flows read."""
    parts: dict[int, list[bytes]] = {}
    for partition, record in encode(events):
        parts.setdefault(partition, []).append(record)
    for partition, values in parts.items():
        stand.publish(partition, values)


def owners(stand: Stand, flow: str = "people", seconds: float = 120) -> set[int]:
    """The processes that own the partitions of a flow, once every partition has one.

    Raises:
        TimeoutError: a partition stayed without an owner.
    """
    keys = [f"inlay:lease:{flow}:{partition}" for partition in range(PARTITIONS)]
    give_up_at = time.monotonic() + seconds
    while None in (found := stand.client.mget(keys)):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"not every partition of {flow} had an owner after {seconds:.0f} s")
        time.sleep(0.05)
    return {msgspec.json.decode(holder)["pid"] for holder in found}


def redis_pid(stand: Stand) -> int:
    """The process of the stand's Redis."""
    return int(stand.client.info("server")["process_id"])


def cpu_seconds(*pids: int) -> float:
    """Processor time that some processes have used so far, user and system, all threads."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def memory(pid: int) -> dict[str, int]:
    """What a process holds in memory, in bytes: `VmRSS` now and `VmHWM` at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in lines)
        if name in ("VmRSS", "VmHWM")
    }
