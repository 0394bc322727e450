"""Derived events in a real Redis: written with a commit's commands, read back as a stream, and bounded."""

from __future__ import annotations

import pytest

from dataflows.aggregates.sessions import Derived
from dataflows.connectors import StreamError, open_stream
from dataflows.derived import DerivedStream, open_derived, read_event, to_event
from dataflows.events import partition_of
from dataflows.settings import FlowSettings, flow_settings
from tests.contract.redis_server import WRITTEN_AT, RedisServer


def settings_of(server: RedisServer, query: str = "") -> FlowSettings:
    url = f"{server.url}?stream=derived&partitions=3{query}"
    return flow_settings({"INLAY_REDIS_URL": server.url, "INLAY_DERIVED_URL": url})


def tell(server: RedisServer, stream: DerivedStream, user_id: str, *derived: Derived) -> None:
    with server.client.pipeline(transaction=True) as pipeline:
        for command in stream.commands(user_id, derived):
            pipeline.execute_command(*command)
        pipeline.execute()


def test_what_was_written_is_read_back_as_a_stream_in_order(server: RedisServer) -> None:
    settings = settings_of(server)
    stream = open_derived(settings)
    users = [f"u{number}" for number in range(6)]
    told = [Derived("session_started", WRITTEN_AT + n, {"started_at": WRITTEN_AT + n}) for n in range(3)]
    for user_id in users:
        tell(server, stream, user_id, *told)
    reader = open_stream(settings.derived_url)
    found = {records.partition: records.values for records in reader.read({0: -1, 1: -1, 2: -1}, 1000, 0)}
    reader.close()
    expected: dict[int, list[object]] = {}
    for user_id in users:
        expected.setdefault(partition_of(user_id, 3), []).extend(to_event(user_id, each) for each in told)
    assert {partition: [read_event(value) for value in values] for partition, values in found.items()} == expected


def test_only_the_newest_are_kept(server: RedisServer) -> None:
    stream = open_derived(settings_of(server, "&keep=200"))
    for first in range(0, 1000, 100):
        tell(server, stream, "u1", *(Derived("session_started", WRITTEN_AT + first + n, {}) for n in range(100)))
    key = f"derived:{partition_of('u1', 3)}"
    assert 200 <= server.client.xlen(key) <= 300  # whole nodes of a hundred entries are trimmed
    (_, newest), *_ = server.client.xrevrange(key, count=1)
    assert read_event(newest[b"event"]).occurred_at == WRITTEN_AT + 999


def test_another_number_of_partitions_is_refused(server: RedisServer) -> None:
    open_derived(settings_of(server))
    other = flow_settings({"INLAY_REDIS_URL": server.url})
    with pytest.raises(StreamError, match=r"the stream 'derived' has 3 partitions, its URL says 8: write partitions=3"):
        open_derived(other)
