"""Erasures that are on their way, in Redis: whoever is killed in the midst of one, another process goes on with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from secrets import token_hex
from typing import Any, Final

import msgspec
import redis
import redis.asyncio

JOBS: Final = "inlay:erasing"
LEASE: Final = "inlay:erasing:{}"
LEASE_SECONDS: Final = 15
RENEW_EVERY: Final = 4.0
REPORT_KEY: Final = "inlay:erasures:{}"
REPORT_SECONDS: Final = 90 * 86_400
"""How long a report is kept; it names nobody."""

_GIVE_BACK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class Report(msgspec.Struct):
    """What became of an erasure. Times are RFC 3339; `user` is a hash.

    Attributes:
        state: `running`, `done`, or `left`: something is there still, or could not be looked at.
        ids: how many ids went: the user's, and those of devices and other names that were nobody else's.
        erased: by place, how much was found and erased.
        left: by place, how much is there after that.
        kept: what a no must outlive: the consents that were withheld.
        notes: what to know, in words.
        tries: how often it was begun, by whatever process.
    """

    erasure: str
    user: str
    state: str
    started_at: str
    ended_at: str = ""
    ids: int = 0
    erased: dict[str, int] = {}
    left: dict[str, int] = {}
    kept: list[str] = []
    notes: list[str] = []
    tries: int = 0


class Job(msgspec.Struct):
    """An erasure that is not done.

    Attributes:
        user_id: who is erased.
        report: as far as it is known.
        ids: that are known to go.
        next_at: seconds since 1970, when it is to be taken up if nobody is at it.
    """

    user_id: str
    report: Report
    ids: list[str]
    next_at: int = 0


class Jobs:
    """The erasures that are not done, and who is at them.

    Args:
        client: the Redis of the online store.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client, self._me = client, token_hex(8).encode()
        self._give_back = client.register_script(_GIVE_BACK)

    async def save(self, job: Job) -> None:
        """Write down how far one is, and the report of it.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        pipeline = self._client.pipeline()
        pipeline.hset(JOBS, job.report.erasure, msgspec.msgpack.encode(job))
        _write(pipeline, job.report)
        await pipeline.execute()

    async def end(self, report: Report, answers: Sequence[str]) -> None:
        """Write the last word, and forget whom it was about: all at once, so that nobody who is killed leaves a part.

        Args:
            report: the last word.
            answers: keys of what the flows said, which names who went.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        pipeline = self._client.pipeline()
        _write(pipeline, report)
        pipeline.hdel(JOBS, report.erasure)
        pipeline.delete(*answers)
        await pipeline.execute()

    async def report(self, erasure: str) -> Report | None:
        """The report of an erasure; none if there is no such.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.get(REPORT_KEY.format(erasure))
        return None if found is None else msgspec.json.decode(found, type=Report)

    async def waiting(self, now: int) -> list[Job]:
        """Those that are to be taken up at `now` (seconds since 1970), if nobody is at them.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.hgetall(JOBS)
        jobs = [msgspec.msgpack.decode(raw, type=Job) for raw in found.values()]
        return [job for job in jobs if job.next_at <= now]

    @contextlib.asynccontextmanager
    async def mine(self, erasure: str) -> AsyncIterator[bool]:
        """Whether this process is the one that is at an erasure, and that it stays so meanwhile.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        key = LEASE.format(erasure)
        if not await self._client.set(key, self._me, nx=True, ex=LEASE_SECONDS):
            yield False
            return
        renewing = asyncio.create_task(self._renew(key))
        try:
            yield True
        finally:
            renewing.cancel()
            with contextlib.suppress(redis.RedisError, OSError):  # it ends by itself
                await self._give_back([key], [self._me])

    async def _renew(self, key: str) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            with contextlib.suppress(redis.RedisError, OSError):  # another process may begin: it does no harm
                await self._client.expire(key, LEASE_SECONDS)


def _write(pipeline: Any, report: Report) -> None:
    pipeline.set(REPORT_KEY.format(report.erasure), msgspec.json.encode(report), ex=REPORT_SECONDS)
