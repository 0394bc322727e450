"""The reader of online features over a real Redis: equal to Feast's own answer, and harmless when Redis is not well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import pandas as pd
import pytest
import redis
import redis.asyncio
from feast import FeatureStore
from feast.data_source import PushMode

from api.features import OnlineFeatures
from api.known import CatalogueRow, ScopeFeatures, UserFeatures
from feature_repo.layout import ITEM, SCOPE, USER, EntityLayout
from tests.contract.redis_server import RedisServer, write

T = TypeVar("T")
AT = 1_779_010_200_123_456
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NASTY = ["u1", " a b ", "é ☃ 日本", "x" * 200, "a\x00b", "category:A/B"]

USER_ROWS: dict[str, dict[str, Any]] = {
    "whole": {
        "recent_items": ["p2", "p1"], "recent_at": [1_779_010_200, 0], "cart_items": ["p3"], "cart_updated_at": 5,
        "wishlist_items": ["é"], "purchased_items": ["p9"], "top_categories": ["A/B", "C"],
        "top_category_weights": [1.0, 0.25], "typical_price": 19.99, "country": "FR", "locale": "fr-FR",
        "timezone": "Europe/Paris", "first_name": "Zoë", "email_allowed": False, "profile_allowed": True,
        "views_1h": 0, "views_30d": 2**53 + 1, "spend_30d": -12.5, "last_view_at": 1_779_010_200,
        "rfm_recency": 5, "rfm_frequency": 1, "rfm_monetary": 3, "segment": "new_customers", "lifecycle": "new",
    },
    "empty": {"recent_items": [], "cart_items": [], "purchased_items": [], "top_categories": [], "first_name": ""},
    "nulls": dict.fromkeys(("recent_items", "cart_items", "purchased_items", "country", "views_1h", "typical_price")),
    "told nothing but a name": {"first_name": "Ada"},
    "counted only": {"views_1h": 3},
}  # fmt: skip
ITEM_ROWS: dict[str, dict[str, Any]] = {
    "whole": {
        "title": "Lamp ☃", "url": "https://shop.example/p?a=1&b=2", "image_url": "https://shop.example/i", "price": 0.0,
        "list_price": 12.5, "currency": "EUR", "category": "A/B", "brand": "Ours", "in_stock": True,
        "added_at": 1_700_000_000, "neighbours": ["p1", "é"], "neighbour_weights": [0.75, 0.5], "trend": 1.5,
        "views_1h": 7,
    },
    "sold out": {"title": "", "price": 1e9, "in_stock": False, "neighbours": [], "neighbour_weights": []},
    "nulls": dict.fromkeys(("title", "price", "in_stock", "added_at", "neighbours", "neighbour_weights")),
    "counted only": {"views_1h": 1},
}  # fmt: skip
SCOPE_ROWS: dict[str, dict[str, Any]] = {
    "all": {"items": ["p1", "p2"], "scores": [2.0, 1.0], "bestsellers": ["p3"], "bestseller_purchases": [4]},
    "category:Été/B": {"items": [], "scores": [], "bestsellers": ["p1"], "bestseller_purchases": [1]},
    "country:FR": {"items": ["p1"], "scores": [0.5]},
    "nulls": {"items": None, "bestsellers": None},
}


def reading(server: RedisServer, ask: Callable[[OnlineFeatures], Awaitable[T]]) -> T:
    """Ask the reader, over a connection that has time."""

    async def read() -> T:
        features = OnlineFeatures(redis.asyncio.Redis.from_url(server.url, protocol=2), lambda: AT)
        try:
            return await ask(features)
        finally:
            await features.close()

    return asyncio.run(read())


def ask_feast(store: FeatureStore, layout: EntityLayout, keys: list[str]) -> dict[str, dict[str, Any]]:
    """By entity, every feature but the states in Feast's own answer, with times in seconds since 1970."""
    names = [name for name in layout.columns if name != "state"]
    answer = store.get_online_features(
        features=[f"{layout.columns[name].view}:{name}" for name in names],
        entity_rows=[{layout.join_key: key} for key in keys],
    ).to_dict()
    return {key: {name: plain(answer[name][row]) for name in names} for row, key in enumerate(keys)}


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(each) for each in value]
    return (value - EPOCH) // timedelta(seconds=1) if isinstance(value, datetime) else value


