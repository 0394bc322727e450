"""What the API serves while Redis answers, and what is in it is garbage, of another type, or gone: always a mail."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio
from feast.protos.feast.types.Value_pb2 import Value

from api.breaker import PAUSE
from api.features import OnlineFeatures
from api.shelf import FRESH
from api.snapshot import Snapshot, keep_fresh
from feature_repo.layout import ITEM, SCOPE, USER, EntityLayout
from tests.contract.redis_server import RedisServer
from tests.contract.shop import CARTS, open_shop, stock

pytestmark = pytest.mark.usefixtures("no_task_failed_unseen")


class TestContents:
    """The real reader and the real server of blocks over a Redis that holds what it should not."""

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
