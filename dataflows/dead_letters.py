"""Dead letters: what was refused, with stage, reason, field and the original bytes; listed, shown and sent again.

A stream of its own in Redis, written in the transaction that commits the micro-batch, so that a refused event is
there exactly once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import redis

from dataflows.connectors import open_stream
from dataflows.connectors.redis_streams import connect
from dataflows.events import Event, Refused, parse, partition_of, to_rfc3339
from dataflows.settings import FlowSettings, SettingError, flow_settings, split_query

PAGE: Final = 500


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter: where and why it was refused, when (RFC 3339), from where in the stream, and the bytes."""

    letter_id: str
    flow: str
    stage: str
    kind: str
    reason: str
    field: str
    refused_at: str
    place: str
    original: bytes


class DeadLetters:
    """The dead-letter stream.

    Args:
        name: of the Redis stream.
        keep: how many letters are kept; older ones are given up.
    """

    def __init__(self, name: str, keep: int) -> None:
        self.name, self._keep = name, keep

    def add(self, pipeline: Any, flow: str, refused: Refused, now: int, place: str = "") -> None:
        """Queue a refused event in a pipeline."""
        fields = {
            "flow": flow, "stage": refused.stage, "kind": refused.kind, "reason": refused.reason,
            "field": refused.field, "refused_at": to_rfc3339(now), "place": place, "original": refused.original,
        }  # fmt: skip
        pipeline.xadd(self.name, fields, maxlen=self._keep, approximate=True)

    def add_row(self, pipeline: Any, flow: str, key: str, rule: str, original: bytes, now: int) -> None:
        """Queue a row that the gate held back."""
        refused = Refused("gate", "gate", f"the row of {key} breaks the expectation {rule}", rule, original)
        self.add(pipeline, flow, refused, now)

    def letters(self, client: redis.Redis) -> Iterator[DeadLetter]:
        """All letters, oldest first."""
        after = "-"
        while page := client.xrange(self.name, min=after, count=PAGE):
            for letter_id, fields in page:  # type: ignore[union-attr]
                yield _letter(letter_id, fields)
            after = f"({page[-1][0].decode()}"  # type: ignore[index]

    def find(self, client: redis.Redis, letter_id: str) -> DeadLetter | None:
        """The letter of that id."""
        found: Any = client.xrange(self.name, min=letter_id, max=letter_id)
        return _letter(*found[0]) if found else None

    def drop(self, client: redis.Redis, letter_ids: Sequence[str]) -> None:
        """Take letters out."""
        if letter_ids:
            client.xdel(self.name, *letter_ids)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m dataflows.dead_letters list|show|replay`."""
    parser = argparse.ArgumentParser(prog="python -m dataflows.dead_letters", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="every letter on a line, and a count by reason")
    showing = verbs.add_parser("show", help="one letter with its original bytes")
    showing.add_argument("letter_id")
    replaying = verbs.add_parser("replay", help="send letters again; those accepted leave the dead letters")
    for each in (listing, replaying):
        each.add_argument("--kind", help="only of this kind: format, schema, size, time, gate")
        each.add_argument("--field", help="only those refused because of this field")
    chosen = parser.parse_args(arguments)
    try:
        settings = flow_settings(os.environ)
    except SettingError as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command speaks on its terminal
        return 2
    address, query = split_query(settings.dead_letters_url)
    client = connect(address)
    letters = DeadLetters(query.get("stream", "dead_letters"), settings.dead_letters_keep)
    if chosen.verb == "show":
        return _show(letters.find(client, chosen.letter_id))
    selected = (
        letter
        for letter in letters.letters(client)
        if chosen.kind in (None, letter.kind) and chosen.field in (None, letter.field)
    )
    return _list(selected) if chosen.verb == "list" else _replay(settings, client, letters, selected)


def _list(letters: Iterator[DeadLetter]) -> int:
    counts: Counter[str] = Counter()
    for letter in letters:
        counts[letter.kind] += 1
        print(f"{letter.letter_id}  {letter.refused_at}  {letter.stage:<9}{letter.kind:<7} {letter.reason}")  # noqa: T201
    print(f"{counts.total()} dead letters", *(f"{kind} {number}" for kind, number in sorted(counts.items())), sep=" · ")  # noqa: T201
    return 0


def _show(letter: DeadLetter | None) -> int:
    if letter is None:
        print("no such dead letter; `list` shows their ids", file=sys.stderr)  # noqa: T201
        return 1
    for name in letter.__struct_fields__[:-1]:
        print(f"{name:<11}{getattr(letter, name)}")  # noqa: T201
    print(letter.original.decode("utf-8", "backslashreplace"))  # noqa: T201
    return 0


def _replay(settings: FlowSettings, client: redis.Redis, letters: DeadLetters, chosen: Iterator[DeadLetter]) -> int:
    """Publish the letters that are accepted now; the rest stay where they are."""
    stream = open_stream(settings.stream_url)
    now = _micros(client)
    sent, kept = 0, 0
    for letter in list(chosen):
        judged = parse(letter.original, now, max_skew=round(settings.max_skew * 1_000_000))
        if isinstance(judged, Event):
            stream.publish([(partition_of(judged.key, stream.partitions), letter.original)])
            letters.drop(client, [letter.letter_id])
            sent += 1
        else:
            kept += 1
    print(f"{sent} sent again, {kept} still refused and kept")  # noqa: T201
    return 0


def _micros(client: redis.Redis) -> int:
    seconds, micros = client.time()  # type: ignore[misc]
    return int(seconds) * 1_000_000 + int(micros)


def _letter(letter_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    words = {name.decode(): value for name, value in fields.items()}
    original = words.pop("original", b"")
    return DeadLetter(letter_id.decode(), original=original, **{name: value.decode() for name, value in words.items()})


if __name__ == "__main__":
    sys.exit(main())
