"""Several ids as one person: what an id contributes to another, and the whole of an id and its parts.

Everything here adds up or takes the larger of two, so that neither order nor grouping matters, and a contribution
that is put in the place of an older one leaves nothing of that behind.
"""

from __future__ import annotations

from typing import Final

from dataflows.aggregates.identity import Identity, Part, origin_of
from dataflows.aggregates.log import moment, newest, read
from dataflows.aggregates.people import PROFILING, User
from dataflows.aggregates.seen import SeenByUser

UNBOUNDED: Final = 2**62


def contribution(origin: User, part: str) -> Part | None:
    """The part of that name, read from the state of its origin; None if there is nothing.

    The part of a device is those of its events that belong to the user. The part of an alias is all it did itself:
    its events while its log has them all, else what they came to.
    """
    _, user = origin_of(part)
    identity = origin.identity or Identity()
    log = newest(identity.log)
    if user:
        links = identity.links
        mine = [packed for packed in log if links.owner(read(packed).at) == user] if links else []
        return Part(moment(mine), mine) if mine else None
    if len(log) == len(origin.seen):
        return Part(moment(log), log) if log else None
    own = User.unpack(origin.pack())
    own.offset, own.row_at, own.identity = -1, 0, None
    return Part(max(own.last.values(), default=0), [], own.pack())


def consent_of(part: Part, name: str) -> tuple[int, bool] | None:
    """What a part says of whether there may be a profile, and when it was said; None if it says nothing."""
    alone = Identity()
    alone.parts = {name: part}
    return _fold(User(), alone, part.newest).profile.get(PROFILING)


def whole(user: User, now: int) -> User:
    """The user with everything that counts for it; the user itself if that is all.

    An event that is in a part and is the user's own as well counts once, and so does one that is in two logs. Only of
    an event id that was sent under two user ids which turn out to be one are both counted: of what is only a sum
    nothing can be taken away.
    """
    identity = user.identity
    if identity is None or not identity.parts:
        return user
    # What left every window is dropped when a row is read, and here it is another's row that is read.
    user.tiles.totals(now)
    user.orders.due(now)
    folded = identity.folded
    if folded is None or not folded.seen.is_disjoint(user.seen):
        folded = identity.folded = _fold(user, identity, now)
    both = User()
    both.merge(user)
    both.merge(folded)
    return both


def _fold(user: User, identity: Identity, now: int) -> User:
    """What the parts come to, without what the user did itself."""
    folded = User()
    folded.seen = SeenByUser(UNBOUNDED)
    known = [user.seen]
    for part in identity.parts.values():
        if part.state is not None:
            alias = User.unpack(part.state)
            folded.merge(alias)
            known.append(alias.seen)
    for name in sorted(identity.parts):
        for entry in map(read, identity.parts[name].entries):
            if not any(entry.hashed in seen for seen in known):
                folded.recall(entry, now)
    return folded
