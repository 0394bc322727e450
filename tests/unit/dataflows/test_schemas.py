"""The schemas say what the vocabulary says, are those in the files, and take what those of the last release took."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from typing import Any, Final

import fastavro
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from dataflows.avro_wire import AvroWire
from dataflows.events import DAY, MAX_EVENT_BYTES, Event, Refused, parse
from dataflows.schemas import FILES, RELEASED, as_text, avro_schema, json_schema, read
from dataflows.schemas.compatibility import avro_breaks, json_breaks
from tests.given import EVENT_FIELDS, NASTY, NOW, events, raw

Schema = dict[str, Any]
VALIDATOR: Final = Draft202012Validator(json_schema(), format_checker=FormatChecker())
AVRO: Final = fastavro.parse_schema(avro_schema())
FAR: Final = 10_000 * 365 * DAY
"""So far ahead may a time lie here: that it may not is beyond the schema."""
NEAR: Final[tuple[Any, ...]] = (
    *NASTY, "x" * 200, "x" * 4096, "x" * 4097, 1_000_000, 1_000_001, 1_000_000_000, 1_000_000_001, 0.5, -0.5, "EUR",
    "eur", "EURO", 1.0, True, "view", "nope", {"a": 1}, [{"item_id": "p1"}], [{"item_id": ""}], [{"quantity": 1}],
    [{"item_id": "p1", "quantity": 0}], [{"item_id": "p1", "more": 1}], 2**63, 2**64, -(2**63) - 1, 1e17, -1e17,
    "2026-05-17T09:30:00Z", "2026-05-17T09:30:00.123456+01:00", "2026-05-17", "a\tb", "e\u0301",
)  # fmt: skip


@st.composite
def nearly_events(draw: st.DrawFn) -> dict[str, Any]:
    """Events of which up to two fields are spoilt, or left out."""
    event = draw(events())
    for _ in range(draw(st.integers(0, 2))):
        field = draw(st.sampled_from(EVENT_FIELDS))
        if draw(st.integers(0, 3)) == 0:
            event.pop(field, None)
        else:
            event[field] = draw(st.sampled_from(NEAR))
    return event


def is_beyond_the_schema(event: Any, content: bytes) -> bool:
    """What `parse` refuses and the documentation of the schemas names."""
    ids = [event.get(name) for name in ("event_id", "user_id", "anonymous_id", "item_id", "order_id")]
    ids += [line.get("item_id") for line in event.get("items") or () if isinstance(line, dict)]
    invisible = any(isinstance(each, str) and not each.isprintable() for each in ids)
    return (
        invisible or len(content) > MAX_EVENT_BYTES or "\\u0000" in json.dumps(event) or "\\ud800" in content.decode()
    )


@given(event=nearly_events())
@example(event={"event_id": "e", "type": "item", "occurred_at": 1, "item_id": None})
@example(event={"event_id": "e", "type": "item", "occurred_at": 1, "user_id": "u"})
@example(event={"event_id": "e", "type": "view", "occurred_at": 1, "user_id": None, "anonymous_id": "a"})
def test_the_json_schema_takes_what_is_an_event_and_nothing_else(event: dict[str, Any]) -> None:
    content = json.dumps(event).encode()
    judged = parse(content, NOW, max_skew=FAR)
    if VALIDATOR.is_valid(event):
        assert isinstance(judged, Event) or is_beyond_the_schema(event, content), judged
    else:
        assert isinstance(judged, Refused), next(VALIDATOR.iter_errors(event)).message


def test_the_schemas_in_the_files_are_those_of_the_vocabulary() -> None:
    for name, make in FILES.items():
        assert as_text(read(name)) == as_text(make()), f"{name} is old: python -m dataflows.schemas"


def test_who_sends_by_the_last_release_is_still_understood() -> None:
    assert json_breaks(read("event.schema.json", RELEASED), read("event.schema.json")) == []
    assert avro_breaks(read("event.avsc", RELEASED), read("event.avsc")) == []


def field(schema: Schema, name: str) -> Schema:
    found: Schema = next(each for each in schema["fields"] if each["name"] == name)
    return found


def drop(schema: Schema, name: str) -> None:
    schema["fields"] = [each for each in schema["fields"] if each["name"] != name]


AVRO_MUTANTS: Final[dict[str, Callable[[Schema], object]]] = {
    "a field without a default": lambda s: s["fields"].append({"name": "new", "type": "string"}),
    "a field is gone": lambda s: drop(s, "price"),
    "a field is renamed": lambda s: field(s, "price").update(name="cost"),
    "a type is narrowed": lambda s: field(s, "price").update(type=["null", "long"]),
    "nothing is no longer taken": lambda s: field(s, "price").update(type="double"),
    "another type": lambda s: field(s, "event_id").update(type="long"),
    "a symbol is gone": lambda s: field(s, "type")["type"]["symbols"].remove("view"),
    "the record has another name": lambda s: s.update(name="Happening"),
    "the times are milliseconds": lambda s: field(s, "occurred_at")["type"].update(logicalType="timestamp-millis"),
    "lines are narrowed": lambda s: field(field(s, "items")["type"]["items"], "item_id").update(type="bytes_"),
    "traits hold text only": lambda s: field(s, "traits")["type"].update(values="string"),
    "a list is a map": lambda s: field(s, "items").update(type={"type": "map", "values": "string"}),
}
JSON_MUTANTS: Final[dict[str, Callable[[Schema], object]]] = {
    "one more is required": lambda s: s["required"].append("item_id"),
    "a line requires more": lambda s: s["$defs"]["Line"]["required"].append("price"),
    "a type is narrowed": lambda s: s["properties"]["price"]["anyOf"][0].update(type="integer"),
    "nothing is no longer taken": lambda s: s["properties"]["price"]["anyOf"].pop(),
    "a type of event is gone": lambda s: s["properties"]["type"]["enum"].remove("view"),
    "a text is shorter": lambda s: s["properties"]["event_id"].update(maxLength=100),
    "a text is longer at least": lambda s: s["properties"]["event_id"].update(minLength=2),
    "a number is bounded": lambda s: s["properties"]["quantity"]["anyOf"][0].update(maximum=1000),
    "a number is bounded below": lambda s: s["properties"]["price"]["anyOf"][0].update(minimum=1),
    "a pattern is another": lambda s: s["properties"]["currency"]["anyOf"][0].update(pattern="^EUR$"),
    "a pattern is new": lambda s: s["properties"]["event_id"].update(pattern="^[0-9]+$"),
    "unknown keys are refused": lambda s: s.update(additionalProperties=False),
    "a list holds something else": lambda s: s["properties"]["items"].update(items={"type": "string"}),
    "an object is text": lambda s: s["properties"]["traits"].update(type="string"),
    "times are numbers only": lambda s: s["properties"]["occurred_at"]["anyOf"].pop(0),
    "the owner is another": lambda s: s["else"]["anyOf"].pop(),
    "a constant": lambda s: s["properties"]["event_id"].update(const="e1"),
}


@pytest.mark.parametrize("mutant", AVRO_MUTANTS)
def test_a_change_that_breaks_old_records_is_found(mutant: str) -> None:
    changed = copy.deepcopy(avro_schema())
    AVRO_MUTANTS[mutant](changed)
    assert avro_breaks(avro_schema(), changed)


@pytest.mark.parametrize("mutant", JSON_MUTANTS)
def test_a_change_that_refuses_what_was_taken_is_found(mutant: str) -> None:
    changed = copy.deepcopy(json_schema())
    JSON_MUTANTS[mutant](changed)
    assert json_breaks(json_schema(), changed)


def test_a_change_that_only_adds_breaks_nothing() -> None:
    avro, plain = copy.deepcopy(avro_schema()), copy.deepcopy(json_schema())
    avro["fields"].append({"name": "new", "type": ["null", "string"], "default": None})
    field(avro, "type")["type"]["symbols"].append("new")
    field(avro, "slot")["type"].append("double")
    plain["properties"]["new"] = {"type": "string"}
    plain["properties"]["type"]["enum"].append("new")
    plain["properties"]["event_id"]["maxLength"] = 300
    plain["required"].remove("type")
    assert avro_breaks(avro_schema(), avro) == []
    assert json_breaks(json_schema(), plain) == []


@given(event=events())
def test_an_event_in_avro_is_the_event(event: dict[str, Any]) -> None:
    flat = {name: value for name, value in event.items() if value is not None and name in EVENT_FIELDS}
    for name in ("traits", "properties"):
        flat[name] = {
            key: value
            for key, value in flat.get(name, {}).items()
            if not isinstance(value, list | dict) and (type(value) is not int or abs(value) < 2**63)
        }
    content = json.dumps(flat).encode()
    expected = parse(content, NOW, max_skew=FAR)
    assert isinstance(expected, Event)
    written = io.BytesIO()
    record = {**msgspec.to_builtins(expected), "occurred_at": expected.at}
    fastavro.schemaless_writer(written, AVRO, record)
    wire = b"\x00\x00\x00\x00\x07" + written.getvalue()
    avro = AvroWire({7: as_text(avro_schema())}.get)
    refused = parse(wire, NOW)
    assert isinstance(refused, Refused)
    assert avro.judge(refused, NOW, FAR) == expected


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (b"\x00\x00\x00\x00\x09x", "nobody knows its schema 9"),
        (b"\x00\x00\x00\x00\x07", "no Avro record of schema 7"),
        (b"\x00\x00\x00\x00\x08\x02a", "schema 8 is of no record"),
        (b"\x00\x00\x00\x00\x06x", "schema 6 cannot be used"),
        (b"\x00\x00", "nobody knows its schema 0"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_with_its_bytes(wire: bytes, said: str) -> None:
    avro = AvroWire({6: "{", 7: as_text(avro_schema()), 8: '"string"'}.get)
    refused = parse(wire, NOW)
    assert isinstance(refused, Refused)
    judged = avro.judge(refused, NOW, FAR)
    assert isinstance(judged, Refused)
    assert said in judged.reason
    assert judged.original == wire


def test_what_is_refused_and_no_avro_stays_as_it_was() -> None:
    refused = parse(raw(type="nope"), NOW)
    assert isinstance(refused, Refused)
    assert AvroWire().judge(refused, NOW, FAR) is refused
