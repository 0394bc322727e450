"""States that earlier releases wrote, as this one reads them.

3  [3, offset, row_at, seen, since, first, unit, times, moments, ids, …]: event ids in five bytes, one column of times
2  each part as it is in memory, and event ids in eight bytes
1  the same, but the last parts may be missing
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from dataflows.aggregates.baskets import Cart
from dataflows.aggregates.identity import Identity
from dataflows.aggregates.packing import pack_words
from dataflows.aggregates.population import Standing
from dataflows.aggregates.recency import Recent
from dataflows.aggregates.seen import SeenByUser
from dataflows.aggregates.sessions import Sessions
from dataflows.aggregates.tiles import USER_LEVELS, Tiles, coded

if TYPE_CHECKING:
    from dataflows.aggregates.people import User

COLUMNS: Final = 3
"""The version of states with their times in one column."""
PLAIN: Final = 2
"""The version of states that hold each part as it is in memory."""
BARE: Final = 1
"""As PLAIN; may lack, from the last on, what others have of identity, sessions and standing."""
NOTHING_YET: Final[tuple[Any, ...]] = (None, (0,), None)
RECENT, TILES, CART = 0, 1, 3
"""The places of the parts that version 3 wrote in another way."""


def unpack_plain(content: Sequence[Any], user: User) -> None:
    """Give a new user a state of version PLAIN or BARE."""
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


def parts_of(parts: Sequence[Any]) -> list[Any]:
    """The parts of a state of version COLUMNS as they are written today."""
    found = list(parts)
    if found and found[RECENT]:
        prices, categories, *numbers = found[RECENT]
        found[RECENT] = [prices, pack_words(categories), *numbers]
    if len(found) > TILES and found[TILES]:
        found[TILES] = [_tiles_of(grid) for grid in found[TILES]]
    if len(found) > CART and found[CART] and len(found[CART]) > 1:
        items, lengths, quantities = found[CART]
        found[CART] = [items, [part for place, by in enumerate(quantities) for part in (place, by)], lengths]
    return found


def _tiles_of(grid: dict[int, Sequence[int]]) -> list[int]:
    """A level: of each tile how long ago it is, and its counts."""
    written: list[int] = []
    for since, counts in grid.items():
        written += (since, *coded(tuple(counts)))
    return written
