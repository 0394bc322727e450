"""A user's state as bytes, and what the releases before wrote.

    [3, offset, row_at, seen, ids, times, …]

Every item id is there once, the recent ones first, and every time as how long it was before a common moment; the parts
say by number which they mean. What a user does not have is left out at the end of the list.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dataflows.aggregates.baskets import Cart
from dataflows.aggregates.identity import Identity
from dataflows.aggregates.packing import SECOND, Reader, Writer, pack_ids, pack_times, unpack_ids, unpack_times
from dataflows.aggregates.population import Standing
from dataflows.aggregates.recency import Recent
from dataflows.aggregates.seen import SeenByUser
from dataflows.aggregates.sessions import Sessions
from dataflows.aggregates.versions import unpack_any

if TYPE_CHECKING:
    from dataflows.aggregates.people import User

VERSION: Final = 3
PLAIN: Final = 2
"""The version of states that hold each part as it is in memory, and event ids in eight bytes."""
BARE: Final = 1
"""As PLAIN; may lack, from the last on, what others have of identity, sessions and standing."""
NOTHING_YET: Final[tuple[Any, ...]] = (None, Sessions().pack(), None)
MOMENTS: Final = (
    "first_seen_at", "last_view_at", "last_cart_at", "last_purchase_at", "last_email_open_at", "last_email_click_at",
)  # fmt: skip
"""The names in `User.last`; they are stored by their place, so new ones go to the end."""
PROFILE: Final = ("country", "locale", "timezone", "first_name", "email_allowed", "profile_allowed")
"""The names in `User.profile`, likewise."""

_encode: Final = msgspec.msgpack.Encoder().encode


def pack_user(user: User) -> bytes:
    """The state as bytes: msgpack, the version first."""
    to = Writer()
    parts = [  # in the order of _PARTS: times are read one after the other
        user.recent.write(to), user.tiles.write(user.row_at), user.sessions.write(to), user.cart.write(to),
        _written_profile(user.profile, to), user.standing, user.bought.write(to), user.orders.entries or None,
        user.wishes.write(to), user.identity and user.identity.pack(),
    ]  # fmt: skip
    last = user.last
    moments = [last.get(name, 0) for name in MOMENTS]
    while moments and not moments[-1]:
        moments.pop()
    base = -(-max(max(moments, default=0), max(to.times, default=0)) // SECOND) * SECOND
    content: list[Any] = [
        VERSION, user.offset, user.row_at, user.seen.pack(), base - user.row_at,
        pack_times(moments, base), pack_ids(list(to.ids)) if to.ids else None, pack_times(to.times, base), *parts,
    ]  # fmt: skip
    while content[-1] is None:
        content.pop()
    return _encode(content)


def unpack_user(packed: bytes, user: User) -> None:
    """Give a new user the state that `pack_user` wrote, in this release or an earlier one.

    Raises:
        UnknownVersion: another version of the product wrote it.
    """
    version, content = unpack_any(packed, VERSION, "a user's", oldest=BARE)
    if version <= PLAIN:
        _unpack_plain(content, user)
        return
    user.offset, user.row_at, seen, since, moments, ids, times, *parts = content
    base = user.row_at + since
    source = Reader(unpack_ids(ids) if ids else [], unpack_times(times, base))
    user.seen = SeenByUser(packed=seen)
    for name, at in zip(MOMENTS, unpack_times(moments, base), strict=False):
        if at:
            user.last[name] = at
    for part, read in zip(parts, _PARTS, strict=False):
        if part is not None:
            read(user, part, source)


def _read_recent(user: User, packed: list[Any], source: Reader) -> None:
    user.recent = Recent.read(packed, source)


def _read_tiles(user: User, packed: list[Any], source: Reader) -> None:
    user.tiles.read(packed, user.row_at)


def _read_sessions(user: User, packed: list[Any], source: Reader) -> None:
    user.sessions = Sessions.read(packed, source)


def _read_cart(user: User, packed: list[Any], source: Reader) -> None:
    user.cart = Cart.read(packed, source)


def _read_profile(user: User, packed: list[Any], source: Reader) -> None:
    said = [(name, value) for name, value in zip(PROFILE, packed, strict=False) if value is not None]
    times = source.times(len(said))
    user.profile = {name: (at, value) for (name, value), at in zip(said, times, strict=True)}


def _read_standing(user: User, packed: list[int], source: Reader) -> None:
    user.standing = Standing(*packed)


def _read_bought(user: User, packed: list[Any], source: Reader) -> None:
    user.bought.read(packed, source)


def _read_orders(user: User, packed: dict[int, Any], source: Reader) -> None:
    user.orders.entries = packed


def _read_wishes(user: User, packed: list[Any], source: Reader) -> None:
    user.wishes.read(packed, source)


def _read_identity(user: User, packed: list[Any], source: Reader) -> None:
    user.identity = Identity.unpack(packed)


_PARTS: Final[tuple[Callable[[User, Any, Reader], None], ...]] = (
    _read_recent, _read_tiles, _read_sessions, _read_cart, _read_profile, _read_standing, _read_bought, _read_orders,
    _read_wishes, _read_identity,
)  # fmt: skip


def _written_profile(profile: dict[str, tuple[int, Any]], to: Writer) -> list[Any] | None:
    if not profile:
        return None
    to.times += [profile[name][0] for name in PROFILE if name in profile]
    content = [profile[name][1] if name in profile else None for name in PROFILE]
    while content[-1] is None:
        content.pop()
    return content


def _unpack_plain(content: Sequence[Any], user: User) -> None:
    user.offset, user.row_at, seen, tiles, orders, recent, cart, wishes, bought, last, profile, *later = content
    user.seen = SeenByUser.of(array("q", seen))
    user.tiles.grids, user.orders.entries = tiles, orders
    user.recent, user.cart = Recent.unpack(recent), Cart.unpack(*cart)
    user.wishes.entries, user.bought.entries = wishes, bought
    user.last, user.profile = last, profile
    identity, sessions, standing = [*later, *NOTHING_YET[len(later) :]]
    user.identity = identity and Identity.unpack(identity)
    user.sessions = Sessions.unpack(sessions)
    user.standing = standing and Standing(*standing)
