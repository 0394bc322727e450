"""Online features for blocks: read straight from Feast's layout in Redis, asynchronously, a few round trips a mail."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from api.known import CatalogueRow, Neighbour, ScopeFeatures, UserFeatures
from api.metrics import UNREADABLE
from feature_repo.layout import ITEM, SCOPE, USER, EntityLayout, UnreadableValue

USER_NAMES: Final = (
    "recent_items", "cart_items", "purchased_items", "wishlist_items", "top_categories", "country", "locale",
    "first_name",
)  # fmt: skip
USER_VIEWS: Final = ("user_activity", "user_items")
CATALOGUE_NAMES: Final = (
    "title", "url", "image_url", "price", "list_price", "currency", "category", "brand", "in_stock", "added_at",
    "price_dropped_at", "restocked_at",
)  # fmt: skip


class OnlineFeatures:
    """The reader.

    Args:
        client: connected to the Redis of the online store.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client

    async def user(self, user_id: str) -> UserFeatures:
        """What blocks need to know of a user."""
        fields = [*USER.fields(USER_NAMES), *(USER.stamps[view] for view in USER_VIEWS)]
        found: Any = await self._client.execute_command("HMGET", USER.key(user_id), *fields)
        known = dict(zip(USER_NAMES, _read_row(USER, USER_NAMES, found[: len(USER_NAMES)]), strict=True))
        stamps = {USER.stamps[view]: raw for view, raw in zip(USER_VIEWS, found[len(USER_NAMES) :], strict=True) if raw}
        times = USER.decode(stamps)[1].values()
        values = {name: value for name, value in known.items() if value is not None}
        return UserFeatures(as_of=max(times, default=None), **values)

    async def scopes(self, names: Collection[str]) -> dict[str, ScopeFeatures]:
        """What is popular in each scope."""
        rows = await self._read(SCOPE, names, ("items", "bestsellers"))
        return {name: ScopeFeatures(*(value or () for value in row)) for name, row in rows.items()}

    async def neighbours(self, item_ids: Collection[str]) -> dict[str, list[Neighbour]]:
        """What goes with each item, best first."""
        rows = await self._read(ITEM, item_ids, ("neighbours", "neighbour_weights"))
        return {
            item_id: [Neighbour(*pair) for pair in zip(ids or (), weights or (), strict=False)]
            for item_id, (ids, weights) in rows.items()
        }

    async def catalogue(self, item_ids: Collection[str]) -> dict[str, CatalogueRow]:
        """What mails show of items."""
        rows = await self._read(ITEM, item_ids, CATALOGUE_NAMES)
        return {item_id: CatalogueRow(*row) for item_id, row in rows.items()}

    async def everything(self, user_id: str) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
        """All that is known of a user, by view, and the time of each view (microseconds); states are left out."""
        found: Any = await self._client.execute_command("HGETALL", USER.key(user_id))
        pairs = found if isinstance(found, Mapping) else dict(zip(found[::2], found[1::2], strict=True))
        times = USER.decode({stamp: pairs[stamp] for stamp in USER.stamps.values() if stamp in pairs})[1]
        views: dict[str, dict[str, Any]] = {}
        for column in USER.columns.values():
            if column.field in pairs and column.view != "user_state":
                (value,) = _read_row(USER, (column.name,), (pairs[column.field],))
                views.setdefault(column.view, {})[column.name] = value
        return views, {view: at for view, at in times.items() if view != "user_state"}

    async def outcomes(self, flow: str) -> dict[str, int]:
        """How many events a flow received, and what became of them, over all time."""
        found: Any = await self._client.hgetall(f"inlay:outcomes:{flow}")
        return {name.decode(): int(number) for name, number in found.items()}

    async def ping(self) -> None:
        """Raise unless Redis answers."""
        await self._client.execute_command("PING")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _read(self, layout: EntityLayout, keys: Collection[str], names: Sequence[str]) -> dict[str, list[Any]]:
        if not keys:
            return {}
        fields = layout.fields(names)
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.execute_command("HMGET", layout.key(key), *fields)
        return {key: _read_row(layout, names, row) for key, row in zip(keys, await pipeline.execute(), strict=True)}


def _read_row(layout: EntityLayout, names: Sequence[str], raws: Sequence[bytes | None]) -> list[Any]:
    """The values of some features; one that cannot be read is missing, since a mail does well without it."""
    values = []
    for name, raw in zip(names, raws, strict=True):
        try:
            values.append(layout.columns[name].read(raw))
        except UnreadableValue as error:
            UNREADABLE.inc()
            logging.getLogger(__name__).warning("%s", error)
            values.append(None)
    return values


def connect(redis_url: str) -> redis.asyncio.Redis:
    """A client that answers or fails fast: bounded connections and times, one retry for a connection gone stale.

    redis-py's own defaults wait for ever on a server that hangs, and five seconds for one that is gone.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        redis_url, protocol=2, max_connections=32, timeout=0.02, socket_timeout=0.05, socket_connect_timeout=0.05,
        health_check_interval=15, retry=Retry(NoBackoff(), 1),
    )  # fmt: skip
    return redis.asyncio.Redis(connection_pool=pool)
