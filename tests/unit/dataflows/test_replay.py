"""Replay: files in, events out in order of time; and what is said of a file that cannot be read."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows import replay
from dataflows.events import SECOND, Event, parse, partition_of
from dataflows.input_rows import exact
from dataflows.mapping import MappingError, load_mapping, settle_times
from dataflows.replay import CHUNK, publish, read_events, read_rows, shift
from tests.given import NOW, rfc3339


class Heard:
    """A stream that only listens."""

    def __init__(self, partitions: int = 3) -> None:
        self.partitions = partitions
        self.chunks: list[list[tuple[int, bytes]]] = []

    def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        self.chunks.append(list(records))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(value) for chunk in self.chunks for _, value in chunk]


def a_stream(partitions: int = 3) -> Any:
    """It is less than a stream: replay reads nothing."""
    return Heard(partitions)


def an_entry(number: int, seconds: float, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}", "type": "view", "user_id": f"u{number}", "occurred_at": NOW + round(seconds * SECOND),
    } | fields  # fmt: skip


def lines(entries: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


WRITTEN: list[dict[str, Any]] = [
    {"event_id": "e1", "type": "view", "user_id": "u1", "occurred_at": "2026-05-17T09:30:02Z", "price": 16.99},
    {"event_id": "e2", "type": "view", "user_id": "u2", "occurred_at": "2026-05-17T11:30:01+02:00", "price": 5},
    {"event_id": "e3", "type": "view", "user_id": "u1", "occurred_at": "2026-05-17T09:30:00.5Z", "price": 0.1},
]
READ = [("e3", NOW + SECOND // 2, 0.1), ("e2", NOW + SECOND, 5), ("e1", NOW + 2 * SECOND, 16.99)]


def write_csv(path: Path) -> None:
    path.write_text("event_id,type,user_id,occurred_at,price\n" + "".join(
        ",".join(str(value) for value in entry.values()) + "\n" for entry in WRITTEN
    ))  # fmt: skip


def write_parquet(path: Path) -> None:
    moments = [
        datetime.fromisoformat(entry["occurred_at"].replace(".5Z", ".500Z").replace("Z", "+00:00")) for entry in WRITTEN
    ]
    prices = pa.array([entry["price"] for entry in WRITTEN], pa.float32())
    names = ("event_id", "type", "user_id")
    columns = {name: [entry[name] for entry in WRITTEN] for name in names}
    table = pa.table({**columns, "occurred_at": pa.array(moments, pa.timestamp("us", "UTC")), "price": prices})
    pyarrow.parquet.write_table(table, path)


def in_gzip(write: Any) -> Any:
    def written(path: Path) -> None:
        plain = path.with_suffix("")
        write(plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))

    return written


def write_lines(path: Path) -> None:
    path.write_bytes(b"\n" + lines(WRITTEN) + b"  \n")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("events.jsonl", write_lines),
        ("events.ndjson", write_lines),
        ("events.jsonl.gz", in_gzip(write_lines)),
        ("events.csv", write_csv),
        ("events.csv.gz", in_gzip(write_csv)),
        ("events.parquet", write_parquet),
    ],
)
def test_a_file_is_read_in_order_of_time(tmp_path: Path, name: str, write: Any) -> None:
    write(tmp_path / name)
    events = read_events(tmp_path / name, None)
    assert [(event["event_id"], event["occurred_at"], event["price"]) for event in events] == READ


def test_rows_are_counted_from_zero(tmp_path: Path) -> None:
    for name, write in (("a.jsonl", write_lines), ("a.csv", write_csv), ("a.parquet", write_parquet)):
        write(tmp_path / name)
        assert [row["row"] for row in read_rows(tmp_path / name)] == [0, 1, 2]


def test_every_line_may_have_keys_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines([an_entry(1, 0), an_entry(2, 1, order_id="o1", session=7)]))
    assert read_events(file, None)[1] == {**an_entry(2, 1, order_id="o1"), "properties": {"session": 7}}


def test_a_line_may_leave_out_what_the_first_one_has(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    anonymous = {"event_id": "e2", "type": "view", "anonymous_id": "a1", "occurred_at": NOW}
    file.write_bytes(lines([an_entry(1, 0), anonymous]))
    assert anonymous in read_events(file, None)


@given(prices=st.lists(st.decimals(0, 10_000, places=2).map(float), min_size=1, max_size=20))
def test_numbers_of_single_precision_are_read_as_they_are_written(prices: list[float]) -> None:
    table = pa.table(
        {"price": pa.chunked_array([pa.array([*prices, None], pa.float32()), pa.array([1.1], pa.float32())])}
    )
    assert exact(table).column("price").to_pylist() == [*prices, None, 1.1]


def test_other_columns_of_a_table_stay_as_they_are() -> None:
    table = pa.table({"a": pa.array([0.1, None]), "b": pa.array([2**60, 1]), "c": pa.array(["x", None])})
    assert exact(table).equals(table)


def test_a_mapping_is_applied_to_each_row(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("when,who,what\n2026-05-17 09:30:01,7,buy\n2026-05-17 09:30:00,8,look\n")
    (tmp_path / "map.yaml").write_text(
        "event_id: {template: 'shop-{row}'}\noccurred_at: when\nuser_id: who\n"
        "type: {column: what, values: {buy: purchase, look: view}}\n"
    )
    assert read_events(tmp_path / "shop.csv", load_mapping(tmp_path / "map.yaml")) == [
        {"event_id": "shop-1", "occurred_at": NOW, "user_id": "8", "type": "view"},
        {"event_id": "shop-0", "occurred_at": NOW + SECOND, "user_id": "7", "type": "purchase"},
    ]


def test_a_time_that_cannot_be_read_goes_to_the_flows_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    entries = [
        an_entry(number, 0, occurred_at=at)
        for number, at in enumerate(("soon", None, [1], "2026-05-17T09:30:00", 1e300))
    ]
    file.write_bytes(lines(entries))
    found = {event["event_id"]: event.get("occurred_at") for event in read_events(file, None)}
    assert found == {"e0": "soon", "e1": None, "e2": [1], "e3": NOW, "e4": 1e300}


def test_times_are_shifted_so_that_the_last_event_is_now() -> None:
    events = [an_entry(1, -10, added_at=NOW - 99 * SECOND), an_entry(2, -4), an_entry(3, 0, occurred_at="soon")]
    shift(events, NOW)
    assert [event["occurred_at"] for event in events] == [NOW - 6 * SECOND, NOW, "soon"]
    assert events[0]["added_at"] == NOW - 95 * SECOND
    shift([], NOW)


def test_all_is_published_in_order_in_its_partitions_and_reads_as_events() -> None:
    stream = a_stream()
    entries = [an_entry(number, number / 1000, item_id="p1") for number in range(2 * CHUNK + 10)]
    told: list[int] = []
    publish(
        stream, entries, float("inf"), now=lambda: 0.0, sleep=lambda seconds: pytest.fail("slept"), progress=told.append
    )
    assert [len(chunk) for chunk in stream.chunks] == told == [CHUNK, CHUNK, 10]
    assert stream.events == entries
    for chunk in stream.chunks:
        for partition, value in chunk:
            event = parse(value, NOW + 60 * SECOND)
            assert isinstance(event, Event)
            assert partition == partition_of(event.key, 3)


def test_a_record_lies_in_the_partition_of_whom_it_belongs_to() -> None:
    stream = a_stream(8)
    entries: list[dict[str, Any]] = [{"anonymous_id": "a1"}, {"item_id": "p1", "type": "item"}, {"user_id": 7}, {}]
    publish(stream, entries, float("inf"))
    assert [partition for partition, _ in stream.chunks[0]] == [partition_of(key, 8) for key in ("a1", "p1", "7", "")]


class Timer:
    """A clock that only passes while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def test_a_speed_keeps_the_pauses_of_the_file() -> None:
    stream, timer = a_stream(), Timer()
    heard_at: list[float] = []
    entries = [an_entry(number, seconds) for number, seconds in enumerate((0, 0, 10, 10, 14))]
    publish(
        stream, entries, 2.0, now=timer.now, sleep=timer.sleep,
        progress=lambda count: heard_at.extend([timer.seconds - 1000] * count),
    )  # fmt: skip
    assert timer.slept == [5.0, 2.0]
    assert heard_at == [0, 0, 5, 5, 7]
    assert [len(chunk) for chunk in stream.chunks] == [2, 2, 1]


