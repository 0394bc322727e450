"""Serve: the blocks of a mail, always, in time. Features are read under a deadline; without them it serves less."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from functools import cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar

import redis
from fastapi import Response
from prometheus_client import Counter
from redis.asyncio.connection import async_timeout as timeout  # of asyncio, or its backport

from api import resolve
from api.answer import Answer, Block
from api.breaker import Breaker
from api.decisions import Decisions, is_personal
from api.features import OnlineFeatures
from api.known import Known, UserFeatures
from api.metrics import BLOCKS, DEGRADED
from api.plans import Layout
from api.problems import Problem
from api.render import render_html, render_json, render_text
from api.served import Served
from api.settle import Settling
from api.shelf import Shelves
from api.snapshot import Snapshot
from api.telling import Telling
from api.together import Together
from api.wording import moment

T = TypeVar("T")
RESERVE: Final = 0.01
"""Seconds of the deadline that are left for making a mail out of what is there."""
LEAST_SECONDS: Final = 0.005
"""In which an answer that was made just in time may still be kept."""
OWN_LAG: Final = 0.003
"""Seconds by which time was up and nobody looked: this process was late, which says nothing of the store."""

AGREED: Final = "private, max-age=300"
"""Of a mail that is decided: its address is its reader's, and whoever asked may keep the answer; a proxy may not."""


NOBODY: Final = UserFeatures()


class Format(str, Enum):
    """What an answer is written as."""

    json = "json"
    html = "html"
    text = "text"


_WRITTEN: Final[dict[Format, tuple[Callable[[Answer], str | bytes], str]]] = {
    Format.json: (render_json, "application/json"),
    Format.html: (lambda answer: render_html(answer, locale=answer.locale), "text/html"),
    Format.text: (lambda answer: render_text(answer, locale=answer.locale), "text/plain"),
}
"""By what an answer is written as: what writes it, and what that is called."""


class Asked(NamedTuple):
    """What is asked for beside the layout, as it stands in the address."""

    user_id: str
    send_id: str | None = None
    exclude: str = ""
    format: Format = Format.json

    @property
    def send_of(self) -> str | None:
        """The mail, of which something is decided; of who is nobody, nothing is."""
        return (self.user_id and self.send_id) or None

    @property
    def excluded(self) -> frozenset[str]:
        """The items that are not to be in it."""
        return frozenset(filter(None, map(str.strip, self.exclude.split(","))))


class Written(NamedTuple):
    """A mail as it is sent, what that is, and who may keep it."""

    body: str | bytes
    media_type: str
    kept: str

    def response(self) -> Response:
        """What sends it."""
        return Response(self.body, headers={"Cache-Control": self.kept}, media_type=self.media_type)


class _Read(NamedTuple):
    """The answer to a request, as read; whether it was decided before, or takes the place of what was."""

    answer: Answer
    found: bool = False
    instead: bool = False


class _Kept(NamedTuple):
    """Blocks that are the same for everybody, when they were made and of which snapshot."""

    now: int
    fallback: tuple[str, ...]
    blocks: tuple[Block, ...]


