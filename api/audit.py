"""The audit log: what administrators did, in Redis and as a line of the log. `python -m api.audit` shows it.

A call is written down before it is carried out: what cannot be written down is refused. Whom it is about is there as a
hash, so that the log needs not be erased with them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

import redis
import redis.asyncio
from msgspec import Struct

from api.access import Caller
from api.problems import Problem
from dataflows.connectors.redis_streams import connect
from dataflows.events import to_rfc3339
from dataflows.settings import SettingError, read_settings

AUDIT_KEY: Final = "inlay:admin"
MOST_SHOWN: Final = 1_000

log: Final = logging.getLogger("inlay.audit")


class Entry(Struct, frozen=True):
    """One call: when (RFC 3339), who, from where, what, and about whom or what."""

    at: str
    who: str
    address: str
    what: str
    about: str = ""


class Audit:
    """The log.

    Args:
        client: the Redis that keeps it.
        keep: how many entries; 0: all.
        clock: microseconds since 1970, now.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keep: int, clock: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._client, self._keep, self._clock = client, keep, clock

    async def note(self, who: str, address: str, what: str, about: str = "") -> None:
        """Write a call down; whatever it is about is one line.

        Raises:
            Problem: 503, it cannot be, so that it may not be carried out.
        """
        fields: dict[Any, Any] = {
            "at": to_rfc3339(self._clock()), "who": who, "address": address, "what": what,
            "about": "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in about),
        }  # fmt: skip
        try:
            await self._client.xadd(AUDIT_KEY, fields, maxlen=self._keep or None, approximate=True)
        except (redis.RedisError, OSError):
            say = "the audit log cannot be written right now, so that this was not done; try again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"}) from None
        log.info("%(who)s from %(address)s: %(what)s %(about)s", fields)

    async def entries(self, most: int) -> list[Entry]:
        """The newest entries, newest first.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        return [_entry(fields) for _, fields in await self._client.xrevrange(AUDIT_KEY, count=most)]


def by(caller: Caller) -> str:
    """How the log names a caller."""
    return f"{caller.name} ({caller.key_id})" if caller.key_id else caller.name


def hashed(user_id: str) -> str:
    """How the log names a user: who knows the id can find what was done about it, and nobody learns it here."""
    return f"user sha256:{sha256(user_id.encode()).hexdigest()[:32]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m api.audit`: the newest entries, newest last."""
    parser = argparse.ArgumentParser(prog="python -m api.audit", description="What administrators did, newest last.")
    parser.add_argument("--limit", type=int, default=100, help="entries shown (default: 100)")
    parser.add_argument("--user", help="only what was done about this user")
    chosen = parser.parse_args(arguments)
    try:
        client = connect(read_settings(os.environ)["redis_url"])
        found: Any = client.xrevrange(AUDIT_KEY, count=None if chosen.user else chosen.limit)
    except (SettingError, redis.RedisError, OSError) as error:
        print(f"audit: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 1
    entries = [_entry(fields) for _, fields in found]
    if chosen.user:
        entries = [entry for entry in entries if entry.about == hashed(chosen.user)][: chosen.limit]
    for entry in reversed(entries):
        print(f"{entry.at}  {entry.who}  {entry.address}  {entry.what}  {entry.about}".rstrip())  # noqa: T201
    return 0


def _entry(fields: dict[bytes, bytes]) -> Entry:
    return Entry(**{name.decode(): value.decode() for name, value in fields.items()})


if __name__ == "__main__":
    sys.exit(main())
