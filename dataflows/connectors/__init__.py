"""The systems at the edges, one file each; a URL chooses which.

A *stream* is partitioned, ordered and kept, and its records have offsets: what the flows read. A new stream is one
file here and one line in `_STREAMS`.

An *inlet* is somebody else's source, of which a bridge brings everything into the stream. A new inlet is one file here
and one line in `_INLETS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from dataflows.events import Refused


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

    def moment(self, offset: int) -> int | None:
        """When the record at an offset was written, in microseconds since 1970; None where the offset does not say."""

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


class Delivery(NamedTuple):
    """One record of an inlet.

    Attributes:
        place: where in the source it is, for people.
        value: its bytes; or its columns, if they had to be read already; or why it cannot be read.
        mark: the same each time the record is read, and no other's: its id, if it has none of its own.
    """

    place: str
    value: bytes | Mapping[str, Any] | Refused
    mark: str


class Delivered(NamedTuple):
    """Some records in order, and what the inlet is given back once all of them are safe."""

    deliveries: list[Delivery]
    receipt: Any


class Positions(Protocol):
    """Where the positions of an inlet are kept that its source does not keep: words by words, durable."""

    def read(self) -> dict[str, str]:
        """All of them."""

    def write(self, positions: Mapping[str, str]) -> None:
        """Set some."""


class Inlet(Protocol):
    """A source that is not ours, read at least once: what is not confirmed is read again after a restart.

    Every method raises StreamDown where waiting may help, and may then be called again; StreamError where it will not;
    and OffsetGone where the source no longer has what was to be read next. None waits longer than seconds.

    Attributes:
        name: the source, in words without a blank; the same each time, and no other's.
        shared: whether the source itself shares its records out among several bridges.
    """

    name: str
    shared: bool

    def read(self, most: int, wait: float) -> Delivered | None:
        """The next records, at most about `most`, waiting about `wait` seconds for the first; or none."""

    def confirm(self, receipt: Any) -> None:
        """The records of that receipt are safe. Receipts come back in the order in which they were given out."""

    def close(self) -> None:
        """Let go of connections."""


_STREAMS: Final[Mapping[str, str]] = {
    "redis": "dataflows.connectors.redis_streams",
    "rediss": "dataflows.connectors.redis_streams",
    "kafka": "dataflows.connectors.kafka",
}

_INLETS: Final[Mapping[str, str]] = {
    "file": "dataflows.connectors.files",
    "kafka": "dataflows.connectors.kafka_inlet",
    "kinesis": "dataflows.connectors.kinesis",
    "pubsub": "dataflows.connectors.pubsub",
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


def open_inlet(url: str, positions: Positions) -> Inlet:
    """The foreign source that `url` names.

    Args:
        url: of the source.
        positions: where the inlet keeps its place, if its source does not.

    Raises:
        StreamError: no such kind of source, a URL that lacks something, or a source that cannot be used.
    """
    scheme = urlsplit(url).scheme
    if scheme not in _INLETS:
        known = ", ".join(f"{name}://" for name in _INLETS)
        raise StreamError(f"{scheme or url!r} is no source; INLAY_BRIDGE_FROM starts with one of {known}")
    try:
        module = import_module(_INLETS[scheme])
    except ModuleNotFoundError as error:
        raise StreamError(f"{scheme} needs the package {error.name}: pip install 'inlay[{scheme}]'") from None
    inlet: Inlet = module.open_inlet(url, positions)
    return inlet


def _module(url: str) -> Any:
    scheme = urlsplit(url).scheme
    if scheme not in _STREAMS:
        raise StreamError(f"{scheme or url!r} is no stream; INLAY_STREAM_URL starts with one of {', '.join(_STREAMS)}")
    try:
        return import_module(_STREAMS[scheme])
    except ModuleNotFoundError as error:
        raise StreamError(f"{scheme} needs the package {error.name}: pip install 'inlay[{scheme}]'") from None
