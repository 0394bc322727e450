"""The door: routes that are called thousands of times a second, from any page, and never by more than can be borne.

FastAPI's routing, dependencies and exit stacks cost a request more than taking its event does. The door calls a route's
function itself; the route stays in the app, where the documentation finds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Final, TypeAlias

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import header
from api.metrics import SHED
from api.problems import Problem

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
"""Who may call is a matter of keys; no cookie is read, so that nothing is open to one page that is not to another."""
PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type, x-api-key",
    "Access-Control-Max-Age": "86400",
}
SHOWN: Final = (b"access-control-expose-headers", b"retry-after")


class Door:
    """An ASGI middleware that answers some routes itself.

    Args:
        app: what answers everything else.
        routers: the routes; their functions take a request, and no path of theirs has a parameter.
        most_requests: how many requests may be on their way through the door at once.
        most_bytes: how many bytes their bodies may have together.
        body_limit: what a body without a length is counted as; no more of one is read.
    """

    def __init__(
        self, app: ASGIApp, routers: Iterable[APIRouter], most_requests: int, most_bytes: int, body_limit: int
    ) -> None:
        self._app = app
        self._endpoints: dict[str, tuple[frozenset[str], Endpoint]] = {}
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    self._endpoints[route.path] = (frozenset(route.methods or ()), route.endpoint)
        self._most_requests, self._most_bytes, self._body_limit = most_requests, most_bytes, body_limit
        self._requests = self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        methods, endpoint = self._endpoints.get(scope.get("path", ""), (NONE, None))
        if endpoint is None or scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] in methods:
            await self._answer(endpoint, scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _open(Response(status_code=HTTPStatus.NO_CONTENT, headers=PREFLIGHT))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        size = self._size(request)
        if self._requests >= self._most_requests or self._bytes + size > self._most_bytes:
            SHED.inc()
            await _open(_full().response())(scope, receive, send)
            return
        self._requests += 1
        self._bytes += size
        try:
            response = await endpoint(request)
        except Problem as problem:
            response = problem.response()
        except ClientDisconnect:  # nobody is there to be answered
            return
        finally:
            self._requests -= 1
            self._bytes -= size
        await _open(response)(scope, receive, send)

    def _size(self, request: Request) -> int:
        if request.method == "GET":
            return 0
        length = header(request, b"content-length")
        return min(int(length), self._body_limit) if length.isdigit() else self._body_limit


NONE: Final[frozenset[str]] = frozenset()


def _open(response: Response) -> Response:
    """The response, for pages of any origin to read."""
    response.raw_headers += (ANY_ORIGIN, SHOWN)
    return response


def _full() -> Problem:
    say = "more comes in than can be taken; send it again a little later, with the same event_ids"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"})
