"""Mappings: how the columns of somebody's file become the fields of an event, as a YAML of one line a field.

    type: event_type                                  # the column of that name
    event_id: {template: "shop-{row}"}                # text with {columns} in it; {row} counts from 0
    currency: {value: USD}                            # the same for every row
    type: {column: action, values: {buy: purchase}}   # a column, its words translated; others pass as they are
    properties.session: session_id                    # a key inside properties or traits

Without a mapping, columns are called as the fields are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import yaml

from dataflows.events import EVENT_TYPES, KNOWN_KEYS, to_micros

RowReader: TypeAlias = Callable[[Mapping[str, Any]], Any]
TEXTS: Final = frozenset(
    {
        "event_id", "type", "user_id", "anonymous_id", "item_id", "currency", "order_id", "query", "url", "country",
        "device", "campaign_id", "send_id", "layout", "block", "title", "image_url", "category", "brand",
    }
)  # fmt: skip
INSIDE: Final = ("properties", "traits")


class MappingError(ValueError):
    """A mapping that cannot be used; the message names the line and what to write."""


class Sparse(dict[str, Any]):
    """A row that leaves out what it has nothing to say of, as JSON does; a template needs all of its columns still."""

    def __missing__(self, column: str) -> None:
        return None


def load_mapping(path: Path) -> dict[str, RowReader]:
    """The mapping in a YAML file.

    Raises:
        MappingError: it is no YAML, or names a field or a way of reading that does not exist.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise MappingError(f"{path} is no YAML: {error}") from None
    if not isinstance(content, dict):
        raise MappingError(f"{path}: a mapping has a line `field: column` for each field")
    return {field: _reader(path, field, how) for field, how in content.items()}


def identity(columns: Iterable[str]) -> dict[str, RowReader]:
    """The mapping of a file whose columns are called as the fields are; others go to `properties`."""
    return {
        column if column in KNOWN_KEYS else f"properties.{column}": _column(column) for column in columns
    }  # fmt: skip


def apply_mapping(mapping: Mapping[str, RowReader], row: Mapping[str, Any]) -> dict[str, Any]:
    """The event of a row; fields without a value are left out.

    Raises:
        MappingError: the row lacks a column that the mapping names.
    """
    event: dict[str, Any] = {}
    for field, read in mapping.items():
        try:
            value = read(row)
        except KeyError as error:
            raise MappingError(
                f"{field} is mapped to {error}, which row {row.get('row', 0)} of the file has not"
            ) from None
        if value is None or value != value:  # NaN is how tables write "nothing"
            continue
        outer, _, inner = field.partition(".")
        if inner:
            event.setdefault(outer, {})[inner] = value
        else:
            event[field] = _text(value) if field in TEXTS else value
    return event


def settle_times(event: dict[str, Any]) -> dict[str, Any]:
    """The same event with its times as whole microseconds, those that can be read; others stay, to be refused."""
    for field in ("occurred_at", "added_at"):
        if field in event:
            event[field] = _micros(event[field], field)
    return event


def settle_numbers(event: dict[str, Any]) -> dict[str, Any]:
    """The same event with numbers and truths that came as text read; text that is none stays, to be refused."""
    for field in event.keys() & _READ_AS.keys():
        if isinstance(event[field], str):
            event[field] = _READ_AS[field](event[field])
    return event


def _number(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number if number - number == 0 else text


def _epoch(text: str) -> Any:
    """A time as a number of seconds or more; below a billion it may as well be a day such as 20160801."""
    number = _number(text)
    return number if isinstance(number, int | float) and number >= 1e9 else text


def _truth(text: str) -> Any:
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)


_READ_AS: Final[Mapping[str, Callable[[str], Any]]] = {
    "quantity": _number, "price": _number, "list_price": _number, "slot": _number, "in_stock": _truth,
    "occurred_at": _epoch, "added_at": _epoch,
}  # fmt: skip


def _micros(value: Any, field: str) -> Any:
    if isinstance(value, str):
        try:
            value = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            return value
    value = utc(value)
    try:
        return to_micros(value, field) if isinstance(value, datetime | float | int) else value
    except ValueError:
        return value


def _reader(path: Path, field: str, how: Any) -> RowReader:
    outer, _, inner = field.partition(".")
    if outer not in KNOWN_KEYS or (inner and outer not in INSIDE):
        raise MappingError(f"{path}: an event has no field {field!r}; put what is yours under properties.{field}")
    if isinstance(how, str):
        return _column(how)
    if isinstance(how, dict):
        if set(how) == {"value"}:
            if field == "type" and how["value"] not in EVENT_TYPES:
                raise MappingError(f"{path}: {how['value']!r} is no type of event")
            return lambda row: how["value"]
        if set(how) == {"template"}:
            return lambda row: str(how["template"]).format_map(dict(row))
        if set(how) == {"column", "values"}:
            return lambda row: how["values"].get(row[how["column"]], row[how["column"]])
    raise MappingError(f"{path}: {field}: write a column, or {{value: …}}, {{template: …}}, {{column: …, values: …}}")


def _column(name: str) -> RowReader:
    return lambda row: row[name]


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def utc(value: Any) -> Any:
    """A table's time: without a zone it is taken as UTC, as Parquet and CSV write it; a day is its midnight."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    return value
