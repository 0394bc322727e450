"""Events as rows of the lake, and back.

Traits and properties are JSON, since no two shops have the same; what is said of items has columns of its own. An item
whose `list_price` was taken away has that in `list_price_removed`: left out and null are not the same there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import UNSET

from dataflows.events import Event

MOMENT: Final = pa.timestamp("us", tz="UTC")
LINE: Final = pa.struct([("item_id", pa.string()), ("quantity", pa.float64()), ("price", pa.float64())])

SCHEMA: Final = pa.schema(
    [
        ("event_id", pa.string()), ("type", pa.string()), ("occurred_at", MOMENT),
        ("user_id", pa.string()), ("anonymous_id", pa.string()), ("item_id", pa.string()),
        ("items", pa.list_(LINE)), ("quantity", pa.float64()), ("price", pa.float64()), ("currency", pa.string()),
        ("order_id", pa.string()), ("query", pa.string()), ("url", pa.string()), ("country", pa.string()),
        ("device", pa.string()), ("campaign_id", pa.string()), ("send_id", pa.string()), ("layout", pa.string()),
        ("block", pa.string()), ("slot", pa.int64()), ("traits", pa.string()), ("properties", pa.string()),
        ("received_at", MOMENT), ("partition", pa.int32()), ("offset", pa.string()),
        ("title", pa.string()), ("image_url", pa.string()), ("list_price", pa.float64()),
        ("list_price_removed", pa.bool_()), ("category", pa.string()), ("brand", pa.string()),
        ("in_stock", pa.bool_()), ("added_at", MOMENT),
    ]
)  # fmt: skip
"""The columns of `events/`."""
HELD_SCHEMA: Final = pa.schema([("partition", pa.int32()), ("offset", pa.string()), ("held_at", MOMENT)])
"""The columns of `held/`: where in the stream an event was that the gate held with its whole batch, and since when."""
OF_RECEIPT: Final = frozenset({"received_at", "partition", "offset", "list_price_removed"})
"""Columns that no event has."""
_encode: Final = msgspec.json.Encoder().encode
_SLOTS: Final = range(-(2**63), 2**63)


class Arrived(NamedTuple):
    """An event, when it was received (microseconds), and where in the stream."""

    event: Event
    received_at: int
    partition: int
    offset: int


def to_table(arrived: Sequence[Arrived]) -> pa.Table:
    """Events as a table."""
    events = [each.event for each in arrived]
    columns: dict[str, list[Any]] = {
        name: [getattr(event, name) for event in events] for name in SCHEMA.names if name not in OF_RECEIPT
    }
    columns["items"] = [
        [{"item_id": line.item_id, "quantity": line.quantity, "price": line.price} for line in lines] if lines else None
        for lines in columns["items"]
    ]
    for name in ("traits", "properties"):
        columns[name] = [_encode(words).decode() if words else None for words in columns[name]]
    columns["slot"] = [slot if slot is None or slot in _SLOTS else None for slot in columns["slot"]]
    said = columns["list_price"]
    columns["list_price"] = [None if price is UNSET else price for price in said]
    columns["list_price_removed"] = [True if price is None else None for price in said]
    columns["received_at"] = [each.received_at for each in arrived]
    columns["partition"] = [each.partition for each in arrived]
    columns["offset"] = [str(each.offset) for each in arrived]
    return pa.table(columns, SCHEMA)


def is_of_lake(columns: Iterable[str]) -> bool:
    """Whether a table of these columns is one of the lake's."""
    return set(SCHEMA.names) <= set(columns)


def to_event(row: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a row as JSON would have it, times as they are in the row; what it did not say is left out."""
    event = {name: value for name, value in row.items() if value is not None and name not in OF_RECEIPT}
    for name in ("traits", "properties"):
        if name in event:
            event[name] = msgspec.json.decode(event[name])
    if "items" in event:
        event["items"] = [{name: value for name, value in line.items() if value is not None} for line in event["items"]]
    if row.get("list_price_removed"):
        event["list_price"] = None
    return event
