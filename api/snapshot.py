"""A snapshot of what is popular, and of what came, fell in price or came back lately, with catalogue rows.

It answers in place of the online store when that is not there, and it offers what the store has no list of: the items
of a shop by the moment of their arrival, price drop or return. Those are looked for among what is popular, in the shop
as a whole and in its categories.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import redis
from msgspec import Struct

from api.features import OnlineFeatures
from api.known import CatalogueRow, ScopeFeatures

REFRESH_SECONDS: Final = 2.0
WIDE_EVERY: Final = 15
"""Every so many refreshes, categories are looked through too."""
SCOPES: Final = 100
"""How many categories are looked through."""
ITEMS: Final = 2000
"""How many catalogue rows are kept."""
PORTION: Final = 100
"""How many rows are read at once: requests are answered in between."""
MOMENTS: Final = ("added_at", "price_dropped_at", "restocked_at")
LISTED: Final = 60
"""How many items of a moment a scope lists."""


class Snapshot(Struct):
    """The last that was read: enough to answer any layout without the online store.

    Attributes:
        everywhere: what is popular in the whole shop.
        catalogue: rows of it, and of what is popular in its categories.
        fallback: items that may stand in for anything: bestsellers, then what is trending, then the newest.
        lately: by moment, then by scope, the items it came to, newest first.
    """

    everywhere: ScopeFeatures = ScopeFeatures()
    catalogue: dict[str, CatalogueRow] = {}
    fallback: tuple[str, ...] = ()
    lately: Mapping[str, Mapping[str, Sequence[str]]] = {}

    def take(self, everywhere: ScopeFeatures, catalogue: dict[str, CatalogueRow]) -> None:
        """Keep what was read."""
        self.everywhere, self.catalogue = everywhere, catalogue
        self.lately = {moment: _by_scope(catalogue, moment) for moment in MOMENTS}
        newest = self.lately["added_at"].get("all", ())
        known = (*everywhere.bestsellers, *everywhere.items, *newest, *sorted(catalogue))
        self.fallback = tuple(islice(dict.fromkeys(known), 300))


async def keep_fresh(snapshot: Snapshot, features: OnlineFeatures) -> None:
    """Refresh the snapshot every few seconds, for ever; what was read last stays while nothing can be read."""
    turn = 0
    while True:
        try:
            await refresh(snapshot, features, wide=turn % WIDE_EVERY == 0)
            turn += 1
        except (redis.RedisError, OSError, asyncio.TimeoutError) as error:
            logging.getLogger(__name__).warning("the snapshot of popular items was not refreshed: %s", error)
        await asyncio.sleep(REFRESH_SECONDS)


async def refresh(snapshot: Snapshot, features: OnlineFeatures, *, wide: bool = False) -> None:
    """Read once.

    Args:
        snapshot: what is refreshed.
        features: the reader of the online store.
        wide: whether to look through the categories too; otherwise what was found there last stays.

    Raises:
        redis.RedisError: the online store does not answer.
    """
    await features.look_at_flows()
    everywhere = (await features.scopes(["all"], however_old=True))["all"]
    wanted = list(dict.fromkeys((*everywhere.items, *everywhere.bestsellers)))
    if not wanted:
        return
    catalogue = {**snapshot.catalogue, **await features.catalogue(wanted)}
    if wide:
        scopes = await features.scopes(_categories(catalogue.values()))
        lists = (ids for scope in scopes.values() for ids in (scope.items, scope.bestsellers))
        wanted = list(islice(dict.fromkeys((*wanted, *(item_id for ids in lists for item_id in ids))), ITEMS))
        catalogue = {}
        for start in range(0, len(wanted), PORTION):
            catalogue |= await features.catalogue(wanted[start : start + PORTION])
    snapshot.take(everywhere, catalogue)


def _categories(rows: Iterable[CatalogueRow]) -> list[str]:
    """The scopes of the most frequent categories of some items, each level of them."""
    counted = Counter(scope for row in rows for scope in _scopes(row) if scope != "all")
    return [scope for scope, _ in counted.most_common(SCOPES)]


def _scopes(row: CatalogueRow) -> Iterator[str]:
    """The scopes that an item is in."""
    yield "all"
    parts = row.category.split("/") if row.category else []
    for depth in range(1, len(parts) + 1):
        yield f"category:{'/'.join(parts[:depth])}"


def _by_scope(catalogue: Mapping[str, CatalogueRow], moment: str) -> dict[str, list[str]]:
    """The items with a moment by scope, newest first, equal ones by id."""
    dated = [(-at, item_id) for item_id, row in catalogue.items() if (at := getattr(row, moment)) is not None]
    found: dict[str, list[str]] = {}
    for _, item_id in sorted(dated):
        for scope in _scopes(catalogue[item_id]):
            listed = found.setdefault(scope, [])
            if len(listed) < LISTED:
                listed.append(item_id)
    return found
