"""The routes of links in mails: open, click, and where their addresses come from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.convertors import PathConvertor, register_url_convertor

from api.links import slots_of, snippet
from api.metrics import CLICKS, PICTURES
from api.open_time import OpenTime, Visit
from api.picture import HEIGHT, WIDTH, blank
from api.problems import Problem
from api.seals import Pass, Seals
from api.serve import BlockServer, Format
from api.words import BUTTONS, of_language

MOST_TOKENS: Final = 10_000
TOKENS_AT_ONCE: Final = 100
"""Tokens sealed before others have their turn."""
FRESH: Final = {"Cache-Control": "no-cache, max-age=0"}
"""What Gmail's proxy heeds: it asks again at every opening."""
NOWHERE: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>This link leads nowhere</title><body style='font:17px/1.5 sans-serif;margin:15vh auto;max-width:28em;"
    "padding:0 1em'><h1 style='font-size:1.4em'>This link leads nowhere</h1>"
    "<p>It is too old, or was not copied whole. What you are looking for is surely still in the shop.</p>"
)
UNKEPT: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


class _Anything(PathConvertor):
    """The rest of a path, where Starlette's own stops at the end of a line."""

    regex = r"[\s\S]*"


class Readers(BaseModel):
    """Whom tokens are made for."""

    user_ids: list[Annotated[str, Field(min_length=1)]] = Field(min_length=1, max_length=MOST_TOKENS)
    send_id: str | None = Field(None, max_length=200)


def public_routes(opening: OpenTime) -> APIRouter:
    """What mail programs ask for; their addresses are the proof."""
    register_url_convertor("anything", _Anything())
    router = APIRouter(prefix="/v1", tags=["open-time"])

    @router.get("/open/{token}/{block}/{slot}.png", response_class=Response)
    @router.head("/open/{token}/{block}/{slot}.png", include_in_schema=False)
    async def open_(request: Request, token: str, block: str, slot: str, send_id: str = "") -> Response:
        """The picture of a slot: always 200, one dot of nothing where there is nothing to show."""
        png = await opening.picture(opening.opens(token, send_id), block, slot, _visit(request))
        return Response(png, headers=FRESH, media_type="image/png")

    @router.get("/open/{rest:anything}", include_in_schema=False)
    @router.head("/open/{rest:anything}", include_in_schema=False)
    async def no_picture(rest: str) -> Response:
        """Whatever else is asked for there is a picture too: proxies keep an error for days."""
        PICTURES.labels("fallback").inc()
        return Response(blank(), headers=FRESH, media_type="image/png")

    @router.get("/click/{token}/{block}/{slot}", response_class=Response, status_code=HTTPStatus.FOUND)
    @router.head("/click/{token}/{block}/{slot}", include_in_schema=False)
    async def click(request: Request, token: str, block: str, slot: str, send_id: str = "") -> Response:
        """To what the picture of the slot shows. Never where an address says, and nowhere without a token of ours."""
        if (whose := opening.opens(token, send_id)) is None:
            return _nowhere()
        link = await opening.click(whose, block, slot, _visit(request))
        return Response(status_code=HTTPStatus.FOUND, headers={"Location": link, **UNKEPT})

    @router.get("/click/{rest:anything}", include_in_schema=False)
    @router.head("/click/{rest:anything}", include_in_schema=False)
    async def no_click(rest: str) -> Response:
        """Whatever else is clicked is answered by a page too: a person reads it."""
        return _nowhere()

    return router


def link_routes(server: BlockServer, seals: Seals, base: str, days: int) -> APIRouter:
    """Where the addresses come from.

    Args:
        server: of blocks, for its layouts.
        seals: make the tokens.
        base: at which mail programs reach the service.
        days: for which a token is good.
    """
    router = APIRouter(prefix="/v1/open-links", tags=["open-time"])

    def until() -> int:
        return (server.seconds() // 86_400) + days

    def check() -> None:
        if not seals:
            say = "there are no links in mails, since INLAY_LINK_KEYS is empty; set it to name=secret"
            raise Problem(HTTPStatus.CONFLICT, say)

    @router.get("/{layout}", response_class=Response)
    async def links(
        layout: str,
        user_id: Annotated[str, Query(min_length=1)],
        send_id: Annotated[str | None, Query(max_length=200)] = None,
        format: Annotated[Format, Query()] = Format.json,  # noqa: A002  # as that of blocks
    ) -> Response:
        """The addresses of all slots of a layout for one reader; as HTML, the pictures in their links to paste."""
        chosen = server.layout(layout)
        check()
        day = until()
        token = seals.seal(Pass(layout, user_id, send_id or "", day))
        slots = slots_of(chosen, base, token)
        if format is not Format.json:
            text = snippet(slots, WIDTH, HEIGHT, of_language(BUTTONS, chosen.locale).view)
            return Response(text, headers={"Cache-Control": "no-store"}, media_type="text/html")
        content: dict[str, Any] = {
            "layout": layout, "user_id": user_id, "send_id": send_id, "token": token, "good_until": _date(day),
            "slots": [slot._asdict() for slot in slots],
        }  # fmt: skip
        return Response(
            msgspec.json.encode(content), headers={"Cache-Control": "no-store"}, media_type="application/json"
        )

    @router.post("/{layout}/batch", response_class=Response)
    async def tokens(layout: str, readers: Readers) -> Response:
        """The tokens of a layout for at most 10,000 readers, a line of JSON each, to keep at a platform."""
        server.layout(layout)
        check()
        day = until()

        async def lines() -> AsyncIterator[bytes]:
            for start in range(0, len(readers.user_ids), TOKENS_AT_ONCE):
                some = readers.user_ids[start : start + TOKENS_AT_ONCE]
                yield b"".join(
                    msgspec.json.encode(
                        {"user_id": each, "token": seals.seal(Pass(layout, each, readers.send_id or "", day))}
                    )
                    + b"\n"
                    for each in some
                )
                await asyncio.sleep(0)

        return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    return router


def _nowhere() -> Response:
    CLICKS.labels("nowhere").inc()
    return Response(NOWHERE, HTTPStatus.NOT_FOUND, headers=UNKEPT, media_type="text/html")


def _visit(request: Request) -> Visit:
    address = request.client.host if request.client else ""
    return Visit(request.method, request.headers.get("user-agent", ""), address)


def _date(day: int) -> str:
    return (EPOCH + timedelta(days=day)).date().isoformat()
