"""An item's row: windows and trend against the oracle, its catalogue, and its state."""

from __future__ import annotations

import json
import random
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from dataflows.aggregate_items import SCOPE_DUE
from dataflows.aggregates.items import COUNTED, MOST_CHANGES, Item, pack_scope, unpack_scope
from dataflows.aggregates.neighbours import ORIGIN
from dataflows.aggregates.popularity import Scope
from dataflows.aggregates.versions import UnknownVersion
from dataflows.events import DAY, HOUR, MINUTE, SECOND, Event
from tests.given import NOW, an_event, histories, lists_of, nows, seeds, told
from tests.unit.dataflows.doubles import DUE, Clock, Committed, Items, in_batches
from tests.unit.dataflows.oracle import Arrival, country, item_stats, moments
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import written

STATS = histories(kinds=tuple(COUNTED), days=20)


def an_item(events: list[Event], now: int, item: type[Item] = Item) -> Item:
    """What happened to item p1; each event once, as the flow hands it over."""
    made = item()
    for event in events:
        count(made, event, now)
    return made


def count(item: Item, event: Event, now: int) -> None:
    if any(line.item_id == "p1" for line in event.lines()):
        item.tiles.count(COUNTED[event.type], event.at, now)


@for_all(events=STATS, now=nows())
def stats_equal_the_oracle(item: type[Item], events: list[Event], now: int) -> None:
    row, _ = an_item(events, now, item).row(now, {})
    expected = item_stats([Arrival(event, now) for event in events], "p1", now)
    trend = expected.pop("trend")
    assert {name: row[name] for name in expected} == expected
    assert row["trend"] == pytest.approx(trend, abs=1e-6)


@for_all(events=STATS, now=nows(), seed=seeds())
def order_and_packing_change_nothing(item: type[Item], events: list[Event], now: int, seed: int) -> None:
    chance = random.Random(seed)
    made = item()
    for event in chance.sample(events, len(events)):
        if chance.random() < 0.2:
            made = item.unpack(made.pack())
        count(made, event, now)
    assert item.unpack(made.pack()).row(now, {}) == an_item(events, now, item).row(now, {})


@for_all(events=STATS, now=nows(), seed=seeds())
def a_row_stays_as_it_is_until_it_is_due(item: type[Item], events: list[Event], now: int, seed: int) -> None:
    packed = an_item(events, now, item).pack()
    row, due = item.unpack(packed).row(now, {})
    chance = random.Random(seed)
    until = now + 30 * DAY if due is None else due
    assert until > now
    for moment in (until - 1, chance.randrange(now, until)):
        assert item.unpack(packed).row(moment, {}) == (row, due)


class OneTileMore(Item):
    def row(self, now: int, theirs: Any) -> Any:
        return super().row(now - HOUR, theirs)


class HalfLifeOfTwoDays(Item):
    def row(self, now: int, theirs: Any) -> Any:
        values, due = super().row(now, theirs)
        return {**values, "trend": values["trend"] ** 0.5}, due


class DueAsTheWindowsAre(Item):
    def row(self, now: int, theirs: Any) -> Any:
        values, _ = super().row(now, theirs)
        return values, self.tiles.totals(now).due


class WithoutTiles(Item):
    def pack(self) -> bytes:
        return Item().pack()


def test_stats_equal_the_oracle() -> None:
    holds(stats_equal_the_oracle, Item)


def test_order_and_packing_change_no_row() -> None:
    holds(order_and_packing_change_nothing, Item)


def test_a_row_stays_as_it_is_until_it_is_due() -> None:
    holds(a_row_stays_as_it_is_until_it_is_due, Item)


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        (stats_equal_the_oracle, OneTileMore),
        (stats_equal_the_oracle, HalfLifeOfTwoDays),
        (order_and_packing_change_nothing, WithoutTiles),
        (a_row_stays_as_it_is_until_it_is_due, DueAsTheWindowsAre),
    ],
)
def test_a_mutant_is_caught(claim: Any, mutant: type[Item]) -> None:
    assert fails(claim, mutant)


def described(*events: Event) -> dict[str, Any]:
    item = Item()
    for event in events:
        item.describe(event, event.at)
    return Item.unpack(item.pack()).row(NOW, {})[0]


def a_description(number: int, **fields: Any) -> Event:
    return an_event(
        event_id=f"d{number}", type="item", user_id=None, item_id="p1", occurred_at=NOW + number * SECOND, **fields
    )


