"""Exclusive: the leases of both flows in one hand, for what must not run beside them.

Every commit watches its lease, and a renewal in the middle of one would look as if somebody had taken it. So the leases
are renewed by whoever commits, between commits; only while nothing is committed, in steps that may outlast a lease
(reading a large file), a thread does it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import redis

from dataflows.lease import Lease, LeaseError
from dataflows.receive import FLOWS

RENEW_SECONDS: Final = 0.2
"""A fifth of the shortest lease there is."""


@contextmanager
def both_leases(client: redis.Redis, partitions: Sequence[int], seconds: float) -> Iterator[dict[str, Lease]]:
    """The leases of all partitions of both flows, given back at the end.

    Raises:
        LeaseError: a flow is running.
    """
    leases = {flow: Lease(client, flow, partitions, seconds) for flow in FLOWS}
    with ExitStack() as exits:
        for lease in leases.values():
            exits.callback(lease.release)
            lease.acquire()
        yield leases


def renew(leases: Mapping[str, Lease]) -> None:
    """Renew the leases that are due for it.

    Raises:
        LeaseError: one of them was lost.
    """
    for lease in leases.values():
        lease.renew()


@contextmanager
def renewing(leases: Mapping[str, Lease]) -> Iterator[None]:
    """Renew the leases meanwhile, from a thread; nothing may be committed."""
    over = threading.Event()
    thread = threading.Thread(target=_renew_until, args=(over, leases), name="renew leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _renew_until(over: threading.Event, leases: Mapping[str, Lease]) -> None:
    """Until then; that a lease was lost, the next commit finds and says, and a Redis that went away may come back."""
    while not over.wait(RENEW_SECONDS):
        try:
            renew(leases)
        except LeaseError:
            return
        except redis.RedisError:
            continue
