"""The features of eleven weeks of a real shop, number by number against the oracle: in calm, repeated, and killed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Mapping
from functools import partial
from math import isclose
from pathlib import Path
from typing import Any, Final

import pytest

from expectations.audits.__main__ import read_lake
from expectations.audits.auditing import audit
from expectations.audits.online import Online
from feature_repo.layout import USER
from tests.integration.oracle import EVENTS, ITEMS, MINUTE, Features, Oracle, row_times, sample_folder
from tests.integration.stand import FLOWS, PARTITIONS, ROOT, Stand

MAPS: Final = ROOT / "tests" / "maps"
SAMPLE: Final = sample_folder()
TOLERANCE: Final = 1e-6
USERS: Final = 2000
USERS_BY_FEAST: Final = 100
AUDITED_USERS: Final = 500
KILLS: Final = 20
LONGEST_LIFE: Final = 4.0
"""Seconds that a flow owns its partitions before it is killed, at most."""
CLOSE_COMMITS: Final = {"INLAY_BATCH_EVENTS": "4000", "INLAY_REWIND": "30"}
"""So that a restart reads again for two or three seconds: kills fall among these commits and behind them."""
SPEED: Final = 65_000
"""Eleven weeks in 100 s, about as long as the kills take."""

Rows = dict[str, dict[str, Any]]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (SAMPLE / EVENTS).exists(), reason=f"no sample data in {SAMPLE} (INLAY_SAMPLE_DATA)"),
]


def test_the_features_of_real_events_equal_the_oracle_and_a_second_replay_changes_none(tmp_path: Path) -> None:
    lake = str(tmp_path)
    with Stand({"INLAY_LAKE_URL": lake, "INLAY_LAKE_WAIT": "1"}) as stand:
        stand.start("lake", wait=False)
        start_with_catalogue(stand)
        replay_events(stand)
        stand.wait_until_drained()

        oracle = Oracle(SAMPLE, shift_of(stand))
        once = outcomes_expected(oracle)
        for flow in FLOWS:
            assert stand.outcomes(flow) == once, flow
        assert_equal_to_oracle(stand, oracle)
        assert_feast_reads_what_the_oracle_says(stand, oracle)
        before = everything(stand, oracle)
        stand.wait_until_drained(flows=["lake"])
        assert_an_audit_finds_nothing(stand, lake)

        replay_events(stand)
        stand.wait_until_drained()
        repeated = oracle.outcomes(now_micros())
        twice = {
            "received": once["received"] + repeated["received"],
            "applied": once["applied"],
            "duplicate": repeated["applied"],
            "late": 0,
            "refused": 2 * once["refused"],
        }
        for flow in FLOWS:
            assert stand.outcomes(flow) == twice, flow
        assert_equal_to_oracle(stand, oracle)
        assert_only_time_changed(before, everything(stand, oracle))
        for flow in FLOWS:
            stand.stop(flow)


def test_flows_killed_at_random_moments_come_to_the_same_features() -> None:
    with Stand(CLOSE_COMMITS, forked=True) as stand:
        start_with_catalogue(stand)
        replay_events(stand, "--speed", str(SPEED), wait=False)
        stand.wait_until_received(1000)
        kill_at_random(stand, random.Random(20))
        stand.wait_until_replayed()
        stand.wait_until_drained()

        oracle = Oracle(SAMPLE, shift_of(stand))
        assert_equal_to_oracle(stand, oracle)
        for flow in FLOWS:
            assert stand.outcomes(flow) == outcomes_expected(oracle), flow
        with Stand() as calm:
            calm.start("items")
            for partition in range(PARTITIONS):
                calm.publish(partition, stand.stream(partition))
            calm.wait_until_drained(flows=["items"])
            assert_same_items_and_scopes(stand, calm, oracle)
            assert_restart_forgets_no_neighbour(calm, oracle)


def assert_an_audit_finds_nothing(stand: Stand, lake: str) -> None:
    """What is online is what another engine makes of the lake."""
    found = audit(
        partial(read_lake, lake), Online(stand.feature_store(), stand.client), users=AUDITED_USERS, items=1000,
        chance=random.Random(2), clock=now_micros, pause=partial(time.sleep, 5),
    )  # fmt: skip
    assert found.findings == []
    assert (found.compared["user"], found.unjudged) == (AUDITED_USERS, {})


def start_with_catalogue(stand: Stand) -> None:
    """Both flows running, and the catalogue in their features before the first visitor comes."""
    for flow in FLOWS:
        stand.start(flow, wait=False)
    for flow in FLOWS:
        stand.wait_until_owner(flow)
    stand.replay(SAMPLE / ITEMS, "--map", MAPS / "ga360_items.yaml")
    stand.wait_until_drained()


def replay_events(stand: Stand, *arguments: str, wait: bool = True) -> None:
    stand.replay(SAMPLE / EVENTS, "--map", MAPS / "ga360_events.yaml", "--end-at-now", *arguments, wait=wait)


def kill_at_random(stand: Stand, chance: random.Random) -> None:
    """Kill both flows, one after the other, each some moment after it has begun; both run again at the end."""
    busy = 0
    for flow in FLOWS * KILLS:
        stand.wait_until_owner(flow)
        time.sleep(chance.uniform(0, LONGEST_LIFE))
        busy += not stand.is_drained(flow)
        stand.kill(flow)
        stand.start(flow, wait=False)
    for flow in FLOWS:
        stand.wait_until_owner(flow)
    assert busy > KILLS, f"only {busy} of {2 * KILLS} kills met a flow at work: replay more slowly"


def shift_of(stand: Stand) -> int:
    """How far the first replay moved the times of the file, told by an event that it published."""
    for raw in stand.stream(0):
        event = json.loads(raw)
        if event["type"] != "item":
            return int(event["occurred_at"]) - row_times(SAMPLE)[int(event["event_id"].rpartition("-")[2])]
    raise AssertionError("partition 0 of the stream holds no event of a visitor")


def outcomes_expected(oracle: Oracle) -> dict[str, int]:
    """After one replay of the catalogue and of the events."""
    events = oracle.outcomes(now_micros())
    more = {"received": oracle.catalogue_rows, "applied": oracle.catalogue_rows, "duplicate": 0}
    return {name: events.get(name, 0) + more.get(name, 0) for name in (*events, "duplicate")}


def assert_equal_to_oracle(stand: Stand, oracle: Oracle) -> None:
    users = random.Random(1).sample(oracle.users, USERS)
    now, found = at_rest([stand], lambda: (stand.read("user", users), items_and_scopes(stand, oracle)))
    wrong = [
        *differences(oracle.user_activity(users, now), found[0]),
        *differences(oracle.user_items(users, now), found[0]),
        *differences(oracle.item_stats(now), found[1]),
        *differences(oracle.scopes(now), found[1]),
    ]
    assert not wrong, report(wrong)


def assert_feast_reads_what_the_oracle_says(stand: Stand, oracle: Oracle) -> None:
    users = random.Random(2).sample(oracle.users, USERS_BY_FEAST)
    now, found = at_rest([stand], lambda: stand.read_with_feast("user", users, "user_activity", "user_items"))
    wrong = differences(oracle.user_activity(users, now), found) + differences(oracle.user_items(users, now), found)
    assert not wrong, report(wrong)


SEGMENTS: Final = frozenset(column.name for column in USER.columns.values() if column.view == "user_segment")


def assert_only_time_changed(before: Rows, after: Rows) -> None:
    """What counts a window, or decays, may have fallen; everything else is as it was.

    But for segments: a row that time wrote anew is looked at among all the customers that there are by then.
    """
    wrong = []
    for key, row in after.items():
        for name, value in row.items():
            earlier = before[key][name]
            falls = name.endswith(("_1h", "_24h", "_7d", "_30d", "_90d")) or name in ("trend", "scores")
            if value != earlier and not (falls and value < earlier) and name not in SEGMENTS:
                wrong.append(f"{key} {name}: {earlier!r} became {value!r}")
    assert before.keys() == after.keys()
    assert not wrong, report(wrong)


def assert_same_items_and_scopes(stand: Stand, calm: Stand, oracle: Oracle) -> None:
    """An item's weights are those of the last time its row was written, so every row is written once more."""
    for each in (stand, calm):
        describe_again(each, oracle.items)
    now, (killed, uninterrupted) = at_rest(
        [stand, calm], lambda: [items_and_scopes(stand, oracle), items_and_scopes(calm, oracle)]
    )
    wrong = differences(uninterrupted, killed)
    assert not wrong, report(wrong)
    wrong = differences(oracle.item_neighbours(now), killed)
    assert not wrong, report(wrong)


