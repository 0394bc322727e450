"""Identity over a real Redis: the inbox's commands are those it knows, and a link shows in the user's row."""

from __future__ import annotations

import msgspec

from dataflows.aggregate_people import FoldPeople
from dataflows.connectors.letters import DeadLetters
from dataflows.events import MINUTE, partition_of
from dataflows.inbox import Changed, Inbox, posted
from dataflows.lease import Lease
from dataflows.people import folds
from dataflows.settings import flow_settings
from dataflows.stages import Enriched, Received
from dataflows.store import Store
from dataflows.validate import Validate
from expectations.verdict import load_verdict
from tests.contract.redis_server import RedisServer
from tests.given import FACTS, NOW, an_event

PARTITIONS = 13


def store_of(server: RedisServer) -> Store:
    """The store of a process that owns all partitions."""
    lease = Lease(server.client, "people", range(PARTITIONS), 60)
    lease.acquire()
    return Store(server.client, "people", lease, DeadLetters("letters", 100), lambda: NOW)


def fold_of(server: RedisServer) -> FoldPeople:
    """The fold of the flow itself, over the real store."""
    settings = flow_settings({"INLAY_REDIS_URL": server.url})
    made: FoldPeople = folds(server.client, settings, PARTITIONS)(dict.fromkeys(range(PARTITIONS), -1))
    return made


def test_what_was_taken_out_is_gone_and_what_came_meanwhile_is_not(server: RedisServer) -> None:
    def post(part: str) -> None:
        for command in posted([Changed("u1", part)], 1):
            server.client.execute_command(*command)

    inbox = Inbox(server.client, 0)
    assert inbox.read() == []
    post("d1")
    assert inbox.read() == [Changed("u1", "d1")]
    assert inbox.read() == []
    post("d2")
    for _ in range(2):
        for command in inbox.taken():
            server.client.execute_command(*command)
        assert Inbox(server.client, 0).read() == [Changed("u1", "d2")]


def test_a_link_shows_in_the_row_of_the_user_and_every_row_on_the_way_passes_the_gate(server: RedisServer) -> None:
    parts = {key: fold_of(server) for key in ("d1", "d2", "u1")}
    rows = []
    store, validate = store_of(server), Validate(lambda: NOW, MINUTE, 100)
    nothing_yet = validate(Received(partition_of("d2", PARTITIONS), [], []))
    assert parts["d2"].fold([Enriched(nothing_yet, FACTS)], NOW) == []
    for number, event in enumerate((
        an_event(event_id="e1", user_id=None, anonymous_id="d1", item_id="p1"),
        an_event(event_id="e2", type="identify", anonymous_id="d1"),
        an_event(event_id="e3", type="identify", anonymous_id="d2"),
    )):  # fmt: skip
        batch = validate(Received(partition_of(event.key, PARTITIONS), [number], [msgspec.json.encode(event)]))
        for result in parts[event.key].fold([Enriched(batch, FACTS)], NOW):
            store.commit(result)
    for _ in range(2):
        for fold in parts.values():
            for result in fold.expire(NOW):
                store.commit(result)
                rows += [{"key": row.key, **row.values} for row in result.rows]
    assert {row["key"]: row["recent_items"] for row in rows} == {"d1": ["p1"], "d2": [], "u1": ["p1"]}
    assert load_verdict("user").broken(rows) == {}
    assert not any(server.client.xlen(key) for key in server.client.scan_iter("inlay:inbox:*"))