def known(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some features, without those that are missing."""
    return {name: found[name] for name in names if found[name] is not None}


class TestEqualToFeast:
    """Each reading against `FeatureStore.get_online_features` for the same entities."""

    def test_users(self, store: FeatureStore, server: RedisServer) -> None:
        for key, row in USER_ROWS.items():
            write(server, USER, key, row)
        told = ask_feast(store, USER, [*USER_ROWS, "nobody"])
        for key, found in told.items():
            user = reading(server, lambda features, key=key: features.user(key))  # type: ignore[misc]
            names = ("recent_items", "cart_items", "purchased_items", "wishlist_items", "top_categories")
            assert user == UserFeatures(
                **known(found, *names, "country", "locale", "first_name", "profile_allowed"),
                as_of=AT if key in ("whole", "empty", "nulls", "counted only") else None,
            )
        assert told["whole"]["recent_items"] == ["p2", "p1"]

    def test_of_who_withholds_consent_blocks_are_told_next_to_nothing(self, server: RedisServer) -> None:
        for consent in (False, True):
            write(server, USER, "u1", {**USER_ROWS["whole"], "profile_allowed": consent}, AT + consent)
            user = reading(server, lambda features: features.user("u1"))
            many = reading(server, lambda features: features.users_of(["u1"]))
            assert many == {"u1": user}
            withheld = UserFeatures(
                country=user.country, locale=user.locale, profile_allowed=False, purchased_items=user.purchased_items
            )
            assert (user == withheld) is not consent

    def test_everything_of_a_user(self, store: FeatureStore, server: RedisServer) -> None:
        for key, row in USER_ROWS.items():
            write(server, USER, key, {**row, "state": b"\x01"})
        told = ask_feast(store, USER, list(USER_ROWS))
        for key, found in told.items():
            views, times = reading(server, lambda features, key=key: features.everything(key))  # type: ignore[misc]
            read = {name: value for view in views.values() for name, value in view.items()}
            assert read.keys() == USER_ROWS[key].keys()
            assert {name: repr(value) for name, value in read.items()} == {name: repr(found[name]) for name in read}
            assert all(USER.columns[name].view == view for view, values in views.items() for name in values)
            assert times == dict.fromkeys(views, AT)

    def test_items(self, store: FeatureStore, server: RedisServer) -> None:
        for key, row in ITEM_ROWS.items():
            write(server, ITEM, key, row)
        keys = [*ITEM_ROWS, "nothing"]
        told = ask_feast(store, ITEM, keys)
        assert reading(server, lambda features: features.catalogue(keys)) == {
            key: CatalogueRow(**{name: found[name] for name in CatalogueRow.__struct_fields__})
            for key, found in told.items()
        }
        assert reading(server, lambda features: features.neighbours(keys)) == {
            key: dict(zip(found["neighbours"] or (), found["neighbour_weights"] or (), strict=True))
            for key, found in told.items()
        }
        assert told["whole"]["neighbours"] == ["p1", "é"]

    def test_scopes(self, store: FeatureStore, server: RedisServer) -> None:
        for key, row in SCOPE_ROWS.items():
            write(server, SCOPE, key, row)
        keys = [*SCOPE_ROWS, "nowhere"]
        told = ask_feast(store, SCOPE, keys)
        assert reading(server, lambda features: features.scopes(keys)) == {
            key: ScopeFeatures(found["items"] or (), found["bestsellers"] or (), None if key == "nowhere" else AT)
            for key, found in told.items()
        }
        assert told["all"]["bestsellers"] == ["p3"]

    @pytest.mark.parametrize("key", NASTY)
    def test_entities_of_any_name_that_feast_wrote(self, store: FeatureStore, server: RedisServer, key: str) -> None:
        moment = pd.Timestamp(AT, unit="us", tz="UTC")
        times = {"event_timestamp": [moment], "created": [moment]}
        popular = pd.DataFrame({"scope": [key], "items": [["a", key]], "scores": [[2.0, 1.0]], **times})
        store.push("scope_popular_push", popular, to=PushMode.ONLINE)
        near = pd.DataFrame({"item_id": [key], "neighbours": [[key]], "neighbour_weights": [[0.5]], **times})
        store.write_to_online_store("item_neighbours", near)
        profile: dict[str, Any] = {"country": "FR", "first_name": key, "email_allowed": False, "profile_allowed": True}
        profile |= {"locale": None, "timezone": None}
        table = pd.DataFrame({"user_id": [key], **{name: [value] for name, value in profile.items()}, **times})
        store.push("user_profile_push", table, to=PushMode.ONLINE)
        assert reading(server, lambda features: features.scopes([key])) == {key: ScopeFeatures(["a", key], (), AT)}
        assert reading(server, lambda features: features.neighbours([key])) == {key: {key: 0.5}}
        assert reading(server, lambda features: features.user(key)) == UserFeatures(
            country="FR", first_name=key, profile_allowed=True
        )
        assert reading(server, lambda features: features.everything(key)) == (
            {"user_profile": profile}, {"user_profile": AT},
        )  # fmt: skip


class TestMissing:
    """What was never written is missing, and no error."""

    def test_somebody_never_seen(self, server: RedisServer) -> None:
        assert reading(server, lambda features: features.user("nobody")) == UserFeatures()
        assert reading(server, lambda features: features.everything("nobody")) == ({}, {})

    def test_items_and_scopes_never_seen(self, server: RedisServer) -> None:
        assert reading(server, lambda features: features.catalogue(["a", "b"])) == dict.fromkeys("ab", CatalogueRow())
        assert reading(server, lambda features: features.neighbours(["a"])) == {"a": {}}
        assert reading(server, lambda features: features.scopes(["a"])) == {"a": ScopeFeatures()}

    def test_nothing_is_asked_for_nothing(self) -> None:
        class Nobody:
            """A client that nobody may call."""

        features = OnlineFeatures(Nobody())
        for ask in (features.catalogue, features.neighbours, features.scopes):
            assert asyncio.run(ask([])) == {}

    def test_a_user_is_as_of_the_newest_of_their_views(self, server: RedisServer) -> None:
        write(server, USER, "u1", {"views_1h": 1}, AT)
        write(server, USER, "u1", {"cart_items": []}, AT + 7)
        write(server, USER, "u1", {"first_name": "Ada"}, AT + 100)
        assert reading(server, lambda features: features.user("u1")).as_of == AT + 7

    def test_a_state_is_never_shown(self, server: RedisServer) -> None:
        write(server, USER, "u1", {"state": b"secret"})
        assert reading(server, lambda features: features.everything("u1")) == ({}, {})


# The failures. A shop of twenty items, each user with a cart of their own; the real reader with its real limits.


def test_many_users_are_read_as_each_alone_but_for_one_that_holds_something_else(server: RedisServer) -> None:
    for user_id in NASTY:
        write(server, USER, user_id, USER_ROWS["whole"])
    server.client.rpush(USER.key("broken"), "no hash")
    people = [*NASTY, "nobody", "broken"]
    together = reading(server, lambda features: features.users_of(people))
    assert list(together) == people[:-1]
    for user_id in people[:-1]:
        assert together[user_id] == reading(server, lambda features, of=user_id: features.user(of))  # type: ignore[misc]
