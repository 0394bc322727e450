"""The routes of erasure, for who has the scope `admin`."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import msgspec
import redis
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.admin import noted
from api.audit import Audit, hashed
from api.erasure import Eraser
from api.problems import Problem

ANSWER_WITHIN: Final = 10.0
"""Seconds after which whoever asked is sent to the report."""
MOST_ID: Final = 200


def routes(eraser: Eraser, audit: Audit) -> APIRouter:
    """The routes; whoever includes them asks for the scope `admin`."""
    router = APIRouter(prefix="/v1", tags=["users"])

    @router.delete("/users/{user_id:path}", response_class=Response)
    async def erase(request: Request, user_id: str) -> Response:
        """Erase a user everywhere, and say what was found where, and that nothing is left."""
        if not 0 < len(user_id) <= MOST_ID or not user_id.isprintable():
            say = f"a user's id has 1 to {MOST_ID} letters that can be seen"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, say)
        await noted(audit, request, "users erase", hashed(user_id))
        try:
            report, task = await eraser.start(user_id)
        except (redis.RedisError, OSError):
            raise _unavailable() from None
        await asyncio.wait([task], timeout=ANSWER_WITHIN)
        content = msgspec.to_builtins(report)
        if report.state == "running":
            where = f"/v1/erasures/{report.erasure}"
            return JSONResponse(content, HTTPStatus.ACCEPTED, {"Location": where, "Retry-After": "5"})
        return JSONResponse(content)

    @router.get("/erasures/{erasure_id}", response_class=Response)
    async def look(request: Request, erasure_id: str) -> Response:
        """What became of an erasure."""
        await noted(audit, request, "erasures read", erasure_id[:100])
        try:
            report = await eraser.jobs.report(erasure_id)
        except (redis.RedisError, OSError):
            raise _unavailable() from None
        if report is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such erasure, or its report is older than 90 days")
        return JSONResponse(msgspec.to_builtins(report))

    return router


def _unavailable() -> Problem:
    say = "nothing can be erased right now; send this again, which does no harm"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "5"})
