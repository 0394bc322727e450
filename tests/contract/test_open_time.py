"""Links of mails while Redis hangs, is killed, empty or was never there: always a picture, and a click always leads on.

By the whole service on a real Redis; the time that is waited for is only so long that nothing hangs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from api.picture import blank
from api.seals import Pass, Seals
from tests.contract.redis_server import RedisServer
from tests.contract.service import Service, service
from tests.contract.shop import CARTS, ITEMS, stock

HOME = "https://shop.example/front"
SEALED_WITH = "a-secret-of-a-test-0123456789abcdef"
SEALS = Seals({"k1": SEALED_WITH})
MOST_SECONDS = 10
"""For an answer: generous, since what is asserted is that nothing hangs."""


def now() -> int:
    return time.time_ns() // 1000


def token(user: str, send: str) -> str:
    return SEALS.seal(Pass("abandoned_cart", user, send, 40_000))


class Mailbox:
    """Mail programs, as they ask the service."""

    def __init__(self, api: Service) -> None:
        self.api = api

    async def ask(self, path: str, method: str = "GET") -> httpx.Response:
        return await asyncio.wait_for(self.api.call(method, path, ""), MOST_SECONDS)

    async def picture(self, user: str, send: str, block: str = "abandoned_cart", slot: str = "1") -> bytes:
        """What is shown, which is always something."""
        answer = await self.ask(f"/v1/open/{token(user, send)}/{block}/{slot}.png")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
        assert answer.content.startswith(b"\x89PNG")
        return answer.content

    async def click(self, user: str, send: str, block: str = "abandoned_cart", slot: str = "1") -> str:
        """Where it leads, which is always somewhere in the shop."""
        answer = await self.ask(f"/v1/click/{token(user, send)}/{block}/{slot}")
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith("https://shop.example/")
        return str(answer.headers["location"])

    async def shown(self, user: str, send: str) -> list[str]:
        """What the mail shows to whoever asks for its blocks."""
        path = f"/v1/blocks/abandoned_cart?user_id={user}&send_id={send}"
        answer = await asyncio.wait_for(self.api.call("GET", path), MOST_SECONDS)
        assert answer.status_code == 200
        return [item["url"] for item in answer.json()["blocks"][0]["items"]]

    async def is_never_an_error(self, tag: str) -> None:
        """Mails that nobody decided before, many at once, of readers known and unknown, and addresses that are none."""
        asked = [self.picture(f"u{number}", f"{tag}{number}") for number in range(20)]
        asked += [self.picture("u1", f"{tag}0", block, slot) for block in ("none", "trending") for slot in ("1", "x")]
        drawn = await asyncio.gather(*asked)
        assert len(drawn) == len(asked)
        await asyncio.gather(*(self.click(f"u{number}", f"{tag}{number}") for number in range(20)))
        assert await self.click("u1", f"{tag}0", "none", "99") == HOME
        for path in ("/v1/open/x/y/1.png", "/v1/open/", f"/v1/open/{token('u1', 's')[:-2]}/abandoned_cart/1.png"):
            answer = await self.ask(path)
            assert (answer.status_code, answer.content) == (200, blank())
        for method in ("HEAD", "GET"):
            answer = await self.ask(f"/v1/open/{token('u1', tag)}/abandoned_cart/1.png", method)
            assert answer.status_code == 200

    async def heals(self, tag: str, user: str = "u1") -> str:
        """Ask for new mails until one is its reader's own, as on a quick machine the first one is; which it was."""
        for number in range(200):
            if await self.click(user, send := f"{tag}-{number}") == f"https://shop.example/{CARTS[user]}":
                return send
            await asyncio.sleep(0.05)
        raise AssertionError("it did not heal")


def run(server: RedisServer, story: Callable[[Mailbox], Awaitable[None]]) -> None:
    async def told() -> None:
        settings: dict[str, Any] = {
            "INLAY_LINK_KEYS": f"k1={SEALED_WITH}", "INLAY_PUBLIC_URL": "https://mail.shop.example",
            "INLAY_HOME_URL": HOME, "INLAY_LINK_HOSTS": "shop.example", "INLAY_LINK_DAYS": "60",
        }  # fmt: skip
        async with service(server, **settings) as api:
            await story(Mailbox(api))

    asyncio.run(asyncio.wait_for(told(), 120))


@pytest.mark.parametrize("ends", ["hangs", "is killed"])
def test_while_redis_is_away(own_server: RedisServer, ends: str) -> None:
    """What was decided is remembered, byte by byte; everything else is something; then all is as before."""

    async def story(box: Mailbox) -> None:
        await box.heals("first")
        send = await box.heals("decided", "u2")
        drawn, link = await box.picture("u2", send), await box.click("u2", send)
        assert drawn != blank()
        own_server.pause() if ends == "hangs" else own_server.kill()
        assert await box.picture("u2", send) == drawn
        assert await box.click("u2", send) == link
        await box.is_never_an_error("away")
        assert await box.picture("u2", send) == drawn
        if ends == "hangs":
            own_server.resume()
        else:
            own_server.start()
            stock(own_server, now())
        await box.heals("second")
        assert await box.click("u2", send) == link

    stock(own_server, now())
    run(own_server, story)


def test_redis_is_emptied(own_server: RedisServer) -> None:
    """What this process remembers is kept there again; other mails are decided anew, and their parts agree on that."""

    async def story(box: Mailbox) -> None:
        send = await box.heals("first", "u2")
        drawn = await box.picture("u2", send)
        own_server.client.flushall()
        await box.is_never_an_error("empty")
        assert await box.picture("u2", send) == drawn
        assert await box.click("u2", send) == f"https://shop.example/{CARTS['u2']}"
        link = await box.click("u2", "another")
        assert link != f"https://shop.example/{CARTS['u2']}"
        stock(own_server, now())
        await box.heals("second")
        assert await box.click("u2", send) == f"https://shop.example/{CARTS['u2']}"
        assert (await box.shown("u2", send))[0] == f"https://shop.example/{CARTS['u2']}"

    stock(own_server, now())
    run(own_server, story)


def test_redis_was_never_there(own_server: RedisServer) -> None:
    """Not even what is popular is known: one dot of nothing, and the front page."""

    async def story(box: Mailbox) -> None:
        assert await box.picture("u1", "s1") == blank()
        assert await box.click("u1", "s1") == HOME
        await box.is_never_an_error("never")
        own_server.start()
        stock(own_server, now())
        await box.heals("there")

    own_server.kill()
    run(own_server, story)


def test_what_is_popular_is_shown_to_whom_nobody_knows(own_server: RedisServer) -> None:
    async def story(box: Mailbox) -> None:
        await box.heals("first")
        assert await box.picture("nobody", "s1") != blank()
        assert (await box.click("nobody", "s1")).rpartition("/")[2] in ITEMS

    stock(own_server, now())
    run(own_server, story)
