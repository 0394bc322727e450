"""A shelf: what many mails need alike (what is popular, what goes with what, catalogue rows), read once for all.

A shelf is left behind after a moment, so that a mail that is made later sees what changed. While mails come, the next
one is filled beside it with what they were made of, so that none of them waits for that; what lies on the one before is
what there is while the online store does not answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple, TypeVar

import redis

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
RENEWED_AT: Final = 0.75
"""Of these times, after which the next shelf is filled: it is there before anybody has to wait for it."""
MOST_CARRIED: Final = 4_000
"""How many rows, and neighbours of how many items, are read for the next shelf before they are asked for."""
ROWS_AT_ONCE: Final = 48
SEEDS_AT_ONCE: Final = 16
"""So many that reading them holds no request up by more than half a millisecond."""
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
        keeps = before is not None and since - before.near_since <= NEAR_FRESH * RENEWED_AT and not before.is_full
        self.neighbours: dict[str, dict[str, float]] = before.neighbours if before is not None and keeps else {}
        self.near_since: float = before.near_since if before is not None and keeps else since
        self._rows: dict[str, CatalogueRow] = {}
        self._remembered = snapshot.catalogue
        self.catalogue = dict(self._remembered)
        self.fallback, self.lately = snapshot.fallback, snapshot.lately
        self._read: set[str] = set()
        self._used: set[str] = set()
        self._asked: tuple[set[str], set[str]] = set(), set()
        self._before = before

    def is_spent(self, now: float) -> bool:
        """Whether it is old or full."""
        return now - self._since > FRESH or self.is_full

    def is_ageing(self, now: float) -> bool:
        """Whether the next one is to be filled."""
        return now - self._since > FRESH * RENEWED_AT

    @property
    def is_full(self) -> bool:
        """Whether more lies on it than should."""
        return len(self._read) > MOST_ROWS or len(self.neighbours) > MOST_ROWS

    async def fill_as(self, other: Shelf) -> None:
        """Read what mails were made of that came to another shelf, a little at a time.

        Raises:
            redis.RedisError: the online store does not answer.
        """
        scopes, seeds = map(list, other._asked)
        await self.put_lists(scopes, ())
        for some in _portions(seeds, SEEDS_AT_ONCE):
            await self.put_lists((), some)
        for some in _portions(list(other._used), ROWS_AT_ONCE):
            await self.put_rows(some)
        self._asked = set(), set()  # of mails, by which the one after this is filled

    def follow(self) -> None:
        """Take the place of the one before, which needs none before it any more."""
        if self._before is not None:
            self._before._before = None

    async def put_lists(self, scopes: Sequence[str], seeds: Sequence[str]) -> None:
        """Read what is popular and what goes with what, as far as it is not there.

        Raises:
            redis.RedisError: the online store does not answer.
        """
        self._asked[0].update(scopes)
        self._asked[1].update(seeds)
        new_scopes = [name for name in dict.fromkeys(scopes) if name not in self.scopes]
        new_seeds = [item_id for item_id in dict.fromkeys(seeds) if item_id not in self.neighbours]
        if new_scopes and new_seeds:
            found, near = await asyncio.gather(self._features.scopes(new_scopes), self._features.neighbours(new_seeds))
            self.scopes.update(found)
            self.neighbours.update(near)
        elif new_scopes:
            self.scopes.update(await self._features.scopes(new_scopes))
        elif new_seeds:  # two tasks and two turns of the loop for nothing are what most mails would wait for
            self.neighbours.update(await self._features.neighbours(new_seeds))

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
        self._used |= looked
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
            list(chain.from_iterable(each.scopes for each in wanted.values())),
            list(chain.from_iterable(each.seeds for each in wanted.values())),
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


def _portions(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Some items after others, and of very many only the first."""
    for start in range(0, min(len(items), MOST_CARRIED), size):
        yield items[start : start + size]


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
        self._renewing: asyncio.Task[None] | None = None

    def current(self) -> Shelf:
        """The shelf for mails that are begun now; who keeps it sees one state of it to the end."""
        now, shelf = self._monotonic(), self._shelf
        if shelf is None or shelf.is_spent(now):
            return self._put(self._next(now))
        if self._renewing is None and shelf.is_ageing(now):
            self._renewing = asyncio.create_task(self._renew(shelf, now))
        return shelf

    async def _renew(self, shelf: Shelf, now: float) -> None:
        """Fill the next shelf beside this one, and put it in its place; else mails fill one once this one is spent."""
        try:
            fresh = self._next(now)
            await fresh.fill_as(shelf)
            if self._shelf is shelf:
                self._put(fresh)
        except (redis.RedisError, OSError) as error:
            logging.getLogger(__name__).debug("what mails need alike was not read ahead of them: %s", error)
        finally:
            self._renewing = None

    def _next(self, now: float) -> Shelf:
        return Shelf(self._features, self._snapshot, now, self._shelf)

    def _put(self, shelf: Shelf) -> Shelf:
        shelf.follow()
        self._shelf = shelf
        return shelf
