"""The dead-letter stream: what was refused, with stage, reason, field and the original bytes, kept in Redis.

Both sides write it: the API what it refuses at the door, the flows what they refuse, in the transaction that commits
the micro-batch, so that a refused event is there exactly once. It is kept for a time, up to a number of letters and of
bytes; what is given up for one of these is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha1
from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from dataflows.connectors.letters_lua import NOTE, TAKE_OUT, WRITE
from dataflows.connectors.redis_loop import open_client
from dataflows.events import Refused, to_rfc3339
from dataflows.settings import split_query

PAGE: Final = 500
KEEP_SECONDS: Final = 30 * 86_400.0
KEEP_BYTES: Final = 256 * 1024 * 1024
MOST_CONNECTIONS: Final = 32
"""Of a process that writes from an event loop."""
MOST_ATTEMPTS: Final = 20
"""A letter remembers its first attempts and the latest ones, up to this many."""


class Attempt(msgspec.Struct, frozen=True):
    """A replay that did not help: when (RFC 3339), and why the letter was refused again."""

    at: str
    kind: str
    field: str
    reason: str


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
    attempts: tuple[Attempt, ...] = ()


class Sent(msgspec.Struct, frozen=True):
    """A letter that was sent again, the bytes that went out for it (none if it was taken apart), and its history.

    Should the flow refuse those bytes, the new letter goes on with the history.
    """

    letter_id: str
    value: bytes = b""
    attempts: tuple[Attempt, ...] = ()


class LetterCounts(msgspec.Struct, frozen=True):
    """What became of all letters ever: by kind those written and those still kept, by cause those given up."""

    written: Mapping[str, int] = {}
    kept: Mapping[str, int] = {}
    dropped: Mapping[str, int] = {}
    replayed: int = 0
    bytes: int = 0


class DeadLetters:
    """The dead-letter stream.

    Args:
        name: of the Redis stream.
        keep: how many letters are kept; older ones are given up.
        keep_seconds: how long a letter is kept; 0: for ever.
        keep_bytes: how many original bytes are kept in all; 0: any number.
    """

    def __init__(self, name: str, keep: int, keep_seconds: float = KEEP_SECONDS, keep_bytes: int = KEEP_BYTES) -> None:
        self.name = name
        self._bounds = (keep, keep_bytes, round(keep_seconds * 1000))
        self._attempts_key = f"{name}:attempts"
        self._counts_key = f"{name}:counts"
        self.keys = (name, self._counts_key, self._attempts_key, f"{name}:sent")
        """What the scripts of `letters_lua` are given."""
        self._keys = (len(self.keys), *self.keys)

    def command(self, flow: str, refused: Refused, now: int, place: str = "") -> tuple[Any, ...]:
        """The Redis command that keeps a refused event, counts it, and holds the retention."""
        fields = {
            "flow": flow, "stage": refused.stage, "kind": refused.kind, "reason": refused.reason,
            "field": refused.field, "refused_at": to_rfc3339(now), "place": place, "original": refused.original,
        }  # fmt: skip
        words = (part for pair in fields.items() for part in pair)
        return "EVAL", WRITE, *self._keys, *self._bounds, now // 1000, refused.kind, *words

    def tidy_command(self, now: int) -> tuple[Any, ...]:
        """The Redis command that holds the retention where nothing is written."""
        return "EVAL", WRITE, *self._keys, *self._bounds, now // 1000, ""

    def letters(self, client: redis.Redis) -> Iterator[DeadLetter]:
        """All letters that there are at the start, oldest first; others may come and go meanwhile."""
        newest: Any = client.xrevrange(self.name, count=1)
        after, last = "-", newest[0][0] if newest else "+"
        while page := client.xrange(self.name, min=after, max=last, count=PAGE):
            attempts: Any = client.hmget(self._attempts_key, [letter_id for letter_id, _ in page])
            for (letter_id, fields), tried in zip(page, attempts, strict=True):
                yield _letter(letter_id, fields, tried)
            after = f"({page[-1][0].decode()}"

    def find(self, client: redis.Redis, letter_id: str) -> DeadLetter | None:
        """The letter of that id; none also where that is no id."""
        try:
            found: Any = client.xrange(self.name, min=letter_id, max=letter_id)
        except redis.ResponseError:
            return None
        if not found:
            return None
        attempts: Any = client.hget(self._attempts_key, found[0][0])
        return _letter(found[0][0], found[0][1], attempts)

    def held_places(self, client: redis.Redis, flow: str) -> set[tuple[int, int]]:
        """Partitions and offsets of the events of a flow that the gate held and that were not sent again."""
        if not int(client.hget(self._counts_key, "kept:gate") or 0):
            return set()
        places = (each.place for each in self.letters(client) if each.kind == "gate" and each.flow == flow)
        return {(int(partition), int(offset)) for partition, _, offset in (place.partition("/") for place in places)}

    def sent_again(self, client: redis.Redis, values: Sequence[bytes]) -> set[int]:
        """Of some events, by their bytes, the places of those that were sent again and not refused since."""
        sent: set[int] = set()
        for first in range(0, len(values), PAGE):
            some = values[first : first + PAGE]
            found: Any = client.hmget(self.keys[3], [_digest(value) for value in some])
            sent.update(first + place for place, history in enumerate(found) if history is not None)
        return sent

    def take_out_command(self, sent: Sequence[Sent]) -> tuple[Any, ...]:
        """The Redis command that takes out letters that were sent again; it answers how many were still there."""
        words = (part for each in sent for part in (each.letter_id, _digest(each.value), _encode(each.attempts)))
        return "EVAL", TAKE_OUT, *self._keys, *words

    def note_command(self, failed: Sequence[tuple[DeadLetter, Attempt]]) -> tuple[Any, ...]:
        """The Redis command that adds to letters the attempt that failed."""
        words = (
            part for letter, attempt in failed for part in (letter.letter_id, _encode(longer(letter.attempts, attempt)))
        )
        return "EVAL", NOTE, *self._keys, *words

    async def counts(self, client: redis.asyncio.Redis) -> LetterCounts:
        """The counts as they stand.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await client.hgetall(self._counts_key)
        return _counts({name.decode(): int(number) for name, number in found.items()})


