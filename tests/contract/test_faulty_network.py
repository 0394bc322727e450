"""Six faults of a network before Redis, Kafka and our own door: what was acknowledged is there, and all else heals."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import httpx
import msgspec
import pytest
import redis

from dataflows.connectors import open_publisher, open_stream
from tests.contract.faulty_proxy import FAULTS, FaultyProxy, faulty_proxy
from tests.contract.kafka_server import KafkaServer
from tests.contract.redis_server import RedisServer
from tests.contract.test_streams import read_all, values_of
from tests.integration.stand import PARTITIONS, Stand
from tests.unit.api.senders import SEALS, SECRETS

FAILURES: Final = (redis.RedisError, OSError, httpx.HTTPError)
PATIENCE: Final = 15.0
HARMLESS: Final = ("latency", "jitter", "slicer")
"""What only takes longer."""
every_fault = pytest.mark.parametrize("fault", FAULTS)


async def under_a_fault(proxy: FaultyProxy, fault: str, send: Callable[[int], Awaitable[object]]) -> set[int]:
    """Send before, while and after the network is not well; what was acknowledged."""
    acknowledged: set[int] = set()

    async def attempt(number: int) -> None:
        asked = time.monotonic()
        try:
            await asyncio.wait_for(send(number), PATIENCE)
        except asyncio.TimeoutError:
            raise AssertionError(f"{fault}: no answer and no error in {PATIENCE:g} s") from None
        except FAILURES:
            assert time.monotonic() - asked < PATIENCE
        else:
            acknowledged.add(number)

    async def persist(number: int) -> None:
        give_up_at = time.monotonic() + 60
        while number not in acknowledged:
            assert time.monotonic() < give_up_at, f"{fault}: it does not heal"
            await attempt(number)

    await persist(0)
    proxy.fault = fault
    await asyncio.gather(*map(attempt, range(1, 4)))
    if fault in HARMLESS:
        assert acknowledged == {0, 1, 2, 3}
    proxy.fault = ""
    await persist(4)
    return acknowledged


@every_fault
def test_before_redis(running_redis: RedisServer, fault: str) -> None:
    query = f"?stream=faulty-{uuid.uuid4().hex[:8]}&partitions=1"
    with faulty_proxy(running_redis.port) as proxy:
        acknowledged = asyncio.run(published(proxy, fault, f"redis://127.0.0.1:{proxy.port}/0{query}"))
    assert acknowledged <= stored(running_redis.url + query)


@every_fault
def test_before_kafka(running_kafka: KafkaServer, fault: str) -> None:
    topic = f"faulty-{uuid.uuid4().hex[:8]}"
    with faulty_proxy(*running_kafka.behind_proxy) as proxy:
        url = f"kafka://127.0.0.1:{proxy.port}/{topic}?partitions=1&message.timeout.ms=2000&socket.timeout.ms=2000"
        acknowledged = asyncio.run(published(proxy, fault, url))
    assert acknowledged <= stored(running_kafka.url(topic, partitions=1))


async def published(proxy: FaultyProxy, fault: str, url: str) -> set[int]:
    publisher = open_publisher(url)
    try:
        return await under_a_fault(proxy, fault, lambda number: publisher.publish([(0, b"%d" % number)]))
    finally:
        await publisher.close()


def stored(url: str) -> set[int]:
    """The numbers in a stream."""
    stream = open_stream(url)
    found = values_of(read_all(stream, stream.lag({0: -1})[0]))
    stream.close()
    return set(map(int, found[0]))


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[Stand, int]]:
    """A service that shops post to, and its port."""
    with Stand({"INLAY_API_KEYS": "k", "INLAY_WEBHOOKS": f"shopify={SECRETS['shopify'][0]}"}) as stand:
        yield stand, int(stand.start_api().rpartition(":")[2])


@pytest.mark.integration
@every_fault
def test_before_our_own_door(shop: tuple[Stand, int], fault: str) -> None:
    """A shop that posts its webhooks over such a network, and sends again what was not answered."""
    first = int(uuid.uuid4().hex[:8], 16)

    async def story(proxy: FaultyProxy) -> set[int]:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{proxy.port}", timeout=3) as client:

            async def send(number: int) -> None:
                body = msgspec.json.encode({"id": first + number, "title": "x", "updated_at": "2026-02-02T10:00:00Z"})
                posted = SEALS["shopify"]("products_update", body, SECRETS["shopify"][0])
                answer = await client.post("/v1/webhooks/shopify", content=body, headers=dict(posted.headers))
                answer.raise_for_status()
                assert answer.json() == {"accepted": 1, "refused": 0}

            return await under_a_fault(proxy, fault, send)

    stand, port = shop
    with faulty_proxy(port) as proxy:
        acknowledged = asyncio.run(story(proxy))
    events = [msgspec.json.decode(value) for part in range(PARTITIONS) for value in stand.stream(part)]
    assert acknowledged <= {int(event["item_id"]) - first for event in events}
