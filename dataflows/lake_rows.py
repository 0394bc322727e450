"""Feature rows on their way into the lake: put into Redis by the commit that stores them, taken out by the lake flow.

So the lake has exactly the rows that were stored, and nobody waits for it: neither does a slow lake hold up the
features, nor does each commit write a file.

`event_timestamp` is when the row was stored, and so since when mails show it: a row is true as of then, be it that an
event came, late or not, or that a number fell because time passed. What was known at any moment is the newest row that
is not later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
import pyarrow as pa
import redis
from hiredis import pack_command

from dataflows.connectors.lake_events import HELD_SCHEMA, MOMENT
from dataflows.connectors.lake_files import date_of
from dataflows.stages import Aggregated, Command, Row
from dataflows.transaction import ask
from feature_repo.layout import LAYOUTS, Column, EntityLayout

ROWS_KEY: Final = "inlay:rows:{}"
FIELD: Final = b"r"
ROWS_AN_ENTRY: Final = 500
ROWS_AT_ONCE: Final = 40_000
"""Rows after which no further entry is begun: as many become one file an entity."""
ENTRIES_AT_ONCE: Final = 200
STATE: Final = "state"
"""The one feature that is left out: nobody learns from it, and it is the longest."""
SECONDS: Final = pa.timestamp("s", tz="UTC")
"""How times are in a row; in the lake they are in microseconds, as all others."""
_PLAIN: Final = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string(), "bool": pa.bool_()}


HELD_ENTITY: Final = "held"
"""In the place of an entity: places of events that the gate held, so that who counts the lake leaves them out."""


class Group(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Rows of one entity with the same features, stored at `at` (microseconds): each a key and the values."""

    entity: str
    names: tuple[str, ...]
    at: int
    rows: list[list[Any]]


_encode: Final = msgspec.msgpack.Encoder().encode
read_group: Final = msgspec.msgpack.Decoder(Group).decode
"""The group in an entry."""


ReadStored: TypeAlias = Callable[[Sequence[Row]], Sequence[Mapping[str, Any]]]
"""How what is stored of the entities of some rows is read, as features by name."""


class RowsOut(Protocol):
    """What a commit does with its rows beside storing them."""

    def commands(self, batch: Aggregated) -> list[Command]:
        """What is to be part of the transaction."""


class NoRows:
    """Where there is no lake."""

    def commands(self, batch: Aggregated) -> list[Command]:
        """Nothing."""
        return []


NO_ROWS: Final = NoRows()


