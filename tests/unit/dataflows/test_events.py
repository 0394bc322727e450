from __future__ import annotations

import json
import math
import zlib
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dataflows.events import (
    EVENT_TYPES,
    MAX_EVENT_BYTES,
    MAX_SKEW,
    MINUTE,
    SECOND,
    Event,
    Line,
    Refused,
    parse,
    partition_of,
    to_rfc3339,
)
from tests.given import ENCODABLE, NOW, an_event, events, raw, raw_events, rfc3339

DEEP = 15_000
"""Deeper than any Python lets the parser go, and still within the size of an event."""

BAD: list[tuple[str, bytes, str, str, str]] = [
    # name, bytes, kind, field, and what the reason says
    ("empty", b"", "format", "", "not JSON"),
    ("blank", b"  ", "format", "", "not JSON"),
    ("prose", b"hello", "format", "", "not JSON"),
    ("a CSV line", b"e1,view,2026-05-17", "format", "", "not JSON"),
    ("cut off", raw()[:-1], "format", "", "not JSON"),
    ("two events", raw() + raw(), "format", "", "not JSON"),
    ("single quotes", b"{'event_id': 'e1'}", "format", "", "not JSON"),
    ("an array", b"[" + raw() + b"]", "schema", "", "an event is a JSON object, this is `array`"),
    ("null", b"null", "schema", "", "an event is a JSON object, this is `null`"),
    ("a number", b"5", "schema", "", "an event is a JSON object, this is `int`"),
    ("a text", b'"view"', "schema", "", "an event is a JSON object, this is `str`"),
    ("no id", raw(event_id=None), "schema", "event_id", "event_id: is missing"),
    ("no type", raw(type=None), "schema", "type", "type: is missing"),
    ("no time", raw(occurred_at=None), "schema", "occurred_at", "occurred_at: is missing"),
    ("nobody's", raw(user_id=None), "schema", "user_id", "user_id: give user_id or anonymous_id"),
    ("nobody's, with a key of its own", raw(user_id=None, session=1),
     "schema", "user_id", "give user_id or anonymous_id"),
    ("an item without its id", raw(type="item"), "schema", "item_id", "item_id: an event of type item must say which"),
    ("an empty id", raw(event_id=""), "schema", "event_id", "event_id: must not be empty"),
    ("an id of 201", raw(user_id="u" * 201), "schema", "user_id", "user_id: is too long; the longest allowed is 200"),
    ("an id that is a number", raw(event_id=5), "schema", "event_id", "event_id: must be text, this is `int`"),
    ("an unknown type", raw(type="viewed"), "schema", "type", "type: is none of the known types: 'viewed'"),
    ("a type that names a field", raw(type="unknown field"), "schema", "type", "is none of the known types"),
    ("yesterday", raw(occurred_at="yesterday"), "time", "occurred_at", "occurred_at: "),
    ("no zone", raw(occurred_at="2026-05-17T09:30:00"), "time", "occurred_at", "occurred_at: the time has no zone"),
    ("a day alone", raw(occurred_at="2026-05-17"), "time", "occurred_at", "occurred_at: "),
    ("a time that is true", raw(occurred_at=True), "time", "occurred_at", "occurred_at: must be "),
    ("a time past all times", raw(occurred_at=1e300), "time", "occurred_at", "occurred_at: the number is no time"),
    ("nanoseconds", raw(occurred_at=NOW * 1000), "time", "occurred_at", "occurred_at: the number is no time"),
    ("no zone in added_at", raw(added_at="2026-05-17T09:30:00"), "time", "added_at", "added_at: the time has no zone"),
    ("5 min 1 s ahead", raw(occurred_at=NOW + 5 * MINUTE + SECOND), "time", "occurred_at", "5.0 minutes in the future"),
    ("a year ahead", raw(occurred_at="2027-05-17T09:30:00Z"), "time", "occurred_at", "525,600.0 minutes in the future"),
    ("NaN", b'{"event_id":"e1","type":"view","occurred_at":NaN,"user_id":"u1"}', "format", "", "not JSON"),
    ("a price of NaN", raw(price=math.nan), "format", "", "not JSON"),
    ("a price of Infinity", raw(price=math.inf), "format", "", "not JSON"),
    ("a quantity of 1e16", raw(quantity=1e16),
     "schema", "quantity", "quantity: is too large; the largest allowed is 1000000"),
    ("a quantity of 0", raw(quantity=0), "schema", "quantity", "quantity: must be more than 0"),
    ("a negative price", raw(price=-0.01), "schema", "price", "price: must not be negative"),
    ("a negative list price", raw(list_price=-1), "schema", "list_price", "list_price: must not be negative"),
    ("a price that is true", raw(price=True), "schema", "price", "price: must be "),
    ("a price in words", raw(price="5 EUR"), "schema", "price", "price: must be "),
    ("a quantity of a line", raw(items=[{"item_id": "a", "quantity": 1e16}]),
     "schema", "items[0].quantity", "too large"),
    ("a price of a line", raw(items=[{"item_id": "a"}, {"item_id": "b", "price": -1}]),
     "schema", "items[1].price", "negative"),
    ("items that are a text", raw(items="a,b"), "schema", "items", "items: must be "),
    ("a currency in small letters", raw(currency="eur"),
     "schema", "currency", "currency: must be an ISO 4217 code such as EUR"),
    ("traits that are a text", raw(traits="x"), "schema", "traits", "traits: must be a JSON object, this is `str`"),
    ("properties that are a list", raw(properties=[]), "schema", "properties", "properties: must be a JSON object"),
    ("properties that are a text, with a key of its own", raw(properties="x", session=1),
     "schema", "properties", "must be"),
    ("in stock in words", raw(in_stock="yes"), "schema", "in_stock", "in_stock: must be "),
    ("a long word", raw(device="d" * 201), "schema", "device", "device: is too long; the longest allowed is 200"),
    ("a text of 5000", raw(query="q" * 5000), "schema", "query", "query: is too long; the longest allowed is 4096"),
    ("40 KB of text", raw(query="q" * 40_960), "size", "", "bytes; an event may have 32,768: send less text in it"),
    ("2 MB", raw(properties={"page": "p" * 2_000_000}), "size", "", "2,000,"),
    ("raw NUL in an id", b'{"event_id":"e\x001","type":"view","occurred_at":1,"user_id":"u"}',
     "format", "", "not JSON"),
    ("raw NUL in traits", raw(traits={"a": "b"}).replace(b'"b"', b'"\x00"'), "format", "", "not JSON"),
    ("NUL in an id", raw(event_id="e\x001"), "format", "event_id", "event_id holds a control character (such as NUL)"),
    ("NUL in a user", raw(user_id="u\x00"), "format", "user_id", "user_id holds a control character"),
    ("a line break in an id", raw(item_id="a\nb"), "format", "item_id", "item_id holds a control character"),
    ("NUL in a text", raw(query="a\x00b"), "format", "query", "query holds a control character"),
    ("NUL in traits", raw(traits={"a": ["\x00"]}), "format", "traits", "traits holds a control character"),
    ("NUL in a key of properties", raw(properties={"a\x00": 1}), "format", "properties", "properties holds a control"),
    ("NUL in an unknown key", raw(**{"a\x00": 1}), "format", "properties", "properties holds a control character"),
    ("NUL in a line", raw(items=[{"item_id": "a"}, {"item_id": "b\x00"}]), "format", "items", "items holds a control"),
    ("half a surrogate pair", raw(query="\ud800"), "format", "", "not JSON: the text holds half of a surrogate pair"),
    ("the other half", raw(query="\udc00"), "format", "", "not JSON: "),
    ("half a pair as an id", raw(user_id="\udbff"), "format", "", "not JSON: the text holds half of a surrogate pair"),
    ("Latin-1", '{"event_id":"é"}'.encode("latin-1"), "format", "", "not JSON: "),
    ("UTF-16", raw().decode().encode("utf-16"), "format", "", "not JSON: "),
    ("a surrogate as UTF-8", raw(query="Q").replace(b"Q", b"\xed\xa0\x80"), "format", "", "not JSON: "),
    ("not UTF-8 in a text", raw(query="Q").replace(b"Q", b"\xff\xfe"), "format", "", "not JSON: "),
    ("nothing but brackets", b"[" * DEEP, "schema", "", "an event is a JSON object, this is `array`"),
    ("deep properties", raw(properties="P").replace(b'"P"', b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}"),
     "format", "", "nested too deeply"),
    ("a deep unknown key", raw(session="P").replace(b'"P"', b"[" * DEEP + b"]" * DEEP),
     "format", "", "nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "kind", "field", "reason"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_bytes_are_refused_with_kind_field_and_a_reason_that_a_person_can_read(
    content: bytes, kind: str, field: str, reason: str
) -> None:
    judged = parse(content, NOW)
    assert isinstance(judged, Refused)
    assert (judged.stage, judged.kind, judged.field) == ("validate", kind, field)
    assert reason in judged.reason
    assert judged.original == content
    assert len(judged.reason) < 400
    assert "$" not in judged.reason
    assert judged.reason.isprintable()


def test_no_two_rows_of_the_table_are_called_alike() -> None:
    assert len({row[0] for row in BAD}) == len(BAD)


@pytest.mark.parametrize(
    "content",
    [b'{"session":1', b'{"session":"\xff"}', b'{"session":"\\ud800"}', raw(session=1)[:-1], b'{"session":1]'],
)
def test_what_is_no_json_behind_an_unknown_key_is_refused(content: bytes) -> None:
    judged = parse(content, NOW)
    assert isinstance(judged, Refused)
    assert (judged.kind, judged.field) == ("format", "")
    assert judged.reason.startswith("not JSON: ")


def test_five_minutes_ahead_is_accepted_and_a_microsecond_more_is_not() -> None:
    assert isinstance(parse(raw(occurred_at=NOW + 5 * MINUTE), NOW), Event)
    judged = parse(raw(occurred_at=NOW + 5 * MINUTE + 1), NOW)
    assert isinstance(judged, Refused)
    assert MAX_SKEW == 5 * MINUTE


def test_how_far_ahead_may_be_set() -> None:
    assert isinstance(parse(raw(occurred_at=NOW + 1), NOW, max_skew=0), Refused)
    assert isinstance(parse(raw(occurred_at=NOW), NOW, max_skew=0), Event)


def test_a_refusal_names_the_stage_that_refused() -> None:
    judged = parse(b"", NOW, stage="collect")
    assert isinstance(judged, Refused)
    assert judged.stage == "collect"


def test_an_event_of_just_the_largest_size_is_accepted() -> None:
    empty = raw(properties={"page": ""})
    content = raw(properties={"page": "p" * (MAX_EVENT_BYTES - len(empty))})
    assert len(content) == MAX_EVENT_BYTES
    assert isinstance(parse(content, NOW), Event)
    assert isinstance(parse(content + b" ", NOW), Refused)


@pytest.mark.parametrize(
    "written",
    [
        NOW // SECOND, float(NOW // SECOND), NOW // 1000, NOW, "2026-05-17T09:30:00Z", "2026-05-17T09:30:00.000Z",
        "2026-05-17T11:30:00+02:00", "2026-05-17T04:00:00-05:30", "2026-05-17t09:30:00z", "2026-05-17 09:30:00Z",
    ],
)  # fmt: skip
def test_a_time_may_be_rfc_3339_or_epoch_seconds_milliseconds_or_microseconds(written: Any) -> None:
    judged = parse(raw(occurred_at=written, type="item", item_id="p1", added_at=written), NOW)
    assert isinstance(judged, Event)
    assert judged.at == judged.added_at == NOW
    assert isinstance(judged.at, int)


@given(micros=st.integers(0, NOW))
def test_a_time_with_a_zone_is_read_to_the_microsecond(micros: int) -> None:
    zone = timezone(timedelta(minutes=micros % 1680 - 840))
    judged = parse(raw(occurred_at=rfc3339(micros, zone)), NOW)
    assert isinstance(judged, Event)
    assert judged.at == micros


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, 0), (-1.5, -1_500_000), (99_999_999_999, "ahead"), (1e11, 100_000_000 * SECOND)]
)
def test_numbers_below_1e11_are_seconds(seconds: float, expected: int | str) -> None:
    judged = parse(raw(occurred_at=seconds), NOW)
    if expected == "ahead":
        assert isinstance(judged, Refused)
        assert judged.kind == "time"
    else:
        assert isinstance(judged, Event)
        assert judged.at == expected


