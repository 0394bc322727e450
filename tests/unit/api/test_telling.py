"""What the service tells: nobody waits for it, it is tried again, and what is lost is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from api import telling
from api.answer import Answer, Block, Item
from api.mail_events import served
from api.telling import AT_ONCE, Telling
from dataflows.connectors import StreamDown
from dataflows.events import MAX_EVENT_BYTES, Event, partition_of
from tests.given import NOW, an_event
from tests.unit.api.shop import counted


class Stream:
    """A stream that takes events, or does not, or not now."""

    partitions = 4

    def __init__(self) -> None:
        self.taken: list[tuple[int, bytes]] = []
        self.calls: list[int] = []
        self.failing = 0
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, records: Sequence[tuple[int, bytes]]) -> None:
        self.calls.append(len(records))
        await self.open.wait()
        if self.failing:
            self.failing -= 1
            raise StreamDown("not now")
        self.taken += records

    async def close(self) -> None: ...

    @property
    def ids(self) -> list[str]:
        return [msgspec.json.decode(raw)["event_id"] for _, raw in self.taken]


def block(number: int) -> Event:
    return an_event(event_id=f"b{number}", type="block_served", user_id=f"u{number}")


def lost() -> float:
    return counted("inlay_told_events_total", type="block_served", outcome="lost")


async def empty(told: Telling) -> None:
    while told.queued:
        await asyncio.sleep(0)


def test_events_go_to_the_partition_of_their_user_many_a_round_trip() -> None:
    async def story() -> None:
        stream = Stream()
        told = Telling(stream)
        told.tell([block(number) for number in range(AT_ONCE + 10)])
        await empty(told)
        assert stream.calls == [AT_ONCE, 10]
        assert stream.ids == [f"b{number}" for number in range(AT_ONCE + 10)]
        assert all(partition == partition_of(f"u{n}", 4) for n, (partition, _) in enumerate(stream.taken))

    asyncio.run(story())


def test_what_is_written_already_goes_the_same_way() -> None:
    async def story() -> None:
        stream = Stream()
        told, before = Telling(stream, most=4), lost()
        written = [msgspec.json.encode(block(7)), b"x" * (MAX_EVENT_BYTES + 1)]
        told.tell_written("u7", "block_served", written)
        assert (told.queued, lost()) == (1, before + 1)
        told.tell_written("u7", "block_served", written[:1] * 4)
        assert (told.queued, lost()) == (4, before + 2)
        await empty(told)
        assert stream.taken == [(partition_of("u7", 4), written[0])] * 4

    asyncio.run(story())


def test_nobody_waits_for_a_stream_that_hangs_and_what_has_no_room_is_counted() -> None:
    async def story() -> None:
        stream = Stream()
        stream.open.clear()
        told, before = Telling(stream, most=3), lost()
        told.tell([block(number) for number in range(5)])
        await asyncio.sleep(0)
        assert (told.queued, lost() - before) == (3, 2)
        stream.open.set()
        await empty(told)
        assert stream.ids == ["b0", "b1", "b2"]

    asyncio.run(story())


def test_it_is_tried_again_until_the_stream_takes_it_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "FIRST_PAUSE", 0.0)

    async def story() -> None:
        stream = Stream()
        stream.failing = 3
        told = Telling(stream)
        told.tell([block(0)])
        await asyncio.sleep(0)
        told.tell([block(1)])
        await empty(told)
        assert stream.ids == ["b0", "b1"]
        told.tell([block(2)])
        await empty(told)
        assert stream.ids == ["b0", "b1", "b2"]

    asyncio.run(story())


@pytest.mark.parametrize("user_id", ["x" * 201, "\x00", "a\u202eb"])
def test_an_id_that_no_stream_takes_costs_its_event_alone(user_id: str) -> None:
    async def story() -> None:
        stream, before = Stream(), lost()
        told = Telling(stream)
        told.tell([msgspec.structs.replace(block(0), user_id=user_id), block(1)])
        await empty(told)
        assert (stream.ids, lost() - before) == (["b1"], 1)

    asyncio.run(story())


def test_a_process_that_ends_waits_a_moment_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "LAST_SECONDS", 0.01)

    async def story() -> None:
        stream, before = Stream(), lost()
        stream.open.clear()
        told = Telling(stream)
        told.tell([block(0), block(1)])
        await told.close()
        assert (stream.ids, told.queued, lost() - before) == ([], 0, 2)
        await told.close()

    asyncio.run(story())


def test_a_process_that_ends_gets_rid_of_what_is_on_its_way() -> None:
    async def story() -> None:
        stream, before = Stream(), lost()
        told = Telling(stream)
        told.tell([block(0), block(1)])
        await told.close()
        assert (stream.ids, told.queued, lost() - before) == (["b0", "b1"], 0, 0)

    asyncio.run(story())


def test_who_tells_much_waits_for_room_unless_the_stream_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        stream = Stream()
        stream.open.clear()
        told = Telling(stream, most=4)
        told.tell([block(number) for number in range(4)])
        waiting = asyncio.create_task(told.room())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        stream.open.set()
        await asyncio.wait_for(waiting, 10)
        stream.failing = 1000
        told.tell([block(number) for number in range(4)])
        await asyncio.wait_for(told.room(), 10)
        await asyncio.wait_for(told.close(), 10)

    monkeypatch.setattr(telling, "LAST_SECONDS", 0.01)
    asyncio.run(story())


def item(item_id: str, price: float | None = 9.5) -> Item:
    return Item(item_id, "Lamp", "https://shop.example/1", None, price, None, "EUR", 1, None)


ANSWER = Answer(
    "weekly", "u1", "s1", "2026-05-17T09:30:00.000Z", "2026-05-17T09:29:58.500Z",
    (
        Block("recommended", "For you", "personal", (item("p1"), item("p2", -1.0))),
        Block("price_drop", "", "static", ()),
        Block("recommended", "More", "popular", (item("p3"),)),
    ),
)  # fmt: skip


def test_every_block_that_shows_something_is_told() -> None:
    first, second = served(ANSWER, "v1")
    assert first.event_id.startswith("served-")
    assert (first.type, first.at, first.user_id, first.send_id) == ("block_served", NOW, "u1", "s1")
    assert (first.layout, first.block, first.slot) == ("weekly", "recommended", 1)
    assert [(line.item_id, line.quantity, line.price) for line in first.items] == [
        ("p1", None, 9.5),
        ("p2", None, None),
    ]
    assert first.properties == {
        "source": "personal", "positions": [1, 1], "features_as_of": "2026-05-17T09:29:58.500Z", "features_age": 1.5,
        "variant": "v1",
    }  # fmt: skip
    assert (second.slot, second.properties["source"]) == (3, "popular")


def test_the_same_decision_has_the_same_ids_and_another_one_has_others() -> None:
    def ids(once: str = "", **fields: Any) -> set[str]:
        return {event.event_id for event in served(msgspec.structs.replace(ANSWER, **fields), "v1", once)}

    assert ids() == ids(generated_at="2026-05-17T09:31:00.000Z")
    several = [
        ids(), ids(user_id="u2"), ids(send_id="s2"), ids(layout="welcome"), ids("a"), ids("b"),
        ids(blocks=ANSWER.blocks[::-1]),
    ]  # fmt: skip
    assert len(set().union(*several)) == 2 * len(several)
