"""What the service itself did, `block_served`, is applied, and leaves no trace in any feature, state or set."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from dataflows.enrich import items_of
from dataflows.events import DAY, Event
from dataflows.stages import Validated
from tests.given import NOW, an_event, raw, seeds
from tests.unit.dataflows.doubles import Clock, Committed, Items, People, in_batches
from tests.unit.dataflows.streams import PARTITIONS, STORIES, batched, comparable, take_items, take_people, with_repeats


def served(number: int, **fields: Any) -> bytes:
    """A block that was served to one of the users of the stories, or to a stranger."""
    about = {"event_id": f"s{number}", "type": "block_served", "user_id": f"u{number}", "country": "FR"}
    return raw(**{**about, "items": [{"item_id": "p1", "price": 3.0}, {"item_id": "p2"}], **fields})


@pytest.mark.parametrize(("process", "take"), [(People, take_people), (Items, take_items)])
@given(story=STORIES, seed=seeds())
@settings(max_examples=20)
def test_among_other_events_it_changes_nothing(
    process: Callable[..., Any], take: Callable[..., None], story: list[Event], seed: int
) -> None:
    chance = random.Random(seed)
    stream = with_repeats(story, chance)
    blocks = [served(number, occurred_at=NOW - chance.randrange(100) * DAY) for number in range(chance.randrange(6))]
    mixed = [*stream, *blocks]
    chance.shuffle(mixed)
    without, among = Committed(), Committed()
    order = sorted(stream, key=mixed.index)
    take(process(without, Clock(), PARTITIONS), batched(order, random.Random(seed)), random.Random(seed))
    take(process(among, Clock(), PARTITIONS), batched(mixed, random.Random(seed)), random.Random(seed))
    expected, found = comparable(without), comparable(among)
    (outcomes, *_), (counted, received, letters, _) = expected.pop("counts"), found.pop("counts")
    assert found == expected
    assert Counter(counted) - Counter(outcomes) == Counter(applied=len(blocks))
    assert (received, len(letters)) == (len(mixed), len(without.letters))


@pytest.mark.parametrize("process", [People, Items])
def test_alone_it_makes_nobody(process: Callable[..., Any]) -> None:
    committed = Committed()
    process(committed, Clock()).take(in_batches(0, [served(1), served(1), served(2, occurred_at=NOW - 300 * DAY)], []))
    assert committed.outcomes == Counter(applied=3)
    assert (committed.rows, committed.states, committed.lists, committed.texts) == ({}, {}, {}, {})
    assert not any(committed.sets.values())


def test_nothing_is_looked_up_for_it() -> None:
    events = [(0, an_event(type="block_served", item_id="p1")), (1, an_event(item_id="p2"))]
    assert items_of(Validated(0, 1, events, [])) == {"p2"}