def test_the_last_of_two_equal_keys_counts() -> None:
    judged = parse(b'{"event_id":"a","event_id":"b","type":"view","occurred_at":1,"user_id":"u","x":1,"x":2}', NOW)
    assert isinstance(judged, Event)
    assert (judged.event_id, judged.properties) == ("b", {"x": 2})


def test_unknown_keys_are_kept_in_properties() -> None:
    judged = parse(raw(session={"id": [1, None]}, utm_source="mail"), NOW)
    assert isinstance(judged, Event)
    assert judged == an_event(properties={"session": {"id": [1, None]}, "utm_source": "mail"})


def test_a_property_wins_over_an_unknown_key_of_its_name_and_the_others_stay() -> None:
    judged = parse(raw(session="outer", page=2, properties={"session": "inner", "colour": "red"}), NOW)
    assert isinstance(judged, Event)
    assert judged.properties == {"session": "inner", "page": 2, "colour": "red"}


@pytest.mark.parametrize("name", ["at", "key", "lines", "__class__", "Event_id", "event_id ", "properties.session"])
def test_an_unknown_key_shadows_nothing(name: str) -> None:
    judged = parse(raw(**{name: "shadow"}), NOW)
    assert judged == an_event(properties={name: "shadow"})


def test_null_properties_beside_an_unknown_key_are_none() -> None:
    judged = parse(raw(session=1)[:-1] + b',"properties":null}', NOW)
    assert judged == an_event(properties={"session": 1})


