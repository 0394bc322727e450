"""Decisions: what a mail with a `send_id` shows, kept from the first time it is asked for, so that all parts agree.

Mail platforms draw HTML, text and AMP each by a call of its own, and repeat calls; a picture is fetched when the mail
is opened, and again, and its link is followed days later. The first decision of (`send_id`, user, layout) wins, in
Redis, by one script, whoever asks how often at once. It holds all that is shown of each item.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
import redis.asyncio

from api.answer import Answer, Block, Item

MOST: Final = 64
"""Decisions of one user; the oldest goes."""
MOST_REMEMBERED: Final = 4096
REMEMBERED_SECONDS: Final = 3600.0
"""What this process remembers of what it kept or found, for a Redis that is not there, and for how long."""
PERSONAL: Final = ("personal", "segment")
_VERSION: Final = b"\x01"

_KEEP: Final = """
local kept = redis.call('GET', KEYS[1])
if kept and ARGV[6] == '0' then return kept end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. (ARGV[4] - ARGV[3]))
local excess = redis.call('ZCARD', KEYS[2]) - ARGV[5]
if excess > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[2], excess)
  for place = 1, #oldest, 2 do redis.call('DEL', ARGV[7] .. oldest[place]) end
end
redis.call('EXPIRE', KEYS[2], ARGV[3])
return false
"""


def is_personal(answer: Answer) -> bool:
    """Whether it tells of what its reader did."""
    return any(block.source in PERSONAL and block.items for block in answer.blocks)


def is_empty(answer: Answer) -> bool:
    """Whether it shows nothing at all."""
    return not any(block.items for block in answer.blocks)


class Mail(NamedTuple):
    """What a decision is kept under."""

    user_id: str
    send_id: str
    layout: str

    def place(self) -> bytes:
        """Its place in Redis; ids may have any length."""
        return blake2b(msgspec.msgpack.encode(self), digest_size=16).digest()


class Decisions:
    """The decisions of all mails.

    Args:
        client: of the Redis of the online store.
        ttl: seconds a decision is kept.
        monotonic: the clock of what is remembered, in seconds.
    """

    def __init__(self, client: redis.asyncio.Redis, ttl: int, monotonic: Callable[[], float]) -> None:
        self._client, self._ttl, self._monotonic = client, ttl, monotonic
        self._keep = client.register_script(_KEEP)
        self._remembered: OrderedDict[bytes, tuple[float, bytes, str]] = OrderedDict()

    async def find(self, user_ids: Collection[str], send_id: str, layout: str) -> dict[str, Answer]:
        """The decisions of one mail to some users, as far as there are any that can be read.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if not user_ids:
            return {}
        mails = [Mail(user_id, send_id, layout) for user_id in user_ids]
        found: Any = await self._client.mget([_key(mail.place()) for mail in mails])
        return self._taken(zip(mails, found, strict=True))

    async def keep(self, answers: Sequence[Answer], now: int, instead: Collection[str] = ()) -> dict[str, Answer]:
        """Make these the decisions of their mails; by user, those that were made before and stand.

        Args:
            answers: of one mail to some users, each with its `send_id`.
            now: seconds since 1970.
            instead: users whose answer takes the place of one that was made before.

        Raises:
            redis.RedisError: Redis does not answer; they may have been kept all the same.
        """
        if not answers:
            return {}
        mails = [Mail(answer.user_id, answer.send_id or "", answer.layout) for answer in answers]
        packed = list(map(pack, answers))
        client = self._client if len(answers) == 1 else self._client.pipeline(transaction=False)
        calls = [
            self._keep(
                [_key(mail.place()), decisions_of(mail.user_id)],
                [content, mail.place(), self._ttl, now, MOST, int(mail.user_id in instead), _PREFIX],
                client,
            )
            for mail, content in zip(mails, packed, strict=True)
        ]
        before: list[Any] = [await call for call in calls]
        if client is not self._client:
            before = await client.execute()
        for mail, content, kept in zip(mails, packed, before, strict=True):
            if kept is None:
                self._remember(mail, content)
        return self._taken(zip(mails, before, strict=True))

    def remembered(self, user_id: str, send_id: str, layout: str) -> Answer | None:
        """The decision of a mail as far as this process saw it lately: for when Redis is not there."""
        mail = Mail(user_id, send_id, layout)
        at, packed, _ = self._remembered.get(mail.place(), (0.0, b"", ""))
        return unpack(packed, mail) if packed and self._monotonic() - at < REMEMBERED_SECONDS else None

    async def forget(self, user_id: str) -> int:
        """Remove all decisions of a user; how many there were.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        places: Any = await self._client.zrange(decisions_of(user_id), 0, -1)
        for place in places:
            self._remembered.pop(place, None)
        removed: Any = await self._client.delete(decisions_of(user_id), *map(_key, places))
        return max(0, int(removed) - 1)

    async def forget_remembered(self, is_gone: Callable[[str], bool]) -> int:
        """Drop what this process remembers of some users; how much that was."""
        gone = [place for place, (_, _, user_id) in self._remembered.items() if is_gone(user_id)]
        for place in gone:
            del self._remembered[place]
        return len(gone)

    def _taken(self, found: Iterable[tuple[Mail, Any]]) -> dict[str, Answer]:
        answers = {}
        for mail, packed in found:
            if packed is not None and (answer := unpack(packed, mail)) is not None:
                self._remember(mail, packed)
                answers[mail.user_id] = answer
        return answers

    def _remember(self, mail: Mail, packed: bytes) -> None:
        place = mail.place()
        self._remembered.pop(place, None)
        self._remembered[place] = (self._monotonic(), packed, mail.user_id)
        if len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)


def pack(answer: Answer) -> bytes:
    """An answer as bytes, without what it is kept under: about 1 KB for twelve items."""
    blocks = [
        (
            block.block, block.title, block.source, block.template, block.as_of,
            [tuple(getattr(item, name) for name in _ITEM) for item in block.items],
        )
        for block in answer.blocks
    ]  # fmt: skip
    content = (answer.generated_at, answer.features_as_of, answer.locale, answer.stale, blocks)
    return _VERSION + zlib.compress(msgspec.msgpack.encode(content), 1)


def unpack(packed: bytes, mail: Mail) -> Answer | None:
    """The answer that `pack` wrote; None of another version, or where it is something else."""
    if packed[:1] != _VERSION:
        return None
    try:
        generated_at, as_of, locale, stale, blocks = _read(_inflated(packed[1:]))
    except (zlib.error, msgspec.MsgspecError, ValueError):
        return None
    drawn = tuple(
        Block(
            kind, title, source,
            tuple(
                Item(*shown, position, reason) for position, (*shown, reason) in enumerate(items, start=1)  # type: ignore[call-arg]
            ),
            template, block_as_of,
        )
        for kind, title, source, template, block_as_of, items in blocks
    )  # fmt: skip
    return Answer(mail.layout, mail.user_id, mail.send_id, generated_at, as_of, drawn, locale, stale)


_ITEM: Final = ("item_id", "title", "url", "image_url", "price", "list_price", "currency", "reason")
_MOST_BYTES: Final = 1_000_000
_PREFIX: Final = "inlay:decision:"
_ItemRow = tuple[
    str, str, str | None, str | None, float | None, float | None, str | None, str | None
]  # fmt: skip
_BlockRow = tuple[str, str, Any, str, str | None, list[_ItemRow]]
_Row = tuple[str, str | None, str, tuple[str, ...], list[_BlockRow]]
_read: Final = msgspec.msgpack.Decoder(_Row).decode


def _inflated(packed: bytes) -> bytes:
    inflating = zlib.decompressobj()
    content = inflating.decompress(packed, _MOST_BYTES)
    if not inflating.eof:
        raise ValueError("it is cut off, or larger than any decision")
    return content


def _key(place: bytes) -> bytes:
    return _PREFIX.encode() + place


def decisions_of(user_id: str) -> str:
    """Where it is kept which decisions are a user's."""
    return f"inlay:decisions:{user_id}"
