"""A snapshot: what is popular everywhere and its catalogue rows, kept for when the store is not there."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import redis
from msgspec import Struct

from api.features import OnlineFeatures
from api.known import CatalogueRow, ScopeFeatures

REFRESH_SECONDS: Final = 2.0


class Snapshot(Struct):
    """The last that was read: enough to answer any layout without the online store."""

    everywhere: ScopeFeatures = ScopeFeatures()
    catalogue: dict[str, CatalogueRow] = {}

    @property
    def fallback(self) -> tuple[str, ...]:
        """Items that may stand in for anything: bestsellers, then what is trending, then the newest."""
        newest = sorted(self.catalogue, key=lambda item_id: -(self.catalogue[item_id].added_at or 0))
        return tuple(dict.fromkeys((*self.everywhere.bestsellers, *self.everywhere.items, *newest)))


async def keep_fresh(snapshot: Snapshot, features: OnlineFeatures) -> None:
    """Refresh the snapshot every few seconds, for ever; what was read last stays while nothing can be read."""
    while True:
        try:
            await refresh(snapshot, features)
        except (redis.RedisError, OSError, asyncio.TimeoutError) as error:
            logging.getLogger(__name__).warning("the snapshot of popular items was not refreshed: %s", error)
        await asyncio.sleep(REFRESH_SECONDS)


async def refresh(snapshot: Snapshot, features: OnlineFeatures) -> None:
    """Read once.

    Raises:
        redis.RedisError: the online store does not answer.
    """
    everywhere = (await features.scopes(["all"]))["all"]
    wanted = list(dict.fromkeys((*everywhere.items, *everywhere.bestsellers)))
    if wanted:
        snapshot.catalogue = await features.catalogue(wanted)
        snapshot.everywhere = everywhere
