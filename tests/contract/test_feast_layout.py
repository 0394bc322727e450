"""Feast's layout in Redis, held equal on both sides: what we write Feast reads, and what Feast writes we read.

Values are compared as they print, so that 0, 0.0, -0.0 and False are four values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest
from feast import FeatureStore, FeatureView
from feast.data_source import PushMode
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import NULL, Value, ValueType
from feast.types import Array, Bool, Bytes, Float64, Int64, String, UnixTimestamp
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import declared, features, wire
from feature_repo.layout import ITEM, LAYOUTS, PROJECT, SCOPE, USER, EntityLayout, UnreadableValue
from tests.contract.redis_server import RedisServer, write
from tests.given import written

AT = 1_779_010_200_123_456
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
WORDS = ["", "plain", "Ünï ☃ 日本 🛍", "a\x00b\r\n\t", "x" * 5000, "'\"\\{}", "null", "0"]

VALUES: Mapping[Any, list[Any]] = {
    Int64: [0, 1, -1, 1023, 1024, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)],
    Float64: [0.0, -0.0, 0.1, -16.99, 1e308, 5e-324, float("inf"), float("-inf"), 1.0],
    String: WORDS,
    Bool: [True, False],
    Bytes: [b"", b"\x00", b"\xff\xfe\x00", bytes(range(256)) * 20],
    UnixTimestamp: [0, 1, 1_779_010_200, -1, 4_102_444_800, -86_400 * 365],
    Array(String): [[], [""], ["one"], WORDS, [f"i{number}" for number in range(200)]],
    Array(Float64): [[], [0.0], [-0.5, 1e308, 0.1], [1.0] * 50],
    Array(Int64): [[], [0], [2**63 - 1, -(2**63), 0, -1]],
    Array(UnixTimestamp): [[], [0], [1_779_010_200, -1, 4_102_444_800]],
}
NASTY = [
    "u1", "", " ", "a b  c ", "é", "☃ 日本 🛍", "x" * 200, "🛍" * 200, "a\x00b", "a\nb", "inlay", "user_id",
    "category:A/B", "0", "*?[x]",
]  # fmt: skip

OF_VIEW: Mapping[str, EntityLayout] = {view: layout for layout in LAYOUTS.values() for view in layout.stamps}
ROUNDS = max(map(len, VALUES.values()))


def columns(view: str) -> dict[str, Any]:
    """The features of a view and their types."""
    return {each.name: features.TYPES[each.kind] for each in OF_VIEW[view].columns.values() if each.view == view}


def rows(view: str) -> dict[str, dict[str, Any]]:
    """By entity, rows that bring every value of every type to every feature."""
    types = columns(view)
    return {
        f"{NASTY[number]}-{view}": {
            name: VALUES[dtype][(number + place) % len(VALUES[dtype])]
            for place, (name, dtype) in enumerate(types.items())
        }
        for number in range(ROUNDS)
    }


def holes(view: str, *, times_too: bool = True) -> dict[str, dict[str, Any]]:
    """By entity, rows with nulls: in every other feature, in those between, in all."""
    types, row = columns(view), rows(view)[f"{NASTY[1]}-{view}"]
    nulls = {"odd": list(types)[::2], "even": list(types)[1::2], "all": list(types)}
    return {
        key: row | {name: None for name in names if times_too or types[name] != UnixTimestamp}
        for key, names in nulls.items()
    }


def told(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as they print."""
    return {name: repr(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    """A value of Feast's answer, with its times in seconds since 1970."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    return (value - EPOCH) // timedelta(seconds=1) if isinstance(value, datetime) else value


def read(server: RedisServer, layout: EntityLayout, key: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Read the whole of an entity."""
    found: Any = server.client.hgetall(layout.key(key))
    return layout.decode(found)


def ask_feast(
    store: FeatureStore, layout: EntityLayout, keys: Iterable[str], names: Iterable[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, int]]]:
    """By entity, the features of Feast's own answer, and the time (microseconds) of each of them."""
    keys = list(keys)
    answer = store.get_online_features(
        features=[f"{layout.columns[name].view}:{name}" for name in names],
        entity_rows=[{layout.join_key: key} for key in keys],
    )
    told_by_feast = answer.to_dict()
    places = {name: place for place, name in enumerate(answer.proto.metadata.feature_names.val)}
    assert told_by_feast.pop(layout.join_key) == keys
    values = {key: {name: plain(told_by_feast[name][row]) for name in told_by_feast} for row, key in enumerate(keys)}
    times = {
        key: {
            name: (stamp := answer.proto.results[places[name]].event_timestamps[row]).seconds * 1_000_000
            + round(stamp.nanos / 1000)
            for name in told_by_feast
        }
        for row, key in enumerate(keys)
    }
    return values, times


def frame(view: str, found: Mapping[str, Mapping[str, Any]], at: int = AT) -> pd.DataFrame:
    """Rows as somebody would push them to Feast: a data frame, times as times."""
    moment = pd.Timestamp(at, unit="us", tz="UTC")
    kinds = {Int64: "Int64", Float64: "Float64", Bool: "boolean", UnixTimestamp: "datetime64[us, UTC]"}
    table: dict[str, Any] = {OF_VIEW[view].join_key: list(found)}
    for name, dtype in columns(view).items():
        values = [row[name] for row in found.values()]
        if dtype == UnixTimestamp:
            values = [None if value is None else EPOCH + timedelta(seconds=value) for value in values]
        elif dtype == Array(UnixTimestamp):
            values = [value and [EPOCH + timedelta(seconds=each) for each in value] for value in values]
        table[name] = pd.Series(values, dtype=kinds.get(dtype, "object"))
    made: pd.DataFrame = pd.DataFrame({**table, "event_timestamp": moment, "created": moment})
    return made


class TestWriting:
    """What we write, Feast reads."""

    @pytest.mark.parametrize("view", OF_VIEW)
    def test_every_value_of_every_feature_of_a_view(self, store: FeatureStore, server: RedisServer, view: str) -> None:
        layout, written = OF_VIEW[view], rows(view) | holes(view)
        for key, row in written.items():
            write(server, layout, key, row)
        values, times = ask_feast(store, layout, written, columns(view))
        for key, row in written.items():
            assert told(values[key]) == told(row)
            assert set(times[key].values()) == {AT}

    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    def test_all_views_of_an_entity_at_once(
        self, store: FeatureStore, server: RedisServer, layout: EntityLayout
    ) -> None:
        row = {name: value for view in layout.stamps for name, value in rows(view)[f"{NASTY[3]}-{view}"].items()}
        write(server, layout, "whole", row)
        values, times = ask_feast(store, layout, ["whole"], layout.columns)
        assert told(values["whole"]) == told(row)
        assert set(times["whole"].values()) == {AT}

    @pytest.mark.parametrize("name", ["blocks_user", "blocks_item", "blocks_scope"])
    def test_a_feature_service_reads_it_too(self, store: FeatureStore, server: RedisServer, name: str) -> None:
        layout = LAYOUTS[name.removeprefix("blocks_")]
        types = {name: features.TYPES[column.kind] for name, column in layout.columns.items()}
        row = {name: VALUES[dtype][2 % len(VALUES[dtype])] for name, dtype in types.items()}
        write(server, layout, "e1", row)
        answer = store.get_online_features(
            features=store.get_feature_service(name), entity_rows=[{layout.join_key: "e1"}]
        ).to_dict()
        del answer[layout.join_key]
        assert len(answer) > 3
        assert told({name: plain(value) for name, (value,) in answer.items()}) == told(
            {name: row[name] for name in answer}
        )

    @pytest.mark.parametrize("key", NASTY)
    def test_an_entity_of_any_name(self, store: FeatureStore, server: RedisServer, key: str) -> None:
        for layout, name in ((USER, "first_name"), (ITEM, "title"), (SCOPE, "items")):
            value = [key] if layout is SCOPE else key
            write(server, layout, key, {name: value})
            assert ask_feast(store, layout, [key], [name])[0] == {key: {name: value}}

    def test_each_view_is_as_of_its_own_time(self, store: FeatureStore, server: RedisServer) -> None:
        write(server, USER, "u1", {"views_1h": 3, "cart_items": ["a"]}, AT)
        write(server, USER, "u1", {"cart_items": []}, AT + 1)
        values, times = ask_feast(store, USER, ["u1"], ["views_1h", "cart_items"])
        assert values == {"u1": {"views_1h": 3, "cart_items": []}}
        assert times == {"u1": {"views_1h": AT, "cart_items": AT + 1}}

    def test_what_is_not_written_again_stays(self, store: FeatureStore, server: RedisServer) -> None:
        write(server, USER, "u1", {"cart_items": ["a"], "recent_items": ["b"], "typical_price": 2.5})
        write(server, USER, "u1", {"cart_items": None, "typical_price": 0.0})
        values, _ = ask_feast(store, USER, ["u1"], ["cart_items", "recent_items", "typical_price"])
        assert told(values["u1"]) == told({"cart_items": None, "recent_items": ["b"], "typical_price": 0.0})

    @pytest.mark.parametrize("kept", [{"views_24h"}, {"views_24h", "clicks_24h", "carts_24h"}, {"views_1h", "segment"}])
    def test_what_is_kept_stays_and_its_view_is_of_the_new_time(
        self, store: FeatureStore, server: RedisServer, kept: set[str]
    ) -> None:
        names = [*(f"{kind}_{window}" for window in ("1h", "24h") for kind in ("views", "clicks", "carts")), "segment"]
        before, after = (
            {name: n for n, name in enumerate(names, first)} | {"segment": f"s{first}"} for first in (1, 50)
        )
        write(server, USER, "u1", before)
        write(server, USER, "u1", after, AT + 1, kept=frozenset(kept))
        values, times = ask_feast(store, USER, ["u1"], names)
        assert values["u1"] == {name: (before if name in kept else after)[name] for name in names}
        assert set(times["u1"].values()) == {AT + 1}

    @pytest.mark.parametrize("at", [0, 1, 999_999, 1_000_000, AT, 4_102_444_800_999_999])
    def test_a_time_is_kept_to_the_microsecond(self, store: FeatureStore, server: RedisServer, at: int) -> None:
        write(server, USER, "u1", {"views_1h": 1}, at)
        assert ask_feast(store, USER, ["u1"], ["views_1h"])[1] == {"u1": {"views_1h": at}}
        assert read(server, USER, "u1")[1] == {"user_activity": at}


WAYS: Mapping[str, Callable[[FeatureStore, str, pd.DataFrame], None]] = {
    "push": lambda store, view, table: store.push(f"{view}_push", table, to=PushMode.ONLINE),
    "write_to_online_store": lambda store, view, table: store.write_to_online_store(view, table),
}


class TestReading:
    """What Feast writes, we read; and it is byte for byte what we would have written."""

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("view", OF_VIEW)
    def test_every_value_of_every_feature_of_a_view(
        self, store: FeatureStore, server: RedisServer, view: str, way: str
    ) -> None:
        layout, whole = OF_VIEW[view], rows(view)
        holed = holes(view, times_too=False)  # how Feast writes a time that is missing has its own test
        WAYS[way](store, view, frame(view, whole))
        for key, row in list(holed.items()):  # by themselves: a null among integers makes Feast round the others
            if any(value is not None for value in row.values()):
                WAYS[way](store, view, frame(view, {key: row}))
            else:  # Feast does not write it
                del holed[key]
        for key, row in (whole | holed).items():
            values, times = read(server, layout, key)
            assert told(values) == told(row)
            assert times == {view: AT}
            found: Any = server.client.hgetall(layout.key(key))
            assert written(layout.hset(key, row, AT)) == (layout.key(key), found)

    def test_a_time_that_is_missing(self, store: FeatureStore, server: RedisServer) -> None:
        row = {**dict.fromkeys(columns("user_items")), "cart_items": ["a"]}
        store.push("user_items_push", frame("user_items", {"u1": row}), to=PushMode.ONLINE)
        assert ask_feast(store, USER, ["u1"], row)[0] == {"u1": row}
        assert read(server, USER, "u1")[0] == row

    @pytest.mark.parametrize("key", NASTY)
    def test_an_entity_of_any_name(self, store: FeatureStore, server: RedisServer, key: str) -> None:
        row = {"neighbours": [key], "neighbour_weights": [0.5]}
        store.push("item_neighbours_push", frame("item_neighbours", {key: row}), to=PushMode.ONLINE)
        assert read(server, ITEM, key) == (row, {"item_neighbours": AT})

    def test_a_push_over_what_we_wrote_counts_if_it_is_newer(self, store: FeatureStore, server: RedisServer) -> None:
        old, new = {"items": ["old"], "scores": [1.0]}, {"items": ["new"], "scores": [2.0]}
        write(server, SCOPE, "all", {**old, "bestsellers": ["b"]}, AT)
        for at, stands in ((AT - 1_000_000, old), (AT, old), (AT + 1_000_000, new)):
            store.push("scope_popular_push", frame("scope_popular", {"all": new}, at), to=PushMode.ONLINE)
            values, times = read(server, SCOPE, "all")
            assert values == {**stands, "bestsellers": ["b"]}
            assert times == {"scope_popular": max(at, AT), "scope_bestsellers": AT}

    def test_fields_that_are_not_ours_are_passed_over(self, server: RedisServer) -> None:
        write(server, USER, "u1", {"views_1h": 1})
        server.client.hset(USER.key("u1"), mapping={"_ts:user_mood": "x", "mood": "y", b"\xff\xfe\x00\x01": b"z"})
        assert read(server, USER, "u1") == ({"views_1h": 1}, {"user_activity": AT})

    def test_nothing_is_nothing(self, server: RedisServer) -> None:
        assert read(server, USER, "nobody") == ({}, {})

    @pytest.mark.parametrize("raw", [None, b"", Value().SerializeToString(), Value(null_val=NULL).SerializeToString()])
    def test_a_null_in_each_way_there_is(self, raw: bytes | None) -> None:
        assert ITEM.columns["title"].read(raw) is None


class TestNames:
    """Keys and hash fields are Feast's own."""

    @pytest.mark.parametrize("key", NASTY)
    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    def test_a_key(self, layout: EntityLayout, key: str) -> None:
        entity = EntityKey(join_keys=[layout.join_key], entity_values=[Value(string_val=key)])
        assert layout.key(key) == _redis_key(PROJECT, entity, entity_key_serialization_version=3)

    @given(st.text(max_size=200))
    def test_a_key_of_anything(self, key: str) -> None:
        entity = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=key)])
        assert USER.key(key) == _redis_key(PROJECT, entity, entity_key_serialization_version=3)

    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    def test_a_field_is_of_one_feature_alone(self, layout: EntityLayout) -> None:
        fields = layout.fields(layout.columns) + list(layout.stamps.values())
        assert len(set(fields)) == len(fields)
        for column in layout.columns.values():
            assert column.field == _mmh3(f"{column.view}:{column.name}")

    def test_every_view_that_is_declared_has_its_place(self) -> None:
        found = [each for each in vars(features).values() if isinstance(each, FeatureView)]
        assert {view.name: view.entities for view in found} == {
            view: [layout.entity] for view, layout in OF_VIEW.items()
        }
        for view in found:
            assert columns(view.name) == {field.name: field.dtype for field in view.features}
            assert OF_VIEW[view.name].limits[view.name] == view.ttl // timedelta(microseconds=1)
            assert [each.name for each in view.entity_columns] == [OF_VIEW[view.name].join_key]

    def test_the_project_is_that_of_the_configuration(self, store: FeatureStore) -> None:
        assert (store.config.project, store.config.entity_key_serialization_version) == (PROJECT, 3)

    def test_every_type_that_is_used_has_its_values_here(self) -> None:
        used = {features.TYPES[column.kind] for layout in LAYOUTS.values() for column in layout.columns.values()}
        assert used == VALUES.keys()


