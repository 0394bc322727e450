"""A user: what all events of one person add up to, as one state that is folded and one row that is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from dataflows.aggregates.baskets import Cart
from dataflows.aggregates.effects import CONSENTS, EFFECTS, LAST, SAYING, TRAITS, Fact
from dataflows.aggregates.identity import Identity
from dataflows.aggregates.orders import Orders
from dataflows.aggregates.population import Standing
from dataflows.aggregates.recency import Kept, Recent, taste
from dataflows.aggregates.seen import SeenByUser
from dataflows.aggregates.sessions import Sessions
from dataflows.aggregates.stored import pack_user, unpack_user
from dataflows.aggregates.tiles import HORIZON, USER_LEVELS, Tiles, is_late
from dataflows.events import DAY, SECOND, TIMELESS, Event, Outcome
from dataflows.machines import MACHINE_MADE, is_machine

if TYPE_CHECKING:
    from dataflows.aggregates.effects import Told
    from dataflows.aggregates.log import Entry

KINDS: Final = ("views", "clicks", "carts", "purchases", "email_opens", "email_clicks")
PROFILING: Final = "profile_allowed"
"""Whoever said no to this has no features but what they said."""
LATE: Final = HORIZON * DAY
"""Nothing newer than this is late, which saves looking."""
NAMES: Final = {
    window: tuple(f"{kind}_{window}" for kind in KINDS) for level in USER_LEVELS for window, _ in level.windows
}
SPENT: Final = ("spend_30d", "spend_90d", "orders_90d")
NUMBERS: Final = (*(name for names in NAMES.values() for name in names), *SPENT)
STEADY: Final = [
    frozenset(name for place, names in enumerate(NAMES.values()) if windows >> place & 1 for name in names)
    for windows in range(1 << len(NAMES))
]
"""By windows as `Tiles.steady` gives them, the counts in them."""
STEADY_BUYING_NOTHING: Final = [names.union(SPENT) for names in STEADY]
TIMED: Final = (*NUMBERS, "rfm_recency", "rfm_frequency", "rfm_monetary", "segment", "lifecycle")
"""Features that time alone changes; all others change by events only."""
MOMENTS: Final = (*LAST.values(), "first_seen_at")
PROFILE: Final = (*TRAITS, *CONSENTS)
ONCE_KNOWN: Final = frozenset((*MOMENTS, *PROFILE, "cart_updated_at", "rfm_recency", "rfm_frequency", "rfm_monetary"))
"""Features that, once they have a value, have one for good; until then there is nothing to be written."""
NOBODY: Final[dict[str, Any]] = {
    **dict.fromkeys(NUMBERS, 0), "spend_30d": 0.0, "spend_90d": 0.0,
    **dict.fromkeys(MOMENTS), "recent_items": [], "recent_at": [], "cart_items": [], "cart_updated_at": None,
    "wishlist_items": [], "purchased_items": [], "top_categories": [], "top_category_weights": [],
    "typical_price": None, **dict.fromkeys(PROFILE),
}  # fmt: skip
"""The row of somebody who never did anything, in the order of every row."""
NOTHING_COUNTED: Final = {name: NOBODY[name] for name in NUMBERS}
DONE: Final = ("tiles", "_orders", "recent", "_cart", "_wishes", "_bought", "sessions")
"""What of a user's state holds what the user did."""
WISHES: Final = 100
BOUGHT: Final = 200


