"""The lake's files: written whole or not at all, merged and erased without a moment at which a row is missing."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.connectors.lake_events import SCHEMA, Arrived, to_event, to_table
from dataflows.connectors.lake_files import EVENTS, FEATURES, Lake, date_of
from dataflows.connectors.lake_storage import Folder, Found, LakeError, open_storage
from dataflows.connectors.lake_upkeep import ALIKE, FULL, Upkeep, expired, merges
from dataflows.events import DAY, SECOND, Event, parse
from tests.given import NOW, an_event, events
from tests.given import raw as raw_event

TODAY = date_of(NOW)


class Dies(RuntimeError):
    """The process is killed here."""


class Mortal:
    """A storage that dies before its operation number `lasts`, and shows after each one what a reader would see."""

    def __init__(self, inner: Folder, lasts: int = 1_000_000) -> None:
        self.inner, self.lasts, self.filesystem = inner, lasts, inner.filesystem
        self.after: Any = lambda: None

    def _step(self) -> None:
        if self.lasts <= 0:
            raise Dies
        self.lasts -= 1

    def put(self, path: str, content: pa.Buffer) -> None:
        self._step()
        self.inner.put(path, content)
        self.after()

    def remove(self, path: str) -> None:
        self._step()
        self.inner.remove(path)
        self.after()

    def find(self, folder: str, ending: str = ".parquet") -> list[Found]:
        return self.inner.find(folder, ending)

    def tidy(self) -> None:
        self.inner.tidy()


def a_lake(root: Path, lasts: int = 1_000_000) -> tuple[Lake, Mortal]:
    storage = Mortal(Folder(root), lasts)
    return Lake(storage, lambda: NOW), storage


def arrived(number: int, user: str | None, device: str | None = None, at: int = NOW) -> Arrived:
    event = an_event(event_id=f"e{number}", user_id=user, anonymous_id=device)
    return Arrived(event, at, 0, number)


def fill(lake: Lake, files: int, each: int = 3, day: str = TODAY) -> int:
    """Small files of events; how many there are in all."""
    for file in range(files):
        rows = [arrived(file * each + n, f"u{n}", f"d{file % 2}") for n in range(each)]
        lake.add(EVENTS, day, f"{file}", to_table(rows))
    return files * each


def seen(lake: Lake) -> Counter[str]:
    """How often a reader finds each event."""
    return Counter(
        row for file in lake.files(EVENTS) for row in lake.read(file.path, ["event_id"]).column(0).to_pylist()
    )


@given(st.lists(events(), min_size=1, max_size=5))
@settings(max_examples=60)
def test_an_event_comes_back_as_it_went(found: list[dict[str, Any]]) -> None:
    for written in found:
        event = parse(raw_event(**written), NOW)
        assert isinstance(event, Event)
        rows = to_table([Arrived(event, NOW, 3, 5)]).to_pylist()
        again = parse(raw_event(**_micros(to_event(rows[0]))), NOW)
        assert again == event


def _micros(event: dict[str, Any]) -> dict[str, Any]:
    defaults = dict.fromkeys(("event_id", "type", "occurred_at", "user_id"))
    for name in ("occurred_at", "added_at"):
        if name in event:
            event[name] = round(event[name].timestamp() * SECOND)
    return defaults | event


def test_a_price_that_was_taken_away_is_told_from_one_that_was_not_named() -> None:
    for said in ({"list_price": None}, {"list_price": 9.5}, {}):
        event = Event(event_id="e", type="item", occurred_at=NOW, item_id="p", **said)
        (row,) = to_table([Arrived(event, NOW, 0, 0)]).to_pylist()
        assert {name: value for name, value in to_event(row).items() if name == "list_price"} == said


def test_the_columns_are_those_that_are_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/lake.md").read_text()
    for field in SCHEMA:
        assert f"`{field.name}`" in page, field.name


def test_a_file_is_there_whole_or_not_at_all_and_nobody_sees_one_being_written(tmp_path: Path) -> None:
    storage = Folder(tmp_path)
    storage.put("events/date=2026-01-01/part-a.parquet", pa.py_buffer(b"whole"))
    folder = tmp_path / "events/date=2026-01-01"
    (folder / ".part-b.parquet.77.tmp").write_bytes(b"half")
    assert [(file.path, file.size) for file in storage.find("events")] == [("events/date=2026-01-01/part-a.parquet", 5)]
    storage.tidy()
    assert (folder / ".part-b.parquet.77.tmp").exists(), "it may be one that is being written"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://x/y", "is no lake"),
        ("", "is no lake"),
        ("s3://", "names no bucket"),
        ("s3://b/p?region=eu&colour=red", "'colour' is no option"),
        ("s3://b/p?endpoint=localhost:9", "is no address"),
        ("/proc/nowhere/lake", "cannot be made"),
    ],
)
def test_a_lake_that_cannot_be_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(LakeError, match=said):
        open_storage(url)


def test_the_same_rows_written_again_replace_themselves(tmp_path: Path) -> None:
    lake, _ = a_lake(tmp_path)
    for _ in range(2):
        fill(lake, 1)
    assert set(seen(lake).values()) == {1}


def test_a_reader_sees_each_event_at_every_moment_of_a_compaction(tmp_path: Path) -> None:
    lake, storage = a_lake(tmp_path)
    number = fill(lake, ALIKE + 1)
    looks = []
    storage.after = lambda: looks.append(len(seen(lake)))
    done = Upkeep(lake, lambda: NOW, 0).run()
    assert (done.merged, done.made, done.repeats) == (ALIKE + 1, 1, 0)
    assert len(looks) == ALIKE + 2
    assert set(looks) == {number}
    assert len(lake.files(EVENTS)) == 1


@pytest.mark.parametrize("lasts", range(ALIKE + 3))
def test_a_compaction_that_is_killed_anywhere_loses_nothing_and_the_next_one_ends_it(
    tmp_path: Path, lasts: int
) -> None:
    lake, storage = a_lake(tmp_path)
    number = fill(lake, ALIKE + 1)
    storage.lasts = lasts
    try:
        Upkeep(lake, lambda: NOW, 0).run()
        assert lasts > ALIKE + 1
    except Dies:
        assert len(seen(lake)) == number
    storage.lasts = 1_000_000
    Upkeep(lake, lambda: NOW + DAY, 0).run()
    assert len(seen(lake)) == number
    assert set(seen(lake).values()) == {1}, "the record that was written twice is there twice"
    assert len(lake.files(EVENTS)) == 1


def test_a_compaction_that_meets_an_erasure_gives_up_and_brings_nobody_back(tmp_path: Path) -> None:
    """The mutant: without the second look at who was erased, the files made before come back with the rows."""
    lake, storage = a_lake(tmp_path)
    fill(lake, ALIKE)
    other = Lake(storage.inner, lambda: NOW)
    storage.after = lambda: storage.__setattr__("after", lambda: None) or other.erase(["u0"], [])
    Upkeep(lake, lambda: NOW, 0).run()
    assert lake.holds(["u0"], []) == 0
    assert len(seen(lake)) == 2 * ALIKE


def test_what_is_erased_while_it_is_on_its_way_is_not_written(tmp_path: Path) -> None:
    lake, storage = a_lake(tmp_path)
    fill(lake, 1)
    assert lake.holds(["u0"], ["d0"]) == 1
    assert lake.erase(["u0"], ["d0"]) == 1
    lake.add(EVENTS, TODAY, "late", to_table([arrived(50, "u0"), arrived(51, "u7"), arrived(52, None, "d0")]))
    assert lake.holds(["u0"], ["d0"]) == 0
    assert lake.holds(["u7"], []) == 1
    back = NOW + 60 * SECOND
    lake.add(EVENTS, TODAY, "back", to_table([arrived(53, "u0", at=back)]))
    assert lake.holds(["u0"], []) == 1, "somebody who comes back is somebody new"

    storage.after = lambda: (
        storage.__setattr__("after", lambda: None) or Lake(storage.inner, lambda: back + DAY).erase(["u8"], [])
    )
    lake.add(EVENTS, TODAY, "meanwhile", to_table([arrived(54, "u8", at=back), arrived(55, "u9", at=back)]))
    assert (lake.holds(["u8"], []), lake.holds(["u9"], [])) == (0, 1)


def test_what_another_user_did_on_a_shared_device_stays(tmp_path: Path) -> None:
    lake, _ = a_lake(tmp_path)
    rows = [arrived(1, "a", "d"), arrived(2, "b", "d"), arrived(3, None, "d"), arrived(4, None, "e")]
    lake.add(EVENTS, TODAY, "x", to_table(rows))
    assert lake.erase(["a"], ["d"]) == 2
    assert sorted(seen(lake)) == ["e2", "e4"]
    assert lake.erase(["a"], ["d"]) == 0


@pytest.mark.parametrize("lasts", range(8))
def test_an_erasure_that_is_killed_anywhere_loses_nobody_elses_rows_and_the_next_one_ends_it(
    tmp_path: Path, lasts: int
) -> None:
    lake, storage = a_lake(tmp_path)
    fill(lake, 3)
    features = pa.table({"user_id": ["u0", "d0", "u1"], "event_timestamp": pa.array([NOW] * 3, SCHEMA.field(2).type)})
    lake.add(FEATURES.format("user"), TODAY, "x", features)
    storage.lasts = lasts
    with contextlib.suppress(Dies):
        lake.erase(["u0"], ["d0"])
    storage.lasts = 1_000_000
    assert {event for event in seen(lake) if int(event[1:]) % 3} == {"e1", "e2", "e4", "e5", "e7", "e8"}
    lake.erase(["u0"], ["d0"])
    assert lake.holds(["u0"], ["d0"]) == 0
    assert lake.holds(["u1"], []) >= 4
    assert b"u0" not in b"".join(path.read_bytes() for path in (tmp_path / "erased").iterdir())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_what_is_merged_is_of_one_day_small_together_and_each_file_once(seed: int) -> None:
    chance = random.Random(seed)
    files = [
        Found(f"events/date=2026-05-{chance.choice((15, 16, 17))}/part-{n}.parquet", int(10 ** chance.uniform(3, 8)), 0)
        for n in range(chance.randrange(60))
    ]
    sizes = {file.path: file.size for file in files}
    planned = merges(EVENTS, files, "2026-05-17")
    paths = [path for merge in planned for path in merge.paths]
    assert len(paths) == len(set(paths))
    for merge in planned:
        assert len(merge.paths) >= 2
        assert all(f"/date={merge.date}/" in path and sizes[path] < FULL for path in merge.paths)
        assert sum(sizes[path] for path in merge.paths) < 2 * FULL
    left = [file for file in files if file.path not in paths and file.size < FULL]
    of_past = Counter(file.path.split("/")[1] for file in left if "2026-05-17" not in file.path)
    assert all(number == 1 for number in of_past.values())


def test_a_row_is_rewritten_a_few_times_while_its_day_fills() -> None:
    """By the plan alone: 4,096 files of 20 KB come one after another, and each is merged as soon as it may be."""
    files: list[Found] = []
    rewritten = 0
    for number in range(4096):
        files.append(Found(f"events/date=2026-05-17/part-{number}.parquet", 20_000, 0))
        for merge in merges(EVENTS, files, "2026-05-17"):
            size = sum(file.size for file in files if file.path in merge.paths)
            rewritten += size
            files = [file for file in files if file.path not in merge.paths]
            files.append(Found(f"events/date=2026-05-17/part-m{number}.parquet", size, 0))
    assert rewritten <= 5 * 4096 * 20_000
    assert len(files) <= 5 * ALIKE


def test_what_is_too_old_goes_by_whole_days(tmp_path: Path) -> None:
    days = [date_of(NOW - n * DAY) for n in range(5)]
    files = [Found(f"events/date={day}/part-x.parquet", 1, 0) for day in days]
    assert expired(files, days[0], 2 * DAY) == [file.path for file in files[3:]]
    assert expired(files, days[0], 0) == []
    lake, _ = a_lake(tmp_path)
    for day in days:
        lake.add(EVENTS, day, "x", to_table([arrived(1, "u")]))
    assert Upkeep(lake, lambda: NOW, 2 * DAY).run().expired == 2
    assert sorted(path.name for path in (tmp_path / "events").iterdir()) == [f"date={day}" for day in sorted(days[:3])]


def test_upkeep_is_done_piece_by_piece(tmp_path: Path) -> None:
    lake, _ = a_lake(tmp_path)
    for day in (1, 2, 3):
        fill(lake, 2, day=date_of(NOW - day * DAY))
    times: Iterator[float] = iter([0.0, 0.0, 1.0, 700.0, 700.0])
    alive = []
    tend = Upkeep(lake, lambda: NOW, 0, lambda: alive.append(1)).when_due(lambda: next(times, 700.0))
    counts = []
    for _ in range(12):
        tend()
        counts.append(len(lake.files(EVENTS)))
    assert counts[0] == 6
    assert all(before - after in (0, 1) for before, after in itertools.pairwise(counts))
    assert counts[-1] == 3
    assert alive
