"""A shop whose online store is a double: what the API serves from it, without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI
from prometheus_client import REGISTRY

from api import bulk, feeds, problems
from api.access import Keys
from api.answer import Answer
from api.known import CatalogueRow, ScopeFeatures, UserFeatures
from api.layout import Layout, load_layouts
from api.reading_routes import routes
from api.serve import BlockServer
from api.snapshot import Snapshot, refresh
from dataflows.events import Event
from tests.given import read

T = TypeVar("T")
ITEMS = [f"p{number:02}" for number in range(20)]
CATALOGUE = {
    item_id: CatalogueRow(
        title=f"Thing {item_id}", url=f"https://shop.example/{item_id}", image_url=f"https://shop.example/{item_id}.jpg",
        price=9.5, list_price=None, currency="EUR", in_stock=True,
    )
    for item_id in ITEMS
}  # fmt: skip
LAYOUTS = load_layouts()
SOME_TIME = datetime(2026, 5, 17, 9, 30, 0, 123_456, tzinfo=timezone.utc)
SHOPPER = UserFeatures(
    recent_items=["p05", "p06", "p07", "p08", "p09"], cart_items=["p10"], purchased_items=["p00"],
    as_of=1_700_000_000_123_456,
)  # fmt: skip
EVERYWHERE = ScopeFeatures(items=ITEMS[:8], bestsellers=ITEMS[2:10])


class Store:
    """An online store that answers from memory; or fails, or never answers."""

    def __init__(self) -> None:
        self.users = {"u1": SHOPPER}
        self.popular = {"all": EVERYWHERE}
        self.near = {"p05": {"p15": 0.9, "p16": 0.5}}
        self.rows = dict(CATALOGUE)
        self.views: dict[str, tuple[dict[str, Any], dict[str, int]]] = {}
        self.failing: dict[str, Exception | None] = {}
        """By the name of a reading: what it raises; None lets it never answer."""
        self.asked: list[str] = []
        self.keys: list[str] = []
        """What was asked of scopes and items."""
        self.unreadable: set[str] = set()
        """Users whose hash holds something else, found when many are read at once."""
        self.sends: dict[str, dict[str, tuple[int, list[str]]]] = {}
        self.kept: dict[tuple[str, str, str], Answer] = {}
        """The decisions of mails, by user, send and layout."""
        self.blind = False
        """Whether they are found only when another is to be kept."""

    async def user(self, user_id: str) -> UserFeatures:
        return await self._answer("user", self.users.get(user_id, UserFeatures()))

    async def look_at_flows(self) -> None:
        await self._answer("look_at_flows", None)

    async def users_of(self, user_ids: Collection[str]) -> dict[str, UserFeatures]:
        found = {each: self.users.get(each, UserFeatures()) for each in user_ids if each not in self.unreadable}
        return await self._answer("user", found)

    async def scopes(self, names: Collection[str], *, however_old: bool = False) -> dict[str, ScopeFeatures]:
        self.keys += [f"scopes {each}" for each in names]
        return await self._answer("scopes", {name: self.popular.get(name, ScopeFeatures()) for name in names})

    async def neighbours(self, item_ids: Collection[str]) -> dict[str, dict[str, float]]:
        self.keys += [f"neighbours {each}" for each in item_ids]
        return await self._answer("neighbours", {item_id: self.near.get(item_id, []) for item_id in item_ids})

    async def catalogue(self, item_ids: Collection[str]) -> dict[str, CatalogueRow]:
        self.keys += [f"catalogue {each}" for each in item_ids]
        return await self._answer(
            "catalogue", {item_id: self.rows.get(item_id, CatalogueRow()) for item_id in item_ids}
        )

    async def everything(self, user_id: str) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
        return await self._answer("everything", self.views.get(user_id, ({}, {})))

    async def before_all(
        self, user_ids: Collection[str], send_id: str | None, now: int
    ) -> dict[str, dict[str, list[int]]]:
        return await self._answer("before", {user_id: self._before(user_id, send_id) for user_id in user_ids})

    def _before(self, user_id: str, send_id: str | None) -> dict[str, list[int]]:
        times: dict[str, list[int]] = {}
        for send, (at, shown) in self.sends.get(user_id, {}).items():
            for item_id in shown if send != send_id else ():
                times.setdefault(item_id, []).append(at)
        return times

    async def note_all(self, shown: Mapping[str, Iterable[str]], send_id: str, now: int) -> None:
        await self._answer("note", None)
        for user_id, item_ids in shown.items():
            self.sends.setdefault(user_id, {}).setdefault(send_id, (now, list(item_ids)))

    async def find(self, user_ids: Collection[str], send_id: str, layout: str) -> dict[str, Answer]:
        kept = {each: self.kept.get((each, send_id, layout)) for each in user_ids if not self.blind}
        return await self._answer("find", {user_id: answer for user_id, answer in kept.items() if answer})

    async def keep(self, answers: Sequence[Answer], now: int, instead: Collection[str] = ()) -> dict[str, Answer]:
        before = {}
        for answer in await self._answer("keep", answers):
            place = (answer.user_id, answer.send_id or "", answer.layout)
            if place in self.kept and answer.user_id not in instead:
                before[answer.user_id] = self.kept[place]
            else:
                self.kept[place] = answer
        return before

    def remembered(self, user_id: str, send_id: str, layout: str) -> Answer | None:
        return None

    async def _answer(self, name: str, value: T) -> T:
        self.asked.append(name)
        if name in self.failing:
            if failure := self.failing[name]:
                raise failure
            await asyncio.Event().wait()
        return value


class Shop:
    """The reading routes over the store; its snapshot was taken while the store was well."""

    def __init__(self, layouts: Mapping[str, Layout] = LAYOUTS, *, snapshot: bool = True, deadline: float = 30) -> None:
        self.store, self.clock, self.later = Store(), 1000.0, 0
        self.snapshot = Snapshot()
        if snapshot:
            asyncio.run(refresh(self.snapshot, self.store))  # type: ignore[arg-type]
        self.told: list[Event] = []
        self.server = server = BlockServer(
            self.store, self.snapshot, dict(layouts), deadline, self.store,  # type: ignore[arg-type]
            self.store, self,  # type: ignore[arg-type]
            monotonic=lambda: self.clock, now=lambda: SOME_TIME + timedelta(seconds=self.later),
        )  # fmt: skip
        self.app = FastAPI()
        problems.install(self.app)
        self.app.include_router(routes(server, self.store))  # type: ignore[arg-type]
        self.app.include_router(bulk.routes(server))
        self.app.include_router(feeds.routes(server, Keys(["k"]), lambda: self.clock))

    def tell(self, events: Sequence[Event]) -> None:
        self.told += events

    def tell_written(self, owner: str, kind: str, written: Sequence[bytes]) -> None:
        self.tell(read(owner, kind, written))

    async def room(self) -> None:
        """There always is."""

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.visit(lambda client: client.get(path, params=query))

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.visit(lambda client: client.post(path, json=body))

    def lines(self, user_ids: Sequence[str], layout: str = "weekly", **more: Any) -> list[dict[str, Any]]:
        """The lines of a batch, which there always are."""
        answer = self.post(f"/v1/blocks/{layout}/batch", {"user_ids": user_ids, **more})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    def mail(self, layout: str = "weekly", user_id: str = "u1", **query: str) -> dict[str, Any]:
        """The JSON of a mail, which there always is."""
        answer = self.get(f"/v1/blocks/{layout}", user_id=user_id, **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def visit(self, call: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
        async def visiting() -> T:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api") as client:
                return await call(client)

        return asyncio.run(asyncio.wait_for(visiting(), 20))  # a request that hangs is a failure, not a wait


def drawn(mail: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks that show something."""
    return [block for block in mail["blocks"] if block["items"]]


def sources(mail: dict[str, Any]) -> list[str]:
    return [block["source"] for block in drawn(mail)]


def items(mail: dict[str, Any]) -> list[list[str]]:
    return [[item["item_id"] for item in block["items"]] for block in drawn(mail)]


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0
