"""Rows in quarantine from the terminal: listed, shown, released or dropped. `python -m dataflows.quarantine`."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import redis

from dataflows.connectors import StreamError
from dataflows.connectors.letters import DeadLetter
from dataflows.connectors.quarantine import ASIDE_KINDS, Quarantine
from dataflows.connectors.redis_streams import connect
from dataflows.derived import open_derived
from dataflows.letter_choice import ChoiceError, parse_where
from dataflows.release import Outcome, Released, release, row_of
from dataflows.settings import SettingError, flow_settings

WHERE: Final = (
    "NAME=VALUE, and VALUE may be several, separated by commas. Names: kind (row: it broke a rule; batch: it was held "
    "with its table), entity, key, flow, id, reason (a part of it), since and until (RFC 3339, or 90s 30m 2h 7d ago)"
)
REASONS: Final = 20
CHUNK: Final = 500


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m dataflows.quarantine list|show|release|drop`."""
    chosen = _arguments(arguments)
    try:
        settings = flow_settings(os.environ)
        client = connect(settings.redis_url)
        quarantine = Quarantine(settings.quarantine_keep, settings.quarantine_age, settings.quarantine_bytes)
        if chosen.verb == "show":
            return _show(quarantine.find(client, chosen.row_id), chosen.json)
        seconds, micros = client.time()
        now = int(seconds) * 1_000_000 + int(micros)
        choice = parse_where(
            chosen.where, now, kinds=ASIDE_KINDS, help_text=WHERE, as_is={"entity": "field", "key": "place"}
        )
        selected = filter(choice, quarantine.rows(client))
        if chosen.verb == "list":
            return _list(selected, chosen.limit, chosen.json)
        if chosen.verb == "release":
            derived = open_derived(settings)
            done = (release(client, quarantine, each, derived, now, dry_run=chosen.dry_run) for each in selected)
            return _say_released(done, chosen.dry_run)
        return _drop(client, quarantine, selected, chosen.dry_run)
    except (SettingError, ChoiceError, StreamError) as error:
        return _say(str(error), 2)
    except (redis.RedisError, OSError) as error:
        return _say(f"{error}; what was not dealt with is in quarantine still", 1)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dataflows.quarantine", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="a row a line, the latest last, and counts by reason")
    listing.add_argument("--limit", type=int, default=100, help="rows shown; the counts are of all (default: 100)")
    showing = verbs.add_parser("show", help="one row with its features")
    showing.add_argument("row_id")
    releasing = verbs.add_parser("release", help="write rows that are right all the same; a newer one stays")
    dropping = verbs.add_parser("drop", help="give rows up; the next event of the same key writes one anew")
    for each in (releasing, dropping):
        each.add_argument("--dry-run", action="store_true", help="say what would become of them, and change nothing")
    for each, must in ((listing, False), (releasing, True), (dropping, True)):
        each.add_argument(
            "--where", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=WHERE, required=must
        )
    for each in (listing, showing):
        each.add_argument("--json", action="store_true", help="JSON, a row a line")
    return parser.parse_args(arguments)


def _list(letters: Iterable[DeadLetter], limit: int, as_json: bool) -> int:
    reasons: Counter[tuple[str, str, str]] = Counter()
    latest: deque[DeadLetter] = deque(maxlen=max(0, limit))
    for letter in letters:
        reasons[letter.kind, letter.field, letter.reason] += 1
        latest.append(letter)
    if as_json:
        for letter in latest:
            _print(_as_json(letter))
        return 0
    if latest:
        _print(f"{'row':<17} {'set aside at':<24} {'kind':<6} {'entity':<7} {'key':<24} reason")
    for each in latest:
        _print(
            f"{each.letter_id:<17} {each.refused_at:<24} {each.kind:<6} {each.field:<7} {each.place:<24} {each.reason}"
        )
    if reasons:
        _print(f"\n{'rows':>9}  {'kind':<6} {'entity':<7} reason")
    for (kind, entity, reason), number in reasons.most_common(REASONS):
        _print(f"{number:>9,}  {kind:<6} {entity:<7} {reason}")
    if len(reasons) > REASONS:
        _print(f"{len(reasons) - REASONS:>9,}  more reasons; choose with --where")
    _print(f"{reasons.total():,} rows in quarantine")
    return 0


def _show(letter: DeadLetter | None, as_json: bool) -> int:
    if letter is None:
        return _say("no such row in quarantine; `list` shows their ids", 1)
    if as_json:
        _print(_as_json(letter))
        return 0
    row = row_of(letter)
    about = (("row", letter.letter_id), ("set aside", letter.refused_at), ("kind", letter.kind), ("flow", letter.flow))
    for name, value in (*about, ("entity", row.entity), ("key", row.key), ("reason", letter.reason)):
        _print(f"{name:<11}{value}")
    for name, value in row.values.items():
        _print(f"  {name:<24} {msgspec.json.encode(value).decode()}")
    for each in row.follows:
        _print(f"told with it: {bytes(each).decode()}")
    return 0


def _say_released(done: Iterable[Released], dry_run: bool) -> int:
    counts: Counter[Outcome] = Counter()
    told = 0
    for each in done:
        counts[each.outcome] += 1
        told += each.told
    names: tuple[Outcome, ...] = ("released", "newer row there", "forgotten since")
    parts = [f"{counts[name]:,} {name}" for name in names if counts[name]]
    return _tell([*parts, *([f"{told:,} derived events told"] if told else [])], dry_run)


def _drop(client: redis.Redis, quarantine: Quarantine, letters: Iterable[DeadLetter], dry_run: bool) -> int:
    dropped, rest = 0, iter(letters)
    while ids := [letter.letter_id for letter in islice(rest, CHUNK)]:
        answer: Any = len(ids) if dry_run else client.execute_command(*quarantine.drop_command(ids))
        dropped += int(answer)
    return _tell([f"{dropped:,} dropped"] if dropped else [], dry_run)


def _tell(parts: list[str], dry_run: bool) -> int:
    if dry_run:
        _print("nothing was changed; this is what would be:")
    _print(", ".join(parts) or "no rows in quarantine")
    return 0


def _as_json(letter: DeadLetter) -> str:
    row = row_of(letter)
    return msgspec.json.encode(
        {
            "id": letter.letter_id, "set_aside_at": letter.refused_at, "kind": letter.kind, "flow": letter.flow,
            "reason": letter.reason, **msgspec.structs.asdict(row),
        }
    ).decode()  # fmt: skip


def _print(text: str) -> None:
    print(text)  # noqa: T201  # a command speaks on its terminal


def _say(text: str, code: int) -> int:
    print(f"quarantine: {text}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
