"""Telling: what the service itself did goes onto the stream behind its answers, which never wait for it.

Events queue up, and one task publishes them, some hundred a round trip, through the same publisher as what is
collected; it lets some gather first, since a round trip for each would cost as much as reading what a mail needs. While
the stream does not take them it is tried again, with the same ids; what does not fit into the queue by then, or is in
it still when the process ends, is lost, and counted as lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import redis

from api.forgetting import owner_of
from api.metrics import TOLD
from api.publish import UNAVAILABLE, at_once
from dataflows.connectors import Publisher
from dataflows.events import BACKSLASH, MAX_EVENT_BYTES, Event, parse, partition_of, to_micros

MOST_QUEUED: Final = 50_000
AT_ONCE: Final = 500
"""Events a round trip."""
GATHERS: Final = 0.01
"""Seconds in which events gather for a round trip."""
FIRST_PAUSE: Final = 0.05
MOST_PAUSE: Final = 1.0
"""Seconds between tries."""
_LONGEST_ID: Final = 200
LAST_SECONDS: Final = 2.0
"""How long a process that ends tries to get rid of its queue."""

_encode: Final = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


class _Told(NamedTuple):
    partition: int
    raw: bytes
    type: str


class Telling:
    """The queue, and what empties it. All methods belong to one event loop.

    Args:
        publisher: the stream.
        most: events that may wait.
        ready: awaited before events that waited are published.
    """

    def __init__(
        self, publisher: Publisher, most: int = MOST_QUEUED, ready: Callable[[], Awaitable[None]] = at_once
    ) -> None:
        self._publisher, self._most, self._ready = publisher, most, ready
        self._one_at_a_time = asyncio.Lock()
        self._queue: deque[_Told] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._failing = False

    @property
    def queued(self) -> int:
        """How many events wait."""
        return len(self._queue)

    def tell(self, events: Sequence[Event]) -> None:
        """Put events into the queue, and return at once; what has no room, or is no event, is counted as lost.

        Args:
            events: checked here as any that is posted, since an id of a request may be none that a stream takes.
        """
        for event in events:
            raw = _encode(event)
            at = to_micros(event.occurred_at, "occurred_at")
            if len(self._queue) >= self._most or not (_is_plain(event, raw) or isinstance(parse(raw, at), Event)):
                TOLD.labels(event.type, "lost").inc()
                continue
            self._queue.append(_Told(partition_of(event.key, self._publisher.partitions), raw, event.type))
        self._start()

    def tell_written(self, owner: str, kind: str, written: Sequence[bytes]) -> None:
        """As `tell`, of events of one kind and owner that are written already, by who knows that they are right."""
        partition = partition_of(owner, self._publisher.partitions)
        for raw in written:
            if len(self._queue) >= self._most or len(raw) > MAX_EVENT_BYTES:
                TOLD.labels(kind, "lost").inc()
                continue
            self._queue.append(_Told(partition, raw, kind))
        self._start()

    def _start(self) -> None:
        if self._queue and self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def forget(self, is_gone: Callable[[str], bool]) -> int:
        """Take out what waits of some users; how much that was."""
        async with self._one_at_a_time:
            kept = [each for each in self._queue if not is_gone(owner_of(each.raw))]
            gone = len(self._queue) - len(kept)
            self._queue = deque(kept)
        return gone

    async def room(self) -> None:
        """Returns once the queue is at most half full, or the stream takes nothing: for who tells very much at once."""
        while len(self._queue) > self._most // 2 and not self._failing:
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Publish what waits, for a moment; the rest is lost."""
        if (sending := self._sending) is not None:
            await asyncio.wait([sending], timeout=LAST_SECONDS)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        for each in self._queue:
            TOLD.labels(each.type, "lost").inc()
        self._queue.clear()

    async def _send(self) -> None:
        pause = FIRST_PAUSE
        try:
            while self._queue:
                if len(self._queue) < AT_ONCE:
                    await asyncio.sleep(GATHERS)
                try:
                    with contextlib.suppress(redis.RedisError):  # then nobody could be erased either
                        await self._ready()
                    await self._publish()
                except UNAVAILABLE as error:
                    if not self._failing:  # once an outage
                        _log.warning("what was served and opened is not told, the stream takes nothing: %s", error)
                    self._failing = True
                    await asyncio.sleep(pause)
                    pause = min(MOST_PAUSE, 2 * pause)
                    continue
                self._failing, pause = False, FIRST_PAUSE
        finally:
            self._sending = None

    async def _publish(self) -> None:
        async with self._one_at_a_time:
            some = list(islice(self._queue, AT_ONCE))
            if some:
                await self._publisher.publish([(each.partition, each.raw) for each in some])
            for _ in some:
                self._queue.popleft()
        for kind, number in Counter(each.type for each in some).items():
            TOLD.labels(kind, "published").inc(number)


def _is_plain(event: Event, raw: bytes) -> bool:
    """Whether there is nothing in it that a stream could refuse, as in nearly all: reading it again costs much.

    What a request named is short and plain, and everything else is our own.
    """
    return (
        len(raw) <= MAX_EVENT_BYTES
        and BACKSLASH not in raw
        and (event.user_id is None or is_word(event.user_id))
        and (event.send_id is None or is_word(event.send_id))
    )


@lru_cache(maxsize=512)
def is_word(text: str) -> bool:
    """Whether an id is short and plain; of the blocks of a mail it is always the same."""
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable()
