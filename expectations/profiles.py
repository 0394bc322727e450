"""Profiles: what an hour of rows looked like, as one small table; made by DuckDB, which reads no more than it needs.

A row of a profile is about one subject, and one column of it or, where `column` is empty, the subject itself. Subjects
are the views of features, and of events `events/{source}/{type}`, where `*` stands for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

QUANTILES: Final = tuple(round(place * 0.05, 2) for place in range(21))
"""From the least value to the greatest one; the middle one is the median."""
MOST_LABELS: Final = 30
"""Labels of a category whose shares are kept; what is left over is `(others)`."""
OTHERS: Final = "(others)"
MOST_SOURCES: Final = 50
"""Sources told apart; the smallest ones beyond are `(others)`."""
PLATFORMS: Final = (
    "braze", "customerio", "hubspot", "iterable", "klaviyo", "mailchimp", "mailgun", "postmark", "sendgrid", "ses",
    "shopify", "standard", "woocommerce",
)  # fmt: skip
"""Whose webhooks make event ids that begin with their name; a test holds them equal to those that there are."""

SOURCE: Final = f"""coalesce(
    CASE WHEN type = 'block_served' THEN 'inlay' END,
    left(nullif(properties ->> '$.source', ''), 40),
    CASE WHEN split_part(event_id, ':', 1) IN {PLATFORMS} AND contains(event_id, ':')
         THEN split_part(event_id, ':', 1) END,
    left(properties ->> '$.context.library.name', 40),
    CASE WHEN properties ->> '$.context.page.url' IS NOT NULL THEN 'track.js' END,
    'api')"""  # of constants
"""Where an event came from, by what the pipeline already keeps: what the sender says in `properties.source` (a bridge
can say it in its mapping), the platform of a webhook, Segment's library, the script; else it was posted to the API.
What we served ourselves has a rung of that name."""

EVENT_COLUMNS: Final = ("user_id", "item_id", "price", "quantity", "currency", "country", "device", "send_id")
_EVENT_NUMBERS: Final = {"price": "price", "quantity": "quantity", "delay": "delay"}
_OF_ALL: Final = ("country", "device")
"""Which are looked at over all events as well: what else is missing depends on which types there are."""
_EVENT_LABELS: Final = ("currency", "country", "device")

SCHEMA: Final = pa.schema(
    [
        ("hour", pa.timestamp("s", tz="UTC")), ("subject", pa.string()), ("column", pa.string()),
        ("rows", pa.int64()), ("people", pa.int64()), ("nulls", pa.float64()), ("quantiles", pa.list_(pa.float64())),
        ("labels", pa.list_(pa.string())), ("shares", pa.list_(pa.float64())),
    ]
)  # fmt: skip
"""`rows` of the hour; `people`: distinct keys or users; `nulls`: their share; quantiles of what is not null."""


class Column(NamedTuple):
    """What the values of a column were like; no quantiles or shares where there are none."""

    rows: int
    nulls: float
    quantiles: tuple[float, ...] = ()
    shares: Mapping[str, float] = {}


class Subject(NamedTuple):
    """An hour of a subject."""

    rows: int
    people: int
    columns: Mapping[str, Column]


Profile = Mapping[str, Subject]
"""An hour, by subject."""


def of_events(rows: Any, hours: Sequence[int]) -> list[dict[str, Any]]:
    """The profiles of hours of events.

    Args:
        rows: an Arrow dataset or table of the lake's `events`; an event that is there twice counts once.
        hours: their beginnings, in epoch seconds; an event belongs to the hour in which it was received.
    """
    with duckdb.connect() as base:
        base.execute("SET TimeZone = 'UTC'")
        base.register("lake", rows)
        base.execute(
            f"""CREATE TEMP TABLE told AS SELECT DISTINCT ON (event_id) event_id, type, {", ".join(EVENT_COLUMNS)},
                coalesce(user_id, anonymous_id) AS person, epoch(received_at) - epoch(occurred_at) AS delay,
                {SOURCE} AS source, {_hour("received_at")} AS hour FROM lake
                WHERE {_within("received_at", hours)}"""  # noqa: S608  # of constants
        )
        base.execute(
            """UPDATE told SET source = ? WHERE source NOT IN
               (SELECT source FROM told GROUP BY source ORDER BY count(*) DESC, source LIMIT ?)""",
            [OTHERS, MOST_SOURCES],
        )
        found = []
        for hour, source, kind, number, people in base.execute(
            """SELECT hour, coalesce(source, '*'), coalesce(type, '*'), count(*), count(DISTINCT person) FROM told
               GROUP BY GROUPING SETS ((hour), (hour, source), (hour, type), (hour, source, type)) ORDER BY ALL"""
        ).fetchall():
            found.append(_row(hour, f"events/{source}/{kind}", "", number, people))
        subject = "'events/' || source || '/' || type"
        labels = {name: name for name in _EVENT_LABELS}
        found += _columns(base, subject, EVENT_COLUMNS, _EVENT_NUMBERS, labels)
        everywhere = {name: name for name in _OF_ALL}
        found += _columns(base, "'events/*/*'", _OF_ALL, {"delay": "delay"}, everywhere)
    return found


def of_features(rows: Any, hours: Sequence[int], key: str, views: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The profiles of hours of an entity's feature rows, a subject a view.

    Args:
        rows: an Arrow dataset or table of the lake's `features` of the entity.
        hours: their beginnings, in epoch seconds; a row belongs to the hour in which it was stored.
        key: the column that holds the entity's key.
        views: the columns of each view.
    """
    kinds = {field.name: field.type for field in rows.schema}
    with duckdb.connect() as base:
        base.execute("SET TimeZone = 'UTC'")
        base.register("lake", rows)
        base.execute(
            f"""CREATE TEMP TABLE told AS SELECT DISTINCT ON ({key}, event_timestamp) *,
                {_hour("event_timestamp")} AS hour FROM lake WHERE {_within("event_timestamp", hours)}"""  # noqa: S608  # of names of columns
        )
        counted = base.execute(f"SELECT hour, count(*), count(DISTINCT {key}) FROM told GROUP BY hour").fetchall()  # noqa: S608
        found = []
        for view, names in views.items():
            there = [name for name in names if name in kinds]
            numbers = {name: said for name in there if (said := _as_number(name, kinds[name]))}
            labels = {name: said for name in there if (said := _as_label(name, kinds[name]))}
            found += [_row(hour, view, "", number, people) for hour, number, people in counted]
            found += _columns(base, f"'{view}'", there, numbers, labels)
    return found


