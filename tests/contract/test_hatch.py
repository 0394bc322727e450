"""Blocks are the same at the hatch as on the long way, whole and plain, and whoever may not have them has none."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.crowd import PLAIN
from tests.benchmarks.failing_store import _stock
from tests.contract.redis_server import RedisServer
from tests.contract.service import ALL, WRITE, service

MAIL = "/v1/blocks/abandoned_cart"
QUERIES = (
    "user_id=u1", "user_id=u1&format=html", "user_id=u1&format=text", "user_id=u1&exclude=p12,%20p13", "user_id=%00%ff",
    "user_id=u1&user_id=u2", "user_id=", "user_id=a+b%26c&send_id=", "user_id=u1&send_id=s1", "user_id=u1&more=x",
)  # fmt: skip
WRONG = ("", "user_id=u1&format=pdf", "format=json")


@pytest.mark.parametrize("plain", [False, True], ids=["whole", "plain"])
def test_the_hatch_gives_what_the_long_way_gives(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    long_ways = 0

    def long_way(*_: Any) -> None:
        nonlocal long_ways
        long_ways += 1

    async def story() -> None:
        async with service(server, INLAY_DEADLINE="2") as api:

            async def crowded(scope: Any, receive: Any, send: Any) -> None:
                await api.app({**scope, **({PLAIN: True} if plain else {})}, receive, send)

            async def both(path: str, key: str = ALL) -> tuple[httpx.Response, httpx.Response]:
                transport = httpx.ASGITransport(crowded)
                async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                    headers = {"X-Api-Key": key} if key else {}
                    through = await client.get(path, headers=headers)
                    with monkeypatch.context() as patched:
                        patched.setattr("api.hatch.Hatch._asked", long_way)
                        return through, await client.get(path, headers=headers)

            for query in QUERIES:
                through, long = await both(f"{MAIL}?{query}")
                assert (through.status_code, long.status_code) == (200, 200)
                assert _timeless(through) == _timeless(long)
                assert ('"personal"' in through.text) == (not plain and "user_id=u1" in query and "format" not in query)
            for query in WRONG:
                through, long = await both(f"{MAIL}?{query}")
                assert (through.status_code, through.content) == (422, long.content)
            through, long = await both("/v1/blocks/nowhere?user_id=u1")
            assert (through.status_code, through.content) == (404, long.content)
            for key, status in (("", 401), ("stranger", 401), (WRITE, 403)):
                through, long = await both(f"{MAIL}?user_id=u1", key)
                assert (through.status_code, through.content) == (status, long.content)

    _stock(server)
    asyncio.run(story())
    assert long_ways >= len(QUERIES) + len(WRONG)


def test_a_mail_that_was_decided_stays_so_for_a_process_that_saw_it(server: RedisServer) -> None:
    async def story() -> None:
        async with service(server) as api:

            async def crowded(scope: Any, receive: Any, send: Any) -> None:
                await api.app({**scope, PLAIN: True}, receive, send)

            for number in range(200):  # one would do on a machine that does nothing else
                path = f"{MAIL}?user_id=u1&send_id=s{number}"
                first = (await api.call("GET", path)).json()["blocks"]
                if first[0]["source"] == "personal":
                    break
                await asyncio.sleep(0.05)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(crowded), base_url="http://api") as client:
                again = await client.get(path, headers={"X-Api-Key": ALL})
            assert again.json()["blocks"] == first
            assert first[0]["source"] == "personal"

    _stock(server)
    asyncio.run(story())


def _timeless(answer: httpx.Response) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
    content: Any = answer.text
    if answer.headers["content-type"] == "application/json":
        content = answer.json() | {"generated_at": ""}
    return headers, content
