"""The lake flow: every event that could be read, and the rows the other flows stored, into files.

    python -m bytewax.run dataflows.lake        the flow
    python -m dataflows.lake compact            fewer, larger files; what is too old goes

It reads the stream with offsets and leases of its own, and commits them when the files are durable. What is read twice
is written twice, mostly into the same file, and counts once for who reads the lake.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Final

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import FixedPartitionedSink, Sink, StatefulSinkPartition

from dataflows.connectors.lake_events import Arrived, to_table
from dataflows.connectors.lake_files import EVENTS, FEATURES, HELD, Lake, LakeError, date_of, open_lake
from dataflows.connectors.lake_upkeep import Upkeep
from dataflows.events import DAY
from dataflows.lake_rows import HELD_ENTITY, RowsIn
from dataflows.metrics import LAKE_ROWS
from dataflows.numbering import Numbered
from dataflows.owning import LAKE, clock, make_validate, own
from dataflows.settings import FlowSettings, SettingError, flow_settings
from dataflows.stages import Aggregated, Received, Validated
from dataflows.store import Store

NEVER: Final = sys.maxsize
"""How many refused events in a row stop this flow: the people flow keeps them, and stops."""


class Keep:
    """Writes what came, and commits.

    Args:
        lake: where files go.
        rows: the rows of features that wait.
        commit: stores the offsets, under the leases.
        moment: when the record at an offset of a partition was written (microseconds), if that is known.
        owners: the partitions that are ours.
        clock: microseconds since 1970, now.
    """

    def __init__(
        self,
        lake: Lake,
        rows: RowsIn,
        commit: Callable[[Aggregated], None],
        moment: Callable[[int, int], int | None],
        owners: tuple[int, ...],
        clock: Callable[[], int],
    ) -> None:
        self._lake, self._rows, self._commit = lake, rows, commit
        self._moment, self._owners, self._clock = moment, owners, clock

    def __call__(self, batches: Sequence[Validated]) -> None:
        """Write micro-batches and the rows that wait, and commit both."""
        kept = self._write_events(batches)
        taken = self._rows.take()
        for entity, date, name, table in taken.parts:
            self._lake.add(HELD if entity == HELD_ENTITY else FEATURES.format(entity), date, name, table)
            LAKE_ROWS.labels(entity).inc(table.num_rows)
        offsets: dict[int, int] = {}
        for batch in batches:
            if batch.offset >= 0:
                offsets[batch.partition] = batch.offset
        if offsets or taken.commands:
            self._commit(Aggregated(self._owners, offsets, commands=taken.commands))
            LAKE_ROWS.labels("event").inc(kept)

    def _write_events(self, batches: Iterable[Validated]) -> int:
        days: defaultdict[str, list[Arrived]] = defaultdict(list)
        name = blake2b(digest_size=12)
        now, moment = self._clock(), self._moment
        for partition, offset, events, *_ in batches:
            if events:
                name.update(f"{partition} {events[0][0]} {events[-1][0]} {len(events)} {offset}\n".encode())
            for place, event in events:
                received_at = moment(partition, place)
                each = Arrived(event, now if received_at is None else received_at, partition, place)
                days[date_of(each.received_at)].append(each)
        for date, arrived in days.items():
            self._lake.add(EVENTS, date, name.hexdigest(), to_table(arrived))
        return sum(map(len, days.values()))


class _KeepPartition(StatefulSinkPartition[Validated, None]):
    def __init__(self, keep: Callable[[Sequence[Validated]], None], tend: Callable[[], None]) -> None:
        self._keep, self._tend = keep, tend

    def write_batch(self, items: list[Validated]) -> None:
        self._keep(items)
        self._tend()

    def snapshot(self) -> None:
        """Nothing: the offsets are committed when the files are durable."""


class LakeSink(FixedPartitionedSink[Validated, None]):
    """The lake as Bytewax drives it.

    Args:
        keep: writes micro-batches and commits them.
        tend: looks after the files that are there, when it is time to.
    """

    def __init__(self, keep: Callable[[Sequence[Validated]], None], tend: Callable[[], None] = lambda: None) -> None:
        self._keep, self._tend = keep, tend

    def list_parts(self) -> list[str]:
        """One."""
        return ["lake"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _KeepPartition:
        """The partition that writes."""
        return _KeepPartition(self._keep, self._tend)


def build(
    received: Source[Received],
    keep: Sink[tuple[str, Validated]],
    *,
    validate: Callable[[Received], Validated],
) -> Dataflow:
    """The pipeline between its edges."""
    flow = Dataflow("lake")
    batches = op.input("receive", flow, received)
    validated = op.map("validate", batches, validate)
    op.output("lake", op.key_on("place", validated, lambda _: "lake"), keep)
    return flow


def flow() -> Dataflow:
    """The flow from the configured stream into the configured lake.

    Raises:
        LakeError: there is none, or it cannot be used.
    """
    settings = flow_settings(os.environ)
    lake = _open(settings)
    owned = own(settings, LAKE, rewind=0, batch_wait=settings.lake_wait, wake_every=settings.lake_wait)
    client, lease = owned.edges.client, owned.lease
    store = Store(client, LAKE, lease, owned.edges.dead_letters, clock)
    stream: Numbered = owned.receive.stream
    keep = Keep(lake, RowsIn(client, owned.partitions), store.commit, stream.moment, owned.partitions, clock)
    upkeep = _upkeep(lake, settings, alive=lease.renew)
    tend = upkeep.when_due(time.monotonic) if 0 in owned.partitions else lambda: None
    return build(owned.receive, LakeSink(keep, tend), validate=make_validate(settings, NEVER))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.lake", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("compact", help="make fewer, larger files, and remove what is older than INLAY_LAKE_AGE")
    parser.parse_args(arguments)
    try:
        settings = flow_settings(os.environ)
        done = _upkeep(_open(settings), settings).run()
    except (SettingError, LakeError) as error:
        print(f"lake: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    print(  # noqa: T201
        f"{done.merged:,} files became {done.made:,}, {done.repeats:,} repeated rows went; "
        f"{done.expired:,} files were too old"
    )
    return 0


def _open(settings: FlowSettings) -> Lake:
    if not settings.lake_url:
        raise LakeError("INLAY_LAKE_URL is empty: write a folder, or s3://bucket/prefix")
    return open_lake(settings.lake_url)


def _upkeep(lake: Lake, settings: FlowSettings, alive: Callable[[], None] = lambda: None) -> Upkeep:
    return Upkeep(lake, clock, round(settings.lake_age * DAY), alive)


if __name__ == "__main__":
    sys.exit(main())
