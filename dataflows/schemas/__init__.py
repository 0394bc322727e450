"""The event as a JSON Schema and as an Avro schema, made from the vocabulary itself and kept in files beside this one.

What the schemas cannot say, and `dataflows.events.parse` does: an event may have 32 KiB; no text may hold NUL, however
deep; an id may hold nothing that is invisible; a time may not lie in the future. What Avro cannot say besides: lengths
and bounds; who an event needs to belong to; values of `traits` and `properties` that are lists or objects; and a
`list_price` that is taken back, since a field that holds nothing says nothing there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from dataflows.events import Event

FOLDER: Final = Path(__file__).parent
RELEASED: Final = FOLDER / "released"
NAMESPACE: Final = "inlay"
TIMES: Final = ("occurred_at", "added_at")
IDS: Final = frozenset({"event_id", "user_id", "anonymous_id", "item_id", "order_id"})
TIME: Final = (
    {"type": "string", "format": "date-time"},
    {"type": "number", "exclusiveMinimum": -1e17, "exclusiveMaximum": 1e17},
)
"""RFC 3339, or a number of seconds, milliseconds or microseconds since 1970."""
INVISIBLE: Final = "[\\u0000-\\u001f\\u007f-\\u009f]"
LEAST_INTEGER, GREATEST_INTEGER = -(2**63), 2**64 - 1


def json_schema() -> dict[str, Any]:
    """The event as JSON Schema, draft 2020-12."""
    found = msgspec.json.schema(Event)["$defs"]
    event, line = found["Event"], found["Line"]
    del event["additionalProperties"]  # unknown keys are kept
    for schema in (event, line):
        for name, field in schema["properties"].items():
            schema["properties"][name] = _in_words_of_json(name, field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:inlay:event",
        **event,
        "description": "One thing that happened in a shop, or in a mail of it.",
        "if": {"properties": {"type": {"const": "item"}}},
        "then": _given("item_id"),
        "else": {"anyOf": [_given("user_id"), _given("anonymous_id")]},
        "$defs": {"Line": line},
    }


def avro_schema() -> dict[str, Any]:
    """The event as an Avro record."""
    return _avro_record(inspect.type_info(Event))


FILES: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    "event.schema.json": json_schema,
    "event.avsc": avro_schema,
}


def as_text(schema: Mapping[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2) + "\n"


def read(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The schema in a file: that of now, or that of the last release in `RELEASED`."""
    schema: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return schema


def _given(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "string"}}}


def _in_words_of_json(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """What msgspec says of a field, and what the vocabulary says beyond that."""
    if name in TIMES:
        nothing = [each for each in field["anyOf"] if each == {"type": "null"}]
        return {**field, "anyOf": [*TIME, *nothing]}
    for each in field.get("anyOf", [field]):
        if each.get("type") == "string":
            each["not"] = {"pattern": INVISIBLE if name in IDS else "\\u0000"}
        elif each.get("type") == "integer":
            each |= {"minimum": LEAST_INTEGER, "maximum": GREATEST_INTEGER}
    return field


def _avro_record(info: inspect.Type) -> dict[str, Any]:
    assert isinstance(info, inspect.StructType)  # noqa: S101  # for the type checker: our own classes are structs
    fields = [_avro_field(field) for field in info.fields]
    return {"type": "record", "name": info.cls.__name__, "namespace": NAMESPACE, "fields": fields}


def _avro_field(field: inspect.Field) -> dict[str, Any]:
    kind = _avro_type(field.name, field.type)
    if field.required:
        return {"name": field.name, "type": kind}
    if isinstance(kind, dict) and kind["type"] in ("array", "map"):
        return {"name": field.name, "type": kind, "default": [] if kind["type"] == "array" else {}}
    return {"name": field.name, "type": ["null", kind], "default": None}


def _avro_type(name: str, info: inspect.Type) -> Any:
    """The Avro type of what a field holds when it holds something."""
    if name in TIMES:
        return {"type": "long", "logicalType": "timestamp-micros"}
    if isinstance(info, inspect.UnionType):
        nothing = (inspect.NoneType, inspect.Metadata)
        (something,) = [each for each in info.types if not isinstance(each, nothing)]
        return _avro_type(name, something)
    if isinstance(info, inspect.LiteralType):
        return {"type": "enum", "name": "EventType", "symbols": list(info.values)}
    if isinstance(info, inspect.VarTupleType):
        return {"type": "array", "items": _avro_record(info.item_type)}
    if isinstance(info, inspect.DictType):
        return {"type": "map", "values": ["null", "boolean", "long", "double", "string"]}
    return _SIMPLE[type(info)]


_SIMPLE: Final[Mapping[type, str]] = {
    inspect.StrType: "string",
    inspect.FloatType: "double",
    inspect.IntType: "long",
    inspect.BoolType: "boolean",
}
