"""Where a flow reads on from, and how it learns that it cannot."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.connectors import Bounds
from dataflows.numbering import Numbered
from dataflows.owning import readers
from dataflows.receive import OffsetGone, Receive, committed_offsets, starting_offsets
from dataflows.settings import flow_settings
from dataflows.stopping import StopSignal


class Held:
    """A stream in which an offset is a second."""

    name = "events"

    def __init__(self, **bounds: tuple[int, int]) -> None:
        self._bounds = {int(partition[1:]): Bounds(*each) for partition, each in bounds.items()}

    def bounds(self, partition: int) -> Bounds:
        return self._bounds[partition]

    def rewound(self, partition: int, offset: int, seconds: float) -> int:
        return max(-1, offset - round(seconds))


def starts(stream: Any, committed: dict[int, int], rewind: float = 60) -> dict[int, int]:
    return starting_offsets(stream, "people", committed, rewind)


@pytest.mark.parametrize(
    ("bounds", "committed", "start"),
    [
        ((-1, -1), -1, -1),  # nothing was ever there
        ((-1, 500), -1, -1),  # a flow that never ran begins at the first event
        ((200, 500), -1, 200),  # or at the first that is left
        ((-1, 500), 500, 440),  # it reads a minute again
        ((-1, 500), 300, 240),
        ((-1, 500), 30, -1),  # from the first, if there is no minute
        ((280, 500), 300, 280),  # or from the first that is left
        ((300, 500), 300, 300),  # all up to its place was removed, and nothing behind it
        ((-1, 0), 0, -1),
    ],
)
def test_a_flow_reads_on_some_seconds_before_its_place(bounds: tuple[int, int], committed: int, start: int) -> None:
    assert starts(Held(p0=bounds), {0: committed}) == {0: start}


def test_each_partition_has_its_place() -> None:
    stream = Held(p0=(-1, 500), p1=(100, 900), p5=(-1, -1))
    assert starts(stream, {0: 400, 1: 120, 5: -1}) == {0: 340, 1: 100, 5: -1}


def test_events_behind_the_place_that_were_removed_are_an_error_that_says_what_to_do() -> None:
    said = (
        r"people committed offset 300 of partition 2 of 'events', but events behind it were removed\. "
        r"To go on all the same: python -m dataflows\.offsets reset people --to first \(or --to last\)"
    )
    with pytest.raises(OffsetGone, match=said):
        starts(Held(p2=(301, 500)), {2: 300})


def test_a_stream_that_is_shorter_than_what_was_committed_is_an_error() -> None:
    with pytest.raises(OffsetGone, match=r"offset 300 of partition 0 of 'events', but the stream ends at 299\."):
        starts(Held(p0=(-1, 299)), {0: 300})


@given(removed=st.integers(-1, 50), kept=st.integers(0, 50), committed=st.integers(-1, 100), rewind=st.integers(0, 60))
def test_no_event_is_passed_over(removed: int, kept: int, committed: int, rewind: int) -> None:
    last = removed + kept
    try:
        start = starts(Held(p0=(removed, last)), {0: committed}, rewind)[0]
    except OffsetGone:
        assert committed >= 0
        assert removed > committed or last < committed
        return
    assert removed <= start <= max(committed, removed)
    assert committed < 0 or start == removed or start == max(-1, committed - rewind)


def test_where_a_flow_never_was_its_place_is_before_the_first() -> None:
    class Redis:
        def hgetall(self, key: str) -> dict[bytes, bytes]:
            assert key == "inlay:offsets:people"
            return {b"0": b"17", b"3": b"5"}

    assert committed_offsets(Redis(), "people", (0, 1)) == {0: 17, 1: -1}


def test_nobody_tells_a_flow_to_stop_at_first() -> None:
    stop = StopSignal()
    assert not stop.told()
    stop._tell(15, None)
    assert stop.told()


class Trimmed(Held):
    """A stream that notes what is given up of it."""

    identity, partitions = "redis events", 1

    def __init__(self) -> None:
        super().__init__(p0=(-1, 500))
        self.removed: list[int] = []

    def remove(self, partition: int, up_to: int) -> None:
        self.removed.append(up_to)


class Places:
    """What Redis knows of where the flows are."""

    def __init__(self, **places: int) -> None:
        self._places = places

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        place = self._places.get(key.removeprefix("inlay:offsets:"))
        return {} if place is None else {b"stream": b"redis events", b"0": b"%d" % place}


@pytest.mark.parametrize(
    ("lake_url", "places", "removed"),
    [
        ("", {"people": 400, "items": 300}, [200]),
        ("/lake", {"people": 400, "items": 300, "lake": 250}, [150]),
        ("/lake", {"people": 400, "items": 300}, []),  # it never ran, and all is held for it
        ("", {"people": 400, "items": 300, "lake": 250}, [200]),  # there was a lake once
    ],
)
def test_the_stream_is_kept_for_every_flow_and_for_the_lake_where_there_is_one(
    lake_url: str, places: dict[str, int], removed: list[int]
) -> None:
    stream, client, anything = Trimmed(), Places(**places), cast("Any", None)
    receive = Receive(
        Numbered(cast("Any", stream), {0: 0}), cast("Any", client), "people", anything, {0: -1}, anything,
        rewind=60, batch_events=1, batch_wait=0, keep=100,
        readers=readers(flow_settings({"INLAY_LAKE_URL": lake_url})),
    )  # fmt: skip
    receive.trim()
    assert stream.removed == removed
