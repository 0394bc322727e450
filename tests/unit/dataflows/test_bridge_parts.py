"""The parts of a bridge by themselves: rows of files from any row on, shards in their order, tries, and translating."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows import retries
from dataflows.avro_wire import AvroWire
from dataflows.connectors import Delivered, Delivery, OffsetGone, StreamDown, StreamError, open_inlet
from dataflows.connectors.kinesis import Place, Shards
from dataflows.events import Refused
from dataflows.input_rows import BrokenFile, rows_of
from dataflows.mapping import load_mapping
from dataflows.translate import Translate, as_id
from dataflows.validate import Validate
from tests.given import NOW

ROWS = [{"event_id": f"e{number}", "item_id": f"p{number % 3}"} for number in range(7)]


def write_all(folder: Path) -> list[Path]:
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "b.ndjson.gz").write_bytes(gzip.compress(lines))
    with (folder / "c.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), folder / "d.parquet", row_group_size=3)
    fields = [{"name": name, "type": "string"} for name in ROWS[0]]
    with (folder / "e.avro").open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "Row", "fields": fields}, ROWS)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("first", range(len(ROWS) + 2))
def test_the_rows_of_every_kind_of_file_are_read_from_any_row_on(tmp_path: Path, first: int) -> None:
    for path in write_all(tmp_path):
        found = [(number, json.loads(row) if isinstance(row, bytes) else row) for number, row in rows_of(path, first)]
        assert found == list(enumerate(ROWS))[first:], path.name


def test_rows_that_cannot_be_read_are_refused_and_those_behind_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n1\n\n3,\xff\n")
    values = [value for _, value in rows_of(tmp_path / "a.csv")]
    assert [type(value) for value in values] == [dict, Refused, dict]
    (tmp_path / "b.jsonl").write_bytes(b'{"a":1}\n' + b"x" * 400_000 + b'\n\n{"a":2}')
    values = [value for _, value in rows_of(tmp_path / "b.jsonl")]
    assert [type(value) for value in values] == [bytes, Refused, bytes]


@pytest.mark.parametrize("place", range(5))
def test_a_file_that_ends_in_the_middle_is_broken(tmp_path: Path, place: int) -> None:
    path = write_all(tmp_path)[place]
    path.write_bytes(path.read_bytes()[:-5])
    if path.suffix in (".jsonl", ".csv"):  # a line more or less: nobody can tell
        assert len(list(rows_of(path))) == len(ROWS)
    else:
        with pytest.raises(BrokenFile):
            list(rows_of(path))


def shard(name: str, *parents: str) -> dict[str, Any]:
    names = zip(("ParentShardId", "AdjacentParentShardId"), parents, strict=False)
    return {"ShardId": name, "SequenceNumberRange": {}, **dict(names)}


LISTED = [shard("a"), shard("b"), shard("a1", "a"), shard("a2", "a"), shard("ab", "a2", "b"), shard("z", "long gone")]


@given(ended=st.sets(st.sampled_from(["a", "b", "a1", "a2", "ab", "z"])))
def test_a_shard_is_read_when_those_it_came_from_are_at_their_end(ended: set[str]) -> None:
    shards = Shards({name: Place(ended=True) for name in ended})
    shards.update(LISTED)
    came_from = {"a": (), "b": (), "a1": ("a",), "a2": ("a",), "ab": ("a2", "b"), "z": ()}
    assert shards.readable() == [
        name for name, parents in came_from.items() if name not in ended and ended.issuperset(parents)
    ]


def test_a_shard_that_is_gone_unread_is_named_and_one_that_was_read_is_not() -> None:
    Shards({"old": Place(ended=True)}).update(LISTED)
    with pytest.raises(OffsetGone, match="old ran out of the stream's retention"):
        Shards({"old": Place("5")}).update(LISTED)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/path", "'ftp' is no source; INLAY_BRIDGE_FROM starts with one of file://"),
        ("file://host/path", "three slashes"),
        ("file:///nowhere/at/all", "there is no folder"),
        ("file:///tmp?order=size", "order is name or time"),
        ("file:///tmp?sort=name", "'sort' is no option"),
        ("kinesis://stream", "kinesis://region/stream"),
        ("pubsub://subscription", "pubsub://project/subscription"),
        ("kafka://host:9092", "kafka://host:9092/topic"),
    ],
)
def test_an_address_that_says_too_little_is_refused_in_words(url: str, said: str) -> None:
    class Nowhere:
        def read(self) -> dict[str, str]:
            return {}

        def write(self, positions: Mapping[str, str]) -> None:
            raise AssertionError

    with pytest.raises(StreamError, match=said):
        open_inlet(url, Nowhere())


def translate(*values: Any, mapping: Path | None = None, refused_run: int = 100) -> Any:
    step = Translate(
        load_mapping(mapping) if mapping else None, Validate(lambda: NOW, 300_000_000, refused_run), AvroWire(), 1
    )
    return step(Delivered([Delivery(f"place{n}", value, f"mark{n}") for n, value in enumerate(values)], "receipt"))


def test_a_record_without_an_id_gets_that_of_its_place_and_one_with_an_id_is_left_alone() -> None:
    with_id = b'{"event_id": "e1", "type": "view",  "occurred_at": 1, "user_id": "u1"}'
    found = translate(with_id, b'{"type": "view", "occurred_at": 1, "user_id": "u1"}')
    assert found.records[0] == (0, with_id)
    assert json.loads(found.records[1][1])["event_id"] == "mark1"
    assert (found.refused, found.receipt) == ([], "receipt")


def test_columns_are_mapped_and_text_is_read_as_what_the_field_is(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(
        "type: {column: action, values: {buy: purchase}}\noccurred_at: ts\nuser_id: customer\nprice: paid\n"
        'event_id: {template: "shop-{id}"}\nin_stock: stock\nquantity: many\n'
    )
    row = {"action": "buy", "ts": "1700000000", "customer": 7.0, "paid": "12.50", "id": 3, "stock": "true"}
    found = translate(row, {**row, "paid": "much"}, {"action": "buy"}, mapping=file)
    assert json.loads(found.records[0][1]) == {
        "event_id": "shop-3", "type": "purchase", "occurred_at": 1_700_000_000_000_000, "user_id": "7",
        "price": 12.5, "in_stock": True,
    }  # fmt: skip
    reasons = {place: refused.field or refused.reason for place, refused in found.refused}
    assert reasons["place1"] == "price"
    assert "event_id is mapped to 'id'" in reasons["place2"]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=400), st.text(st.characters(exclude_categories=["Cs"]))
)
def test_an_id_fits_and_differs_where_the_marks_do(one: str, other: str) -> None:
    assert len(as_id(one)) <= 200
    assert (as_id(one) == as_id(other)) == (one == other)


class Refusing:
    """Fails a number of times."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return "answer"


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(retries, name, 0.0)


@pytest.mark.usefixtures("no_pause")
def test_what_passes_is_tried_again_and_what_does_not_is_not() -> None:
    asked: list[int] = []
    down = Refusing(3, StreamDown("gone"))
    assert retries.patiently("test", down, 60, lambda: asked.append(1)) == "answer"
    assert (down.calls, len(asked)) == (4, 4)
    denied = Refusing(3, StreamError("denied"))
    with pytest.raises(StreamError, match="denied"):
        retries.patiently("test", denied, 60, lambda: None)
    assert denied.calls == 1


@pytest.mark.usefixtures("no_pause")
def test_who_loses_patience_or_is_told_to_stop_stops() -> None:
    with pytest.raises(StreamDown):
        retries.patiently("test", Refusing(10**9, StreamDown("gone")), 0.001, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        retries.patiently("test", lambda: "never", 60, Refusing(1, KeyboardInterrupt()))  # type: ignore[arg-type]
