"""Audits: whatever damages what is online is found, and nothing is found where nothing is damaged."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
from feast import FeatureStore

from dataflows.connectors.lake_events import Arrived, to_table
from dataflows.events import DAY, HOUR, MINUTE, Event
from expectations.audits.auditing import Audit, audit
from expectations.audits.online import Online
from expectations.audits.recompute import Recompute
from expectations.audits.scopes import expected_scopes
from feature_repo.layout import ITEM, SCOPE, USER, EntityLayout
from tests.contract.redis_server import RedisServer
from tests.given import NOW, written

USERS: Final = 40
ITEMS: Final = tuple(f"p{number:02}" for number in range(12))
CATEGORIES: Final = ("Home/Lamps", "Home", "Toys")
KINDS: Final = (
    "view", "view", "view", "click", "add_to_cart", "add_to_cart", "remove_from_cart", "purchase", "add_to_wishlist",
    "email_open",
)  # fmt: skip
COUNTRIES: Final = ("FR", "de", None, "Europe")
AUDITED: Final = {entity.entity: entity for entity in (USER, ITEM, SCOPE)}


def a_shop() -> list[Arrived]:
    """A catalogue whose prices and stock change, and forty people over forty days, some of them now."""
    chance = random.Random(7)
    told: list[Event] = []
    for number, item in enumerate(ITEMS):
        for days, price, in_stock in ((80, 20.0, True), (50, 30.0, number % 4 != 0), (20, 25.0, number % 3 != 0)):
            told.append(Event(
                event_id=f"{item}-{days}", type="item", occurred_at=NOW - days * DAY, item_id=item,
                title=f"Thing {number}", url="https://shop.example/1", image_url="https://shop.example/1.png",
                price=price + number, currency="EUR", category=CATEGORIES[number % 3], in_stock=in_stock,
            ))  # fmt: skip
    for user in range(USERS):
        told.append(Event(
            event_id=f"{user}-hello", type="sign_up", occurred_at=NOW - 40 * DAY, user_id=f"u{user:02}", country="FR",
            traits={"first_name": f"Anna {user}", "email_allowed": True},
        ))  # fmt: skip
        for number in range(30):
            ago = chance.choice(
                (chance.randrange(50 * MINUTE), chance.randrange(20 * HOUR), chance.randrange(39 * DAY))
            )
            kind = chance.choice(KINDS)
            told.append(Event(
                event_id=f"{user}-{number}", type=kind, occurred_at=NOW - ago, user_id=f"u{user:02}",
                item_id=None if kind == "email_open" else chance.choice(ITEMS), quantity=1.0,
                country=COUNTRIES[number % 4],
                order_id=f"o{user}-{number}" if kind == "purchase" else None,
            ))  # fmt: skip
    told.sort(key=lambda event: event.at)
    return [Arrived(event, event.at, 0, number) for number, event in enumerate(told)]


class Remembered(Recompute):
    """Computes what it is asked once: the events stay the same, whatever happens online."""

    def __init__(self, lake: Any) -> None:
        super().__init__(lake)
        self._known: dict[str, Any] = {}

    def user_rows(self, users: Collection[str], now: int) -> Any:
        return deepcopy(
            self._once(f"users {sorted(users)} {now}", lambda: super(Remembered, self).user_rows(users, now))
        )

    def item_rows(self, items: Collection[str], now: int) -> Any:
        return deepcopy(self._once(f"items {now}", lambda: super(Remembered, self).item_rows(items, now)))

    def _once(self, asked: str, compute: Callable[[], Any]) -> Any:
        if asked not in self._known:
            self._known[asked] = compute()
        return self._known[asked]


class World:
    """The shop's lake, and what is online of it."""

    def __init__(self, server: RedisServer, store: FeatureStore) -> None:
        self.client = server.client
        arrived = a_shop()
        self.lake = Remembered(to_table(arrived))
        self.before = Recompute(to_table([each for each in arrived if each.event.at < NOW - HOUR]))
        self.online = Online(store, server.client)
        self.fill()

    def fill(self) -> None:
        """Put online what the events make."""
        self.client.flushall()
        users, newest = self.lake.user_rows(self.lake.users(), NOW)
        for user, row in users.items():
            self.write(USER, user, row, newest[user])
        stats, catalogue = self.lake.item_rows(ITEMS, NOW)
        for item in ITEMS:
            self.write(ITEM, item, stats[item] | catalogue[item], NOW)
        for scope, (scores, purchases) in expected_scopes(self.lake, NOW).items():
            best, sold = (sorted(each, key=lambda item: -each[item]) for each in (scores, purchases))
            row = {
                "items": best,
                "scores": [scores[item] for item in best],
                "bestsellers": sold,
                "bestseller_purchases": [purchases[item] for item in sold],
            }
            self.write(SCOPE, scope, row, NOW)

    def write(self, layout: EntityLayout, key: str, row: Mapping[str, Any], at: int) -> None:
        name, fields = written(layout.hset(key, row, at))
        self.client.hset(name, mapping=fields)

    def change(self, layout: EntityLayout, key: str, **values: Any) -> None:
        """Other values for some features of a row."""
        for name, value in values.items():
            column = layout.columns[name]
            self.client.hset(layout.key(key), column.field, column.encode(value))

    def row(self, key: str, layout: EntityLayout = USER) -> dict[str, Any]:
        return layout.decode(self.client.hgetall(layout.key(key)))[0]

    def whose(self, holds: Callable[[dict[str, Any]], bool]) -> str:
        """The first user whose row is such."""
        return next(user for user in sorted(self.lake.users()) if holds(self.row(user)))

    def audit(self) -> Audit:
        return audit(
            lambda: self.lake, self.online, users=1000, items=1000, chance=random.Random(1), clock=lambda: NOW,
            pause=lambda: None, looks=1,
        )  # fmt: skip


