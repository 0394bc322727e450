"""A connection: uvicorn's own, but that it sends requests away before any work, and lets go slowly.

What is beyond the crowd that can be served is answered from here: bytes that are ready, without a task, a body, JSON,
or a look at keys. That takes a third of the time that the emptiest app behind uvicorn takes, and it is what leaves the
rest of the processor to those who are served.

A process that ends closes no connection on which a request may be under way: who keeps one open is told with the next
answer, and only one on which nothing came for a moment is closed.
"""

from __future__ import annotations

from asyncio import BaseTransport
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.crowd import BLOCKS, CROWD, PLAIN, Crowd, Place, Way
from api.edge import SAFE
from api.metrics import DEGRADED, SHED
from api.problems import Problem

LINGER: Final = 1.0
"""Seconds after which a process that ends closes a connection on which nothing comes."""
SAY: Final = "more comes in than can be answered; ask again a little later"
SAY_EVENTS: Final = "more comes in than can be taken; send it again a little later, with the same event_ids"


def _bytes(say: str, *more: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """What is sent to who is sent away, but for the headers of the day: what goes before them, and what after."""
    response = Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"}).response()
    lines = b"".join(b"%s: %s\r\n" % pair for pair in (*response.raw_headers, *SAFE, *more))
    return b"HTTP/1.1 503 Service Unavailable\r\n" + lines, b"\r\n" + bytes(response.body)


_AWAY: Final = _bytes(SAY)
_EVENTS_AWAY: Final = _bytes(SAY_EVENTS, (b"access-control-allow-origin", b"*"))


class Connection(HttpToolsProtocol):
    """Speaks HTTP with one client."""

    _crowd: Crowd | None = None
    _leaving = False

    def connection_made(self, transport: BaseTransport) -> None:
        """A client is there."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._crowd = self.app_state.get(CROWD)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        super().data_received(data)
        if self.timeout_keep_alive_task is None and self.cycle is not None and self.cycle.response_complete:
            # The rest of a body that was answered before it came, or the first part of a head.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def shutdown(self) -> None:
        """The process is to end: let go, with the next answer or after a moment."""
        self._leaving = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER, self._leave_idle)
        else:
            super().shutdown()

    def _leave_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if self._leaving:
            cycle.keep_alive = False
        crowd = self._crowd
        if crowd is None:
            super()._start_asgi_task(cycle, app)
            return
        scope = cycle.scope
        if crowd.connections and len(self.connections) > crowd.connections:
            cycle.keep_alive = False
            self._send_away(cycle, scope["path"])
            return
        place = crowd.place(scope["method"], scope["path"])
        if place.way is Way.away:
            self._send_away(cycle, scope["path"])
        elif place.limit is None:
            super()._start_asgi_task(cycle, app)
        else:
            if place.way is Way.plain:
                DEGRADED.labels("crowd").inc()
                scope[PLAIN] = True
            super()._start_asgi_task(cycle, _leaving(app, crowd, place))

    def _send_away(self, cycle: Any, path: str) -> None:
        SHED.inc()
        if cycle.waiting_for_100_continue:
            cycle.keep_alive = False  # whether its body comes is open
        before, after = _AWAY if path.startswith(BLOCKS) else _EVENTS_AWAY
        said = [b"%s: %s\r\n" % pair for pair in cycle.default_headers]
        if not cycle.keep_alive:
            said.append(b"connection: close\r\n")
        self.transport.write(b"".join((before, *said, after)))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()


def _leaving(app: Any, crowd: Crowd, place: Place) -> Any:
    """The app, with a place that is given back whatever becomes of the request."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        finally:
            crowd.leave(place)

    return answer
