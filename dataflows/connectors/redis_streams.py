"""Redis Streams as the stream: a Redis stream a partition, `<name>:0` to `<name>:<n-1>`, one field `event` an entry.

An entry's id is milliseconds and a sequence number; packed into one integer it is the offset. Redis acknowledges an
entry when it has applied it; what a crash of Redis itself may lose is set by its append-only file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import redis
import redis.asyncio
from hiredis import pack_command
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from dataflows.connectors import Bounds, Records, StreamError
from dataflows.connectors.redis_loop import open_client
from dataflows.connectors.round_trips import RoundTrips
from dataflows.settings import split_query

FIELD: Final = b"event"
CHUNK: Final = 1000
MOST_CONNECTIONS: Final = 32
"""Of a process that publishes."""
PATIENCE: Final = 2.0
"""Seconds a publisher waits for Redis, a round trip."""
_SEQUENCE_BITS: Final = 20
_SEQUENCE: Final = (1 << _SEQUENCE_BITS) - 1


def to_offset(entry_id: bytes) -> int:
    """`1700000000123-4` as one integer that orders as the ids do."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return (int(milliseconds) << _SEQUENCE_BITS) + int(sequence)


def to_id(offset: int) -> str:
    """The id of an offset; that of -1 lies before the first entry."""
    return "0-0" if offset < 0 else f"{offset >> _SEQUENCE_BITS}-{offset & _SEQUENCE}"


