"""`python -m api`: the HTTP service on uvicorn."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import uvicorn
from fastapi import FastAPI

from api import audit
from api.app import create
from api.settings import api_settings
from dataflows.settings import SettingError

KEEP_ALIVE: Final = 75
"""Seconds an idle connection stays open: longer than proxies keep theirs, or they would meet a closed one."""


def app() -> FastAPI:
    """The service from the environment, as each worker process makes it."""
    audit.log.setLevel(logging.INFO)
    if not audit.log.handlers:
        audit.log.addHandler(logging.StreamHandler())
    return create(api_settings(os.environ))


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--port", type=int, help="instead of INLAY_PORT")
    parser.add_argument("--workers", type=int, default=1, help="processes, as many as cores")
    chosen = parser.parse_args(arguments)
    try:
        settings = api_settings(os.environ)
    except SettingError as error:
        print(f"api: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    if not settings.api_keys:
        say = "INLAY_API_KEYS is empty: only keys that are stored let anybody in; make one with python -m api.keys"
        print(f"api: {say}", file=sys.stderr)  # noqa: T201
    uvicorn.run(
        "api.__main__:app", factory=True, host=settings.host, port=chosen.port or settings.port,
        workers=chosen.workers, access_log=False, timeout_graceful_shutdown=5, log_level="warning",
        limit_concurrency=settings.connections or None, timeout_keep_alive=KEEP_ALIVE, server_header=False,
        proxy_headers=False,  # `api.edge` reads them, from proxies that are named
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
