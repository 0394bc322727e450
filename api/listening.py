"""Listening: a port that is held several times over, so that several who come at once are let in at once.

The event loop lets one connection in for each socket that listens, and then turns to everything else that came. While
it is busy a turn takes milliseconds, and of hundreds who come at once, as when a platform begins to send, the last
would be let in after a second. Copies of the socket share its one queue, and each lets one in a turn.
"""

from __future__ import annotations

import socket
from typing import Final

import uvicorn

AT_ONCE: Final = 16
"""Connections a turn of the loop. Each copy is asked when one comes, which costs a microsecond."""


def listeners(config: uvicorn.Config) -> list[socket.socket]:
    """The port of `config`, bound, as sockets for `uvicorn.Server.run`.

    Raises:
        SystemExit: it is taken; what is wrong is logged.
    """
    first = config.bind_socket()
    return [first, *(first.dup() for _ in range(AT_ONCE - 1))]
