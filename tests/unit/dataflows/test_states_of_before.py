"""States that the first release stored, read by this one: recorded bytes, beside the events they were folded from."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from dataflows.aggregates.people import BARE, Fact, User
from dataflows.events import Event, Refused, parse
from tests.given import an_event

RECORDED: Final[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "payloads" / "states_v1.json").read_text())
NOW: Final[int] = RECORDED["now"]
FACTS: Final = {item_id: Fact(*fact) for item_id, fact in RECORDED["facts"].items()}


def events_of(lines: list[str]) -> list[Event]:
    found = [parse(line.encode(), NOW) for line in lines]
    assert not [each for each in found if isinstance(each, Refused)]
    return [each for each in found if isinstance(each, Event)]


def folded(events: list[Event]) -> User:
    user = User()
    for event in events:
        user.apply(event, FACTS, NOW)
    return user


@pytest.mark.parametrize("recorded", RECORDED["users"], ids=lambda each: str(each["name"]))
def test_a_recorded_state_is_read_and_goes_on(recorded: dict[str, Any]) -> None:
    packed, events = b64decode(recorded["state"]), events_of(recorded["events"])
    assert msgspec.msgpack.decode(packed, strict=False)[0] == BARE
    user = User.unpack(packed)
    assert user.row(NOW) == folded(events).row(NOW)
    again = User.unpack(user.pack())
    assert again.row(NOW) == user.row(NOW)
    for event in events:
        assert again.apply(event, FACTS, NOW) in ("duplicate", "late")
    later = an_event(event_id="later", occurred_at=NOW, item_id="p1")
    assert again.apply(later, FACTS, NOW) == "applied"
    assert again.row(NOW) == folded([*events, later]).row(NOW)
