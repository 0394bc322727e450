"""Dead letters from the terminal: listed, shown, and sent again after a fix. `python -m dataflows.dead_letters`."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import redis

from dataflows.connectors import open_stream
from dataflows.connectors.letters import DeadLetter, DeadLetters, open_letters
from dataflows.connectors.redis_streams import connect
from dataflows.events import Event, parse, partition_of
from dataflows.settings import FlowSettings, SettingError, flow_settings


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
    address, letters = open_letters(settings.dead_letters_url, settings.dead_letters_keep)
    client = connect(address)
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
    seconds, micros = client.time()
    return int(seconds) * 1_000_000 + int(micros)


if __name__ == "__main__":
    sys.exit(main())
