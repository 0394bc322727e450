"""The lake: every event that could be read, and every row of features, as Parquet, by day.

    events/date=YYYY-MM-DD/part-*.parquet                          the day on which they were received (UTC)
    features/entity=user|item|scope/date=YYYY-MM-DD/part-*.parquet the day on which they were stored
    held/date=YYYY-MM-DD/part-*.parquet                            events that the gate held: they count for nothing
    erased/*.json                                                  who was erased lately, as digests

A file is never changed. What replaces some (a compaction, an erasure) is written first, and then they go: a reader may
find a row twice in between, and never misses one.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timezone
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataflows.connectors.lake_erasures import Erasure, read_erasure, write_erasure
from dataflows.connectors.lake_storage import Found, LakeError, Storage, open_storage
from dataflows.events import SECOND

EVENTS: Final = "events"
FEATURES: Final = "features/entity={}"
HELD: Final = "held"
ERASED: Final = "erased"
ENTITIES: Final = ("user", "item", "scope")
PEOPLE: Final = (EVENTS, FEATURES.format("user"))
"""What is about people."""
TRIES: Final = 5

__all__ = ["ENTITIES", "EVENTS", "FEATURES", "HELD", "Lake", "LakeError", "date_of", "open_lake"]


class Lake:
    """The files of a lake.

    Args:
        storage: where they are.
        clock: microseconds since 1970, now.
        new_name: what is never given twice.
    """

    def __init__(
        self,
        storage: Storage,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        new_name: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.storage, self._clock, self._new_name = storage, clock, new_name
        self._read_erasures: dict[str, Erasure] = {}

    def add(self, folder: str, date: str, name: str, table: pa.Table) -> None:
        """Write a file of a day, but for the rows of those who were erased meanwhile; returns once it is durable.

        Args:
            folder: `EVENTS`, `HELD`, or `FEATURES` of an entity.
            date: the day, as YYYY-MM-DD.
            name: what the file is known by; one of the same name holds the same rows, and is replaced.
            table: its rows.
        """
        self._write(f"{folder}/date={date}/part-{name}.parquet", table)

    def files(self, folder: str) -> list[Found]:
        """The files of a folder."""
        return self.storage.find(folder)

    def read(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of a file, in the columns asked for.

        Raises:
            FileNotFoundError: it was replaced meanwhile.
        """
        return pq.read_table(path, columns=columns, filesystem=self.storage.filesystem, partitioning=None)

    def replace(self, paths: Iterable[str], folder: str, date: str, table: pa.Table) -> bool:
        """Write a file in the place of others; False, and nothing has changed, if somebody was erased meanwhile."""
        known = self._erasures()
        path = f"{folder}/date={date}/part-{self._new_name()}.parquet"
        if (kept := _without(table, path, Erasure.all_of(known.values()))).num_rows:
            self._put(path, kept)
        if self._erasures().keys() - known.keys():
            self.storage.remove(path)
            return False
        for each in paths:
            self.storage.remove(each)
        return True

    def erase(self, user_ids: Collection[str], anonymous_ids: Collection[str]) -> int:
        """Rewrite every file that holds rows of somebody, without them; returns how many rows went.

        Killed on its way it may be called again. Rows of before that are still on their way into the lake are left
        out when they come; somebody who comes back afterwards is somebody new.

        Args:
            user_ids: theirs.
            anonymous_ids: devices whose events count for them. What another user did on one of them stays.
        """
        now = self._clock()
        note = write_erasure(Erasure.of(user_ids, anonymous_ids, now))
        self.storage.put(f"{ERASED}/{now // SECOND}-{self._new_name()}.json", note)
        erasure = Erasure.of(user_ids, anonymous_ids)
        return sum(self._rewrite(file.path, erasure) for folder in PEOPLE for file in self.files(folder))

    def holds(self, user_ids: Collection[str], anonymous_ids: Collection[str]) -> int:
        """How many rows the lake has of somebody."""
        wanted = Erasure.of(user_ids, anonymous_ids)
        return sum(pc.sum(mask).as_py() or 0 for folder in PEOPLE for mask in self._masks(folder, wanted))

    def _masks(self, folder: str, wanted: Erasure) -> Iterator[pa.Array]:
        """Of each file, which rows are somebody's; listed anew if a file goes meanwhile."""
        for _ in range(TRIES):
            try:
                masks = [
                    wanted.concerns(self.read(file.path, wanted.columns(folder)), folder) for file in self.files(folder)
                ]
            except FileNotFoundError:
                continue
            yield from masks
            return
        raise LakeError("files of the lake are replaced again and again; try once more")

    def _write(self, path: str, table: pa.Table) -> None:
        """Write a file without those who are erased by then: before each look at who that is, or after it.

        Whoever erases says so first, and then looks for files: he finds this one, or is found here.
        """
        known = self._erasures()
        if (kept := _without(table, path, Erasure.all_of(known.values()))).num_rows:
            self._put(path, kept)
        if fresh := [each for place, each in self._erasures().items() if place not in known]:
            self._rewrite(path, Erasure.all_of(fresh))

    def _rewrite(self, path: str, erasure: Erasure) -> int:
        """Write a file anew without the rows of somebody; how many went."""
        folder = _folder(path)
        try:
            ids = self.read(path, erasure.columns(folder))
            theirs = pc.sum(erasure.concerns(ids, folder)).as_py() or 0
            if not theirs:
                return 0
            table = self.read(path)
        except FileNotFoundError:
            return 0  # whoever replaced it looked at who was erased
        self._write(f"{path.rpartition('/')[0]}/part-{self._new_name()}.parquet", _without(table, path, erasure))
        self.storage.remove(path)
        return int(theirs)

    def _erasures(self) -> dict[str, Erasure]:
        """Who was erased lately, by the files that say so; each is read once."""
        paths = [file.path for file in self.storage.find(ERASED, ".json")]
        for path in paths:
            if path not in self._read_erasures:
                with self.storage.filesystem.open_input_file(path) as content:
                    self._read_erasures[path] = read_erasure(content.read())
        return {path: self._read_erasures[path] for path in paths}

    def _put(self, path: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.storage.put(path, sink.getvalue())


def date_of(micros: int) -> str:
    """The day (UTC) of a moment in microseconds, as YYYY-MM-DD."""
    return datetime.fromtimestamp(micros // SECOND, timezone.utc).date().isoformat()


def _folder(path: str) -> str:
    return path.partition("/date=")[0]


def _without(table: pa.Table, path: str, erasure: Erasure) -> pa.Table:
    folder = _folder(path)
    return table.filter(pc.invert(erasure.concerns(table, folder))) if folder in PEOPLE else table


def open_lake(url: str) -> Lake:
    """The lake that `url` names: a local folder, or `s3://bucket/prefix[?endpoint=…]`.

    Raises:
        LakeError: it names nothing that can be used.
    """
    return Lake(open_storage(url))
