"""A user's state as bytes, and what the releases before wrote.

    [3, offset, row_at, seen, ids, times, …]

Every item id is there once, the recent ones first, and every time as how long it was before a common moment; the parts
say by number which they mean. What a user does not have is left out at the end of the list.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dataflows.aggregates.baskets import Cart
from dataflows.aggregates.identity import Identity
from dataflows.aggregates.packing import SECOND, Reader, Writer, pack_ids, pack_times, unpack_ids, unpack_times
from dataflows.aggregates.population import Standing
from dataflows.aggregates.recency import Recent
from dataflows.aggregates.seen import SeenByUser
from dataflows.aggregates.sessions import Sessions
from dataflows.aggregates.tiles import USER_LEVELS, Tiles
from dataflows.aggregates.versions import unpack_any

if TYPE_CHECKING:
    from dataflows.aggregates.people import User

VERSION: Final = 3
PLAIN: Final = 2
"""The version of states that hold each part as it is in memory, and event ids in eight bytes."""
BARE: Final = 1
"""As PLAIN; may lack, from the last on, what others have of identity, sessions and standing."""
NOTHING_YET: Final[tuple[Any, ...]] = (None, (0,), None)
MOMENTS: Final = ("last_view_at", "last_cart_at", "last_purchase_at", "last_email_open_at", "last_email_click_at")
"""Names in `User.last`; they are stored by their place, so new ones go to the end."""
FIRST: Final = "first_seen_at"
"""The other one; it is stored apart, since it may be much longer ago than all else."""
PROFILE: Final = ("country", "locale", "timezone", "first_name", "email_allowed", "profile_allowed")
"""The names in `User.profile`, by their places likewise."""

NO_PARTS: Final = (None,) * 10

_encode: Final = msgspec.msgpack.Encoder().encode


def pack_user(user: User) -> bytes:
    """The state as bytes: msgpack, the version first."""
    to, row_at, last, identity = Writer(), user.row_at, user.last, user.identity
    orders, cart, wishes, bought = user.parts
    parts: list[Any] = [  # times are read in the order in which they are written here
        user.recent.write(to), user.tiles.write(row_at), user.sessions.write(to), cart and cart.write(to),
        _written_profile(user.profile, to), user.standing, bought and bought.write(to),
        orders and (orders.entries or None), wishes and wishes.write(to), identity and identity.pack(),
    ]  # fmt: skip
    while parts and parts[-1] is None:
        parts.pop()
    times, moments = to.times, []
    for place, name in enumerate(MOMENTS):
        if name in last:
            moments.append(place)
            times.append(last[name])
    first = last.get(FIRST)
    base = _whole_second(max(row_at, first or 0, *times))
    return _encode((
        VERSION, user.offset, row_at, user.seen.pack(), base - _whole_second(row_at),
        None if first is None else base - first, *pack_times(times, base), moments, pack_ids(list(to.ids)), *parts,
    ))  # fmt: skip


def _whole_second(at: int) -> int:
    """The next one: ages from there are as whole as the times are."""
    return -(-at // SECOND) * SECOND


def unpack_user(packed: bytes, user: User) -> None:
    """Give a new user the state that `pack_user` wrote, in this release or an earlier one.

    Raises:
        UnknownVersion: another version of the product wrote it.
    """
    version, content = unpack_any(packed, VERSION, "a user's", oldest=BARE)
    if version <= PLAIN:
        _unpack_plain(content, user)
        return
    user.offset, row_at, seen, since, first, place, times, moments, ids, *parts = content
    user.row_at = row_at
    user.seen = SeenByUser(packed=seen)
    base = _whole_second(row_at) + since
    source = Reader(unpack_ids(ids), unpack_times(place, times, base))
    parts += NO_PARTS[len(parts) :]
    recent, tiles, sessions, cart, profile, standing, bought, orders, wishes, identity = parts
    if recent:
        user.recent = Recent.read(recent, source)
    if tiles:
        user.tiles.read(tiles, row_at)
    if sessions is not None:
        user.sessions = Sessions.read(sessions, source)
    if cart:
        user.cart = Cart.read(cart, source)
    if profile:
        user.profile = _read_profile(profile, source)
    if standing:
        user.standing = Standing(*standing)
    if bought:
        user.bought.read(bought, source)
    if orders:
        user.orders.entries = orders
    if wishes:
        user.wishes.read(wishes, source)
    if identity:
        user.identity = Identity.unpack(identity)
    user.last = dict(zip(map(MOMENTS.__getitem__, moments), source.times(len(moments)), strict=True))
    if first is not None:
        user.last[FIRST] = base - first


def _read_profile(packed: list[Any], source: Reader) -> dict[str, tuple[int, Any]]:
    said = [(name, value) for name, value in zip(PROFILE, packed, strict=False) if value is not None]
    times = source.times(len(said))
    return {name: (at, value) for (name, value), at in zip(said, times, strict=True)}


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
    user.tiles, user.orders.entries = Tiles.unpack(tiles, USER_LEVELS, user.tiles.kinds), orders
    user.recent, user.cart = Recent.unpack(recent), Cart.unpack(*cart)
    user.wishes.entries, user.bought.entries = wishes, bought
    user.last, user.profile = last, profile
    identity, sessions, standing = [*later, *NOTHING_YET[len(later) :]]
    user.identity = identity and Identity.unpack(identity)
    user.sessions = Sessions.unpack(sessions)
    user.standing = standing and Standing(*standing)
