"""Erasing a user: a command through the stream, then each place that no flow looks after, then a look for what is left.

The people flow forgets the user in order with the user's events, and so do the devices and other ids that are nobody
else's. When it says so, what lies elsewhere is erased, and at last every place is looked at again: the answer says what
was found where, and that nothing is. Doing it twice is as doing it once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.admin import noted
from api.audit import Audit, hashed
from api.erasure_places import Place, Records, States
from api.problems import Problem
from dataflows.connectors import Publisher, StreamError
from dataflows.erasing import ERASURE_KEY, IDS_KEY, Erase, write_command
from dataflows.events import partition_of, to_rfc3339

REPORT_KEY: Final = "inlay:erasures:{}"
REPORT_SECONDS: Final = 90 * 86_400
"""How long a report is kept; it names nobody."""
ANSWER_WITHIN: Final = 10.0
"""Seconds after which whoever asked is sent to the report."""
FLOW_SECONDS: Final = 60.0
"""How long is waited for the flows."""
LOOK_EVERY: Final = 0.05
ROUNDS: Final = 5
"""How often ids that turn up are erased too, before the rest is left to the next call."""
MOST_ERASURES: Final = 4
"""Erasures that a process carries out at once; others wait."""
MOST_ID: Final = 200

_log: Final = logging.getLogger(__name__)


class Report(msgspec.Struct):
    """What became of an erasure. Times are RFC 3339; `user` is a hash.

    Attributes:
        state: `running`, `done`, or `left`: something is there still, or could not be looked at; call again.
        ids: how many ids went: the user's, and those of devices and other names that were nobody else's.
        erased: by place, how much was found and erased.
        left: by place, how much is there after that.
        kept: what a no must outlive: the consents that were withheld.
        notes: what to know, in words.
    """

    erasure: str
    user: str
    state: str
    started_at: str
    ended_at: str = ""
    ids: int = 0
    erased: dict[str, int] = {}
    left: dict[str, int] = {}
    kept: list[str] = []
    notes: list[str] = []


class Eraser:
    """Erases users.

    Args:
        client: the Redis of the online store.
        publisher: the stream.
        places: where users may be found, those that the flows erase among them.
        states: of other users.
        records: of the stream, where they can be read and taken out one by one.
        clock: microseconds since 1970, now.
        new_id: what names an erasure.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        publisher: Publisher,
        places: Sequence[Place],
        states: States,
        records: Records | None,
        notes: Sequence[str] = (),
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        new_id: Callable[[], str] = lambda: token_hex(8),
    ) -> None:
        self._client, self._publisher, self._places, self._states = client, publisher, places, states
        self._records, self._notes, self._clock, self._new_id = records, notes, clock, new_id
        self._turn = asyncio.Semaphore(MOST_ERASURES)
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, user_id: str) -> tuple[Report, asyncio.Task[None]]:
        """Begin; the report, which is filled in, and what ends when it is.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        report = Report(self._new_id(), hashed(user_id), "running", to_rfc3339(self._clock()))
        await self._write(report)
        task = asyncio.create_task(self._run(user_id, report))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return report, task

    async def report(self, erasure: str) -> Report | None:
        """The report of an erasure; none if there is no such.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.get(REPORT_KEY.format(erasure))
        return None if found is None else msgspec.json.decode(found, type=Report)

    async def close(self) -> None:
        """Stop; what is not done is done by the next call."""
        while self._running:
            for task in tuple(self._running):
                task.cancel()
            await asyncio.wait(tuple(self._running), timeout=0.5)

    async def _run(self, user_id: str, report: Report) -> None:
        async with self._turn:
            try:
                await self._erase(user_id, report)
            except (redis.RedisError, OSError, StreamError, RuntimeError, asyncio.TimeoutError) as error:
                _log.warning("an erasure stopped on its way: %s", type(error).__name__)
                report.state = "left"
                report.notes.append("a system did not answer on the way; call again")
            report.ended_at = to_rfc3339(self._clock())
            try:
                await self._write(report)
                keys = ERASURE_KEY.format(report.erasure), IDS_KEY.format(report.erasure)
                await self._client.delete(*keys)
            except (redis.RedisError, OSError) as error:
                _log.warning("the report of an erasure was not kept: %s", type(error).__name__)

    async def _erase(self, user_id: str, report: Report) -> None:
        report.notes += self._notes
        before = {place.name: await place.holds([user_id]) for place in self._places}
        answered = await self._ask(report, [Erase(report.erasure, user_id, user_id)])
        ids = {user_id} | await self._gone(report.erasure)
        asked = {user_id}
        for _ in range(ROUNDS):
            named: set[str] = set() if self._records is None else await self._records.named_with(user_id)
            fresh = (named | await self._states.naming(ids)) - asked - ids
            if not fresh or not answered:
                break
            asked |= fresh
            answered = await self._ask(report, [Erase(report.erasure, user_id, key) for key in sorted(fresh)])
            ids |= await self._gone(report.erasure)
        others = ids - asked
        if others and answered:  # as the flows know them they are gone; now also whoever reads the stream again knows
            answered = await self._ask(report, [Erase(report.erasure, user_id, key) for key in sorted(others)])
        for place in self._places:
            waits_for_flows = place is self._records
            number = 0 if waits_for_flows and not answered else await place.erase(ids)
            report.erased[place.name] = max(number, before.get(place.name, 0))
        found: Any = await self._client.hget(ERASURE_KEY.format(report.erasure), "kept")
        report.kept = (found or b"").decode().split()
        report.ids = len(ids)
        looked = ids - {user_id} if report.kept else ids
        report.left = {
            place.name: await place.holds(looked if place.name == "features" else ids) for place in self._places
        }
        report.left["other states"] = len((await self._states.naming(ids)) - asked)
        if not answered:
            report.notes.append(
                f"the flows did not answer within {FLOW_SECONDS:g} s; they erase when they read on: call again for the "
                "proof"
            )
        report.state = "done" if answered and not any(report.left.values()) else "left"

    async def _ask(self, report: Report, commands: Sequence[Erase]) -> bool:
        """Send commands through the stream; whether they, and all that they lead to, were carried out in time."""
        place = ERASURE_KEY.format(report.erasure)
        more = sum(command.key != command.user_id for command in commands)
        if more:
            await self._client.hincrby(place, "asked", more)
        partitions = self._publisher.partitions
        await self._publisher.publish(
            [(partition_of(command.key, partitions), write_command(command)) for command in commands]
        )
        until = time.monotonic() + FLOW_SECONDS
        while time.monotonic() < until:
            found: Any = await self._client.hgetall(place)
            asked, answered = (int(found.get(name, 0)) for name in (b"asked", b"answered"))
            if b"people" in found and b"items" in found and asked == answered:
                return True
            await asyncio.sleep(LOOK_EVERY)
        return False

    async def _gone(self, erasure: str) -> set[str]:
        found: Any = await self._client.smembers(IDS_KEY.format(erasure))
        return {each.decode() for each in found}

    async def _write(self, report: Report) -> None:
        await self._client.set(REPORT_KEY.format(report.erasure), msgspec.json.encode(report), ex=REPORT_SECONDS)


