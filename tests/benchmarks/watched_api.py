"""The API as it ships, with somebody who looks on: `python -m tests.benchmarks.watched_api PORT FILE`.

Written to the file when it ends: each request that took long and what of it was waited for, each turn of the loop that
was late, and each garbage collection. Times are those of `time.monotonic`, which every process of a machine shares.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import uvicorn

from api import connection, resolve, serve
from api.__main__ import KEEP_ALIVE
from api.app import create
from api.features import OnlineFeatures
from api.listening import listeners
from api.settings import api_settings
from api.settle import Settling
from api.shelf import Shelf

SLOW: Final = 0.008
MOST_KEPT: Final = 200_000
LOOKS_EVERY: Final = 0.005
_spans: ContextVar[dict[str, float] | None] = ContextVar("spans", default=None)


class Seen:
    """What was seen."""

    def __init__(self) -> None:
        self.slow: list[dict[str, Any]] = []
        self.late: list[tuple[float, float]] = []
        self.collections: list[tuple[int, float, float]] = []
        self.imported: list[str] = []
        self._began = 0.0

    def collecting(self, phase: str, told: dict[str, int]) -> None:
        """A callback of `gc`."""
        if phase == "start":
            self._began = time.monotonic()
        elif len(self.collections) < MOST_KEPT:
            self.collections.append((told["generation"], self._began, time.monotonic() - self._began))

    async def look(self) -> None:
        """See how late the loop is, for ever."""
        while True:
            due = time.monotonic() + LOOKS_EVERY
            await asyncio.sleep(LOOKS_EVERY)
            if (late := time.monotonic() - due) > SLOW / 2 and len(self.late) < MOST_KEPT:
                self.late.append((due, late))

    def write(self, file: Path) -> None:
        """All of it."""
        self.imported = [name for name in ("feast", "pandas", "great_expectations", "bytewax") if name in sys.modules]
        file.write_text(json.dumps(vars(self)))


def spanned(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, what it takes added to the spans of its request."""

    def note(began: float) -> None:
        if (spans := _spans.get()) is not None:
            spans[name] += time.monotonic() - began

    if asyncio.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                return await function(*args, **kwargs)
            finally:
                note(began)

        return awaited

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            note(began)

    return called


def main(port: int, file: Path) -> None:
    """Serve until told to stop."""
    seen = Seen()
    for owner, name, what in (
        (OnlineFeatures, "user", "reading the user"), (Shelf, "put_lists", "reading lists"),
        (Shelf, "put_rows", "reading rows"), (Shelf, "mail", "preparing"), (resolve, "fill", "filling"),
        (Settling, "settle", "settling"), (serve, "render_json", "rendering"),
    ):  # fmt: skip
        setattr(owner, name, spanned(what, getattr(owner, name)))
    started = connection.Connection._start_asgi_task

    def start(self: Any, cycle: Any, app: Any) -> None:
        cycle.scope["inlay.came"] = time.monotonic()
        started(self, cycle, app)

    connection.Connection._start_asgi_task = start  # type: ignore[method-assign]
    inner = create(api_settings(os.environ))

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            looking = asyncio.create_task(seen.look())
            gc.callbacks.append(seen.collecting)
            try:
                await inner(scope, receive, send)
            finally:
                looking.cancel()
                gc.callbacks.remove(seen.collecting)
                seen.write(file)  # here, since uvicorn ends as the signal says
            return
        began, spans = time.monotonic(), defaultdict[str, float](float)
        _spans.set(spans)
        await inner(scope, receive, send)
        ended, came = time.monotonic(), scope.get("inlay.came", began)
        if ended - came > SLOW and len(seen.slow) < MOST_KEPT:
            seen.slow.append({"came": came, "ended": ended, "spans": {"waiting for its turn": began - came, **spans}})

    config = uvicorn.Config(
        watched, port=port, http=connection.Connection, access_log=False, log_level="warning", interface="asgi3",
        proxy_headers=False, timeout_keep_alive=KEEP_ALIVE,
    )  # fmt: skip
    uvicorn.Server(config).run(listeners(config))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
