"""Collect: events in over HTTP. An answer of 202 means it is in the stream; what is refused is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import msgspec
import redis
import redis.asyncio
from fastapi import APIRouter, Request, Response
from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport

from api.access import Keys, key_of
from api.metrics import COLLECTED
from api.problems import Problem
from dataflows.connectors import Publisher, StreamError
from dataflows.connectors.letters import DeadLetters
from dataflows.events import EVENT_TYPES, MAX_EVENT_BYTES, Event, Refused, parse, partition_of

MAX_BODY: Final = 500 * 1024
MAX_EVENTS: Final = 2500
BODY_SECONDS: Final = 10.0
"""Who sends more slowly would keep a place that others need."""
KEPT_BODY: Final = 4 * 1024 * 1024
"""A body over the limit is still kept as one dead letter up to this size."""

Buffer: TypeAlias = bytes | msgspec.Raw
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
_ACCEPTED: Final = COLLECTED.labels("accepted")
_REFUSED: Final = COLLECTED.labels("refused")
EXAMPLE: Final = {
    "event_id": "8f2c…", "type": "add_to_cart", "occurred_at": "2026-05-17T09:30:00Z", "user_id": "u1",
    "item_id": "p001", "quantity": 1, "price": 16.99, "currency": "EUR",
}  # fmt: skip
_ONE: Final = {
    "type": "object",
    "required": ["event_id", "type", "occurred_at"],
    "properties": {
        "event_id": {"type": "string", "minLength": 1, "maxLength": 200},
        "type": {"enum": list(EVENT_TYPES)},
        "occurred_at": {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]},
        "user_id": {"type": "string"},
        "anonymous_id": {"type": "string"},
        "item_id": {"type": "string"},
    },
}
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
        self._max_skew, self.now = max_skew, clock

    async def collect(self, raws: Sequence[bytes | Refused]) -> tuple[int, list[dict[str, Any]]]:
        """Publish and keep; the number accepted, and of each refused event its index and reason.

        Args:
            raws: the bytes of events, or why there are none in that place.

        Raises:
            Problem: 503, nothing of it may be taken as received.
        """
        now = self.now()
        good: list[tuple[int, bytes]] = []
        refused: list[tuple[int, Refused]] = []
        partitions = self._publisher.partitions
        for index, raw in enumerate(raws):
            each = raw if isinstance(raw, Refused) else parse(raw, now, max_skew=self._max_skew, stage="collect")
            if isinstance(each, Event):
                good.append((partition_of(each.key, partitions), self._complete(raw, each)))  # type: ignore[arg-type]
            else:
                refused.append((index, each))
        if refused:
            await self.keep([each for _, each in refused])
        if good:
            try:
                await self._publisher.publish(good)
            except (redis.RedisError, OSError, StreamError) as error:
                raise _unavailable(error) from None
        _ACCEPTED.inc(len(good))
        return len(good), [{"index": index, "field": each.field, "reason": each.reason} for index, each in refused]

    async def keep(self, refused: Sequence[Refused]) -> None:
        """Put refused events into the dead letters, and count them.

        Raises:
            Problem: 503, they cannot be written.
        """
        now = self.now()
        pipeline = self._client.pipeline(transaction=False)
        for each in refused:
            pipeline.execute_command(*self._letters.command("api", each, now))
        try:
            await pipeline.execute()
        except (redis.RedisError, OSError) as error:
            raise _unavailable(error) from None
        _REFUSED.inc(len(refused))


def routes(collector: Collector, keys: Keys) -> APIRouter:
    """The writing route."""
    router = APIRouter(prefix="/v1", tags=["events"])

    @router.post("/events", status_code=HTTPStatus.ACCEPTED, openapi_extra=_BODY)
    async def events(request: Request) -> Response:
        """Take one event, or an array of at most 2,500 events and 500 KB; those refused are named by their index."""
        await keys.allow(request, key_of(request))
        body = await read_body(request, collector)
        single = body.lstrip()[:1] != b"["
        parsed_once = single and len(body) <= MAX_EVENT_BYTES
        raws = [body] if parsed_once else await split_body(body, collector, _whole if single else _split)
        accepted, refused = await collector.collect(raws)
        if refused and single and (fault := fault_of(body)):
            raise Problem(HTTPStatus.BAD_REQUEST, fault)
        content = msgspec.json.encode({"accepted": accepted, "refused": refused})
        return Response(content, HTTPStatus.ACCEPTED, media_type="application/json")

    return router


async def read_body(request: Request, collector: Collector) -> bytes:
    """The bytes of a request.

    Raises:
        Problem: 413, there are too many of them; 408, they come too slowly.
    """
    body = await read_bytes(request, KEPT_BODY)
    if len(body) <= MAX_BODY:
        return body
    say = f"the body is larger than {MAX_BODY:,} bytes; send fewer events at once"
    if len(body) <= KEPT_BODY:
        await collector.keep([Refused("collect", "size", say, "", body)])
    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say)


async def read_bytes(request: Request, most: int) -> bytes:
    """The bytes of a request; of one that has more than `most`, the first of them, and more than `most`.

    Raises:
        Problem: 408, they come too slowly.
    """
    body = bytearray()
    try:
        async with timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    break
    except asyncio.TimeoutError:
        say = f"the body did not come within {BODY_SECONDS:g} s; send it again, with the same event_ids"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, say) from None
    return bytes(body)


async def split_body(body: bytes, collector: Collector, split: Callable[[bytes], Sequence[Buffer]]) -> list[bytes]:
    """The events of a body as bytes.

    Args:
        body: as it was posted.
        collector: keeps a body that cannot be split.
        split: does it, and raises what msgspec does.

    Raises:
        Problem: 400, it is no JSON at all, or not of that form; 413, there are too many events.
    """
    try:
        raws = [bytes(raw) for raw in split(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        say = fault_of(body) or _plain(error)
        await collector.keep([Refused("collect", "format", say, "", body)])
        raise Problem(HTTPStatus.BAD_REQUEST, say) from None
    if len(raws) > MAX_EVENTS:
        say = f"the array has {len(raws):,} events; send at most {MAX_EVENTS:,} at once"
        await collector.keep([Refused("collect", "size", say, "", body)])
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say)
    return raws


def _whole(body: bytes) -> Sequence[bytes]:
    msgspec.json.decode(body)
    return [body]


def fault_of(body: bytes) -> str:
    """Why a body is no JSON; empty if it is."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _plain(error)
    return ""


def _plain(error: Exception) -> str:
    return f"the body is not JSON: {str(error).removeprefix('JSON is malformed: ')}"


def _unavailable(error: Exception) -> Problem:
    say = "no events are taken right now; send these again, with the same event_ids, and none counts twice"
    if isinstance(error, StreamError):  # its words say what to do
        say = str(error)
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"})
