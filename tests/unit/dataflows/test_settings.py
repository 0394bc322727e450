"""What can be set, and what is said to somebody who sets it wrongly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.settings import (
    SETTINGS,
    FlowSettings,
    SettingError,
    flow_settings,
    read_settings,
    split_query,
    with_query,
)


def test_without_a_word_every_setting_has_its_default() -> None:
    assert flow_settings({"PATH": "/bin", "inlay_port": "x"}) == FlowSettings(
        redis_url="redis://127.0.0.1:6379/0",
        stream_url="redis://127.0.0.1:6379/0?stream=events&partitions=8",
        dead_letters_url="redis://127.0.0.1:6379/0?stream=dead_letters",
        dead_letters_keep=100_000,
        dead_letters_age=2_592_000.0,
        dead_letters_bytes=268_435_456,
        derived_url="redis://127.0.0.1:6379/0?stream=derived&partitions=8",
        cart_idle=3600.0,
        partitions=(),
        rewind=60.0,
        max_skew=300.0,
        batch_events=40_000,
        batch_wait=0.2,
        state_cache=100_000,
        state_ttl=730.0,
        seen_events=131_072,
        lease=10.0,
        refused_run=10_000,
        refused_share=0.95,
        gate_ratio=0.2,
        gate_held=3,
        quarantine_keep=200_000,
        quarantine_age=2_592_000.0,
        quarantine_bytes=268_435_456,
        enrich=("campaign", "referrer", "device"),
        enrich_strict=(),
        stream_keep=86_400.0,
        lake_url="",
        lake_age=730.0,
        lake_wait=5.0,
        bridge_from="",
        bridge_map="",
        bridge_batch=2000,
        bridge_patience=300.0,
        schema_registry="",
        metrics_port=0,
    )


def test_every_setting_is_read_under_its_name() -> None:
    values = read_settings({})
    assert set(values) == {setting.name.removeprefix("INLAY_").lower() for setting in SETTINGS}
    assert set(FlowSettings.__struct_fields__) <= set(values)
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)
    assert all(setting.meaning for setting in SETTINGS)


def test_stream_and_dead_letters_lie_in_the_redis_that_was_named() -> None:
    settings = flow_settings({"INLAY_REDIS_URL": "rediss://user:secret@redis.example:6380/3"})
    assert settings.stream_url == "rediss://user:secret@redis.example:6380/3?stream=events&partitions=8"
    assert settings.dead_letters_url == "rediss://user:secret@redis.example:6380/3?stream=dead_letters"
    assert settings.derived_url == "rediss://user:secret@redis.example:6380/3?stream=derived&partitions=8"
    settings = flow_settings({"INLAY_STREAM_URL": "redis://other/1?stream=shop&partitions=2"})
    assert settings.stream_url == "redis://other/1?stream=shop&partitions=2"
    assert settings.dead_letters_url == "redis://127.0.0.1:6379/0?stream=dead_letters"


@pytest.mark.parametrize("name", ["INLAY_REDIS", "INLAY_", "INLAY_PARTITONS", "INLAY_port"])
def test_a_name_that_nobody_knows_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match=f"^{name} is no setting of Inlay"):
        read_settings({name: "1"})


NUMBERS = [setting.name for setting in SETTINGS if setting.read in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["many", "1,5", "0x10", "--1", "1 2"])
def test_what_is_no_number_is_refused_with_one_that_is(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}='{text}' is no number; write one such as "):
        read_settings({name: text})


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.read is float])
@pytest.mark.parametrize("text", ["-0.5", "inf", "nan", "-inf", "1e999"])
def test_a_number_out_of_range_is_refused(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=f"^{name}='{text}' is out of range; write a number such as "):
        read_settings({name: text})


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.read is int])
def test_a_count_is_whole_and_not_negative(name: str) -> None:
    for text in ("-1", "1.5"):
        with pytest.raises(SettingError, match=f"^{name}="):
            read_settings({name: text})
    assert read_settings({name: " 12 "})[name.removeprefix("INLAY_").lower()] == 12


def test_an_empty_text_is_the_default() -> None:
    assert read_settings({"INLAY_PORT": "", "INLAY_REWIND": "  "}) == read_settings({})


@pytest.mark.parametrize(
    ("text", "partitions"),
    [
        ("", ()),
        ("0", (0,)),
        ("0-3", (0, 1, 2, 3)),
        ("0,2", (0, 2)),
        ("5,0-2,1", (0, 1, 2, 5)),
        (" 0 - 1 , 7 ", (0, 1, 7)),
        ("3-3", (3,)),
    ],
)
def test_partitions_are_ranges_and_numbers(text: str, partitions: tuple[int, ...]) -> None:
    assert flow_settings({"INLAY_PARTITIONS": text}).partitions == partitions


@pytest.mark.parametrize("text", ["all", "-1", "1-2-3", "1..3", "0;1", "1.5"])
def test_partitions_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"^INLAY_PARTITIONS=.* names no partitions; write them as 0-3 or 0,2"):
        flow_settings({"INLAY_PARTITIONS": text})


@pytest.mark.parametrize("text", ["3-1", "1-", ","])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=f"^INLAY_PARTITIONS='{text}'"):
        flow_settings({"INLAY_PARTITIONS": text})


def test_digits_that_are_no_decimals_are_refused() -> None:
    try:
        flow_settings({"INLAY_PARTITIONS": "0-²"})
    except SettingError:
        return
    raise AssertionError("accepted")


@pytest.mark.parametrize(
    ("text", "on"), [("", False), ("1", True), ("true", True), ("ON", True), ("0", False), ("no", False)]
)
def test_a_switch_is_on_or_off(text: str, on: bool) -> None:
    assert read_settings({"INLAY_DEMO": text})["demo"] is on


def test_a_switch_that_is_neither_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^INLAY_DEMO="):
        read_settings({"INLAY_DEMO": "ture"})


def test_keys_are_words_between_commas() -> None:
    assert read_settings({"INLAY_API_KEYS": " one, two ,,three"})["api_keys"] == ("one", "two", "three")
    assert read_settings({})["api_keys"] == ()


@given(query=st.dictionaries(st.text("abcé&= ", min_size=1), st.text("xyz&=é", min_size=1), max_size=3))
def test_a_query_that_was_written_is_read_again(query: dict[str, str]) -> None:
    url: Any = with_query("redis://host:6379/0?old=1", **query)
    assert split_query(url) == ("redis://host:6379/0", query)


def test_users_are_not_forgotten_before_their_events_are_late() -> None:
    assert [read_settings({"INLAY_STATE_TTL": text})["state_ttl"] for text in ("", "0", "91")] == [730, 0, 91]
    for text in ("1", "90.9"):
        with pytest.raises(SettingError, match=f"^INLAY_STATE_TTL={text} is shorter than the longest window"):
            read_settings({"INLAY_STATE_TTL": text})
