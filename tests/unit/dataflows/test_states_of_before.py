"""States that earlier releases stored, read by this one: recorded bytes, beside the events they were folded from."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from dataflows.aggregates.effects import Fact
from dataflows.aggregates.merging import whole
from dataflows.aggregates.people import User
from dataflows.aggregates.stored import VERSION
from dataflows.aggregates.stored_before import BARE, COLUMNS, PLAIN
from dataflows.events import Event, Refused, parse
from tests.given import an_event

PAYLOADS: Final = Path(__file__).parents[2] / "payloads"
RECORDED: Final[dict[str, Any]] = json.loads((PAYLOADS / "states_v1.json").read_text())
PLAINLY: Final[dict[str, Any]] = json.loads((PAYLOADS / "states_v2.json").read_text())
"""The states of the same users as the second version packed them, by name."""
IN_COLUMNS: Final[dict[str, Any]] = json.loads((PAYLOADS / "states_v3.json").read_text())
"""The same as the third version packed them."""
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


@pytest.mark.parametrize("version", [BARE, PLAIN, COLUMNS])
@pytest.mark.parametrize("recorded", RECORDED["users"], ids=lambda each: str(each["name"]))
def test_a_recorded_state_is_read_and_goes_on(recorded: dict[str, Any], version: int) -> None:
    by_name = IN_COLUMNS if version == COLUMNS else PLAINLY
    packed = b64decode(recorded["state"] if version == BARE else by_name["users"][recorded["name"]])
    events = events_of(recorded["events"])
    assert version_of(packed) == version
    user = User.unpack(packed)
    assert user.row(NOW) == folded(events).row(NOW)
    assert version_of(user.pack()) == VERSION
    again = User.unpack(user.pack())
    assert again.row(NOW) == user.row(NOW)
    for event in events:
        assert again.apply(event, FACTS, NOW) in ("duplicate", "late")
    later = an_event(event_id="later", occurred_at=NOW, item_id="p1")
    assert again.apply(later, FACTS, NOW) == "applied"
    assert again.row(NOW) == folded([*events, later]).row(NOW)


@pytest.mark.parametrize("by_name", [PLAINLY, IN_COLUMNS], ids=["2", "3"])
@pytest.mark.parametrize("name", ["d1", "u2", "u3"])
def test_what_ids_are_to_one_another_is_read_and_stored_again(name: str, by_name: dict[str, Any]) -> None:
    before = User.unpack(b64decode(by_name["together"][name]))
    again = User.unpack(before.pack())
    assert before.identity is not None
    assert again.identity is not None
    assert again.identity.pack() == before.identity.pack()
    assert whole(again, NOW).row(NOW) == whole(before, NOW).row(NOW)


def version_of(packed: bytes) -> int:
    return int(msgspec.msgpack.decode(packed, strict=False)[0])
