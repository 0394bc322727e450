"""The history of profiles: one small Parquet file an hour, and which files of the lake are in them already."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from expectations.profiles import SCHEMA, of_events, of_features, to_table

HOUR: Final = 3600
DAY: Final = 24 * HOUR
EVENTS: Final = "events"


class Lake(Protocol):
    """What is read of a lake (`dataflows.connectors.lake_files.Lake`)."""

    storage: Any
    """Whose `filesystem` is Arrow's."""

    def files(self, folder: str) -> Sequence[Any]:
        """The files of a folder; each has a `path` below the lake."""


class History:
    """Profiles in a folder, `date=YYYY-MM-DD/HH.parquet`.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, hour: int, told: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Write what an hour looked like, by folder of the lake, in the place of what was said before of the same."""
        path = self._path(hour)
        table = to_table(row for rows in told.values() for row in rows)
        if path.exists():
            kept = pq.read_table(path, schema=SCHEMA, partitioning=None)
            of_events = pc.starts_with(kept["subject"], f"{EVENTS}/")
            anew = pc.is_in(kept["subject"], pc.unique(table["subject"]))
            if EVENTS in told:
                anew = pc.or_(anew, of_events)
            table = pa.concat_tables([kept.filter(pc.invert(anew)), table])
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        write_whole(path, sink.getvalue().to_pybytes())

    def read(self, hours: Iterable[int], subjects_alone: bool = False) -> pa.Table:
        """The profiles of hours, as far as there are any; with `subjects_alone` without those of columns."""
        paths = [str(path) for hour in hours if (path := self._path(hour)).exists()]
        if not paths:
            return SCHEMA.empty_table()
        wanted = ds.field("column") == "" if subjects_alone else None
        return ds.dataset(paths, schema=SCHEMA, format="parquet").to_table(filter=wanted)

    def hours(self) -> list[int]:
        """Those that there are, the oldest first."""
        return sorted(
            int(datetime.fromisoformat(f"{path.parent.name.removeprefix('date=')}T{path.stem}:00:00+00:00").timestamp())
            for path in self._folder.glob("date=*/*.parquet")
        )

    def prune(self, before: int) -> None:
        """Forget hours before that one (epoch seconds)."""
        for hour in self.hours():
            if hour >= before:
                return
            path = self._path(hour)
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def seen(self) -> dict[str, list[str]]:
        """By day and folder of the lake, the files that are in the profiles already."""
        path = self._folder / "seen.json"
        if not path.exists():
            return {}
        found: dict[str, list[str]] = json.loads(path.read_text())
        return found

    def note(self, seen: Mapping[str, Sequence[str]]) -> None:
        """Write what `seen` reads."""
        write_whole(self._folder / "seen.json", json.dumps(seen).encode())

    def _path(self, hour: int) -> Path:
        moment = datetime.fromtimestamp(hour, timezone.utc)
        return self._folder / f"date={moment.date().isoformat()}" / f"{moment.hour:02}.parquet"


def bring_up_to_date(
    history: History,
    lake: Lake,
    entities: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]],
    since: int,
    said: Callable[[str], None] = lambda day: None,
) -> list[int]:
    """Profile the hours of which the lake has files that were not looked at; the hours.

    Of a day's new files it is asked which hours they hold, and of those hours all is read that the day has. An hour is
    written once, with all folders in it. Killed at any moment and started again it goes on.

    Args:
        history: of the profiles.
        lake: whose.
        entities: by the name of an entity its key, and the columns of each view.
        since: hours before that (epoch seconds) are left alone.
        said: told each day that is done, as its date.
    """
    seen = history.seen()
    done: set[int] = set()
    days: dict[str, dict[str, list[str]]] = {}
    for folder in (EVENTS, *(f"features/entity={entity}" for entity in entities)):
        for file in lake.files(folder):
            day = file.path.rpartition("/")[0]
            if _date(day) + DAY > since:
                days.setdefault(day.rpartition("date=")[2], {}).setdefault(day, []).append(file.path)
    for date, folders in sorted(days.items()):
        told: dict[int, dict[str, list[dict[str, Any]]]] = {}
        looked_at = {}
        for day, paths in folders.items():
            folder = day.partition("/date=")[0]
            if not (new := sorted(set(paths) - set(seen.get(day, ())))):
                continue
            try:
                for hour, rows in _of_day(lake, folder, paths, new, since, entities).items():
                    told.setdefault(hour, {})[folder] = rows
            except (OSError, duckdb.Error):
                if {file.path for file in lake.files(folder)} >= set(paths):
                    raise
                continue  # files were made one meanwhile: the next time
            looked_at[day] = paths
        for hour, profiles in told.items():
            history.write(hour, profiles)
        if looked_at:
            done |= told.keys()
            seen |= looked_at
            history.note(seen)
            said(date)
    history.note({day: paths for day, paths in seen.items() if _date(day) + DAY > since})
    return sorted(done)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that whoever looks sees all of it or what was there before, also after the power went."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)


def _of_day(
    lake: Lake,
    folder: str,
    paths: Sequence[str],
    new: Sequence[str],
    since: int,
    entities: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]],
) -> dict[int, list[dict[str, Any]]]:
    """The profiles of the hours that a day's new files have something of."""
    rows, fresh = (ds.dataset(each, filesystem=lake.storage.filesystem, format="parquet") for each in (paths, new))
    hours = [hour for hour in _hours(fresh, "received_at" if folder == EVENTS else "event_timestamp") if hour >= since]
    if not hours:
        return {}
    if folder == EVENTS:
        found = of_events(rows, hours)
    else:
        key, views = entities[folder.removeprefix("features/entity=")]
        found = of_features(rows, hours, key, views)
    by_hour: dict[int, list[dict[str, Any]]] = {hour: [] for hour in hours}
    for row in found:
        by_hour[row["hour"]].append(row)
    return by_hour


def _hours(rows: Any, stamp: str) -> list[int]:
    """The hours that rows are of."""
    moments = rows.to_table(columns=[stamp])[stamp]
    starts = pc.unique(pc.floor_temporal(moments, unit="hour"))
    return sorted(int(moment.timestamp()) for moment in starts.to_pylist() if moment is not None)


def _date(day: str) -> int:
    return int(datetime.fromisoformat(f"{day.rpartition('date=')[2]}T00:00:00+00:00").timestamp())