def _one_more(world: World) -> str:
    user = world.whose(lambda row: row["views_24h"] > 0)
    world.change(USER, user, views_24h=world.row(user)["views_24h"] + 1)
    return user


def _fell_too_late(world: World) -> str:
    user = world.whose(lambda row: row["views_24h"] > row["views_1h"])
    world.change(USER, user, views_1h=world.row(user)["views_24h"])
    return user


def _set(name: str, new: Callable[[Any], Any]) -> Callable[[World], str]:
    """A damage: another value of a feature that is not empty."""

    def damage(world: World) -> str:
        user = world.whose(lambda row: bool(row[name]) and new(row[name]) != row[name])
        world.change(USER, user, **{name: new(world.row(user)[name])})
        return user

    return damage


def _of_item(name: str, new: Callable[[Any], Any]) -> Callable[[World], str]:
    def damage(world: World) -> str:
        item = next(item for item in ITEMS if (now := world.row(item, ITEM)[name]) is not None and new(now) != now)
        world.change(ITEM, item, **{name: new(world.row(item, ITEM)[name])})
        return item

    return damage


def _row_lost(world: World) -> str:
    world.client.delete(USER.key("u03"))
    return "u03"


def _row_of_nobody(world: World) -> str:
    world.write(USER, "nobody", world.row("u04"), NOW)
    return "nobody"


def _rows_swapped(world: World) -> str:
    one, other = world.client.hgetall(USER.key("u05")), world.client.hgetall(USER.key("u06"))
    world.client.hset(USER.key("u05"), mapping=other)
    world.client.hset(USER.key("u06"), mapping=one)
    return "u05"


def _old_row(world: World) -> str:
    rows, newest = world.before.user_rows(["u07"], NOW - HOUR)
    world.client.delete(USER.key("u07"))
    world.write(USER, "u07", rows["u07"], newest["u07"])
    return "u07"


def _feature_lost(world: World) -> str:
    user = world.whose(lambda row: bool(row["recent_items"]))
    world.client.hdel(USER.key(user), USER.columns["recent_items"].field)
    return user


def _item_lost(world: World) -> str:
    world.client.delete(ITEM.key("p02"))
    return "p02"


def _scores_mixed_up(world: World) -> str:
    world.change(SCOPE, "all", scores=world.row("all", SCOPE)["scores"][::-1])
    return "all"


def _scope_lost_its_best(world: World) -> str:
    row = world.row("all", SCOPE)
    world.change(SCOPE, "all", items=row["items"][1:], scores=row["scores"][1:])
    return "all"


def _day_that_did_not_fall(world: World) -> str:
    row = world.row("country:FR", SCOPE)
    world.change(SCOPE, "country:FR", scores=[2 * score for score in row["scores"]])
    return "country:FR"


def _purchases_counted_twice(world: World) -> str:
    row = world.row("category:Home", SCOPE)
    world.change(SCOPE, "category:Home", bestseller_purchases=[2 * each for each in row["bestseller_purchases"]])
    return "category:Home"


