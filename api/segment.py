"""Segment's calls as events: names, fields and traits are rows of `segment_events.yaml`; here is how they are read."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import yaml

from dataflows.events import to_micros

CALLS: Final = ("track", "identify", "page", "screen", "group", "alias")
IDS: Final = frozenset({"item_id", "order_id", "campaign_id"})
AMOUNTS: Final = frozenset({"quantity", "price"})
LINE: Final[Mapping[str, Sequence[str]]] = {
    "item_id": ("product_id", "sku"),
    "quantity": ("quantity",),
    "price": ("price",),
}
WORTH: Final = frozenset({"purchase", "refund", "checkout"})
"""Types whose price is a total where no line is given."""

Place: TypeAlias = tuple[str, ...]
"""The keys that lead to a value."""


class Untranslatable(ValueError):
    """A message that is no call of Segment's.

    Args:
        field: the key that is wrong.
        reason: what is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


class Table(NamedTuple):
    """`segment_events.yaml`, with its places taken apart."""

    events: Mapping[str, str]
    calls: Mapping[str, str]
    fields: Mapping[str, Sequence[Place]]
    totals: Sequence[Place]
    traits: Mapping[str, Sequence[Place]]


@lru_cache(maxsize=1)
def table() -> Table:
    """The table that ships with the product."""
    content = yaml.safe_load((Path(__file__).parent / "segment_events.yaml").read_text())
    return Table(
        {name.casefold(): kind for name, kind in content["events"].items()},
        content["calls"],
        {field: _places(places) for field, places in content["fields"].items()},
        _places(content["totals"]),
        {trait: _places(places) for trait, places in content["traits"].items()},
    )


def translate(call: str, message: Any, now: int, sent_at: Any = None) -> dict[str, Any]:
    """The event that a call is, as plain data that `events.parse` judges.

    Args:
        call: one of CALLS; empty: `type` of the message says which.
        message: the JSON of the call.
        now: when it was received, in microseconds.
        sent_at: when the batch around it was sent, by the sender's clock.

    Raises:
        Untranslatable: it is none of the calls.
    """
    if not isinstance(message, dict):
        raise Untranslatable("", "a message is a JSON object")
    call = call or message.get("type", "")
    if call not in CALLS:
        raise Untranslatable("type", f"type: must be one of {', '.join(CALLS)}")
    rows = table()
    name = message.get("event") if call == "track" else message.get("name")
    if call == "track" and not (isinstance(name, str) and name):
        raise Untranslatable("event", "event: is missing; track says what happened")
    kind = rows.events.get(" ".join(str(name).split()).casefold(), "custom") if call == "track" else rows.calls[call]
    found = {field: _first(message, places) for field, places in rows.fields.items()}
    event: dict[str, Any] = {
        "event_id": _event_id(call, message),
        "type": kind,
        "occurred_at": _occurred_at(message, now, message.get("sentAt") or sent_at),
        "user_id": _text(message.get("userId")),
        "anonymous_id": _text(message.get("anonymousId")),
    }
    event |= {field: _value(field, value) for field, value in found.items()}
    if event["price"] is None and not event["items"] and kind in WORTH:
        event["price"] = _amount(_first(message, rows.totals))
    if call in ("identify", "alias"):
        said = message.get("traits") or {}
        traits = {trait: _first(message, places) for trait, places in rows.traits.items()}
        event["traits"] = (said if isinstance(said, dict) else {"traits": said}) | _present(traits)
    event["properties"] = _properties(call, message, name)
    return _present(event)


def _properties(call: str, message: Mapping[str, Any], name: Any) -> dict[str, Any]:
    """All that is said, the call's own words beside its properties; nothing that came is left out."""
    said = message.get("properties")
    properties = dict(said) if isinstance(said, dict) else _present({"properties": said})
    if call == "track":
        properties["event"] = name
    elif call == "alias":
        previous = _text(message.get("previousId"))
        if not isinstance(previous, str):
            raise Untranslatable("previousId", "previousId: is missing; alias says which id is the same person's")
        properties["previous_id"] = previous
    elif call != "identify":
        properties["event"] = call
        properties |= _present({"name": name, "group_id": message.get("groupId")})
        properties |= _present({"group": message.get("traits")}) if call == "group" else {}
    return properties | _present({"context": message.get("context")})


def _event_id(call: str, message: Mapping[str, Any]) -> Any:
    """The sender's own, else one that a repeated delivery has again; what says no time at all is new each time."""
    if message.get("messageId"):
        return _text(message["messageId"])
    if _happened(message) is None:
        return str(uuid.uuid4())
    said = {key: value for key, value in message.items() if key != "sentAt"}
    return hashlib.sha256(call.encode() + msgspec.json.encode(said, order="deterministic")).hexdigest()[:40]


def _happened(message: Mapping[str, Any]) -> Any:
    return message.get("originalTimestamp") or message.get("timestamp")


def _occurred_at(message: Mapping[str, Any], now: int, sent_at: Any) -> int:
    """When it happened by our clock: as long before it was received as it was before it was sent by the sender's.

    `timestamp = receivedAt - (sentAt - originalTimestamp)`, as Segment's specification has it.
    """
    happened, sent = _moment(_happened(message), "timestamp"), _moment(sent_at, "sentAt")
    if happened is None:
        return now
    return happened if sent is None else now - max(0, sent - happened)


def _moment(said: Any, field: str) -> int | None:
    """A time as microseconds.

    Raises:
        Untranslatable: it is none.
    """
    if not said:
        return None
    try:
        return to_micros(said if isinstance(said, (int, float)) else msgspec.convert(said, datetime), field)
    except (ValueError, OverflowError):  # what msgspec raises is a ValueError
        raise Untranslatable(field, f"{field}: is no time; write it as ISO 8601 with its zone") from None


def _value(field: str, value: Any) -> Any:
    """A field as we write it; what cannot be read stays as it is, and is refused for what it is."""
    if field in IDS:
        return _text(value)
    if field in AMOUNTS:
        return _amount(value)
    if field == "currency" and isinstance(value, str):
        return value.upper()
    if field == "items" and isinstance(value, list):
        return [_line(each) for each in value]
    return value


def _line(product: Any) -> Any:
    if not isinstance(product, dict):
        return product
    return _present({field: _value(field, _first(product, _places(names))) for field, names in LINE.items()})


def _text(value: Any) -> Any:
    """An id; many senders write theirs as numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value or None


def _amount(value: Any) -> Any:
    """A number; many senders write theirs as text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value) if value.strip() else None
    except ValueError:
        return value


def _first(message: Mapping[str, Any], places: Iterable[Place]) -> Any:
    """The first value that is there."""
    for place in places:
        found: Any = message
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None and found != "":
            return found
    return None


def _places(written: Iterable[str]) -> tuple[Place, ...]:
    return tuple(tuple(place.split(".")) for place in written)


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
