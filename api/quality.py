"""The report of data quality at `/quality`: files that `python -m expectations.report` wrote, and nothing else.

On-call people open it in a browser, which sends no key of its own: it asks for one (HTTP Basic) and keeps it. Any name
will do, and the password is a key with the scope `read`; a key in the usual headers is taken, too.
"""

from __future__ import annotations

import os
import stat
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from prometheus_client.core import GaugeMetricFamily

from api.access import Keys, bearer_of, credentials, header
from api.problems import Problem

SITE: Final = "site"
"""The folder of the report that is shown; profiles and alarms lie beside it."""
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
"""What is served, and as what."""
SAFE: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Pages bring their styles and pictures with them, and no script: nothing else may be fetched or run."""
ASK: Final = {
    "WWW-Authenticate": 'Basic realm="Inlay quality: any name, and a key with the scope read", charset="UTF-8"'
}
MISSING: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>No report yet · Inlay quality</title>
<body style="margin:40px auto;max-width:60ch;padding:0 16px;font:16px/1.5 sans-serif"><h1>No report yet</h1>
<p>Write one with <code>python -m expectations.report</code>, then load this page again.</p></body></html>"""


def routes(folder: Path, keys: Keys | None) -> APIRouter:
    """The routes of the report.

    Args:
        folder: `INLAY_REPORT`; it need not be there.
        keys: who may look; none: everybody, as in the demo.
    """
    router = APIRouter(include_in_schema=False)
    site = folder / SITE

    @router.get("/quality")
    async def bare() -> RedirectResponse:
        return RedirectResponse("quality/", HTTPStatus.PERMANENT_REDIRECT)

    @router.get("/quality/{path:path}")
    async def page(request: Request, path: str) -> Response:
        if keys is not None:
            await _let_in(keys, request)
        found = await to_thread.run_sync(find, site, path or "index.html")
        if found is not None:
            return FileResponse(found, headers=SAFE, media_type=KINDS[found.suffix])
        if not path:
            return HTMLResponse(MISSING, HTTPStatus.NOT_FOUND, SAFE)
        raise Problem(HTTPStatus.NOT_FOUND, "there is no such page in the report; /quality/ is where it begins")

    return router


def find(site: Path, path: str) -> Path | None:
    """The file of the site that `path` names, if it is one that may be shown."""
    parts = path.split("/")
    if any(part in ("", "..") or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    wanted = site.joinpath(*parts)
    if wanted.suffix not in KINDS:
        return None
    try:
        real = wanted.resolve(strict=True)  # a link that leads out of the site is followed by nobody
        regular = stat.S_ISREG(real.stat().st_mode)
    except (OSError, ValueError):  # it is not there, or its name is none
        return None
    return wanted if regular and real.is_relative_to(site.resolve()) and os.access(real, os.R_OK) else None


async def _let_in(keys: Keys, request: Request) -> None:
    given = header(request, b"x-api-key") or bearer_of(request)
    if not given:
        name, password = credentials(header(request, b"authorization").decode("latin-1"))
        given = (password or name).encode("latin-1")
    try:
        await keys.allow(request, given)
    except Problem as problem:
        if problem.status != HTTPStatus.UNAUTHORIZED:
            raise
        raise Problem(HTTPStatus.UNAUTHORIZED, problem.detail, ASK) from None


class ReportMetrics:
    """What the latest report says, for `/metrics`.

    Args:
        folder: `INLAY_REPORT`.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SITE / "status.json"

    def collect(self) -> list[GaugeMetricFamily]:
        """When it was written, and its open alarms by kind; nothing where there is no report."""
        try:
            status: dict[str, Any] = msgspec.json.decode(self._path.read_bytes())
            written = GaugeMetricFamily(
                "inlay_report_at_seconds", "when the quality report was written, in epoch seconds"
            )
            written.add_metric([], status["written_at"])
            alarms = GaugeMetricFamily(
                "inlay_quality_alarms", "open alarms of the quality report, by kind", labels=["kind"]
            )
            counts = dict.fromkeys(ALARM_KINDS, 0)
            for alarm in status["alarms"]:
                counts[alarm["kind"]] = counts.get(alarm["kind"], 0) + 1
            counts["suite"] = len(status["broken"])
        except (OSError, ValueError, KeyError, TypeError):  # none yet, or none of ours
            return []
        for kind, number in counts.items():
            alarms.add_metric([kind], number)
        return [written, alarms]


ALARM_KINDS: Final = (
    "silence", "drop", "spike", "leak", "volume", "repeats", "nulls", "delay", "middle", "spread", "shares",
)  # fmt: skip
"""Each is told also while there is none; a test holds them equal to those that the report knows."""
