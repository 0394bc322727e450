"""Dead letters sent again: judged first, published second, taken out last, so that a crash in between loses nothing.

What was published and not yet taken out is published once more by the next replay; its `event_id` makes that harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec
import redis
from msgspec.structs import replace

from dataflows.connectors import Stream
from dataflows.connectors.letters import Attempt, DeadLetter, DeadLetters, Sent, longer
from dataflows.events import Event, Refused, parse, partition_of, to_rfc3339
from dataflows.letter_patch import Patch, PatchError

CHUNK: Final = 200
NOT_SENT: Final = {
    "signature": "it was never proven who sent it: mend the secret, and have the sender deliver it again",
}
"""Kinds that a replay leaves alone, and why."""


class Judged(msgspec.Struct, frozen=True):
    """What becomes of a letter: the events that are published, those refused again, or why it is left alone."""

    letter: DeadLetter
    events: list[tuple[str, bytes]] = []
    refused: list[Refused] = []
    left: str = ""

    @property
    def leaves(self) -> bool:
        """Whether the letter leaves the dead letters; of an array, what is refused stays as letters of its own."""
        return bool(self.events)


class Judge:
    """Judges letters as the door does, after a patch.

    Args:
        now: microseconds since 1970.
        max_skew: microseconds an event may lie in the future.
        patch: what is mended first.
    """

    def __init__(self, now: int, max_skew: int, patch: Patch | None = None) -> None:
        self._now, self._max_skew, self._patch = now, max_skew, patch
        self._ids: dict[tuple[str, str], int] = {}

    def __call__(self, letter: DeadLetter) -> Judged:
        """The letter judged; of an array every event by itself."""
        if letter.kind in NOT_SENT:
            return Judged(letter, left=NOT_SENT[letter.kind])
        events: list[tuple[str, bytes]] = []
        refused: list[Refused] = []
        for raw in _split(letter.original):
            try:
                mended = self._patch(raw, letter.letter_id) if self._patch else raw
            except PatchError as error:
                refused.append(Refused("replay", letter.kind, str(error), letter.field, raw))  # type: ignore[arg-type]  # as it was read
                continue
            judged = parse(mended, self._now, max_skew=self._max_skew, stage="replay")
            if isinstance(judged, Event) and self._patch and self._is_taken(judged, mended):
                say = "event_id: an earlier letter of this replay has it too, with another content; give each its own"
                judged = Refused("replay", "schema", f"{say}, such as {{template: 'e-{{letter_id}}'}}", "event_id", raw)
            if isinstance(judged, Event):
                events.append((judged.key, mended))
            else:
                refused.append(replace(judged, original=raw))
        return Judged(letter, events, refused)

    def _is_taken(self, event: Event, mended: bytes) -> bool:
        """Whether a patch gave two events one id, of which the flow would take the second for a repeat."""
        content = hash(mended)
        return self._ids.setdefault((event.key, event.event_id), content) != content


def send(
    client: redis.Redis,
    letters: DeadLetters,
    stream: Stream,
    judged: Iterable[Judged],
    now: int,
    progress: Callable[[Judged], object] = lambda each: None,
) -> None:
    """Publish what is accepted and take those letters out; what is refused again notes the attempt.

    Raises:
        StreamError, redis.RedisError, OSError: it could not go on; letters that were not taken out are there still.
    """
    at = to_rfc3339(now)
    for chunk in _chunks(judged):
        records = [
            (partition_of(key, stream.partitions), value) for each in chunk if each.leaves for key, value in each.events
        ]
        if records:
            stream.publish(records)
        with client.pipeline(transaction=True) as pipeline:
            for each in chunk:
                if each.leaves:
                    for number, refused in enumerate(each.refused):
                        place = f"{each.letter.letter_id}#{number}"
                        pipeline.execute_command(*letters.command(each.letter.flow, refused, now, place))
            if leaving := [_sent(each, at) for each in chunk if each.leaves]:
                pipeline.execute_command(*letters.take_out_command(leaving))
            if staying := [(each.letter, _attempt(each, at)) for each in chunk if not each.leaves and each.refused]:
                pipeline.execute_command(*letters.note_command(staying))
            pipeline.execute()
        for each in chunk:
            progress(each)


def _split(original: bytes) -> list[bytes]:
    """The events of an array, or the original itself."""
    if original.lstrip()[:1] == b"[":
        try:
            return [bytes(raw) for raw in msgspec.json.decode(original, type=list[msgspec.Raw])] or [original]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # no JSON: it is judged as a whole, which says why
    return [original]


def _chunks(judged: Iterable[Judged]) -> Iterator[list[Judged]]:
    rest = iter(judged)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _sent(each: Judged, at: str) -> Sent:
    attempt = Attempt(at, "", "", "sent again")
    value = each.events[0][1] if len(each.events) == 1 else b""
    return Sent(each.letter.letter_id, value, longer(each.letter.attempts, attempt))


def _attempt(each: Judged, at: str) -> Attempt:
    refused = each.refused[0]
    return Attempt(at, refused.kind, refused.field, refused.reason)
