"""Messages between partitions: what one owner of users has to tell another, part of the commit that causes it.

Each partition has an inbox, a Redis stream that only the owner of the partition reads. What was read is taken out in
the commit of what came of it, by its place and not by its number, so that nothing is lost if a process dies in between,
and nothing too much goes if it reads twice before it commits. A message may come more than once and in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from dataflows.events import partition_of
from dataflows.stages import Command

INBOX_KEY: Final = "inlay:inbox:{}"
READ_AT_ONCE: Final = 1000
"""Entries that are fetched in one call."""
MESSAGES_AT_ONCE: Final = 2000
"""Messages after which no further entry is begun: as many states may have to be read for one commit."""
MESSAGES_AN_ENTRY: Final = 100


class Linked(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A device was seen with a user at `at` (microseconds); to the owner of the device."""

    to: str
    user: str
    at: int


class Aliased(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """An id is another name of a user, as was said at `at` (microseconds); to the owner of the id."""

    to: str
    user: str
    at: int


class Changed(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A part of a user changed, and is to be read again; to the owner of the user."""

    to: str
    part: str


class Erased(Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A user is erased, or said no: what an id is to them, and has of them, goes; to the owner of the id.

    `erasure` is the command that asks for it; empty: none does, they said no.
    """

    to: str
    user: str
    erasure: str

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.erasure not in ("", LATE)


LATE: Final = "late"
"""In the place of a command's id: what was on its way when they were erased came too late for an answer."""


Message = Linked | Aliased | Changed | Erased

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Message]).decode


class Inbox:
    """The messages to one partition, each given out once a process.

    Args:
        client: the Redis that the flow commits to.
        partition: whose.
    """

    def __init__(self, client: Any, partition: int) -> None:
        self._client, self._key = client, INBOX_KEY.format(partition)
        self._last = b"-"

    def read(self) -> list[Message]:
        """The oldest messages not yet given out, a bounded number of them."""
        after = self._last if self._last == b"-" else b"(" + self._last
        messages: list[Message] = []
        for place, fields in self._client.xrange(self._key, after, "+", READ_AT_ONCE):
            messages += _decode(fields[b"m"])
            self._last = place
            if len(messages) >= MESSAGES_AT_ONCE:
                break
        return messages

    def taken(self) -> list[Command]:
        """What takes the messages out that were given out."""
        milliseconds, _, number = self._last.decode().partition("-")
        return [("XTRIM", self._key, "MINID", f"{milliseconds}-{int(number) + 1}")]


def posted(messages: Iterable[Message], partitions: int) -> list[Command]:
    """What puts messages into the inboxes of those they go to."""
    by_partition: dict[int, list[Message]] = {}
    for message in messages:
        by_partition.setdefault(partition_of(message.to, partitions), []).append(message)
    out: list[Command] = []
    for partition, several in by_partition.items():
        for at in range(0, len(several), MESSAGES_AN_ENTRY):
            some = several[at : at + MESSAGES_AN_ENTRY]
            out.append(("XADD", INBOX_KEY.format(partition), "*", "m", _encode(some)))
    return out