def to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows of a profile as a table."""
    return pa.Table.from_pylist(list(rows), SCHEMA)


def to_profiles(table: pa.Table) -> dict[int, dict[str, Subject]]:
    """A table of profiles, by hour (epoch seconds)."""
    found: dict[int, dict[str, Subject]] = {}
    columns: dict[tuple[int, str], dict[str, Column]] = {}
    for row in table.to_pylist():
        hour, subject = int(row["hour"].timestamp()), row["subject"]
        if row["column"]:
            shares = dict(zip(row["labels"] or (), row["shares"] or (), strict=True))
            columns.setdefault((hour, subject), {})[row["column"]] = Column(
                row["rows"], row["nulls"], tuple(row["quantiles"] or ()), shares
            )
        else:
            place = columns.setdefault((hour, subject), {})
            found.setdefault(hour, {})[subject] = Subject(row["rows"], row["people"], place)
    return found


def _columns(
    base: duckdb.DuckDBPyConnection,
    subject: str,
    names: Sequence[str],
    numbers: Mapping[str, str],
    labels: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The rows of a profile about columns: shares of nulls, quantiles of numbers, shares of labels."""
    wanted = [*names, *(name for name in numbers if name not in names)]
    if not wanted:
        return []
    asked = ", ".join(
        f"count({name}), "
        + (f"quantile_cont(CAST({numbers[name]} AS DOUBLE), {[*QUANTILES]})" if name in numbers else "NULL")
        for name in wanted
    )
    found: dict[tuple[int, str, str], dict[str, Any]] = {}
    for hour, about, number, *measured in base.execute(
        f"SELECT hour, {subject} AS subject, count(*), {asked} FROM told GROUP BY ALL ORDER BY 1, 2"  # noqa: S608
    ).fetchall():
        for place, name in enumerate(wanted):
            there, quantiles = measured[2 * place : 2 * place + 2]
            found[hour, about, name] = _row(hour, about, name, number, None, 1 - there / number, quantiles)
    for name, said in labels.items():
        shares: dict[tuple[int, str], dict[str, int]] = {}
        for hour, about, label, number in base.execute(
            f"""SELECT hour, {subject}, CAST({said} AS VARCHAR), count(*) FROM told WHERE {said} IS NOT NULL
                GROUP BY ALL ORDER BY 4 DESC, 3"""  # noqa: S608
        ).fetchall():
            kept = shares.setdefault((hour, about), {})
            label = label if len(kept) < MOST_LABELS or label in kept else OTHERS
            kept[label] = kept.get(label, 0) + number
        for (hour, about), counted in shares.items():
            total = sum(counted.values())
            found[hour, about, name] |= {"labels": [*counted], "shares": [each / total for each in counted.values()]}
    return list(found.values())


def _row(hour: int, subject: str, column: str, rows: int, people: int | None,
         nulls: float | None = None, quantiles: Any = None) -> dict[str, Any]:  # fmt: skip
    return {
        "hour": hour, "subject": subject, "column": column, "rows": rows, "people": people, "nulls": nulls,
        "quantiles": quantiles, "labels": None, "shares": None,
    }  # fmt: skip


def _within(column: str, hours: Sequence[int]) -> str:
    first, last = min(hours), max(hours) + 3600
    asked = ", ".join(map(str, hours))
    return f"{column} >= to_timestamp({first}) AND {column} < to_timestamp({last}) AND {_hour(column)} IN ({asked})"


def _hour(column: str) -> str:
    return f"epoch_us({column}) // 3600000000 * 3600"


def _as_number(name: str, kind: pa.DataType) -> str:
    """How a column is read as a number: itself, how long ago it was in seconds, how many it holds; empty if none."""
    if pa.types.is_timestamp(kind):
        return f"epoch(event_timestamp) - epoch({name})"
    if pa.types.is_list(kind):
        return f"len({name})"
    return name if pa.types.is_integer(kind) or pa.types.is_floating(kind) else ""


_LABELS: Final = {
    "country", "locale", "timezone", "email_allowed", "profile_allowed", "segment", "lifecycle",
    "rfm_recency", "rfm_frequency", "rfm_monetary", "currency", "brand", "in_stock", "category",
}  # fmt: skip
"""Features whose values are a few words, or a few numbers."""


def _as_label(name: str, kind: pa.DataType) -> str:
    if name not in _LABELS:
        return ""
    return f"split_part({name}, '/', 1)" if name == "category" and pa.types.is_string(kind) else name
