"""The collecting routes under fire: requests drawn from the OpenAPI document, and spoilt bytes. Nothing is miscounted.

`FUZZ_REQUESTS=100000` sends so many instead of 1,500.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, Final

import httpx
import msgspec
import pytest
import redis.asyncio
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings

from api import problems
from api.access import Keys
from api.app import install_door
from api.collect import Collector
from api.settings import api_settings
from dataflows.connectors import open_publisher
from dataflows.connectors.letters import DeadLetters
from dataflows.events import MINUTE
from tests.contract.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.integration

REQUESTS: Final = int(os.environ.get("FUZZ_REQUESTS", "1500"))
BY_DOCUMENT: Final = 0.1
"""The share that is drawn from the document, which takes most of the time."""
KEY: Final = "k"
PARTITIONS: Final = 4
CALLS: Final = ("track", "identify", "page", "screen", "group", "alias")


class Service:
    """The collecting routes in this process, at a Redis; and what should be in it, by the answers alone."""

    def __init__(self, server: RedisServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server, self._loop = server, loop
        self.app = FastAPI()
        problems.install(self.app)
        self._publisher = open_publisher(f"{server.url}?stream=events&partitions={PARTITIONS}")
        self._keeper = redis.asyncio.Redis.from_url(server.url, protocol=2)
        letters = DeadLetters("letters", 10_000_000)
        collector = Collector(self._publisher, letters, self._keeper, 5 * MINUTE)
        install_door(self.app, collector, Keys([KEY]), api_settings({"INLAY_API_KEYS": KEY}))
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://api")
        self.statuses: Counter[int] = Counter()
        self.expected = 0

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send a request; whatever of it had to become an event or a dead letter is expected from now on."""
        headers = {**how.pop("headers", {}), "X-Api-Key": KEY}
        request = self._client.build_request(method, path, headers=headers, **how)
        answer = self._loop.run_until_complete(self._client.send(request))
        self.statuses[answer.status_code] += 1
        assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, (method, path, how, answer.text)
        if path.startswith("/v1/pixel"):
            assert answer.headers["content-type"] == "image/gif"
            self.expected += 1
        elif method == "POST":
            self.expected += self._units(path, request.content, answer)
        return answer

    def _units(self, path: str, body: bytes, answer: httpx.Response) -> int:
        if answer.status_code >= HTTPStatus.BAD_REQUEST:  # the body is kept whole
            assert answer.headers["content-type"] == "application/problem+json"
            return 1
        if path != "/v1/events":
            assert answer.json() == {"success": True}
            return len(msgspec.json.decode(body)["batch"]) if path == "/v1/batch" else 1
        said = answer.json()
        number = len(msgspec.json.decode(body, type=list[msgspec.Raw])) if body.lstrip()[:1] == b"[" else 1
        assert said["accepted"] + len(said["refused"]) == number
        return number

    def counts(self) -> tuple[int, int]:
        """How many events are in the stream, and how many dead letters there are."""
        client: Any = self._server.client
        return sum(client.xlen(f"events:{part}") for part in range(PARTITIONS)), client.xlen("letters")

    def close(self) -> None:
        async def close() -> None:
            await self._client.aclose()
            await self._publisher.close()
            await self._keeper.aclose()

        self._loop.run_until_complete(close())


@pytest.fixture
def service() -> Iterator[Service]:
    with redis_server() as server, contextlib.closing(asyncio.new_event_loop()) as loop:
        service = Service(server, loop)
        yield service
        service.close()


def test_requests_drawn_from_the_document(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis wants Python 3.11")
    document = schemathesis.openapi.from_dict(service.app.openapi())
    operations = [result.ok() for result in document.get_all_operations()]
    assert len(operations) == 15
    for operation in operations:
        _fire(operation, int(REQUESTS * BY_DOCUMENT / len(operations)), service)
    _nothing_is_miscounted(service, caplog)


def _fire(operation: Any, number: int, service: Service) -> None:
    @settings(
        max_examples=number, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        drawn = case.as_transport_kwargs(base_url="http://api")
        how = {name: drawn[name] for name in ("params",) if drawn.get(name)}
        if "json" in drawn:
            how["content"] = json.dumps(drawn["json"]).encode()
        elif "data" in drawn:
            how["content"] = drawn["data"] if isinstance(drawn["data"], bytes) else str(drawn["data"]).encode()
        service.send(operation.method.upper(), operation.path, **how)

    send()


def test_spoilt_bytes(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(20)
    for _ in range(int(REQUESTS * (1 - BY_DOCUMENT))):
        path, body = _aim(chance)
        if path.startswith("/v1/pixel"):
            service.send(
                "GET", path, params={"data": body[:15_000].decode("latin-1"), "writeKey": chance.choice((KEY, "", "x"))}
            )
        else:
            service.send("POST", path, content=body)
    assert service.statuses[200] > 0 < service.statuses[202]
    assert service.statuses[400] > 0
    _nothing_is_miscounted(service, caplog)


def _aim(chance: random.Random) -> tuple[str, bytes]:
    call = chance.choice(CALLS)
    one = chance.choice
    message = {
        "type": call, "userId": one(("u1", "u2", "u3", 7, "", None)), "event": one(("Product Viewed", "x", "y", 3)),
        "previousId": "p", "timestamp": one(("2026-05-17T09:30:00Z", 1.7e9, "now", None)),
        "properties": {"product_id": one((1, "p", "q", [])), "price": one((1, "2", 3.5, "x", -1))},
    }  # fmt: skip
    event = {
        "event_id": "e", "type": one(("view", "click", "look")), "user_id": one(("u", "v", "w", "", 1, "\x00")),
        "occurred_at": one((1.7e9, 1.6e9, "2026-05-17T09:30:00Z", "x", 1e300, 10**30)), "item_id": "p",
    }  # fmt: skip
    path, whole = chance.choice(
        (
            ("/v1/events", event), ("/v1/events", [event] * chance.randrange(4)), (f"/v1/{call}", message),
            ("/v1/batch", {"batch": [message] * chance.randrange(4), "sentAt": chance.choice(("x", None, 5))}),
            (f"/v1/pixel/{call}", message),
        )
    )  # fmt: skip
    return path, chance.choice(SPOILT)(json.dumps(whole, ensure_ascii=False).encode(), chance)


def _flip(body: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1 << chance.randrange(8)]) + body[place + 1 :]


def _splice(body: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(body))
    nasty = (
        b"\\ud800",
        b"\xff",
        b"NaN",
        b"[" * 2000,
        b'{"a":' * 2000,
        b"\\u0000",
        b"1e999",
        b"9" * 400,
        b"\xef\xbb\xbf",
    )
    return body[:place] + chance.choice(nasty) + body[place:]


SPOILT: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    lambda body, chance: body,
    lambda body, chance: body[: chance.randrange(len(body))],
    _flip,
    _splice,
    lambda body, chance: chance.randbytes(chance.randrange(200)),
    lambda body, chance: (
        body + b" " * chance.choice((40_000, 600_000)) if chance.random() < 0.02 else _flip(body, chance)
    ),
)


def _nothing_is_miscounted(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    accepted, refused = service.counts()
    assert accepted + refused == service.expected
    assert accepted > 0 < refused
    print(f"{service.statuses.total()} requests, {service.expected} events: {accepted} accepted, {refused} refused")
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
