"""Many who come at one moment are let in within a few turns of the loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
import uvloop

from api.listening import AT_ONCE, listeners

CALLERS = 64


@pytest.mark.parametrize("held", [1, AT_ONCE])
def test_as_many_are_let_in_a_turn_as_the_port_is_held(held: int) -> None:
    """Held once it takes a turn each, so that this is known to test something."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody asks for anything")

    async def story() -> int:
        config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        sockets = listeners(config)
        await server.startup(sockets[:held])
        callers = [socket.create_connection(sockets[0].getsockname()) for _ in range(CALLERS)]
        turns = 0
        while len(server.server_state.connections) < CALLERS:
            await asyncio.sleep(0)
            turns += 1
        for each in callers:
            each.close()
        await server.shutdown(sockets)
        return turns

    loop = uvloop.new_event_loop()
    turns = loop.run_until_complete(story())
    loop.close()
    assert CALLERS / held <= turns <= CALLERS / held + 6
