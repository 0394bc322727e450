"""A Redis of a test's own, on a loopback port and in a folder of its own; it can be paused, killed and started again.

    with redis_server() as server:
        server.client.set("a", "b")

Nothing outlives the `with`: no process, no file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import redis

from api.demo.embedded import find_redis_server, free_port
from dataflows.transaction import Transaction
from feature_repo.layout import EntityLayout

START_SECONDS: Final = 20.0

WRITTEN_AT = 1_779_010_200_123_456


class RedisServer:
    """A `redis-server`.

    Args:
        folder: where it may write.
        durable: whether it still has after a kill what it acknowledged; else it keeps nothing on disk.
    """

    def __init__(self, folder: str, *, durable: bool = False) -> None:
        self._folder, self._durable = folder, durable
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, protocol=2, socket_timeout=START_SECONDS)
        self.start()

    def start(self) -> None:
        """Start it, on the same port each time; returns when it answers."""
        self._process = subprocess.Popen(
            [
                find_redis_server(), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self._folder,
                "--save", "", "--appendonly", "yes" if self._durable else "no", "--appendfsync", "everysec",
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                self.kill()
                raise AssertionError(f"redis-server did not start on port {self.port}")
            time.sleep(0.01)

    def pause(self) -> None:
        """Let it hang: connections stay open and are taken, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on; returns when it answers."""
        self._process.send_signal(signal.SIGCONT)
        self.client.ping()

    def kill(self) -> None:
        """Kill it where it stands, with everything in it."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def redis_server(*, durable: bool = False) -> Iterator[RedisServer]:
    """A running server, and its end."""
    with tempfile.TemporaryDirectory(prefix="inlay-redis-") as folder:
        server = RedisServer(folder, durable=durable)
        try:
            yield server
        finally:
            server.client.close()
            server.kill()


def write(
    server: RedisServer, layout: EntityLayout, key: str, values: Mapping[str, Any], at: int = WRITTEN_AT, **how: Any
) -> None:
    """Write as the flows do."""
    transaction = Transaction(server.client)
    transaction.add_packed(layout.hset(key, values, at, **how))
    transaction.execute(["nobody guards this"], None)
