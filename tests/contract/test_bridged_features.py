"""Events of a real shop posted, and through every inlet: the same features, field by field, as by a replay."""

from __future__ import annotations

import asyncio
import csv
import gc
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import fastavro
import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet
import pytest

from api.app import create
from api.settings import api_settings
from dataflows.connectors import open_stream
from dataflows.events import Event, parse, to_micros, to_rfc3339
from dataflows.mapping import load_mapping
from dataflows.replay import publish, read_events, shift
from tests.contract.bridge import PARTITIONS, Bridge
from tests.contract.inlet_peers import KINDS, FolderPeer, Peer, make_peer
from tests.contract.redis_server import RedisServer
from tests.flow.edges import CommittedSink, items, people, run
from tests.given import NOW
from tests.integration.oracle import EVENTS, sample_folder
from tests.unit.dataflows.doubles import Clock, Committed, in_batches

SAMPLE: Final = sample_folder()
MAP: Final = Path(__file__).parents[1] / "maps" / "ga360_events.yaml"
SOME: Final = 2000
WHOLE: Final = bool(os.environ.get("BRIDGE_WHOLE_SAMPLE"))
"""All of it instead of some; takes minutes for each inlet."""
POSTED: Final = 1000
BITE: Final = 1000 if WHOLE else 100
SECONDS: Final = 3600.0 if WHOLE else 120.0
Table = dict[tuple[str, str], dict[str, Any]]
Row = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not (SAMPLE / EVENTS).exists(), reason=f"no sample data in {SAMPLE} (INLAY_SAMPLE_DATA)"
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Rows of the sample as a foreign system would send them, the last one of now; `row` is the number of a row."""
    table = pyarrow.parquet.read_table(SAMPLE / EVENTS)
    file = tmp_path_factory.mktemp("sample") / "some.parquet"
    pyarrow.parquet.write_table(table if WHOLE else table.slice(0, SOME), file)
    events = read_events(file, load_mapping(MAP))
    shift(events, NOW)
    columns = {"event_type": "type", "user_id": "user_id", "item_id": "item_id", "price": "price"}
    columns |= {"quantity": "quantity", "order_id": "order_id"}
    return [
        {column: event[field] for column, field in columns.items() if field in event}
        | {
            "event_time": to_rfc3339(event["occurred_at"]),
            "row": int(event["event_id"].removeprefix("ga360-")),
            "session_id": event.get("properties", {}).get("session_id"),
        }
        for event in events
    ]


@pytest.fixture(scope="module")
def expected(rows: list[Row], running_redis: RedisServer) -> Table:
    """The features when the same events are replayed straight into the stream."""
    running_redis.client.flushall()
    replayed = [json.loads(each) for each in map(as_event, rows)]
    publish(open_stream(f"{running_redis.url}?stream=events&partitions={PARTITIONS}"), replayed, float("inf"))
    return features(running_redis)


@pytest.mark.parametrize("kind", KINDS)
def test_the_features_of_bridged_events_are_those_of_replayed_ones(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, rows: list[Row], expected: Table, server: RedisServer
) -> None:
    peer = make_peer(kind, request, tmp_path)
    send(peer, rows)
    with Bridge(peer, server, mapping=MAP, most=BITE, seconds=SECONDS) as bridge:
        bridge.until(lambda: arrived(server) >= len(rows))
    are_the_same(features(server), expected, kind)


def test_the_features_of_events_posted_in_batches_are_those_of_replayed_ones(
    rows: list[Row], expected: Table, server: RedisServer
) -> None:
    stream = f"{server.url}?stream=events&partitions={PARTITIONS}"
    settings = {"INLAY_API_KEYS": "k", "INLAY_REDIS_URL": server.url, "INLAY_STREAM_URL": stream}
    app = create(api_settings(settings))

    async def post() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://api", headers={"X-Api-Key": "k"}) as client,
        ):
            gc.unfreeze()  # the service freezes what it finds; this process goes on
            for first in range(0, len(rows), POSTED):
                batch = list(map(as_event, rows[first : first + POSTED]))
                answer = await client.post("/v1/events", content=b"[" + b",".join(batch) + b"]")
                said = answer.json()
                assert said["accepted"] + len(said["refused"]) == len(batch)

    asyncio.run(post())
    assert arrived(server) == len(rows)
    are_the_same(features(server), expected, "http")


def are_the_same(found: Table, expected: Table, kind: str) -> None:
    """Field by field."""
    print(f"{kind}: {len(found):,} rows, {sum(map(len, found.values())):,} fields")
    assert len(expected) > SOME / 20
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        for name, value in row.items():
            assert found[key][name] == value, (key, name)


def send(peer: Peer, rows: list[Row]) -> None:
    """As records of JSON; into a folder as one file of each kind."""
    if not isinstance(peer, FolderPeer):
        peer.send([(row["user_id"], msgspec.json.encode(row)) for row in rows])
        return
    quarter = len(rows) // 4 + 1
    for number, write in enumerate((write_lines, write_csv, write_parquet, write_avro)):
        write(peer.folder / str(number), rows[number * quarter : (number + 1) * quarter])


def write_lines(path: Path, rows: Sequence[Row]) -> None:
    path.with_suffix(".jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, rows)))


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    pyarrow.parquet.write_table(
        pa.Table.from_pylist([{name: row.get(name) for name in COLUMNS} for row in rows]), path.with_suffix(".parquet")
    )


def write_avro(path: Path, rows: Sequence[Row]) -> None:
    kinds = {"row": "long", "session_id": "long", "price": "double", "quantity": "double"}
    fields = [{"name": name, "type": ["null", kinds.get(name, "string")], "default": None} for name in COLUMNS]
    with path.with_suffix(".avro").open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "Row", "fields": fields}, rows, codec="deflate")


COLUMNS: Final = (
    "event_type", "user_id", "item_id", "price", "quantity", "order_id", "event_time", "row", "session_id"
)  # fmt: skip


def as_event(row: Row) -> bytes:
    """What the mapping makes of a row, written by hand."""
    names = {"event_type": "type", "event_time": "occurred_at"}
    event = {names.get(name, name): value for name, value in row.items() if name not in ("row", "session_id")}
    more = {"event_id": f"ga360-{row['row']}", "currency": "USD", "properties": {"session_id": row["session_id"]}}
    return msgspec.json.encode(event | more)


def arrived(server: RedisServer) -> int:
    letters = server.client.xlen("dead_letters")
    return int(letters + sum(server.client.xlen(f"events:{number}") for number in range(PARTITIONS)))


def features(server: RedisServer) -> Table:
    """What both flows make of the stream.

    Items are given the events in the order of their times: who else visited before is part of what goes with an item,
    and no source that is shared out keeps the order of different people. What is no event is left out: a bridge refuses
    at its door what a flow refuses later, and a micro-batch, at whose end rows are written, must end at the same event.
    """
    table: Table = {}
    for flow, order in ((people, None), (items, time_of)):
        batches = []
        for number in range(PARTITIONS):
            found = (fields[b"event"] for _, fields in server.client.xrange(f"events:{number}"))
            values = [value for value in found if isinstance(parse(value, NOW), Event)]
            if order is not None:
                values.sort(key=order)
            batches += in_batches(number, values, [500] * (len(values) // 500))
        committed = Committed()
        run(flow(committed, Clock()), batches, CommittedSink(committed))
        table |= committed.values()
    return table


def time_of(value: bytes) -> tuple[int, str]:
    event = msgspec.json.decode(value)
    at = event["occurred_at"]
    return at if isinstance(at, int) else to_micros(msgspec.convert(at, datetime), "occurred_at"), event["event_id"]
