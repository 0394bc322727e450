"""Streams for the flows: stories of several users as records in partitions, cut and mixed by chance."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dataflows.aggregates.items import Item
from dataflows.events import Event, parse, partition_of
from dataflows.stages import Received
from tests.given import NOW, histories, raw
from tests.unit.dataflows.doubles import Committed, Items, People, in_batches

PARTITIONS: Final = 2
USERS: Final = ("u1", "u2", "u3", "u4")
STORIES: Final = histories(most=30, users=USERS)

encode = msgspec.json.Encoder().encode


def written(event: Event) -> bytes:
    """The bytes of an event."""
    return encode(event)


def spread(stream: Sequence[bytes]) -> dict[int, list[bytes]]:
    """The records by partition; what is no event lies anywhere."""
    partitions: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
    for number, value in enumerate(stream):
        judged = parse(value, NOW)
        key = judged.key if isinstance(judged, Event) else str(number)
        partitions[partition_of(key, PARTITIONS)].append(value)
    return partitions


def batched(stream: Sequence[bytes], chance: random.Random, after: dict[int, int] | None = None) -> list[Received]:
    """The records behind the offsets `after`, in micro-batches of any size, the partitions taking turns."""
    batches = []
    for partition, values in spread(stream).items():
        first = (after or {}).get(partition, -1) + 1
        sizes = [chance.choice((0, 1, 2, 5)) for _ in range(8)]
        batches.append(in_batches(partition, values[first:], sizes, first))
    mixed: list[Received] = []
    while any(batches):
        mixed.append(chance.choice([each for each in batches if each]).pop(0))
    return mixed


def take_people(flow: People, batches: list[Received], chance: random.Random) -> None:
    """Micro-batches come one by one."""
    flow.take(batches)


def take_items(flow: Items, batches: list[Received], chance: random.Random) -> None:
    """Micro-batches of several partitions come together, never two of one."""
    while batches:
        together = [batches.pop(0)]
        while batches and chance.random() < 0.4 and batches[0].partition not in {each.partition for each in together}:
            together.append(batches.pop(0))
        flow.take(together)


def with_repeats(story: list[Event], chance: random.Random) -> list[bytes]:
    """The events out of order, some repeated, among some that are refused."""
    stream = [written(event) for event in story for _ in range(chance.choice((1, 1, 1, 2)))]
    stream += [
        chance.choice((b"", b"{}", b"\xff", raw(user_id=None), raw(price=-1))) for _ in range(chance.randrange(4))
    ]
    chance.shuffle(stream)
    return stream


def comparable(committed: Committed) -> dict[str, Any]:
    """What must not depend on batches and restarts. Weights of neighbours do: see the tests of neighbours."""
    rows = {
        place: {name: value for name, value in row.items() if not name.startswith("neighbour")}
        for place, row in committed.values().items()
    }
    bindings = {
        key: (Item.unpack(state).binding, Item.unpack(state).bindings)
        for (entity, key), state in committed.states.items()
        if entity == "item"
    }
    counts = (committed.outcomes, committed.received, sorted(committed.letters), committed.offsets)
    return {"rows": rows, "bindings": bindings, "due": committed.sets, "counts": counts}
