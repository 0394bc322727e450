"""A small shop in Redis and what serves its blocks, for tests of what they say when Redis is not well."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import redis.asyncio
from fastapi import FastAPI

from api import problems
from api.breaker import PAUSE
from api.decisions import Decisions
from api.features import OnlineFeatures, connect
from api.layout import load_layouts
from api.reading_routes import routes
from api.serve import BlockServer
from api.served import Served
from api.snapshot import Snapshot, refresh
from dataflows.events import Event
from feature_repo.layout import ITEM, SCOPE, USER
from tests.contract.redis_server import WRITTEN_AT, RedisServer, write
from tests.contract.slow_proxy import SlowProxy
from tests.given import read

MOST_CONNECTIONS = connect("redis://127.0.0.1:1/0").connection_pool.max_connections
CLOSING = 8
"""Connections that were given up and that the loop closes in its next turn: the kernel counts them until then."""
ITEMS = [f"p{number:02}" for number in range(20)]
CARTS = {f"u{number}": ITEMS[number] for number in range(10)}


def stock(server: RedisServer, at: int = WRITTEN_AT) -> None:
    """Put the shop into the online store, as of some time."""
    for item_id in ITEMS:
        row = {
            "title": f"Thing {item_id}", "url": f"https://shop.example/{item_id}", "currency": "EUR", "price": 9.5,
            "image_url": f"https://shop.example/{item_id}.jpg", "in_stock": True,
        }  # fmt: skip
        write(server, ITEM, item_id, row, at)
    write(server, SCOPE, "all", {"items": ITEMS[10:18], "bestsellers": ITEMS[12:]}, at)
    for user_id, item_id in CARTS.items():
        write(server, USER, user_id, {"cart_items": [item_id], "recent_items": [item_id]}, at)


class Mail(NamedTuple):
    """What of an answer matters here: the first block's source and items, and how many items each block has."""

    source: str
    first: list[str]
    counts: list[int]

    @property
    def personal(self) -> bool:
        return self.source == "personal"


class Connected:
    """How many connections there are to a port, or are being made, as the kernel counts them; but those of before."""

    def __init__(self, port: int) -> None:
        self._remote, self._before = f":{port:04X}", 0
        self._before = self.now

    @property
    def now(self) -> int:
        lines = map(str.split, Path("/proc/self/net/tcp").read_text().splitlines())
        return sum(line[2].endswith(self._remote) and line[3] in ("01", "02") for line in lines) - self._before


class Shop:
    """The reading routes over a real reader; the breaker's clock moves when told to.

    `most` is how many connections to the store there were at the end of any mail.
    """

    def __init__(
        self,
        features: OnlineFeatures,
        snapshot: Snapshot,
        served: Served,
        decisions: Decisions,
        deadline: float,
        connected: Connected,
    ) -> None:
        self.connected, self.most = connected, 0
        self.clock, self.features, self.snapshot, self.told = 0.0, features, snapshot, list[Event]()
        server = BlockServer(
            features, snapshot, load_layouts(), deadline, served, decisions, self,
            monotonic=lambda: self.clock,
        )  # fmt: skip
        app = FastAPI()
        problems.install(app)
        app.include_router(routes(server, features))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")

    def tell(self, events: Sequence[Event]) -> None:
        self.told += events

    def tell_written(self, owner: str, kind: str, written: Sequence[bytes]) -> None:
        self.tell(read(owner, kind, written))

    async def mail(self, user_id: str = "u1", layout: str = "abandoned_cart", **query: str) -> Mail:
        """A mail, which there always is, in time."""
        asking = self.client.get(f"/v1/blocks/{layout}", params={"user_id": user_id, **query})
        answer = await asyncio.wait_for(asking, 10)  # generous: what is asserted is that nothing hangs
        self.most = max(self.most, self.connected.now)
        assert answer.status_code == 200, answer.text
        blocks = answer.json()["blocks"]
        first = [item["item_id"] for item in blocks[0]["items"]]
        return Mail(blocks[0]["source"], first, [len(block["items"]) for block in blocks])

    async def without_the_store(self, requests: int = 6) -> None:
        """Ask while the store is not well: every mail is whole, and none is personal."""
        for _ in range(requests):
            assert await self.mail() == Mail("static", ITEMS[12:18], [6, 4])

    async def heals(self) -> None:
        """Ask until a mail is personal again; each try after a pause of the breaker."""
        for _ in range(100):  # one would do on a machine that does nothing else
            self.clock += PAUSE
            if (await self.mail()).personal:
                break
        for user_id, item_id in CARTS.items():
            for _ in range(100):
                self.clock += PAUSE
                if (mail := await self.mail(user_id)).personal:
                    break
            assert mail == Mail("personal", [item_id], [1, 4])


@contextlib.asynccontextmanager
async def open_shop(
    server: RedisServer, url: str = "", *, snapshot: bool = True, patient: bool = False, deadline: float = 0.06
) -> AsyncIterator[Shop]:
    """A shop at a Redis, which it may reach by another address; it knows what is popular from before.

    A patient one waits for its Redis however slow the machine is.
    """
    popular = Snapshot()
    if snapshot:
        waiting = OnlineFeatures(redis.asyncio.Redis.from_url(server.url, protocol=2), lambda: WRITTEN_AT)
        await refresh(popular, waiting)
        await waiting.close()
    client = redis.asyncio.Redis.from_url(server.url, protocol=2) if patient else connect(url or server.url)
    decisions = Decisions(client, 86_400, time.monotonic)
    features, connected = OnlineFeatures(client, lambda: WRITTEN_AT), Connected(urlsplit(url or server.url).port or 0)
    shop = Shop(features, popular, Served(client), decisions, 30 if patient else deadline, connected)
    try:
        yield shop
        if not patient:  # that one has a client of its own, without a bound
            assert shop.most <= MOST_CONNECTIONS + CLOSING
    finally:
        await shop.client.aclose()
        await shop.features.close()


async def settled(proxy: SlowProxy) -> None:
    """Wait until connections that were given up are closed on both ends, and no more are left than a pool has."""
    for _ in range(200):
        if proxy.open <= MOST_CONNECTIONS:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{proxy.open} connections are open")
