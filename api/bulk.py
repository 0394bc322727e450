"""Bulk: the routes that answer for many users in one request, as lines of JSON or as SendGrid takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta, Struct
from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport

from api.answer import Answer
from api.batch import Batch, Stream
from api.personalizations import ADDRESS, MOST_RECIPIENTS, Recipient, encoded
from api.problems import Problem
from api.render import render_html, render_json, render_text
from api.serve import BlockServer

MOST_USERS: Final = 10_000
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a body."""
BODY_SECONDS: Final = 10.0
MOST_BATCHES: Final = 16
"""Requests of this sort on their way at once, a process; each holds a chunk of mails in memory."""
LINES_AT_ONCE: Final = 64
DRAWN_AT_ONCE: Final = 16
"""Lines of a batch, and of those that are drawn, which takes longer, sent before other requests have their turn."""

T = TypeVar("T")


class ForUsers(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a batch."""

    user_ids: list[Annotated[str, Meta(min_length=1)]]
    send_id: str | None = None
    exclude: list[str] = []
    format: Literal["json", "html", "text"] = "json"


class ForRecipients(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request for SendGrid's form."""

    recipients: list[Recipient]
    send_id: str | None = None
    exclude: list[str] = []
    html: bool = False


class Turns:
    """How many answers of this sort are on their way in this process."""

    def __init__(self) -> None:
        self._running = 0

    def check(self) -> None:
        """Make sure that one more may start.

        Raises:
            Problem: 503, there are too many.
        """
        if self._running >= MOST_BATCHES:
            say = f"{MOST_BATCHES} batches are on their way already; send this one when one of them is through"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"})

    async def taken(self, parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The parts of an answer, which counts until its end or that of its reader."""
        self._running += 1
        try:
            async for part in parts:
                yield part
        finally:
            self._running -= 1
            await parts.aclose()


def _told(name: str) -> Callable[[Answer], bytes]:
    """The line of an answer that is drawn: whose it is, and the drawing under its name."""
    draw = {"html": render_html, "text": render_text}[name]

    def line(answer: Answer) -> bytes:
        whose = {"layout": answer.layout, "user_id": answer.user_id, "send_id": answer.send_id}
        return msgspec.json.encode({**whose, name: draw(answer, locale=answer.locale)}) + b"\n"

    return line


_LINES: Final[dict[str, Callable[[Answer], bytes]]] = {
    "json": lambda answer: render_json(answer) + b"\n",
    "html": _told("html"),
    "text": _told("text"),
}
_FRESH: Final = {"Cache-Control": "no-store"}
_OPTIONS: Final[dict[str, Any]] = {
    "send_id": {"type": ["string", "null"]},
    "exclude": {"type": "array", "items": {"type": "string"}},
}


def _document(required: str, items: dict[str, Any], most: int, more: dict[str, Any]) -> dict[str, Any]:
    """What the documentation shows of a body; the route itself reads bytes, so that it says what is wrong with them."""
    whom = {"type": "array", "items": items, "minItems": 1, "maxItems": most}
    schema = {
        "type": "object", "required": [required], "additionalProperties": False,
        "properties": {required: whom, **_OPTIONS, **more},
    }  # fmt: skip
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_BATCH: Final = _document(
    "user_ids", {"type": "string", "minLength": 1}, MOST_USERS, {"format": {"enum": ["json", "html", "text"]}}
)
_SENDGRID: Final = _document(
    "recipients",
    {
        "type": "object", "required": ["user_id", "email"], "additionalProperties": False,
        "properties": {
            "user_id": {"type": "string", "minLength": 1},
            "email": {"type": "string", "pattern": ADDRESS, "maxLength": 320},
            "name": {"type": ["string", "null"], "maxLength": 200},
        },
    },
    MOST_RECIPIENTS,
    {"html": {"type": "boolean"}},
)  # fmt: skip


def routes(server: BlockServer) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/blocks", tags=["blocks"])
    turns = Turns()

    @router.post("/{layout}/batch", response_class=Response, openapi_extra=_BATCH)
    async def batch(layout: str, request: Request) -> Response:
        """The blocks of one mail to each of at most 10,000 users: a line of JSON a user, in order, streamed."""
        chosen = server.layout(layout)
        turns.check()
        asked = await _read(request, ForUsers)
        _check(len(asked.user_ids), MOST_USERS, "user_ids")
        line, at_once = _LINES[asked.format], LINES_AT_ONCE if asked.format == "json" else DRAWN_AT_ONCE

        async def body() -> AsyncGenerator[bytes, None]:
            made = Batch(server, chosen, asked.send_id, frozenset(asked.exclude))
            async for answers in made.answers(asked.user_ids):
                for start in range(0, len(answers), at_once):
                    yield b"".join(map(line, answers[start : start + at_once]))

        return Stream(turns.taken(body()), media_type="application/x-ndjson", headers=_FRESH)

    @router.post("/{layout}/sendgrid", response_class=Response, openapi_extra=_SENDGRID)
    async def sendgrid(layout: str, request: Request) -> Response:
        """The blocks of one mail to each of at most 1,000 recipients, as `personalizations` of SendGrid's mail/send."""
        chosen = server.layout(layout)
        turns.check()
        asked = await _read(request, ForRecipients)
        _check(len(asked.recipients), MOST_RECIPIENTS, "recipients")

        async def body() -> AsyncGenerator[bytes, None]:
            made = Batch(server, chosen, asked.send_id, frozenset(asked.exclude))
            recipients = iter(asked.recipients)
            before = b'{"personalizations":['
            async for answers in made.answers([each.user_id for each in asked.recipients]):
                for start in range(0, len(answers), DRAWN_AT_ONCE):
                    few = answers[start : start + DRAWN_AT_ONCE]
                    yield before + b",".join(encoded(each, next(recipients), html=asked.html) for each in few)
                    before = b","
            yield b"]}"

        return Stream(turns.taken(body()), media_type="application/json", headers=_FRESH)

    return router


async def _read(request: Request, form: type[T]) -> T:
    """The body of a request.

    Raises:
        Problem: 408, it comes too slowly; 413, it is too large; 400, it is no JSON; 422, it is something else.
    """
    body = bytearray()
    try:
        async with timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    say = f"the body is larger than {MOST_BYTES:,} bytes; ask for fewer users at once"
                    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say)
    except asyncio.TimeoutError:
        say = f"the body did not come within {BODY_SECONDS:g} s; send it again"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, say) from None
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:  # says where and of which type, and nothing of what was sent
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _plain(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        say = f"the body is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
        raise Problem(HTTPStatus.BAD_REQUEST, say) from None


def _plain(error: msgspec.ValidationError) -> str:
    if ADDRESS in str(error):
        return f"{str(error).rpartition('`$.')[2].rstrip('`')}: this is no e-mail address"
    return f"the body is not as it should be: {error}"


def _check(number: int, most: int, name: str) -> None:
    """Make sure that a request is for somebody, and not for too many.

    Raises:
        Problem: 422, it is for nobody; 413, it is for more than `most`.
    """
    if not number:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} is empty; name whom the mail goes to")
    if number > most:
        say = f"{name} has {number:,} entries; send at most {most:,} at once"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, say)
