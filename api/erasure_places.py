"""Where a user may be found outside the flows' own memory: what erases them there, and what counts what is left."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import redis.asyncio

from api.decisions import Decisions, decisions_of
from api.forgetting import content_of, owner_in, owner_of
from dataflows.connectors.letters import DeadLetters
from dataflows.connectors.letters_lua import DROP
from dataflows.connectors.redis_streams import FIELD, order_of, to_id
from dataflows.events import partition_of
from feature_repo.layout import USER

PAGE: Final = 500
STATES_AT_ONCE: Final = 100
PAUSE: Final = 0.005
"""Seconds between pages of a long look, so that mails are answered in between."""
FLOWS: Final = ("people", "items", "lake")


SLOWEST: Final = 20.0
LOOK_EVERY: Final = 0.2
"""How long the slowest reader of the stream, which is the lake, is waited for, in seconds."""

_Entry: TypeAlias = tuple[str, dict[str, Any]]


class Place(Protocol):
    """One place."""

    name: str

    async def erase(self, ids: Collection[str]) -> int:
        """Erase some ids there; how much went."""

    async def holds(self, ids: Collection[str]) -> int:
        """How much there is of some ids."""


class Keyed:
    """What has a key of its own for each user.

    Args:
        name: for the report.
        client: the Redis that holds it.
        key: the key of an id.
        erased_by_flow: whether a flow erases it: then it is only looked at.
    """

    def __init__(
        self, name: str, client: redis.asyncio.Redis, key: Callable[[str], Any], *, erased_by_flow: bool = False
    ) -> None:
        self.name = name
        self._client, self._key, self._is_flows = client, key, erased_by_flow

    async def erase(self, ids: Collection[str]) -> int:
        """As `Place.erase`."""
        return 0 if self._is_flows or not ids else int(await self._client.delete(*map(self._key, ids)))

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        return int(await self._client.exists(*map(self._key, ids))) if ids else 0


class Decided:
    """What mails showed, kept by the mail; `api.decisions` knows which are a user's."""

    name = "decisions"

    def __init__(self, client: redis.asyncio.Redis, decisions: Decisions) -> None:
        self._client, self._decisions = client, decisions

    async def erase(self, ids: Collection[str]) -> int:
        """As `Place.erase`."""
        return sum([await self._decisions.forget(each) for each in ids])

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        return sum([int(await self._client.zcard(decisions_of(each))) for each in ids])


class Due:
    """When rows change by themselves: the people flow takes users out."""

    name = "due times"

    def __init__(self, client: redis.asyncio.Redis, partitions: int) -> None:
        self._client, self._partitions = client, partitions

    async def erase(self, ids: Collection[str]) -> int:
        """Nothing: the flow does."""
        return 0

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        found = [await self._client.zscore(f"inlay:due:{partition_of(each, self._partitions)}", each) for each in ids]
        return sum(at is not None for at in found)


class Letters:
    """Dead letters, or rows in quarantine, that name somebody: in what was refused, or in why.

    A body that was refused as a whole goes as a whole, with what else is in it.
    """

    def __init__(self, name: str, client: redis.asyncio.Redis, letters: DeadLetters) -> None:
        self.name = name
        self._client, self._letters = client, letters

    async def erase(self, ids: Collection[str]) -> int:
        """As `Place.erase`."""
        found = [letter async for letter in self._find(ids)]
        for start in range(0, len(found), PAGE):
            await self._client.execute_command("EVAL", DROP, 4, *self._letters.keys, *found[start : start + PAGE])
        return len(found)

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        return len([letter async for letter in self._find(ids)])

    async def _find(self, ids: Collection[str]) -> AsyncIterator[str]:
        wanted = Named(ids)
        async for place, fields in _entries(self._client, self._letters.name):
            if any(wanted.is_in(fields.get(name, b"")) for name in (b"original", b"reason", b"place")):
                yield place


class Records:
    """Records of a stream in Redis that are somebody's.

    Args:
        name: for the report.
        client: the Redis that holds it.
        stream: what its streams are called.
        partitions: how many there are.
        passed: up to where everybody has read a partition, as an entry's id; None: nobody need have.
    """

    def __init__(
        self,
        name: str,
        client: redis.asyncio.Redis,
        stream: str,
        partitions: int,
        passed: Callable[[int], Any] | None = None,
    ) -> None:
        self.name = name
        self._client, self._stream, self._partitions, self._passed = client, stream, partitions, passed

    async def erase(self, ids: Collection[str]) -> int:
        """As `Place.erase`: of what was read by everybody, and the commands last."""
        gone = 0
        for partition, entries in (await self._found(ids)).items():
            key = f"{self._stream}:{partition}"
            within = await self._within(partition, entries)
            for command in (False, True):
                places = [place for place, event in within if ("inlay" in event) is command]
                for start in range(0, len(places), PAGE):
                    gone += int(await self._client.xdel(key, *places[start : start + PAGE]))
        return gone

    async def _within(self, partition: int, entries: list[_Entry]) -> list[_Entry]:
        """Those that everybody has read; some are waited for."""
        if self._passed is None or not entries:
            return entries
        until, last = time.monotonic() + SLOWEST, order_of(entries[-1][0])
        while (up_to := order_of(await self._passed(partition))) < last and time.monotonic() < until:
            await asyncio.sleep(LOOK_EVERY)
        return [each for each in entries if order_of(each[0]) <= up_to]

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        return sum(map(len, (await self._found(ids)).values()))

    async def named_with(self, user: str) -> set[str]:
        """Devices and other ids that events of a user name."""
        found: set[str] = set()
        for entries in (await self._found([user])).values():
            for _, event in entries:
                words = [event, *(event.get(name) or {} for name in ("properties", "traits"))]
                said = [
                    event.get("anonymous_id"),
                    *(word.get("previous_id") for word in words if isinstance(word, dict)),
                ]
                found.update(each for each in said if isinstance(each, str) and each)
        return found - {user}

    async def _found(self, ids: Collection[str]) -> dict[int, list[_Entry]]:
        wanted = frozenset(ids)
        found: dict[int, list[_Entry]] = {}
        for partition in sorted({partition_of(each, self._partitions) for each in ids}):
            async for place, fields in _entries(self._client, f"{self._stream}:{partition}"):
                event = content_of(fields.get(FIELD, b""))
                if owner_in(event) in wanted:
                    found.setdefault(partition, []).append((place, event))
        return found


