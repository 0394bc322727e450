"""Inputs of a backfill: files, and the days of a lake, each of which fits into memory and is known by its content.

A day of the lake is the same whatever files it lies in: merged or not, it is not done twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.compute as pc

from dataflows.connectors.lake_events import to_event
from dataflows.connectors.lake_files import EVENTS, Lake, LakeError, date_of, open_lake
from dataflows.connectors.lake_storage import Found
from dataflows.events import DAY
from dataflows.input_files import files_of, fingerprint, version_of
from dataflows.lake_reader import WHOSE, connect
from dataflows.mapping import MappingError, RowReader, settle_times
from dataflows.replay import moment_of, read_events

OWNERS: Final = ("user_id", "anonymous_id", "item_id")
DAYS_APART: Final = f"""
SELECT {WHOSE}, event_id, min(epoch_us(received_at)) FROM events_not_held
GROUP BY ALL HAVING min(epoch_us(received_at)) // {DAY} <> max(epoch_us(received_at)) // {DAY}
"""  # noqa: S608  # of our own words


class InputChanged(RuntimeError):
    """An input is not what it was at the start, when the stream was not yet looked at."""


class Input(Protocol):
    """A portion of history: its name for people, its size in bytes, and whether a flow looked at it as it came."""

    name: str
    size: int
    judged: bool

    def mark(self, mapping_file: Path | None) -> str:
        """What tells its content from any other."""

    def events(self, mapping: dict[str, RowReader] | None) -> list[dict[str, Any]]:
        """Its events in order of time.

        Raises:
            InputChanged: it was written to since it was made.
        """


class FileInput:
    """A file of events."""

    judged = False

    def __init__(self, path: Path) -> None:
        self.name, self._path, self._version = str(path), path, version_of(path)
        self.size = self._version.size

    def mark(self, mapping_file: Path | None) -> str:
        """As `Input.mark`."""
        return fingerprint(self._path, *([mapping_file] if mapping_file else []))

    def events(self, mapping: dict[str, RowReader] | None) -> list[dict[str, Any]]:
        """As `Input.events`."""
        found = read_events(self._path, mapping)
        if version_of(self._path) != self._version:
            raise InputChanged(f"{self.name} was written to meanwhile; start again")
        return found


class LakeDay:
    """What a lake received on one day, each event once.

    Args:
        lake: whose.
        date: the day.
        files: its files at the start: what comes later is left to the stream that it came by.
        repeats: of events that came on several days, the first day.
        held: partitions and offsets of events that the gate held: they count where they were sent again.
    """

    judged = True

    def __init__(
        self,
        lake: Lake,
        date: str,
        files: Sequence[Found],
        repeats: dict[tuple[str, str], str],
        held: Collection[tuple[int, str]] = (),
    ) -> None:
        self.name, self.size = f"events/date={date}", sum(file.size for file in files)
        self._lake, self._date, self._files, self._repeats, self._held = lake, date, files, repeats, held
        self._table: pa.Table | None = None

    def mark(self, mapping_file: Path | None) -> str:
        """As `Input.mark`."""
        if mapping_file is not None:
            raise MappingError("a lake needs no --map: its columns are those of events")
        table = self._read()
        ids = zip(*(table.column(name).to_pylist() for name in ("whose", "event_id")), strict=True)
        return blake2b("\n".join(sorted(f"{whose} {one}" for whose, one in ids)).encode(), digest_size=16).hexdigest()

    def events(self, mapping: dict[str, RowReader] | None) -> list[dict[str, Any]]:
        """As `Input.events`."""
        table, self._table = self._read().drop_columns("whose"), None
        for name in ("occurred_at", "added_at"):
            table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(pa.int64()))
        return sorted((settle_times(to_event(row)) for row in table.to_pylist()), key=moment_of)

    def _read(self) -> pa.Table:
        """The rows that count, each with whose it is."""
        if self._table is None:
            try:
                table = pa.concat_tables([self._lake.read(file.path) for file in self._files])
            except FileNotFoundError:
                raise InputChanged(f"files of {self.name} were merged meanwhile; start again") from None
            table = _with_whose(table).sort_by([(name, "ascending") for name in ("received_at", "partition", "offset")])
            seen = set()
            wanted = []
            columns = (table.column(name).to_pylist() for name in ("whose", "event_id", "partition", "offset"))
            for whose, event_id, *place in zip(*columns, strict=True):
                key, counts = (whose, event_id), tuple(place) not in self._held
                wanted.append(counts and key not in seen and self._repeats.get(key, self._date) == self._date)
                if counts:
                    seen.add(key)
            self._table = table.filter(pa.array(wanted, pa.bool_()))
        return self._table


def inputs_of(argument: str) -> list[Input]:
    """What a path stands for: a file, the files of a folder, or, of a lake's `events`, its days.

    Raises:
        LakeError: there is no such lake.
        MappingError: the folder holds no file that can be read.
    """
    parts, path = urlsplit(argument), Path(argument.removeprefix("file://")).absolute()
    if parts.scheme == "s3":
        above, _, folder = parts.path.rstrip("/").rpartition("/")
        url = urlunsplit(parts._replace(path=above))
    elif any(path.glob("date=????-??-??")):
        url, folder = str(path.parent), path.name
    else:
        return [FileInput(each) for each in files_of(path)]
    if folder != EVENTS:
        raise LakeError(f"{argument}: of a lake a backfill reads the folder events; write …/{EVENTS}")
    return list(_days_of(open_lake(url)))


def _days_of(lake: Lake) -> list[LakeDay]:
    days: defaultdict[str, list[Found]] = defaultdict(list)
    for file in lake.files(EVENTS):
        days[file.path.split("/")[1].removeprefix("date=")].append(file)
    if not days:
        raise LakeError("the lake holds no events")
    repeats, held = _repeats(lake, days), _held(lake)
    return [LakeDay(lake, day, files, repeats, held) for day, files in sorted(days.items())]


def _repeats(lake: Lake, days: dict[str, list[Found]]) -> dict[tuple[str, str], str]:
    """The events that came on several days, and the first one."""
    if len(days) < 2:
        return {}
    with connect(lake) as connection:
        found = connection.execute(DAYS_APART).fetchall()
    return {(whose, event_id): date_of(first) for whose, event_id, first in found}


def _held(lake: Lake) -> set[tuple[int, str]]:
    """Where in the stream the events were that the gate held."""
    with connect(lake) as connection:
        return {*connection.execute('SELECT partition, "offset" FROM held').fetchall()}


def _with_whose(table: pa.Table) -> pa.Table:
    return table.append_column("whose", pc.coalesce(*(table.column(name) for name in OWNERS)))