def assert_restart_forgets_no_neighbour(stand: Stand, oracle: Oracle) -> None:
    """What a row is made of is read again where a new process does not hold it."""
    item = max(oracle.items, key=lambda item: len(stand.read("item", [item])[item]["neighbours"]))
    before = stand.read("item", [item])[item]
    stand.stop("items")
    stand.start("items")
    describe_again(stand, [item])
    wrong = differences(
        {item: {name: before[name] for name in ("neighbours", "neighbour_weights")}}, stand.read("item", [item])
    )
    assert not wrong, report(wrong)


def describe_again(stand: Stand, items: Iterable[str]) -> None:
    """Publish what the catalogue said of some items under new ids: nothing changes, but their rows are written."""
    for partition in range(PARTITIONS):
        said = [json.loads(raw) for raw in stand.stream(partition) if b'"type":"item"' in raw]
        newest = {event["item_id"]: event for event in said}
        again = [{**event, "event_id": event["event_id"] + "-again"} for item, event in newest.items() if item in items]
        stand.publish(partition, [json.dumps(event, separators=(",", ":")).encode() for event in again])
    stand.wait_until_drained(flows=["items"])


def items_and_scopes(stand: Stand, oracle: Oracle) -> Rows:
    """Every feature of every item and scope, without the opaque states."""
    rows = stand.read("item", oracle.items) | stand.read("scope", list(oracle.scopes(now_micros())))
    return {key: {name: value for name, value in row.items() if name != "state"} for key, row in rows.items()}


