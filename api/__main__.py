"""`python -m api`: the HTTP service on uvicorn.

With `--workers` a process that does nothing else holds the port and starts the workers. SIGHUP replaces them one after
another, each by one that answers already; a kill or a fault replaces one; SIGTERM ends them all.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from api.connection import Connection
from api.layout import LayoutError, chosen_layouts
from api.listening import listeners
from api.settings import api_settings
from dataflows.settings import SettingError

KEEP_ALIVE: Final = 75
"""Seconds an idle connection stays open: longer than proxies keep theirs, or they would meet a closed one."""
READY_SECONDS: Final = 60
"""In which a worker answers; until it does, the one before it stays."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--port", type=int, help="instead of INLAY_PORT")
    parser.add_argument("--workers", type=int, help="processes, as many as cores, which SIGHUP replaces one by one")
    chosen = parser.parse_args(arguments)
    try:
        settings = api_settings(os.environ)
        chosen_layouts(settings.layouts)  # what is wrong in them is told here in words, once for all workers
    except (SettingError, LayoutError) as error:
        print(f"api: {error}", file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    if not settings.api_keys:
        say = "INLAY_API_KEYS is empty: only keys that are stored let anybody in; make one with python -m api.keys"
        print(f"api: {say}", file=sys.stderr)  # noqa: T201
    how: dict[str, Any] = {
        "factory": True, "host": settings.host, "port": chosen.port or settings.port, "http": Connection,
        "access_log": False, "timeout_graceful_shutdown": 5, "log_level": "warning", "timeout_keep_alive": KEEP_ALIVE,
        "server_header": False, "timeout_worker_healthcheck": READY_SECONDS,
        "proxy_headers": False,  # `api.edge` reads them, from proxies that are named
    }  # fmt: skip
    config = uvicorn.Config("api.worker:app", workers=chosen.workers, **how)
    if chosen.workers is None and config.workers == 1:  # its own variable may say another number
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):  # said again once it has ended
            server.run(listeners(config))
        return 0 if server.started else STARTUP_FAILURE
    workers = Multiprocess(config, listeners(config))
    workers.run()
    failed = any(process.exitcode == STARTUP_FAILURE for process in workers.processes)
    return STARTUP_FAILURE if failed else 0


if __name__ == "__main__":
    sys.exit(main())