def test_unknown_keys_of_a_line_are_passed_over() -> None:
    judged = parse(raw(items=[{"item_id": "a", "colour": "red"}]), NOW)
    assert judged == an_event(items=(Line("a"),))


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_type_is_accepted(kind: str) -> None:
    judged = parse(raw(type=kind, item_id="p1"), NOW)
    assert isinstance(judged, Event)
    assert judged.type == kind


def test_an_item_belongs_to_nobody() -> None:
    judged = parse(raw(type="item", user_id=None, item_id="p1"), NOW)
    assert isinstance(judged, Event)
    assert judged.key == "p1"


def test_an_event_belongs_to_the_user_before_the_anonymous_visitor() -> None:
    assert an_event(anonymous_id="a1").key == "u1"
    assert an_event(user_id=None, anonymous_id="a1").key == "a1"


def test_an_event_is_about_its_items_or_else_its_item() -> None:
    both = an_event(item_id="a", quantity=2.0, price=5.0, items=(Line("b", 1.0),))
    assert both.lines() == (Line("b", 1.0),)
    assert an_event(item_id="a", quantity=2.0, price=5.0).lines() == (Line("a", 2.0, 5.0),)
    assert an_event().lines() == ()


def test_a_list_price_of_null_differs_from_none_given() -> None:
    given_up, not_said = parse(raw()[:-1] + b',"list_price":null}', NOW), parse(raw(), NOW)
    assert isinstance(given_up, Event)
    assert isinstance(not_said, Event)
    assert given_up.list_price is None
    assert not_said.list_price is not None


