"""Blocks are the same at the hatch as on the long way, whole and plain, and whoever may not have them has none."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.counter import HandedOut
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
                        patched.setattr("api.hatch.asked_in", long_way)
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


def test_the_counter_hands_out_what_the_long_way_gives_plain(server: RedisServer) -> None:
    async def story() -> None:
        handed: HandedOut | None = None
        async with service(server, INLAY_DEADLINE="2", INLAY_TRUSTED_PROXIES="198.51.100.7") as api:

            async def crowded(scope: Any, receive: Any, send: Any) -> None:
                nonlocal handed
                before = {**scope, "state": {}}
                handed = api.app.state.counter.hand_out(before)
                assert before == {**scope, "state": before["state"]}, "it is not for the long way to see"
                await api.app({**scope, PLAIN: True}, receive, send)

            async def both(query: str, key: str = ALL, **headers: str) -> tuple[HandedOut | None, httpx.Response]:
                transport = httpx.ASGITransport(crowded, client=("198.51.100.7", 9))
                async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                    given = {"X-Api-Key": key} if key else {}
                    return handed, await client.get(f"/v1/blocks/{query}", headers=given | headers)

            async def alike(query: str, status: int = 200, key: str = ALL, **headers: str) -> httpx.Response:
                _, long = await both(query, key, **headers)
                assert handed is not None
                first, *lines = handed.head.decode().removesuffix("\r\n").split("\r\n")
                through = httpx.Response(
                    int(first.split()[1]),
                    headers=[(name, value) for name, _, value in (line.partition(": ") for line in lines)],
                    content=handed.body,
                )
                assert (through.status_code, long.status_code) == (status, status)
                assert int(through.headers["content-length"]) == len(handed.body)
                assert _timeless(through) == _timeless(long)
                return through

            for query in QUERIES:
                if "user_id=&" not in f"{query}&":
                    await alike(f"abandoned_cart?{query}")
            assert "strict-transport-security" not in (await alike("abandoned_cart?user_id=u1")).headers
            by_https = await alike("abandoned_cart?user_id=u1", **{"X-Forwarded-Proto": "https"})
            assert by_https.headers["strict-transport-security"]
            _, shown = await api.made("read", networks=["203.0.113.0/24"])
            await alike("abandoned_cart?user_id=u1", 403, shown, **{"X-Forwarded-For": "192.0.2.1"})
            await alike("abandoned_cart?user_id=u1", 200, shown, **{"X-Forwarded-For": "203.0.113.9"})
            for given, status in (("", 401), ("stranger", 401), (WRITE, 403)):
                await alike("abandoned_cart?user_id=u1", status, given)
            await both("abandoned_cart?user_id=u1", "", Authorization=f"Bearer {ALL}")
            assert handed is not None
            for query in (*WRONG, "user_id="):
                await both(f"abandoned_cart?{query}")
                assert handed is None
            await both("nowhere?user_id=u1")
            assert handed is None
            key, shown = await api.made("read")
            await both("abandoned_cart?user_id=u1", await api.token(key, shown))
            assert handed is None, "whose token it is may have to be asked elsewhere"

    _stock(server)
    asyncio.run(story())


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
