"""What was served, in a real Redis: each mail once, its own never against itself, and nothing for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import redis.asyncio

from api.served import DAYS, Served
from tests.contract.redis_server import RedisServer

T = TypeVar("T")
NOW = 1_700_000_000
DAY = 86_400


def over(server: RedisServer, call: Callable[[Served], Awaitable[T]]) -> T:
    async def run() -> T:
        client = redis.asyncio.Redis.from_url(server.url, protocol=2)
        try:
            return await call(Served(client))
        finally:
            await client.aclose()

    return asyncio.run(run())


def test_a_mail_counts_against_others_and_not_against_itself(server: RedisServer) -> None:
    async def mails(served: Served) -> list[dict[str, list[int]]]:
        await served.note_all({"u1": ["a", "b"]}, "s1", NOW)
        await served.note_all({"u1": ["a", "é\nc"]}, "s2", NOW + 5)
        return [
            (await served.before_all(["u1", "u2"], send_id, NOW + 9))[user_id]
            for user_id, send_id in (("u1", "s1"), ("u1", "s3"), ("u1", None), ("u2", "s1"))
        ]

    own, other, none, stranger = over(server, mails)
    assert own == {"a": [NOW + 5], "é\nc": [NOW + 5]}
    assert other == none == {"a": [NOW, NOW + 5], "b": [NOW], "é\nc": [NOW + 5]}
    assert stranger == {}


def test_a_mail_asked_for_again_keeps_the_time_of_its_first_answer(server: RedisServer) -> None:
    async def mails(served: Served) -> dict[str, list[int]]:
        for at in (NOW, NOW + 50):
            await served.note_all({"u1": ["a"]}, "s1", at)
        return (await served.before_all(["u1"], "s2", NOW + 99))["u1"]

    assert over(server, mails) == {"a": [NOW]}


def test_what_is_too_old_for_any_cap_is_forgotten(server: RedisServer) -> None:
    async def mails(served: Served) -> dict[str, list[int]]:
        await served.note_all({"u1": ["a"]}, "s1", NOW)
        await served.note_all({"u1": ["b"]}, "s2", NOW + DAYS * DAY)
        return (await served.before_all(["u1"], None, NOW + DAYS * DAY))["u1"]

    assert over(server, mails) == {"b": [NOW + DAYS * DAY]}
    assert 0 < server.client.ttl("inlay:served:u1") <= DAYS * DAY


def test_a_mail_that_holds_nothing_leaves_nothing(server: RedisServer) -> None:
    over(server, lambda served: served.note_all({"u1": []}, "s1", NOW))
    assert server.client.keys() == []
