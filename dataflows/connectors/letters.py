"""The dead-letter stream: what was refused, with stage, reason, field and the original bytes, kept in Redis.

Both sides write it: the API what it refuses at the door, the flows what they refuse, in the transaction that commits
the micro-batch, so that a refused event is there exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import redis

from dataflows.events import Refused, to_rfc3339
from dataflows.settings import split_query

PAGE: Final = 500


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter: where and why it was refused, when (RFC 3339), from where in the stream, and the bytes."""

    letter_id: str
    flow: str
    stage: str
    kind: str
    reason: str
    field: str
    refused_at: str
    place: str
    original: bytes


class DeadLetters:
    """The dead-letter stream.

    Args:
        name: of the Redis stream.
        keep: how many letters are kept; older ones are given up.
    """

    def __init__(self, name: str, keep: int) -> None:
        self.name, self._keep = name, keep

    def command(self, flow: str, refused: Refused, now: int, place: str = "") -> tuple[Any, ...]:
        """The Redis command that keeps a refused event."""
        fields = {
            "flow": flow, "stage": refused.stage, "kind": refused.kind, "reason": refused.reason,
            "field": refused.field, "refused_at": to_rfc3339(now), "place": place, "original": refused.original,
        }  # fmt: skip
        return "XADD", self.name, "MAXLEN", "~", self._keep, "*", *(part for pair in fields.items() for part in pair)

    def row_command(self, flow: str, key: str, rule: str, original: bytes, now: int) -> tuple[Any, ...]:
        """The Redis command that keeps a row that the gate held back."""
        refused = Refused("gate", "gate", f"the row of {key} breaks the expectation {rule}", rule, original)
        return self.command(flow, refused, now)

    def letters(self, client: redis.Redis) -> Iterator[DeadLetter]:
        """All letters, oldest first."""
        after = "-"
        while page := client.xrange(self.name, min=after, count=PAGE):
            for letter_id, fields in page:
                yield _letter(letter_id, fields)
            after = f"({page[-1][0].decode()}"

    def find(self, client: redis.Redis, letter_id: str) -> DeadLetter | None:
        """The letter of that id."""
        found: Any = client.xrange(self.name, min=letter_id, max=letter_id)
        return _letter(*found[0]) if found else None

    def drop(self, client: redis.Redis, letter_ids: Sequence[str]) -> None:
        """Take letters out."""
        if letter_ids:
            client.xdel(self.name, *letter_ids)


def open_letters(url: str, keep: int) -> tuple[str, DeadLetters]:
    """The address of the Redis in `redis://host:port/db?stream=<name>`, and the dead letters kept there."""
    address, query = split_query(url)
    return address, DeadLetters(query.get("stream", "dead_letters"), keep)


def _letter(letter_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    words = {name.decode(): value for name, value in fields.items()}
    original = words.pop("original", b"")
    return DeadLetter(letter_id.decode(), original=original, **{name: value.decode() for name, value in words.items()})
