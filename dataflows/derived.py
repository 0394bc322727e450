"""Derived events on a stream of their own: what followed from a user's events, for those who act on it.

They are appended in the transaction that commits the rows they were read with, so that each is there exactly once;
that is why the stream lies in the Redis of the online store.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from dataflows.aggregates.sessions import STALE, Derived, DerivedType
from dataflows.connectors import StreamError, open_stream
from dataflows.connectors.redis_streams import FIELD
from dataflows.events import partition_of
from dataflows.settings import FlowSettings, split_query
from dataflows.stages import Command

ABANDONED: Final[tuple[DerivedType, ...]] = ("browse_abandoned", "cart_abandoned")
KEEP: Final = 100_000
"""Derived events kept a partition, newest first, where the URL does not say `keep=`."""


class DerivedEvent(msgspec.Struct, frozen=True):
    """A record of the stream: one JSON object. `occurred_at` is in microseconds since 1970, UTC, as all times in it."""

    event_id: str
    type: DerivedType
    occurred_at: int
    user_id: str
    properties: dict[str, Any]


class DerivedStream(NamedTuple):
    """Where derived events go: a stream in Redis, and how many of its records are kept a partition."""

    name: str
    partitions: int
    keep: int = KEEP

    def commands(self, user_id: str, derived: Iterable[Derived]) -> list[Command]:
        """What appends them to the partition of the user, who is named as events of the stream name him."""
        return self.commands_of(user_id, (_encode(to_event(user_id, each)) for each in derived))

    def commands_of(self, user_id: str, records: Iterable[bytes]) -> list[Command]:
        """The same of events that are records already."""
        key = f"{self.name}:{partition_of(user_id, self.partitions)}"
        return [("XADD", key, "MAXLEN", "~", self.keep, "*", FIELD, record) for record in records]


def told_by(command: Command) -> msgspec.Raw:
    """The record that such a command appends: a derived event as JSON."""
    return msgspec.Raw(command[-1])


def still_true(event: DerivedEvent, now: int, *, acted_since: bool) -> bool:
    """Whether what waited may be told at `now` (microseconds).

    Not what is older than a day, as ever. That a cart or a browse came to nothing holds for as long as nothing came of
    the person since.
    """
    return now - event.occurred_at <= STALE and not (acted_since and event.type in ABANDONED)


def silence(user_id: str, derived: Iterable[Derived]) -> list[Command]:
    """In the place of `DerivedStream.commands` where nothing is to be told, as in a backfill."""
    return []


def to_event(user_id: str, derived: Derived) -> DerivedEvent:
    """The event as it is written. Its id is a digest of type, user and moment: the same always for the same thing."""
    digest = blake2b(f"{derived.type} {derived.occurred_at} {user_id}".encode(), digest_size=16).hexdigest()
    return DerivedEvent(f"{derived.type}:{digest}", derived.type, derived.occurred_at, user_id, derived.properties)


def read_event(value: bytes) -> DerivedEvent:
    """The event of a record.

    Raises:
        msgspec.DecodeError: the bytes are none.
    """
    return _decode(value)


def open_derived(settings: FlowSettings) -> DerivedStream:
    """The stream of INLAY_DERIVED_URL, made if it does not exist.

    Raises:
        StreamError: it is in another Redis, has no name, or the name or the number of partitions of another stream.
    """
    address, query = split_query(settings.derived_url)
    if address != split_query(settings.redis_url)[0]:
        raise StreamError("INLAY_DERIVED_URL must be in the Redis of INLAY_REDIS_URL: both are one transaction")
    name, keep = query.get("stream", ""), query.get("keep", str(KEEP))
    if not name or name == split_query(settings.stream_url)[1].get("stream", "events"):
        raise StreamError("INLAY_DERIVED_URL must name a stream of its own; write ?stream=derived&partitions=8")
    if not (keep.isascii() and keep.isdigit() and int(keep)):
        raise StreamError(f"keep={keep!r} in INLAY_DERIVED_URL is no number above 0")
    stream = open_stream(settings.derived_url)
    stream.close()
    return DerivedStream(name, stream.partitions, int(keep))


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(DerivedEvent).decode
