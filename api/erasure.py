"""Erasing a user: a command through the stream, then each place that no flow looks after, then a look for what is left.

It is written down in Redis before it begins, and stays there until it is done: a process that is killed on its way
leaves it to the others, or to the next one that starts. First every process drops what it holds of the user itself;
then the people flow forgets the user in order with the user's events, and so do the devices and other ids that are
nobody else's. When it says so, what lies elsewhere is erased, and at last every place is looked at again: the answer
says what was found where, and that nothing is. Doing it twice is as doing it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any, Final

import redis
import redis.asyncio

from api.audit import hashed
from api.erasure_jobs import Job, Jobs, Report
from api.erasure_places import Place, Records, States
from api.forgetting import Forgetting
from dataflows.connectors import Publisher, StreamError
from dataflows.erasing import ERASURE_KEY, IDS_KEY, Erase, write_command
from dataflows.events import SECOND, partition_of, to_rfc3339

FLOW_SECONDS: Final = 60.0
"""How long is waited for the flows."""
LOOK_EVERY: Final = 0.05
ROUNDS: Final = 5
"""How often ids that turn up are erased too, before the rest is left to the next try."""
MOST_ERASURES: Final = 4
"""Erasures that a process carries out at once; others wait."""
RESUME_EVERY: Final = 2.0
FIRST_PAUSE: Final = 60
LONGEST_PAUSE: Final = 3600
"""Seconds between tries of one that left something."""
MOST_TRIES: Final = 24
"""After that, some twenty hours, it is left to the next call."""

_log: Final = logging.getLogger(__name__)


class Eraser:
    """Erases users.

    Args:
        client: the Redis of the online store.
        publisher: the stream.
        forgetting: what lets every process of the API drop what it holds.
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
        forgetting: Forgetting,
        places: Sequence[Place],
        states: States,
        records: Records | None,
        notes: Sequence[str] = (),
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        new_id: Callable[[], str] = lambda: token_hex(8),
    ) -> None:
        self._client, self._publisher, self._forgetting = client, publisher, forgetting
        self._places, self._states, self._records = places, states, records
        self._notes, self._clock, self._new_id = notes, clock, new_id
        self.jobs = Jobs(client)
        self._turn = asyncio.Semaphore(MOST_ERASURES)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start(self, user_id: str) -> tuple[Report, asyncio.Task[None]]:
        """Begin; the report, which is filled in, and what ends when it is.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        report = Report(self._new_id(), hashed(user_id), "running", to_rfc3339(self._clock()))
        job = Job(user_id, report, [user_id])
        await self.jobs.save(job)
        return report, self._begin(job)

    async def keep_resuming(self) -> None:
        """Take up what nobody is at, for ever: of processes that were killed, and what left something before."""
        while True:
            with contextlib.suppress(redis.RedisError, OSError):  # the next look may do better
                for job in await self.jobs.waiting(self._clock() // SECOND):
                    if job.report.erasure not in self._running and len(self._running) < MOST_ERASURES:
                        self._begin(job)
            await asyncio.sleep(RESUME_EVERY)

    async def close(self) -> None:
        """Stop; what is not done is done by whoever takes it up."""
        while self._running:
            for task in tuple(self._running.values()):
                task.cancel()
            await asyncio.wait(tuple(self._running.values()), timeout=0.5)

    def _begin(self, job: Job) -> asyncio.Task[None]:
        erasure = job.report.erasure
        task = self._running[erasure] = asyncio.create_task(self._run(job))
        task.add_done_callback(lambda _: self._running.pop(erasure, None))
        return task

    async def _run(self, job: Job) -> None:
        try:
            async with self._turn, self.jobs.mine(job.report.erasure) as is_mine:
                if is_mine:
                    await self._try(job)
        except (redis.RedisError, OSError) as error:
            _log.warning("an erasure stopped on its way, and is taken up again: %s", type(error).__name__)

    async def _try(self, job: Job) -> None:
        report = job.report
        report.state, report.tries, report.notes = "running", report.tries + 1, list(self._notes)
        await self.jobs.save(job)
        try:
            await self._erase(job)
        except (redis.RedisError, OSError, StreamError, RuntimeError, asyncio.TimeoutError) as error:
            _log.warning("an erasure stopped on its way: %s", type(error).__name__)
            report.state = "left"
            report.notes.append("a system did not answer on the way")
        report.ended_at = to_rfc3339(self._clock())
        if report.state == "done" or report.tries >= MOST_TRIES:
            names = [_attempt(report, number) for number in range(1, report.tries + 1)]
            await self.jobs.end(report, [key.format(name) for name in names for key in (ERASURE_KEY, IDS_KEY)])
        else:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (report.tries - 1))
            report.notes.append(f"it is tried again in {pause // 60:d} minutes, or call again")
            job.next_at = self._clock() // SECOND + pause
            await self.jobs.save(job)

    async def _erase(self, job: Job) -> None:
        report, user_id = job.report, job.user_id
        for name in self._forgetting.names:
            _found(report, name, 0)
        ids = set(job.ids)
        for number in range(1, report.tries):  # what tries before this one have come to
            ids |= await self._gone(_attempt(report, number))
        for place in self._places:
            _found(report, place.name, await place.holds(sorted(ids)))
        await self._know(job, ids)
        answered = await self._ask(job, [user_id, *sorted(ids - {user_id})])
        ids |= await self._gone(_attempt(report, report.tries))
        asked = set(job.ids)
        for _ in range(ROUNDS):
            named: set[str] = set() if self._records is None else await self._records.named_with(user_id)
            fresh = (named | await self._states.naming(ids)) - asked - ids
            if not fresh or not answered:
                break
            asked |= fresh
            answered = await self._ask(job, sorted(fresh))
            ids |= await self._gone(_attempt(report, report.tries))
        others = ids - asked
        if others and answered:  # as the flows know them they are gone; now also whoever reads the stream again knows
            answered = await self._ask(job, sorted(others))
        await self._know(job, ids)
        for place in self._places:
            waits_for_flows = place is self._records
            _found(report, place.name, 0 if waits_for_flows and not answered else await place.erase(ids))
            await self.jobs.save(job)
        # Meanwhile a process may have read again what it had dropped, such as a decision.
        await self._dropped(job, sorted(ids))
        said: Any = await self._client.hgetall(ERASURE_KEY.format(_attempt(report, report.tries)))
        report.kept = (said.get(b"kept") or b"").decode().split()
        for name, number in said.items():
            if name.startswith(b"dropped "):
                _found(report, name.decode().partition(" ")[2], int(number))
        report.ids = len(ids)
        looked = ids - {user_id} if report.kept else ids
        report.left = {
            place.name: await place.holds(looked if place.name == "features" else ids) for place in self._places
        }
        report.left["other states"] = len((await self._states.naming(ids)) - asked)
        if not answered:
            report.notes.append(f"the flows did not answer within {FLOW_SECONDS:g} s; they erase when they read on")
        report.state = "done" if answered and report.state == "running" and not any(report.left.values()) else "left"

    async def _know(self, job: Job, ids: set[str]) -> None:
        """Write down which ids are known to go, for whoever has to go on."""
        job.ids = sorted(ids)
        await self.jobs.save(job)

    async def _ask(self, job: Job, ids: Sequence[str]) -> bool:
        """Let every process drop what it holds of some ids, then send the commands to erase them through the stream.

        Returns: whether the commands, and all that they lead to, were carried out in time.
        """
        erasure = _attempt(job.report, job.report.tries)
        await self._dropped(job, ids)
        place = ERASURE_KEY.format(erasure)
        commands = [Erase(erasure, job.user_id, key) for key in ids]
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

    async def _dropped(self, job: Job, ids: Sequence[str]) -> None:
        """Let every process drop what it holds of some ids."""
        if not await self._forgetting.tell(_attempt(job.report, job.report.tries), ids):
            job.report.notes.append("a process of the API did not say in time that it dropped what it holds")
            job.report.state = "left"

    async def _gone(self, erasure: str) -> set[str]:
        found: Any = await self._client.smembers(IDS_KEY.format(erasure))
        return {each.decode() for each in found}


def _attempt(report: Report, number: int) -> str:
    """What a try is called to the flows, whose answers to one before must not be taken for answers to this one."""
    return report.erasure if number == 1 else f"{report.erasure}.{number}"


def _found(report: Report, place: str, number: int) -> None:
    """Count what was found somewhere; what a try before this one found was the same, or is gone."""
    report.erased[place] = max(number, report.erased.get(place, 0))
