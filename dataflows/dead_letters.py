"""Dead letters from the terminal: listed, shown, and sent again after a fix. `python -m dataflows.dead_letters`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import redis

from dataflows.connectors import StreamError, open_stream
from dataflows.connectors.letters import DeadLetter, DeadLetters, open_letters
from dataflows.connectors.redis_streams import connect
from dataflows.letter_choice import WHERE, ChoiceError, parse_where
from dataflows.letter_patch import PatchError, load_patch
from dataflows.letter_replay import Judge, Judged, send
from dataflows.settings import FlowSettings, SettingError, flow_settings

REASONS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m dataflows.dead_letters list|show|replay`."""
    chosen = _arguments(arguments)
    try:
        settings = flow_settings(os.environ)
        patch = load_patch(chosen.patch) if getattr(chosen, "patch", None) else None
        address, letters = open_letters(
            settings.dead_letters_url,
            settings.dead_letters_keep,
            settings.dead_letters_age,
            settings.dead_letters_bytes,
        )
        client = connect(address)
        if chosen.verb == "show":
            return _show(letters.find(client, chosen.letter_id), chosen.json)
        now = _micros(client)
        choice = parse_where(chosen.where, now)
        selected = filter(choice, letters.letters(client))
        if chosen.verb == "list":
            return _list(selected, chosen.limit, chosen.json)
        judged = map(Judge(now, round(settings.max_skew * 1_000_000), patch), selected)
        return _replay(settings, client, letters, judged, now, chosen.dry_run)
    except (SettingError, ChoiceError, PatchError) as error:
        return _say(str(error), 2)
    except (StreamError, redis.RedisError, OSError) as error:
        return _say(f"{error}; what was not sent is in the dead letters still", 1)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dataflows.dead_letters", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="a letter a line, the latest last, and counts by reason")
    listing.add_argument("--limit", type=int, default=100, help="letters shown; the counts are of all (default: 100)")
    showing = verbs.add_parser("show", help="one letter with its history and its original bytes")
    showing.add_argument("letter_id")
    replaying = verbs.add_parser("replay", help="send letters again; those accepted leave the dead letters")
    replaying.add_argument("--patch", help="what to mend first: a JSON Patch, or a .json or .yaml file of one")
    replaying.add_argument("--dry-run", action="store_true", help="say what would become of each, and change nothing")
    for each in (listing, replaying):
        each.add_argument("--where", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=WHERE)
    for each in (listing, showing):
        each.add_argument("--json", action="store_true", help="JSON, a letter a line")
    return parser.parse_args(arguments)


def _list(letters: Iterable[DeadLetter], limit: int, as_json: bool) -> int:
    kinds: Counter[str] = Counter()
    reasons: Counter[tuple[str, str, str]] = Counter()
    latest: deque[DeadLetter] = deque(maxlen=max(0, limit))
    for letter in letters:
        kinds[letter.kind] += 1
        reasons[letter.kind, letter.field, re.sub(r"\d[\d.,]*", "…", letter.reason)] += 1
        latest.append(letter)
    if as_json:
        for letter in latest:
            _print(_as_json(letter))
        return 0
    if latest:
        _print(f"{'letter':<17} {'refused at':<24} {'kind':<10} {'stage':<9} {'field':<13} tries  reason")
    for each in latest:
        _print(
            f"{each.letter_id:<17} {each.refused_at:<24} {each.kind:<10} {each.stage:<9} {each.field:<13} "
            f"{len(each.attempts):>5}  {each.reason}"
        )
    if reasons:
        _print(f"\n{'letters':>9}  {'kind':<10} {'field':<13} reason")
    for (kind, field, reason), number in reasons.most_common(REASONS):
        _print(f"{number:>9,}  {kind:<10} {field:<13} {reason}")
    if left := len(reasons) - REASONS if len(reasons) > REASONS else 0:
        _print(f"{left:>9,}  more reasons; choose with --where")
    _print(" · ".join((f"{kinds.total():,} dead letters", *(f"{kind} {kinds[kind]:,}" for kind in sorted(kinds)))))
    return 0


def _show(letter: DeadLetter | None, as_json: bool) -> int:
    if letter is None:
        return _say("no such dead letter; `list` shows their ids", 1)
    if as_json:
        _print(_as_json(letter))
        return 0
    for name in letter.__struct_fields__:
        if name not in ("original", "attempts"):
            _print(f"{name:<11}{getattr(letter, name)}")
    for attempt in letter.attempts:
        _print(f"tried      {attempt.at}  {attempt.kind:<10} {attempt.reason}")
    _print(letter.original.decode("utf-8", "backslashreplace"))
    return 0


def _replay(
    settings: FlowSettings,
    client: redis.Redis,
    letters: DeadLetters,
    judged: Iterator[Judged],
    now: int,
    dry_run: bool,
) -> int:
    counts: Counter[str] = Counter()

    def count(each: Judged) -> None:
        counts["left alone" if each.left else "sent again" if each.leaves else "refused again, and kept"] += 1
        if dry_run:
            _print(f"{each.letter.letter_id:<17} {_outlook(each)}")

    if dry_run:
        for each in judged:
            count(each)
        _print("nothing was changed; this is what would be:")
    else:
        send(client, letters, open_stream(settings.stream_url), judged, now, count)
    names = ("sent again", "refused again, and kept", "left alone")
    _print(", ".join(f"{counts[name]:,} {name}" for name in names if counts[name]) or "no dead letters")
    return 0


def _outlook(each: Judged) -> str:
    if each.left:
        return f"left alone: {each.left}"
    if not each.refused:
        return "sent again" if len(each.events) == 1 else f"sent again as {len(each.events):,} events"
    why = each.refused[0].reason
    if each.leaves:
        return f"{len(each.events):,} events sent again, {len(each.refused):,} refused, the first because: {why}"
    return f"refused again: {why}"


def _as_json(letter: DeadLetter) -> str:
    """A letter as JSON; an original that is no text goes as `original_base64`."""
    content: dict[str, Any] = msgspec.to_builtins(letter)
    try:
        content["original"] = letter.original.decode()
    except UnicodeDecodeError:
        content["original_base64"] = content.pop("original")
    return msgspec.json.encode(content).decode()


def _micros(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000_000 + int(micros)


def _print(text: str) -> None:
    print(text)  # noqa: T201  # a command speaks on its terminal


def _say(text: str, code: int) -> int:
    print(f"dead_letters: {text}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
