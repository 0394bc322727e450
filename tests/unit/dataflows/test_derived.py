"""Derived events as records: what is written, where, under which id, and what is refused when it is set wrongly."""

from __future__ import annotations

import json
from typing import Any, Final, get_args

import msgspec
import pytest
from hypothesis import strategies as st

from dataflows.aggregates.sessions import Derived, DerivedType
from dataflows.connectors import StreamError
from dataflows.derived import KEEP, DerivedStream, open_derived, read_event, silence, to_event
from dataflows.events import partition_of
from dataflows.settings import flow_settings
from tests.given import NOW
from tests.unit.dataflows.proofs import fails, for_all, holds

BROWSE: Final = Derived("browse_abandoned", NOW, {"started_at": NOW - 5, "ended_at": NOW, "items": ["p1", "Ä"]})
TYPES: Final[tuple[DerivedType, ...]] = get_args(DerivedType)
FOLLOWING: Final = st.tuples(st.sampled_from(TYPES), st.sampled_from((1, 11)), st.sampled_from(("1", "11", "ü")))


def test_a_record_is_one_json_object_in_the_partition_of_its_user() -> None:
    stream = DerivedStream("derived", 4, 50)
    ((*command, value),) = stream.commands("u1", [BROWSE])
    assert command == ["XADD", f"derived:{partition_of('u1', 4)}", "MAXLEN", "~", 50, "*", b"event"]
    assert json.loads(value) == {
        "event_id": "browse_abandoned:a0c626c0f94f7cf9ed3b6a124f9425ab",
        "type": "browse_abandoned",
        "occurred_at": NOW,
        "user_id": "u1",
        "properties": {"started_at": NOW - 5, "ended_at": NOW, "items": ["p1", "Ä"]},
    }
    assert read_event(value) == to_event("u1", BROWSE)


def test_the_order_is_kept() -> None:
    commands = DerivedStream("derived", 4).commands("u1", [BROWSE, BROWSE._replace(type="session_ended")])
    assert [read_event(command[-1]).type for command in commands] == ["browse_abandoned", "session_ended"]


def test_who_is_silent_writes_nothing() -> None:
    assert silence("u1", [BROWSE]) == []


@for_all(one=FOLLOWING, other=FOLLOWING)
def names_each_thing_once(name: Any, one: Any, other: Any) -> None:
    ids = [name(user_id, Derived(kind, at, {})).event_id for kind, at, user_id in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    assert len(name("x" * 200, Derived(one[0], 10**16, {})).event_id) <= 200


def nameless(user_id: str, derived: Derived) -> Any:
    return to_event("", derived)


def run_together(user_id: str, derived: Derived) -> Any:
    return msgspec.structs.replace(
        to_event(user_id, derived), event_id=f"{derived.type}{derived.occurred_at}{user_id}"[:200]
    )


def test_the_same_thing_has_the_same_id_and_another_has_another() -> None:
    holds(names_each_thing_once, to_event)


@pytest.mark.parametrize("mutant", [nameless, run_together])
def test_ids_that_meet_are_caught(mutant: Any) -> None:
    assert fails(names_each_thing_once, mutant)


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"event_id": "e1", "type": "view"}'])
def test_what_is_no_derived_event_is_an_error(value: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_event(value)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://other:6379/0?stream=derived", "must be in the Redis of INLAY_REDIS_URL"),
        ("redis://127.0.0.1:6379/1?stream=derived", "must be in the Redis of INLAY_REDIS_URL"),
        ("redis://127.0.0.1:6379/0", "must name a stream of its own"),
        ("redis://127.0.0.1:6379/0?stream=events&partitions=8", "must name a stream of its own"),
        ("redis://127.0.0.1:6379/0?stream=derived&keep=0", "keep='0' in INLAY_DERIVED_URL is no number above 0"),
        ("redis://127.0.0.1:6379/0?stream=derived&keep=-5", "keep='-5'"),
        ("redis://127.0.0.1:6379/0?stream=derived&keep=many", "keep='many'"),
        ("redis://127.0.0.1:6379/0?stream=derived&partitions=0", "partitions='0'"),
    ],
)
def test_a_stream_that_cannot_be_used_is_refused_before_anything_is_written(url: str, words: str) -> None:
    with pytest.raises(StreamError) as caught:
        open_derived(flow_settings({"INLAY_DERIVED_URL": url}))
    assert words in str(caught.value)


def test_as_many_are_kept_as_nobody_says_otherwise() -> None:
    assert DerivedStream("derived", 8).commands("u1", [BROWSE])[0][4] == KEEP
