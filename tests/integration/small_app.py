"""An app that starts in no time, served as the API is: `python -m tests.integration.small_app PORT`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from api.connection import Connection


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer after a moment, so that requests are on their way at any time."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await asyncio.sleep(0.005)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


if __name__ == "__main__":
    config = Config(
        "tests.integration.small_app:app", host="127.0.0.1", port=int(sys.argv[1]), workers=1, http=Connection,
        access_log=False, log_level="warning", timeout_worker_healthcheck=60,
    )  # fmt: skip
    Multiprocess(config, [config.bind_socket()]).run()
