"""Both flows in a thread of the test's own process, from a real stream into a real Redis: their own parts, no engine.

with flows(server):
...     # what is posted is counted within moments
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dataflows import items, people
from dataflows.connectors import open_stream
from dataflows.connectors.letters import open_letters
from dataflows.connectors.redis_streams import connect
from dataflows.enrich import enrich
from dataflows.lease import Lease
from dataflows.numbering import read_place
from dataflows.settings import flow_settings
from dataflows.stages import Validated
from dataflows.store import Store
from dataflows.validate import Validate
from tests.contract.redis_server import RedisServer
from tests.given import FACTS


class _Flows:
    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        self.settings = flow_settings({"INLAY_REDIS_URL": url, **settings})
        self.client = connect(url)
        self.stream = open_stream(self.settings.stream_url)
        self.partitions = tuple(range(self.stream.partitions))
        _, letters = open_letters(self.settings.dead_letters_url, 1000)
        self.leases = {flow: Lease(self.client, flow, self.partitions, 60) for flow in ("people", "items")}
        self.stores, self.after = {}, {}
        for flow, lease in self.leases.items():
            lease.acquire()
            self.stores[flow] = Store(self.client, flow, lease, letters, clock)
            self.after[flow] = dict(read_place(self.client, flow, self.partitions).committed)
        make = people.folds(self.client, self.settings, len(self.partitions))
        self.people = {number: make(self.after["people"]) for number in self.partitions}
        self.items = items.folds(self.client, self.settings, self.partitions)(self.after["items"], False)
        self.validate = {flow: Validate(clock, 300_000_000, 10**9) for flow in self.leases}

    def step(self) -> None:
        """Read, fold and commit what is there."""
        for flow in self.leases:
            batches = self.stream.read(self.after[flow], 10_000, 0)
            for batch in batches:
                self.after[flow][batch.partition] = batch.offsets[-1]
            validated = [self.validate[flow](batch) for batch in batches]
            results: list[Any] = []
            if flow == "items":
                results = self.items.fold(validated, clock())
            else:
                for each in enrich(validated, lambda _: FACTS):
                    results += self.people[each.batch.partition].fold([each], clock())
            for result in results:
                self.stores[flow].commit(result)
        for fold in self.people.values():
            for result in fold.expire(clock()):
                self.stores["people"].commit(result)

    def close(self) -> None:
        for lease in self.leases.values():
            lease.release()
        self.stream.close()
        self.client.close()


def clock() -> int:
    return time.time_ns() // 1000


@contextmanager
def flows(server: RedisServer, **settings: str) -> Iterator[None]:
    """The flows, until the end of the `with`."""
    running, stop = _Flows(server.url, settings), threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number, fold in running.people.items():
                for result in fold.fold(enrich([Validated(number, -1, [], [])], lambda _: FACTS), clock()):
                    running.stores["people"].commit(result)
            while not stop.is_set():
                running.step()
                time.sleep(0.02)
        except BaseException as error:  # the test that waits for it must hear of it
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        running.close()
    if failures:
        raise failures[0]
