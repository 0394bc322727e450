"""`track.js`: the script that a shop puts into its pages, served small and kept by browsers."""

from __future__ import annotations

import gzip
import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

FILE: Final = Path(__file__).parent / "track.js"


def routes() -> APIRouter:
    """The route of the script; it needs no key, since it holds none."""
    router = APIRouter(prefix="/v1", tags=["events"])
    plain = FILE.read_bytes()
    packed = gzip.compress(plain, 9, mtime=0)
    digest = hashlib.sha256(plain).hexdigest()[:16]

    @router.get("/track.js", response_class=Response)
    async def track(request: Request) -> Response:
        """The script for the pages of a shop; how to use it: docs/collect.md."""
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        tag = f'"{digest}-gzip"' if zipped else f'"{digest}"'
        headers = {"Cache-Control": "public, max-age=3600", "ETag": tag, "Vary": "Accept-Encoding"}
        known = request.headers.get("if-none-match", "")
        if tag in [each.strip().removeprefix("W/") for each in known.split(",")]:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        if zipped:
            headers["Content-Encoding"] = "gzip"
        return Response(packed if zipped else plain, media_type="text/javascript", headers=headers)

    return router
