"""The hatch: blocks are handed out here, without the way through FastAPI, which costs as much as making them does.

Whatever is not asked for in the usual form goes the long way, and is answered there in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import Keys
from api.crowd import BLOCKS
from api.plans import Layout
from api.problems import Problem
from api.reading_routes import answered
from api.serve import Asked, BlockServer, Format

FORMATS: Final = {each.value: each for each in Format}


class Hatch:
    """An ASGI middleware that answers requests for the blocks of one mail.

    Args:
        app: what answers everything else.
        server: of blocks.
        keys: those that may read; who calls too often with one is answered just so.
    """

    def __init__(self, app: ASGIApp, server: BlockServer, keys: Keys) -> None:
        self._app, self._server, self._keys = app, server, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        path = scope.get("path", "")
        is_for_blocks = path.startswith(BLOCKS) and scope.get("method") == "GET"
        asked = asked_in(scope, self._server.layouts) if is_for_blocks else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            await self._keys(request)
            response = await answered(self._server, request, *asked)
        except Problem as problem:
            response = problem.response()
        await response(scope, receive, send)


def asked_in(scope: Scope, layouts: Mapping[str, Layout]) -> tuple[Layout, Asked] | None:
    """What a request for blocks asks for, if it does so in the usual form."""
    layout = layouts.get(scope["path"].removeprefix(BLOCKS))
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    format_ = FORMATS.get(query.get("format", Format.json.value))
    if layout is None or format_ is None or not query.get("user_id"):
        return None
    return layout, Asked(query["user_id"], query.get("send_id"), query.get("exclude", ""), format_)
