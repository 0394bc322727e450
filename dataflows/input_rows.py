"""The rows of a file one by one, from any row on: what a file that is too large for memory, or is half read, needs.

Lines of JSON come as their bytes, rows of CSV, Parquet and Avro by column; a row that cannot be read comes as a
refusal, and those behind it are read all the same.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, cast

import fastavro
import pyarrow as pa
import pyarrow.parquet

from dataflows.events import MAX_EVENT_BYTES, Refused

STAGE: Final = "read"
AT_ONCE: Final = 2000
LONGEST_LINE: Final = 4 * MAX_EVENT_BYTES
Row: TypeAlias = bytes | Mapping[str, Any] | Refused


class BrokenFile(ValueError):
    """The rest of the file cannot be read, whatever is tried; the message says why."""


def rows_of(path: Path, first: int = 0) -> Iterator[tuple[int, Row]]:
    """The rows of a file and their numbers, counted from 0, from number `first` on.

    Raises:
        BrokenFile: nothing further can be read.
        OSError: the file cannot be reached.
    """
    name = path.name.removesuffix(".gz")
    read = next(read for ending, read in _READERS.items() if name.endswith(ending))
    try:
        yield from read(path, first)
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile, csv.Error, pa.ArrowException) as error:
        raise BrokenFile(str(error) or type(error).__name__) from None
    except OSError as error:
        if error.errno is None:  # pyarrow's way to say that the bytes make no sense
            raise BrokenFile(str(error)) from None
        raise
    except Exception as error:  # bytes that are no Avro make fastavro stumble over anything
        if read is not _avro:
            raise
        raise BrokenFile(str(error) or type(error).__name__) from None


def exact(table: pa.Table) -> pa.Table:
    """Numbers of single precision as they are written (16.99), not as a double shows them (16.989999771118164)."""
    for index, column in enumerate(table.schema):
        if pa.types.is_float32(column.type):
            single = table.column(index).to_numpy()
            exact = pa.array(single.astype(str).astype(float), mask=table.column(index).is_null().to_numpy())
            table = table.set_column(index, column.name, exact)
    return table


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path, first: int) -> Iterator[tuple[int, Row]]:
    with _open(path) as content:
        number = 0
        while line := content.readline(LONGEST_LINE):
            too_long = len(line) == LONGEST_LINE and not line.endswith(b"\n")
            if too_long:
                while (more := content.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
                    pass
            if number >= first and line.strip():
                reason = f"the line is longer than {LONGEST_LINE:,} bytes; its beginning is kept"
                yield number, Refused(STAGE, "size", reason, "", line) if too_long else line.strip()
            number += 1


def _csv(path: Path, first: int) -> Iterator[tuple[int, Row]]:
    with _open(path) as content, io.TextIOWrapper(content, "utf-8-sig", "surrogateescape", newline="") as text:
        rows = csv.reader(text)
        columns = next(rows, [])
        number = 0
        while (row := _next_row(rows)) is not None:
            if number >= first and row:
                yield number, _by_column(columns, row)
            number += 1


def _next_row(rows: Iterator[list[str]]) -> list[str] | Refused | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        return Refused(STAGE, "format", f"no row of CSV: {error}", "", b"")


def _by_column(columns: list[str], row: list[str] | Refused) -> Row:
    if isinstance(row, Refused):
        return row
    if len(row) != len(columns):
        reason = f"the row has {len(row)} fields, its header {len(columns)}"
        return Refused(STAGE, "format", reason, "", ",".join(row).encode("utf-8", "surrogateescape"))
    return {column: field for column, field in zip(columns, row, strict=True) if field}


def _parquet(path: Path, first: int) -> Iterator[tuple[int, Row]]:
    with pyarrow.parquet.ParquetFile(path) as file:
        number = 0
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if number + size <= first:
                number += size
                continue
            for batch in file.iter_batches(AT_ONCE, row_groups=[group]):
                for row in exact(pa.Table.from_batches([batch])).to_pylist():
                    if number >= first:
                        yield number, row
                    number += 1


def _avro(path: Path, first: int) -> Iterator[tuple[int, Row]]:
    with path.open("rb") as content:
        for number, record in enumerate(fastavro.reader(content)):
            if number >= first:
                no_record = Refused(STAGE, "schema", "the file holds values that are no records", "", b"")
                yield number, record if isinstance(record, dict) else no_record


_READERS: Final = {
    ".jsonl": _lines, ".ndjson": _lines, ".json": _lines, ".csv": _csv, ".parquet": _parquet, ".avro": _avro,
}  # fmt: skip
