"""The lake flow's pure half: killed between any two things it does, it loses no event and no row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dataflows.connectors.lake_files import EVENTS, FEATURES, HELD, Lake
from dataflows.connectors.lake_storage import Folder
from dataflows.connectors.lake_upkeep import Upkeep
from dataflows.events import DAY, HOUR, Refused
from dataflows.inputs import inputs_of
from dataflows.lake import Keep
from dataflows.lake_reader import connect
from dataflows.lake_rows import FIELD, ROWS_KEY, RowsIn, RowsToLake
from dataflows.stages import Aggregated, Row, Validated
from tests.given import NOW, an_event
from tests.unit.dataflows.test_lake_files import Dies, Mortal

PARTITIONS = (0, 1)
RECORDS = 12


class Waiting:
    """The rows that wait in Redis, an entry each, and the offsets: what a commit changes, all of it or nothing."""

    def __init__(self) -> None:
        self.offsets = dict.fromkeys(PARTITIONS, -1)
        self.entries: dict[str, list[tuple[int, bytes]]] = {}
        self.number = 0

    def add(self, commands: Sequence[tuple[Any, ...]]) -> None:
        for _, key, _, _, entry in commands:
            self.number += 1
            self.entries.setdefault(key, []).append((self.number, entry))

    def xrange(self, key: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        return [(b"%d-0" % number, {FIELD: entry}) for number, entry in self.entries.get(key, [])[:count]]

    def commit(self, batch: Aggregated) -> None:
        self.offsets.update(batch.offsets)
        for verb, key, how, least in batch.commands:
            assert (verb, how) == ("XTRIM", "MINID")
            number, _, sequence = least.partition("-")
            last = int(number) - (sequence == "0")
            self.entries[key] = [entry for entry in self.entries[key] if entry[0] > last]


def a_day(partition: int, offset: int) -> int:
    """When a record was received: the last ones after midnight."""
    return NOW - NOW % DAY - HOUR + offset * HOUR // 6


def batch(partition: int, first: int, size: int) -> Validated:
    events = [
        (offset, an_event(event_id=f"{partition}/{offset}", user_id=f"u{partition}"))
        for offset in range(first, min(first + size, RECORDS))
        if offset % 4 != 3  # which could not be read
    ]
    return Validated(partition, min(first + size, RECORDS) - 1, events, [])


def until_killed(keep: Callable[[Sequence[Validated]], None], state: Waiting, chance: random.Random) -> None:
    """Micro-batches of any size from where the flow committed, until it is through."""
    while min(state.offsets.values()) < RECORDS - 1 or any(state.entries.values()):
        sizes = {number: chance.randrange(0, 6) for number in PARTITIONS}
        keep([batch(number, state.offsets[number] + 1, size) if size and state.offsets[number] + 1 < RECORDS
              else Validated(number, -1, [], []) for number, size in sizes.items()])  # fmt: skip


def killed_again_and_again(root: Path, seed: int, order: Callable[[Keep], Any] = lambda keep: keep) -> tuple[Lake, int]:
    """A flow that dies after some steps, over and over; a commit may be the last thing it does, or not be done."""
    chance, state = random.Random(seed), Waiting()
    rows = RowsToLake(lambda rows: [], lambda: NOW)
    for number in range(9):
        told = [Row("user", f"u{n}", number, {"views_1h": number}, None) for n in range(3)]
        state.add(rows.commands(Aggregated((number % 2,), rows=told)))
    lives, deaths = 0, 0
    while True:
        lives += 1
        storage = Mortal(Folder(root), lasts=chance.randrange(1, 6) if lives < 25 else 10**6)

        def commit(done: Aggregated, storage: Mortal = storage) -> None:
            storage._step()
            state.commit(done)
            storage._step()

        keep = Keep(Lake(storage), RowsIn(state, PARTITIONS), commit, a_day, PARTITIONS, lambda: NOW)
        try:
            until_killed(order(keep), state, chance)
        except Dies:
            deaths += 1
            continue
        return Lake(Folder(root)), deaths


def lost(lake: Lake) -> tuple[int, int]:
    """How many records and how many rows are nowhere."""
    found = Counter(
        row for file in lake.files(EVENTS) for row in lake.read(file.path, ["event_id"]).column(0).to_pylist()
    )
    readable = {f"{number}/{offset}" for number in PARTITIONS for offset in range(RECORDS) if offset % 4 != 3}
    assert found.keys() <= readable
    rows = {
        (row["user_id"], row["views_1h"])
        for file in lake.files(FEATURES.format("user"))
        for row in lake.read(file.path).to_pylist()
    }
    return len(readable - found.keys()), 27 - len(rows)


@pytest.mark.parametrize("seed", range(6))
def test_killed_anywhere_it_loses_nothing_and_days_are_those_of_receipt(tmp_path: Path, seed: int) -> None:
    lake, deaths = killed_again_and_again(tmp_path, seed)
    assert deaths > 3
    assert lost(lake) == (0, 0)
    for file in lake.files(EVENTS):
        days = {moment.date().isoformat() for moment in lake.read(file.path).column("received_at").to_pylist()}
        assert {f"events/date={day}" for day in days} == {file.path.rpartition("/")[0]}
    assert len({file.path.rpartition("/")[0] for file in lake.files(EVENTS)}) == 2


def test_a_flow_that_commits_first_is_caught(tmp_path: Path) -> None:
    def commits_first(keep: Keep) -> Callable[[Sequence[Validated]], None]:
        def turned(batches: Sequence[Validated]) -> None:
            taken = keep._rows.take()
            offsets = {each.partition: each.offset for each in batches if each.offset >= 0}
            keep._commit(Aggregated(PARTITIONS, offsets, commands=taken.commands))
            keep._write_events(batches)
            for entity, date, name, table in taken.parts:
                keep._lake.add(FEATURES.format(entity), date, name, table)

        return turned

    losses = [lost(killed_again_and_again(tmp_path / str(seed), seed, commits_first)[0]) for seed in range(6)]
    assert any(events for events, _ in losses)
    assert any(rows for _, rows in losses)


def test_what_waits_is_read_in_bounded_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflows.lake_rows.ROWS_AT_ONCE", 4)
    state = Waiting()
    rows = RowsToLake(lambda rows: [], lambda: NOW)
    for number in range(5):
        state.add(rows.commands(Aggregated((number % 2,), rows=[Row("user", f"{n}", 1, {}, None) for n in range(3)])))
    assert set(state.entries) == {ROWS_KEY.format(number) for number in PARTITIONS}
    reader, portions = RowsIn(state, PARTITIONS), []
    while (taken := reader.take()).rows:
        portions.append(taken.rows)
        state.commit(Aggregated(PARTITIONS, commands=taken.commands))
    assert portions == [6, 6, 3]


def test_what_the_gate_held_is_named_in_the_lake_and_counts_only_where_it_was_sent_again(tmp_path: Path) -> None:
    """Three events are held; of one it is said twice, since the lake flow was killed; another one is mended later."""
    state, lake = Waiting(), Lake(Folder(tmp_path), lambda: NOW)
    rows = RowsToLake(lambda rows: [], lambda: NOW)

    def refused(stage: str, partition: int, *offsets: int) -> None:
        told = [(partition, offset, Refused(stage, stage, "", "", b"")) for offset in offsets]
        state.add(rows.commands(Aggregated((partition,), refused=told)))

    refused("gate", 0, 4, 5)
    refused("gate", 1, 4)
    refused("validate", 0, 3)
    keep = Keep(lake, RowsIn(state, PARTITIONS), state.commit, a_day, PARTITIONS, lambda: NOW)
    keep([batch(0, 0, RECORDS), batch(1, 0, RECORDS)])
    refused("gate", 0, 5)
    mended = an_event(event_id="0/4", user_id="u0", item_id="mended")
    keep([Validated(0, RECORDS + 20, [(RECORDS + 20, mended)], [])])
    assert not any(state.entries.values())
    held = {"0/4", "0/5", "1/4"}
    every = {f"{number}/{offset}" for number in PARTITIONS for offset in range(RECORDS) if offset % 4 != 3}
    for _ in range(2):
        with connect(lake) as tables:
            written = {each for (each,) in tables.execute("SELECT event_id FROM events_as_written").fetchall()}
            counted = dict(tables.execute("SELECT event_id, item_id FROM events").fetchall())
        assert written == every
        assert counted.keys() == every - held | {"0/4"}
        assert counted["0/4"] == "mended"
        days = inputs_of(str(tmp_path / EVENTS))
        taken = [(each["event_id"], each.get("item_id")) for day in days for each in day.events(None)]
        assert dict(taken) == counted
        assert len(taken) == len(counted)
        Upkeep(lake, lambda: NOW + 2 * DAY, 0).run()  # it is merged, and the same is said again
    assert len(lake.files(HELD)) == 1
    assert lake.read(lake.files(HELD)[0].path).num_rows == 3
    assert lake.erase(["u0"], []) > 0
    Upkeep(lake, lambda: NOW + 90 * DAY, DAY).run()
    assert lake.files(HELD) == []
