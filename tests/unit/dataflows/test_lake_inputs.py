"""A lake as the input of a backfill, and as tables: each event once, whatever was written how often and merged when."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dataflows.connectors.lake_events import Arrived, to_table
from dataflows.connectors.lake_files import EVENTS, FEATURES, Lake, LakeError, date_of, open_lake
from dataflows.connectors.lake_upkeep import Upkeep
from dataflows.events import DAY
from dataflows.inputs import InputChanged, inputs_of
from dataflows.lake_reader import connect
from dataflows.lake_rows import Group
from dataflows.lake_rows import to_table as to_rows
from dataflows.mapping import MappingError
from dataflows.replay import read_events
from feature_repo.layout import USER
from tests.given import NOW, an_event

DAYS = 3


def written(root: Path, chance: random.Random) -> tuple[Lake, list[Arrived]]:
    """A lake of events of some days, of which many came again, and all of it in the order in which it came."""
    lake, arrived = open_lake(str(root)), []
    at = NOW - DAYS * DAY
    for offset in range(120):
        at += chance.randrange(DAY * DAYS // 120)
        event = an_event(
            event_id=f"e{chance.randrange(70)}", user_id=chance.choice(("a", "b", None)), anonymous_id="d",
            occurred_at=NOW - chance.randrange(10 * DAY), traits={"n": [1]}, properties={"x": {"y": None}},
        )  # fmt: skip
        arrived.append(Arrived(event, at, offset % 2, offset))
    for number in range(0, 120, 10):
        portion = arrived[number : number + 10]
        for date in {date_of(each.received_at) for each in portion}:
            table = to_table([each for each in portion if date_of(each.received_at) == date])
            for name in ("once", "twice")[: chance.choice((1, 2))]:  # written by a process that was killed, and again
                lake.add(EVENTS, date, f"{name}{number}", table)
    return lake, arrived


def first_of_each(arrived: list[Arrived]) -> dict[tuple[str, str], Arrived]:
    found: dict[tuple[str, str], Arrived] = {}
    for each in arrived:
        found.setdefault((each.event.key, each.event.event_id), each)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_each_event_comes_once_on_the_day_of_its_first_receipt_in_order_of_time(tmp_path: Path, seed: int) -> None:
    lake, arrived = written(tmp_path, random.Random(seed))
    days = inputs_of(str(tmp_path / "events"))
    marks = [day.mark(None) for day in days]
    expected = first_of_each(arrived)
    assert len(expected) < len(arrived)
    total = 0
    for day in days:
        events = day.events(None)
        assert [event["occurred_at"] for event in events] == sorted(event["occurred_at"] for event in events)
        for event in events:
            whose = event.get("user_id") or event["anonymous_id"]
            first = expected[whose, event["event_id"]]
            assert event["occurred_at"] == first.event.at
            assert day.name.endswith(date_of(first.received_at))
            assert (event["traits"], event["properties"]) == ({"n": [1]}, {"x": {"y": None}})
        total += len(events)
    assert total == len(expected)

    again = inputs_of(f"file://{tmp_path}/events") if seed else inputs_of(str(tmp_path / "events/"))
    Upkeep(lake, lambda: NOW + DAY, 0).run()
    with pytest.raises(InputChanged, match="merged meanwhile"):
        again[0].mark(None)
    assert [day.mark(None) for day in inputs_of(str(tmp_path / "events"))] == marks
    assert len(set(marks)) == len(marks)
    with connect(lake) as tables:
        rows = tables.sql("SELECT user_id, anonymous_id, event_id, epoch_us(received_at) FROM events").fetchall()
    assert {(user or device, event_id): at for user, device, event_id, at in rows} == {
        key: each.received_at for key, each in expected.items()
    }
    assert len(rows) == len(expected)


def test_a_single_file_of_a_lake_is_read_without_a_mapping(tmp_path: Path) -> None:
    lake, _ = written(tmp_path, random.Random(1))
    path = lake.files(EVENTS)[0].path
    ids = sorted(lake.read(path).column("event_id").to_pylist())
    found = read_events(tmp_path / path, None)
    assert sorted(event["event_id"] for event in found) == ids
    assert all(type(event["occurred_at"]) is int and "received_at" not in event for event in found)


def test_what_is_no_lake_or_needs_no_mapping_is_said(tmp_path: Path) -> None:
    written(tmp_path, random.Random(1))
    with pytest.raises(LakeError, match=r"write …/events"):
        inputs_of("s3://bucket/prefix")
    with pytest.raises(LakeError, match=r"write …/events"):
        inputs_of(str((tmp_path / "events").rename(tmp_path / "elsewhere")))
    (tmp_path / "elsewhere").rename(tmp_path / "events")
    with pytest.raises(MappingError, match="needs no --map"):
        inputs_of(str(tmp_path / "events"))[0].mark(tmp_path / "map.yaml")


def test_rows_that_were_written_twice_are_one_row(tmp_path: Path) -> None:
    lake = open_lake(str(tmp_path))
    rows = to_rows(USER, [Group("user", ("views_1h", "recent_items"), NOW + n, [["u", n, ["p"]]]) for n in range(3)])
    for name in ("a", "b"):
        lake.add(FEATURES.format("user"), date_of(NOW), name, rows)
    with connect(lake) as tables:
        assert tables.sql("SELECT count(*), count(DISTINCT event_timestamp) FROM users").fetchall() == [(3, 3)]
        assert tables.sql("SELECT views_1h, recent_items FROM users ORDER BY event_timestamp").fetchall()[2] == (
            2,
            ["p"],
        )
        assert tables.sql("SELECT count(*) FROM items").fetchall() == [(0,)]
    assert Upkeep(lake, lambda: NOW + DAY, 0).run().repeats == 3
