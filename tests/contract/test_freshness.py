"""What is too old, or of a flow that stands still, is never served as fresh; over a real Redis, 10,000 cases."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final, NamedTuple

import pytest
import redis.asyncio

import api.features
from api.features import CAUGHT_UP_KEY, OnlineFeatures
from api.freshness import BEHIND, CaughtUp
from api.plans import BlockPlan, Layout
from api.snapshot import Snapshot, refresh
from dataflows import caught_up
from dataflows.events import DAY, MINUTE, SECOND, partition_of
from feature_repo import features as declared
from feature_repo.layout import ITEM, SCOPE, USER, EntityLayout
from tests.contract.redis_server import RedisServer
from tests.contract.silent import silent_server

NOW: Final = 1_779_010_200 * SECOND
CASES: Final = 10_000
PARTITIONS: Final = 8
LATE: Final = 5
"""The partition whose flow stands still."""
LIMIT: Final = {
    view.name: round(view.ttl.total_seconds()) * SECOND for view in (declared.user_items, declared.scope_popular)
}
OWN: Final = ("i1", "i2", "i3")
POPULAR: Final = ("i7", "i8", "i9")


class Case(NamedTuple):
    """A user of the store: how old each view is, in microseconds; None: there is none."""

    key: str
    activity: int | None
    items: int | None

    @property
    def stale(self) -> set[str]:
        """What is there, and too old or not to be trusted: written down apart from how the API finds it."""
        late = partition_of(self.key, PARTITIONS) == LATE
        views = {"user_activity": self.activity, "user_items": self.items}
        return {view for view, age in views.items() if age is not None and (late or age > 90 * DAY)}


def cases() -> list[Case]:
    chance = random.Random(16)
    ages = (0, MINUTE, 89 * DAY, 90 * DAY, 90 * DAY + 1, 91 * DAY, 400 * DAY, None)
    return [Case(f"u{number}", chance.choice(ages), chance.choice(ages)) for number in range(CASES)]


def row(layout: EntityLayout, key: str, at: int, **values: Any) -> bytes:
    return layout.hset(key, values, at)


@pytest.fixture
def filled(server: RedisServer) -> RedisServer:
    """The cases, a catalogue, and what is popular; the flow of one partition is a day behind."""
    commands = []
    for case in cases():
        if case.activity is not None:
            commands.append(row(USER, case.key, NOW - case.activity, views_1h=1))
        if case.items is not None:
            values = {"recent_items": [*OWN], "cart_items": ["i4"], "purchased_items": ["i9"], "top_categories": ["A"]}
            commands.append(row(USER, case.key, NOW - case.items, **values))
    for name in (*OWN, "i4", *POPULAR):
        seen = {"title": name, "url": "https://s/1", "image_url": "https://s/1.jpg", "price": 1.0, "category": "A"}
        commands.append(row(ITEM, name, NOW - 400 * DAY, **seen))
    commands.append(row(SCOPE, "all", NOW - DAY, items=[*POPULAR]))
    connection = server.client.connection_pool.get_connection()
    connection.send_packed_command([b"".join(commands)])
    for _ in commands:
        connection.read_response()
    server.client.connection_pool.release(connection)
    at = dict.fromkeys(range(PARTITIONS), NOW - MINUTE) | {LATE: NOW - BEHIND - 1}
    server.client.hset(CAUGHT_UP_KEY.format("people"), mapping={"of": PARTITIONS, **at})
    return server


def judged(server: RedisServer, cases_: list[Case]) -> tuple[int, list[Any]]:
    """How many cases were served as fresh and are not, and the answers that are not as they should be."""
    layout = Layout("short", (BlockPlan("recently_viewed", "Again", count=2, fallback=("trending",)),))

    async def ask() -> list[Any]:
        client = redis.asyncio.Redis.from_url(server.url, protocol=2)
        online = OnlineFeatures(client, lambda: NOW)
        snapshot = Snapshot()
        await refresh(snapshot, online)
        blocks = silent_server(client, online, snapshot, NOW / SECOND, {layout.name: layout})
        found = []
        for first in range(0, len(cases_), 50):
            some = cases_[first : first + 50]
            found += await asyncio.gather(*(blocks.answer(layout, case.key, None, ()) for case in some))
        await online.close()
        return found

    answers = asyncio.run(ask())
    wrong: list[Any] = []
    served_as_fresh = 0
    for case, answer in zip(cases_, answers, strict=True):
        fresh = case.items is not None and "user_items" not in case.stale
        personal = [block for block in answer.blocks if block.source in ("personal", "segment")]
        shown = [item.item_id for block in answer.blocks for item in block.items]
        served_as_fresh += bool(personal) and not fresh
        if (
            set(answer.stale) != case.stale
            or bool(personal) != fresh
            or (case.items is not None and "i9" in shown)  # bought: kept out however old that is
            or any(block.as_of is None for block in personal)
        ):
            wrong.append((case, answer))
    return served_as_fresh, wrong


def test_what_is_too_old_or_missing_is_never_served_as_fresh(filled: RedisServer) -> None:
    assert judged(filled, cases()) == (0, [])
    assert 0.3 < sum("user_items" in case.stale for case in cases()) / CASES < 0.7


@pytest.mark.parametrize("blind", ["age", "lag"])
def test_a_reader_that_looks_at_no_time_is_found(
    filled: RedisServer, monkeypatch: pytest.MonkeyPatch, blind: str
) -> None:
    if blind == "age":
        monkeypatch.setattr(api.features, "too_old", lambda *_: None)
    else:
        monkeypatch.setattr(CaughtUp, "is_behind", lambda *_: False)
    served_as_fresh, wrong = judged(filled, cases()[:300])
    assert served_as_fresh > 5
    assert len(wrong) >= served_as_fresh


def scopes(server: RedisServer, at: int, **how: bool) -> Any:
    async def read() -> Any:
        online = OnlineFeatures(redis.asyncio.Redis.from_url(server.url, protocol=2), lambda: at)
        found = await online.scopes(["all"], **how)
        await online.close()
        return found["all"]

    return asyncio.run(read())


def test_what_was_popular_too_long_ago_is_not_popular_and_stands_in_all_the_same(filled: RedisServer) -> None:
    limit = NOW - DAY + LIMIT["scope_popular"]
    assert list(scopes(filled, limit).items) == [*POPULAR]
    assert scopes(filled, limit).as_of == NOW - DAY
    assert scopes(filled, limit + 1).items == ()
    assert list(scopes(filled, limit + 1, however_old=True).items) == [*POPULAR]


def test_a_value_without_a_time_is_not_fresh(server: RedisServer) -> None:
    column = USER.columns["recent_items"]
    server.client.hset(USER.key("u"), column.field, column.encode(["i1"]))

    async def read() -> Any:
        online = OnlineFeatures(redis.asyncio.Redis.from_url(server.url, protocol=2), lambda: NOW)
        found = await online.user("u")
        await online.close()
        return found

    user = asyncio.run(read())
    assert (user.stale, list(user.recent_items), user.as_of) == (("user_items",), [], None)


def test_both_sides_mean_the_same_key() -> None:
    assert (caught_up.CAUGHT_UP_KEY, caught_up.PARTITIONS) == (CAUGHT_UP_KEY, "of")


def test_the_limit_is_that_of_the_view() -> None:
    assert USER.limits["user_items"] == LIMIT["user_items"] == 90 * DAY
