"""The keys that are stored: digests and what each may do, in Redis; every process keeps them in memory.

A key is `inl_<id>_<secret>`: its id may be shown, its secret (256 random bits) is shown once, and stored nowhere.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
from msgspec import Struct
from msgspec.structs import replace

from api.access import SCOPES, Access, Caller, digest_of
from api.networks import read_networks
from api.once import AskedBefore, Keep
from api.rates import read_rate

KEYS_KEY: Final = "inlay:keys"
VERSION_KEY: Final = "inlay:keys:version"
USED_KEY: Final = "inlay:keys:used"
MOST_KEYS: Final = 1_000
MOST_NAME: Final = 100
PREFIX: Final = "inl"
OVERLAP: Final = 7 * 86_400
"""Seconds a key that was rotated stays good beside the new one, where nothing else is said."""
LOOK_EVERY: Final = 1.0
NOTE_EVERY: Final = 60.0
"""Seconds between looks for changes, and between notes of when keys were last used."""

_STORE: Final = """
if KEYS[3] then
  local kept = redis.call('GET', KEYS[3])
  if kept then return kept end
  redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[2])
end
for place = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
redis.call('INCR', KEYS[2])
"""
_log: Final = logging.getLogger(__name__)


class KeyRefused(ValueError):
    """A key that cannot be made or changed as asked; the message says what to write."""


class Key(Struct, frozen=True, omit_defaults=True):
    """A key as it is stored. Times are seconds since 1970; 0: never.

    Attributes:
        digest: the SHA-256 of the key, in hexadecimal.
        ends_at: when it is over.
        revoked_at: when it was revoked.
        replaced_by: the id of the key that it was rotated into.
    """

    key_id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...] = ()
    rate: str = ""
    created_at: int = 0
    ends_at: int = 0
    revoked_at: int = 0
    replaced_by: str = ""

    def is_good(self, now: float) -> bool:
        """Whether it lets in."""
        return not self.revoked_at and not (self.ends_at and self.ends_at <= now)

    def caller(self) -> Caller:
        """Whom it lets in."""
        networks = read_networks(self.networks)
        return Caller(self.name, frozenset(self.scopes), networks, self.ends_at, self.rate, self.key_id)


class KeyRing:
    """The stored keys.

    Args:
        client: the Redis that holds them.
        clock: seconds since 1970, now.
        words: random words of some bytes: makes ids and secrets.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        clock: Callable[[], float] = time.time,
        words: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._client, self._clock, self._words = client, clock, words
        self._write = client.register_script(_STORE)

    async def create(
        self,
        name: str,
        scopes: Sequence[str],
        networks: Sequence[str] = (),
        seconds: float = 0,
        rate: str = "",
        keep: Keep | None = None,
    ) -> tuple[Key, str]:
        """Make a key; the key as it is stored, and as it is shown, once.

        Args:
            name: for people.
            scopes: what it may do.
            networks: from where it may be used; empty: from anywhere.
            seconds: after which it is over; 0: never.
            rate: how often it may call; empty: as the settings say.
            keep: what is kept with it, of the key as it is stored and as it is shown.

        Raises:
            KeyRefused: one of these cannot be used, or there are too many keys.
            AskedBefore: something is kept there; nothing was made.
            redis.RedisError: Redis does not answer.
        """
        now = self._clock()
        if sum(key.is_good(now) for key in await self.keys()) >= MOST_KEYS:
            raise KeyRefused(f"there are {MOST_KEYS:,} keys; revoke some first")
        key_id, shown = self._new()
        key = Key(
            key_id, _name(name), digest_of(shown.encode()).hex(), _scopes(scopes), _networks(networks), _rate(rate),
            int(now), int(now + seconds) if seconds else 0,
        )  # fmt: skip
        await self._store(key, keep=keep and (keep, shown))
        return key, shown

    async def rotate(self, key_id: str, seconds: float = OVERLAP, keep: Keep | None = None) -> tuple[Key, str]:
        """Make a key that may do what another may, which stays good for some seconds; the key, and as it is shown.

        Of the keys that were rotated one into the other, two are good at most.

        Raises:
            KeyRefused: there is no such key, or it is not good any more.
            AskedBefore: as `create`.
            redis.RedisError: Redis does not answer.
        """
        now = self._clock()
        old = await self.find(key_id)
        if not old.is_good(now):
            raise KeyRefused(f"{key_id} is not good any more; create a key in its place")
        new_id, shown = self._new()
        key = replace(old, key_id=new_id, digest=digest_of(shown.encode()).hex(), created_at=int(now))
        over = int(now + seconds)
        ending = replace(old, replaced_by=new_id, ends_at=min(old.ends_at or over, over))
        before = [
            replace(each, ends_at=int(now))
            for each in await self.keys()
            if each.replaced_by == key_id and each.is_good(now)
        ]
        await self._store(key, ending, *before, keep=keep and (keep, shown))
        return key, shown

    async def revoke(self, key_id: str) -> Key:
        """Let a key be over, now and for good.

        Raises:
            KeyRefused: there is no such key.
            redis.RedisError: Redis does not answer.
        """
        key = await self.find(key_id)
        if not key.revoked_at:
            key = replace(key, revoked_at=int(self._clock()))
            await self._store(key)
        return key

    async def find(self, key_id: str) -> Key:
        """The key with an id.

        Raises:
            KeyRefused: there is none.
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.hget(KEYS_KEY, key_id)
        if found is None:
            raise KeyRefused(f"there is no key {key_id!r}; `python -m api.keys list` shows their ids")
        return _decode(found)

    async def keys(self) -> list[Key]:
        """All keys that ever were, the oldest first.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.hvals(KEYS_KEY)
        return sorted(map(_decode, found), key=lambda key: (key.created_at, key.key_id))

    async def used(self) -> dict[str, int]:
        """When each key was last used, to a minute or so, in seconds since 1970.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.hgetall(USED_KEY)
        return {key_id.decode(): int(at) for key_id, at in found.items()}

    async def version(self) -> bytes:
        """What changes with every change.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.get(VERSION_KEY)
        return bytes(found or b"")

    async def note(self, used: dict[str, int]) -> None:
        """Note when keys were used.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if used:
            words: Any = used
            await self._client.hset(USED_KEY, mapping=words)

    def _new(self) -> tuple[str, str]:
        key_id = f"{PREFIX}_{self._words(6).hex()}"
        secret = self._words(32).hex()
        return key_id, f"{key_id}_{secret}"

    async def kept(self, place: str) -> bytes | None:
        """What is kept somewhere.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.get(place)
        return found if found is None else bytes(found)

    async def _store(self, *keys: Key, keep: tuple[Keep, str] | None = None) -> None:
        """Store keys, and what is kept of the first of them, all at once, unless something is kept already."""
        words: list[Any] = [b"", 0]
        places = [KEYS_KEY, VERSION_KEY]
        if keep:
            (place, make, seconds), shown = keep
            places.append(place)
            words = [make(keys[0], shown), seconds]
        for key in keys:
            words += (key.key_id, msgspec.json.encode(key))
        if (kept := await self._write(places, words)) is not None:
            raise AskedBefore(bytes(kept))