class RowsToLake:
    """Puts rows where the lake flow takes them from.

    Args:
        stored: reads what is stored of the entities of some rows.
        clock: microseconds since 1970, now.
        layouts: where Feast keeps each entity.
    """

    def __init__(
        self, stored: ReadStored, clock: Callable[[], int], layouts: Mapping[str, EntityLayout] = LAYOUTS
    ) -> None:
        self._stored, self._clock, self._layouts = stored, clock, layouts
        self._last = 0

    def commands(self, batch: Aggregated) -> list[Command]:
        """The rows as entries of the first partition under whose lease they are stored."""
        held = [[partition, str(offset)] for partition, offset, refused in batch.refused if refused.stage == "gate"]
        if not batch.rows and not held:
            return []
        self._last = max(self._last + 1, self._clock())
        key = ROWS_KEY.format(batch.owners[0])
        alike: defaultdict[tuple[str, tuple[str, ...]], list[list[Any]]] = defaultdict(list)
        for row in batch.rows:
            if not row.timed:
                alike[row.entity, tuple(row.values)].append([row.key, *row.values.values()])
        if held:
            alike[HELD_ENTITY, ("partition", "offset")] = held
        for row, values in self._changed([row for row in batch.rows if row.timed]):
            alike[row.entity, tuple(values)].append([row.key, *values.values()])
        return [
            ("XADD", key, "*", FIELD, _encode(Group(entity, names, self._last, rows[at : at + ROWS_AN_ENTRY])))
            for (entity, names), rows in alike.items()
            for at in range(0, len(rows), ROWS_AN_ENTRY)
        ]

    def _changed(self, rows: Sequence[Row]) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Rows that only time changed, made whole by what is stored; those that it left as they were are left out.

        What is stored is what the commit before left, since those of one partition wait for each other.
        """
        for row, stored in zip(rows, self._stored(rows) if rows else (), strict=True):
            if any(stored.get(name) != value for name, value in row.values.items()):
                yield (
                    row,
                    {**dict.fromkeys(name for name, _ in _features(self._layouts[row.entity])), **stored, **row.values},
                )


def stored_rows(client: redis.Redis, layouts: Mapping[str, EntityLayout] = LAYOUTS) -> ReadStored:
    """How what is stored is read: all features of the entities of some rows, in one pipelined call."""
    wanted = {entity: [column for _, column in _features(layout)] for entity, layout in layouts.items()}
    fields = {entity: [column.field for column in columns] for entity, columns in wanted.items()}
    pack: Any = pack_command  # whose stub knows tuples of one part only

    def read(rows: Sequence[Row]) -> list[dict[str, Any]]:
        found = ask(client, [pack(("HMGET", layouts[row.entity].key(row.key), *fields[row.entity])) for row in rows])
        return [
            {column.name: column.read(raw) for column, raw in zip(wanted[row.entity], raws, strict=True)}
            for row, raws in zip(rows, found, strict=True)
        ]

    return read


class Part(NamedTuple):
    """A file to be written: of which entity and day, a name that is the same for the same rows, and the rows."""

    entity: str
    date: str
    name: str
    table: pa.Table


class Taken(NamedTuple):
    """Rows that were taken, and what takes them out of Redis once they are durable."""

    parts: list[Part]
    rows: int
    commands: list[Command]


class RowsIn:
    """What waits in Redis for the lake.

    Args:
        client: the Redis that the flows commit to.
        partitions: whose.
        layouts: where Feast keeps each entity.
    """

    def __init__(self, client: Any, partitions: Iterable[int], layouts: Mapping[str, EntityLayout] = LAYOUTS) -> None:
        self._client, self._layouts = client, layouts
        self._keys = [ROWS_KEY.format(partition) for partition in partitions]

    def take(self) -> Taken:
        """The oldest rows that wait, a bounded number of them."""
        groups: defaultdict[tuple[str, str], list[Group]] = defaultdict(list)
        commands: list[Command] = []
        name = blake2b(digest_size=12)
        taken = 0
        for key in self._keys:
            if taken >= ROWS_AT_ONCE:
                break
            last = b""
            for place, fields in self._client.xrange(key, count=ENTRIES_AT_ONCE):
                group = read_group(fields[FIELD])
                groups[group.entity, date_of(group.at)].append(group)
                taken, last = taken + len(group.rows), place
                name.update(key.encode() + place)
                if taken >= ROWS_AT_ONCE:
                    break
            if last:
                milliseconds, _, number = last.decode().partition("-")
                commands.append(("XTRIM", key, "MINID", f"{milliseconds}-{int(number) + 1}"))
        parts = [
            Part(
                entity,
                date,
                name.hexdigest(),
                to_held(several) if entity == HELD_ENTITY else to_table(self._layouts[entity], several),
            )
            for (entity, date), several in groups.items()
        ]
        return Taken(parts, taken, commands)


def schema_of(layout: EntityLayout) -> pa.Schema:
    """The columns of an entity's rows: its key, the features of all its views, and when the row was stored."""
    return pa.schema(
        [
            (layout.join_key, pa.string()),
            *((name, _type(column.kind, MOMENT)) for name, column in _features(layout)),
            ("event_timestamp", MOMENT),
            ("created", MOMENT),
        ]
    )


def to_table(layout: EntityLayout, groups: Sequence[Group]) -> pa.Table:
    """Rows of an entity as a table, those of one key together; features that a row lacks are null."""
    schema = schema_of(layout)
    keys = pa.array([row[0] for group in groups for row in group.rows], pa.string())
    stamps = pa.array([group.at for group in groups for _ in group.rows], MOMENT)
    arrays = [
        pa.array(_column(groups, name), _type(column.kind, SECONDS)).cast(_type(column.kind, MOMENT))
        for name, column in _features(layout)
    ]
    return pa.Table.from_arrays([keys, *arrays, stamps, stamps], schema=schema).sort_by(layout.join_key)


def to_held(groups: Sequence[Group]) -> pa.Table:
    """Places of held events as a table."""
    rows = [(partition, offset, group.at) for group in groups for partition, offset in group.rows]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, HELD_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=HELD_SCHEMA)


def _features(layout: EntityLayout) -> list[tuple[str, Column]]:
    return [(name, column) for name, column in layout.columns.items() if name != STATE]


def _column(groups: Sequence[Group], name: str) -> list[Any]:
    values: list[Any] = []
    for group in groups:
        if name in group.names:
            place = group.names.index(name) + 1
            values += [row[place] for row in group.rows]
        else:
            values += [None] * len(group.rows)
    return values


def _type(kind: str, moment: pa.DataType) -> pa.DataType:
    """The type in Arrow of a field of Feast's Value, times as `moment`."""
    if kind.endswith("_list_val"):
        return pa.list_(_type(f"{kind.removesuffix('_list_val')}_val", moment))
    return moment if kind == "unix_timestamp_val" else _PLAIN[kind.removesuffix("_val")]