class Spool:
    """Events on this machine's disk, of all processes: they go to the stream by themselves, and are only looked at."""

    name = "spool"

    def __init__(self, folder: Path, records: Callable[[Path], Iterable[bytes]]) -> None:
        self._folder, self._records = folder, records

    async def erase(self, ids: Collection[str]) -> int:
        """Nothing: what was spooled before the command goes to the stream before it, and is erased there."""
        return 0

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        return await asyncio.to_thread(self._count, frozenset(ids))

    def _count(self, ids: frozenset[str]) -> int:
        number = 0
        for path in self._folder.glob("*.spool"):
            for raw in self._records(path):
                number += owner_of(raw) in ids
        return number


class InLake:
    """Rows of the lake. Its code is large, and is loaded when somebody is erased."""

    name = "lake"

    def __init__(self, url: str) -> None:
        self._url = url

    async def erase(self, ids: Collection[str]) -> int:
        """As `Place.erase`."""
        return await asyncio.to_thread(lambda: int(self._lake().erase(ids, ids)))

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        return await asyncio.to_thread(lambda: int(self._lake().holds(ids, ids)))

    def _lake(self) -> Any:
        from dataflows.connectors.lake_files import open_lake

        return open_lake(self._url)


class States:
    """States of other users that name somebody: devices that were theirs, other ids of theirs.

    It reads every state there is, a few at a time.
    """

    name = "other states"

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client, self._field = client, USER.columns["state"].field

    async def erase(self, ids: Collection[str]) -> int:
        """Nothing: the flow does."""
        return 0

    async def holds(self, ids: Collection[str]) -> int:
        """As `Place.holds`."""
        return len(await self.naming(ids))

    async def naming(self, ids: Collection[str]) -> set[str]:
        """Whose states name one of some ids. Of ids of one or two letters, some that only look as if they did."""
        signs = [sign for each in ids for sign in (msgspec.msgpack.encode(each), b"\0" + each.encode())]
        found: set[str] = set()
        keys: list[bytes] = []
        async for key in self._client.scan_iter(match=USER.pattern, count=STATES_AT_ONCE * 2):
            keys.append(key)
            if len(keys) >= STATES_AT_ONCE:
                found |= await self._look(keys, signs)
                keys = []
                await asyncio.sleep(PAUSE)
        return (found | await self._look(keys, signs)) - frozenset(ids)

    async def _look(self, keys: list[bytes], signs: list[bytes]) -> set[str]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.hget(key, self._field)
        states = await pipeline.execute() if keys else []
        return {
            USER.value_of(key)
            for key, state in zip(keys, states, strict=True)
            if state and any(sign in state for sign in signs)
        }


class Named:
    """Finds ids in bytes: as whole strings of JSON, or as words of what is no JSON."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ids = frozenset(ids)
        words = "|".join(re.escape(each) for each in sorted(self._ids, key=len, reverse=True))
        self._word = re.compile(rf"(?<![\w.@-])(?:{words})(?![\w.@-])")

    def is_in(self, raw: bytes) -> bool:
        """Whether one is there."""
        try:
            return self._walk(msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return bool(self._word.search(raw.decode("utf-8", "replace")))

    def _walk(self, content: Any) -> bool:
        if isinstance(content, dict):
            return any(key in self._ids or self._walk(value) for key, value in content.items())
        if isinstance(content, list):
            return any(map(self._walk, content))
        return isinstance(content, str) and content in self._ids


async def _entries(client: redis.asyncio.Redis, key: str) -> AsyncIterator[tuple[str, dict[bytes, bytes]]]:
    """The entries that are there at the start, oldest first."""
    newest: Any = await client.xrevrange(key, count=1)
    if not newest:
        return
    after, last = "-", newest[0][0]
    while page := await client.xrange(key, after, last, PAGE):
        for place, fields in page:
            yield place.decode(), fields
        after = f"({page[-1][0].decode()}"
        await asyncio.sleep(PAUSE)


def passed_by_all(client: redis.asyncio.Redis) -> Callable[[int], Any]:
    """Up to where all flows that ever read the stream have committed a partition, as an entry's id."""

    async def passed(partition: int) -> str:
        least: int | None = None
        for flow in FLOWS:
            found: Any = await client.hgetall(f"inlay:offsets:{flow}")
            if not found and flow == "lake":
                continue
            added = int(found.get(f"added {partition}".encode(), 0))
            offset = int(found.get(str(partition).encode(), -1)) - added
            least = offset if least is None else min(least, offset)
        return to_id(-1 if least is None else least)

    return passed
