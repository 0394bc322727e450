"""A connection: uvicorn's own, but that it sends requests away before any work, and lets go slowly.

What is beyond the crowd that can be served is answered from here: bytes that are ready, without a task, a body, JSON,
or a look at keys; where a glance at what came is enough, even before it is parsed. That is what leaves the rest of the
processor to those who are served.

A process that ends closes no connection on which a request may be under way: who keeps one open is told with the next
answer, and only one on which nothing came for a moment is closed.
"""

from __future__ import annotations

from asyncio import BaseTransport
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.counter import COUNTER, Counter
from api.crowd import BLOCKS, CROWD, PLAIN, Crowd, Place, Way
from api.edge import SAFE, lines_of
from api.glance import body_to_come, path_of
from api.metrics import DEGRADED, SHED
from api.problems import Problem

LINGER: Final = 1.0
"""Seconds after which a process that ends closes a connection on which nothing comes."""
SAY: Final = "more comes in than can be answered; ask again a little later"
SAY_EVENTS: Final = "more comes in than can be taken; send it again a little later, with the same event_ids"


class _Refusal:
    """What is sent to who is sent away, as bytes that are ready but for the headers of the second."""

    def __init__(self, say: str, *more: tuple[bytes, bytes]) -> None:
        response = Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"}).response()
        lines = lines_of((*response.raw_headers, *SAFE, *more))
        self._before = b"HTTP/1.1 503 Service Unavailable\r\n" + lines
        self._after = b"\r\n" + bytes(response.body)
        self._headers: list[tuple[bytes, bytes]] = []
        self._said = self.told([])

    def said(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """All of it. `headers` of the day, a list that is replaced and never changed."""
        if headers is not self._headers:
            self._headers, self._said = headers, self.told(headers)
        return self._said

    def told(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """All of it, with whatever headers."""
        return b"".join((self._before, lines_of(headers), self._after))


_AWAY: Final = _Refusal(SAY)
_EVENTS_AWAY: Final = _Refusal(SAY_EVENTS, (b"access-control-allow-origin", b"*"))
_ASKS: Final = b"GET " + BLOCKS.encode()
_TELLS: Final = b"POST /"
_CLOSE: Final = (b"connection", b"close")
_CROWDED: Final = DEGRADED.labels("crowd")


class Connection(HttpToolsProtocol):
    """Speaks HTTP with one client."""

    _crowd: Crowd | None = None
    _counter: Counter | None = None
    _leaving = False
    _between = True
    """Whether all that came is read to the end of a request."""
    _to_come = 0
    """Bytes of a body whose request was answered at a glance."""
    _heard_at = 0.0

    def connection_made(self, transport: BaseTransport) -> None:
        """A client is there."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._crowd, self._counter = self.app_state.get(CROWD), self.app_state.get(COUNTER)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._to_come:
            left = self._to_come - len(data)
            self._heard_at = self.loop.time()
            if left >= 0:
                self._to_come = left
                return
            data, self._to_come = data[left:], 0
        if self._is_answered_at_a_glance(data):
            return
        super().data_received(data)
        if self.timeout_keep_alive_task is None and self.cycle is not None and self.cycle.response_complete:
            # The rest of a body that was answered before it came, or the first part of a head.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        """A request begins."""
        self._between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """It ended."""
        self._between = True
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long, unless something was answered at a glance, which does not wind the clock up again."""
        left = self._heard_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _is_answered_at_a_glance(self, data: bytes) -> bool:
        """Send away what will find no place, if that can be seen from the bytes; then they need no reading."""
        crowd = self._crowd
        if crowd is None or self._leaving or not self._between:
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            return False
        if data.startswith(_ASKS) and crowd.is_full_for_blocks:
            refusal = _AWAY
        elif data.startswith(_TELLS) and crowd.is_full_for_events and crowd.tells(path_of(data)):
            refusal = _EVENTS_AWAY
        else:
            return False
        if (crowd.connections and len(self.connections) > crowd.connections) or (left := body_to_come(data)) is None:
            return False
        SHED.inc()
        if self.flow.write_paused:  # who asks on and reads no answer would have us keep them all
            self.transport.abort()
            return True
        self._to_come, self._heard_at = left, self.loop.time()
        self.transport.write(refusal.said(self.server_state.default_headers))
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return True

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
                _CROWDED.inc()
                if self._hands_out(cycle):
                    # How long the place is held is how long the loop is at what came with this one.
                    self.loop.call_soon(crowd.leave, place)
                    return
                scope[PLAIN] = True
            elif place.limit is crowd.events:
                crowd.watch(self.loop.call_soon)
            super()._start_asgi_task(cycle, _leaving(app, crowd, place))

    def _send_away(self, cycle: Any, path: str) -> None:
        SHED.inc()
        if cycle.waiting_for_100_continue:
            cycle.keep_alive = False  # whether its body comes is open
        refusal = _AWAY if path.startswith(BLOCKS) else _EVENTS_AWAY
        headers = cycle.default_headers
        self._end(cycle, refusal.said(headers) if cycle.keep_alive else refusal.told([*headers, _CLOSE]))

    def _hands_out(self, cycle: Any) -> bool:
        """Answer at once, if that can be."""
        if self._counter is None or self.flow.write_paused or cycle.waiting_for_100_continue:
            return False
        try:
            handed = self._counter.hand_out(cycle.scope)
        except Exception:  # whatever it is: the long way meets it again, tells of it and answers
            return False
        if handed is None:
            return False
        own = [*cycle.default_headers, *([] if cycle.keep_alive else [_CLOSE])]
        self._end(cycle, b"%s%s\r\n%s" % (handed.head, lines_of(own), handed.body))
        return True

    def _end(self, cycle: Any, answer: bytes) -> None:
        """Send an answer that is whole."""
        self.transport.write(answer)
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        if self.pipeline:  # not from within the one before: there may be more of them than calls may be nested
            self.loop.call_soon(self.on_response_complete)
        else:
            self.on_response_complete()


def _leaving(app: Any, crowd: Crowd, place: Place) -> Any:
    """The app, with a place that is given back whatever becomes of the request."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        finally:
            crowd.leave(place)

    return answer