class BlockServer:
    """Resolves layouts for users.

    Args:
        features: the reader of the online store.
        snapshot: what answers in its place.
        layouts: by name.
        deadline: seconds for all reads of an answer.
        served: what went into earlier mails, for layouts that cap how often.
        decisions: what mails with a `send_id` show.
        telling: what is told of what is served.
        monotonic: the clock of the breaker.
        now: the time that answers are stamped with.
    """

    def __init__(
        self,
        features: OnlineFeatures,
        snapshot: Snapshot,
        layouts: dict[str, Layout],
        deadline: float,
        served: Served,
        decisions: Decisions,
        telling: Telling,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.layouts = layouts
        self.features, self.snapshot, self.deadline, self.served = features, snapshot, deadline, served
        self._now = now
        self._plain: dict[str, _Kept] = {}
        self._together: Together[Answer] = Together()
        self.breaker = Breaker(monotonic)
        self.settling = Settling(decisions, telling, layouts, self.seconds)
        self.shelves = Shelves(features, snapshot, monotonic)
        self.capped = any(plan.frequency_cap for layout in layouts.values() for plan in layout.blocks)

    async def answer(self, layout: Layout, user_id: str, send_id: str | None, excluded: Collection[str]) -> Answer:
        """The blocks of one mail; never fails for want of the online store.

        All parts of a mail that are asked for at once are given one answer, whether it can be kept or not.
        """
        if not send_id:
            return await self._answer(layout, user_id, send_id, excluded)
        what = user_id, send_id, layout.name
        answer, shared = await self._together.once(what, lambda: self._answer(layout, user_id, send_id, excluded))
        if shared:
            self.settling.count_found(1)
        return answer

    async def _answer(self, layout: Layout, user_id: str, send_id: str | None, excluded: Collection[str]) -> Answer:
        decided = await self._decided(layout, user_id, send_id, excluded)
        return decided or self.answer_plainly(layout, user_id, send_id, excluded, keep=True)

    def answer_plainly(
        self, layout: Layout, user_id: str, send_id: str | None, excluded: Collection[str], *, keep: bool = False
    ) -> Answer:
        """The blocks of one mail from what this process remembers: nothing is read.

        If `keep`, this is what the mail shows from now on, if it can be kept.
        """
        blocks = self.plain(layout, excluded)
        made = self.made(layout, user_id, send_id, layout.locale, NOBODY, blocks)
        return self.settling.without_store(made, keep=keep)

    async def decided(self, layout: Layout, user_id: str, send_id: str) -> Answer | None:
        """What a mail shows, decided before or now; None where that cannot be known."""
        found = await self._decided(layout, user_id, send_id, ())
        return found or self.settling.remembered(user_id, send_id, layout.name)

    async def _decided(
        self, layout: Layout, user_id: str, send_id: str | None, excluded: Collection[str]
    ) -> Answer | None:
        give_up_at = asyncio.get_running_loop().time() + self.deadline
        read = await self._personal(layout, user_id, send_id, excluded, give_up_at)
        if read is None:
            return None
        if read.found:
            self.settling.count_found(1)
            return read.answer
        left = give_up_at - asyncio.get_running_loop().time()
        instead = [user_id] if read.instead else ()
        settled = await self.settling.settle([read.answer], max(LEAST_SECONDS, left), instead)
        await self.note(settled.made, send_id)
        return settled.answers[0]

    async def respond(self, layout: Layout, asked: Asked) -> Response:
        """The blocks of one mail as they are sent."""
        return _written(await self.answer(layout, asked.user_id, asked.send_of, asked.excluded), asked).response()

    def write_plainly(self, layout: Layout, asked: Asked) -> Written:
        """Likewise, as `answer_plainly` has them, and not yet a response."""
        return _written(self.answer_plainly(layout, asked.user_id, asked.send_of, asked.excluded), asked)

    def warm(self) -> None:
        """Draw every mail once, for nobody: what is read or made the first time, nobody is to wait for."""
        for layout in self.layouts.values():
            answer = Answer(layout.name, "", None, "", None, self.plain(layout, ()), layout.locale)
            for write, _ in _WRITTEN.values():
                write(answer)

    def layout(self, name: str) -> Layout:
        """A layout by its name.

        Raises:
            Problem: 404, there is none.
        """
        if (chosen := self.layouts.get(name)) is None:
            known = ", ".join(self.layouts)
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no layout {name!r}; there are {known}")
        return chosen

    def made(
        self, layout: Layout, user_id: str, send_id: str | None, locale: str, user: UserFeatures,
        blocks: tuple[Block, ...],
    ) -> Answer:  # fmt: skip
        """The answer that blocks are, stamped and counted."""
        for block in blocks:
            _counter(block.block, block.source).inc()
        return self.stamped(layout, user_id, send_id, locale, user, blocks)

    def stamped(
        self, layout: Layout, user_id: str, send_id: str | None, locale: str, user: UserFeatures,
        blocks: tuple[Block, ...],
    ) -> Answer:  # fmt: skip
        """Likewise, not counted: for who makes many, and has them counted together by `count`."""
        generated = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known_as_of = None if user.as_of is None else moment(user.as_of)
        return Answer(layout.name, user_id, send_id, generated, known_as_of, blocks, locale, user.stale)

    @staticmethod
    def count(answers: Iterable[Answer]) -> None:
        """Count what some answers hold."""
        found = collections.Counter((block.block, block.source) for answer in answers for block in answer.blocks)
        for (kind, source), number in found.items():
            _counter(kind, source).inc(number)

    async def _personal(
        self, layout: Layout, user_id: str, send_id: str | None, excluded: Collection[str], give_up_at: float
    ) -> _Read | None:
        """The answer with everything that is known; None if it could not be read in time."""
        return await self.tried(lambda: self._read(layout, user_id, send_id, excluded, give_up_at), self.deadline)

    async def tried(self, reading: Callable[[], Awaitable[T]], seconds: float) -> T | None:
        """What is read of the store within some seconds; None, and counted why, if it is not or may not be tried."""
        if not self.breaker.allows():
            DEGRADED.labels("breaker").inc()
            return None
        give_up_at = asyncio.get_running_loop().time() + seconds
        try:
            async with timeout(seconds):
                read = await reading()
        except asyncio.TimeoutError:
            DEGRADED.labels("deadline").inc()
            if asyncio.get_running_loop().time() - give_up_at > OWN_LAG:
                return None
        except (redis.RedisError, OSError):
            DEGRADED.labels("store").inc()
        else:
            self.breaker.succeeded()
            return read
        self.breaker.failed()
        return None

    async def _read(
        self, layout: Layout, user_id: str, send_id: str | None, excluded: Collection[str], give_up_at: float
    ) -> _Read:
        seconds = self.seconds()
        before = None
        if send_id:
            looking = self.settling.found([user_id], send_id, layout.name)
            found, user = await asyncio.gather(looking, self.features.user(user_id))
            before = found.get(user_id)
        else:
            user = await self.features.user(user_id)
        if before and may_see(user, before):
            return _Read(before, found=True)
        served = await self.before(layout, [user_id], send_id, seconds)
        mail, blocks = await self._filled(layout, user, served.get(user_id, {}), excluded, give_up_at)
        answer = self.made(layout, user_id, send_id, mail.locale, user, blocks)
        return _Read(answer, instead=before is not None)

    async def _filled(
        self,
        layout: Layout,
        user: UserFeatures,
        served: Mapping[str, Sequence[int]],
        excluded: Collection[str],
        give_up_at: float,
    ) -> tuple[resolve.Mail, tuple[Block, ...]]:
        """The mail of somebody whose features were read in time, and its blocks.

        What else would have to be read has the rest of the deadline but for a reserve; then what was read for mails
        before serves, so that a store that grows slow in the middle costs no personal mail.
        """
        shelf, wanted = self.shelves.current(), resolve.wanted(layout, user)
        await _read_or_skip(shelf.put_lists(wanted.scopes, wanted.seeds), give_up_at)
        mail = shelf.mail(layout, user, wanted, served, excluded, self.seconds())
        if (blocks := shelf.filled(mail)) is None:
            await _read_or_skip(shelf.put_rows(resolve.items_wanted(mail)), give_up_at)
            blocks = resolve.fill(mail, shelf.rows)
        return mail, blocks

    async def before(
        self, layout: Layout, user_ids: Collection[str], send_id: str | None, now: int
    ) -> dict[str, dict[str, list[int]]]:
        """By user, what went into earlier mails to them, if the layout asks.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if not any(plan.frequency_cap for plan in layout.blocks):
            return {}
        return await self.served.before_all(user_ids, send_id, now)

    async def note(self, answers: Iterable[Answer], send_id: str | None) -> None:
        """Remember what mails hold, if some layout asks; a mail is not kept back for want of it."""
        if not (send_id and self.capped):
            return
        shown = {each.user_id: [item.item_id for block in each.blocks for item in block.items] for each in answers}
        with contextlib.suppress(redis.RedisError, OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self.served.note_all(shown, send_id, self.seconds()), self.deadline)

    def seconds(self) -> int:
        """The time, in seconds since 1970."""
        return int(self._now().timestamp())

    def plain(self, layout: Layout, excluded: Collection[str], user: UserFeatures = NOBODY) -> tuple[Block, ...]:
        """The blocks from the snapshot alone; for nobody in particular they are made once a second."""
        now, snapshot = self.seconds(), self.snapshot
        if excluded or user is not NOBODY:
            return _from(snapshot, layout, excluded, user, now)
        kept = self._plain.get(layout.name)
        if kept is None or kept.now != now or kept.fallback is not snapshot.fallback:
            kept = self._plain[layout.name] = _Kept(now, snapshot.fallback, _from(snapshot, layout, (), user, now))
        return kept.blocks


def _written(answer: Answer, asked: Asked) -> Written:
    write, media_type = _WRITTEN[asked.format]
    return Written(write(answer), media_type, AGREED if asked.send_of and answer.features_as_of else "no-store")


def _from(
    snapshot: Snapshot, layout: Layout, excluded: Collection[str], user: UserFeatures, now: int
) -> tuple[Block, ...]:
    known = Known(user, {}, {}, snapshot.fallback, now=now)
    return resolve.fill(resolve.prepare(layout, known, excluded), snapshot.catalogue)


@cache
def _counter(kind: str, source: str) -> Counter:
    """The metric of a kind and a rung: looking it up by its labels takes longer than counting."""
    return BLOCKS.labels(kind, source)


async def _read_or_skip(reading: Coroutine[Any, Any, None], give_up_at: float) -> None:
    """Let something be read until shortly before the deadline, or go on without."""
    left = give_up_at - RESERVE - asyncio.get_running_loop().time()
    try:
        async with timeout(max(0.001, left)):
            await reading
    except (redis.RedisError, OSError, asyncio.TimeoutError):
        DEGRADED.labels("skipped").inc()


def may_see(user: UserFeatures, before: Answer) -> bool:
    """Whether a user may be shown what was decided before: not what tells of them, once they withhold consent."""
    return user.profile_allowed is not False or not is_personal(before)