def test_who_is_behind_does_not_wait() -> None:
    stream, timer = a_stream(), Timer()
    entries = [an_entry(number, number) for number in range(4)]

    def slow(count: int) -> None:
        timer.seconds += 10

    publish(stream, entries, 1.0, now=timer.now, sleep=timer.sleep, progress=slow)
    assert timer.slept == [1.0]
    assert [len(chunk) for chunk in stream.chunks] == [1, 3]


def test_nothing_is_published_of_nothing() -> None:
    stream = a_stream()
    publish(stream, [], float("inf"))
    assert stream.events == []


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Heard:
    heard: Heard = a_stream()

    def open_stream(url: str) -> Heard:
        assert url == "redis://example/0?stream=events&partitions=3"
        return heard

    monkeypatch.setattr(replay, "open_stream", open_stream)
    for name in ("INLAY_REDIS_URL", "INLAY_STREAM_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INLAY_STREAM_URL", "redis://example/0?stream=events&partitions=3")
    return heard


def test_the_command_publishes_a_file(tmp_path: Path, stream: Heard, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "events.jsonl")
    assert replay.main([str(tmp_path / "events.jsonl")]) == 0
    assert [(event["event_id"], event["occurred_at"], event["price"]) for event in stream.events] == READ
    assert capsys.readouterr().out.startswith("3 events published in ")


