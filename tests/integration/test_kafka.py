"""Kafka as the stream: the same features as from Redis Streams, field by field, whoever is killed meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow.parquet
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient, NewTopic

from dataflows.mapping import load_mapping
from dataflows.replay import read_events, shift
from tests.contract.kafka_server import KafkaServer, kafka_server, why_no_kafka
from tests.integration.oracle import EVENTS
from tests.integration.stand import FLOWS, PARTITIONS, ROOT, Stand
from tests.integration.test_real_events import (
    CLOSE_COMMITS,
    MAPS,
    SAMPLE,
    at_rest,
    differences,
    now_micros,
    report,
)

ROWS: Final = 10**9 if os.environ.get("WHOLE_SAMPLE") else 4000
"""Of the sample, in the order of their times; all of them if WHOLE_SAMPLE is set."""
OF_THE_MOMENT: Final = ("state", "segment", "rfm_recency", "rfm_frequency", "rfm_monetary")
"""Opaque; and how a user compares with whoever was known when the row was written, which the kills put off."""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(why_no_kafka()), reason=why_no_kafka()),
]


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaServer]:
    with kafka_server() as server:
        yield server


@pytest.mark.skipif(not (SAMPLE / EVENTS).exists(), reason=f"no sample data in {SAMPLE} (INLAY_SAMPLE_DATA)")
def test_the_features_are_those_of_redis_streams_though_flows_and_broker_were_killed_and_redis_was_emptied(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    events = part_of_the_sample(tmp_path)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(map(msgspec.json.encode, events)))
    on_kafka = {**CLOSE_COMMITS, "INLAY_STREAM_URL": kafka.url("whole", partitions=PARTITIONS)}
    with Stand(CLOSE_COMMITS, forked=True) as calm, Stand(on_kafka, forked=True) as stand:
        for each in (calm, stand):
            for flow in FLOWS:
                each.start(flow, wait=False)
        calm.replay(file, wait=False)
        for flow in FLOWS:
            stand.wait_until_owner(flow)
        stand.replay(file, "--speed", str(speed_of(events, 12)), wait=False)
        stand.wait_until_received(100)
        kafka.kill()
        kafka.start()
        stand.wait_until_received(max(stand.outcomes(flow)["received"] for flow in FLOWS) + 1)
        for flow in FLOWS:
            stand.kill(flow)
            stand.start(flow, wait=False)
        for flow in FLOWS:
            stand.wait_until_owner(flow)
        calm.wait_until_replayed()
        stand.wait_until_replayed()

        items = sorted({event["item_id"] for event in events if "item_id" in event})
        users = sorted({event["user_id"] for event in events})
        found = assert_alike(calm, stand, users, items, "cat")
        assert any(row["views_30d"] for row in found.values() if "views_30d" in row)
        for flow in FLOWS:
            stand.stop(flow)
            assert seen_by_kafka(kafka, f"inlay-{flow}", "whole") == {
                part: offset + 1 for part, offset in stand.offsets(flow).items() if offset >= 0
            }

        stand.client.flushall()
        for flow in FLOWS:
            stand.start(flow, wait=False)
            stand.wait_until_owner(flow)
        stand.wait_until_drained()
        assert_alike(calm, stand, users, items, "again")


def test_a_topic_that_was_made_anew_is_refused_until_told_and_then_every_event_counts(kafka: KafkaServer) -> None:
    """Its offsets begin anew, below those that every user's state has seen."""
    with Stand({"INLAY_STREAM_URL": kafka.url("anew", partitions=PARTITIONS)}, forked=True) as stand:
        stand.start("people")
        stand.publish(0, views("old", 30))
        stand.wait_until_drained(flows=["people"])
        stand.stop("people")
        make_anew(kafka, "anew")
        stand.publish(0, views("new", 20))
        refused = run(stand, "-m", "bytewax.run", "dataflows.people")
        assert refused.returncode != 0
        assert "people is somewhere in another stream" in refused.stderr
        assert "python -m dataflows.offsets reset people --to first" in refused.stderr
        told = run(stand, "-m", "dataflows.offsets", "reset", "people", "--to", "first")
        assert (told.returncode, told.stdout) == (0, "people goes on from the first event\n"), told.stderr
        stand.start("people")
        stand.publish(0, views("newer", 5))
        stand.wait_until_received(55, flows=["people"])
        assert stand.read("user", ["u"])["u"]["views_1h"] == 55
        stand.stop("people")
        shown = run(stand, "-m", "dataflows.offsets", "show")
        assert f"people    0  offset {24:>20}  lag {0:>8}" in shown.stdout


def assert_alike(calm: Stand, stand: Stand, users: list[str], items: list[str], mark: str) -> dict[str, dict[str, Any]]:
    """Both have the same features and counted the same, once every item's row was written once more; what they have."""
    catalogue = [described(item, mark) for item in items]
    for each in (calm, stand):
        each.publish(0, catalogue)
    for each in (calm, stand):
        each.wait_until_drained()
    _, (expected, found) = at_rest([calm, stand], lambda: [everything(each, users, items) for each in (calm, stand)])
    wrong = differences(expected, found)
    assert not wrong, report(wrong)
    for flow in FLOWS:
        assert stand.outcomes(flow)["applied"] == calm.outcomes(flow)["applied"], flow
    return found


def part_of_the_sample(folder: Path) -> list[dict[str, Any]]:
    """The first events of the sample, as if the last of them were now."""
    rows = pyarrow.parquet.read_table(SAMPLE / EVENTS).sort_by("event_time").slice(0, ROWS)
    pyarrow.parquet.write_table(rows, folder / "part.parquet")
    events = read_events(folder / "part.parquet", load_mapping(MAPS / "ga360_events.yaml"))
    shift(events, now_micros())
    return events


def speed_of(events: list[dict[str, Any]], seconds: float) -> float:
    """How fast the events are to be replayed to take so long."""
    return float(max(1, (events[-1]["occurred_at"] - events[0]["occurred_at"]) / 1e6 / seconds))


def described(item: str, mark: str) -> bytes:
    """What makes the row of an item be written once more."""
    return msgspec.json.encode(
        {"event_id": f"{mark}-{item}", "type": "item", "occurred_at": time.time(), "item_id": item, "title": item}
    )


def everything(stand: Stand, users: list[str], items: list[str]) -> dict[str, dict[str, Any]]:
    """Every feature of every user, item and scope that is a matter of the events alone."""
    rows = {**stand.read("user", users), **stand.read("item", items), **stand.read("scope", ["all"])}
    return {key: {name: value for name, value in row.items() if name not in OF_THE_MOMENT} for key, row in rows.items()}


def run(stand: Stand, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the product to its end."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=stand.environment, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip


def views(mark: str, number: int) -> list[bytes]:
    return [
        msgspec.json.encode(
            {"event_id": f"{mark}-{n}", "type": "view", "occurred_at": time.time(), "user_id": "u", "item_id": f"i{n}"}
        )
        for n in range(number)
    ]


def seen_by_kafka(kafka: KafkaServer, group: str, topic: str) -> dict[int, int]:
    """Where Kafka's own tools see a flow."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    return {each.partition: each.offset for each in asked[group].result(10).topic_partitions if each.topic == topic}


def make_anew(kafka: KafkaServer, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_topics([topic])[topic].result(10)
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        try:
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(10)
        except Exception:  # it is still being deleted
            time.sleep(0.1)
        else:
            return
