"""A proxy on a thread of its own, before any server, with the faults that networks have.

with faulty_proxy(server.port) as proxy:
    proxy.fault = "blackhole"       # from now on, also for connections that are open
    proxy.fault = ""                # well again
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Final

FAULTS: Final = ("latency", "jitter", "slicer", "reset", "blackhole", "half_open")
"""Late by as much each time; late by more or less; in small pieces; cut off hard in the middle; nothing comes through,
and nobody is told; the server's side is gone, and the client is not told."""
RESET: Final = struct.pack("ii", 1, 0)
PIECE: Final = 64


class FaultyProxy:
    """Passes bytes both ways.

    Args:
        port: of the server.
        own_port: where it listens; 0: anywhere.

    Attributes:
        fault: one of `FAULTS`, or nothing.
        port: where it listens.
    """

    def __init__(self, port: int, own_port: int = 0) -> None:
        self.fault = ""
        self._server_port, self.port = port, own_port
        self._chance = random.Random(7)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="faulty proxy", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._ready.wait(10)

    def stop(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._between, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _between(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            to_client.close()
            return
        passing = [
            asyncio.create_task(self._pass(client, to_server, to_client)),
            asyncio.create_task(self._pass(server, to_client, to_client)),
        ]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in passing:
                each.cancel()
            for end in (to_client, to_server):
                with contextlib.suppress(OSError):
                    end.close()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, to_client: asyncio.StreamWriter
    ) -> None:
        """Until one end hangs up, or a fault ends it."""
        with contextlib.suppress(OSError):
            while piece := await source.read(65_536):
                fault = self.fault
                if fault == "latency":
                    await asyncio.sleep(0.05)
                elif fault == "jitter":
                    await asyncio.sleep(self._chance.uniform(0, 0.1))
                elif fault == "reset":
                    sink.write(piece[: len(piece) // 2])
                    _reset(to_client)
                    return
                elif fault == "blackhole":
                    continue
                elif fault == "half_open":
                    if sink is not to_client:
                        sink.close()
                    await self._stopping.wait()
                if fault == "slicer":
                    for first in range(0, len(piece), PIECE):
                        sink.write(piece[first : first + PIECE])
                        await sink.drain()
                        await asyncio.sleep(0)
                else:
                    sink.write(piece)
                    await sink.drain()


def _reset(end: asyncio.StreamWriter) -> None:
    """Close as if the machine had never heard of the connection."""
    with contextlib.suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.transport.abort()


@contextlib.contextmanager
def faulty_proxy(port: int, own_port: int = 0) -> Iterator[FaultyProxy]:
    """A running proxy, and its end."""
    proxy = FaultyProxy(port, own_port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
