"""A block server of a test over a real Redis, that tells nobody of what it serves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import redis.asyncio

from api.decisions import Decisions
from api.features import OnlineFeatures
from api.plans import Layout
from api.serve import BlockServer
from api.served import Served
from api.snapshot import Snapshot


class Silent:
    """Nobody is told."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


def silent_server(
    client: redis.asyncio.Redis,
    online: OnlineFeatures,
    snapshot: Snapshot,
    at: float,
    layouts: Mapping[str, Layout],
) -> BlockServer:
    """A server whose clock stands at `at` (seconds), and that has half a minute for an answer."""
    moment = datetime.fromtimestamp(at, timezone.utc)
    decisions = Decisions(client, 86_400, time.monotonic)
    telling: Any = Silent()
    return BlockServer(online, snapshot, dict(layouts), 30, Served(client), decisions, telling, now=lambda: moment)