def test_the_command_may_end_the_file_now(tmp_path: Path, stream: Heard) -> None:
    write_lines(tmp_path / "events.jsonl")
    before = time.time_ns() // 1000
    assert replay.main([str(tmp_path / "events.jsonl"), "--end-at-now"]) == 0
    times = [event["occurred_at"] for event in stream.events]
    assert before <= times[-1] <= time.time_ns() // 1000
    assert times[-1] - times[0] == 3 * SECOND // 2


def test_the_command_writes_to_another_stream(tmp_path: Path, stream: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INLAY_STREAM_URL", "redis://elsewhere")
    write_lines(tmp_path / "events.jsonl")
    assert replay.main([str(tmp_path / "events.jsonl"), "--to", "redis://example/0?stream=events&partitions=3"]) == 0
    assert len(stream.events) == 3


BAD_FILES: list[tuple[str, bytes, list[str], str]] = [
    ("missing.jsonl", b"", [], "No such file"),
    ("events.xml", b"<x/>", [], "send JSON lines (.jsonl), CSV (.csv), Parquet (.parquet) or Avro (.avro)"),
    ("events.parquet", b"nothing", [], "arquet"),
    ("events.csv", b"a,b\n1\n2,3,4\n", [], "Expected 2 columns"),
    ("events.jsonl", b"{}\nnope\n", [], "JSON is malformed"),
    ("events.jsonl.gz", b"no gzip", [], "Not a gzipped file"),
    ("events.jsonl", b"{}", ["--speed", "fast"], "could not convert string to float"),
    ("events.jsonl", b"{}", ["--map", "none.yaml"], "No such file"),
]


@pytest.mark.parametrize(("name", "content", "more", "said"), BAD_FILES)
def test_a_file_that_cannot_be_read_ends_the_command_with_a_word(
    tmp_path: Path,
    stream: Heard,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes,
    more: list[str],
    said: str,
) -> None:
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(content)
    assert replay.main([str(tmp_path / name), *more]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("replay: ")
    assert said in printed.err
    assert stream.events == []


def test_a_setting_that_nobody_knows_ends_the_command_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INLAY_STREAM", "x")
    assert replay.main([str(tmp_path / "events.jsonl")]) == 2
    assert capsys.readouterr().err.startswith("replay: INLAY_STREAM is no setting of Inlay")


def test_a_stream_that_is_none_ends_the_command_with_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main([str(tmp_path / "events.jsonl"), "--to", "carrier-pigeon://roof"]) == 2
    said = capsys.readouterr().err
    assert "carrier-pigeon" in said
    assert "is no stream; INLAY_STREAM_URL starts with one of redis" in said


UNHEARD: list[tuple[str, str, bytes, list[str]]] = [
    ("a line that is no object", "events.jsonl", b"[1]\n", []),
    ("a gzip that is cut off", "events.jsonl.gz", gzip.compress(b"{}\n" * 1000)[:-9], []),
    ("a mapping that is no YAML", "map.yaml", b"a: [", ["--map"]),
    ("a speed of nothing", "events.jsonl", lines([an_entry(1, 0)]), ["--speed", "0"]),
]


@pytest.mark.parametrize(("name", "content", "more"), [row[1:] for row in UNHEARD], ids=[row[0] for row in UNHEARD])
def test_a_word_is_said_of_every_file(
    tmp_path: Path, stream: Heard, name: str, content: bytes, more: list[str]
) -> None:
    file = tmp_path / "given.jsonl" if more == ["--map"] else tmp_path / name
    file.write_bytes(lines([an_entry(1, 0)]))
    (tmp_path / name).write_bytes(content)
    assert replay.main([str(file), *more, *([str(tmp_path / name)] if more == ["--map"] else [])]) == 2


def test_a_column_that_is_missing_is_named_in_words(
    tmp_path: Path, stream: Heard, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.yaml").write_text("user_id: visitor")
    write_csv(tmp_path / "events.csv")
    assert replay.main([str(tmp_path / "events.csv"), "--map", str(tmp_path / "map.yaml")]) == 2
    assert len(capsys.readouterr().err) > len("replay: 'visitor'\n")


@given(at=st.integers(0, 4 * 10**15), minutes=st.integers(-840, 840))
def test_a_time_of_a_file_is_read_to_the_microsecond(at: int, minutes: int) -> None:
    assert settle_times({"occurred_at": rfc3339(at, timezone(timedelta(minutes=minutes)))}) == {"occurred_at": at}
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=at)
    assert settle_times({"occurred_at": moment}) == {"occurred_at": at}
    assert settle_times({"occurred_at": moment.replace(tzinfo=None)}) == {"occurred_at": at}


def test_an_unknown_kind_of_file_is_refused_by_name() -> None:
    with pytest.raises(MappingError, match=r"events\.txt: send JSON lines"):
        list(read_rows(Path("events.txt")))


def test_a_line_that_is_no_json_is_an_error_of_its_kind(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"{}\n{\n")
    with pytest.raises(MappingError, match="entry 2 is no JSON object"):
        list(read_rows(tmp_path / "events.jsonl"))
