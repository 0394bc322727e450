"""The whole service under fire: requests drawn from the OpenAPI document, and spoilt bytes at every way in.

Nothing is answered 5xx, nothing is logged as an error, and every event is in the stream or in the dead letters.
`FUZZ_REQUESTS=100000` spoils so many instead of 1,350, and draws a tenth as many from the document.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from api.app import create
from api.settings import api_settings
from api.webhooks import Hooks
from dataflows.events import SECOND
from tests.contract.redis_server import RedisServer, redis_server
from tests.unit.api.senders import CERTIFICATE_URL, NOW, SEALS, SECRETS, Posted, cases, setting, sns_certificate

pytestmark = pytest.mark.integration

REQUESTS: Final = int(os.environ.get("FUZZ_REQUESTS", "1350"))
BY_DOCUMENT: Final = 0.1
"""So many for each spoilt one are drawn from the document, which takes most of the time."""
AT_WEBHOOKS: Final = 0.4
"""Of the others, the share that goes to webhooks."""
KEY: Final = "k"
PARTITIONS: Final = 4
CALLS: Final = ("track", "identify", "page", "screen", "group", "alias")
COLLECTING: Final = ("/v1/events", "/v1/batch", *(f"/v1/{call}" for call in CALLS))
DELIVERIES: Final = cases()
FORGED: Final = 20
"""So many deliveries without proof are kept at once."""


class Service:
    """The service as it ships, in this process, at a Redis; and what should be there, by the answers alone."""

    def __init__(self, server: RedisServer, loop: asyncio.AbstractEventLoop, **more: str) -> None:
        self._server, self._loop = server, loop
        told = {
            "INLAY_API_KEYS": KEY, "INLAY_REDIS_URL": server.url, "INLAY_WEBHOOKS": ",".join(setting()),
            "INLAY_STREAM_URL": f"{server.url}?stream=events&partitions={PARTITIONS}", "INLAY_DEAD_LETTERS_BYTES": "0",
            "INLAY_DEAD_LETTERS_KEEP": "10000000", **more,
        }  # fmt: skip
        self.app = create(api_settings(told), partial(Hooks, clock=lambda: NOW * SECOND, fetch=_fetch))
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url="https://api"
        )
        self._life = self.app.router.lifespan_context(self.app)
        loop.run_until_complete(self._life.__aenter__())
        gc.unfreeze()  # the service freezes what it finds; this process goes on
        self.statuses: Counter[int] = Counter()
        self.expected = self.forged = 0

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send a request; whatever of it had to become an event or a dead letter is expected from now on."""
        headers = {"X-Api-Key": KEY, **how.pop("headers", {})}
        request = self._client.build_request(method, path, headers=headers, **how)
        answer = self._loop.run_until_complete(self._client.send(request))
        self.statuses[answer.status_code] += 1
        assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, (method, path, how, answer.text)
        if answer.status_code >= HTTPStatus.BAD_REQUEST and method != "HEAD":
            page = path.startswith("/v1/click/")  # a person reads it
            expected = "text/html; charset=utf-8" if page else "application/problem+json"
            assert answer.headers["content-type"] == expected
        if method == "GET" and path.startswith("/v1/pixel"):
            assert answer.headers["content-type"] == "image/gif"
            self.expected += 1
        elif method == "POST" and path.startswith("/v1/webhooks/"):
            self._expect_of_webhook(answer)
        elif method == "POST" and path in COLLECTING:
            self.expected += self._units(path, request.content, answer)
        return answer

    def _expect_of_webhook(self, answer: httpx.Response) -> None:
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self.forged += 1
        elif answer.status_code == HTTPStatus.OK:
            said = answer.json()
            self.expected += said["accepted"] + said["refused"]

    def _units(self, path: str, body: bytes, answer: httpx.Response) -> int:
        if answer.status_code >= HTTPStatus.BAD_REQUEST:  # the body is kept whole
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
        return sum(client.xlen(f"events:{part}") for part in range(PARTITIONS)), client.xlen("dead_letters")

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._life.__aexit__(None, None, None))


async def _fetch(url: str) -> bytes:
    return sns_certificate() if url == CERTIFICATE_URL else b""


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
    assert {operation.path for operation in operations} >= {*COLLECTING, "/v1/webhooks/{platform}"}
    for operation in operations:
        if operation.method.upper() == "DELETE" and operation.path.startswith("/v1/users/"):
            continue  # it publishes a command, and waits for flows that are not here: tests/contract/test_erasure.py
        _fire(operation, math.ceil(REQUESTS * BY_DOCUMENT / len(operations)), service)
    _nothing_is_miscounted(service, caplog)


def _fire(operation: Any, number: int, service: Service) -> None:
    """Draw requests; each is answered with a status, a kind of content and a content that the document knows."""
    from schemathesis import Response
    from schemathesis.specs.openapi import checks

    agrees = [
        checks.status_code_conformance, checks.content_type_conformance, checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]  # fmt: skip

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
        answer = service.send(operation.method.upper(), case.formatted_path, **how)
        case.validate_response(Response.from_httpx(answer, verify=False), checks=agrees)

    send()


def test_spoilt_bytes(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(20)
    for _ in range(REQUESTS):
        if chance.random() < AT_WEBHOOKS:
            platform, posted = _delivery(chance)
            service.send(
                "POST", f"/v1/webhooks/{platform}{posted.query}", content=posted.body, headers=dict(posted.headers)
            )
            continue
        path, body = _aim(chance)
        if path.startswith("/v1/pixel"):
            service.send(
                "GET", path, params={"data": body[:15_000].decode("latin-1"), "writeKey": chance.choice((KEY, "", "x"))}
            )
        else:
            service.send("POST", path, content=body)
    assert service.statuses[200] > 0 < service.statuses[202]
    assert service.statuses[400] > 0 < service.forged
    _nothing_is_miscounted(service, caplog)


def _delivery(chance: random.Random) -> tuple[str, Posted]:
    """A spoilt delivery of some platform, with the right proof, with that of somebody else, or with none."""
    platform = chance.choice(sorted(SEALS))
    case = chance.choice([each for each in DELIVERIES if each.platform == platform])
    body = chance.choice(SPOILT)(case.body, chance)
    try:
        posted = SEALS[platform](case.name, body, chance.choice(SECRETS[platform]))
    except Exception:  # a sender that looks into its body cannot seal just any
        posted = Posted(body)
    return platform, posted if chance.random() < 0.9 else Posted(body, {"Content-Type": "application/json"})


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
    print(f"{service.statuses.total():,} requests {dict(service.statuses)}: {accepted:,} accepted, {refused:,} refused")
    assert accepted + refused == service.expected + min(FORGED, service.forged)
    assert accepted > 0 < refused
    wrong = [each for each in caplog.records if each.levelname in ("ERROR", "CRITICAL") or each.exc_info]
    assert [each.getMessage() for each in wrong] == []