def longer(attempts: tuple[Attempt, ...], attempt: Attempt) -> tuple[Attempt, ...]:
    """A history with one attempt more; of a long one the first stays, since it says how it began."""
    kept = attempts if len(attempts) < MOST_ATTEMPTS else (attempts[0], *attempts[2:])
    return (*kept, attempt)


def open_letters(
    url: str, keep: int, keep_seconds: float = KEEP_SECONDS, keep_bytes: int = KEEP_BYTES
) -> tuple[str, DeadLetters]:
    """The address of the Redis in `redis://host:port/db?stream=<name>`, and the dead letters kept there."""
    address, query = split_query(url)
    return address, DeadLetters(query.get("stream", "dead_letters"), keep, keep_seconds, keep_bytes)


def connect_keeper(address: str) -> redis.asyncio.Redis:
    """A client that writes letters from an event loop: an answer within seconds, or none.

    It never tries again by itself: a letter that was written and not answered would be written twice.
    """
    return open_client(
        address, connections=MOST_CONNECTIONS, free=2, answer=2, connect=1, protocol=2, health_check_interval=15
    )


def _letter(letter_id: bytes, fields: dict[bytes, bytes], attempts: bytes | None) -> DeadLetter:
    words = {name.decode(): value for name, value in fields.items()}
    original = words.pop("original", b"")
    tried = _decode(attempts) if attempts else ()
    texts = {name: value.decode() for name, value in words.items()}
    return DeadLetter(letter_id.decode(), original=original, attempts=tried, **texts)


def _counts(found: Mapping[str, int]) -> LetterCounts:
    def named(head: str) -> dict[str, int]:
        return {name.removeprefix(head): number for name, number in found.items() if name.startswith(head)}

    return LetterCounts(
        named("written:"), named("kept:"), named("dropped:"), found.get("replayed", 0), found.get("bytes", 0)
    )


def _digest(value: bytes) -> str:
    """As Redis computes it; it recognises, and protects nothing."""
    return sha1(value, usedforsecurity=False).hexdigest() if value else ""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(tuple[Attempt, ...]).decode
