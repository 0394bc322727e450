"""Mappings: each way of reading a column, and what is said of one that cannot be used."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dataflows.events import KNOWN_KEYS
from dataflows.mapping import INSIDE, TEXTS, MappingError, apply_mapping, identity, load_mapping, utc

NAN = float("nan")


def mapped(tmp_path: Path, text: str, row: dict[str, Any]) -> dict[str, Any]:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    return apply_mapping(load_mapping(file), row)


def test_a_text_names_a_column(tmp_path: Path) -> None:
    assert mapped(tmp_path, "type: event_type\nprice: amount", {"event_type": "view", "amount": 2.5, "row": 0}) == {
        "type": "view", "price": 2.5,
    }  # fmt: skip


def test_a_template_has_columns_in_it_and_the_number_of_the_row(tmp_path: Path) -> None:
    row = {"visit": 9, "row": 41}
    assert mapped(tmp_path, "event_id: {template: 'shop-{visit}-{row}'}", row) == {"event_id": "shop-9-41"}


def test_a_value_is_the_same_for_every_row(tmp_path: Path) -> None:
    assert mapped(tmp_path, "currency: {value: USD}\nslot: {value: 3}\ntype: {value: view}", {}) == {
        "currency": "USD", "slot": 3, "type": "view",
    }  # fmt: skip


def test_words_of_a_column_are_translated_and_others_pass(tmp_path: Path) -> None:
    text = "type: {column: action, values: {buy: purchase, 2: click}}"
    found = [mapped(tmp_path, text, {"action": action})["type"] for action in ("buy", 2, "view")]
    assert found == ["purchase", "click", "view"]


def test_a_dot_puts_a_key_inside_properties_or_traits(tmp_path: Path) -> None:
    text = "properties.session: sid\nproperties.a.b: sid\ntraits.locale: {value: de}"
    assert mapped(tmp_path, text, {"sid": 7}) == {
        "properties": {"session": 7, "a.b": 7}, "traits": {"locale": "de"},
    }  # fmt: skip


def test_what_has_no_value_is_left_out(tmp_path: Path) -> None:
    row = {"a": None, "b": NAN, "c": "", "d": 0}
    assert mapped(tmp_path, "item_id: a\nprice: b\nquery: c\nslot: d\nproperties.x: b", row) == {"query": "", "slot": 0}


def test_ids_and_words_become_text_and_whole_numbers_lose_their_point(tmp_path: Path) -> None:
    row = {"a": 12, "b": 12.0, "c": 12.5, "d": True}
    assert mapped(tmp_path, "user_id: a\nitem_id: b\nquery: c\ndevice: d\nprice: b", row) == {
        "user_id": "12", "item_id": "12", "query": "12.5", "device": "True", "price": 12.0,
    }  # fmt: skip


def test_without_a_mapping_columns_are_called_as_the_fields_and_others_are_properties() -> None:
    row = {"event_id": 1, "type": "view", "session": 7, "row": 0}
    assert apply_mapping(identity(["event_id", "type", "session"]), row) == {
        "event_id": "1", "type": "view", "properties": {"session": 7},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a mapping has a line `field: column` for each field"),
        ("- a", "a mapping has a line `field: column` for each field"),
        ("colour: c", "an event has no field 'colour'; put what is yours under properties.colour"),
        ("user_id.x: c", "an event has no field 'user_id.x'"),
        ("type: {value: buy}", "'buy' is no type of event"),
        ("price: 5", "price: write a column, or {value: …}, {template: …}, {column: …, values: …}"),
        ("price: {default: 5}", "price: write a column"),
        ("price: {value: 5, column: c}", "price: write a column"),
        ("price: {column: c}", "price: write a column"),
        ("price: [c]", "price: write a column"),
        ("price:", "price: write a column"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_used_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(MappingError) as caught:
        load_mapping(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)


def test_fields_that_are_text_are_fields() -> None:
    assert KNOWN_KEYS >= TEXTS
    assert set(INSIDE) <= KNOWN_KEYS


def test_a_time_of_a_table_without_a_zone_is_utc_and_a_day_its_midnight() -> None:
    zone = timezone(timedelta(hours=2))
    assert utc(date(2026, 5, 17)) == datetime(2026, 5, 17, tzinfo=timezone.utc)
    assert utc(datetime(2026, 5, 17, 9)) == datetime(2026, 5, 17, 9, tzinfo=timezone.utc)  # noqa: DTZ001
    assert utc(datetime(2026, 5, 17, 9, tzinfo=zone)).utcoffset() == timedelta(hours=2)
    assert utc("2026-05-17") == "2026-05-17"
    assert utc(5) == 5