def routes(eraser: Eraser, audit: Audit) -> APIRouter:
    """The routes; whoever includes them asks for the scope `admin`."""
    router = APIRouter(prefix="/v1", tags=["users"])

    @router.delete("/users/{user_id:path}", response_class=Response)
    async def erase(request: Request, user_id: str) -> Response:
        """Erase a user everywhere, and say what was found where, and that nothing is left."""
        if not 0 < len(user_id) <= MOST_ID or not user_id.isprintable():
            say = f"a user's id has 1 to {MOST_ID} letters that can be seen"
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, say)
        await noted(audit, request, "users erase", hashed(user_id))
        try:
            report, task = await eraser.start(user_id)
        except (redis.RedisError, OSError):
            raise _unavailable() from None
        await asyncio.wait([task], timeout=ANSWER_WITHIN)
        content = msgspec.to_builtins(report)
        if report.state == "running":
            where = f"/v1/erasures/{report.erasure}"
            return JSONResponse(content, HTTPStatus.ACCEPTED, {"Location": where, "Retry-After": "5"})
        return JSONResponse(content)

    @router.get("/erasures/{erasure_id}", response_class=Response)
    async def look(request: Request, erasure_id: str) -> Response:
        """What became of an erasure."""
        await noted(audit, request, "erasures read", erasure_id[:100])
        try:
            report = await eraser.report(erasure_id)
        except (redis.RedisError, OSError):
            raise _unavailable() from None
        if report is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such erasure, or its report is older than 90 days")
        return JSONResponse(msgspec.to_builtins(report))

    return router


def _unavailable() -> Problem:
    say = "nothing can be erased right now; send this again, which does no harm"
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "5"})
