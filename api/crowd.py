"""How much may be in work at once: as much as is answered soon enough, found out by looking at how soon it was.

A process that takes whatever comes answers everything late. Of each kind of request only so many are in work that their
answers still come in time; what goes beyond is answered at once with less, or sent away, before any work is done on it.
How many that is depends on the machine and on what is asked for, so nobody is made to guess it: it grows by one while
answers come soon, and shrinks by a fifth when one did not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from enum import Enum
from typing import Final, NamedTuple

LEAST_IN_WORK: Final = 16.0
LEAST_PLAIN: Final = 8.0
LEAST_BEHIND: Final = 2.0
"""Whole ones at once where the loop itself is behind: one of them takes the time of ten or more that are plain."""
FEW_PLAIN: Final = 2 * LEAST_PLAIN
"""Where no more plain ones than so many are made in time, the loop is behind."""
FIRST_IN_WORK: Final = 64.0
FIRST_PLAIN: Final = 128.0
"""They cost so little that a burst, after a pause or of a platform that sends, is answered rather than sent away."""
MOST_IN_WORK: Final = 512
"""Of one kind, by which a guess after a calm day is not endless."""
SHRINKS_TO: Final = 0.8
CALM: Final = 5.0
"""Seconds without a late answer after which there may be as many as at first: what was is no word on the next burst."""
CROWD: Final = "inlay.crowd"
"""Under which the service leaves the crowd where connections find it."""
PLAIN: Final = "inlay.plain"
"""Set in the scope of a request that is to be answered with less."""
BLOCKS: Final = "/v1/blocks/"
WEBHOOKS: Final = "/v1/webhooks/"
RAW_WEBHOOKS: Final = WEBHOOKS.encode()
EVENTS_SOON: Final = 0.05
"""Seconds in which events are taken: who sends them waits for seconds, but a longer queue than this only grows."""
LONG_TURN: Final = 0.005
"""Seconds of a turn of the loop, beyond which there are too many events in work, however soon each is taken: where all
connections that there are may have one in work, the queue is with those who send, and no wait here is long."""


class Limit:
    """How many requests of a kind may be in work.

    Args:
        soon: seconds in which they are to be answered.
        least: how many may be whatever happens: fewer would leave the processor idle.
        first: how many may be to begin with, and after a calm while.
    """

    def __init__(self, soon: float, least: float = LEAST_IN_WORK, first: float = FIRST_IN_WORK) -> None:
        self.soon, self._least, self.in_work = soon, least, 0
        self.most = self._first = first
        self._shrunk_at = 0.0

    @property
    def is_full(self) -> bool:
        """Whether there is no place."""
        return self.in_work >= self.most

    def enter(self) -> bool:
        """Take a place, if there is one."""
        if self.is_full:
            return False
        self.in_work += 1
        return True

    def leave(self, since: float, now: float, least: float | None = None) -> None:
        """Give a place back; how long it was held says how many there may be: `least` where it is not the usual.

        Only where most places are taken: that one of a few was late is no word on how many there may be, and after a
        pause of the machine there would be too few places for those who waited.
        """
        full = self.in_work * 2 >= self.most
        self.in_work -= 1
        if now - since > self.soon:
            if full:
                self.shrink(since, now, self._least if least is None else least)
            return
        if full:
            self.most = min(float(MOST_IN_WORK), self.most + 1 / self.most)
        if self.most < self._first and now - self._shrunk_at > CALM:
            self.most = self._first

    def shrink(self, since: float, now: float, least: float) -> None:
        """Have fewer places, for one that came then and was late.

        Once for all that came before it shrank: one pause makes many late.
        """
        if since >= self._shrunk_at:
            self.most, self._shrunk_at = min(self.most, max(least, self.most * SHRINKS_TO)), now


class Way(Enum):
    """How a request is to be answered."""

    whole = "whole"
    plain = "plain"
    away = "away"


class Place(NamedTuple):
    """How a request is to be answered, and what it gives back when it was; `limit` is None for what is not counted."""

    way: Way
    limit: Limit | None = None
    since: float = 0.0


_WHOLE: Final = Place(Way.whole)
_AWAY: Final = Place(Way.away)


class Crowd:
    """The requests that a process has in work.

    Blocks beyond what can be made whole in time are made plain, of what the process remembers; beyond that too they are
    sent away. Events are taken or sent away. Everything else is let through: that the process lives must be said most
    of all when it has much to do, a picture must always come and a click must always lead somewhere.

    Args:
        deadline: seconds in which blocks are to be answered. A whole answer has a third of them. A plain one is made
            at once, and keeps its place until the loop turns to what else there is: that is how long the loop's queue
            is, in which a whole one stands four times, for itself and for what it reads.
        collecting: the paths that take events.
        connections: how many may be open at once; 0: any number.
        clock: seconds.
    """

    def __init__(
        self,
        deadline: float,
        collecting: Collection[str],
        connections: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.whole, self.plain = Limit(deadline / 3), Limit(deadline / 12, LEAST_PLAIN, FIRST_PLAIN)
        self.events = Limit(EVENTS_SOON)
        self._collecting, self.connections, self._clock = frozenset(collecting), connections, clock
        self._is_watched = False
        self._raw_collecting = frozenset(map(str.encode, collecting))

    @property
    def is_full_for_blocks(self) -> bool:
        """Whether whoever asks for blocks will be sent away."""
        return self.whole.is_full and self.plain.is_full

    @property
    def is_full_for_events(self) -> bool:
        """Whether whoever tells of events will be sent away."""
        return self.events.is_full

    def tells(self, path: bytes) -> bool:
        """Whether events are told of at this path, as it came in."""
        return path in self._raw_collecting or path.startswith(RAW_WEBHOOKS)

    def watch(self, call_soon: Callable[..., object]) -> None:
        """Look how long the next turn of the loop takes, unless one is looked at.

        Args:
            call_soon: that of the loop.
        """
        if not self._is_watched:
            self._is_watched = True
            call_soon(lambda: call_soon(self.turned, self._clock()))

    def turned(self, since: float) -> None:
        """A turn of the loop is over that began then, with events in work."""
        self._is_watched = False
        if (now := self._clock()) - since > LONG_TURN:
            self.events.shrink(since, now, LEAST_IN_WORK)

    def place(self, method: str, path: str) -> Place:
        """A place for a request, to be given back with `leave`."""
        if method == "GET" and path.startswith(BLOCKS):
            if self.whole.enter():
                return Place(Way.whole, self.whole, self._clock())
            return Place(Way.plain, self.plain, self._clock()) if self.plain.enter() else _AWAY
        if method == "POST" and (path in self._collecting or path.startswith(WEBHOOKS)):
            return Place(Way.whole, self.events, self._clock()) if self.events.enter() else _AWAY
        return _WHOLE

    def leave(self, place: Place) -> None:
        """It was answered, or nobody waits for it any more.

        A whole one may be late since the store is slow, and then more of them at once do no harm. A plain one waits for
        the loop alone: where few of them are in time, whole ones give way, or what is sent away and a handful that are
        whole would be all that the process does.
        """
        if place.limit is None:
            return
        now, behind = self._clock(), self.plain.most <= FEW_PLAIN
        if behind and place.limit is self.plain and now - place.since > self.plain.soon:
            self.whole.shrink(place.since, now, LEAST_BEHIND)
        place.limit.leave(place.since, now, LEAST_BEHIND if behind and place.limit is self.whole else None)
