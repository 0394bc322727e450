"""How often somebody may call: counted in this process, and in Redis for all processes together, a little later.

A call costs no other process anything: it is counted in memory, and several times a second what was counted goes to
Redis, which answers how much is left. So all processes together may let through what they take within one such moment
beyond the limit, and while Redis is away each counts for itself. Only whoever asks for a token waits for Redis.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import redis
import redis.asyncio
from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from msgspec import Struct

from api.access import Caller
from api.metrics import LIMITED
from api.networks import network_of

PREFIX: Final = "inlay:rate"
SHARE_EVERY: Final = 0.2
"""Seconds after which what was counted here is known everywhere."""
MOST_COUNTED: Final = 20_000
"""Callers and networks that a process counts at once."""
WRITE: Final = "write a rate such as 600/minute, 20/second or 100000/day"

_log: Final = logging.getLogger(__name__)


def read_rate(text: str) -> RateLimitItem | None:
    """A rate as `600/minute`; none if it is empty.

    Raises:
        ValueError: it is something else.
    """
    if not text.strip():
        return None
    try:
        item = parse(text)
    except ValueError:
        raise ValueError(f"{text!r} is no rate; {WRITE}") from None
    if item.amount < 1:
        raise ValueError(f"{text!r} lets nobody call; {WRITE}")
    return item


class Counted(Struct):
    """The calls of one caller or network within one window.

    Attributes:
        fresh: taken since the last time that was told.
        elsewhere: what Redis said of all processes by then.
        ends_at: when the window ends, by the clock of `Rates`.
    """

    item: RateLimitItem
    ends_at: float
    fresh: int = 0
    elsewhere: int = 0


class Rates:
    """Counts calls.

    Args:
        client: the Redis in which all processes count.
        key: how often a key may call that has no rate of its own; empty: as often as it likes.
        network: how often all of a network may call; empty: likewise.
        clock: seconds, for windows.
    """

    def __init__(
        self, client: redis.asyncio.Redis, key: str, network: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        storage = RedisStorage(  # which reads the address, and then uses the pool that it is given
            "async+redis://127.0.0.1:6379",
            implementation="redispy",
            key_prefix=PREFIX,
            connection_pool=client.connection_pool,
        )  # fmt: skip
        self._shared: Any = FixedWindowRateLimiter(storage)
        self._key, self._network, self._clock = read_rate(key), read_rate(network), clock
        self._items: dict[str, RateLimitItem | None] = {"": self._key}
        self._counted: dict[tuple[str, str], Counted] = {}

    def over(self, caller: Caller, address: str) -> float:
        """Count a call; the seconds to wait before the next one is taken, 0 if this one is."""
        wait = 0.0
        rate = caller.rate
        item = self._items[rate] if rate in self._items else self._items.setdefault(rate, read_rate(rate))
        if item is not None:
            wait = self._count("key", caller.key_id or caller.name, item)
        if self._network is not None:
            wait = max(wait, self._count("network", network_of(address), self._network))
        if wait:
            LIMITED.inc()
        return wait

    def _count(self, what: str, who: str, item: RateLimitItem) -> float:
        now = self._clock()
        counted = self._counted.get((what, who))
        if counted is None or counted.ends_at <= now or counted.item is not item:
            if len(self._counted) >= MOST_COUNTED:
                self._tidy(now)
            counted = self._counted[what, who] = Counted(item, now + item.get_expiry())
        if counted.elsewhere + counted.fresh >= item.amount:
            return max(counted.ends_at - now, 0.001)
        counted.fresh += 1
        return 0.0

    def _tidy(self, now: float) -> None:
        """Forget windows that are over; if none is, all of them: a limit is then late, and memory never short."""
        self._counted = {who: each for who, each in self._counted.items() if each.ends_at > now}
        if len(self._counted) >= MOST_COUNTED:
            self._counted.clear()

    async def share(self) -> None:
        """Tell what was counted here, and learn what was elsewhere.

        Raises:
            redis.RedisError: Redis does not answer; what was counted is told the next time.
        """
        storage = self._shared.storage
        for (what, who), counted in list(self._counted.items()):
            fresh = counted.fresh
            if not fresh:
                continue
            key = counted.item.key_for(what, who)
            total = await storage.incr(key, counted.item.get_expiry(), amount=fresh)
            counted.fresh -= fresh
            counted.elsewhere = total
            left = await storage.get_expiry(key) - time.time()
            counted.ends_at = min(counted.ends_at, self._clock() + max(0.0, left))

    async def keep_sharing(self) -> None:
        """Share several times a second, for ever."""
        failed = False
        while True:
            await asyncio.sleep(SHARE_EVERY)
            try:
                await self.share()
                failed = False
            except (redis.RedisError, OSError, asyncio.TimeoutError) as error:
                if not failed:  # once an outage
                    _log.warning("calls are counted a process until Redis answers: %s", error)
                failed = True

    async def take(self, item: RateLimitItem, *who: str) -> bool:
        """Count a call in Redis at once; whether it is within the rate.

        Raises:
            redis.RedisError: Redis does not answer, and whoever asks must be refused.
        """
        return bool(await self._shared.hit(item, *who))
