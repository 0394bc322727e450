"""Exclusive: the leases of both flows in one hand, for what must not run beside them.

They are renewed from a thread, because a step between two commits, such as reading a large file, may outlast a lease.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
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
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(list(leases.values()), over), daemon=True)
    with ExitStack() as exits:
        for lease in leases.values():
            exits.callback(lease.release)
            lease.acquire()
        renewing.start()
        exits.callback(renewing.join)
        exits.callback(over.set)
        yield leases


def _renew(leases: Sequence[Lease], over: threading.Event) -> None:
    """Keep the leases. That one was lost, the next commit finds and says; a Redis that went away may come back."""
    while not over.wait(RENEW_SECONDS):
        for lease in leases:
            try:
                lease.renew()
            except LeaseError:
                return
            except redis.RedisError:
                continue
