"""A connection: what is sent away is sent away whole and at once, and who is let go is told so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api import connection
from api.connection import Connection
from api.counter import COUNTER, HandedOut
from api.crowd import CROWD, PLAIN, Crowd

GET = b"GET /v1/blocks/weekly?user_id=u1 HTTP/1.1\r\nHost: x\r\n\r\n"
HANDED = HandedOut(b"HTTP/1.1 200 OK\r\nx: y\r\n", b"handed")
POST = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n%s\r\n"


class Wire(asyncio.Transport):
    """The client's end: what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def taken(self) -> bytes:
        """What was written since the last time."""
        written, self.written = self.written, b""
        return written


class Peer:
    """A connection to an app that answers when it is told to."""

    def __init__(
        self,
        crowd: Crowd | None = None,
        kind: type[HttpToolsProtocol] = Connection,
        state: ServerState | None = None,
        counter: Any = None,
    ) -> None:
        self.go, self.scopes, self.fails = asyncio.Event(), list[Any](), False
        self.wire = Wire()
        config = Config(
            self._app,
            http=kind,
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            server_header=False,
            date_header=False,
        )
        left = {name: what for name, what in ((CROWD, crowd), (COUNTER, counter)) if what}
        self.protocol = kind(config, state or ServerState(), left)
        self.protocol.connection_made(self.wire)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await self.go.wait()
        if self.fails:
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def ask(self, data: bytes = GET) -> bytes:
        """What is answered, as far as it is by now."""
        self.protocol.data_received(data)
        for _ in range(5):
            await asyncio.sleep(0)
        return self.wire.taken()


def full() -> Crowd:
    crowd = Crowd(0.06, ["/v1/events"])
    crowd.whole.most = crowd.plain.most = crowd.events.most = 0
    return crowd


def unread(peer: Peer) -> Peer:
    """A connection that cannot parse any more."""
    peer.protocol.parser = None  # type: ignore[assignment]
    return peer


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    asyncio.run(told())


def test_what_is_sent_away_is_told_when_to_come_again_and_the_connection_stays() -> None:
    async def story() -> None:
        crowd = full()
        peer = Peer(crowd)
        said = await peer.ask()
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        lines = head.lower().split(b"\r\n")
        assert b"retry-after: 1" in lines
        assert b"content-type: application/problem+json" in lines
        assert b"x-content-type-options: nosniff" in lines
        assert f"content-length: {len(body)}".encode() in lines
        assert msgspec.json.decode(body)["status"] == 503
        assert not peer.scopes
        assert not peer.wire.closed
        assert peer.protocol.timeout_keep_alive_task is not None
        crowd.whole.most = 1
        peer.go.set()
        assert (await peer.ask()).endswith(b"\r\n\r\nok")
        assert crowd.whole.in_work == 0

    run(story)


def test_a_body_that_comes_after_the_answer_is_let_by() -> None:
    async def story() -> None:
        peer = Peer(full())
        said = await peer.ask(POST % b"")
        assert said.startswith(b"HTTP/1.1 503")
        assert b"access-control-allow-origin: *" in said
        assert b"event_ids" in said
        assert await peer.ask(b"01234") == b""
        assert peer.protocol.timeout_keep_alive_task is not None, "or it could stay for ever"
        assert (await peer.ask(b"56789" + GET)).startswith(b"HTTP/1.1 503")

    run(story)


def test_who_finds_no_place_is_sent_away_without_being_parsed() -> None:
    async def story() -> None:
        peer = unread(Peer(full()))
        for _ in range(3):
            assert (await peer.ask()).count(b"HTTP/1.1 503") == 1
        assert (await peer.ask(POST % b"" + b"01234")).startswith(b"HTTP/1.1 503")
        assert await peer.ask(b"567") == b""
        assert (await peer.ask(b"89" + GET)).count(b"HTTP/1.1 503") == 1
        assert peer.protocol.timeout_keep_alive_task is not None

    run(story)


