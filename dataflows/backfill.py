"""Backfill: the features of a file's events, as the live flows would have made them. `python -m dataflows.backfill`.

It runs the pipelines of both flows over the file, under their leases, and leaves to them what the stream holds. Places
are committed with the rows, under the fingerprint of the file: killed at any moment and started again, it goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeAlias

import pyarrow as pa
import redis
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.inputs import Source
from bytewax.outputs import Sink
from bytewax.run import cli_main as run
from tqdm import tqdm

from dataflows import items, people
from dataflows.aggregate import Aggregate
from dataflows.connectors import StreamError
from dataflows.connectors.lake_files import LakeError
from dataflows.events import OUTCOMES
from dataflows.exclusive import both_leases, renew, renewing
from dataflows.held import Ceiling, TooManyHeld
from dataflows.history import History, HistorySource, ids_in_stream
from dataflows.history_gate import HistoryGate, Unlikely
from dataflows.inputs import Input, InputChanged, inputs_of
from dataflows.lease import Lease, LeaseError
from dataflows.mapping import MappingError, load_mapping
from dataflows.owning import Edges, clock, make_validate, open_edges, rows_out, settle_memory
from dataflows.receive import committed_offsets
from dataflows.settings import FlowSettings, SettingError, flow_settings
from dataflows.stages import Aggregated, Received
from dataflows.state import CatalogueFacts
from dataflows.stopping import StopSignal
from dataflows.store import OFFSETS_KEY, OUTCOMES_KEY, Store, StoreSink
from dataflows.transaction import CommitUnknown
from dataflows.validate import TooManyRefused
from dataflows.wiring import make_gate
from expectations.verdict import load_tables

FLOWS: Final = ("items", "people")
"""In this order: what the catalogue says of an item is there when users are looked at."""
ROWS: Final = "rows"
"""Beside the places of the partitions: how many rows the file has, once all of them are done."""

Build: TypeAlias = Callable[[Source[Received], Sink[tuple[str, Aggregated]], Mapping[int, int]], Dataflow]
Accounts: TypeAlias = dict[str, Counter[str]]


class Stopped(RuntimeError):
    """It was told to stop before the end."""


def backfill(
    settings: FlowSettings,
    inputs: Sequence[Input],
    mapping_file: Path | None,
    stop: StopSignal,
    progress: Callable[[Input, float], object] = lambda each, share: None,
    *,
    as_it_is: bool = False,
) -> Accounts:
    """Write the features of what the files say, and count by flow what became of their rows, over all starts.

    Args:
        settings: as read from the environment; the partitions are all of the stream's.
        inputs: one after the other, each in order of time; made before, so that whatever comes into one by way of the
            stream is seen in the stream.
        mapping_file: what says which column is which field.
        stop: whether to stop.
        progress: told of an input, and of which further share of it nothing is left to do; they add up to 1.
        as_it_is: take files whose events look wrong as a whole.

    Raises:
        Unlikely: the events of a file do; nothing of it was counted.
        LeaseError: a flow is running, or took over.
        InputChanged: start again.
        Stopped: likewise.
        BytewaxRuntimeError: a step failed; its cause says why.
    """
    mapping = load_mapping(mapping_file) if mapping_file else None
    edges = open_edges(settings)
    client, partitions = edges.client, range(edges.stream.partitions)
    accounts: dict[str, Accounts] = {}
    with both_leases(client, partitions, settings.lease) as leases:
        # Looked at after the leases, so that no flow moves on.
        with renewing(leases):
            in_stream = ids_in_stream(edges.stream, clock(), round(settings.max_skew * 1_000_000))
            rows = rows_out(settings, client)
            builds = _builds(settings, edges, partitions, partial(renew, leases))
            gate = _make_gate(settings, client)
            settle_memory()
        for each in inputs:
            with renewing(leases):
                mark = each.mark(mapping_file)
            names = {flow: f"backfill-{flow}:{mark}" for flow in FLOWS}
            if all(client.hexists(OFFSETS_KEY.format(name), ROWS) for name in names.values()):
                progress(each, 1.0)
            else:
                with renewing(leases):
                    history = History(each.events(mapping), len(partitions), in_stream)
                    begun = any(client.exists(OFFSETS_KEY.format(name)) for name in names.values())
                    if not (begun or as_it_is or each.judged):
                        gate.look_at(each.name, history.chunks(settings.batch_events))
                for flow, name in names.items():
                    committed = committed_offsets(client, name, partitions)
                    progress(each, history.share_done(committed) / len(FLOWS))
                    batches = history.batches(committed, settings.batch_events)
                    on_read = partial(_go_on, leases, partial(progress, each), len(FLOWS) * len(history))
                    source = HistorySource(batches, stop, on_read)
                    store = StoreSink(
                        Store(
                            client,
                            name,
                            leases[flow],
                            edges.dead_letters,
                            clock,
                            rows=rows,
                            quarantine=edges.quarantine,
                        )
                    )
                    run(builds[flow](source, store, committed))  # type: ignore[no-untyped-call]
                    if stop.told():
                        raise Stopped("stopped; start again to go on from here")
                    client.hset(OFFSETS_KEY.format(name), ROWS, len(history))
            accounts[mark] = {flow: _account(client, name) for flow, name in names.items()}
    return {flow: sum((each[flow] for each in accounts.values()), Counter()) for flow in FLOWS}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.backfill", description=__doc__)
    parser.add_argument(
        "input",
        help="a file (.jsonl, .csv or .parquet, also gzipped), a folder of them, or `events` of a lake, also s3://",
    )
    parser.add_argument("--map", type=Path, help="YAML that maps its columns to the fields of an event")
    parser.add_argument("--as-it-is", action="store_true", help="take files whose events look wrong as a whole, too")
    chosen = parser.parse_args(arguments)
    stop = StopSignal()
    stop.listen()
    try:
        inputs = inputs_of(chosen.input)
        with tqdm(total=sum(each.size for each in inputs), unit="B", unit_scale=True, desc="backfill") as bar:
            accounts = backfill(
                flow_settings(os.environ), inputs, chosen.map, stop,
                lambda each, share: bar.update(each.size * share), as_it_is=chosen.as_it_is,
            )  # fmt: skip
    except (
        MappingError,
        SettingError,
        StreamError,
        LakeError,
        OSError,
        EOFError,
        zlib.error,
        pa.ArrowException,
    ) as error:
        return _say(f"backfill: {error}", 2)
    except (
        LeaseError, InputChanged, Stopped, CommitUnknown, TooManyHeld, TooManyRefused, Unlikely, redis.RedisError,
    ) as error:  # fmt: skip
        return _say(f"backfill: {error}", 1)
    except BytewaxRuntimeError as error:  # what of the above happened in a step, as the engine may hand it on
        return _say(f"backfill: {error.__cause__ or error}", 1)
    for flow, account in accounts.items():
        became = " + ".join(f"{account[outcome]:,} {outcome}" for outcome in OUTCOMES)
        print(  # noqa: T201  # a command speaks on its terminal
            f"{flow:<7}{account[ROWS]:,} rows: {account[ROWS] - account['received']:,} left to the live flow, "
            f"{account['received']:,} received = {became}"
        )
    return 0


def _builds(
    settings: FlowSettings, edges: Edges, partitions: Sequence[int], alive: Callable[[], None]
) -> Mapping[str, Build]:
    """The pipelines of both flows, to be given their ends and where they are in the file; `alive` renews the leases.

    This is the one place where it is said what follows from history beside features: nothing. Whatever a flow comes to
    be given that sets off a mail or an event of its own, it is not given here.
    """
    client = edges.client
    fold_items, fold_people = items.folds(client, settings, partitions), people.folds(client, settings, len(partitions))
    validate = {flow: make_validate(settings) for flow in FLOWS}
    gates = {
        flow: make_gate(settings, entities, Ceiling(flow, settings.gate_held))
        for flow, entities in (("items", ["item", "scope"]), ("people", ["user"]))
    }
    return {
        "items": lambda received, store, committed: items.build(
            received,
            store,
            validate=validate["items"],
            aggregate=lambda: Aggregate(fold_items(committed, True), clock, alive=alive),
            gate=gates["items"],
        ),
        "people": lambda received, store, committed: people.build(
            received,
            store,
            validate=validate["people"],
            look_up=CatalogueFacts(client, monotonic),
            aggregate=lambda: Aggregate(fold_people(committed, history=True), clock, alive=alive),
            gate=gates["people"],
            complete=people.make_complete(settings),
        ),
    }


def _make_gate(settings: FlowSettings, client: redis.Redis) -> HistoryGate:
    """What the events of files are held against."""
    return HistoryGate(
        load_tables("events"),
        load_tables("catalogue"),
        CatalogueFacts(client, monotonic),
        clock(),
        round(settings.max_skew * 1_000_000),
    )


def _go_on(leases: Mapping[str, Lease], progress: Callable[[float], object], whole: int, events: int) -> None:
    renew(leases)
    progress(events / whole)


def _account(client: redis.Redis, name: str) -> Counter[str]:
    """What became of the rows of a file in one flow, over all starts, and how many rows it has."""
    counted: dict[bytes, Any] = client.hgetall(OUTCOMES_KEY.format(name))
    rows: Any = client.hget(OFFSETS_KEY.format(name), ROWS)
    return Counter({outcome.decode(): int(number) for outcome, number in counted.items()}) + Counter({ROWS: int(rows)})


def _say(text: str, code: int) -> int:
    print(text, file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
    return code


if __name__ == "__main__":
    sys.exit(main())
