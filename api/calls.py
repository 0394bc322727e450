"""Segment's calls over HTTP: whoever speaks to Segment can speak to us by another address and a key of ours."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Struct

from api.access import Keys, key_of
from api.arrivals import FIELD, NONE, Arrivals
from api.collect import MAX_BODY, MAX_EVENTS, Collector, fault_of, read_body, split_body
from api.metrics import COLLECTED
from api.problems import Problem
from api.segment import CALLS, Untranslatable, translate
from dataflows.events import MAX_EVENT_BYTES, Refused

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent pixel."""
TAKEN: Final = b'{"success": true}'
_TEXT: Final = {"type": "string"}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_ANY: Final = {"type": "object"}
_CALL: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "userId": _TEXT, "anonymousId": _TEXT, "messageId": _TEXT, "timestamp": _MOMENT, "event": _TEXT, "name": _TEXT,
        "previousId": _TEXT, "groupId": _TEXT, "properties": _ANY, "traits": _ANY, "context": _ANY, "writeKey": _TEXT,
        FIELD: _TEXT,
    },
}  # fmt: skip
_TYPED: Final = {**_CALL, "properties": {"type": {"enum": list(CALLS)}, **_CALL["properties"]}, "required": ["type"]}
_BATCH: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "items": _TYPED, "maxItems": MAX_EVENTS},
        "context": _ANY, "sentAt": _MOMENT, "writeKey": _TEXT,
    },
}  # fmt: skip
EXAMPLE: Final = {
    "userId": "u1", "event": "Product Added", "timestamp": "2026-05-17T09:30:00Z",
    "properties": {"product_id": "p001", "quantity": 1, "price": 16.99, "currency": "EUR"},
}  # fmt: skip
_PARAMETERS: Final = {
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": _TEXT}
        for name in ("data", "writeKey", "userId", "anonymousId", "messageId", "event", "timestamp")
    ]
}


