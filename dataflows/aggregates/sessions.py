"""Sessions of a user and what follows from them: begun, ended, a cart left behind, a browse that came to nothing.

What follows is told once and never taken back, because somebody may have acted on it. So that little is kept for every
user, a state holds the newest session only, and of one that was told to be over just when it was; earlier ones are
there between two readings of the row, since events may arrive in any order in a micro-batch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from dataflows.aggregates.packing import Reader, Writer
from dataflows.events import DAY, MINUTE, Event

GAP: Final = 30 * MINUTE
"""The longest pause in a session; one of exactly this length does not end it."""
STALE: Final = DAY
"""How old news may be; what is older counts as told and is not told: a replay of history must not set off mails."""
MOST_ITEMS: Final = 30

DerivedType: TypeAlias = Literal["session_started", "session_ended", "browse_abandoned", "cart_abandoned"]

_VIEW: Final = 1
_CART: Final = 2
_PURCHASE: Final = 3
PROLONGING: Final[Mapping[str, int]] = {
    "view": _VIEW, "add_to_cart": _CART, "purchase": _PURCHASE, "click": 0, "search": 0, "remove_from_cart": 0,
    "add_to_wishlist": 0, "remove_from_wishlist": 0, "checkout": 0, "sign_up": 0, "email_click": 0,
}  # fmt: skip
"""Types that begin and prolong a session, because a person was there. Not among them: what happens to a mail on its
way, and what a server may send in nobody's presence (`refund`, `identify`, `profile`, `consent`, `custom`)."""


class Derived(NamedTuple):
    """Something that follows from a user's events; `occurred_at` and the times in `properties` are microseconds."""

    type: DerivedType
    occurred_at: int
    properties: dict[str, Any]


class Session:
    """Events of one person without a pause longer than the gap: when, how many of which, and the items viewed.

    `begun` and `ended` say what was told of it. Of one that was told to be over, only its times go on.
    """

    __slots__ = ("begun", "carts", "ended", "items", "last_at", "pages", "purchases", "started_at")

    def __init__(self, started_at: int, last_at: int) -> None:
        self.started_at, self.last_at = started_at, last_at
        self.begun = self.ended = False
        self.pages = self.carts = self.purchases = 0
        self.items: dict[str, int] = {}

    def join(self, later: Session) -> None:
        """Take in the session that follows, to which an event in between was the bridge."""
        self.last_at = later.last_at
        self.begun, self.ended = self.begun or later.begun, self.ended or later.ended
        self.pages += later.pages
        self.carts += later.carts
        self.purchases += later.purchases
        for item_id, at in later.items.items():
            self.look(item_id, at)

    def look(self, item_id: str, at: int) -> None:
        """An item was viewed; of many the oldest are dropped when the row is read."""
        if (before := self.items.get(item_id)) is None or at > before:
            self.items[item_id] = at

    def newest(self) -> list[str]:
        """The items viewed, by the newest view of each, newest first (equal times: by id)."""
        items = self.items
        return sorted(items, key=lambda item_id: (-items[item_id], item_id))[:MOST_ITEMS]

    @classmethod
    def unpack(cls, packed: tuple[Any, ...]) -> Session:
        """The session that was stored before `Sessions.write`."""
        started_at, length, told, *rest = packed
        session = cls(started_at, started_at + length)
        session.begun, session.ended = bool(told & 1), bool(told & 2)
        if rest:
            session.pages, session.carts, session.purchases, ago = rest
            session.items = {item_id: session.last_at - since for item_id, since in ago.items()}
        return session


