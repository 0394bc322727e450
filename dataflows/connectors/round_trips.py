"""Round trips to Redis from an event loop, shared: while some commands are on their way, others gather for the next.

Under load a trip is shared by hundreds of callers, without load nobody waits for company. A connection, a timer and a
task for each command, as redis-py has them, take longer than reading the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

import redis
import redis.asyncio
from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport

CHUNK: Final = 1000
"""Commands of a trip, and those of one caller more."""


class RoundTrips:
    """Trips to one Redis.

    Args:
        client: connected to it.
        seconds: how long a trip may take, once there is a connection.
        each: seconds more for each of its commands.
        at_once: how many trips may be on their way; one keeps the order in which callers came.
        tries: how often a trip is tried whose connection turns out to be gone, or late; more than once is for reading.
    """

    def __init__(
        self, client: redis.asyncio.Redis, seconds: float, *, each: float = 0.0, at_once: int = 1, tries: int = 1
    ) -> None:
        self._client, self._seconds, self._each = client, seconds, each
        self._at_once, self._tries = at_once, tries
        self._gathered: deque[_Caller] = deque()
        self._going: set[asyncio.Task[None]] = set()

    async def ask(self, packed: Sequence[bytes]) -> list[Any]:
        """The answers to commands, packed as Redis reads them, in order; a refusal is one of them.

        A caller that gives up before they went takes them back.

        Raises:
            redis.RedisError: Redis does not answer, or not in time; it may have heard them all the same.
        """
        caller = _Caller(packed, asyncio.get_running_loop().create_future())
        self._gathered.append(caller)
        if len(self._going) < self._at_once:
            self._going.add(asyncio.create_task(self._go()))
        return await caller.done

    async def close(self) -> None:
        """Wait for what is on its way."""
        while self._going:
            await asyncio.wait(self._going)

    async def _go(self) -> None:
        """Make trips until nothing is left to be sent."""
        me: Any = asyncio.current_task()
        try:
            await self._go_on()
        finally:
            self._going.discard(me)  # at once, so that whoever comes next knows that it must go itself

    async def _go_on(self) -> None:
        while callers := self._next():
            packed = [command for caller in callers for command in caller.packed]
            try:
                answers = iter(await self._trip(packed))
            except Exception as error:  # whatever it is, it is each caller's to handle
                for caller in callers:
                    caller.fail(error)
            else:
                for caller in callers:
                    caller.settle(answers)

    def _next(self) -> list[_Caller]:
        """Callers with at most about CHUNK commands that still wait."""
        callers: list[_Caller] = []
        size = 0
        while self._gathered and size < CHUNK:
            caller = self._gathered.popleft()
            if not caller.done.done():
                callers.append(caller)
                size += len(caller.packed)
        return callers

    async def _trip(self, packed: Sequence[bytes]) -> list[Any]:
        for _ in range(self._tries - 1):
            try:
                return await self._answers(packed)
            except (redis.ConnectionError, redis.TimeoutError, OSError):
                continue
        return await self._answers(packed)

    async def _answers(self, packed: Sequence[bytes]) -> list[Any]:
        pool = self._client.connection_pool
        connection = await pool.get_connection()
        patience, connection.socket_timeout = connection.socket_timeout, None  # the trip's timer is the only one
        seconds = self._seconds + self._each * len(packed)
        try:
            async with timeout(seconds):
                await connection.send_packed_command([b"".join(packed)], check_health=False)
                return [await _answer(connection) for _ in packed]
        except asyncio.TimeoutError:
            await connection.disconnect(nowait=True)
            raise redis.TimeoutError(f"Redis did not answer within {seconds:g} s") from None
        except BaseException:
            await connection.disconnect(nowait=True)  # answers that nobody waits for must not meet another question
            raise
        finally:
            connection.socket_timeout = patience
            await pool.release(connection)


async def _answer(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except redis.ResponseError as error:
        return error


class _Caller(NamedTuple):
    """Commands of one caller, and what it waits for."""

    packed: Sequence[bytes]
    done: asyncio.Future[list[Any]]

    def settle(self, answers: Iterator[Any]) -> None:
        """Take its answers from the front of `answers`."""
        mine = list(islice(answers, len(self.packed)))
        if not self.done.done():
            self.done.set_result(mine)

    def fail(self, error: Exception) -> None:
        """Tell the caller, if it still listens."""
        if not self.done.done():
            self.done.set_exception(error)
