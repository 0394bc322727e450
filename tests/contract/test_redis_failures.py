"""What the API serves while Redis is stopped, killed, slow, emptied or full of garbage: always a mail."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest
import redis
import redis.asyncio
from fastapi import FastAPI
from feast.protos.feast.types.Value_pb2 import Value

from api import problems
from api.breaker import PAUSE
from api.decisions import Decisions
from api.features import OnlineFeatures, connect
from api.layout import load_layouts
from api.remembered import recall, remember
from api.serve import BlockServer, routes
from api.served import Served
from api.shelf import FRESH
from api.snapshot import Snapshot, keep_fresh, refresh
from dataflows.events import Event
from feature_repo.layout import ITEM, SCOPE, USER, EntityLayout
from tests.contract.redis_server import WRITTEN_AT, RedisServer, write
from tests.contract.service import service
from tests.contract.slow_proxy import SlowProxy, slow_proxy

T = TypeVar("T")


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


@pytest.mark.parametrize("fault", ["hangs", "slow", "resets", "killed"])
def test_the_whole_service_keeps_to_the_connections_of_its_pools(own_server: RedisServer, fault: str) -> None:
    """Three pools: of features, of the stream, of keys and letters; more callers at once than they have together."""
    chance, answers, most = random.Random(17), Counter[tuple[str, int]](), 0

    async def story() -> None:
        async with slow_proxy(own_server.port) as proxy:
            asked = Connected(urlsplit(proxy.url).port or 0)
            async with service(own_server, INLAY_REDIS_URL=proxy.url, INLAY_PUBLISH_WAIT="0.5") as api:

                async def call(number: int) -> None:
                    nonlocal most
                    method, path, body = (
                        ("GET", f"/v1/blocks/abandoned_cart?user_id=u{number % 10}&send_id=s{number}", None),
                        ("POST", "/v1/events", {"event_id": f"e{number}", "type": "view", "occurred_at": time.time(),
                                                "user_id": f"u{number}", "item_id": "p01"}),
                        ("GET", f"/v1/users/u{number % 10}", None),
                        ("GET", "/v1/admin/keys", None),
                    )[number % 4 if number % 8 else 0]  # fmt: skip
                    answer = await asyncio.wait_for(api.call(method, path, json=body), 20)
                    most = max(most, asked.now)
                    answers[path.split("?")[0].split("/u")[0], answer.status_code] += 1

                if fault == "hangs":
                    own_server.pause()
                elif fault == "slow":
                    proxy.delay = lambda: 0.2
                elif fault == "resets":
                    proxy.resets = lambda: chance.random() < 0.1
                else:
                    own_server.kill()
                await asyncio.gather(*map(call, range(240)))
                if fault == "hangs":
                    own_server.resume()

    stock(own_server)
    asyncio.run(story())
    print(f"{fault}: at most {most} connections")
    assert 0 < most <= 3 * MOST_CONNECTIONS + CLOSING
    assert {status for path, status in answers if "blocks" in path} == {200}
    assert {status for _, status in answers} <= {200, 202, 503}, "whoever cannot be answered without it is told so"


class TestFailures:
    """The real reader and the real server of blocks over a Redis that is not well."""

    def test_it_hangs(self, own_server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(own_server) as shop:
                await shop.heals()
                own_server.pause()
                await shop.without_the_store()
                shop.clock += PAUSE  # one of these tries
                await shop.without_the_store()
                own_server.resume()
                await shop.heals()

        stock(own_server)
        asyncio.run(story())

    def test_it_hangs_and_whoever_needs_it_is_told_so(self, own_server: RedisServer) -> None:
        """Not only under the deadline of a mail: no reading waits for a Redis that hangs."""

        async def story() -> None:
            async with open_shop(own_server) as shop:
                own_server.pause()
                answer = await asyncio.wait_for(shop.client.get("/v1/users/u1"), 10)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                with pytest.raises(redis.RedisError):
                    await asyncio.wait_for(refresh(Snapshot(), shop.features), 10)

        stock(own_server)
        asyncio.run(story())

    def test_it_hangs_before_the_first_request(self, own_server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(own_server) as shop:
                own_server.pause()
                await shop.without_the_store()
                own_server.resume()
                await shop.heals()

        stock(own_server)
        asyncio.run(story())

    def test_it_hangs_under_many_requests_at_once(self, own_server: RedisServer) -> None:
        """More of them than there are connections."""

        async def story() -> None:
            async with open_shop(own_server) as shop:
                own_server.pause()
                mails = await asyncio.gather(*(shop.mail(f"u{number % 10}") for number in range(200)))
                assert set(map(str, mails)) == {str(Mail("static", ITEMS[12:18], [6, 4]))}
                assert shop.most > 0
                own_server.resume()
                await shop.heals()

        stock(own_server)
        asyncio.run(story())

    def test_it_is_killed_and_comes_back(self, own_server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(own_server) as shop:
                await shop.heals()
                own_server.kill()
                await shop.without_the_store()
                shop.clock += PAUSE
                await shop.without_the_store()
                own_server.start()
                stock(own_server)
                await shop.heals()

        stock(own_server)
        asyncio.run(story())

    def test_it_was_never_there(self, own_server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(own_server, snapshot=False) as shop:
                assert await shop.mail() == Mail("static", [], [0, 0])
                own_server.start()
                stock(own_server)
                await shop.heals()

        own_server.kill()
        asyncio.run(story())

    def test_it_was_never_there_for_a_process_that_remembers(self, own_server: RedisServer, tmp_path: Path) -> None:
        file = tmp_path / "snapshot"

        async def story() -> None:
            async with open_shop(own_server) as shop:
                remember(shop.snapshot, file)
            own_server.kill()
            async with open_shop(own_server, snapshot=False) as shop:
                assert recall(shop.snapshot, file)
                await shop.without_the_store()

        stock(own_server)
        asyncio.run(story())

    def test_it_is_slow(self, server: RedisServer) -> None:
        async def story() -> None:
            async with slow_proxy(server.port) as proxy, open_shop(server, proxy.url) as shop:
                await shop.heals()
                proxy.delay = lambda: 0.4
                await shop.without_the_store()
                proxy.delay = lambda: 0.0
                await shop.heals()

        stock(server)
        asyncio.run(story())

    @pytest.mark.parametrize("cut", [0, 1, 30])
    def test_it_breaks_off(self, server: RedisServer, cut: int) -> None:
        async def story() -> None:
            async with slow_proxy(server.port) as proxy, open_shop(server, proxy.url) as shop:
                await shop.heals()
                proxy.cut = cut
                await shop.without_the_store()
                proxy.cut = None
                await shop.heals()

        stock(server)
        asyncio.run(story())

    def test_one_answer_in_ten_is_a_reset(self, server: RedisServer) -> None:
        """Every mail is whole, most are personal all the same, and no connection is left over.

        The deadline is generous and those who ask at once are few: all of them ask on one loop with the server and the
        proxy, and what they wait for should be the resets.
        """
        chance = random.Random(7)

        async def story() -> None:
            async with slow_proxy(server.port) as proxy, open_shop(server, proxy.url, deadline=2.0) as shop:
                await shop.heals()
                proxy.resets = lambda: chance.random() < 0.1
                mails = list[Mail]()
                for _ in range(100):
                    shop.clock += PAUSE
                    mails += await asyncio.gather(*(shop.mail(f"u{number}") for number in range(4)))
                assert all(all(mail.counts) for mail in mails)
                assert sum(mail.personal for mail in mails) > len(mails) / 2
                proxy.resets = lambda: False
                await shop.heals()
                await settled(proxy)

        stock(server)
        asyncio.run(story())

    @pytest.mark.parametrize(
        "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 50, b"-LOADING Redis is loading\r\n", b"*-7\r\n"]
    )
    def test_it_is_something_else(self, server: RedisServer, said: bytes) -> None:
        async def story() -> None:
            async with slow_proxy(server.port) as proxy, open_shop(server, proxy.url) as shop:
                proxy.instead = said
                await shop.without_the_store()
                proxy.instead = None
                await shop.heals()

        stock(server)
        asyncio.run(story())

    def test_nobody_is_given_the_answer_to_somebody_else(self, server: RedisServer) -> None:
        """Requests are given up in the midst of an answer, over and over; what comes late is nobody's."""
        chance = random.Random(7)

        async def ask(shop: Shop, user_id: str) -> bool:
            shop.clock += PAUSE  # every request may try
            mail = await shop.mail(user_id)
            # Where the time was up in between, what is not personal is of what is remembered.
            assert all(mail.counts)
            assert mail.first == [CARTS[user_id]] if mail.personal else not set(mail.first) & set(CARTS.values())
            return mail.personal

        async def story() -> None:
            async with slow_proxy(server.port) as proxy, open_shop(server, proxy.url) as shop:
                proxy.delay = lambda: chance.choice([0.0, 0.0, 0.0, 0.02, 0.045, 0.06, 0.1])
                served = set[bool]()
                for _ in range(8):
                    served |= set(await asyncio.gather(*(ask(shop, user_id) for user_id in list(CARTS) * 2)))
                assert False in served
                proxy.delay = lambda: 0.0
                await shop.heals()

        stock(server)
        asyncio.run(story())

    def test_a_key_of_another_type(self, server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(server) as shop:
                for layout, key in ((USER, "u1"), (SCOPE, "all"), (ITEM, CARTS["u1"])):
                    stock(server)
                    server.client.delete(layout.key(key))
                    server.client.rpush(layout.key(key), "no hash")
                    shop.clock += FRESH + PAUSE  # so that all is read anew
                    if layout is USER:
                        await shop.without_the_store(2)
                    else:  # who the reader is can be read, the rest is remembered
                        mail = await shop.mail()
                        assert all(mail.counts)
                        if layout is SCOPE:
                            assert (mail.personal, mail.first) == (True, [CARTS["u1"]])
                    server.client.delete(layout.key(key))
                    stock(server)
                    await shop.heals()

        stock(server)
        asyncio.run(story())

    @pytest.mark.parametrize("raw", [b"\xff\xff\xff", Value(int64_val=5).SerializeToString()])
    @pytest.mark.parametrize(
        ("layout", "key", "name"),
        [(USER, "u1", "top_categories"), (SCOPE, "all", "items"), (ITEM, "p01", "neighbours")],
        ids=["user", "scope", "item"],
    )
    def test_a_value_that_is_none(
        self, server: RedisServer, layout: EntityLayout, key: str, name: str, raw: bytes
    ) -> None:
        async def story() -> None:
            async with open_shop(server) as shop:
                server.client.hset(layout.key(key), layout.columns[name].field, raw)
                for _ in range(3):
                    shop.clock += PAUSE
                    assert all((await shop.mail()).counts)
                server.client.hdel(layout.key(key), layout.columns[name].field)
                stock(server)
                await shop.heals()

        stock(server)
        asyncio.run(story())

    def test_the_snapshot_goes_on_after_a_value_that_is_none(self, server: RedisServer) -> None:
        async def story() -> None:
            patient = OnlineFeatures(redis.asyncio.Redis.from_url(server.url, protocol=2))
            refreshing = asyncio.create_task(keep_fresh(Snapshot(), patient))
            done, _ = await asyncio.wait([refreshing], timeout=0.5)
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)
            await patient.close()
            assert not done

        server.client.hset(SCOPE.key("all"), SCOPE.columns["items"].field, b"\xff\xff\xff")
        asyncio.run(story())

    def test_it_is_emptied(self, server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(server) as shop:
                await shop.heals()
                server.client.flushall()
                shop.clock += FRESH
                for _ in range(6):
                    shop.clock += PAUSE
                    assert (await shop.mail()).source == "static"
                stock(server)
                await shop.heals()

        stock(server)
        asyncio.run(story())

    def test_an_emptied_store_empties_no_mail(self, server: RedisServer) -> None:
        async def story() -> None:
            async with open_shop(server) as shop:
                server.client.flushall()
                for _ in range(3):
                    shop.clock += PAUSE
                    await shop.without_the_store(1)

        stock(server)
        asyncio.run(story())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task may end in an error that nobody looked at."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
