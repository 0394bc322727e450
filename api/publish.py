"""Publishing for the API: never longer than it may take, and onto this machine's disk where the stream is not there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from typing import Final

import redis
from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport

from api.metrics import SPOOL_BYTES, SPOOLED
from api.spool import Spool
from dataflows.connectors import Publisher, StreamError

UNAVAILABLE: Final = (redis.RedisError, OSError, StreamError)
"""What a stream raises that does not take events now."""
ADOPT_EVERY: Final = 5.0
MOST_PAUSE: Final = 2.0
"""Seconds: between looks for files that other processes left, and at most between tries."""

_log = logging.getLogger(__name__)


class Bounded:
    """A publisher that answers in time, whatever happens to the one behind it.

    Args:
        inner: the stream's own.
        seconds: how long it may take.
    """

    def __init__(self, inner: Publisher, seconds: float) -> None:
        self.partitions = inner.partitions
        self._inner, self._seconds = inner, seconds

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """As `Publisher.publish`.

        Raises:
            TimeoutError: the stream did not acknowledge them in time; they may be in it all the same.
        """
        try:
            async with timeout(self._seconds):  # `wait_for` makes a task each time
                await self._inner.publish(records)
        except asyncio.TimeoutError:  # no OSError before Python 3.11
            raise TimeoutError(f"the stream did not acknowledge events within {self._seconds:g} s") from None

    async def close(self) -> None:
        """As `Publisher.close`."""
        await self._inner.close()


class Spooled:
    """A publisher with a spool: what the stream does not take goes onto the disk, and from there, in order, to it.

    While the spool holds anything, what is new goes behind it, so that a user's events stay in order.

    Args:
        inner: the stream, in time.
        spool: the disk.
    """

    def __init__(self, inner: Publisher, spool: Spool) -> None:
        self.partitions = inner.partitions
        self._inner, self._spool = inner, spool
        self._filled = asyncio.Event()
        self._turning: asyncio.Event | None = None
        self._draining: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to drain, first what processes left that are no more."""
        self._draining = asyncio.create_task(self._drain())

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Returns once the records are in the stream, or on the disk.

        Raises:
            SpoolFull: neither takes them.
            OSError: neither takes them.
        """
        while self._turning is not None:  # the last of the spool is on its way
            await self._turning.wait()
        if self._spool.is_empty:
            try:
                await self._inner.publish(records)
            except UNAVAILABLE as error:
                if self._spool.is_empty:  # once an outage
                    _log.warning("the stream takes no events, they go into the spool: %s", error)
            else:
                return
        await self._spool.append(records)
        SPOOLED.inc(len(records))
        self._filled.set()

    async def close(self) -> None:
        """Stop; what is on the disk stays there."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)
        await self._spool.close()
        await self._inner.close()

    async def _drain(self) -> None:
        tries = 0
        while True:
            try:
                if self._spool.is_empty:
                    await self._spool.adopt()
                await self._drain_spool()
                tries = 0
                self._filled.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._filled.wait(), ADOPT_EVERY)
            except UNAVAILABLE:
                tries += 1
                await asyncio.sleep(random.uniform(0.5, 1) * min(MOST_PAUSE, 0.05 * 2**tries))  # noqa: S311  # no secret

    async def _drain_spool(self) -> None:
        """Publish all that the spool holds, oldest first."""
        while (file := self._spool.oldest()) is not None:
            SPOOL_BYTES.set(self._spool.size)
            records, position = await asyncio.to_thread(file.read)
            if records:
                await self._inner.publish(records)
                file.position = position
            elif not self._spool.finish(file):
                await self._turn()
        SPOOL_BYTES.set(0)

    async def _turn(self) -> None:
        """Let new events wait until the last ones on the disk are in the stream: under load more would always come."""
        self._turning = asyncio.Event()
        try:
            await self._spool.written()
            while (file := self._spool.oldest()) is not None:
                records, position = await asyncio.to_thread(file.read)
                if records:
                    await self._inner.publish(records)
                    file.position = position
                else:
                    self._spool.finish(file)
        finally:
            self._turning.set()
            self._turning = None