def test_who_finds_a_place_or_asks_for_anything_else_is_not_looked_at_so() -> None:
    async def story() -> None:
        peer = Peer(crowd := full())
        peer.go.set()
        for other in (b"GET /health/live", b"POST /v1/blocks/weekly/batch", b"GET /v1/users/u1", b"OPTIONS /v1/events"):
            assert (await peer.ask(other + b" HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")
        crowd.plain.most = crowd.events.most = 1
        for its in (GET, POST % b"" + b"0123456789"):
            assert (await peer.ask(its)).startswith(b"HTTP/1.1 200")

    run(story)


def test_who_asks_on_and_reads_no_answer_is_let_go() -> None:
    async def story() -> None:
        peer = unread(Peer(full()))
        assert (await peer.ask()).startswith(b"HTTP/1.1 503")
        peer.protocol.pause_writing()
        assert await peer.ask() == b""
        assert peer.wire.closed

    run(story)


def test_a_head_in_two_parts_is_one_request() -> None:
    async def story() -> None:
        crowd = full()
        crowd.plain.most = 1
        peer = Peer(crowd)
        peer.go.set()
        assert await peer.ask(GET[:20]) == b""
        crowd.plain.most = 0
        assert (await peer.ask(GET[20:])).count(b"HTTP/1.1 503") == 1
        assert await peer.ask(GET[:20]) == b""
        assert await peer.ask(GET[20:-2]) == b""
        assert (await peer.ask(GET[-2:])).count(b"HTTP/1.1 503") == 1

    run(story)


def test_one_who_waits_for_an_answer_gets_it_before_the_next_is_sent_away() -> None:
    async def story() -> None:
        crowd = full()
        crowd.whole.most = 1
        peer = Peer(crowd)
        assert await peer.ask() == b""
        assert await peer.ask() == b""
        peer.go.set()
        said = await peer.ask(b"")
        assert said.startswith(b"HTTP/1.1 200")
        assert said.count(b"HTTP/1.1 503") == 1

    run(story)


def test_who_asks_again_and_again_is_not_taken_for_idle() -> None:
    async def story() -> None:
        peer = unread(Peer(full()))
        peer.protocol.timeout_keep_alive = 100
        await peer.ask()
        peer.protocol._unset_keepalive_if_required()
        peer.protocol.timeout_keep_alive_handler()
        assert not peer.wire.closed
        assert peer.protocol.timeout_keep_alive_task is not None
        peer.protocol._unset_keepalive_if_required()
        peer.protocol.timeout_keep_alive = 0
        await asyncio.sleep(0)
        peer.protocol.timeout_keep_alive_handler()
        assert peer.wire.closed

    run(story)


@pytest.mark.parametrize("request_", [POST % b"Expect: 100-continue\r\n", POST % b"Connection: close\r\n"])
def test_it_is_closed_where_nobody_knows_how_it_goes_on(request_: bytes) -> None:
    async def story() -> None:
        peer = Peer(full())
        said = await peer.ask(request_)
        assert said.startswith(b"HTTP/1.1 503")
        assert b"connection: close\r\n" in said
        assert peer.wire.closed

    run(story)


def test_requests_in_a_row_are_answered_in_their_order() -> None:
    async def story() -> None:
        crowd = full()
        crowd.whole.most = 2  # the one before gives its place back a moment after its answer
        peer = Peer(crowd)
        assert await peer.ask(GET + GET + GET) == b""
        peer.go.set()
        assert (await peer.ask(b"")).count(b"HTTP/1.1 200") == 3

    run(story)


def test_one_that_is_to_be_plain_is_marked() -> None:
    async def story() -> None:
        crowd = full()
        crowd.plain.most = 1
        peer = Peer(crowd)
        peer.go.set()
        assert (await peer.ask()).startswith(b"HTTP/1.1 200")
        assert peer.scopes[0][PLAIN] is True
        assert crowd.plain.in_work == 0

    run(story)


class Hander:
    """A counter that hands out one answer; or has none, or is broken."""

    def __init__(self, handed: HandedOut | None = HANDED, fails: bool = False) -> None:
        self.handed, self.fails, self.scopes = handed, fails, list[Any]()

    def hand_out(self, scope: Any) -> HandedOut | None:
        self.scopes.append(scope)
        if self.fails:
            raise RuntimeError("broken")
        return self.handed


class TestHandingOut:
    def test_one_that_is_to_be_plain_is_answered_at_once_and_keeps_its_place_for_a_turn(self) -> None:
        async def story() -> None:
            crowd = full()
            crowd.plain.most = 1
            peer = Peer(crowd, counter=Hander())
            peer.protocol.data_received(GET)
            assert peer.wire.taken() == b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nhanded"
            assert crowd.plain.in_work == 1, "or it would not be seen how long the loop is at it"
            assert (await peer.ask()).startswith(b"HTTP/1.1 503")
            assert crowd.plain.in_work == 0
            assert await peer.ask() == b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nhanded"
            assert not peer.scopes
            assert peer.protocol.timeout_keep_alive_task is not None

        run(story)

    @pytest.mark.parametrize("hander", [Hander(None), Hander(fails=True)], ids=["none", "broken"])
    def test_what_is_not_handed_out_goes_the_long_way(self, hander: Hander) -> None:
        async def story() -> None:
            crowd = full()
            crowd.plain.most = 1
            peer = Peer(crowd, counter=hander)
            peer.go.set()
            assert (await peer.ask()).endswith(b"\r\n\r\nok")
            assert peer.scopes[0][PLAIN] is True
            assert crowd.plain.in_work == 0

        run(story)

    def test_so_does_who_waits_to_be_asked_for_a_body_or_reads_no_answer(self) -> None:
        async def story() -> None:
            crowd = full()
            crowd.plain.most = 8
            peer = Peer(crowd, counter=(hander := Hander()))
            peer.go.set()
            assert (await peer.ask(GET[:-2] + b"Expect: 100-continue\r\n\r\n")).endswith(b"\r\n\r\nok")
            peer.protocol.pause_writing()
            assert await peer.ask() == b""
            peer.protocol.resume_writing()
            assert (await peer.ask(b"")).endswith(b"\r\n\r\nok")
            assert not hander.scopes

        run(story)

    def test_who_wants_it_closed_is_told_that_it_is(self) -> None:
        async def story() -> None:
            crowd = full()
            crowd.plain.most = 1
            peer = Peer(crowd, counter=Hander())
            said = await peer.ask(GET[:-2] + b"Connection: close\r\n\r\n")
            assert said == b"HTTP/1.1 200 OK\r\nx: y\r\nconnection: close\r\n\r\nhanded"
            assert peer.wire.closed

        run(story)

    @pytest.mark.parametrize("plain", [0, 10_000], ids=["away", "handed out"])
    def test_very_many_that_came_behind_one_are_answered_in_a_row(self, plain: int) -> None:
        async def story() -> None:
            crowd = full()
            crowd.whole.most, crowd.plain.most = 1, plain
            peer = Peer(crowd, counter=Hander())
            assert await peer.ask(GET + GET * 2000) == b""
            peer.go.set()
            said = b""
            for _ in range(200):
                await asyncio.sleep(0)
                crowd.whole.most = 0
            for _ in range(5000):
                said += peer.wire.taken()
                await asyncio.sleep(0)
            assert said.startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 2")
            assert said.count(b"HTTP/1.1 ") == 2001
            assert said.count(b"\r\n\r\nhanded" if plain else b"HTTP/1.1 503") == 2000

        run(story)


@pytest.mark.parametrize("fails", [False, True])
def test_a_place_is_given_back_whatever_becomes_of_the_request(fails: bool) -> None:
    async def story() -> None:
        crowd = Crowd(0.06, ["/v1/events"])
        peer = Peer(crowd)
        peer.fails = fails
        await peer.ask()
        assert crowd.whole.in_work == 1
        peer.protocol.connection_lost(None)
        peer.go.set()
        await asyncio.sleep(0.01)
        assert crowd.whole.in_work == 0

    run(story)


def test_more_connections_than_there_may_be_are_sent_away_and_closed() -> None:
    async def story() -> None:
        state = ServerState()
        peers = [Peer(Crowd(0.06, [], connections=2), state=state) for _ in range(3)]
        said = await peers[2].ask(b"GET /health/live HTTP/1.1\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in said.lower()
        assert peers[2].wire.closed

    run(story)


class TestLettingGo:
    def test_a_request_on_its_way_when_the_process_ends_is_answered(self) -> None:
        async def story() -> None:
            peer = Peer()
            peer.go.set()
            await peer.ask()
            peer.protocol.shutdown()
            assert not peer.wire.closed
            said = await peer.ask()
            assert said.endswith(b"\r\n\r\nok")
            assert b"connection: close\r\n" in said
            assert peer.wire.closed

        run(story)

    def test_uvicorns_own_connection_would_be_closed_under_it(self) -> None:
        """So that the test before this one is known to test something."""

        async def story() -> None:
            peer = Peer(kind=HttpToolsProtocol)
            peer.go.set()
            await peer.ask()
            peer.protocol.shutdown()
            assert peer.wire.closed

        run(story)

    def test_one_that_is_being_answered_is_told(self) -> None:
        async def story() -> None:
            peer = Peer()
            await peer.ask()
            peer.protocol.shutdown()
            peer.go.set()
            assert b"connection: close\r\n" in await peer.ask(b"")
            assert peer.wire.closed

        run(story)

    @pytest.mark.parametrize("asked", [False, True])
    def test_one_on_which_nothing_comes_is_closed_after_a_moment(
        self, asked: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def story() -> None:
            monkeypatch.setattr(connection, "LINGER", 0.01)
            peer = Peer()
            peer.go.set()
            if asked:
                await peer.ask()
            peer.protocol.shutdown()
            assert not peer.wire.closed
            for _ in range(1000):
                if peer.wire.closed:
                    break
                await asyncio.sleep(0.01)
            assert peer.wire.closed

        run(story)
