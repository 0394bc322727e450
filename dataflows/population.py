"""The population as it is kept in Redis: by partition a sorted set of buckets, each with how many customers are in it.

It is changed by the very transaction that stores a user's row and, in the user's state, what that user is counted as;
so the two agree at any moment, however often a process dies and reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

import redis

from dataflows.aggregates.population import Cuts, Move, changes, cuts_of
from dataflows.events import MINUTE
from dataflows.stages import Command

POPULATION_KEY: Final = "inlay:population:{}"
LOOKED_AT_EVERY: Final = MINUTE

ReadCounts: TypeAlias = Callable[[], Iterable[Mapping[str, int]]]


def population_counts(client: redis.Redis, partitions: Iterable[int]) -> ReadCounts:
    """How the counts of all partitions are read, in one pipelined call.

    Args:
        client: the Redis that the flow commits to.
        partitions: all of the stream, whoever owns them.
    """
    keys = [POPULATION_KEY.format(partition) for partition in partitions]

    def read() -> list[dict[str, int]]:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.zrange(key, 0, -1, withscores=True)
        return [{name.decode(): int(number) for name, number in found} for found in pipeline.execute()]

    return read


def population_commands(partition: int, moves: Iterable[Move]) -> list[Command]:
    """What takes moves of a partition's users into its counts; a bucket that nobody is in is taken out."""
    key = POPULATION_KEY.format(partition)
    found = changes(moves)
    counted: list[Command] = [("ZINCRBY", key, number, name) for name, number in found.items()]
    return [*counted, ("ZREMRANGEBYSCORE", key, 0, 0)] if any(number < 0 for number in found.values()) else counted


class Population:
    """Where the fifths of all customers part, looked at once a minute.

    Args:
        read: the counts of all partitions.
    """

    def __init__(self, read: ReadCounts) -> None:
        self._read = read
        self._cuts, self._until = Cuts(), -1

    def cuts(self, now: int) -> Cuts:
        """The cuts, as of `now` (microseconds) or of at most a minute before."""
        if not self._until - LOOKED_AT_EVERY <= now < self._until:
            self._cuts, self._until = cuts_of(self._read()), now + LOOKED_AT_EVERY
        return self._cuts
