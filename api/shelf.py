"""A shelf: what many mails need alike (what is popular, what goes with what, catalogue rows), read once for all.

What lies on it is cleared away after a moment, so that a mail that is made later sees what changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from api import resolve
from api.features import OnlineFeatures
from api.known import CatalogueRow, Known, Neighbour, ScopeFeatures, UserFeatures
from api.plans import Layout
from api.snapshot import Snapshot

FRESH: Final = 2.0
"""Seconds after which everything is read anew."""
MOST_ROWS: Final = 20_000
"""How many catalogue rows lie on it at most; then it is cleared."""
MADE_AT_ONCE: Final = 8
"""Mails made before other requests have their turn."""
NOTHING: Final = CatalogueRow()


class Shelf:
    """What was read of scopes and items, for mails that are made one after another.

    Args:
        features: the reader of the online store.
        snapshot: what answers where the store knows nothing.
        monotonic: a clock, in seconds.
    """

    def __init__(self, features: OnlineFeatures, snapshot: Snapshot, monotonic: Callable[[], float]) -> None:
        self._features, self._snapshot, self._monotonic = features, snapshot, monotonic
        self._clear()

    def _clear(self) -> None:
        self.scopes: dict[str, ScopeFeatures] = {}
        self.neighbours: dict[str, list[Neighbour]] = {}
        self.catalogue: dict[str, CatalogueRow] = dict(self._snapshot.catalogue)
        self.fallback, self.lately = self._snapshot.fallback, self._snapshot.lately
        self._read: set[str] = set()
        self._since = self._monotonic()

    def tidy(self) -> None:
        """Clear it if it is old or full; between chunks of mails, so that none sees two states of it."""
        if self._monotonic() - self._since > FRESH or len(self._read) > MOST_ROWS or len(self.neighbours) > MOST_ROWS:
            self._clear()

    async def put_lists(self, scopes: Iterable[str], seeds: Iterable[str]) -> None:
        """Read what is popular and what goes with what, as far as it is not there.

        Raises:
            redis.RedisError: the online store does not answer.
        """
        new_scopes = [name for name in dict.fromkeys(scopes) if name not in self.scopes]
        new_seeds = [item_id for item_id in dict.fromkeys(seeds) if item_id not in self.neighbours]
        found, near = await asyncio.gather(self._features.scopes(new_scopes), self._features.neighbours(new_seeds))
        self.scopes.update(found)
        self.neighbours.update(near)

    async def put_rows(self, item_ids: Iterable[str]) -> None:
        """Read catalogue rows, as far as they are not there; where the store has none, the snapshot's stays.

        Raises:
            redis.RedisError: the online store does not answer.
        """
        new = set(item_ids) - self._read
        rows = await self._features.catalogue(new)
        self.catalogue.update((item_id, row) for item_id, row in rows.items() if row != NOTHING)
        self._read |= new

    async def prepared(
        self,
        layout: Layout,
        users: Mapping[str, UserFeatures],
        served: Mapping[str, Mapping[str, Sequence[int]]],
        excluded: Collection[str],
        now: int,
    ) -> dict[str, resolve.Mail]:
        """The mails of some users, ready to be filled from the catalogue that lies here.

        Args:
            layout: of the mails.
            users: what is known of each.
            served: what went into earlier mails to each.
            excluded: items that the caller leaves out.
            now: seconds since 1970.

        Raises:
            redis.RedisError: the online store does not answer.
        """
        wanted = {user_id: resolve.wanted(layout, user) for user_id, user in users.items()}
        await self.put_lists(
            chain.from_iterable(each.scopes for each in wanted.values()),
            chain.from_iterable(each.seeds for each in wanted.values()),
        )
        mails = {}
        for count, (user_id, user) in enumerate(users.items(), start=1):
            scopes = {name: self.scopes[name] for name in wanted[user_id].scopes}  # and none that another asked for
            known = Known(user, scopes, self.neighbours, self.fallback, self.lately, now, served.get(user_id, {}))
            mails[user_id] = resolve.prepare(layout, known, excluded)
            if count % MADE_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self.put_rows(chain.from_iterable(resolve.items_wanted(mail) for mail in mails.values()))
        return mails
