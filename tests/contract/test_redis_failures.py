"""What the API serves while Redis is stopped, killed, slow, or answers with garbage: always a mail."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from api.breaker import PAUSE
from api.remembered import recall, remember
from api.snapshot import Snapshot, refresh
from tests.contract.redis_server import RedisServer
from tests.contract.service import service
from tests.contract.shop import (
    CARTS,
    CLOSING,
    ITEMS,
    MOST_CONNECTIONS,
    Connected,
    Mail,
    Shop,
    open_shop,
    settled,
    stock,
)
from tests.contract.slow_proxy import slow_proxy

pytestmark = pytest.mark.usefixtures("no_task_failed_unseen")


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
