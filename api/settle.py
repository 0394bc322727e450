"""Settling: of the answers for a mail with a `send_id` the first one stands; and what is served is told.

It never fails: where Redis cannot keep an answer, the answer is served all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from itertools import count
from secrets import token_hex
from typing import Any, Final, NamedTuple

import msgspec
import redis

from api.alike import Alike, can_tell
from api.answer import Answer, Block
from api.decisions import Decisions, is_empty
from api.mail_events import BLOCK_SERVED, served
from api.metrics import DECISIONS
from api.plans import Layout
from api.telling import Telling

MOST_LATER: Final = 64
"""Decisions that are kept behind their answers at once."""


class Settled(NamedTuple):
    """The answers to serve, and those among them that nobody decided before."""

    answers: list[Answer]
    made: list[Answer]


class Settling:
    """What makes answers stand.

    Args:
        decisions: of mails with a `send_id`.
        telling: what is told of what is served.
        layouts: by name.
        seconds: since 1970, now.
    """

    def __init__(
        self, decisions: Decisions, telling: Telling, layouts: Mapping[str, Layout], seconds: Callable[[], int]
    ) -> None:
        self._decisions, self._telling, self._seconds = decisions, telling, seconds
        self._variants = {name: _variant(layout) for name, layout in layouts.items()}
        self._later: set[asyncio.Task[Any]] = set()
        self._once = map(f"{token_hex(16)}{{:x}}".format, count())
        """Words that nobody says twice, in any process; drawing each of them would be two hundredths of a batch."""
        self._seen: dict[str, tuple[Block, ...] | Alike] = {}
        """By layout, the plain blocks that were told of last."""

    async def found(self, user_ids: Collection[str], send_id: str | None, layout: str) -> dict[str, Answer]:
        """By user, what was decided for a mail before; what Redis lost and this process remembers is kept there again.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if not send_id:
            return {}
        found = await self._decisions.find(user_ids, send_id, layout)
        unknown = [each for each in user_ids if each not in found]
        lost = list(filter(None, (self._decisions.remembered(each, send_id, layout) for each in unknown)))
        kept = await self._decisions.keep(lost, self._seconds()) if lost else {}
        return {**found, **{answer.user_id: answer for answer in lost}, **kept}

    async def settle(self, answers: Sequence[Answer], seconds: float, instead: Collection[str] = ()) -> Settled:
        """Make answers to some users for one mail stand, within some seconds, or find those that stand already.

        Args:
            answers: as resolved.
            seconds: how long it may take.
            instead: users whose answer takes the place of one that stands.
        """
        before: dict[str, Answer] = {}
        if answers and answers[0].send_id:
            try:
                keeping = self._decisions.keep(answers, self._seconds(), instead)
                before = await asyncio.wait_for(keeping, seconds)
            except (redis.RedisError, OSError, asyncio.TimeoutError):
                DECISIONS.labels("unkept").inc(len(answers))
            else:
                DECISIONS.labels("made").inc(len(answers) - len(before))
                self.count_found(len(before))
        made = [answer for answer in answers if answer.user_id not in before]
        self._tell(made)
        return Settled([before.get(answer.user_id, answer) for answer in answers], made)

    def without_store(self, answer: Answer, *, keep: bool = True) -> Answer:
        """The answer to serve where the online store cannot be read: what is remembered, or else this one.

        It is tried to keep this one, if it may be, without letting anybody wait: it is what the mail shows.
        """
        if answer.send_id:
            if remembered := self.remembered(answer.user_id, answer.send_id, answer.layout):
                return remembered
            DECISIONS.labels("unkept").inc()
            if keep and not is_empty(answer) and len(self._later) < MOST_LATER:
                task = asyncio.create_task(self._keep(answer))
                self._later.add(task)
                task.add_done_callback(self._later.discard)
        self._tell_of_plain(answer)
        return answer

    def remembered(self, user_id: str, send_id: str, layout: str) -> Answer | None:
        """What this process saw decided for a mail lately."""
        if (found := self._decisions.remembered(user_id, send_id, layout)) is not None:
            DECISIONS.labels("remembered").inc()
        return found

    async def room(self) -> None:
        """Returns once much may be told again."""
        await self._telling.room()

    @staticmethod
    def count_found(number: int) -> None:
        """Count mails that were decided before."""
        DECISIONS.labels("found").inc(number)

    async def _keep(self, answer: Answer) -> None:
        with contextlib.suppress(redis.RedisError, OSError):
            await self._decisions.keep([answer], self._seconds())

    def _tell_of_plain(self, answer: Answer) -> None:
        """As `_tell`, of an answer whose blocks many others may have too: from the second on it is known that they do.

        What differs from mail to mail, as where items are excluded, is not worth preparing.
        """
        seen = self._seen.get(answer.layout)
        if isinstance(seen, Alike) and seen.blocks is answer.blocks:
            if can_tell(answer.user_id) and (not answer.send_id or can_tell(answer.send_id)):
                self._telling.tell_written(answer.user_id, BLOCK_SERVED, seen.told_of(answer, self._word(answer)))
                return
        else:
            again = seen is answer.blocks and answer.user_id
            self._seen[answer.layout] = Alike(answer, self._variants[answer.layout]) if again else answer.blocks
        self._tell([answer])

    def _word(self, answer: Answer) -> str:
        return "" if answer.send_id else next(self._once)

    def _tell(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if not answer.user_id:  # an event is somebody's
                continue
            self._telling.tell(served(answer, self._variants[answer.layout], self._word(answer)))


def _variant(layout: Layout) -> str:
    """What tells this version of a layout from others of its name."""
    return blake2b(msgspec.json.encode(layout), digest_size=4).hexdigest()
