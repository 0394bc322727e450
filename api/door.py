"""The door: routes that are called thousands of times a second, from any page, and never by more than can be borne.

FastAPI's routing, dependencies and exit stacks cost a request more than taking its event does. The door calls a route's
function itself; the route stays in the app, where the documentation finds it. What else brings events, such as
webhooks, is counted by the door and answered by the app.
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
        counted: how the paths begin that the app answers itself, and that count like those of the routes.
        unheard: where a path begins so, nobody could read an error: this is the answer to what is not taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        routers: Iterable[APIRouter],
        most_requests: int,
        most_bytes: int,
        body_limit: int,
        counted: str = "/v1/webhooks/",
        unheard: tuple[str, Callable[[], Response]] | None = None,
    ) -> None:
        self._app = app
        self._counted, self._unheard = counted, unheard
        self._endpoints: dict[str, tuple[frozenset[str], Endpoint]] = {}
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    self._endpoints[route.path] = (frozenset(route.methods or ()), route.endpoint)
        self._most_requests, self._most_bytes, self._body_limit = most_requests, most_bytes, body_limit
        self._requests = self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        path = scope.get("path", "")
        methods, endpoint = self._endpoints.get(path, (NONE, None))
        if scope["type"] != "http" or (endpoint is None and not path.startswith(self._counted)):
            await self._app(scope, receive, send)
        elif endpoint is None:
            await self._count(scope, receive, send)
        elif scope["method"] in methods:
            await self._answer(endpoint, scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await _open(Response(status_code=HTTPStatus.NO_CONTENT, headers=PREFLIGHT))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            size = self._enter(request)
            try:
                response = await endpoint(request)
            finally:
                self._leave(size)
        except Problem as problem:
            response = self._not_taken(scope["path"], problem)
        except ClientDisconnect:  # nobody is there to be answered
            return
        await _open(response)(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            size = self._enter(Request(scope, receive))
        except Problem as problem:
            await problem.response()(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._leave(size)

    def _enter(self, request: Request) -> int:
        """Take a place for a request on its way; hands back what it is counted as, for `_leave`.

        Raises:
            Problem: 503, there is no place.
        """
        size = self._size(request)
        if self._requests >= self._most_requests or self._bytes + size > self._most_bytes:
            SHED.inc()
            raise _full()
        self._requests += 1
        self._bytes += size
        return size

    def _leave(self, size: int) -> None:
        self._requests -= 1
        self._bytes -= size

    def _not_taken(self, path: str, problem: Problem) -> Response:
        if self._unheard is not None and path.startswith(self._unheard[0]):
            return self._unheard[1]()
        return problem.response()

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
