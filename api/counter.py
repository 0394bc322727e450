"""The counter: plain mails are handed out here, to a connection, without a task and the way through ASGI.

They are made of what the process remembers, so that nothing is waited for; where very many come at once, what stands
around the making would cost more than it.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from fastapi import Request
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from api.access import Keys, given_in, is_token
from api.edge import always, lines_of, with_added
from api.hatch import asked_in
from api.metrics import BLOCKS_SECONDS
from api.networks import Proxies
from api.problems import Problem
from api.serve import BlockServer, Written

COUNTER: Final = "inlay.counter"
"""Under which the service leaves the counter where connections find it."""


class HandedOut(NamedTuple):
    """An answer: its head, up to what the connection says of itself, and its body."""

    head: bytes
    body: bytes


class Counter:
    """Hands out the blocks of one mail, plain.

    Args:
        server: of blocks.
        keys: those that may read.
        proxies: those whose word counts for where a request comes from.
    """

    def __init__(self, server: BlockServer, keys: Keys, proxies: Proxies) -> None:
        self._server, self._keys, self._proxies = server, keys, proxies

    def hand_out(self, scope: Scope) -> HandedOut | None:
        """The answer to a request; None if it has to go the long way, of which nothing is done.

        What goes the long way: what is not asked for in the usual form, and who shows a token, which may have to be
        looked up elsewhere.
        """
        if (found := asked_in(scope, self._server.layouts)) is None:
            return None
        scope = dict(scope)  # what is changed in it is not for the long way
        request = Request(scope)
        if is_token(given := given_in(request)):
            return None
        self._proxies.settle(scope)
        layout, asked = found
        try:
            with BLOCKS_SECONDS.time():
                self._keys.check(request, given)
                body, media_type, kept = self._server.write_plainly(layout, asked)
        except Problem as problem:
            response = problem.response()
            return HandedOut(_head(response, scope["scheme"]), bytes(response.body))
        raw = body.encode() if isinstance(body, str) else body
        return HandedOut(_head_of(media_type, kept, scope["scheme"]) % len(raw), raw)


def _head(response: Response, scheme: str) -> bytes:
    return STATUS_LINE[response.status_code] + lines_of(with_added(response.raw_headers, always(scheme)))


@cache
def _head_of(media_type: str, kept: str, scheme: str) -> bytes:
    """The head of a mail, but for how long the mail is: it is one of a few."""
    response = Written("", media_type, kept).response()
    del response.headers["content-length"]
    return _head(response, scheme).replace(b"%", b"%%") + b"content-length: %d\r\n"
