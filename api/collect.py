"""Collect: events in over HTTP. An answer of 202 means it is in the stream; what is refused is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.metrics import COLLECTED
from api.problems import Problem
from dataflows.connectors import Publisher, StreamError
from dataflows.connectors.letters import DeadLetters
from dataflows.events import Event, Refused, parse, partition_of

MAX_BODY: Final = 500 * 1024
MAX_EVENTS: Final = 2500
KEPT_BODY: Final = 4 * 1024 * 1024
"""A body over the limit is still kept as one dead letter up to this size."""

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
EXAMPLE: Final = {
    "event_id": "8f2c…", "type": "add_to_cart", "occurred_at": "2026-05-17T09:30:00Z", "user_id": "u1",
    "item_id": "p001", "quantity": 1, "price": 16.99, "currency": "EUR",
}  # fmt: skip
_ONE: Final = {"type": "object", "required": ["event_id", "type", "occurred_at"]}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_ONE, {"type": "array", "items": _ONE, "maxItems": MAX_EVENTS}]},
                "example": EXAMPLE,
            }
        },
    }
}
"""What the documentation shows of the body; the route itself reads bytes, so that a bad body is kept whole."""


class Collector:
    """Judges what is posted, publishes what is good, keeps what is not.

    Args:
        publisher: the stream.
        letters: the dead letters, written through `client`.
        client: the Redis that keeps them.
        max_skew: microseconds an event may lie in the future.
        clock: microseconds since 1970, now.
        complete: what puts into the bytes of a good event what its request tells.
    """

    def __init__(
        self,
        publisher: Publisher,
        letters: DeadLetters,
        client: redis.asyncio.Redis,
        max_skew: int,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        complete: Callable[[bytes, Event], bytes] = lambda raw, event: raw,
    ) -> None:
        self._complete = complete
        self._publisher, self._letters, self._client = publisher, letters, client
        self._max_skew, self._clock = max_skew, clock

    async def collect(self, raws: list[bytes]) -> tuple[int, list[dict[str, Any]]]:
        """Publish and keep; the number accepted, and of each refused event its index and reason."""
        now = self._clock()
        judged = [parse(raw, now, max_skew=self._max_skew, stage="collect") for raw in raws]
        partitions = self._publisher.partitions
        good = [
            (partition_of(each.key, partitions), self._complete(raw, each))
            for each, raw in zip(judged, raws, strict=True)
            if isinstance(each, Event)
        ]
        refused = [(index, each) for index, each in enumerate(judged) if isinstance(each, Refused)]
        if refused:
            await self.keep([each for _, each in refused])
        if good:
            try:
                await self._publisher.publish(good)
            except (redis.RedisError, OSError):
                raise _unavailable() from None
            except StreamError as error:
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        COLLECTED.labels("accepted").inc(len(good))
        COLLECTED.labels("refused").inc(len(refused))
        return len(good), [{"index": index, "field": each.field, "reason": each.reason} for index, each in refused]

    async def keep(self, refused: list[Refused]) -> None:
        """Put refused events into the dead letters.

        Raises:
            Problem: 503, they cannot be written.
        """
        now = self._clock()
        pipeline = self._client.pipeline(transaction=False)
        for each in refused:
            pipeline.execute_command(*self._letters.command("api", each, now))
        try:
            await pipeline.execute()
        except (redis.RedisError, OSError):
            raise _unavailable() from None


def routes(collector: Collector) -> APIRouter:
    """The writing route."""
    router = APIRouter(prefix="/v1", tags=["events"])

    @router.post("/events", status_code=HTTPStatus.ACCEPTED, openapi_extra=_BODY)
    async def events(request: Request) -> JSONResponse:
        """Take one event, or an array of at most 2,500 events and 500 KB; those refused are named by their index."""
        body = await read_body(request, collector)
        accepted, refused = await collector.collect(await split_body(body, collector))
        return JSONResponse({"accepted": accepted, "refused": refused}, HTTPStatus.ACCEPTED)

    return router


async def read_body(request: Request, collector: Collector) -> bytes:
    """The bytes of a request.

    Raises:
        Problem: 413, there are too many of them.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > KEPT_BODY:
            break
    if len(body) <= MAX_BODY:
        return bytes(body)
    say = f"the body is larger than {MAX_BODY:,} bytes; send fewer events at once"
    if len(body) <= KEPT_BODY:
        await collector.keep([Refused("collect", "size", say, "", bytes(body))])
        COLLECTED.labels("refused").inc()
    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say)


async def split_body(body: bytes, collector: Collector) -> list[bytes]:
    """The events of a body as bytes: those of an array, or the body itself.

    Raises:
        Problem: 400, it is no JSON at all; 413, there are too many events.
    """
    try:
        raws = [bytes(raw) for raw in _split(body)] if body.lstrip()[:1] == b"[" else [_checked(body)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        say = f"the body is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
        await collector.keep([Refused("collect", "format", say, "", body)])
        COLLECTED.labels("refused").inc()
        raise Problem(HTTPStatus.BAD_REQUEST, say) from None
    if len(raws) > MAX_EVENTS:
        say = f"the array has {len(raws):,} events; send at most {MAX_EVENTS:,} at once"
        await collector.keep([Refused("collect", "size", say, "", body)])
        COLLECTED.labels("refused").inc()
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say)
    return raws


def _unavailable() -> Problem:
    say = "no events are taken right now; send these again, with the same event_ids, and none counts twice"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"})


def _checked(body: bytes) -> bytes:
    msgspec.json.decode(body)
    return body
