"""Who was erased lately, as digests: what was on its way between partitions then must not bring them back."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from dataflows.events import DAY
from dataflows.stages import Command

ERASED_KEY: Final = "inlay:erased:{}"
KEPT: Final = DAY
"""Microseconds for which it is remembered."""


class ErasedIds:
    """Those of one partition.

    Args:
        client: the Redis that the flow commits to.
        partition: whose.
    """

    def __init__(self, client: Any, partition: int) -> None:
        self._key = ERASED_KEY.format(partition)
        self._at = {field.hex(): int(at) for field, at in client.hgetall(self._key).items()}

    def note(self, user: str, now: int) -> list[Command]:
        """What remembers a user, and forgets who was erased long ago."""
        over = [digest for digest, at in self._at.items() if at < now - KEPT]
        for digest in over:
            del self._at[digest]
        fresh = _digest(user)
        self._at[fresh] = now
        out: list[Command] = [("HSET", self._key, bytes.fromhex(fresh), now)]
        return [("HDEL", self._key, *map(bytes.fromhex, over)), *out] if over else out

    def __contains__(self, user: str) -> bool:
        return bool(self._at) and _digest(user) in self._at


def _digest(user: str) -> str:
    return blake2b(user.encode(), digest_size=16).hexdigest()
