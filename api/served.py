"""Served: which items went into the mails of a user and when, so that a layout can cap how often.

Kept only while some layout has a cap: a sorted set a user, of send and item by the time of the first answer. A mail
that is asked for again is the same mail: it neither counts anew nor counts against itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import redis.asyncio

DAYS: Final = 90
"""How long it is remembered, as long as a cap may look back."""
_SECONDS: Final = DAYS * 86_400


class Served:
    """The memory of what was served.

    Args:
        client: connected to the Redis of the online store.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def before_all(
        self, user_ids: Collection[str], send_id: str | None, now: int
    ) -> dict[str, dict[str, list[int]]]:
        """By user, when each item went into a mail to them other than this one, in seconds since 1970.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        pipeline = self._client.pipeline(transaction=False)
        for user_id in user_ids:
            pipeline.zrangebyscore(served_key(user_id), now - _SECONDS, "+inf", withscores=True)
        return {
            user_id: _times(pairs, send_id) for user_id, pairs in zip(user_ids, await pipeline.execute(), strict=True)
        }

    async def note_all(self, shown: Mapping[str, Iterable[str]], send_id: str, now: int) -> None:
        """Remember what the mails to some users hold; of a mail asked for again, the time of the first answer stays.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        pipeline = self._client.pipeline(transaction=False)
        for user_id, item_ids in shown.items():
            if members := {f"{send_id}\n{item_id}": now for item_id in item_ids}:
                pipeline.zadd(served_key(user_id), members, nx=True)
                pipeline.zremrangebyscore(served_key(user_id), "-inf", now - _SECONDS)
                pipeline.expire(served_key(user_id), _SECONDS)
        await pipeline.execute()


def _times(pairs: Any, send_id: str | None) -> dict[str, list[int]]:
    """By item, the times of the sends other than this one."""
    found: dict[str, list[int]] = {}
    for member, at in pairs:
        send, _, item_id = member.decode().partition("\n")
        if send != send_id:
            found.setdefault(item_id, []).append(int(at))
    return found


def served_key(user_id: str) -> str:
    """Where it is kept for a user."""
    return f"inlay:served:{user_id}"
