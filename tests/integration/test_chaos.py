"""The stream killed and started again, over and over, while events come in by HTTP: each that was answered counts once.

Fourteen seconds and two kills in the suite; CHAOS_SECONDS=600 for ten minutes and five kills. On Redis Streams the one
Redis goes that has everything, the features too; flows that end are started again. It syncs what it acknowledges: one
that syncs every second puts off writing while the disk is slow, and killed then, it loses what it has acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import httpx
import msgspec
import pytest

from tests.contract.kafka_server import kafka_server, why_no_kafka
from tests.integration.stand import FLOWS, PARTITIONS, Stand

SECONDS: Final = float(os.environ.get("CHAOS_SECONDS", "14"))
KILLS: Final = 5 if SECONDS >= 60 else 2
RATE: Final = 1000
"""Events a second."""
BATCH: Final = 50
USERS: Final = 5000

pytestmark = pytest.mark.integration


class Shop:
    """What posts events at a fixed rate, whatever the answers; each batch again, with the same ids, until it is taken.

    Attributes:
        sent: events by user, each counted once.
        answers: how many requests were answered how.
    """

    def __init__(self, url: str) -> None:
        self.sent: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self._url, self._chance = f"{url}/v1/events", random.Random(5)

    async def run(self, seconds: float) -> None:
        limits = httpx.Limits(max_connections=400)
        async with httpx.AsyncClient(headers={"X-Api-Key": "k"}, timeout=30, limits=limits) as client:
            started, batches = time.monotonic(), []
            for number in range(round(seconds * RATE / BATCH)):
                await asyncio.sleep(max(0.0, started + number * BATCH / RATE - time.monotonic()))
                batches.append(asyncio.create_task(self._deliver(client, number)))
            await asyncio.gather(*batches)

    async def _deliver(self, client: httpx.AsyncClient, number: int) -> None:
        users = [f"u{self._chance.randrange(USERS)}" for _ in range(BATCH)]
        body = msgspec.json.encode(
            [
                {
                    "event_id": f"{number}-{n}", "type": "view", "occurred_at": time.time(), "user_id": user,
                    "item_id": f"i{number % 50}",
                }
                for n, user in enumerate(users)
            ]
        )  # fmt: skip
        while True:
            try:
                answer = await client.post(self._url, content=body)
            except httpx.TransportError as error:  # such as a connection that was closed while it was idle
                self.answers[type(error).__name__] += 1
                await asyncio.sleep(self._chance.uniform(0.5, 1.5))
                continue
            self.answers[str(answer.status_code)] += 1
            if answer.status_code == httpx.codes.ACCEPTED:
                assert answer.json()["accepted"] == BATCH
                self.sent.update(users)
                return
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
            await asyncio.sleep(float(answer.headers["Retry-After"]) * self._chance.uniform(0.5, 1.5))


class Victim(Protocol):
    """What is killed."""

    def kill(self) -> None: ...
    def start(self) -> None: ...


class RedisOf:
    """The one Redis of a stand."""

    def __init__(self, stand: Stand) -> None:
        self.kill, self.start = stand.kill_redis, stand.start_redis


@contextmanager
def stand_and_victim(kind: str) -> Iterator[tuple[Stand, Victim]]:
    """The product on a stream of a kind, and that stream."""
    if kind == "redis":
        with Stand({"INLAY_API_KEYS": "k"}, forked=True, synced=True) as stand:
            yield stand, RedisOf(stand)
        return
    if missing := why_no_kafka():
        pytest.skip(missing)
    with kafka_server() as kafka:
        settings = {"INLAY_API_KEYS": "k", "INLAY_STREAM_URL": kafka.url("chaos", partitions=PARTITIONS)}
        with Stand(settings, forked=True) as stand:
            yield stand, kafka


async def kill_again_and_again(victim: Victim) -> None:
    """Evenly over the time, each for a while."""
    chance = random.Random(6)
    for _ in range(KILLS):
        await asyncio.sleep(SECONDS / (KILLS + 1))
        victim.kill()
        await asyncio.sleep(chance.uniform(0, 3))
        await asyncio.to_thread(victim.start)


async def keep_flows(stand: Stand) -> None:
    """Start again what ends, as a supervisor does."""
    while True:
        for flow in FLOWS:
            stand.keep(flow)
        await asyncio.sleep(0.5)


def drain(stand: Stand) -> None:
    """Until the flows have committed the whole stream; one that ended is started again."""
    give_up_at = time.monotonic() + 120
    while not all(map(stand.is_drained, FLOWS)):
        assert time.monotonic() < give_up_at
        for flow in FLOWS:
            stand.keep(flow)
        time.sleep(0.2)


@pytest.mark.parametrize("kind", ["redis", "kafka"])
def test_every_event_that_was_answered_counts_once_and_nothing_else_does(kind: str) -> None:
    async def story(stand: Stand, victim: Victim, shop: Shop) -> None:
        keeping = asyncio.create_task(keep_flows(stand))
        await asyncio.gather(shop.run(SECONDS), kill_again_and_again(victim))
        keeping.cancel()

    with stand_and_victim(kind) as (stand, victim):
        for flow in FLOWS:
            stand.start(flow, wait=False)
        shop = Shop(stand.start_api())
        for flow in FLOWS:
            stand.wait_until_owner(flow)
        asyncio.run(story(stand, victim, shop))
        ended = time.monotonic()
        drain(stand)
        caught_up = time.monotonic() - ended
        outcomes = {flow: stand.outcomes(flow) for flow in FLOWS}
        rows = stand.read("user", sorted(shop.sent))
        views = {user: row["views_24h"] for user, row in rows.items()}
        for flow in FLOWS:
            stand.wait_until_owner(flow)
            stand.stop(flow)
    print(f"{kind}: {KILLS} kills, {shop.sent.total():,} events, answers {dict(shop.answers)},", end=" ")
    print(f"caught up {caught_up:.1f} s after the last, {outcomes}")
    assert shop.answers["503"] > 0, "no kill was noticed"
    assert views == dict(shop.sent)
    for flow in FLOWS:
        became = outcomes[flow]
        assert became["applied"] == shop.sent.total() == SECONDS * RATE, flow
        assert became["received"] == became["applied"] + became["duplicate"], flow