def _country_lost(world: World) -> str:
    world.client.delete(SCOPE.key("country:FR"))
    return "country:FR"


DAMAGES: Final[dict[str, tuple[str, Callable[[World], str]]]] = {
    "an event counted twice": ("mismatch", _one_more),
    "a window that did not fall": ("mismatch", _fell_too_late),
    "money counted twice": ("mismatch", _set("spend_30d", lambda spent: 2 * spent)),
    "money that is no number": ("mismatch", _set("spend_90d", lambda _: math.nan)),
    "an order lost": ("mismatch", _set("orders_90d", lambda orders: orders - 1)),
    "a moment of another time zone": ("mismatch", _set("last_view_at", lambda at: at - 3600)),
    "a first moment lost": ("mismatch", _set("first_seen_at", lambda at: at + 86_400)),
    "the order of items turned round": ("mismatch", _set("recent_items", lambda items: items[::-1])),
    "a viewed item lost": ("mismatch", _set("recent_items", lambda items: items[:-1])),
    "a cart emptied": ("mismatch", _set("cart_items", lambda _: [])),
    "an item put into a cart by nobody": ("mismatch", _set("cart_items", lambda items: [*items, "p99"])),
    "a purchase forgotten": ("mismatch", _set("purchased_items", lambda items: items[1:])),
    "somebody else's wish": ("mismatch", _set("wishlist_items", lambda items: ["p98", *items])),
    "a price in cents": ("mismatch", _set("typical_price", lambda price: 100 * price)),
    "a category renamed": ("mismatch", _set("top_categories", lambda names: [name.upper() for name in names])),
    "a consent turned round": ("mismatch", _set("email_allowed", lambda allowed: not allowed)),
    "another country": ("mismatch", _set("country", lambda _: "DE")),
    "somebody's name mixed up": ("mismatch", _set("first_name", lambda _: "Bob")),
    "a life cycle that stood still": ("mismatch", _set("lifecycle", lambda _: "lapsed")),
    "a row lost": ("missing", _row_lost),
    "a row that nobody made": ("extra", _row_of_nobody),
    "two rows swapped": ("mismatch", _rows_swapped),
    "an old row come back": ("stale", _old_row),
    "a feature lost": ("mismatch", _feature_lost),
    "an item's price in cents": ("mismatch", _of_item("price", lambda price: 100 * price)),
    "an item back in stock that is not": ("mismatch", _of_item("in_stock", lambda stocked: not stocked)),
    "an item's title cut": ("mismatch", _of_item("title", lambda title: title[:-1])),
    "a price that never fell": ("mismatch", _of_item("price_dropped_at", lambda at: at + 60)),
    "a trend of yesterday": ("mismatch", _of_item("trend", lambda trend: trend / 2)),
    "an item lost": ("missing", _item_lost),
    "scores mixed up": ("mismatch", _scores_mixed_up),
    "the most popular item lost": ("mismatch", _scope_lost_its_best),
    "a day of a country that did not fall": ("mismatch", _day_that_did_not_fall),
    "bestsellers counted twice": ("mismatch", _purchases_counted_twice),
    "a country lost": ("missing", _country_lost),
}
"""By what happened, the kind of finding it must be, and what does it; that returns what was damaged."""


@pytest.fixture(scope="module")
def shop(running_redis: RedisServer, store: FeatureStore) -> Iterator[World]:
    running_redis.client.flushall()
    yield World(running_redis, store)
    running_redis.client.flushall()


def test_nothing_is_found_where_all_is_well(shop: World) -> None:
    shop.fill()
    found = shop.audit()
    assert found.findings == []
    assert found.compared == {"user": USERS, "item": len(ITEMS)}
    assert found.fields > USERS * 50
    assert not found.unjudged


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found(shop: World, name: str) -> None:
    kind, damage = DAMAGES[name]
    shop.fill()
    damaged = damage(shop)
    assert (kind, damaged) in {(each.kind, each.key) for each in shop.audit().findings}


def test_the_page_tells_what_is_found() -> None:
    page = (Path(__file__).parents[2] / "docs" / "audits.md").read_text()
    told = dict(re.findall(r"^\| ([a-z' ]+?) \| `(\w+)` \|$", page.split("## What it finds")[1], re.MULTILINE))
    assert told == {name: kind for name, (kind, _) in DAMAGES.items()}
