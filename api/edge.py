"""The edge: what holds for every request and every answer, whatever route it goes to.

Where a request comes from is settled, its body has an end and comes in time, and its answer tells browsers how little
may be done with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, TypeAlias

from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.networks import Proxies
from api.problems import Problem

Header: TypeAlias = tuple[bytes, bytes]
MOST_BODY: Final = 4 * 1024 * 1024
"""Bytes of any request's body; routes that take events set limits of their own below it."""
BODY_SECONDS: Final = 30.0
"""Who sends a body more slowly would keep a place that others need."""
CSP: Final = b"content-security-policy"
SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (
        CSP,
        b"default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ),
)
"""Of every answer that does not say otherwise: nothing of it runs, and nobody frames it."""
PAGES: Final = (
    b"default-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fastapi.tiangolo.com data:; "
    b"frame-ancestors 'none'"
)
"""Of the documentation, which comes with a script of its own."""
DOCUMENTATION: Final = ("/docs", "/redoc")
_BY_HTTPS: Final = (*SAFE, (b"strict-transport-security", b"max-age=31536000"))


def lines_of(headers: Iterable[Header]) -> bytes:
    """Headers as they are sent, each a line."""
    return b"".join(b"%s: %s\r\n" % pair for pair in headers)


def always(scheme: str) -> tuple[Header, ...]:
    """The headers of every answer that does not say otherwise, to who came by `http` or `https`."""
    return _BY_HTTPS if scheme == "https" else SAFE


class Edge:
    """An ASGI middleware around everything that answers.

    Args:
        app: what answers.
        proxies: those whose word counts for where a request comes from.
    """

    def __init__(self, app: ASGIApp, proxies: Proxies) -> None:
        self._app, self._proxies = app, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._proxies.settle(scope)
        added = always(scope["scheme"])
        if scope["path"] in DOCUMENTATION:
            added = (*added[:3], (CSP, PAGES), *added[4:])

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_added(message.get("headers", ()), added)
            await send(message)

        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send_safely)
            return
        if _length(scope) > MOST_BODY:
            await _too_large().response()(scope, receive, send_safely)
            return
        await self._app(scope, _Body(receive).receive, send_safely)


class _Body:
    """A body that is read by somebody, up to a size and within a time.

    What ends it is an error of the kind that reaches the caller also from within the reading of a form or of JSON.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive, self._size = receive, 0
        self._until = 0.0
        self._ended = False

    async def receive(self) -> Message:
        if self._ended:  # what comes now is that the caller left, and may take as long as it likes
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._until = self._until or now + BODY_SECONDS
        try:
            async with timeout(max(0.0, self._until - now)):  # `wait_for` makes a task each time
                message = await self._receive()
        except asyncio.TimeoutError:
            say = f"the body did not come within {BODY_SECONDS:g} s; send it again"
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, say, {"Connection": "close"}) from None
        self._size += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._size > MOST_BODY:
            problem = _too_large()
            raise HTTPException(problem.status, problem.detail)
        return message


def _too_large() -> Problem:
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {MOST_BODY:,} bytes; send less at once")


def _length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else 0
    return 0


def with_added(headers: Iterable[Header], added: Iterable[Header]) -> list[Header]:
    """Headers, and of those that are added whichever they do not say themselves."""
    found = list(headers)
    said = {name for name, _ in found}
    return found + [pair for pair in added if pair[0] not in said]
