"""A source system's own export of orders, held against what its events told: totals per day."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

CENT: Final = 0.01


class Columns(NamedTuple):
    """What the columns of an export are called: the order, when it was made, what it came to."""

    order: str = "order_id"
    at: str = "ordered_at"
    total: str = "total"


class ExportError(ValueError):
    """An export cannot be read; the message says what to do."""


class Difference(NamedTuple):
    """A day on which the two do not agree: orders and money of the export, and of the events."""

    day: str
    exported: tuple[int, float]
    told: tuple[int, float]


def read_export(path: Path, columns: Columns) -> dict[str, tuple[int, float]]:
    """By day (UTC), how many orders a file (CSV, Parquet or JSON) has, and what they came to.

    An order counts once, as it was made; a row with a total below 0 is a refund, and is left aside. A time without a
    zone is UTC.

    Raises:
        ExportError: no such file, or it lacks a column.
    """
    reading = {".parquet": "read_parquet", ".json": "read_json_auto", ".jsonl": "read_json_auto"}
    reader = reading.get(path.suffix, "read_csv_auto")
    names = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in columns]
    query = f"""
        WITH orders AS (
            SELECT DISTINCT ON (id) * FROM (
                SELECT {names[0]}::VARCHAR AS id, {names[1]}::TIMESTAMPTZ AS made_at, {names[2]}::DOUBLE AS total
                FROM {reader}(?)
            ) WHERE total >= 0 ORDER BY made_at, total
        )
        SELECT made_at::DATE, count(*), round(sum(total), 2) FROM orders GROUP BY ALL"""  # noqa: S608  # quoted above
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        try:
            found = database.execute(query, [str(path)]).fetchall()
        except duckdb.Error as error:
            say = f"{path} cannot be read as orders: {error}; name its columns with --order-columns id,time,total"
            raise ExportError(say) from None
    return {str(day): (count, float(total)) for day, count, total in found if day is not None}


def differences(
    exported: Mapping[str, tuple[int, float]], told: Mapping[str, tuple[int, float]], share: float
) -> list[Difference]:
    """The days on which the two differ: in the number of orders, or in money by more than a share of it.

    Only days between the first and the last that both know are looked at, the first and the last left out: they may
    not be whole.
    """
    if not exported or not told:
        return []
    first, last = max(min(exported), min(told)), min(max(exported), max(told))
    nothing = (0, 0.0)
    found = []
    for day in sorted(exported.keys() | told.keys()):
        if first < day < last:
            theirs, ours = exported.get(day, nothing), told.get(day, nothing)
            if theirs[0] != ours[0] or not isclose(theirs[1], ours[1], rel_tol=share, abs_tol=CENT):
                found.append(Difference(day, theirs, ours))
    return found
