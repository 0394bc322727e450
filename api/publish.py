"""Publishing for the API: never longer than it may take, and onto this machine's disk where the stream is not there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import redis
from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport

from api.forgetting import owner_of
from api.metrics import SPOOL_BYTES, SPOOLED
from api.spool import Spool, SpoolFile
from dataflows.connectors import Publisher, StreamError

UNAVAILABLE: Final = (redis.RedisError, OSError, StreamError)
"""What a stream raises that does not take events now."""
ADOPT_EVERY: Final = 5.0
MOST_PAUSE: Final = 2.0
"""Seconds: between looks for files that other processes left, and at most between tries."""

_log = logging.getLogger(__name__)


async def at_once() -> None:
    """Nothing that is waited for."""


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
        ready: awaited before what the disk holds is published.
        was_before: whether an event, of a file that was written to at some time at last, is of somebody erased since.
    """

    def __init__(
        self,
        inner: Publisher,
        spool: Spool,
        ready: Callable[[], Awaitable[None]] = at_once,
        was_before: Callable[[bytes, int], bool] = lambda raw, written_at: False,
    ) -> None:
        self.partitions = inner.partitions
        self._inner, self._spool, self._ready, self._was_before = inner, spool, ready, was_before
        self._one_at_a_time = asyncio.Lock()
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

    async def forget(self, is_gone: Callable[[str], bool]) -> int:
        """Take out of this process's own files what there is of some users; how much that was."""
        async with self._one_at_a_time:
            if self._spool.is_empty:
                return 0
            async with self._nothing_new():
                return await self._spool.without(lambda raw: is_gone(owner_of(raw)))

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
                    await self._ready()
                    await self._spool.adopt(self._was_before)
                while await self._drain_some():
                    pass
                SPOOL_BYTES.set(0)
                tries = 0
                self._filled.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._filled.wait(), ADOPT_EVERY)
            except UNAVAILABLE:
                tries += 1
                await asyncio.sleep(random.uniform(0.5, 1) * min(MOST_PAUSE, 0.05 * 2**tries))  # noqa: S311  # no secret

    async def _drain_some(self) -> bool:
        """Publish some of what the spool holds, oldest first; whether there may be more."""
        await self._ready()
        async with self._one_at_a_time:
            if (file := self._spool.oldest()) is None:
                return False
            SPOOL_BYTES.set(self._spool.size)
            if not await self._publish_from(file) and not self._spool.finish(file):
                async with self._nothing_new():  # under load more would always come
                    while (file := self._spool.oldest()) is not None:
                        if not await self._publish_from(file):
                            self._spool.finish(file)
            return True

    async def _publish_from(self, file: SpoolFile) -> bool:
        """Publish the next records of a file; False at its end."""
        records, position = await asyncio.to_thread(file.read)
        if records:
            await self._inner.publish(records)
            file.position = position
        return bool(records)

    @contextlib.asynccontextmanager
    async def _nothing_new(self) -> AsyncIterator[None]:
        """Let new events wait meanwhile; nothing is on its way onto the disk."""
        self._turning = asyncio.Event()
        try:
            await self._spool.written()
            yield
        finally:
            self._turning.set()
            self._turning = None
