"""Redis from an event loop: a bounded number of connections, each of which fails as redis-py says that it does.

uvloop, on which the API runs, raises a bare `RuntimeError` when something is written to a connection that was reset a
moment ago. redis-py lets that through, so that a reset would be a fault of the program to everybody who handles those
of Redis.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_CLOSED: Final = "handler is closed"
"""How uvloop says it."""


def open_client(
    address: str, *, connections: int, free: float, answer: float | None, connect: float, again: int = 0, **more: Any
) -> redis.asyncio.Redis:
    """A client that holds a few connections, made when they are needed.

    Args:
        address: as `redis://host:port/db`.
        connections: how many at most.
        free: seconds for which one that is free is waited for.
        answer: seconds in which Redis answers; None: whoever asks sees to that.
        connect: seconds in which a connection is made.
        again: how often a connection is made again at once that failed.
        more: as redis-py's connections take it.
    """
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        address, max_connections=connections, timeout=free, socket_timeout=answer, socket_connect_timeout=connect,
        retry=Retry(NoBackoff(), again), **more,
    )  # fmt: skip
    pool.connection_class = told_of_resets(pool.connection_class)
    return redis.asyncio.Redis(connection_pool=pool)


@cache
def told_of_resets(kind: type[Any]) -> type[Any]:
    """A kind of connection (plain, TLS, a Unix socket) whose resets before writing are `ConnectionError`."""

    class Connection(kind):  # type: ignore[misc]  # whichever the address names
        async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                if _CLOSED not in str(error):
                    raise
                raise redis.ConnectionError("the connection was reset before anything was written") from error

    return Connection