class KnownKeys:
    """What this process knows of the stored keys, and what it tells of them.

    Args:
        ring: the stored keys.
        access: is told of them.
        clock: seconds since 1970, now.
    """

    def __init__(self, ring: KeyRing, access: Access, clock: Callable[[], float] = time.time) -> None:
        self._ring, self._access, self._clock = ring, access, clock
        self._version: bytes | None = None
        self.good: frozenset[str] = frozenset()
        access.complete = False

    async def look(self) -> None:
        """Learn what changed.

        Raises:
            redis.RedisError: Redis does not answer; what was known stays known.
        """
        version = await self._ring.version()
        if version == self._version:
            return
        now = self._clock()
        good = [key for key in await self._ring.keys() if key.is_good(now)]
        self._access.learn({bytes.fromhex(key.digest): key.caller() for key in good})
        self.good = frozenset(key.key_id for key in good)
        self._version = version

    async def keep_fresh(self) -> None:
        """Look every second, and note every minute what was used, for ever."""
        noted_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
                if time.monotonic() - noted_at >= NOTE_EVERY:
                    noted_at = time.monotonic()
                    await self.tell()
            except (redis.RedisError, OSError, asyncio.TimeoutError) as error:
                _log.warning("stored keys were not looked at: %s", error)

    async def tell(self) -> None:
        """Note what was used since the last time.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        used, self._access.used = self._access.used, {}
        await self._ring.note(used)


def _name(name: str) -> str:
    if not name.strip() or len(name) > MOST_NAME or not name.isprintable():
        raise KeyRefused(f"a key has a name of 1 to {MOST_NAME} letters that says who uses it")
    return name.strip()


def _scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    if not scopes or set(scopes) - set(SCOPES):
        raise KeyRefused(f"a key has one or more of the scopes {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in scopes)


def _networks(networks: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(map(str, read_networks(networks)))
    except ValueError as error:
        raise KeyRefused(str(error)) from None


def _rate(rate: str) -> str:
    try:
        read_rate(rate)
    except ValueError as error:
        raise KeyRefused(str(error)) from None
    return rate


_decode: Final = msgspec.json.Decoder(Key).decode
