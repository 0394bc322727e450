"""Online features for blocks: read straight from Feast's layout in Redis, asynchronously, a few round trips a mail.

A row that is older than its view's limit is there for nobody: see `api.freshness`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from sys import intern
from typing import Any, Final

import redis.asyncio

from api.freshness import CaughtUp, too_old
from api.known import CatalogueRow, ScopeFeatures, UserFeatures, nearest
from api.metrics import STALE, UNREADABLE
from dataflows.connectors.redis_loop import open_client
from dataflows.connectors.round_trips import RoundTrips
from feature_repo.layout import ITEM, SCOPE, USER, EntityLayout, UnreadableValue, read_stamp

USER_NAMES: Final = (
    "recent_items", "cart_items", "purchased_items", "wishlist_items", "top_categories", "country", "locale",
    "first_name", "profile_allowed",
)  # fmt: skip
USER_VIEWS: Final = ("user_activity", "user_items")
SCOPE_NAMES: Final = ("items", "bestsellers")
SCOPE_VIEWS: Final = ("scope_popular", "scope_bestsellers")
USER_FIELDS: Final = (*USER.fields(USER_NAMES), *(USER.stamps[view] for view in USER_VIEWS))
_ask_user: Final = USER.hmget(USER_FIELDS)
TRIP_SECONDS: Final = 0.05
EACH_SECONDS: Final = 0.002
"""How long a round trip may take, and more for each of its commands."""
CONNECTIONS: Final = 32
FREE_SECONDS: Final = 1.0
"""How many connections a process has, and how long a free one is waited for where no deadline is sooner."""
CONSENTS: Final = ("email_allowed", "profile_allowed")
"""What is shown of who said no to a profile."""
CAUGHT_UP_KEY: Final = "inlay:caught_up:{}"
"""Where a flow says, by partition, up to when it has counted all that came."""
CATALOGUE_NAMES: Final = (
    "title", "url", "image_url", "price", "list_price", "currency", "category", "brand", "in_stock", "added_at",
    "price_dropped_at", "restocked_at",
)  # fmt: skip
WITHHELD: Final = ("profile_allowed", "country", "locale", "purchased_items")
"""What blocks are told of who withholds consent: where things are sold, in which language, and what not to offer."""
_SHOWN: Final = {name: USER.columns[name].view for name in USER_NAMES if name != "purchased_items"}
"""What is shown or followed, with its view; what was bought is kept out of mails however old it is."""


class OnlineFeatures:
    """The reader.

    Args:
        client: connected to the Redis of the online store.
        now: microseconds since 1970, by which rows are too old.
    """

    def __init__(self, client: redis.asyncio.Redis, now: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._client, self._now = client, now
        self._trips = RoundTrips(client, TRIP_SECONDS, each=EACH_SECONDS, at_once=2, tries=2)
        self._people = CaughtUp()

    async def look_at_flows(self) -> None:
        """Read how far the people flow is; asked for every few seconds, so that no mail waits for it."""
        found: Any = await self._client.hgetall(CAUGHT_UP_KEY.format("people"))
        partitions = int(found.pop(b"of", 0))
        self._people = CaughtUp({int(partition): int(at) for partition, at in found.items()}, partitions)

    async def user(self, user_id: str) -> UserFeatures:
        """What blocks need to know of a user."""
        (row,) = await self._trips.ask([_ask_user(user_id)])
        if isinstance(row, redis.ResponseError):
            raise row
        return self._user(user_id, row)

    async def users_of(self, user_ids: Collection[str]) -> dict[str, UserFeatures]:
        """Likewise of many users in one go; one who alone cannot be read is left out."""
        rows = await self._trips.ask(list(map(_ask_user, user_ids)))
        for row in rows:
            if isinstance(row, redis.ResponseError) and not str(row).startswith("WRONGTYPE"):
                raise row  # that is the store's trouble, not theirs
        return {
            user_id: self._user(user_id, row)
            for user_id, row in zip(user_ids, rows, strict=True)
            if not isinstance(row, redis.ResponseError)
        }

    def _user(self, user_id: str, found: Sequence[bytes | None]) -> UserFeatures:
        """The features in an answer to `USER_FIELDS`, without what is too old to be shown."""
        names = len(USER_NAMES)
        known = _read_row(USER, USER_NAMES, found[:names])
        times = {view: read_stamp(raw) for view, raw in zip(USER_VIEWS, found[names:], strict=True) if raw}
        values = {name: value for name, value in zip(USER_NAMES, known, strict=True) if value is not None}
        stale = self._stale_of(user_id, times, values)
        if stale:
            values = {name: value for name, value in values.items() if name not in _SHOWN or _SHOWN[name] not in stale}
        if values.get("profile_allowed") is False:
            return UserFeatures(**{name: value for name, value in values.items() if name in WITHHELD})
        return UserFeatures(as_of=max(times.values(), default=None), stale=stale, **values)

    def _stale_of(self, user_id: str, times: Mapping[str, int], values: Mapping[str, Any]) -> tuple[str, ...]:
        """The views of a user that are there and too old, and count them."""
        now = self._now()
        stale = []
        for view in USER_VIEWS:
            if view not in times and not any(USER.columns[name].view == view for name in values):
                continue  # it is not there, which is no question of age
            cause = too_old(times.get(view), USER.limits[view], now)
            if cause is None and self._people.is_behind(user_id, now):
                cause = "lag"
            if cause is not None:
                STALE.labels(view, cause).inc()
                stale.append(view)
        return tuple(stale)

    async def scopes(self, names: Collection[str], *, however_old: bool = False) -> dict[str, ScopeFeatures]:
        """What is popular in each scope; `however_old`: also what is too old to be popular still."""
        rows = await self._read(SCOPE, names, SCOPE_NAMES, () if however_old else SCOPE_VIEWS)
        return {
            name: ScopeFeatures(items or (), bestsellers or (), min(times.values(), default=None))
            for name, ((items, bestsellers), times) in rows.items()
        }

    async def neighbours(self, item_ids: Collection[str]) -> dict[str, dict[str, float]]:
        """What goes with each item and how well, the nearest first."""
        rows = await self._read(ITEM, item_ids, ("neighbours", "neighbour_weights"), ("item_neighbours",))
        return {
            item_id: nearest(zip(map(intern, ids or ()), weights or (), strict=False))  # the same few stand in many
            for item_id, ((ids, weights), _) in rows.items()
        }

    async def catalogue(self, item_ids: Collection[str]) -> dict[str, CatalogueRow]:
        """What mails show of items."""
        rows = await self._read(ITEM, item_ids, CATALOGUE_NAMES, ("item_catalogue",))
        return {item_id: CatalogueRow(*row) for item_id, (row, _) in rows.items()}

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
        said = views.get("user_profile", {})
        if said.get("profile_allowed") is False:
            views = {"user_profile": {name: said[name] for name in CONSENTS if said.get(name) is not None}}
            return views, {view: at for view, at in times.items() if view in views}
        return views, {view: at for view, at in times.items() if view != "user_state"}

    async def outcomes(self, flow: str) -> dict[str, int]:
        """How many events a flow received, and what became of them, over all time."""
        found: Any = await self._client.hgetall(f"inlay:outcomes:{flow}")
        return {name.decode(): int(number) for name, number in found.items()}

    async def audit(self) -> dict[str, int]:
        """What the latest audit compared and found; empty if there was none yet."""
        found: Any = await self._client.hgetall("inlay:audit")
        return {name.decode(): int(number) for name, number in found.items()}

    async def ping(self) -> None:
        """Raise unless Redis answers."""
        await self._client.execute_command("PING")

    async def close(self) -> None:
        """Close the connections."""
        await self._trips.close()
        await self._client.aclose()

    async def _read(
        self, layout: EntityLayout, keys: Collection[str], names: Sequence[str], views: Sequence[str]
    ) -> dict[str, tuple[list[Any], dict[str, int]]]:
        """Some features of each key, without those of `views` that are too old, and the times of those that are not."""
        if not keys:
            return {}
        fields = [*layout.fields(names), *(layout.stamps[view] for view in views)]
        answers = await self._trips.ask(list(map(layout.hmget(fields), keys)))
        now = self._now()
        rows = {}
        for key, found in zip(keys, answers, strict=True):
            if isinstance(found, redis.ResponseError):
                raise found
            values = _read_row(layout, names, found[: len(names)])
            times: dict[str, int] = {}
            for view, raw in zip(views, found[len(names) :], strict=True):
                at = read_stamp(raw) if raw else None
                cause = too_old(at, layout.limits[view], now)
                if cause is None and at is not None:
                    times[view] = at
                    continue
                theirs = [place for place, name in enumerate(names) if layout.columns[name].view == view]
                if any(values[place] is not None for place in theirs):
                    STALE.labels(view, cause).inc()
                    for place in theirs:
                        values[place] = None
            rows[key] = values, times
        return rows


def _read_row(layout: EntityLayout, names: Sequence[str], raws: Sequence[bytes | None]) -> list[Any]:
    """The values of some features; one that cannot be read is missing, since a mail does well without it."""
    values: list[Any] = []
    for name, raw in zip(names, raws, strict=True):
        if not raw:  # as most are
            values.append(None)
            continue
        try:
            values.append(layout.columns[name].read(raw))
        except UnreadableValue as error:
            UNREADABLE.inc()
            logging.getLogger(__name__).warning("%s", error)
            values.append(None)
    return values


def connect(redis_url: str) -> redis.asyncio.Redis:
    """A client that answers or fails fast: bounded connections and times, one retry for a connection gone stale.

    redis-py's own defaults wait for ever on a server that hangs, and five seconds for one that is gone. Where all
    connections are in use, a caller waits for one as long as its own deadline lets it: many calls at once are no fault.
    """
    return open_client(
        redis_url, connections=CONNECTIONS, free=FREE_SECONDS, answer=0.05, connect=0.05, again=1, protocol=2,
        health_check_interval=15,
    )  # fmt: skip
