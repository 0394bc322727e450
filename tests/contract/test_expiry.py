"""Time passing over users in a real Redis, through the flow's own parts: what goes out, and what is deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from feast import FeatureStore

from dataflows.aggregate_people import FoldPeople
from dataflows.connectors.letters import open_letters
from dataflows.connectors.redis_streams import connect
from dataflows.enrich import enrich
from dataflows.events import DAY, HOUR, Event
from dataflows.gate import Gate
from dataflows.held import Ceiling
from dataflows.lease import Lease, LeaseError
from dataflows.people import DUE_KEY, folds
from dataflows.settings import flow_settings
from dataflows.stages import Aggregated, Validated
from dataflows.store import Store
from dataflows.wiring import make_gate
from feature_repo.layout import USER
from tests.contract.redis_server import RedisServer
from tests.given import FACTS, NOW, an_event

PARTITION: Final = 0
STATE: Final = USER.columns["state"].field


@pytest.fixture(scope="module")
def gate() -> Gate:
    return make_gate(flow_settings({}), ["user"], Ceiling("people", 3))


class Flow:
    """One process of the people flow on one partition; its clock is told."""

    def __init__(self, server: RedisServer, gate: Gate) -> None:
        settings = flow_settings({"INLAY_REDIS_URL": server.url, "INLAY_STATE_TTL": "100"})
        self.client, self.gate, self.now = connect(server.url), gate, NOW
        self.lease = Lease(self.client, "people", [PARTITION], 60)
        self.lease.acquire()
        _, letters = open_letters(settings.dead_letters_url, 100)
        self.store = Store(self.client, "people", self.lease, letters, lambda: self.now)
        self.fold: FoldPeople = folds(self.client, settings, 1)({PARTITION: -1})
        self.take(-1)

    def take(self, offset: int, *events: Event) -> None:
        placed = [(offset, event) for event in events]
        self.commit(self.fold.fold(enrich([Validated(PARTITION, offset, placed, [])], lambda _: FACTS), self.now))

    def pass_by(self, micros: int) -> None:
        self.now += micros
        self.commit(self.fold.expire(self.now))

    def commit(self, results: list[Aggregated]) -> None:
        self.store.commit(*self.gate(results))

    def due(self) -> dict[bytes, float]:
        return dict(self.client.zrange(DUE_KEY.format(PARTITION), 0, -1, withscores=True))


@pytest.fixture
def flow(server: RedisServer, gate: Gate) -> Iterator[Flow]:
    flow = Flow(server, gate)
    yield flow
    flow.lease.release()
    flow.client.close()


def hash_of(server: RedisServer | Flow, key: str) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = server.client.hgetall(USER.key(key))
    return found


def test_what_time_changes_is_written_and_nothing_else(server: RedisServer, gate: Gate, store: FeatureStore) -> None:
    flow = Flow(server, gate)
    flow.take(0, an_event(item_id="p1"))
    flow.pass_by(HOUR // 2 + 1)  # the session is over, and that is told of
    before = hash_of(server, "u1")
    flow.lease.release()
    flow = Flow(server, gate)
    flow.now = NOW + HOUR
    flow.pass_by(HOUR)
    after = hash_of(server, "u1")
    fields = {column.field: name for name, column in USER.columns.items()}
    changed = {fields[field] for field in after if after[field] != before.get(field) and field in fields}
    assert changed == {"views_1h"}
    times = [USER.decode(each)[1] for each in (before, after)]
    moved = {view for view in times[1] if times[1][view] != times[0][view]}
    assert moved == {"user_activity", "user_segment"}
    assert all(times[1][view] > times[0][view] for view in moved)
    names = ("user_activity:views_1h", "user_activity:views_24h", "user_items:recent_items")
    read = store.get_online_features(features=list(names), entity_rows=[{"user_id": "u1"}]).to_dict()
    assert (read["views_1h"], read["views_24h"], read["recent_items"]) == ([0], [1], [["p1"]])
    flow.take(1, an_event(event_id="e2", item_id="p2", occurred_at=NOW))
    assert USER.decode(hash_of(server, "u1"))[1]["user_activity"] > times[1]["user_activity"]
    flow.lease.release()


def idle(flow: Flow, **fields: Any) -> None:
    """A user of whom nothing came for a hundred days."""
    flow.take(0, an_event(type="purchase", item_id="p1", price=3.0, **fields))
    for days in (1, 8, 31, 59):
        flow.pass_by(days * DAY)
    assert hash_of(flow, "u1")


def test_who_is_forgotten_is_gone_and_due_no_more(server: RedisServer, flow: Flow) -> None:
    idle(flow)
    assert flow.due() == {b"u1": pytest.approx(NOW + 100 * DAY, abs=1000)}
    flow.pass_by(2 * DAY)
    assert hash_of(server, "u1") == {}
    assert flow.due() == {}
    assert [key for key in server.client.keys("*") if b"population" in key] == []
    flow.take(1, an_event(event_id="e2", item_id="p2", occurred_at=flow.now))
    row = USER.decode(hash_of(server, "u1"))[0]
    assert (row["views_1h"], row.get("purchased_items")) == (1, [])


def test_who_said_no_is_known_for_ever(server: RedisServer, flow: Flow) -> None:
    idle(flow, properties={})
    flow.take(1, an_event(event_id="no", type="email_unsubscribe", occurred_at=NOW + DAY))
    flow.pass_by(1000 * DAY)
    assert USER.decode(hash_of(server, "u1"))[0]["email_allowed"] is False
    assert flow.due() == {}


def test_a_flow_that_lost_its_lease_forgets_nobody(server: RedisServer, flow: Flow) -> None:
    idle(flow)
    server.client.set(flow.lease.keys[PARTITION], b"another")
    with pytest.raises(LeaseError):
        flow.pass_by(2 * DAY)
    assert STATE in hash_of(server, "u1")


class AllBroken:
    """A verdict that finds every row wrong."""

    def broken(self, rows: list[Mapping[str, Any]]) -> dict[int, str]:
        return dict.fromkeys(range(len(rows)), "is_allowed(nothing)")

    def table(self, rows: list[Mapping[str, Any]]) -> str:
        return ""


def test_a_row_that_is_held_back_leaves_all_as_it_was_and_goes_on_falling(server: RedisServer, flow: Flow) -> None:
    flow.take(0, an_event(item_id="p1"))
    flow.pass_by(HOUR // 2 + 1)
    before, due, gate = hash_of(server, "u1"), flow.due(), flow.gate
    flow.gate = Gate({}, {"user": AllBroken()})
    flow.pass_by(HOUR)
    assert hash_of(server, "u1") == before
    assert flow.due()[b"u1"] > due[b"u1"]
    assert server.client.xlen("quarantine") == 1
    flow.gate = gate
    flow.pass_by(DAY)
    assert USER.decode(hash_of(server, "u1"))[0]["views_24h"] == 0
