"""What a real Redis is told about hashes, and what is said of one that was not told."""

from __future__ import annotations

from pathlib import Path

import redis

from api.demo.embedded import redis_command
from dataflows.redis_memory import LIMITS, advice
from tests.contract.redis_server import redis_server

ROOT = Path(__file__).parents[2]


def test_a_redis_as_it_comes_is_named_with_the_command_that_helps() -> None:
    with redis_server() as server:
        kind = "listpack" if server.client.config_get("hash-max-listpack-value") else "ziplist"  # as Redis 6 calls it
        command = advice(server.client)
        assert command == f"redis-cli CONFIG SET hash-max-{kind}-value {LIMITS['value']}"
        long = {b"state": b"x" * LIMITS["value"], **{b"%d" % number: b"" for number in range(60)}}
        server.client.hset("before", mapping=long)
        server.client.execute_command(*command.split()[1:])
        assert advice(server.client) is None
        server.client.hset("after", mapping=long)
        encodings = [server.client.object("ENCODING", key) for key in ("before", "after")]
        assert encodings == [b"hashtable", kind.encode()]
        server.client.config_set(f"hash-max-{kind}-entries", 16)
        assert advice(server.client) == f"redis-cli CONFIG SET hash-max-{kind}-entries {LIMITS['entries']}"


def test_nothing_is_said_of_a_redis_that_does_not_tell() -> None:
    with redis_server() as server:
        server.client.acl_setuser(
            "guest", enabled=True, nopass=True, keys="*", categories=["+@all"], commands=["-config"]
        )
        guest = redis.Redis.from_url(server.url, username="guest", password="any", protocol=2)  # noqa: S106
        assert guest.ping()
        assert advice(guest) is None
        guest.close()


def test_every_redis_that_we_start_and_describe_is_set_so(tmp_path: Path) -> None:
    command = redis_command(tmp_path, 1)
    assert command[command.index("--hash-max-ziplist-value") + 1] == str(LIMITS["value"])
    assert f'--hash-max-listpack-value, "{LIMITS["value"]}"' in (ROOT / "docker" / "compose.yml").read_text()
    assert f"hash-max-listpack-value {LIMITS['value']}\n" in (ROOT / "docs" / "running.md").read_text()
