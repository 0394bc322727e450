"""Aggregate: fold events into states, and read rows out of them; at each tick, the rows that time itself changed.

What is folded is a `Fold`, one for users and one for items; this module hands it to Bytewax, one logic a key, with
one timer each however many users there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Generic, Protocol, TypeVar

from bytewax.operators import StatefulBatchLogic

from dataflows.stages import Aggregated, Command

Batch = TypeVar("Batch")

TICK: Final = timedelta(seconds=1)
EXPIRED_AT_ONCE: Final = 700
"""Keys a partition and tick: what more is due waits for the next one, so that events never wait for long."""
EXPIRED_IN_CALM: Final = 1250
"""As many where few events come, so that a hundred thousand who are due together fall in ten seconds."""
CALM: Final = 1000
"""Fewer events of a partition than this since the tick before are few."""
_FIRST_TICK: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Fold(Protocol[Batch]):
    """What a key of the flow does with micro-batches, and with the passing of time."""

    def fold(self, batches: list[Batch], now: int) -> list[Aggregated]:
        """What the micro-batches come to at `now` (microseconds)."""

    def expire(self, now: int) -> list[Aggregated]:
        """The rows whose numbers fell because a tile left its window; empty if none did."""


class Aggregate(StatefulBatchLogic[Batch, Aggregated, None], Generic[Batch]):
    """A fold as Bytewax drives it. It has no snapshot: its states are stored beside the features.

    Args:
        fold: what is done.
        clock: microseconds since 1970, now.
        wall: the engine's own clock, which timers are set by.
        alive: called before each piece of work, so that a long one is not taken for the end of the process.
    """

    def __init__(
        self,
        fold: Fold[Batch],
        clock: Callable[[], int],
        wall: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._fold, self._clock, self._wall, self._alive = fold, clock, wall, alive
        self._next = self._tick()

    def on_batch(self, values: list[Batch]) -> tuple[Iterable[Aggregated], bool]:
        """Fold what arrived."""
        self._alive()
        return self._fold.fold(values, self._clock()), StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Iterable[Aggregated], bool]:
        """Emit what time changed."""
        self._alive()
        self._next = self._tick()
        return self._fold.expire(self._clock()), StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """When to look again."""
        return self._next

    def _tick(self) -> datetime:
        """The next tick. All keys have the same ones, so that what they emit is one table for the gate to judge."""
        now = self._wall()
        return now + TICK - (now - _FIRST_TICK) % TICK

    def snapshot(self) -> None:
        """Nothing: see the class."""


class DueSet:
    """Which keys change by themselves, and when: a sorted set in Redis.

    Args:
        client: the Redis that the flow commits to.
        key: the sorted set.
        at_once: how many keys are given out in one tick, where nobody says otherwise.
    """

    def __init__(self, client: Any, key: str, at_once: int = EXPIRED_AT_ONCE) -> None:
        self._client, self.key, self._at_once = client, key, at_once

    def until(self, now: int, most: int | None = None) -> list[str]:
        """Keys that are due at `now`, the longest overdue first, a bounded number of them."""
        number = self._at_once if most is None else most
        found = self._client.zrangebyscore(self.key, "-inf", now, start=0, num=number)
        return [key.decode() for key in found]

    def commands(self, due: dict[str, int | None]) -> list[Command]:
        """What sets the keys' new times; None takes a key out."""
        out: list[Command] = []
        added = [part for key, at in due.items() if at is not None for part in (at, key)]
        removed = [key for key, at in due.items() if at is None]
        if added:
            out.append(("ZADD", self.key, *added))
        if removed:
            out.append(("ZREM", self.key, *removed))
        return out
