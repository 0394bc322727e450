"""Who is who: the links of a device to users, the users an id is an alias of, and what others contribute to an id.

A device is shared and changes hands, an alias does not. Both are sets of facts with a time, so that the order in which
they arrive does not matter, and what they come to is replaced as a whole and never taken apart again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from dataflows.aggregates.people import User

MOST_LINKS: Final = 32
MOST_TARGETS: Final = 50
MOST_PARTS: Final = 50
MOST_PART_BYTES: Final = 256 * 1024
MOST_LOGGED: Final = 1000
SLACK: Final = 250
"""By how much a log may outgrow MOST_LOGGED before it is cut: finding the oldest means reading all of it."""

SEPARATOR: Final = "\0"
"""Between device and user in the name of a part. No id holds it: `events.parse` refuses such an event."""


class Part(NamedTuple):
    """What another id contributes: events of its log, or all that it came to; and when the newest of it happened."""

    newest: int
    entries: list[bytes]
    state: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(len, self.entries)) + len(self.state or b"")


def part_name(device: str, user: str) -> str:
    """The name of the part that is a device's events of one user; the part of an alias is named as the alias is."""
    return f"{device}{SEPARATOR}{user}"


def origin_of(part: str) -> tuple[str, str]:
    """Whose state a part is read from, and of which user's events it is; an alias's part has no user: empty."""
    origin, _, user = part.partition(SEPARATOR)
    return origin, user


class Links:
    """The users of a device: pairs of a moment (microseconds) and the user that was named then."""

    __slots__ = ("_ordered", "pairs")

    def __init__(self, pairs: Iterable[tuple[int, str]] = ()) -> None:
        self.pairs = set(pairs)
        self._ordered: list[tuple[int, str]] | None = None

    def add(self, at: int, user: str) -> bool:
        """Note a link; False if it was known.

        Past MOST_LINKS the oldest one that repeats the user before it makes room, which changes nobody's events; if
        none does, the oldest.
        """
        if (at, user) in self.pairs:
            return False
        self.pairs.add((at, user))
        if len(self.pairs) > MOST_LINKS:
            ordered = sorted(self.pairs)
            repeats = (ordered[n] for n in range(1, len(ordered)) if ordered[n][1] == ordered[n - 1][1])
            self.pairs.discard(next(repeats, ordered[0]))
        self._ordered = None
        return True

    def owner(self, at: int) -> str:
        """Whose an event at `at` is.

        It is the user of the newest link that is not later (of links at one moment, the larger id); of an event before
        all links, the oldest link's.
        """
        if self._ordered is None:
            # Of links at one moment only the one that counts.
            self._ordered = sorted(dict(sorted(self.pairs)).items())
        return self._ordered[max(0, bisect_right(self._ordered, (at, LAST)) - 1)][1]

    def __bool__(self) -> bool:
        return bool(self.pairs)


LAST: Final = chr(0x10FFFF)


class Identity:
    """What an id is to others; only ids that are something to others have one.

    Attributes:
        log: the events that named no user, packed one by one, in order of arrival.
        links: of a device, its users.
        targets: the users that the id is an alias of, and the newest moment that was said.
        parts: by name, what others contribute to the id.
        folded: what the parts come to; made when a row wants it, and not stored.
    """

    __slots__ = ("folded", "links", "log", "parts", "targets")

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.links = Links()
        self.targets: dict[str, int] = {}
        self.parts: dict[str, Part] = {}
        self.folded: User | None = None

    def is_counted_elsewhere(self) -> bool:
        """Whether what the id did counts for a user of another id, who stands for it among all others."""
        return bool(self.links or self.targets)

    def aim(self, user: str, at: int) -> bool:
        """The id is an alias of `user`; False if that was known. Past MOST_TARGETS the oldest makes room."""
        known = user in self.targets
        self.targets[user] = max(at, self.targets.get(user, at))
        if len(self.targets) > MOST_TARGETS:
            del self.targets[min(self.targets, key=lambda each: (self.targets[each], each))]
        return not known and user in self.targets

    def replace(self, name: str, part: Part | None) -> bool:
        """Put a contribution in the place of the one before; whether anything changed.

        Past MOST_PARTS or MOST_PART_BYTES those go whose newest event is the oldest; one is always kept.
        """
        before = self.parts.get(name)
        if part == before:
            return False
        if part is None:
            del self.parts[name]
        else:
            self.parts[name] = part
            self._bound()
        self.folded = None
        return self.parts.get(name) != before

    def _bound(self) -> None:
        left = sum(part.size for part in self.parts.values())
        while len(self.parts) > 1 and (len(self.parts) > MOST_PARTS or left > MOST_PART_BYTES):
            oldest = min(self.parts, key=lambda name: (self.parts[name].newest, name))
            left -= self.parts.pop(oldest).size

    def pack(self) -> tuple[Any, ...]:
        """Plain data to be stored."""
        return self.log, sorted(self.links.pairs), self.targets, self.parts

    @classmethod
    def unpack(cls, packed: Iterable[Any]) -> Identity:
        """What `pack` gave."""
        identity = cls()
        identity.log, links, identity.targets, parts = packed
        identity.links = Links((at, user) for at, user in links)
        identity.parts = {name: Part(*part) for name, part in parts.items()}
        return identity