class User:
    """The state of one user. `offset` is the highest applied of its partition, `row_at` the time of its newest row.

    It holds what came under the user's own id; `identity` is what the id is to others, None for most, and `standing`
    is what the user is counted as in the population. `behind` says that the features stored of the user may not be what
    the newest row said, as where that was set aside.
    """

    __slots__ = (
        "_bought", "_cart", "_orders", "_wishes", "behind", "identity", "last", "offset", "profile", "recent", "row_at",
        "seen", "sessions", "standing", "tiles",
    )  # fmt: skip

    def __init__(self) -> None:
        self.offset = -1
        self.row_at = 0
        self.behind = False
        self.seen = SeenByUser()
        self.tiles = Tiles(USER_LEVELS, len(KINDS))
        self.recent = Recent()
        self.last: dict[str, int] = {}
        self.profile: dict[str, tuple[int, Any]] = {}
        self.sessions = Sessions()
        self.standing: Standing | None = None
        self.identity: Identity | None = None
        # Most users only look around: these four are made when something goes in.
        self._orders: Orders | None = None
        self._cart: Cart | None = None
        self._wishes: Kept | None = None
        self._bought: Kept | None = None

    @property
    def orders(self) -> Orders:
        """What was spent."""
        if self._orders is None:
            self._orders = Orders()
        return self._orders

    @property
    def cart(self) -> Cart:
        """What was put into the cart and taken out."""
        if self._cart is None:
            self._cart = Cart()
        return self._cart

    @cart.setter
    def cart(self, cart: Cart) -> None:
        self._cart = cart

    @property
    def wishes(self) -> Kept:
        """What is wished for."""
        if self._wishes is None:
            self._wishes = Kept(WISHES)
        return self._wishes

    @property
    def bought(self) -> Kept:
        """What was bought and not sent back."""
        if self._bought is None:
            self._bought = Kept(BOUGHT)
        return self._bought

    @property
    def parts(self) -> tuple[Orders | None, Cart | None, Kept | None, Kept | None]:
        """Orders, cart, wish list and what was bought, as far as anything ever went in."""
        return self._orders, self._cart, self._wishes, self._bought

    @property
    def cart_changed_at(self) -> int | None:
        """The newest change of the cart, in microseconds; None if there was none."""
        return None if self._cart is None else self._cart.updated_at

    def apply(self, event: Event, facts: Mapping[str, Fact], now: int) -> Outcome:
        """Fold one event in, and say what became of it. Repeats and events older than every window change nothing."""
        at: int = event.occurred_at  # type: ignore[assignment]  # settled when the event was made
        kind = event.type
        if at < now - LATE and is_late(at, now) and kind not in TIMELESS:
            return "late"
        if not self.seen.add(event.event_id):
            return "duplicate"
        if kind in MACHINE_MADE and is_machine(event):
            return "applied"  # it is one event more, and counts for nobody
        if PROFILING in self.profile and self.is_denied():
            if kind in SAYING:
                self._take(event, kind, at, facts, now)
                self._settle_consent()
            return "applied"
        self.sessions.observe(event, at)
        self._take(event, kind, at, facts, now)
        if kind in SAYING:
            self._settle_consent()
        return "applied"

    def recall(self, entry: Entry, now: int) -> None:
        """Fold in what a log keeps of an event. It was judged when it came, so that only a repeat changes nothing."""
        if self.seen.add_hash(entry.hashed):
            self._take(entry, entry.type, entry.at, entry.facts, now)

    def _take(self, event: Told, kind: str, at: int, facts: Mapping[str, Fact], now: int) -> None:
        last = self.last
        if at < last.setdefault("first_seen_at", at):
            last["first_seen_at"] = at
        if event.country:
            self.learn("country", event.country, at)
        counted, moment, fold = EFFECTS[kind]
        if counted is not None:
            self.tiles.count(counted, at, now)
            if moment is not None and at > last.get(moment, 0):
                last[moment] = at
        if fold is not None:
            fold(self, event, at, facts)

    def merge(self, other: User) -> None:
        """Take in all that another user did; what each has seen, and is to others, stays its own."""
        self.tiles.merge(other.tiles)
        self.recent.merge(other.recent)
        if other._orders is not None:
            self.orders.merge(other._orders)
        if other._cart is not None:
            self.cart.merge(other._cart)
        if other._wishes is not None:
            self.wishes.merge(other._wishes)
        if other._bought is not None:
            self.bought.merge(other._bought)
        for name, at in other.last.items():
            self.last[name] = (min if name == "first_seen_at" else max)(at, self.last.get(name, at))
        for name, (at, value) in other.profile.items():
            self.learn(name, value, at)

    def row(self, now: int) -> tuple[dict[str, Any], int | None]:
        """Every feature of the user at `now`, and when the next number will change by itself."""
        values = NOBODY.copy()
        due = self._fill_in(values, now)
        for moment, at in self.last.items():
            values[moment] = at // SECOND
        if self.recent.entries:
            newest = self.recent.newest()
            values["recent_items"] = [item_id for item_id, _ in newest]
            values["recent_at"] = [seen[0] // SECOND for _, seen in newest]
            values["top_categories"], values["top_category_weights"], values["typical_price"] = taste(newest)
        _, cart, wishes, bought = self.parts
        if cart is not None and cart.updated_at is not None:
            values["cart_items"] = cart.items()
            values["cart_updated_at"] = cart.updated_at // SECOND
        if wishes is not None:
            values["wishlist_items"] = wishes.newest()
        if bought is not None:
            values["purchased_items"] = bought.newest(without=self.orders.refunded())
        for name, (_, value) in self.profile.items():
            values[name] = value
        return values, due

    def numbers(self, now: int) -> tuple[dict[str, Any], int | None]:
        """The features that fall with time, `NUMBERS`, at `now`, and when the next of them will."""
        values = NOTHING_COUNTED.copy()
        return values, self._fill_in(values, now)

    def steady(self, now: int) -> frozenset[str]:
        """The numbers that are at `now` what they were when the newest event was folded in; to be asked before they are
        read, which drops what tells.
        """
        orders = self._orders
        known = STEADY_BUYING_NOTHING if orders is None or not orders.entries else STEADY
        return known[self.tiles.steady(now)]

    def _fill_in(self, values: dict[str, Any], now: int) -> int | None:
        """Put the numbers that are not 0 into a row; when the next of them falls."""
        counts, due = self.tiles.totals(now)
        for window, totals in counts.items():
            if any(totals):
                values.update(zip(NAMES[window], totals, strict=True))
        orders = self._orders
        if orders is not None and orders.entries:
            values["spend_30d"] = orders.spend(now, 30)
            values["spend_90d"] = orders.spend(now, 90)
            values["orders_90d"] = orders.count(now, 90)
            order_due = orders.due(now)
            if order_due is not None and (due is None or order_due < due):
                due = order_due
        return due

    def heard_of_at(self) -> int:
        """When something last came of the user, or of who counts for the user (microseconds); 0 if nothing ever did.

        Rows are never older than the newest event: `row_at` is later than that by a microsecond a row at most.
        """
        identity = self.identity
        if identity is None:
            return self.row_at
        parts = (part.newest for part in identity.parts.values())
        links = (at for at, _ in identity.links.pairs)
        return max((self.row_at, *parts, *links))

    def is_denied(self) -> bool:
        """Whether there may be no profile."""
        said = self.profile.get(PROFILING)
        return said is not None and said[1] is False

    def is_void(self) -> bool:
        """Whether nothing is known: no event, nothing said, nothing that it is to others."""
        identity = self.identity
        related = identity is not None and (identity.log or identity.links or identity.targets or identity.parts)
        return not (len(self.seen) or self.last or self.profile or related)

    def remake(self, entries: Iterable[Entry], now: int) -> None:
        """Be what these entries of the log come to, and no more; what it is to others stays."""
        fresh = User()
        for entry in entries:
            fresh.recall(entry, now)
        for name in (*DONE, "last", "profile", "seen"):
            setattr(self, name, getattr(fresh, name))

    def keep_what_must(self) -> None:
        """Forget all but a no to something, which must outlive everything else."""
        fresh = User()
        for name in DONE:
            setattr(self, name, getattr(fresh, name))
        self.last = {}
        self.profile = {name: said for name, said in self.profile.items() if name in CONSENTS}
        if self.identity is not None:
            self.identity.parts, self.identity.log, self.identity.folded = {}, [], None

    def _settle_consent(self) -> None:
        if self.is_denied():
            self.keep_what_must()

    def is_consent_withheld(self) -> bool:
        """Whether the user said no to something: that must outlive all that is known otherwise."""
        return any(self.profile.get(name, (0, None))[1] is False for name in CONSENTS)

    def pack(self) -> bytes:
        """The state as bytes."""
        return pack_user(self)

    @classmethod
    def unpack(cls, packed: bytes) -> User:
        """The state that `pack` wrote, in this release or an earlier one.

        Raises:
            UnknownVersion: another version of the product wrote it.
        """
        user = cls()
        unpack_user(packed, user)
        return user

    def learn(self, name: str, value: Any, at: int) -> None:
        """Keep the newest thing said under `name`; of two at one moment the larger, so that order does not matter."""
        if name not in self.profile or (at, str(value)) > (self.profile[name][0], str(self.profile[name][1])):
            self.profile[name] = (at, value)
