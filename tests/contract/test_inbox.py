"""Identity over a real Redis: the inbox's commands are those it knows, and a link shows in the user's row."""

from __future__ import annotations

from dataflows.aggregate import DueSet
from dataflows.aggregate_people import FoldPeople
from dataflows.aggregates.people import User
from dataflows.events import Placed, partition_of
from dataflows.identities import Identities
from dataflows.inbox import Changed, Inbox, posted
from dataflows.stages import Aggregated, Enriched, Validated
from dataflows.state import StateTable, entity_states
from expectations.verdict import load_verdict
from feature_repo.layout import USER
from tests.contract.redis_server import RedisServer
from tests.given import FACTS, NOW, an_event

PARTITIONS = 13


def commit(server: RedisServer, result: Aggregated) -> None:
    """As the store does, without a lease."""
    pipeline = server.client.pipeline(transaction=True)
    for row in result.rows:
        columns = {**row.values, "state": row.state}
        pipeline.execute_command("HSET", USER.key(row.key), *USER.encode(columns, row.at))
    for command in result.commands:
        pipeline.execute_command(*command)
    pipeline.execute()


def fold_of(server: RedisServer) -> FoldPeople:
    read = entity_states(server.client, USER)
    users = StateTable(read, User.unpack, User, 100)

    def identities(partition: int) -> Identities:
        stored = StateTable(read, User.unpack, User, 0)
        return Identities(Inbox(server.client, partition), stored.peek, PARTITIONS)

    due = DueSet(server.client, "due")
    return FoldPeople(users, lambda _: due, dict.fromkeys(range(PARTITIONS), -1), identities)


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
    folds = {key: fold_of(server) for key in ("d1", "d2", "u1")}
    rows = []
    nothing_yet = Validated(partition_of("d2", PARTITIONS), -1, [], [])
    assert folds["d2"].fold([Enriched(nothing_yet, FACTS)], NOW) == []
    for number, event in enumerate((
        an_event(event_id="e1", user_id=None, anonymous_id="d1", item_id="p1"),
        an_event(event_id="e2", type="identify", anonymous_id="d1"),
        an_event(event_id="e3", type="identify", anonymous_id="d2"),
    )):  # fmt: skip
        batch = Validated(partition_of(event.key, PARTITIONS), number, [Placed(number, event)], [])
        for result in folds[event.key].fold([Enriched(batch, FACTS)], NOW):
            commit(server, result)
    for _ in range(2):
        for fold in folds.values():
            for result in fold.expire(NOW):
                commit(server, result)
                rows += [{"key": row.key, **row.values} for row in result.rows]
    assert {row["key"]: row["recent_items"] for row in rows} == {"d1": ["p1"], "d2": [], "u1": ["p1"]}
    assert load_verdict("user").broken(rows) == {}
    assert not any(server.client.xlen(key) for key in server.client.scan_iter("inlay:inbox:*"))
