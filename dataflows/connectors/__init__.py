"""The systems at the edges, one file each; a URL chooses which.

A *stream* is partitioned, ordered and kept, and its records have offsets: what the flows read. A new stream is one
file here and one line in `_STREAMS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit


class Records(NamedTuple):
    """Some records of one partition in order: their offsets and their bytes, side by side."""

    partition: int
    offsets: list[int]
    values: list[bytes]


class Bounds(NamedTuple):
    """What a partition holds: the highest offset that was ever removed from its front, and the last it ever had."""

    removed: int
    last: int


class StreamError(RuntimeError):
    """The stream cannot be used as it is configured; the message says what to do."""


class StreamDown(StreamError, OSError):
    """The stream does not answer, or not in time. What it has not acknowledged may be in it or not: try again."""


class OffsetGone(StreamError):
    """The place where a flow would go on is no longer in the stream."""


class Stream(Protocol):
    """A partitioned stream, read and written in batches. Offsets grow within a partition; -1 lies before the first.

    Its `identity` is that of no other stream: offsets mean something only with it.
    """

    name: str
    identity: str
    partitions: int

    def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Append records to their partitions; returns once the stream has acknowledged every one of them."""

    def read(self, after: Mapping[int, int], most: int, wait: float) -> list[Records]:
        """Up to about `most` records behind the given offsets; waits at most `wait` seconds for the first."""

    def bounds(self, partition: int) -> Bounds:
        """What the partition holds now."""

    def rewound(self, partition: int, offset: int, seconds: float) -> int:
        """The offset that lies `seconds` of the stream's own time before `offset`, never below -1."""

    def remove(self, partition: int, up_to: int) -> None:
        """Give up records whose offset is not above `up_to`."""

    def lag(self, after: Mapping[int, int], most: int = 100_000) -> dict[int, int]:
        """How many records lie behind the given offset of each partition; where they must be counted, up to `most`."""

    def tell(self, flow: str, after: Mapping[int, int]) -> None:
        """Take note of where a flow is, for the stream's own tools, if it has any; nothing is ever read from that."""

    def close(self) -> None:
        """Let go of connections."""


class Publisher(Protocol):
    """The writing side of a stream for the API's event loop."""

    partitions: int

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        """As `Stream.publish`."""

    async def close(self) -> None:
        """Let go of connections."""


_STREAMS: Final[Mapping[str, str]] = {
    "redis": "dataflows.connectors.redis_streams",
    "rediss": "dataflows.connectors.redis_streams",
    "kafka": "dataflows.connectors.kafka",
}


def open_stream(url: str) -> Stream:
    """The stream that `url` names.

    Raises:
        StreamError: no such kind of stream, or a URL that lacks something.
    """
    stream: Stream = _module(url).open_stream(url)
    return stream


def open_publisher(url: str) -> Publisher:
    """The writing side of the stream that `url` names, for use in an event loop.

    Raises:
        StreamError: as `open_stream`.
    """
    publisher: Publisher = _module(url).open_publisher(url)
    return publisher


def _module(url: str) -> Any:
    scheme = urlsplit(url).scheme
    if scheme not in _STREAMS:
        raise StreamError(f"{scheme or url!r} is no stream; INLAY_STREAM_URL starts with one of {', '.join(_STREAMS)}")
    try:
        return import_module(_STREAMS[scheme])
    except ModuleNotFoundError as error:
        raise StreamError(f"{scheme} needs the package {error.name}: pip install 'inlay[{scheme}]'") from None
