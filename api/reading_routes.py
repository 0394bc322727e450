"""The reading routes: the blocks of a mail, and what is known of users."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

import redis
from fastapi import APIRouter, Query, Request, Response

from api.crowd import PLAIN
from api.features import OnlineFeatures
from api.metrics import BLOCKS_SECONDS, DEGRADED
from api.plans import Layout
from api.problems import Problem
from api.serve import Asked, BlockServer, Format
from dataflows.events import to_rfc3339


def routes(server: BlockServer, features: OnlineFeatures) -> APIRouter:
    """The reading routes."""
    router = APIRouter()
    router.include_router(block_routes(server))
    router.include_router(user_routes(features))
    return router


def block_routes(server: BlockServer) -> APIRouter:
    """The route of blocks."""
    router = APIRouter(prefix="/v1", tags=["blocks"])

    @router.get("/blocks/{layout}", response_class=Response)
    async def blocks(
        request: Request,
        layout: str,
        user_id: Annotated[str, Query(description="empty where the tool knows of none: then what everybody is shown")],
        send_id: str | None = None,
        exclude: Annotated[str, Query(description="item ids, separated by commas")] = "",
        format: Annotated[Format, Query()] = Format.json,  # noqa: A002  # the contract's name
    ) -> Response:
        """The blocks of one mail to one user, as JSON, e-mail-safe HTML or text."""
        return await answered(server, request, server.layout(layout), Asked(user_id, send_id, exclude, format))

    return router


async def answered(server: BlockServer, request: Request, layout: Layout, asked: Asked) -> Response:
    """The blocks of one mail to whoever may have them; plain ones where they call too often, or too many do."""
    with BLOCKS_SECONDS.time():
        if plain := getattr(request.state, "plain", False):
            DEGRADED.labels("rate").inc()
        if plain or PLAIN in request.scope:
            return server.write_plainly(layout, asked).response()
        return await server.respond(layout, asked)


def user_routes(features: OnlineFeatures) -> APIRouter:
    """The route of what is known of users."""
    router = APIRouter(prefix="/v1", tags=["users"])

    @router.get("/users/{user_id:path}")
    async def user(user_id: str) -> dict[str, Any]:
        """What is known of a user: every feature by view, and of when each view is."""
        try:
            views, times = await features.everything(user_id)
        except (redis.RedisError, OSError):
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "the online store does not answer; ask again", {"Retry-After": "1"}
            ) from None
        as_of = {view: to_rfc3339(at) for view, at in times.items()}
        return {"user_id": user_id, "known": bool(views), "features": views, "as_of": as_of}

    return router