@pytest.mark.parametrize("name", wire.KINDS)
def test_a_field_of_value_is_feasts_own(name: str) -> None:
    """Its name, its number, its type, and those of the values in a list."""
    theirs, ours = Value.DESCRIPTOR.fields_by_name[name], wire.Value.DESCRIPTOR.fields_by_name[name]
    as_feast = FieldDescriptorProto.TYPE_INT32 if theirs.enum_type else theirs.type  # which is written alike
    assert (ours.number, ours.type, ours.containing_oneof.name) == (theirs.number, as_feast, "val")
    if theirs.message_type:
        (inside,), (inner,) = theirs.message_type.fields, ours.message_type.fields
        assert (inner.name, inner.number, inner.type) == (inside.name, inside.number, inside.type)
    assert wire.STRING == ValueType.STRING


def test_a_value_of_a_kind_that_nobody_declared_is_not_taken_for_none() -> None:
    with pytest.raises(UnreadableValue, match="item_catalogue:title holds something else where string_val belongs"):
        ITEM.columns["title"].read(Value(uuid_val="x").SerializeToString())


def entity(*views: tuple[str, ...]) -> declared.Entity:
    made = (declared.View(name, 1, "", dict.fromkeys(fields, declared.INT)) for name, *fields in views)
    return declared.USER._replace(views=tuple(made))


def test_two_features_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two views of user have a feature b; give one another name"):
        EntityLayout(entity(("one", "a", "b"), ("two", "b")))


def test_two_features_of_one_field_are_refused() -> None:
    with pytest.raises(ValueError, match="two features of user hash to one field; rename one of them"):
        EntityLayout(entity(("v", "f37660", "f43618")))


BY_TYPE: Mapping[str, st.SearchStrategy[Any]] = {
    "views_1h": st.integers(-(2**63), 2**63 - 1),
    "spend_30d": st.floats(),
    "first_name": st.text(),
    "email_allowed": st.booleans(),
    "state": st.binary(),
    "last_view_at": st.integers(-(2**62), 2**62),
    "recent_items": st.lists(st.text()),
    "top_category_weights": st.lists(st.floats()),
    "recent_at": st.lists(st.integers(-(2**62), 2**62)),
}


@given(st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in BY_TYPE.items()}))
def test_what_is_written_is_what_is_read(row: dict[str, Any]) -> None:
    _, fields = written(USER.hset("u1", row, AT))
    values, times = USER.decode(fields)
    assert told(values) == told(row)
    assert times == {USER.columns[name].view: AT for name in row}
