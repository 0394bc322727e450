"""The shelf: the next one is filled while one is in use, with what mails were made of, and no mail waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import redis
from msgspec.structs import replace

from api.shelf import FRESH, NEAR_FRESH, RENEWED_AT, Shelves
from tests.unit.api.shop import CATALOGUE, Shop

AGEING = FRESH * RENEWED_AT + 0.1


async def mail(client: httpx.AsyncClient, user_id: str = "u1") -> list[str]:
    answer = await client.get("/v1/blocks/weekly", params={"user_id": user_id})
    return [item["title"] for block in answer.json()["blocks"] for item in block["items"]]


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def changed(shop: Shop) -> None:
    shop.store.rows["p15"] = replace(CATALOGUE["p15"], title="Changed")


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_what_changed_is_shown_and_only_the_user_is_read_for_it(shop: Shop) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        first = await mail(client)
        changed(shop)
        shop.clock += AGEING
        assert await mail(client) == first, "which is made of what is there"
        await settled()
        shop.store.asked.clear()
        assert "Changed" in await mail(client)
        assert shop.store.asked == ["user"]
        shop.clock += AGEING  # the next one is as old as its reading, not as the one before
        await mail(client)
        assert shop.store.asked[:2] == ["user", "user"]

    shop.visit(story)


def test_without_the_next_shelf_a_mail_reads_it_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: nothing is filled ahead."""

    async def nothing(*_: Any) -> None:
        return None

    async def story(client: httpx.AsyncClient) -> None:
        await mail(client)
        for _ in range(2):
            shop.clock += AGEING
            shop.store.asked.clear()
            await mail(client)
            await settled()
        assert shop.store.asked != ["user"]

    monkeypatch.setattr(Shelves, "_renew", nothing)
    shop.visit(story)


@pytest.mark.parametrize("reading", ["scopes", "catalogue", "neighbours"])
def test_a_store_that_fails_leaves_the_one_in_use(shop: Shop, reading: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        first = await mail(client)
        shop.clock += NEAR_FRESH * RENEWED_AT + 0.1  # so that neighbours are due too
        await mail(client)
        shop.store.failing[reading] = redis.ConnectionError("refused")
        shop.clock += AGEING if reading != "neighbours" else NEAR_FRESH * RENEWED_AT + 0.1
        assert await mail(client) == first
        await settled()
        del shop.store.failing[reading]
        changed(shop)
        shop.clock += FRESH + 0.1
        assert "Changed" in await mail(client)

    shop.visit(story)


def test_what_nobody_was_shown_since_is_not_read_ahead(shop: Shop) -> None:
    shop.store.users["u2"] = replace(shop.store.users["u1"], recent_items=["p11"], cart_items=["p12"])

    async def story(client: httpx.AsyncClient) -> None:
        await mail(client, "u2")
        for _ in range(2):  # the first one still carries what the one before was asked for
            shop.clock += AGEING
            shop.store.keys.clear()
            await mail(client)
            await settled()
        assert "catalogue p05" in shop.store.keys
        assert not {"catalogue p11", "catalogue p12"} & set(shop.store.keys)

    shop.visit(story)


def test_a_shelf_that_was_spent_meanwhile_is_not_replaced_by_an_older_one(shop: Shop) -> None:
    held = asyncio.Event()

    async def story(client: httpx.AsyncClient) -> None:
        await mail(client)
        answer = shop.store.scopes

        async def slow(*asked: Any, **more: Any) -> Any:
            shop.store.scopes = answer  # type: ignore[method-assign]
            found = await answer(*asked, **more)
            await held.wait()
            return found

        shop.store.scopes = slow  # type: ignore[method-assign]
        shop.clock += AGEING
        await mail(client)
        await settled()
        shop.clock += FRESH
        changed(shop)
        assert "Changed" in await mail(client)
        shop.store.rows["p15"] = CATALOGUE["p15"]
        held.set()
        await settled()
        assert "Changed" in await mail(client), "as it was read last"

    shop.visit(story)