class Sessions:
    """The newest session of a user, and up to when all that concerns the cart is settled.

    Attributes:
        known: sessions in order of time that do not touch; after a reading only the newest.
        settled_at: the newest purchase, or the change of the cart after which it was told to be left behind.
    """

    __slots__ = ("known", "settled_at")
    gap = GAP
    stale = STALE

    def __init__(self) -> None:
        self.known: list[Session] = []
        self.settled_at = 0

    def observe(self, event: Event, at: int) -> None:
        """Fold an event in that was not seen before; one of another type than `PROLONGING` changes nothing."""
        part = PROLONGING.get(event.type)
        if part is None:
            return
        if part == _PURCHASE and at > self.settled_at:
            self.settled_at = at
        known = self.known
        if known and (newest := known[-1]).started_at <= at <= newest.last_at + self.gap:
            session = newest
            if at > session.last_at:
                session.last_at = at
        elif (placed := self._place(at)) is not None:
            session = placed
        else:
            return
        if not part or session.ended:
            return
        if part == _VIEW:
            session.pages += 1
            items, item_id = session.items, event.item_id
            if event.items:
                for line in event.items:
                    session.look(line.item_id, at)
            elif item_id is not None and ((before := items.get(item_id)) is None or at > before):
                items[item_id] = at
        elif part == _CART:
            session.carts += 1
        else:
            session.purchases += 1

    def settle(self, bought_at: int) -> None:
        """The person bought, under whatever id: what lay in the cart then is not left behind."""
        self.settled_at = max(bought_at, self.settled_at)

    @property
    def settled(self) -> tuple[int, bool]:
        """What time changes in here: up to when the cart is settled, and whether the session was told to be over."""
        return self.settled_at, bool(self.known) and self.known[-1].ended

    def passed(
        self, now: int, cart_items: list[str], cart_updated_at: int | None, idle: int
    ) -> tuple[list[Derived], int | None]:
        """What is to be told at `now`, each thing once, and when time alone will bring more.

        To be called whenever the row is read, and what it gives committed with the row. Who wants nothing told (a
        backfill) drops the list: it counts as told all the same.

        Args:
            now: microseconds.
            cart_items: what is in the cart.
            cart_updated_at: its newest change, in microseconds.
            idle: microseconds without a change after which a cart is abandoned.
        """
        told: list[Derived] = []
        due = None
        known = self.known
        for session in known:
            if not session.begun:
                session.begun = True
                told.append(Derived("session_started", session.started_at, {"started_at": session.started_at}))
            if session is known[-1] and now <= session.last_at + self.gap:
                # Also where a late event prolonged what was told to be over: so the time does not depend on order.
                due = session.last_at + self.gap + 1
            elif not session.ended:
                told += self._end(session)
        if len(known) > 1:
            del known[:-1]
        if known and len(known[0].items) > 2 * MOST_ITEMS:
            known[0].items = {item_id: known[0].items[item_id] for item_id in known[0].newest()}
        if cart_items and cart_updated_at is not None and cart_updated_at > self.settled_at:
            left_at = cart_updated_at + idle
            if now >= left_at:
                self.settled_at = cart_updated_at
                told.append(Derived("cart_abandoned", left_at, {"items": cart_items, "updated_at": cart_updated_at}))
            elif due is None or left_at < due:
                due = left_at
        if told:
            told = sorted((each for each in told if now - each.occurred_at <= self.stale), key=_in_time)
        return told, due

    @classmethod
    def unpack(cls, packed: tuple[Any, ...]) -> Sessions:
        """What was stored before `write`."""
        sessions = cls()
        sessions.settled_at, *known = packed
        sessions.known = [Session.unpack(session) for session in known]
        return sessions

    def write(self, to: Writer) -> list[Any] | None:
        """What is stored of a user; ids and times go to where all parts have theirs."""
        if not self.known and not self.settled_at:
            return None
        content: list[Any] = [self.settled_at > 0]
        if self.settled_at:
            to.again.append(self.settled_at)
        for session in self.known:
            to.again += (session.started_at, session.last_at)
            content.append(session.begun + 2 * session.ended)
            if not session.ended:
                items = session.items
                if len(items) > MOST_ITEMS:
                    items = {item_id: items[item_id] for item_id in session.newest()}
                content += (session.pages, session.carts, session.purchases, to.numbers(items))
                to.again += items.values()
        return content

    @classmethod
    def read(cls, packed: list[Any], source: Reader) -> Sessions:
        """What `write` gave."""
        sessions = cls()
        content = iter(packed)
        if next(content):
            (sessions.settled_at,) = source.again(1)
        for told in content:
            session = Session(*source.again(2))
            session.begun, session.ended = bool(told & 1), bool(told & 2)
            if not session.ended:
                session.pages, session.carts, session.purchases = next(content), next(content), next(content)
                ids = [source.ids[number] for number in next(content)]
                session.items = dict(zip(ids, source.again(len(ids)), strict=True))
            sessions.known.append(session)
        return sessions

    def _place(self, at: int) -> Session | None:
        """The session of an event that lies outside the newest one; None if its session is over and forgotten."""
        known, gap = self.known, self.gap
        place = bisect_right(known, at, key=_started_at)
        before = known[place - 1] if place and at <= known[place - 1].last_at + gap else None
        after = known[place] if place < len(known) and at >= known[place].started_at - gap else None
        if before is not None:
            before.last_at = max(before.last_at, at)
            if after is not None:
                before.join(known.pop(place))
            return before
        if after is not None:
            after.started_at = at
            return after
        if not place and known and known[0].begun:
            return None
        session = Session(at, at)
        known.insert(place, session)
        return session

    def _end(self, session: Session) -> list[Derived]:
        """What is told of a session that is over; what was counted for that is let go."""
        over_at = session.last_at + self.gap
        items = session.newest()
        times = {"started_at": session.started_at, "ended_at": session.last_at}
        counts = {"pages": session.pages, "carts": session.carts, "purchases": session.purchases}
        told = [Derived("session_ended", over_at, {**times, **counts, "items": items})]
        if items and not session.carts and not session.purchases:
            told.append(Derived("browse_abandoned", over_at, {**times, "items": items}))
        session.ended = True
        session.items = {}
        return told


def _started_at(session: Session) -> int:
    return session.started_at


def _in_time(derived: Derived) -> int:
    return derived.occurred_at
