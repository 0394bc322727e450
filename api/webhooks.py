"""Webhooks: other systems post what happened. Their proof is checked first; an answer of 200 means it is in the stream.

A delivery that comes again, as all platforms promise to do, becomes the same events with the same ids, and changes
nothing. One whose proof is right is never answered with an error for what it says, because the platform would send
the same again for days: what cannot be read is kept as a dead letter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.collect import Collector, read_bytes
from api.fetch import fetch
from api.metrics import WEBHOOKS
from api.platforms import Delivery, Fetch, Platform, Told, Unread, Unreadable, World, find_platform
from api.problems import Problem
from dataflows.events import MINUTE, Refused
from dataflows.machines import Watch

MOST_BYTES: Final = 4 * 1024 * 1024
MOST_FORGED: Final = 64 * 1024
"""So many bytes of a delivery without proof are kept, enough to see what it is."""
READERS_AT_ONCE: Final = 1000
"""So many readers are looked at in one go when somebody is erased."""


class Allowance:
    """Some at once and then one a while, so that whoever posts without proof cannot fill the dead letters.

    Args:
        at_once: how many.
        every: microseconds after which there may be one more.
    """

    def __init__(self, at_once: int = 20, every: int = MINUTE) -> None:
        self._most, self._every = at_once, every
        self._left, self._at = float(at_once), 0

    def take(self, now: int) -> bool:
        """Whether there may be one now."""
        self._left = min(self._most, self._left + max(0, now - self._at) / self._every)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Hooks:
    """The platforms that may post, and what becomes of what they post.

    Args:
        collector: where their events go.
        secrets: of each platform that may post, those that are good.
        clock: microseconds since 1970, now.
        fetch: what gets a page of a platform's own.
    """

    def __init__(
        self,
        collector: Collector,
        secrets: Mapping[str, Sequence[str]],
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        fetch: Fetch = fetch,
    ) -> None:
        self._secrets = secrets
        self._platforms = {name: find_platform(name) for name in secrets}
        self._collector, self._clock, self._fetch = collector, clock, fetch
        self.watch, self._allowance = Watch(), Allowance()

    def now(self) -> int:
        """Microseconds since 1970."""
        return self._clock()

    async def forget(self, is_gone: Callable[[str], bool]) -> int:
        """Drop what this process remembers of mails to some users; how many those were. Others go on in between."""
        gone: set[str] = set()
        for number, reader in enumerate(self.watch.readers, start=1):
            if is_gone(reader):
                gone.add(reader)
            if number % READERS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return self.watch.forget(gone) if gone else 0

    def check(self, name: str) -> None:
        """Make sure that a platform is set up.

        Raises:
            Problem: 404, it is not.
        """
        if name not in self._platforms:
            say = f"no webhooks of {name!r} are taken here; INLAY_WEBHOOKS names the platforms that may post"
            raise Problem(HTTPStatus.NOT_FOUND, say)

    async def take(self, name: str, delivery: Delivery) -> dict[str, int]:
        """Take a delivery: how many events of it were accepted, and how many refused.

        Raises:
            Problem: 401, the proof is missing or wrong; 503, it cannot be checked or kept now.
        """
        platform, world = self._platforms[name], World(self._clock(), self._fetch)
        if platform.is_greeting(delivery):
            WEBHOOKS.labels(name, "greeting").inc()
            return {"accepted": 0, "refused": 0}
        try:
            genuine = await platform.prove(delivery, self._secrets[name], world)
            if genuine and platform.answer is not None:
                await platform.answer(delivery, world)
        except OSError:
            say = f"the proof of {name} cannot be checked right now; send this again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "30"}) from None
        if not genuine:
            await self._refuse(name, platform, delivery, world.now)
        read = _read(platform, delivery)
        unread = [
            Refused(f"webhook:{name}", "format", each.reason, "", each.original)
            for each in read
            if isinstance(each, Unread)
        ]
        if unread:
            await self._collector.keep(unread)
        events = self.watch.judge([each for each in read if isinstance(each, dict)])
        raws = [msgspec.json.encode(_said(event)) for event in events]
        accepted, refused = await self._collector.collect(raws) if raws else (0, [])
        WEBHOOKS.labels(name, "unreadable" if unread else "taken").inc()
        return {"accepted": accepted, "refused": len(refused) + len(unread)}

    async def _refuse(self, name: str, platform: Platform, delivery: Delivery, now: int) -> None:
        WEBHOOKS.labels(name, "forged").inc()
        say = f"the proof is missing or wrong: {platform.proof}; check the secret of {name} in INLAY_WEBHOOKS"
        if self._allowance.take(now):
            kept = delivery.body[:MOST_FORGED]
            await self._collector.keep([Refused(f"webhook:{name}", "signature", say, "", kept)])
        raise Problem(HTTPStatus.UNAUTHORIZED, say)


def _read(platform: Platform, delivery: Delivery) -> Sequence[Told | Unread]:
    """What a delivery says; of one that makes no sense, all of it is one thing that does not."""
    try:
        return platform.read(delivery)
    except Unreadable as error:
        return [Unread(str(error), delivery.body)]


def _said(event: dict[str, Any]) -> dict[str, Any]:
    """An event without what the platform left open; that there is no list price any more is said."""
    return {name: value for name, value in event.items() if value is not None or name == "list_price"}


def routes(hooks: Hooks) -> APIRouter:
    """The routes that platforms post to."""
    router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

    async def take(platform: str, request: Request, secret: str = "") -> JSONResponse:
        hooks.check(platform)
        headers = {name.lower(): value for name, value in request.headers.items()}
        url = headers.get("host", "") + request.url.path + (f"?{request.url.query}" if request.url.query else "")
        query = {**request.query_params, **({"secret": secret} if secret else {})}
        return JSONResponse(
            await hooks.take(platform, Delivery(headers, await _body(request), query, url, hooks.now()))
        )

    @router.post("/{platform}", openapi_extra=_BODY)
    async def post(platform: str, request: Request) -> JSONResponse:
        """Take what a platform posts; 200 means that its events are in the stream."""
        return await take(platform, request)

    @router.post("/{platform}/{secret}", openapi_extra=_BODY)
    async def post_with_secret(platform: str, secret: str, request: Request) -> JSONResponse:
        """The same for a platform that signs nothing: the secret is the last part of the path."""
        return await take(platform, request, secret)

    @router.get("/{platform}")
    @router.head("/{platform}", include_in_schema=False)
    @router.get("/{platform}/{secret}", include_in_schema=False)
    @router.head("/{platform}/{secret}", include_in_schema=False)
    async def look(platform: str) -> JSONResponse:
        """Say that there is something here: some platforms try the URL before they post to it."""
        hooks.check(platform)
        return JSONResponse({"platform": platform})

    return router


_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
}
"""The body is whatever the platform sends; its proof is over the bytes, so that the route reads bytes."""


async def _body(request: Request) -> bytes:
    body = await read_bytes(request, MOST_BYTES)
    if len(body) > MOST_BYTES:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a webhook may have {MOST_BYTES:,} bytes")
    return body
