"""Upkeep of the lake: small files become larger ones, what is too old goes, and so does what dead processes left.

Files of like size are merged, so that no row is rewritten more often than a few times while its day fills; when the day
is over, all of its small files are. Of a record that was written twice one row stays; an event that a client sent twice
stays as it came, and is left out by whoever reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dataflows.connectors.lake_files import ENTITIES, ERASED, EVENTS, FEATURES, HELD, Lake, date_of
from dataflows.connectors.lake_storage import Found
from dataflows.events import DAY, SECOND

FULL: Final = 16 * 1024 * 1024
"""Bytes of a file that is large enough; as many are read into memory for a merge, several times that when unpacked."""
ALIKE: Final = 8
"""So many files of like size are merged, and one is of like size up to so many times another's."""
SMALLEST: Final = 64 * 1024
ERASURES_KEPT: Final = 30 * DAY
"""How long it is remembered who was erased: longer than an event may take to reach the lake."""
PERIOD: Final = 600.0
_ORDER: Final = {
    EVENTS: ("user_id", "anonymous_id", "received_at", "partition", "offset"),
    HELD: ("partition", "offset"),
}
"""What rows are sorted by, so that those of one person are together; the last of it tells a record from others."""


class Merge(NamedTuple):
    """Files of one day that are to become one."""

    folder: str
    date: str
    paths: tuple[str, ...]


class Done(NamedTuple):
    """What was done: files merged, files made of them, rows that were there twice, files that were too old."""

    merged: int = 0
    made: int = 0
    repeats: int = 0
    expired: int = 0

    def plus(self, other: Done) -> Done:
        """Both."""
        return Done(*(one + more for one, more in zip(self, other, strict=True)))


def merges(folder: str, files: Iterable[Found], today: str) -> list[Merge]:
    """Which files of a folder are to be merged, each at most once."""
    days: defaultdict[str, list[Found]] = defaultdict(list)
    for file in files:
        if file.size < FULL:
            days[_date(file.path)].append(file)
    found = []
    for day, small in sorted(days.items()):
        for alike in [small] if day < today else _of_like_size(small):
            found += [Merge(folder, day, tuple(file.path for file in some)) for some in _portions(alike)]
    return found


def expired(files: Iterable[Found], today: str, age: int) -> list[str]:
    """The files of days that ended more than `age` microseconds before today; none if `age` is 0."""
    last = (date.fromisoformat(today) - timedelta(microseconds=age)).isoformat()
    return [file.path for file in files if age and _date(file.path) < last]


def merged(folder: str, tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of several files, sorted, each record once; a column that some lack is null there."""
    whole = pa.concat_tables(tables, promote_options="default")
    order = _ORDER.get(folder) or (whole.schema.names[0], "event_timestamp")
    whole = whole.sort_by([(name, "ascending") for name in order])
    if whole.num_rows < 2:
        return whole
    same = pa.chunked_array([pa.array([True] * (whole.num_rows - 1))])
    for name in order[-2:]:
        column = whole.column(name)
        same = pc.and_(same, pc.equal(column.slice(1), column.slice(0, whole.num_rows - 1)))
    first = pa.concat_arrays([pa.array([True]), pc.invert(same).combine_chunks()])
    return whole.filter(first)


class Upkeep:
    """Looks after the files of a lake.

    Args:
        lake: whose.
        clock: microseconds since 1970, now.
        age: microseconds a row is kept; 0: for ever.
        alive: called before each piece of work.
    """

    def __init__(
        self, lake: Lake, clock: Callable[[], int], age: int, alive: Callable[[], None] = lambda: None
    ) -> None:
        self._lake, self._clock, self._age, self._alive = lake, clock, age, alive

    def run(self) -> Done:
        """Do all there is to do."""
        done = Done()
        for each in self.steps():
            done = done.plus(each)
        return done

    def steps(self) -> Iterator[Done]:
        """The same piece by piece, none of which takes more than seconds."""
        today = date_of(self._clock())
        self._lake.storage.tidy()
        self._forget_erasures()
        for folder in (EVENTS, HELD, *map(FEATURES.format, ENTITIES)):
            self._alive()
            old = expired(self._lake.files(folder), today, self._age)
            for path in old:
                self._lake.storage.remove(path)
            yield Done(expired=len(old))
            for merge in merges(folder, self._lake.files(folder), today):
                self._alive()
                yield self._merge(merge)

    def when_due(self, monotonic: Callable[[], float]) -> Callable[[], None]:
        """What does a piece each time it is called, and begins anew every ten minutes."""
        steps: Iterator[Done] = iter(())
        due_at = monotonic()

        def tend() -> None:
            nonlocal steps, due_at
            if next(steps, None) is None and monotonic() >= due_at:
                steps, due_at = self.steps(), monotonic() + PERIOD

        return tend

    def _merge(self, merge: Merge) -> Done:
        try:
            tables = [self._lake.read(path) for path in merge.paths]
        except FileNotFoundError:
            return Done()  # somebody else is at it: the next time
        whole = merged(merge.folder, tables)
        if not self._lake.replace(merge.paths, merge.folder, merge.date, whole):
            return Done()
        return Done(len(merge.paths), 1, sum(table.num_rows for table in tables) - whole.num_rows)

    def _forget_erasures(self) -> None:
        for file in self._lake.storage.find(ERASED, ".json"):
            if self._clock() - round(file.written_at * SECOND) > ERASURES_KEPT:
                self._lake.storage.remove(file.path)


def _of_like_size(files: Iterable[Found]) -> list[list[Found]]:
    """Groups of files, each within a factor; those of fewer than `ALIKE` files are left out."""
    sizes: defaultdict[int, list[Found]] = defaultdict(list)
    for file in files:
        limit, rank = SMALLEST, 0
        while file.size > limit:
            limit, rank = limit * ALIKE, rank + 1
        sizes[rank].append(file)
    return [some for _, some in sorted(sizes.items()) if len(some) >= ALIKE]


def _portions(files: Iterable[Found]) -> Iterator[list[Found]]:
    """Two files or more each, together not much larger than a full one."""
    some: list[Found] = []
    for file in files:
        some.append(file)
        if sum(each.size for each in some) >= FULL:
            yield some
            some = []
    if len(some) > 1:
        yield some


def _date(path: str) -> str:
    return path.partition("/date=")[2].partition("/")[0]
