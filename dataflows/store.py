"""Store: one transaction a micro-batch: rows with their states, dead letters, what the flow keeps, and the offset last.

All of a micro-batch is in Redis, or nothing is; a Redis that lost the tail of its append-only file holds a consistent
prefix. The transaction watches the lease it is made under: a process that was replaced while it slept cannot write.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import redis
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from dataflows.connectors.letters import DeadLetters
from dataflows.connectors.quarantine import AsideRow, Quarantine
from dataflows.derived import told_by
from dataflows.events import MINUTE, OUTCOMES
from dataflows.lake_rows import NO_ROWS, RowsOut
from dataflows.lease import Lease
from dataflows.metrics import COMMITTED_AT, EVENTS, RECEIVED, REFUSED, ROWS, STEP_SECONDS
from dataflows.stages import Aggregated, Row
from dataflows.transaction import GuardChanged, Transaction
from feature_repo.layout import LAYOUTS

QUARANTINE: Final = Quarantine(200_000, 30 * 86_400.0, 256 * 1024 * 1024)
OFFSETS_KEY: Final = "inlay:offsets:{}"
OUTCOMES_KEY: Final = "inlay:outcomes:{}"


class Store:
    """Commits the micro-batches of one flow.

    Args:
        client: the Redis of the online store.
        flow: `people` or `items`.
        lease: the right to write, by partition.
        dead_letters: where refused events go.
        clock: microseconds since 1970, now.
        layouts: where Feast keeps each entity.
        rows: what becomes of rows beside that they are stored.
        quarantine: where rows go that the gate set aside.
    """

    def __init__(
        self,
        client: redis.Redis,
        flow: str,
        lease: Lease,
        dead_letters: DeadLetters,
        clock: Callable[[], int],
        layouts: Mapping[str, Any] = LAYOUTS,
        rows: RowsOut = NO_ROWS,
        quarantine: Quarantine = QUARANTINE,
    ) -> None:
        self._client, self._flow, self._lease = client, flow, lease
        self._dead_letters, self._clock, self._layouts = dead_letters, clock, layouts
        self._rows, self._quarantine = rows, quarantine
        self._tidy_at = 0
        self._offsets_key, self._outcomes_key = OFFSETS_KEY.format(flow), OUTCOMES_KEY.format(flow)

    def commit(self, *batches: Aggregated) -> None:
        """Store micro-batches, a transaction each; returns once Redis has acknowledged them all.

        While Redis executes one, the next is packed; those of one partition wait for each other.

        Raises:
            LeaseError: another process took the partitions over; of that micro-batch nothing was written.
            CommitUnknown: Redis went away meanwhile (from `dataflows.transaction`).
        """
        self._lease.renew()
        with STEP_SECONDS.labels(self._flow, "store").time():
            begun: list[tuple[Aggregated, Callable[[], None]]] = []
            for batch in batches:
                if any(not set(batch.owners).isdisjoint(earlier.owners) for earlier, _ in begun):
                    self._finish(begun)
                begun.append((batch, self._begin(batch)))
            self._finish(begun)

    def _begin(self, batch: Aggregated) -> Callable[[], None]:
        guards = [self._lease.keys[partition] for partition in batch.owners]
        transaction = Transaction(self._client)
        self._write(transaction, batch)
        try:
            return transaction.begin(guards, self._lease.token)
        except GuardChanged:
            raise self._lease.lost() from None

    def _finish(self, begun: list[tuple[Aggregated, Callable[[], None]]]) -> None:
        for batch, wait in begun:
            try:
                wait()
            except GuardChanged:
                raise self._lease.lost() from None
            batch.stored = True
            self._count(batch)
        begun.clear()

    def _write(self, transaction: Transaction, batch: Aggregated) -> None:
        add, packed = transaction.add, transaction.add_packed
        for row in batch.rows:
            layout, kept = self._layouts[row.entity], row.steady
            packed(layout.hset(row.key, row.values, row.at, state=row.state, omitted=row.omitted, kept=kept))
            for command in row.follows:
                add(*command)
        for row in batch.aside():
            if row.state is not None:
                packed(self._layouts[row.entity].hset(row.key, {}, row.at, state=row.state))
        for entity, key in batch.forgotten:
            add("DEL", self._layouts[entity].key(key))
        for command in (*batch.commands, *self._rows.commands(batch)):
            add(*command)
        now = self._clock()
        for partition, offset, refused in batch.refused:
            add(*self._dead_letters.command(self._flow, refused, now, f"{partition}/{offset}"))
        if now >= self._tidy_at:
            self._tidy_at = now + MINUTE
            add(*self._dead_letters.tidy_command(now))
            add(*self._quarantine.tidy_command(now))
        for command in (
            *self._quarantine.commands(self._flow, "row", _aside(batch.quarantined), now),
            *self._quarantine.commands(self._flow, "batch", _aside(batch.held), now),
        ):
            add(*command)
        for outcome, number in batch.outcomes.items():
            if number:
                add("HINCRBY", self._outcomes_key, outcome, number)
        if batch.received:
            add("HINCRBY", self._outcomes_key, "received", batch.received)
        if batch.offsets:
            add("HSET", self._offsets_key, *(part for place in batch.offsets.items() for part in place))

    def _count(self, batch: Aggregated) -> None:
        RECEIVED.labels(self._flow).inc(batch.received)
        for outcome in OUTCOMES:
            EVENTS.labels(self._flow, outcome).inc(batch.outcomes.get(outcome, 0))
        for entity, number in Counter(row.entity for row in batch.rows).items():
            ROWS.labels(self._flow, entity, "stored").inc(number)
        for row, _ in batch.quarantined:
            ROWS.labels(self._flow, row.entity, "quarantined").inc()
        for row, _ in batch.held:
            ROWS.labels(self._flow, row.entity, "held").inc()
        for _, _, refused in batch.refused:
            REFUSED.labels(self._flow, refused.stage, refused.kind).inc()
        for entity, _ in batch.forgotten:
            ROWS.labels(self._flow, entity, "forgotten").inc()
        COMMITTED_AT.labels(self._flow).set(self._clock() / 1_000_000)


def _aside(rows: Iterable[tuple[Row, str]]) -> list[tuple[AsideRow, str]]:
    return [
        (AsideRow(row.entity, row.key, row.at, row.values, row.timed, tuple(map(told_by, row.follows))), why)
        for row, why in rows
    ]


class _StorePartition(StatefulSinkPartition[Aggregated, None]):
    def __init__(self, store: Store) -> None:
        self._store = store

    def write_batch(self, items: list[Aggregated]) -> None:
        self._store.commit(*items)

    def snapshot(self) -> None:
        """Nothing: the offsets are committed with the rows."""


class StoreSink(FixedPartitionedSink[Aggregated, None]):
    """The store as Bytewax drives it: acknowledged before the next micro-batch is read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_parts(self) -> list[str]:
        """One: a flow has one place to write to."""
        return ["store"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _StorePartition:
        """The partition that writes."""
        return _StorePartition(self._store)
