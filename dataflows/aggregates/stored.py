"""A user's state as bytes.

    [4, offset, row_at, seen, since, unit, times, moments, ids, …]

Every item id is there once, the recent ones first, and so is every time, as how long it was before a common moment; the
parts say by number which they mean. What a user does not have is left out at the end of the list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from dataflows.aggregates.baskets import Cart
from dataflows.aggregates.identity import Identity
from dataflows.aggregates.packing import SECOND, Reader, Writer, pack_ids, pack_times, unpack_ids, unpack_times
from dataflows.aggregates.population import Standing
from dataflows.aggregates.recency import Recent
from dataflows.aggregates.seen import SeenByUser
from dataflows.aggregates.sessions import Sessions
from dataflows.aggregates.stored_before import BARE, COLUMNS, PLAIN, parts_of, unpack_plain
from dataflows.aggregates.versions import unpack_any

if TYPE_CHECKING:
    from dataflows.aggregates.people import User

VERSION: Final = 4
MOMENTS: Final = (
    "last_view_at", "last_cart_at", "last_purchase_at", "last_email_open_at", "last_email_click_at", "first_seen_at",
)  # fmt: skip
"""The names in `User.last`; they are stored by their place, so new ones go to the end."""
PROFILE: Final = ("country", "locale", "timezone", "first_name", "email_allowed", "profile_allowed")
"""The names in `User.profile`, by their places likewise."""

NO_PARTS: Final = (None,) * 10

_NAMES: Final = [
    [name for place, name in enumerate(MOMENTS) if known >> place & 1] for known in range(1 << len(MOMENTS))
]
"""By a number with a bit for each moment that is known, their names."""
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
    moments = 0
    for place, name in enumerate(MOMENTS):
        if name in last:
            moments |= 1 << place
            to.again.append(last[name])
    base = _whole_second(max((row_at, *to.times, *to.again)))
    return _encode((
        VERSION, user.offset, row_at, user.seen.pack(), base - _whole_second(row_at),
        *pack_times(to, base), moments, pack_ids(list(to.ids)), *parts,
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
        unpack_plain(content, user)
        return
    user.offset, row_at, seen, since, *content = content
    user.row_at = row_at
    base = _whole_second(row_at) + since
    if version == COLUMNS:
        first, unit, ages, moments, ids, *parts = content
        user.seen = SeenByUser.of_digests(seen)
        source, parts = unpack_times(unit, ages, base), parts_of(parts)
        names = [MOMENTS[place] for place in moments]
    else:
        first = None
        unit, times, moments, ids, *parts = content
        user.seen = SeenByUser(packed=seen)
        source = unpack_times(unit, times, base)
        names = _NAMES[moments]
    source.ids = unpack_ids(ids)
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
    user.last = dict(zip(names, source.again(len(names)), strict=True))
    if first is not None:
        user.last["first_seen_at"] = base - first


def _read_profile(packed: list[Any], source: Reader) -> dict[str, tuple[int, Any]]:
    return {name: (*source.again(1), value) for name, value in zip(PROFILE, packed, strict=False) if value is not None}


def _written_profile(profile: dict[str, tuple[int, Any]], to: Writer) -> list[Any] | None:
    if not profile:
        return None
    to.again += [profile[name][0] for name in PROFILE if name in profile]
    content = [profile[name][1] if name in profile else None for name in PROFILE]
    while content[-1] is None:
        content.pop()
    return content
