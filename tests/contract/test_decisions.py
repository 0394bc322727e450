"""Decisions in a real Redis: the first one stands whoever asks at once, and nothing is kept for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from api.answer import Answer, Block, Item, Source
from api.decisions import MOST, MOST_REMEMBERED, REMEMBERED_SECONDS, Decisions, Mail, pack, unpack
from api.render import render_json
from tests.contract.redis_server import RedisServer
from tests.contract.shop import CARTS, ITEMS, open_shop, stock

T = TypeVar("T")
NOW = 1_700_000_000
DAY = 86_400


def a_decision(
    item_id: str = "p1", source: Source = "personal", user: str = "u1", send: str = "s1", layout: str = "weekly"
) -> Answer:
    item = Item(item_id, "Lamp", "https://shop.example/1", "https://shop.example/1.jpg", 9.5, None, "EUR", 1, "new")
    blocks = (
        Block("recommended", "For you", source, (item,), "", "2026-05-17T09:00:00Z"),
        Block("trending", "", source, ()),
    )
    return Answer(layout, user, send, "2026-05-17T09:30:00.123Z", "2026-05-17T09:29:00Z", blocks, "de", ("user_items",))


async def found(decisions: Decisions, user: str = "u1", send: str = "s1", layout: str = "weekly") -> Answer | None:
    return (await decisions.find([user], send, layout)).get(user)


def over(server: RedisServer, call: Callable[[Decisions], Awaitable[T]], ttl: int = DAY) -> T:
    async def run() -> T:
        client = redis.asyncio.Redis.from_url(server.url, protocol=2)
        try:
            return await call(Decisions(client, ttl, lambda: 0.0))
        finally:
            await client.aclose()

    return asyncio.run(run())


def test_the_first_decision_stands_whoever_asks_at_once(server: RedisServer) -> None:
    """Of fifty that come together, one wins; all are given that one."""

    async def race(decisions: Decisions) -> tuple[list[Answer], Answer | None]:
        offers = [a_decision(f"p{number}") for number in range(50)]
        kept = await asyncio.gather(*(decisions.keep([offer], NOW) for offer in offers))
        served = [before.get("u1", offer) for before, offer in zip(kept, offers, strict=True)]
        return served, await found(decisions)

    served, stands = over(server, race)
    assert set(map(str, served)) == {str(stands)}


def test_a_decision_is_that_of_its_user_mail_and_layout(server: RedisServer) -> None:
    places = [
        ("u1", "s1", "weekly"), ("u2", "s1", "weekly"), ("u1", "s2", "weekly"), ("u1", "s1", "welcome"),
        ("u1s1", "w", "eekly"),
    ]  # fmt: skip
    answers = [a_decision(f"p{number}", "personal", *place) for number, place in enumerate(places)]

    async def keep_all(decisions: Decisions) -> list[Answer | None]:
        for answer in answers:
            assert await decisions.keep([answer], NOW) == {}
        return [await found(decisions, *place) for place in places]

    assert over(server, keep_all) == answers


def test_many_are_kept_and_found_in_one_go(server: RedisServer) -> None:
    async def many(decisions: Decisions) -> tuple[dict[str, Answer], dict[str, Answer]]:
        await decisions.keep([a_decision("p9", user="u3")], NOW)
        answers = [a_decision(user=f"u{number}") for number in range(200)]
        before = await decisions.keep(answers, NOW)
        return before, await decisions.find([f"u{number}" for number in range(201)], "s1", "weekly")

    before, stand = over(server, many)
    assert before == {"u3": a_decision("p9", user="u3")}
    assert stand == {
        f"u{number}": a_decision("p9" if number == 3 else "p1", user=f"u{number}") for number in range(200)
    }


def test_one_may_take_the_place_of_another(server: RedisServer) -> None:
    async def replaced(decisions: Decisions) -> Answer | None:
        await decisions.keep([a_decision()], NOW)
        assert await decisions.keep([a_decision("p2", "popular")], NOW, ["u1"]) == {}
        return await found(decisions)

    assert over(server, replaced) == a_decision("p2", "popular")


def test_it_is_kept_for_its_time_and_so_is_the_list_of_a_user(server: RedisServer) -> None:
    over(server, lambda decisions: decisions.keep([a_decision()], NOW), ttl=1000)
    assert len(keys := server.client.keys()) == 2
    assert all(990 < server.client.ttl(key) <= 1000 for key in keys)
    over(server, lambda decisions: decisions.keep([a_decision(send="s2")], NOW + 2000), ttl=1000)
    assert server.client.zcard("inlay:decisions:u1") == 1


def test_a_user_has_a_bounded_number_of_them_and_the_oldest_go(server: RedisServer) -> None:
    async def many(decisions: Decisions) -> list[bool]:
        for number in range(MOST + 3):
            await decisions.keep([a_decision(send=f"s{number}")], NOW + number)
        await decisions.keep([a_decision(user="u2", send="s0")], NOW)
        return [await found(decisions, send=f"s{number}") is not None for number in range(MOST + 3)]

    assert over(server, many) == [False] * 3 + [True] * MOST
    assert len(server.client.keys("inlay:decision:*")) == MOST + 1


def test_those_of_a_user_are_forgotten_and_of_nobody_else(server: RedisServer) -> None:
    async def forget(decisions: Decisions) -> tuple[int, int, Answer | None, Answer | None]:
        for user in ("u1", "u2"):
            for send in ("s1", "s2"):
                await decisions.keep([a_decision(user=user, send=send)], NOW)
        counts = await decisions.forget("u1"), await decisions.forget("u1")
        return *counts, decisions.remembered("u1", "s1", "weekly"), await found(decisions, "u2", "s2")

    assert over(server, forget) == (2, 0, None, a_decision(user="u2", send="s2"))
    assert len(server.client.keys()) == 3


PACKED = pack(a_decision())


@pytest.mark.parametrize("stored", [b"", b"\x02abc", b"\x01abc", PACKED[:-3], PACKED[:40], b"\x01" + b"x" * 99])
def test_what_is_no_decision_is_none(server: RedisServer, stored: bytes) -> None:
    async def read(decisions: Decisions) -> Answer | None:
        await decisions.keep([a_decision()], NOW)
        (key,) = server.client.keys("inlay:decision:*")
        server.client.set(key, stored)
        return await found(decisions)

    assert over(server, read) is None


TEXT = st.text(max_size=20)
ITEM_VALUES = st.builds(
    Item, TEXT, TEXT, st.none() | TEXT, st.none() | TEXT, st.none() | st.floats(allow_nan=False), st.none(), st.none(),
    st.just(0), st.none() | TEXT,
)  # fmt: skip


@given(rows=st.lists(st.lists(ITEM_VALUES, max_size=4), max_size=4), as_of=st.none() | TEXT)
@settings(max_examples=60)
def test_what_is_packed_is_what_is_unpacked(rows: list[list[Item]], as_of: str | None) -> None:
    def numbered(items: list[Item]) -> tuple[Item, ...]:
        return tuple(
            Item(*(getattr(item, name) for name in Item.__struct_fields__[:7]), place, item.reason)
            for place, item in enumerate(items, start=1)
        )

    blocks = tuple(Block("recommended", "é", "segment", numbered(items), "list", as_of) for items in rows)
    answer = Answer("weekly", "u1", "s1", "now", as_of, blocks, "ar", ("a", "b"))
    assert unpack(pack(answer), Mail("u1", "s1", "weekly")) == answer


def test_a_mail_of_twelve_items_is_small() -> None:
    items = tuple(
        Item(
            f"GGOEGAAX{number:04}", f"Google Men's Vintage Badge Tee {number}",
            f"https://shop.example/apparel/mens/vintage-badge-tee-{number}?colour=black",
            f"https://cdn.shop.example/images/large/GGOEGAAX{number:04}.jpg", 16.99 + number, 19.99, "USD",
            number, "because you viewed Google Sunglasses",
        )
        for number in range(1, 13)
    )  # fmt: skip
    block = Block("recommended", "Picked for you", "personal", items)
    assert len(pack(Answer("weekly", "u1", "s1", "now", None, (block,)))) < 1000


def test_what_a_process_remembers_is_bounded_and_grows_old(server: RedisServer) -> None:
    now = 0.0

    async def remember() -> list[bool]:
        nonlocal now
        client = redis.asyncio.Redis.from_url(server.url, protocol=2)
        decisions = Decisions(client, DAY, lambda: now)
        await decisions.keep([a_decision(user=f"u{number}") for number in range(MOST_REMEMBERED + 1)], NOW)
        known = [decisions.remembered(f"u{number}", "s1", "weekly") is not None for number in (0, 1, MOST_REMEMBERED)]
        now = REMEMBERED_SECONDS
        known.append(decisions.remembered("u1", "s1", "weekly") is not None)
        await client.aclose()
        return known

    assert asyncio.run(remember()) == [False, True, True, False]


@pytest.mark.parametrize("locale", ["en", "de", "en-GB"])
def test_a_mail_that_is_asked_for_again_is_answered_by_the_same_bytes(locale: str) -> None:
    """Also by a process that only read of it, for a layout whose file or a reader whose profile names its language."""
    block = Block("recommended", "é", "segment", (Item("p1", "T", None, None, 1.0, None, "EUR", 1, "r"),), "", None)
    for said in (locale, "".join(list(locale))):  # the very word, and one that was read somewhere
        answer = Answer("weekly", "u1", "s1", "now", None, (block,), said)
        again = unpack(pack(answer), Mail("u1", "s1", "weekly"))
        assert again is not None
        assert render_json(again) == render_json(answer)
        assert (b'"locale"' in render_json(answer)) is (locale != "en")


class TestMails:
    """Mails with a `send_id` over a Redis that is well, and one that is not."""

    def test_all_parts_of_a_mail_show_the_same_however_often_and_fast_they_are_asked_for(
        self, server: RedisServer
    ) -> None:
        async def story() -> None:
            async with open_shop(server, patient=True) as shop:
                first = await asyncio.gather(*(shop.mail("u1", send_id="s1") for _ in range(50)))
                assert len(set(map(str, first))) == 1
                stock_other(server)
                assert await shop.mail("u1", send_id="s1") == first[0]
                assert (await shop.mail("u1", send_id="s2")).first == ["p09"]
                assert (await shop.mail("u1")).first == ["p09"]
                sends = [event.send_id for event in shop.told if event.block == "abandoned_cart"]
                assert sends == ["s1", "s2", None]

        stock(server)
        asyncio.run(story())

    @pytest.mark.parametrize("fault", ["pause", "kill"])
    def test_a_mail_that_was_shown_is_shown_again_while_redis_is_not_there(
        self, own_server: RedisServer, fault: str
    ) -> None:
        async def story() -> None:
            async with open_shop(own_server) as shop:
                await shop.heals()
                before = await shop.mail("u1", send_id="s1")
                assert before.first == [CARTS["u1"]]
                getattr(own_server, fault)()
                for _ in range(6):
                    assert await shop.mail("u1", send_id="s1") == before
                    assert (await shop.mail("u1", send_id="other")).first == ITEMS[12:18]
                own_server.resume() if fault == "pause" else own_server.start()
                stock(own_server)
                await shop.heals()
                assert (await shop.mail("u1", send_id="third")).first == [CARTS["u1"]]

        stock(own_server)
        asyncio.run(story())

    def test_an_emptied_redis_is_given_again_what_a_process_remembers_and_decides_the_rest_anew(
        self, server: RedisServer
    ) -> None:
        async def story() -> None:
            async with open_shop(server, patient=True) as shop, open_shop(server, patient=True) as other:
                for send in ("s1", "s2"):
                    assert (await shop.mail("u1", send_id=send)).first == ["p01"]
                server.client.flushall()
                stock_other(server)
                assert (await other.mail("u1", send_id="s2")).first == ["p09"]
                assert (await shop.mail("u1", send_id="s1")).first == ["p01"]
                assert (await other.mail("u1", send_id="s1")).first == ["p01"]
                assert (await shop.mail("u1", send_id="s2")).first == ["p09"], "the first that decides again"

        stock(server)
        asyncio.run(story())

    def test_a_key_of_another_type_in_its_place_costs_the_freezing_and_not_the_mail(self, server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(server, patient=True) as shop:
                await shop.mail("u1", send_id="s1")
                (key,) = server.client.keys("inlay:decision:*")
                server.client.delete(key)
                server.client.rpush(key, "no text")
                for _ in range(3):
                    shop.clock += 10
                    assert all((await shop.mail("u1", send_id="s1")).counts)

        stock(server)
        asyncio.run(story())


def stock_other(server: RedisServer) -> None:
    """Put something else into the cart of u1."""
    CARTS["u1"], before = "p09", CARTS["u1"]
    try:
        stock(server)
    finally:
        CARTS["u1"] = before
