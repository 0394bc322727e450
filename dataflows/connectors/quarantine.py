"""The quarantine: rows that the gate set aside, with the rule that they broke, kept in Redis beside the dead letters.

A row is written there by the transaction that stores its state, so that it is there exactly once. It can be shown,
released or dropped; it is kept for a time, up to a number of rows and of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
import redis

from dataflows.connectors.letters import DeadLetter, DeadLetters, LetterCounts, Sent
from dataflows.connectors.letters_lua import DROP, DROPPED_AT_ONCE
from dataflows.events import to_rfc3339

NAME: Final = "quarantine"
AsideKind: TypeAlias = Literal["row", "batch"]
ASIDE_KINDS: Final[tuple[str, ...]] = get_args(AsideKind)
"""A row that broke a rule itself; one that is held with its whole table."""
TELL: Final = """
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return end
local words = tonumber(ARGV[2])
for place = 3, #ARGV, words do redis.call(unpack(ARGV, place, place + words - 1)) end
"""
"""So two who release one row at the same time tell once what follows from it."""


class AsideRow(msgspec.Struct, frozen=True):
    """What is kept of a row: whose it is, its time in microseconds, its features, and whether only time changed it.

    `follows` are the derived events that wait with it, as their stream would hold them.
    """

    entity: str
    key: str
    at: int
    values: dict[str, Any]
    timed: bool = False
    follows: tuple[msgspec.Raw, ...] = ()


class Quarantine:
    """The rows in quarantine.

    Args:
        keep: how many are kept; older ones are given up.
        keep_seconds: how long one is kept; 0: for ever.
        keep_bytes: how many bytes they may have in all; 0: any number.
    """

    def __init__(self, keep: int, keep_seconds: float, keep_bytes: int) -> None:
        self._letters = DeadLetters(NAME, keep, keep_seconds, keep_bytes)

    def commands(
        self, flow: str, kind: AsideKind, rows: Sequence[tuple[AsideRow, str]], now: int
    ) -> list[tuple[Any, ...]]:
        """The Redis commands that keep rows, each with the rule or the reason, and hold the retention."""
        if not rows:
            return []
        out: list[tuple[Any, ...]] = []
        size = 0
        at = to_rfc3339(now)
        for row, why in rows:
            original = msgspec.json.encode(row)
            size += len(original)
            out.append(
                (
                    "XADD", NAME, "*", "flow", flow, "stage", "gate", "kind", kind, "reason", why, "field", row.entity,
                    "refused_at", at, "place", row.key, "original", original,
                )
            )  # fmt: skip
        counts = f"{NAME}:counts"
        out += [
            ("HINCRBY", counts, f"written:{kind}", len(rows)), ("HINCRBY", counts, f"kept:{kind}", len(rows)),
            ("HINCRBY", counts, "bytes", size),
        ]  # fmt: skip
        return out + [self._letters.tidy_command(now)] * -(-len(rows) // DROPPED_AT_ONCE)

    def tidy_command(self, now: int) -> tuple[Any, ...]:
        """The Redis command that holds the retention where nothing is written."""
        return self._letters.tidy_command(now)

    def rows(self, client: redis.Redis) -> Iterator[DeadLetter]:
        """All rows that there are at the start, oldest first: `field` is the entity, `place` the key."""
        return self._letters.letters(client)

    def find(self, client: redis.Redis, row_id: str) -> DeadLetter | None:
        """The row of that id; none also where that is no id."""
        return self._letters.find(client, row_id)

    def released_command(self, row_id: str) -> tuple[Any, ...]:
        """The Redis command that takes out a row that was released."""
        return self._letters.take_out_command([Sent(row_id)])

    def tell_command(self, row_id: str, commands: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """The Redis command that carries out what waits with a row, if the row is still there.

        Args:
            row_id: the row's, which the same transaction takes out afterwards.
            commands: what appends to one stream, each of as many words.
        """
        words = (word for command in commands for word in command)
        return "EVAL", TELL, 2, NAME, commands[0][1], row_id, len(commands[0]), *words

    def drop_command(self, row_ids: Sequence[str]) -> tuple[Any, ...]:
        """The Redis command that gives rows up; it answers how many were still there."""
        return "EVAL", DROP, 4, *self._letters.keys, *row_ids

    async def counts(self, client: Any) -> LetterCounts:
        """The counts as they stand: `replayed` are those that were released.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        return await self._letters.counts(client)
