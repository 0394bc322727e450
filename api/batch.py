"""Batches: the mails of many users in one request, streamed in order. One user's trouble is one line's trouble.

What all of them need alike is read once, what each needs is read for a chunk of them at a time, and no more is made
than is read: who stops reading holds the making back, who hangs up ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from itertools import chain
from typing import Final

from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport
from starlette.responses import StreamingResponse
from starlette.types import Send

from api.answer import Answer
from api.breaker import PAUSE
from api.plans import Layout
from api.serve import NOBODY, BlockServer, may_see
from api.shelf import Filled

READ_AT_ONCE: Final = 128
"""Users whose features are read in one go."""
STAMPED_AT_ONCE: Final = 64
"""Mails stamped before other requests have their turn."""
CHUNK_SECONDS: Final = 1.0
"""What all readings of a chunk may take."""
PATIENCE: Final = 5.0
"""Seconds that a batch waits in all for an online store that does not answer, before it goes on without."""
STALLED: Final = 60.0
"""Seconds after which somebody who does not read is let go."""


class Batch:
    """Makes the mails of one request.

    Args:
        server: of blocks; its breaker, deadlines and snapshot are the batch's too.
        layout: of all the mails.
        send_id: of all the mails.
        excluded: items that the caller leaves out.
        monotonic: a clock, in seconds.
    """

    def __init__(
        self,
        server: BlockServer,
        layout: Layout,
        send_id: str | None,
        excluded: Collection[str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._layout, self._send_id, self._excluded = server, layout, send_id or None, excluded
        self._shelf = server.shelves.current()
        self._patience, self._monotonic = PATIENCE, monotonic
        self._found: dict[str, Answer] = {}
        self._instead: Collection[str] = ()

    async def answers(self, user_ids: Sequence[str]) -> AsyncGenerator[list[Answer], None]:
        """The mails of the users in order, some at a time; it never fails for want of the online store."""
        for start in range(0, len(user_ids), READ_AT_ONCE):
            chunk = user_ids[start : start + READ_AT_ONCE]
            self._shelf = self._server.shelves.current()
            filled = await self._read(chunk)
            settling, answers = self._server.settling, dict(self._found)
            fresh: list[Answer] = []
            without: list[Answer] = []
            for count, user_id in enumerate(dict.fromkeys(chunk), start=1):
                if user_id in filled:
                    fresh.append(self._answer(user_id, filled[user_id]))
                elif user_id not in answers:
                    without.append(self._answer(user_id, None))
                    answers[user_id] = settling.without_store(without[-1])
                if count % STAMPED_AT_ONCE == 0:
                    await asyncio.sleep(0)
            self._server.count(chain(fresh, without))
            settling.count_found(len(self._found))
            settled = await settling.settle(fresh, CHUNK_SECONDS, self._instead)
            await self._server.note(settled.made, self._send_id)
            answers |= {answer.user_id: answer for answer in settled.answers}
            yield [answers[user_id] for user_id in chunk]
            await settling.room()

    def _answer(self, user_id: str, filled: Filled | None) -> Answer:
        """The answer to a user; from the snapshot where nothing could be read of them."""
        if filled is None:
            blocks = self._server.plain(self._layout, self._excluded)
            return self._server.stamped(self._layout, user_id, self._send_id, self._layout.locale, NOBODY, blocks)
        mail, blocks = filled
        return self._server.stamped(self._layout, user_id, self._send_id, mail.locale, mail.known.user, blocks)

    async def _read(self, chunk: Sequence[str]) -> dict[str, Filled]:
        """The mails of some users; nobody's if the store does not answer for too long.

        Those that were decided before are in `_found`.
        """
        self._found, self._instead = {}, frozenset()
        while True:
            started = self._monotonic()
            if (filled := await self._try(chunk)) is not None:
                return filled
            if self._patience <= 0:
                return {}
            await asyncio.sleep(PAUSE)
            self._patience -= self._monotonic() - started

    async def _try(self, chunk: Sequence[str]) -> dict[str, Filled] | None:
        return await self._server.tried(lambda: self._filled(chunk), CHUNK_SECONDS)

    async def _filled(self, chunk: Sequence[str]) -> dict[str, Filled]:
        """A reading of the users, one of lists and neighbours, one of catalogue rows, each for all of the chunk."""
        server, layout = self._server, self._layout
        now = server.seconds()
        found, users = await asyncio.gather(
            server.settling.found(list(dict.fromkeys(chunk)), self._send_id, layout.name),
            server.features.users_of(dict.fromkeys(chunk)),
        )
        self._found = {
            each: found[each] for each, user in users.items() if each in found and may_see(user, found[each])
        }
        self._instead = found.keys() - self._found.keys()
        users = {each: user for each, user in users.items() if each not in self._found}
        served = await server.before(layout, users, self._send_id, now)
        return await self._shelf.filled_all(layout, users, served, self._excluded, now)


class Stream(StreamingResponse):
    """A body that is made as it is read; who stops reading for long is let go, and what makes the body is closed."""

    body_iterator: AsyncGenerator[bytes, None]

    async def stream_response(self, send: Send) -> None:
        """Send the body; without its end where the reader is let go, so that nobody takes it for whole."""
        async with contextlib.aclosing(self.body_iterator) as parts:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in parts:
                try:
                    async with timeout(STALLED):
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                except asyncio.TimeoutError:
                    logging.getLogger(__name__).warning("nobody read a batch for %g s; it was broken off", STALLED)
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
