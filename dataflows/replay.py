"""Replay: publish a file of events in the order of their times. `python -m dataflows.replay FILE`.

Reads JSON lines, CSV (also gzipped), Parquet and Avro. What the file says goes into the stream as it is: the flows
judge it.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

import fastavro
import msgspec
import pyarrow.csv
import pyarrow.parquet
from tqdm import tqdm

from dataflows.connectors import Stream, StreamError, open_stream
from dataflows.connectors.lake_events import is_of_lake, to_event
from dataflows.events import SECOND, partition_of
from dataflows.input_rows import exact
from dataflows.mapping import MappingError, RowReader, apply_mapping, identity, load_mapping, settle_times
from dataflows.settings import SettingError, flow_settings

CHUNK: Final = 2000


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file as dictionaries; `row` counts them from 0.

    Raises:
        MappingError: the kind of file is not known, or an entry is no JSON object.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson", ".json")):
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(filter(None, map(bytes.strip, lines))):
                try:
                    yield {**msgspec.json.decode(line, type=dict[str, Any]), "row": number}
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise MappingError(f"{path}: entry {number + 1} is no JSON object: {error}") from None
        return
    if name.endswith(".avro"):
        with path.open("rb") as content:
            for number, record in enumerate(fastavro.reader(content)):
                yield {**cast("dict[str, Any]", record), "row": number}
        return
    if name.endswith(".csv"):
        table = pyarrow.csv.read_csv(path)
    elif name.endswith(".parquet"):
        table = pyarrow.parquet.read_table(path)
    else:
        raise MappingError(f"{path}: send JSON lines (.jsonl), CSV (.csv), Parquet (.parquet) or Avro (.avro)")
    number = 0
    for batch in exact(table).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            row["row"] = number
            number += 1
            yield row


def read_events(path: Path, mapping: dict[str, RowReader] | None) -> list[dict[str, Any]]:
    """The events of a file in order of time, `occurred_at` in whole microseconds where it can be read."""
    events = []
    known: dict[tuple[str, ...], dict[str, RowReader]] = {}
    for row in read_rows(path):
        if mapping is None and "received_at" in row and is_of_lake(row):
            del row["row"]
            events.append(settle_times(to_event(row)))
            continue
        chosen = mapping
        if chosen is None:  # each line of JSON may have keys of its own
            columns = tuple(row)[:-1]
            chosen = known[columns] if columns in known else known.setdefault(columns, identity(columns))
        events.append(settle_times(apply_mapping(chosen, row)))
    events.sort(key=moment_of)
    return events


def shift(events: list[dict[str, Any]], end_at: int) -> None:
    """Move all times so that the last event happens at `end_at` (microseconds)."""
    last = max(map(moment_of, events), default=0)
    for event in events:
        for field in ("occurred_at", "added_at"):
            if isinstance(event.get(field), int):
                event[field] += end_at - last


def publish(
    stream: Stream,
    events: list[dict[str, Any]],
    speed: float,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[int], object] = lambda count: None,
) -> None:
    """Publish the events, `speed` times as fast as they happened; infinite: as fast as the stream takes them."""
    encode = msgspec.json.Encoder().encode
    started, first = now(), moment_of(events[0]) if events else 0
    chunk: list[tuple[int, bytes]] = []
    for event in events:
        wait = (moment_of(event) - first) / SECOND / speed - (now() - started)
        if chunk and (len(chunk) >= CHUNK or wait > 0):
            stream.publish(chunk)
            progress(len(chunk))
            chunk = []
        if wait > 0:
            sleep(wait)
        key = event.get("user_id") or event.get("anonymous_id") or event.get("item_id") or ""
        chunk.append((partition_of(str(key), stream.partitions), encode(event)))
    stream.publish(chunk)
    progress(len(chunk))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.replay", description=__doc__)
    parser.add_argument("file", type=Path, help=".jsonl, .csv, .parquet or .avro, also gzipped")
    parser.add_argument("--map", type=Path, help="YAML that maps its columns to the fields of an event")
    parser.add_argument("--speed", default="max", help="how many times as fast as it happened, or `max`")
    parser.add_argument("--end-at-now", action="store_true", help="shift the times so that the last event is now")
    parser.add_argument("--to", metavar="STREAM_URL", help="another stream than INLAY_STREAM_URL")
    chosen = parser.parse_args(arguments)
    try:
        speed = _speed(chosen.speed)
        stream = open_stream(chosen.to or flow_settings(os.environ).stream_url)
        events = read_events(chosen.file, load_mapping(chosen.map) if chosen.map else None)
    except (MappingError, SettingError, StreamError, OSError, EOFError, zlib.error, ValueError) as error:
        print(f"replay: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    if chosen.end_at_now:
        shift(events, time.time_ns() // 1000)
    started = time.monotonic()
    with tqdm(total=len(events), unit=" events", unit_scale=True, desc=chosen.file.name) as bar:
        publish(stream, events, speed, progress=bar.update)
    seconds = max(time.monotonic() - started, 1e-9)
    print(f"{len(events):,} events published in {seconds:.1f} s: {len(events) / seconds:,.0f} events/s")  # noqa: T201
    return 0


def _speed(text: str) -> float:
    speed = float("inf") if text == "max" else float(text)
    if not speed > 0:
        raise ValueError(f"--speed {text}: write a number above 0, or max")
    return speed


def moment_of(event: dict[str, Any]) -> int:
    """When an event happened, in microseconds; 0 where that cannot be read."""
    at = event.get("occurred_at")
    return at if isinstance(at, int) else 0


if __name__ == "__main__":
    sys.exit(main())
