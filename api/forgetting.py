"""Forgetting: what a process itself still holds of somebody who is erased, in its memory and on its disk, goes too.

Whoever is to be erased is written down in one log in Redis. Every process looks into it each second, drops what it
holds of them, and says up to where it has; a command to erase goes onto the stream only when all that are alive have.
So nothing that a process took before can come behind the command. A process that was away looks before it publishes
anything that waited, and so does one that finds what another left on its disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from hashlib import blake2b
from secrets import token_hex
from typing import Any, Final, TypeAlias

import msgspec
import redis
import redis.asyncio

from dataflows.connectors.redis_streams import order_of
from dataflows.erasing import ANSWER_SECONDS, ERASURE_KEY
from dataflows.events import Event, parse

LOG: Final = "inlay:forgotten"
PROCESSES: Final = "inlay:processes"
LOG_SECONDS: Final = 30 * 86_400
"""How long a process may have been away, and drops what it kept on its disk all the same."""
EVERY: Final = 1.0
FRESH_SECONDS: Final = 3.0
"""Whoever publishes what waited has looked that lately."""
ALIVE_SECONDS: Final = 10.0
"""A process that has not looked for so long is taken to be gone: longer than it may publish without a look."""
WAIT_SECONDS: Final = 5.0
"""How long is waited for the processes that are alive."""
LOOK_EVERY: Final = 0.02

_LOOK: Final = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. redis.call('TIME')[1])
return redis.call('XRANGE', KEYS[2], '(' .. ARGV[2], '+')
"""
_log: Final = logging.getLogger(__name__)

IsGone: TypeAlias = Callable[[str], bool]
"""Whether an id is one of those that are erased now."""
Forget: TypeAlias = Callable[[IsGone], Awaitable[int]]
"""Drops what there is of some ids; how much that was."""


def digest(user_id: str) -> bytes:
    """What an id is in the log, which names nobody."""
    return blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def content_of(raw: bytes) -> dict[str, Any]:
    """What is in an event's bytes; nothing, if they are none."""
    try:
        content = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def owner_in(content: Mapping[str, Any]) -> str:
    """Whose an event is."""
    found = content.get("user_id") or content.get("anonymous_id")
    return found if isinstance(found, str) else ""


def owner_of(raw: bytes) -> str:
    """Whose an event is, from its bytes."""
    return owner_in(content_of(raw))


class Forgetting:
    """Follows the log. All methods belong to one event loop.

    Args:
        client: the Redis of the online store.
        process: what names this process.
        monotonic: a clock, in seconds.
    """

    def __init__(
        self, client: redis.asyncio.Redis, process: str = "", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._process, self._monotonic = client, process or token_hex(6), monotonic
        self._look = client.register_script(_LOOK)
        self._places: dict[str, Forget] = {}
        self._gone: dict[bytes, int] = {}
        self._last, self._looked_at = "0-0", float("-inf")
        self._one_at_a_time = asyncio.Lock()

    def add(self, name: str, forget: Forget) -> None:
        """Let a place be told of who is erased; what it dropped is counted under its name."""
        self._places[name] = forget

    @property
    def names(self) -> tuple[str, ...]:
        """Of the places."""
        return tuple(self._places)

    def was_before(self, raw: bytes, written_at: int) -> bool:
        """Whether an event that another process left was there before its owner was erased.

        Args:
            raw: the event.
            written_at: microseconds since 1970, when it was left at the latest.
        """
        if (at := self._gone.get(digest(owner_of(raw)))) is None:
            return False
        event = parse(raw, at)
        return at >= written_at or not isinstance(event, Event) or event.at <= at

    async def look(self) -> None:
        """Read what is new in the log, drop what there is of those in it, and say so.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        async with self._one_at_a_time:
            for place, fields in await self._new():
                await self._forget(place.decode(), fields)
                self._last = place.decode()
                await self._new()  # which says so
            self._looked_at = self._monotonic()

    async def look_lately(self) -> None:
        """Look, if the last time is a while ago: before what waited is published.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if self._monotonic() > self._looked_at + FRESH_SECONDS:
            await self.look()

    async def keep_looking(self) -> None:
        """Look every second, for ever."""
        while True:
            with contextlib.suppress(redis.RedisError, OSError):  # the next look may do better
                await self.look()
            await asyncio.sleep(EVERY)

    async def tell(self, erasure: str, ids: Collection[str]) -> bool:
        """Let all processes drop what they hold of some ids; whether all that are alive have, in time.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        seconds, _ = await self._client.time()
        least = (int(seconds) - LOG_SECONDS) * 1000
        fields = {b"erasure": erasure.encode(), b"ids": b"".join(map(digest, ids))}
        place: Any = await self._client.xadd(LOG, fields, minid=least, approximate=True)
        await self.look()
        until = self._monotonic() + WAIT_SECONDS
        while behind := await self._behind(place.decode()):
            if self._monotonic() > until:
                _log.warning("processes of the API have not dropped what they hold: %s", ", ".join(behind))
                return False
            await asyncio.sleep(LOOK_EVERY)
        return True

    async def close(self) -> None:
        """Take this process off the list, so that nobody waits for it."""
        with contextlib.suppress(redis.RedisError, OSError):
            await self._client.hdel(PROCESSES, self._process)

    async def _new(self) -> list[Any]:
        found: Any = await self._look([PROCESSES, LOG], [self._process, self._last])
        return list(found)

    async def _behind(self, place: str) -> list[str]:
        """The processes that are alive and have not come so far."""
        found: Any = await self._client.hgetall(PROCESSES)
        seconds, _ = await self._client.time()
        behind = []
        for name, said in found.items():
            up_to, looked_at = said.decode().split(" ")
            if int(looked_at) < int(seconds) - ALIVE_SECONDS:
                if int(looked_at) < int(seconds) - LOG_SECONDS:
                    await self._client.hdel(PROCESSES, name)
            elif order_of(up_to) < order_of(place):
                behind.append(name.decode())
        return behind

    async def _forget(self, place: str, fields: list[bytes]) -> None:
        said = dict(zip(fields[::2], fields[1::2], strict=True))
        joined, erasure = said.get(b"ids", b""), said.get(b"erasure", b"").decode()
        ids = {joined[at : at + 16] for at in range(0, len(joined), 16)}
        self._gone.update(dict.fromkeys(ids, order_of(place)[0] * 1000))
        dropped = {name: await forget(lambda each: digest(each) in ids) for name, forget in self._places.items()}
        key = ERASURE_KEY.format(erasure)
        pipeline = self._client.pipeline()
        for name, number in dropped.items():
            if number:
                pipeline.hincrby(key, f"dropped {name}", number)
                pipeline.expire(key, ANSWER_SECONDS)
        await pipeline.execute()
