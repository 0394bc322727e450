"""The lake flow as a process: killed again and again, it loses nothing, and what it keeps is what was received.

`LAKE_KILLS=100` kills it as many times.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from dataflows.connectors.lake_files import EVENTS, FEATURES, open_lake
from tests.integration.stand import PARTITIONS, Stand

KILLS = int(os.environ.get("LAKE_KILLS", "3"))
USERS = 40

pytestmark = pytest.mark.integration
encode = msgspec.json.Encoder().encode


def an_event(number: int) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "type": "view", "occurred_at": time.time_ns() // 1000,
        "user_id": f"u{number % USERS}", "item_id": f"i{number % 7}", "price": 2.5,
    }  # fmt: skip


def publish(stand: Stand, first: int, last: int) -> None:
    for partition in range(PARTITIONS):
        mine = [encode(an_event(number)) for number in range(first, last) if number % USERS % PARTITIONS == partition]
        stand.publish(partition, mine)


def rows(lake: Path, folder: str) -> list[dict[str, Any]]:
    found = open_lake(str(lake))
    return [row for file in found.files(folder) for row in found.read(file.path).to_pylist()]


def test_killed_at_any_moment_it_loses_no_event_and_no_row(tmp_path: Path) -> None:
    lake, chance = tmp_path / "lake", random.Random(7)
    with Stand({"INLAY_LAKE_URL": str(lake), "INLAY_LAKE_WAIT": "0.05"}, forked=True) as stand:
        for flow in ("people", "items", "lake"):
            stand.start(flow, wait=False)
        for flow in ("people", "items", "lake"):
            stand.wait_until_owner(flow)
        sent = readable = 0
        for _ in range(KILLS):
            stand.wait_until_owner("lake")
            before = stand.offsets("lake")
            while stand.offsets("lake") == before:  # so that it is killed while it writes, not while it starts
                publish(stand, sent, sent + 80)
                sent += 80
                time.sleep(chance.uniform(0, 0.1))
            stand.kill("lake")
            readable += all(pq.ParquetFile(path).metadata.num_rows for path in lake.rglob("[!.]*.parquet"))
            stand.start("lake", wait=False)
        again, late = an_event(0), {**an_event(8), "event_id": "late", "occurred_at": 1_000_000_000}
        stand.publish(0, [b"nonsense", encode(again), encode(late)])
        stand.wait_until_drained(flows=["people", "items", "lake"])
        give_up_at = time.monotonic() + 20
        while any(stand.client.xlen(f"inlay:rows:{partition}") for partition in range(PARTITIONS)):
            assert time.monotonic() < give_up_at
            time.sleep(0.05)
        events = rows(lake, EVENTS)
        online = stand.read("user", [f"u{number}" for number in range(USERS)])
        kept = rows(lake, FEATURES.format("user"))
        items = rows(lake, FEATURES.format("item"))
        for flow in ("people", "items", "lake"):
            stand.stop(flow)
    print(f"{readable} of {KILLS} kills left every file readable; {sent} events, {len(events)} rows of them")
    assert readable == KILLS
    places = {(row["partition"], row["offset"]) for row in events}
    assert Counter(row["event_id"] for row in events).keys() == {"late", *(f"e{number}" for number in range(sent))}
    assert len(places) == sent + 2, "what was sent again, and what was late, is there too"
    assert all(row["received_at"].timestamp() <= time.time() for row in events)
    newest = {row["user_id"]: row for row in sorted(kept, key=lambda row: row["event_timestamp"])}
    assert newest.keys() == online.keys()
    for user, features in online.items():
        assert {name: newest[user][name] for name in ("views_1h", "views_30d", "recent_items", "segment")} == {
            name: features[name] for name in ("views_1h", "views_30d", "recent_items", "segment")
        }
        assert newest[user]["last_view_at"].timestamp() == features["last_view_at"]
    assert {row["item_id"] for row in items} == {f"i{number}" for number in range(7)}
    assert all(pq.ParquetFile(path).metadata.num_rows for path in lake.rglob("*.parquet"))
