"""Which dead letters are meant: `--where kind=schema,time field=price since=2h`. All conditions hold at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from dataflows.connectors.letters import DeadLetter
from dataflows.events import DAY, HOUR, MINUTE, REFUSAL_KINDS, SECOND, to_micros, to_rfc3339

Choice: TypeAlias = Callable[[DeadLetter], bool]

WHERE: Final = (
    "NAME=VALUE, and VALUE may be several, separated by commas. Names: kind, stage, flow, field, id, type and key (of "
    "the event), reason (a part of it), since and until (RFC 3339, or 90s 30m 2h 7d ago)"
)
NOTHING: Final[Mapping[str, str]] = {}
_AGO: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_AS_IS: Final = {"kind": "kind", "stage": "stage", "flow": "flow", "field": "field", "id": "letter_id"}
_KEYS: Final = ("user_id", "anonymous_id", "item_id")


class ChoiceError(ValueError):
    """A condition that cannot be used; the message says what to write."""


def parse_where(
    conditions: Iterable[str],
    now: int,
    *,
    kinds: Sequence[str] = REFUSAL_KINDS,
    as_is: Mapping[str, str] = NOTHING,
    help_text: str = WHERE,
) -> Choice:
    """The letters for which all `conditions` hold, at `now` (microseconds).

    Args:
        conditions: as they are typed.
        now: microseconds since 1970.
        kinds: that there are.
        as_is: further names, each with the attribute that must be one of its values.
        help_text: what may be written.

    Raises:
        ChoiceError: a condition cannot be read, or names a kind that does not exist.
    """
    choices = [_condition(each, now, kinds, {**_AS_IS, **as_is}, help_text) for each in conditions]
    return lambda letter: all(choice(letter) for choice in choices)


def event_of(letter: DeadLetter) -> dict[str, Any]:
    """The JSON object that was refused, as far as it is one; else none of its fields."""
    try:
        content = msgspec.json.decode(letter.original)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _condition(text: str, now: int, kinds: Sequence[str], as_is: Mapping[str, str], help_text: str) -> Choice:
    name, equals, value = text.partition("=")
    wanted = frozenset(value.split(","))
    if not equals:
        raise ChoiceError(f"--where {text}: write {help_text}")
    if name == "kind" and (unknown := wanted - frozenset(kinds)):
        raise ChoiceError(f"--where {text}: {min(unknown)!r} is no kind; there are {', '.join(kinds)}")
    if name in as_is:
        attribute = as_is[name]
        return lambda letter: getattr(letter, attribute) in wanted
    if name == "type":
        return lambda letter: str(event_of(letter).get("type", "")) in wanted
    if name == "key":
        return lambda letter: _key(event_of(letter)) in wanted
    if name == "reason":
        return lambda letter: value in letter.reason
    if name in ("since", "until"):
        moment = to_rfc3339(_moment(text, value, now))  # one format, one zone: in the order of time
        return lambda letter: letter.refused_at >= moment if name == "since" else letter.refused_at <= moment
    raise ChoiceError(f"--where {text}: {name!r} cannot be asked for; write {help_text}")


def _key(event: dict[str, Any]) -> str:
    return next((str(event[name]) for name in _KEYS if event.get(name)), "")


def _moment(text: str, value: str, now: int) -> int:
    if ago := _AGO.fullmatch(value):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        return to_micros(msgspec.convert(value, datetime), "time")
    except ValueError as error:
        raise ChoiceError(f"--where {text}: {error}; write 2026-05-17T09:30:00Z, or 2h for two hours ago") from None