def test_what_a_description_leaves_out_stays_as_it_was() -> None:
    row = described(
        a_description(0, title="Lamp", price=20.0, list_price=25.0, brand="Lux", category="Home/Lamps", currency="EUR"),
        a_description(1, price=18.0, url="https://shop.example/p1"),
    )
    assert (row["title"], row["price"], row["list_price"], row["brand"]) == ("Lamp", 18.0, 25.0, "Lux")
    assert (row["category"], row["currency"], row["url"]) == ("Home/Lamps", "EUR", "https://shop.example/p1")


def test_a_list_price_of_null_takes_it_away() -> None:
    first = a_description(0, price=18.0, list_price=25.0)
    assert described(first, a_description(1, list_price=None))["list_price"] is None
    assert described(first, a_description(1))["list_price"] == 25.0


def test_an_item_is_in_stock_and_new_unless_something_else_is_said() -> None:
    row = described(a_description(0))
    assert (row["in_stock"], row["added_at"]) == (True, NOW // SECOND)
    row = described(a_description(0, in_stock=False, added_at=NOW - DAY))
    assert (row["in_stock"], row["added_at"]) == (False, (NOW - DAY) // SECOND)


def test_the_last_fall_of_the_price_and_return_into_stock_are_remembered() -> None:
    row = described(a_description(0, price=20.0, in_stock=True))
    assert (row["price_dropped_at"], row["restocked_at"]) == (None, None)
    story = [
        a_description(0, price=20.0),
        a_description(1, price=15.0, in_stock=False),
        a_description(2, price=16.0),
        a_description(3, in_stock=True),
        a_description(4, price=16.0, in_stock=True),
    ]
    row = described(*story)
    assert (row["price_dropped_at"], row["restocked_at"]) == (NOW // SECOND + 1, NOW // SECOND + 3)
    row = described(*story, a_description(5, price=1.0, in_stock=False), a_description(6, in_stock=True))
    assert (row["price_dropped_at"], row["restocked_at"]) == (NOW // SECOND + 5, NOW // SECOND + 6)


SAID = lists_of(60, (None, 20.0, 20.0, 20.0, 20.0, 15.0, 25.0, 30.0), (None, None, True, True, True, False))
RISING = lists_of(40, range(3), (True, False, False, False, False))


def descriptions(said: list[tuple[Any, Any]]) -> list[Event]:
    return [a_description(n, price=price, in_stock=in_stock) for n, (price, in_stock) in enumerate(said)]


@for_all(said=SAID, seed=seeds())
def moments_equal_the_oracle(item: type[Item], said: list[tuple[Any, Any]], seed: int) -> None:
    """A catalogue says the same again and again; of few words the order in which they arrive does not matter."""
    story = descriptions(said)
    expected = moments(story)
    made = item()
    for event in random.Random(seed).sample(story, len(story)) if len(story) <= MOST_CHANGES else story:
        made.describe(event, event.at)
        assert all(len(history) <= MOST_CHANGES for history in made.histories.values())
    row, _ = made.row(NOW, {})
    assert {name: row[name] for name in expected} == expected


@for_all(steps=RISING)
def a_moment_outlives_what_is_no_moment(item: type[Item], steps: list[tuple[int, bool]]) -> None:
    """A price that fell once, and rose or stayed in many steps since."""
    price, said = 20.0, [(20.0, None)]
    for step, falls in steps:
        price += -15.0 if falls else step
        said.append((price, None))
    moments_equal_the_oracle.check(item, said=said, seed=0)


class ForgetsTheOldest(Item):
    def _least_telling(self, name: str) -> int:
        return min(self.histories[name])


def test_moments_equal_the_oracle() -> None:
    holds(moments_equal_the_oracle, Item)


def test_a_moment_outlives_what_is_no_moment() -> None:
    holds(a_moment_outlives_what_is_no_moment, Item)


@pytest.mark.parametrize("claim", [moments_equal_the_oracle, a_moment_outlives_what_is_no_moment])
def test_an_item_that_forgets_a_moment_is_caught(claim: Any) -> None:
    assert fails(claim, ForgetsTheOldest)


def test_repetitions_are_forgotten_before_what_differs() -> None:
    item = Item()
    for minute, price in enumerate((20.0, 30.0, *[15.0] * 40)):
        item.describe(an_event(type="item", item_id="p1", price=price), NOW + minute * MINUTE)
    assert len(item.histories["price"]) == MOST_CHANGES
    assert list(item.histories["price"].values())[:3] == [20.0, 30.0, 15.0]


def test_an_older_description_does_not_undo_a_newer_one() -> None:
    assert (
        described(a_description(1, title="New", price=5.0), a_description(0, title="Old", price=9.0))["title"] == "New"
    )


def test_the_order_in_which_descriptions_arrive_changes_nothing() -> None:
    story = [a_description(0, title="Old", brand="Lux", price=20.0), a_description(1, title="New", price=15.0)]
    assert described(*story) == described(*reversed(story))


def test_the_order_of_descriptions_at_one_moment_changes_nothing() -> None:
    one, other = a_description(0, title="One"), a_description(0, title="Other")
    assert described(one, other) == described(other, one)


def test_a_state_of_another_version_is_refused_in_words() -> None:
    _, *content = msgspec.msgpack.decode(Item().pack())
    with pytest.raises(UnknownVersion, match="an item's state has version 7, this release reads 2"):
        Item.unpack(msgspec.msgpack.encode((7, *content)))
    _, *content = msgspec.msgpack.decode(pack_scope(Scope()))
    with pytest.raises(UnknownVersion, match="a scope's state has version 0, this release reads 1"):
        unpack_scope(msgspec.msgpack.encode((0, *content)))


def test_a_state_carries_everything() -> None:
    item = an_item([an_event(item_id="p1")], NOW)
    item.row_at, item.binding, item.bindings = NOW, 3.5, {"p2": 2.25}
    item.describe(a_description(0, title="Lamp", price=5.0), NOW)
    again = Item.unpack(item.pack())
    assert [getattr(again, name) for name in ("row_at", "binding", "bindings", "catalogue", "described_from")] == [
        NOW, 3.5, {"p2": 2.25}, item.catalogue, NOW
    ]  # fmt: skip
    assert again.row(NOW, {"p2": 2}) == item.row(NOW, {"p2": 2})


STORED: Final = Path(__file__).parents[2] / "payloads" / "items_1.json"
"""Events, and the states and rows that the items flow stored of them before bindings fell with time."""


@pytest.fixture
def stored() -> tuple[dict[str, Any], Committed]:
    """What was stored, as it was read from the file, and as a flow finds it."""
    found, committed = json.loads(STORED.read_text()), Committed()
    for place, state in found["states"].items():
        entity, key = place.split()
        committed.states[entity, key] = b64decode(state)
        committed.rows[entity, key] = (found["row_at"][place], {})
    committed.texts = {key: b64decode(visit) for key, visit in found["visits"].items()}
    return found, committed


def test_states_of_an_older_release_give_the_rows_that_it_stored(stored: tuple[dict[str, Any], Committed]) -> None:
    found, committed = stored
    items = {key: Item.unpack(state) for (entity, key), state in committed.states.items() if entity == "item"}
    assert len(items) == 4
    for key, item in items.items():
        again = Item.unpack(item.pack())
        row, _ = again.row(found["now"], {other: each.binding for other, each in items.items()})
        assert {name: value for name, value in row.items() if value is not None} == found["rows"][f"item {key}"]
    for (entity, key), state in committed.states.items():
        if entity == "scope" and not key.startswith("country:"):
            assert unpack_scope(state).row(found["now"]) == found["rows"][f"scope {key}"]


def test_a_country_goes_on_from_what_an_older_release_stored(stored: tuple[dict[str, Any], Committed]) -> None:
    found, committed = stored
    now = found["now"] + 10 * MINUTE
    bought = {"event_id": "e20", "type": "purchase", "user_id": "u1", "item_id": "p4", "country": "FR"}
    bought["occurred_at"] = now
    Items(committed, Clock(now), 1).take(in_batches(0, [json.dumps(bought).encode()], []))
    french = [Arrival(told(**event), event["occurred_at"]) for event in [*found["events"], bought]]
    assert committed.values()["scope", "country:FR"] == country(french, "FR", now)
    assert committed.sets[DUE.format("items")][f"{SCOPE_DUE}country:FR"] == (now // DAY + 1) * DAY


def test_bindings_of_an_older_release_count_as_of_the_day_decay_began(stored: tuple[dict[str, Any], Committed]) -> None:
    """A month after that day p1 is viewed, and p4 bought: each counts twice what it would have counted then."""
    _, committed = stored
    viewed, bought = (Item.unpack(committed.states["item", key]) for key in ("p1", "p4"))
    clock = Clock((ORIGIN + 30) * DAY)
    events = [
        an_event(event_id="e20", item_id="p1", occurred_at=clock.now - 5),
        an_event(event_id="e21", item_id="p4", type="purchase", occurred_at=clock.now + 5),
    ]
    clock.now += HOUR
    Items(committed, clock, 1).take(in_batches(0, [written(event) for event in events], []))
    month, eve = 2.0, 2.0 ** (29 / 30)  # the day of the view is that of the pair
    row = committed.values()["item", "p1"]
    own = (viewed.binding + eve) * (bought.binding + 4 * month)
    assert dict(zip(row["neighbours"], row["neighbour_weights"], strict=True))["p4"] == pytest.approx(
        (viewed.bindings["p4"] + 2 * eve) / own**0.5, abs=1e-6
    )