def _body(schema: Mapping[str, Any], example: Mapping[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


class _Batch(Struct):
    batch: list[msgspec.Raw]
    context: Any = None
    sentAt: Any = None  # noqa: N815  # their names


class _Key(Struct):
    writeKey: str = ""  # noqa: N815


_read_batch: Final = msgspec.json.Decoder(_Batch).decode
_read_key: Final = msgspec.json.Decoder(_Key).decode
_read_any: Final = msgspec.json.Decoder().decode


def routes(collector: Collector, keys: Keys, arrivals: Arrivals = NONE) -> APIRouter:
    """The calls that are posted; of an `identify` that hands back what a click carried, `arrivals` know whose it is."""
    router = APIRouter(prefix="/v1", tags=["segment"])

    def single(call: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await _read(request, collector, keys, MAX_EVENT_BYTES)
            await collector.collect([_event(call, body, collector.now(), arrivals=arrivals)])
            return _taken()

        return endpoint

    for call in CALLS:
        say = f"Segment's `{call}`: always 200, but for a body that is no JSON or larger than 32 KB."
        router.post(f"/{call}", name=call, description=say, openapi_extra=_body(_CALL, EXAMPLE))(single(call))

    @router.post("/batch", openapi_extra=_body(_BATCH, {"batch": [{"type": "track", **EXAMPLE}]}))
    async def batch(request: Request) -> Response:
        """Segment's `batch`: at most 2,500 calls and 500 KB, each of which says its type."""
        body = await _read(request, collector, keys, MAX_BODY)
        around = _Batch([])

        def split(body: bytes) -> list[msgspec.Raw]:
            nonlocal around
            around = _read_batch(body)
            return around.batch

        with _no_413():
            raws = await split_body(body, collector, split)
        now = collector.now()
        await collector.collect([_event("", raw, now, around, arrivals) for raw in raws])
        return _taken()

    return router


def pixel_routes(collector: Collector, keys: Keys) -> APIRouter:
    """The calls of a picture's address."""
    router = APIRouter(prefix="/v1", tags=["segment"])

    def pixel(call: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            raw = request.scope["query_string"]
            try:
                await collector.collect([_from_query(call, raw, partial(keys.check, request), collector.now())])
            except Problem:  # nobody could read it in a picture
                return lost_picture()
            return _picture()

        return endpoint

    for call in CALLS:
        say = (
            f"Segment's `{call}` by the address of a picture: `data`, base64 of its JSON, or `userId`, `properties.x`…"
        )
        add = router.get(
            f"/pixel/{call}", name=f"pixel {call}", description=say, response_class=Response, openapi_extra=_PARAMETERS
        )
        add(pixel(call))
    # A picture always comes: whatever else is asked for says in its data which call it is, or is refused.
    for path in ("/pixel", "/pixel/{call:path}"):
        router.get(path, include_in_schema=False, response_class=Response)(pixel(""))
    return router


def lost_picture() -> Response:
    """The picture, where the event behind it was not taken; it is counted."""
    COLLECTED.labels("lost").inc()
    return _picture()


def _picture() -> Response:
    return Response(GIF, media_type="image/gif", headers={"Cache-Control": "no-store"})


async def _read(request: Request, collector: Collector, keys: Keys, limit: int) -> bytes:
    """The body of a call whose sender may send it: the key is in a header, or in the body as `writeKey`.

    Raises:
        Problem: 401, they may not; 400, it is no JSON or too large.
    """
    given = key_of(request)
    if given:
        await keys.allow(request, given)
    with _no_413():
        body = await read_body(request, collector)
    if not given:
        keys.check(request, _write_key(body))
    say = f"the body is larger than {limit:,} bytes" if len(body) > limit else fault_of(body)
    if say:
        kind: Any = "size" if len(body) > limit else "format"
        await collector.keep([Refused("collect", kind, say, "", body)])
        raise _bad(say)
    return body


def _write_key(body: bytes) -> bytes:
    try:
        return _read_key(body).writeKey.encode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b""


def _event(call: str, raw: bytes, now: int, around: _Batch | None = None, arrivals: Arrivals = NONE) -> bytes | Refused:
    """The bytes of the event that a call is; what cannot be translated is refused with the bytes of the call."""
    try:
        message = _read_any(raw)
        if around is not None and isinstance(message, dict) and isinstance(around.context, dict):
            said = message.get("context")
            message["context"] = around.context | (said if isinstance(said, dict) else {})
        if isinstance(message, dict) and (call or message.get("type")) == "identify":
            arrivals.settle(message)
        return msgspec.json.encode(translate(call, message, now, None if around is None else around.sentAt))
    except Untranslatable as error:
        kind: Any = "time" if error.field in ("timestamp", "sentAt") else "schema"
        return Refused("collect", kind, error.reason, error.field, raw)
    except (ValueError, OverflowError, RecursionError) as error:  # as msgspec reads and writes
        return Refused("collect", "format", f"not JSON that can be taken: {error}", "", raw)


def _from_query(call: str, query: bytes, check: Callable[[bytes], None], now: int) -> bytes | Refused:
    """The event of a pixel's query; without a known key it is refused like any other fault."""
    words = dict(parse_qsl(query.decode("latin-1")))
    data = words.pop("data", None)
    try:
        raw = msgspec.json.encode(_nested(words)) if data is None else _decoded(data)
    except (binascii.Error, ValueError) as error:
        return Refused("collect", "format", f"data: is no base64 of JSON: {error}", "data", query)
    try:
        check(_write_key(raw) or words.get("writeKey", "").encode())
    except Problem as problem:
        if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise
        return Refused("collect", "schema", "writeKey: this key is not known, or missing", "writeKey", raw)
    return _event(call, raw, now)


def _decoded(data: str) -> bytes:
    """Base64 of either alphabet, with or without its padding."""
    plain = data.translate(str.maketrans("-_ ", "+/+")).rstrip("=")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _nested(words: Mapping[str, str]) -> dict[str, Any]:
    """`properties.subject=…` as `{"properties": {"subject": …}}`."""
    message: dict[str, Any] = {}
    for name, value in words.items():
        *outer, last = name.split(".")
        place = message
        for key in outer:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{name} is said twice, in two ways")  # noqa: TRY004  # a fault of the text
            place = inner
        place[last] = value
    return message


def _taken() -> Response:
    return Response(TAKEN, media_type="application/json")


@contextlib.contextmanager
def _no_413() -> Iterator[None]:
    """What is too large is 400 to Segment's clients."""
    try:
        yield
    except Problem as problem:
        raise _bad(str(problem)) if problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else problem from None


def _bad(say: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, say)