@given(content=st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_refusal_and_are_kept(content: bytes) -> None:
    check_any(content)


@given(content=raw_events())
@settings(phases=[Phase.generate])
def test_whatever_a_stream_may_hold_is_an_event_or_a_refusal(content: bytes) -> None:
    check_any(content)


@given(event=events())
def test_an_event_is_read_as_it_was_written(event: dict[str, Any]) -> None:
    judged = parse(json.dumps(event).encode(), NOW)
    assert isinstance(judged, Event), judged
    assert (judged.event_id, judged.type, judged.user_id) == (event["event_id"], event["type"], event["user_id"])
    assert len(judged.items) == len(event.get("items", ()))
    assert judged.properties == {
        **{key: event[key] for key in ("session", "Ünheard-of") if key in event}, **event.get("properties", {})
    }  # fmt: skip
    assert judged.traits == event.get("traits", {})
    assert isinstance(judged.at, int)
    assert judged.at <= NOW + MAX_SKEW


def check_any(content: bytes) -> None:
    judged = parse(content, NOW)
    if isinstance(judged, Event):
        assert judged.at <= NOW + MAX_SKEW
        assert judged.event_id
        assert judged.key
        return
    assert isinstance(judged, Refused)
    assert judged.original == content
    assert judged.reason
    assert judged.kind in ("format", "schema", "size", "time")


def test_an_id_is_judged_alike_whether_or_not_another_field_has_a_backslash() -> None:
    plain = parse(raw(item_id="a\u00a0b", query="?").replace(b"\\u00a0", b"\xc2\xa0"), NOW)
    beside = parse(raw(item_id="a\u00a0b", query="\\").replace(b"\\u00a0", b"\xc2\xa0"), NOW)
    assert type(plain) is type(beside)


def test_a_property_that_only_spells_an_escape_is_accepted() -> None:
    assert isinstance(parse(raw(properties={"regex": r"[^\u0000]"}), NOW), Event)


@pytest.mark.parametrize(
    ("key", "eight", "three"),
    [("u1", 6, 2), ("u2", 4, 0), ("", 0, 0), ("Zoë", 2, 2), ("anonymous-9f", 5, 1), ("🛒", 7, 1)],
)
def test_a_key_stays_in_its_partition_for_ever(key: str, eight: int, three: int) -> None:
    assert (partition_of(key, 8), partition_of(key, 3)) == (eight, three)


@given(key=st.text(st.characters(categories=ENCODABLE)), partitions=st.integers(1, 1024))
def test_the_partition_is_the_crc_of_the_key(key: str, partitions: int) -> None:
    assert partition_of(key, partitions) == zlib.crc32(key.encode()) % partitions


def test_a_moment_is_written_as_rfc_3339_in_utc_to_the_millisecond() -> None:
    assert to_rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert to_rfc3339(NOW) == "2026-05-17T09:30:00.000Z"
    assert to_rfc3339(NOW + 999_999) == "2026-05-17T09:30:00.999Z"


@given(micros=st.integers(0, 2 * NOW))
def test_a_moment_is_written_to_the_millisecond_below(micros: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=micros)
    assert to_rfc3339(micros) == f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