def everything(stand: Stand, oracle: Oracle) -> Rows:
    """Every feature of every user, item and scope, without the opaque states."""
    _, (users, others) = at_rest([stand], lambda: (stand.read("user", oracle.users), items_and_scopes(stand, oracle)))
    rows = {f"user {key}": row for key, row in users.items()} | others
    return {key: {name: value for name, value in row.items() if name != "state"} for key, row in rows.items()}


def at_rest(stands: Iterable[Stand], read: Any) -> tuple[int, Any]:
    """What `read` gives while nothing is due, and the moment it is of: the same tile before and after."""
    while True:
        now = now_micros()
        for stand in stands:
            stand.wait_until_settled(now)
        found = read()
        if now_micros() // (5 * MINUTE) == now // (5 * MINUTE):
            return now, found


def differences(expected: Mapping[str, Features], found: Rows) -> list[str]:
    """Every feature that is not as expected, in words; an empty list may as well be a null."""
    wrong = []
    for key, features in expected.items():
        for name, value in features.items():
            actual = found[key].get(name)
            if not same(value, [] if actual is None and isinstance(value, list) else actual):
                wrong.append(f"{key} {name}: expected {value!r}, found {actual!r}")
    return wrong


def same(expected: Any, found: Any) -> bool:
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(same, expected, found))
    if isinstance(expected, float) and isinstance(found, float | int):
        return isclose(expected, found, rel_tol=0, abs_tol=TOLERANCE)
    return bool(expected == found)


def report(wrong: list[str]) -> str:
    return "\n".join((f"{len(wrong)} features are wrong, such as", *wrong[:20]))


def now_micros() -> int:
    return time.time_ns() // 1000
