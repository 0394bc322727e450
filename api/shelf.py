"""A shelf: what many mails need alike (what is popular, what goes with what, catalogue rows), read once for all.

A shelf is left behind after a moment, so that a mail that is made later sees what changed; what lies on the one before
is what there is while the online store does not answer.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple, TypeVar

from api import resolve
from api.answer import Block
from api.features import OnlineFeatures
from api.known import CatalogueRow, Known, ScopeFeatures, UserFeatures
from api.plans import Layout
from api.snapshot import Snapshot

FRESH: Final = 2.0
"""Seconds after which what is popular and what the catalogue says is read anew."""
NEAR_FRESH: Final = 15.0
"""Likewise what goes with what, which changes slowly and is the most to read."""
MOST_ROWS: Final = 20_000
"""How many catalogue rows lie on it at most; then a new one is begun."""
MADE_AT_ONCE: Final = 8
"""Mails made before other requests have their turn."""
NOTHING: Final = CatalogueRow()
T = TypeVar("T")


class Filled(NamedTuple):
    """A mail, and what stands in it."""

    mail: resolve.Mail
    blocks: tuple[Block, ...]


class Shelf:
    """What was read of scopes and items, for mails that are made one after another.

    Args:
        features: the reader of the online store.
        snapshot: what answers where the store knows nothing.
        since: when it was begun, by a clock in seconds.
        before: the shelf that it takes the place of, whose rows serve where the store does not answer.
    """

    def __init__(self, features: OnlineFeatures, snapshot: Snapshot, since: float, before: Shelf | None = None) -> None:
        self._features, self._since = features, since
        self.scopes: dict[str, ScopeFeatures] = {}
        keeps = before is not None and since - before.near_since <= NEAR_FRESH and not before.is_full
        self.neighbours: dict[str, dict[str, float]] = before.neighbours if before is not None and keeps else {}
        self.near_since: float = before.near_since if before is not None and keeps else since
        self._rows: dict[str, CatalogueRow] = {}
        self._remembered = snapshot.catalogue
        self.catalogue = dict(self._remembered)
        self.fallback, self.lately = snapshot.fallback, snapshot.lately
        self._read: set[str] = set()
        self._before = before
        if before is not None:
            before._before = None

    def is_spent(self, now: float) -> bool:
        """Whether it is old or full."""
        return now - self._since > FRESH or self.is_full

    @property
    def is_full(self) -> bool:
        """Whether more lies on it than should."""
        return len(self._read) > MOST_ROWS or len(self.neighbours) > MOST_ROWS

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
        there = {item_id: row for item_id, row in rows.items() if row != NOTHING}
        self._rows.update(there)
        self.catalogue.update(there)
        self._read |= new

    def filled(self, mail: resolve.Mail) -> tuple[Block, ...] | None:
        """The blocks of a mail, where every row that matters to it lies here; None where some must be read first."""
        looked: set[str] = set()
        blocks = resolve.fill(mail, self.catalogue, looked)
        return blocks if looked <= self._read else None

    async def filled_all(
        self,
        layout: Layout,
        users: Mapping[str, UserFeatures],
        served: Mapping[str, Mapping[str, Sequence[int]]],
        excluded: Collection[str],
        now: int,
    ) -> dict[str, Filled]:
        """The mails of some users.

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
        filled: dict[str, Filled] = {}
        unread: dict[str, resolve.Mail] = {}
        for count, (user_id, user) in enumerate(users.items(), start=1):
            scopes = {name: self.scopes[name] for name in wanted[user_id].scopes}  # and none that another asked for
            known = Known(user, scopes, self.neighbours, self.fallback, self.lately, now, served.get(user_id, {}))
            mail = resolve.prepare(layout, known, excluded)
            if (blocks := self.filled(mail)) is None:
                unread[user_id] = mail
            else:
                filled[user_id] = Filled(mail, blocks)
            if count % MADE_AT_ONCE == 0:
                await asyncio.sleep(0)
        if unread:
            await self.put_rows(chain.from_iterable(map(resolve.items_wanted, unread.values())))
        for count, (user_id, mail) in enumerate(unread.items(), start=1):
            filled[user_id] = Filled(mail, resolve.fill(mail, self.catalogue))
            if count % MADE_AT_ONCE == 0:
                await asyncio.sleep(0)
        return filled

    def mail(
        self,
        layout: Layout,
        user: UserFeatures,
        wanted: resolve.Readings,
        served: Mapping[str, Sequence[int]],
        excluded: Collection[str],
        now: int,
    ) -> resolve.Mail:
        """The mail of a user by the lists that lie here, else on the shelf before; what is on neither is unknown.

        Args:
            layout: of the mail.
            user: what is known of them.
            wanted: what the mail asks for.
            served: what went into earlier mails to them.
            excluded: items that the caller leaves out.
            now: seconds since 1970.
        """
        before = self._before or self
        lists = _with(before.scopes, self.scopes, wanted.scopes)
        near = _with(before.neighbours, self.neighbours, wanted.seeds)
        scopes = {name: lists[name] for name in wanted.scopes if name in lists}
        known = Known(user, scopes, near, self.fallback, self.lately, now, served)
        return resolve.prepare(layout, known, excluded)

    @property
    def rows(self) -> Mapping[str, CatalogueRow]:
        """The rows that lie here, else on the shelf before, else what the snapshot has."""
        return self.catalogue if self._before is None else ChainMap(self._rows, self._before._rows, self._remembered)


def _with(before: dict[str, T], now: dict[str, T], names: Iterable[str]) -> Mapping[str, T]:
    """What lies on a shelf, and on the one before, where not all of some names are on it."""
    return now if all(name in now for name in names) else ChainMap(now, before)


class Shelves:
    """The shelf of the moment.

    Args:
        features: the reader of the online store.
        snapshot: what answers where the store knows nothing.
        monotonic: a clock, in seconds.
    """

    def __init__(self, features: OnlineFeatures, snapshot: Snapshot, monotonic: Callable[[], float]) -> None:
        self._features, self._snapshot, self._monotonic = features, snapshot, monotonic
        self._shelf: Shelf | None = None

    def current(self) -> Shelf:
        """The shelf for mails that are begun now; who keeps it sees one state of it to the end."""
        now = self._monotonic()
        if self._shelf is None or self._shelf.is_spent(now):
            self._shelf = Shelf(self._features, self._snapshot, now, self._shelf)
        return self._shelf
