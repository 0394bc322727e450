"""A proxy before a server that is well: it answers late, in halves, with nonsense, or not at all.

async with slow_proxy(server.port) as proxy:
proxy.delay = lambda: 0.5
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable


class SlowProxy:
    """What is asked goes through as it comes; of what is answered a fault may be made.

    Attributes:
        delay: how many seconds each piece of an answer waits.
        cut: how many bytes of an answer come through before the connection is closed; None: all of them.
        instead: what is answered instead of what the server says; None: what it says.
        resets: whether a connection is reset in the place of an answer.
        most: how many connections there were at any time.
    """

    def __init__(self, port: int) -> None:
        self.delay: Callable[[], float] = lambda: 0.0
        self.cut: int | None = None
        self.instead: bytes | None = None
        self.resets: Callable[[], bool] = lambda: False
        self.url = ""
        self._port = port
        self._ends: set[asyncio.StreamWriter] = set()
        self.most = 0

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._ends) // 2

    async def serve(self, asked: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Stand between one connection and the server."""
        self._ends.add(answers)
        try:
            said, asks = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:  # there is nobody: as whoever connects would find out himself
            await self._close(answers)
            return
        self._ends.add(asks)
        self.most = max(self.most, self.open)
        passing = [asyncio.create_task(self._ask(asked, asks)), asyncio.create_task(self._answer(said, answers))]
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for each in passing:
            each.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        await self._close(answers, asks)

    async def close(self) -> None:
        """Close what is open."""
        await self._close(*self._ends)

    async def _ask(self, asked: asyncio.StreamReader, asks: asyncio.StreamWriter) -> None:
        while piece := await asked.read(65_536):
            asks.write(piece)
            await asks.drain()

    async def _answer(self, said: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        while piece := await said.read(65_536):
            await asyncio.sleep(self.delay())
            if self.resets():
                self._reset(answers)
                return
            answers.write(piece[: self.cut] if self.instead is None else self.instead)
            await answers.drain()
            if self.cut is not None:
                return

    def _reset(self, end: asyncio.StreamWriter) -> None:
        """Close so that the other side is told of an error, and nothing that is on its way comes."""
        linger = struct.pack("ii", 1, 0)
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        end.transport.abort()

    async def _close(self, *ends: asyncio.StreamWriter) -> None:
        for end in ends:
            self._ends.discard(end)
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()


@contextlib.asynccontextmanager
async def slow_proxy(port: int) -> AsyncIterator[SlowProxy]:
    """A proxy before the Redis at `port`, and its end."""
    proxy = SlowProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()