def order_of(entry_id: str) -> tuple[int, int]:
    """An id as what sorts as Redis sorts them, the first part in milliseconds; the second one may be left out."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


class RedisStreams:
    """A stream kept in Redis.

    Args:
        client: a connection that answers in bytes.
        name: what the Redis streams are called.
        partitions: how many there are; written into Redis once, and then the same for everybody.

    Raises:
        StreamError: the stream exists with another number of partitions.
    """

    def __init__(self, client: redis.Redis, name: str, partitions: int) -> None:
        self.name = name
        self.identity = f"redis {name}"
        self.partitions = partitions
        self._client = client
        self._client.set_response_callback("XREAD", lambda answer, **_: answer)
        self._keys = [f"{name}:{partition}".encode() for partition in range(partitions)]
        self._numbers = {key: number for number, key in enumerate(self._keys)}
        client.set(_partitions_key(name), partitions, nx=True)
        _check_partitions(name, partitions, client.get(_partitions_key(name)))

    def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Append records to their partitions, in order."""
        for first in range(0, len(records), CHUNK):
            pipeline = self._client.pipeline(transaction=False)
            for partition, value in records[first : first + CHUNK]:
                pipeline.execute_command("XADD", self._keys[partition], b"*", FIELD, value)
            pipeline.execute()

    def read(self, after: Mapping[int, int], most: int, wait: float) -> list[Records]:
        """One multiplexed read over all partitions asked for."""
        count = max(1, most // max(1, len(after)))
        block = ("BLOCK", max(1, round(wait * 1000))) if wait > 0 else ()
        keys = [self._keys[partition] for partition in after]
        ids = [to_id(offset) for offset in after.values()]
        answer = self._client.execute_command("XREAD", "COUNT", count, *block, "STREAMS", *keys, *ids)
        return [self._records(key, entries) for key, entries in _pairs(answer)]

    def bounds(self, partition: int) -> Bounds:
        """From `XINFO STREAM`, and what `remove` noted: Redis before 7 does not tell what was removed."""
        key = self._keys[partition]
        noted = int(self._client.hget(_removed_key(self.name), str(partition)) or -1)
        try:
            info: Any = self._client.xinfo_stream(key)
        except redis.ResponseError:  # "no such key": nothing was ever published
            return Bounds(noted, -1)
        deleted = info.get("max-deleted-entry-id", b"0-0")
        return Bounds(max(noted, to_offset(deleted) or -1), to_offset(info["last-generated-id"]))

    def rewound(self, partition: int, offset: int, seconds: float) -> int:
        """Ids carry the time at which they were written."""
        return max(-1, offset - (round(seconds * 1000) << _SEQUENCE_BITS))

    def moment(self, offset: int) -> int | None:
        """Ids carry the time at which they were written, in milliseconds."""
        return (offset >> _SEQUENCE_BITS) * 1000

    def remove(self, partition: int, up_to: int) -> None:
        """Trim, by whole nodes, which is cheap; and note what is given up."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.execute_command("XTRIM", self._keys[partition], "MINID", "~", to_id(up_to + 1))
        pipeline.hset(_removed_key(self.name), str(partition), str(up_to))
        pipeline.execute()

    def lag(self, after: Mapping[int, int], most: int = 100_000) -> dict[int, int]:
        """Counted by reading entries."""
        lags = {}
        for partition, offset in after.items():
            entries = self._client.xrange(self._keys[partition], min=f"({to_id(offset)}", count=most)
            lags[partition] = len(entries)
        return lags

    def tell(self, flow: str, after: Mapping[int, int]) -> None:
        """Nothing: what the flows commit is in Redis as it is."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _records(self, key: bytes, entries: list[Any]) -> Records:
        offsets, values = [], []
        for entry_id, fields in entries:
            offsets.append(to_offset(entry_id))
            values.append(_value(fields))
        return Records(self._numbers[key], offsets, values)


class RedisPublisher:
    """The writing side for an event loop: an answer or an error within seconds; callers share round trips in order."""

    def __init__(self, client: redis.asyncio.Redis, name: str, partitions: int) -> None:
        self.name = name
        self.partitions = partitions
        self._client, self._trips = client, RoundTrips(client, PATIENCE)
        self._keys = [f"{name}:{partition}".encode() for partition in range(partitions)]
        self._checked = False

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Append records to their partitions, in order; a caller that gives up before they went takes them back."""
        if not self._checked:
            await self._check()
        words: list[Any] = [(b"XADD", self._keys[number], b"*", FIELD, value) for number, value in records]
        answers = await self._trips.ask(list(map(pack_command, words)))  # whose stub knows tuples of one part only
        if refused := [answer for answer in answers if isinstance(answer, Exception)]:
            raise refused[0]

    async def close(self) -> None:
        """Close the connections."""
        await self._trips.close()
        await self._client.aclose(close_connection_pool=True)  # a pool that was given is not closed otherwise

    async def _check(self) -> None:
        key = _partitions_key(self.name)
        words: list[Any] = [(b"SET", key, self.partitions, b"NX"), (b"GET", key)]
        kept, found = await self._trips.ask(list(map(pack_command, words)))
        for answer in (kept, found):
            if isinstance(answer, Exception):
                raise answer
        _check_partitions(self.name, self.partitions, found)
        self._checked = True


def open_stream(url: str) -> RedisStreams:
    """The stream of `redis://host:port/db?stream=<name>&partitions=<n>`."""
    address, name, partitions = _split(url)
    return RedisStreams(connect(address), name, partitions)


def open_publisher(url: str) -> RedisPublisher:
    """The writing side of the same."""
    address, name, partitions = _split(url)
    client = open_client(address, connections=MOST_CONNECTIONS, free=2, answer=None, connect=1)
    return RedisPublisher(client, name, partitions)


def connect(address: str) -> redis.Redis:
    """A connection for a flow or a tool: it outlives a restart of Redis of some seconds, and then gives up."""
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 8)
    return redis.Redis.from_url(
        address, protocol=2, socket_timeout=30, socket_connect_timeout=5, retry=retry,
        retry_on_error=[redis.BusyLoadingError, redis.ConnectionError],
    )  # fmt: skip


def _split(url: str) -> tuple[str, str, int]:
    address, query = split_query(url)
    name, partitions = query.get("stream", "events"), query.get("partitions", "8")
    if not partitions.isdigit() or not 0 < int(partitions) <= 1024:
        raise StreamError(f"partitions={partitions!r} in the stream's URL is no number from 1 to 1024")
    return address, name, int(partitions)


def _check_partitions(name: str, partitions: int, found: Any) -> None:
    if int(found) != partitions:
        raise StreamError(
            f"the stream {name!r} has {int(found)} partitions, its URL says {partitions}: "
            f"write partitions={int(found)}, since a user's events must stay in one partition"
        )


def _partitions_key(name: str) -> str:
    return f"inlay:stream:{name}:partitions"


def _removed_key(name: str) -> str:
    return f"inlay:stream:{name}:removed"


def _value(fields: Any) -> bytes:
    """The bytes of an entry; of one that somebody else wrote with other fields, what it holds as one text."""
    if fields and len(fields) == 2 and fields[0] == FIELD:
        return bytes(fields[1])
    return b" ".join(bytes(part) for part in fields or ())


def _pairs(answer: Any) -> Iterable[tuple[bytes, list[Any]]]:
    if isinstance(answer, dict):
        return answer.items()
    return [(key, entries) for key, entries in answer or ()]
