"""Audits: the features that DuckDB makes of the events of the lake, against the oracle of the flows' own tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from dataflows.connectors.lake_events import Arrived, to_table
from dataflows.events import DAY, HOUR, Event, partition_of
from dataflows.stages import Received
from expectations.audits.auditing import Audit, audit
from expectations.audits.comparison import differing
from expectations.audits.exports import Columns, ExportError, differences, read_export
from expectations.audits.online import OnlineRow
from expectations.audits.recompute import Recompute
from expectations.audits.scopes import expected_scopes, scopes
from tests.given import FACTS, NOW, an_event, histories, lists_of, nows
from tests.unit.dataflows.doubles import Clock, Committed, Items
from tests.unit.dataflows.oracle import Arrival
from tests.unit.dataflows.oracle_identity import rows
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.streams import written
from tests.unit.dataflows.test_identity import PREVIOUS, WHO, told

STORIES_AT_ONCE: Final = 40
"""A look by DuckDB costs the same for one story and for many, so that an example is many."""
KINDS: Final = (
    "view", "view", "click", "add_to_cart", "add_to_cart", "remove_from_cart", "purchase", "refund", "add_to_wishlist",
    "remove_from_wishlist", "identify", "identify", "identify", "sign_up", "profile", "consent", "email_open",
    "email_click", "email_unsubscribe", "custom", "checkout",
)  # fmt: skip
LONG_AGO: Final = NOW - 400 * DAY

STORIES: Final = st.builds(
    told, histories(most=16, kinds=KINDS), lists_of(16, WHO, PREVIOUS, (None, None, "u1", "u2"), (False, True))
)


class Several(list[list[Event]]):
    """Stories, in few words where they are shown: what is wrong is said of one of them."""

    def __repr__(self) -> str:
        return f"{len(self)} stories"


MANY_STORIES: Final = st.lists(STORIES, min_size=STORIES_AT_ONCE, max_size=STORIES_AT_ONCE).map(Several)


def of_story(number: int, event: Event) -> Event:
    """The event with ids of its own, so that stories know nothing of one another."""
    mine = f"{number}-{{}}".format
    said = dict(event.properties)
    if said.get("previous_id"):
        said["previous_id"] = mine(said["previous_id"])
    return msgspec.structs.replace(
        event,
        user_id=event.user_id and mine(event.user_id),
        anonymous_id=event.anonymous_id and mine(event.anonymous_id),
        properties=said,
    )


def catalogue(facts: Mapping[str, Any] = FACTS) -> list[Arrived]:
    """What the catalogue says, long ago."""
    return [
        Arrived(
            an_event(event_id=f"i-{item}", type="item", user_id=None, item_id=item, price=fact.price,
                     category=fact.category, occurred_at=LONG_AGO), LONG_AGO, 0, number,
        )
        for number, (item, fact) in enumerate(facts.items())
    ]  # fmt: skip


def lake_of(events: Iterable[Event]) -> pa.Table:
    """The events as a lake, each received when it happened, in the order given."""
    arrived = [Arrived(event, event.at, 0, number + 100) for number, event in enumerate(events)]
    return to_table([*catalogue(), *arrived])


@for_all(stories=MANY_STORIES, now=nows())
def equals_the_oracle(make: Callable[[pa.Table], Recompute], stories: list[list[Event]], now: int) -> None:
    events = [of_story(number, event) for number, story in enumerate(stories) for event in story]
    expected = {
        name: row
        for number, story in enumerate(stories)
        for name, row in rows([Arrival(of_story(number, event), event.at) for event in story], FACTS, now).items()
    }
    found, _ = make(lake_of(events)).user_rows(sorted(expected), now)
    for name, row in expected.items():
        wanted = found.get(name)
        if wanted is None:
            assert row["first_seen_at"] is None, f"{name} is missing"
            continue
        assert set(wanted) - set(row) == {"lifecycle"}
        del wanted["lifecycle"]
        wrong = differing("user", name, row, wanted)
        assert not wrong, "\n".join(map(str, wrong))


def test_what_is_recomputed_equals_the_oracle() -> None:
    """Some 500 stories of three users and two devices, with aliases, repeats and refunds."""
    holds(equals_the_oracle, Recompute, examples=500 // STORIES_AT_ONCE)


MISTAKES: Final = {
    "the oldest link counts": ("heard", "arg_max(links.user_id, row(links", "arg_min(links.user_id, row(links"),
    "repeats count": ("heard", "= 1;", "<= 2;"),
    "what was given back was spent": ("users", "coalesce(given_back.amount, 0)", "0"),
    "what was bought stays in the cart": ("users", "WHERE happened > emptied", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_it_is_found(name: str) -> None:
    file, right, wrong = MISTAKES[name]

    class Mistaken(Recompute):
        def _sql(self, name: str) -> str:
            sql = super()._sql(name)
            assert name != file or right in sql
            return sql.replace(right, wrong) if name == file else sql

    assert fails(equals_the_oracle, Mistaken)


class Shown:
    """What is online, as a dictionary."""

    def __init__(self, users: dict[str, OnlineRow]) -> None:
        self.users = users

    def keys(self, entity: str) -> list[str]:
        return list(self.users) if entity == "user" else []

    def rows(self, entity: str, keys: Sequence[str]) -> dict[str, OnlineRow]:
        return {key: row for key, row in self.users.items() if key in keys} if entity == "user" else {}


def audited(events: list[Event], users: dict[str, OnlineRow], pauses: list[Callable[[], Any]]) -> Audit:
    return audit(
        lambda: Recompute(to_table([Arrived(event, event.at, 0, place) for place, event in enumerate(events)])),
        Shown(users), users=10, items=0, chance=random.Random(1), clock=lambda: NOW,
        pause=lambda: pauses.pop(0)() if pauses else None,
    )  # fmt: skip


def online(events: list[Event], user: str = "u1") -> OnlineRow:
    """The row that the events make."""
    recompute = Recompute(to_table([Arrived(event, event.at, 0, place) for place, event in enumerate(events)]))
    found, newest = recompute.user_rows([user], NOW)
    return OnlineRow(found[user], newest[user])


def test_what_differs_for_a_moment_only_is_no_finding() -> None:
    events = [an_event(event_id="1", occurred_at=NOW - HOUR), an_event(event_id="2", item_id="p1")]
    shown = {"u1": online(events[:1])}
    assert audited(events, shown, [lambda: shown.update(u1=online(events))]).findings == []
    assert [each.kind for each in audited(events, {"u1": online(events[:1])}, []).findings] == ["stale"]


def test_who_is_older_than_the_lake_or_ahead_of_it_is_not_judged() -> None:
    events = [an_event(event_id=str(number), occurred_at=NOW - number * HOUR, item_id="p1") for number in range(5)]
    old, ahead = online(events), online(events)
    old.values["first_seen_at"] -= 90 * 86_400
    ahead.values["last_view_at"] += 60
    found = audited([*events, an_event(event_id="x", user_id="u2")], {"u1": old, "u2": ahead}, [])
    assert found.unjudged == {"older than the lake": 1, "ahead of the lake": 1}
    assert found.findings == []


def test_what_the_gate_held_counts_for_nobody_and_for_its_items() -> None:
    """The people flow holds what shoppers did, the items flow what the catalogue said: that of the other one counts."""
    bought = {"type": "purchase", "item_id": "p1", "occurred_at": NOW - HOUR}
    events = [
        an_event(event_id="a", order_id="a", price=2.0, **bought),
        an_event(event_id="b", order_id="b", price=200.0, **bought),
        an_event(event_id="c", user_id="u2", order_id="c", price=300.0, **bought),
        an_event(event_id="i", type="item", user_id=None, item_id="p1", price=2.0, occurred_at=NOW - 2 * HOUR),
        an_event(event_id="j", type="item", user_id=None, item_id="p1", price=200.0, occurred_at=NOW - HOUR),
    ]  # fmt: skip
    lake = to_table([Arrived(event, event.at, place % 2, place) for place, event in enumerate(events)])
    places = pa.table({"partition": pa.array([1, 0, 0], pa.int32()), "offset": ["1", "2", "4"]})
    kept, every = Recompute(lake, places), Recompute(lake)
    assert (kept.users(), every.users()) == (["u1"], ["u1", "u2"])
    for recompute, spent, price in ((kept, 2.0, 2.0), (every, 202.0, 200.0)):
        users, _ = recompute.user_rows(["u1"], NOW)
        stats, catalogue_ = recompute.item_rows(["p1"], NOW)
        assert (users["u1"]["spend_30d"], catalogue_["p1"]["price"]) == (spent, price)
        assert stats["p1"]["purchases_24h"] == 3
    assert [total for _, total in kept.orders_by_day().values()] == [2.0]


def test_an_empty_lake_compares_nothing() -> None:
    found = audited([], {}, [])
    assert (found.compared, found.unjudged) == ({}, {"the lake holds no event": 1})


def test_orders_are_compared_by_day(tmp_path: Path) -> None:
    export = tmp_path / "orders.csv"
    lines = [f"{day}-{number},2026-05-{day:02}T10:00:00Z,{10 + number}" for day in range(10, 16) for number in range(3)]
    export.write_text("\n".join(["id,made,sum", *lines, lines[4]]))
    bought = [
        an_event(event_id=f"{day}-{number}", type="purchase", order_id=f"{day}-{number}", price=10.0 + number,
                 occurred_at=NOW - (17 - day) * DAY, item_id="p1")
        for day in range(10, 16) for number in range(3) if (day, number) != (12, 1)
    ]  # fmt: skip
    exported = read_export(export, Columns("id", "made", "sum"))
    assert exported["2026-05-11"] == (3, 33.0)
    told_ = Recompute(lake_of([*bought, bought[0]])).orders_by_day()
    assert [each.day for each in differences(exported, told_, 0.0)] == ["2026-05-12"]
    with pytest.raises(ExportError, match="--order-columns"):
        read_export(export, Columns())


def test_an_export_has_refunds_and_times_of_other_zones(tmp_path: Path) -> None:
    """An order counts as it was made, on the day (UTC) it was made, however often and in whatever order it is there."""
    export = tmp_path / "orders.csv"
    lines = [
        "a,2026-05-12T00:30:00+02:00,10", "a,2026-05-13T09:00:00Z,-10", "b,2026-05-11 23:59:59,20",
        "c,2026-05-11T20:00:00-05:00,30", "c,2026-05-11T20:00:00-05:00,30", "d,2026-05-12T12:00:00Z,0",
    ]  # fmt: skip
    wanted = {"2026-05-11": (2, 30.0), "2026-05-12": (2, 30.0)}
    for order in (lines, lines[::-1]):
        export.write_text("\n".join(["order_id,ordered_at,total", *order]))
        assert read_export(export, Columns()) == wanted
    table = pa.table(
        {
            "order_id": [1, 1, 2],
            "ordered_at": pa.array([NOW, NOW + DAY, NOW], pa.timestamp("us", tz="Asia/Tokyo")),
            "total": [10.0, -10.0, 5.0],
        }
    )
    pq.write_table(table, tmp_path / "orders.parquet")
    assert read_export(tmp_path / "orders.parquet", Columns()) == {"2026-05-17": (2, 15.0)}
    back = [
        an_event(event_id="p", type="purchase", order_id="a", price=10.0, item_id="p1", occurred_at=NOW),
        an_event(event_id="r", type="refund", order_id="a", price=10.0, item_id="p1", occurred_at=NOW),
    ]
    assert Recompute(lake_of(back)).orders_by_day() == {"2026-05-17": (1, 10.0)}


class Folded:
    """The scopes that the items flow made, as they are read online."""

    def __init__(self, events: list[Event], now: int) -> None:
        self.committed, clock = Committed(), Clock(NOW)
        flow = Items(self.committed, clock)
        for number, event in enumerate(events):
            clock.now = event.at
            flow.take([Received(partition_of(event.key, 2), [number], [written(event)])])
        clock.now = now
        for _ in range(3):
            flow.expire()

    def rows(self, entity: str, keys: Sequence[str]) -> dict[str, OnlineRow]:
        places = self.committed.rows
        return {key: OnlineRow(places[entity, key][1], NOW) for key in keys if (entity, key) in places}


def of_countries(chance: random.Random) -> list[Event]:
    """What was done in some countries in ten days, a tenth of it told twice, after a catalogue."""
    found = [
        an_event(event_id=f"i{item}", type="item", user_id=None, item_id=f"p{item}", price=1.0, title=f"Thing {item}",
                 category=chance.choice(("A/B", "A", "C")), occurred_at=NOW - 11 * DAY) for item in range(8)
    ]  # fmt: skip
    for number in range(150):
        kind = chance.choice(("view", "view", "add_to_cart", "purchase", "click"))
        event = an_event(
            event_id=f"e{number}", type=kind, user_id=f"u{number % 7}", item_id=f"p{chance.randrange(8)}", price=1.0,
            country=chance.choice(("FR", "fr", "DE", "", "XXX", None)), occurred_at=NOW - chance.randrange(10 * DAY),
        )  # fmt: skip
        found += [event] * chance.choice((1, 1, 1, 1, 1, 1, 1, 1, 1, 2))
    return sorted(found, key=lambda event: event.at)


@pytest.mark.parametrize(
    "wrong", [None, ("- 7", "- 6"), ("WHEN 'add_to_cart' THEN 3", ""), ("upper(country)", "country")]
)
def test_scopes_and_countries_are_what_the_items_flow_makes_of_the_same_events(wrong: tuple[str, str] | None) -> None:
    """The mutants: a day too few, carts that weigh as purchases, countries by their letters."""

    class Mistaken(Recompute):
        def _sql(self, name: str) -> str:
            return super()._sql(name).replace(*wrong) if wrong and name == "countries" else super()._sql(name)

    found = []
    for seed in range(4):
        events = of_countries(random.Random(seed))
        lake = Mistaken(to_table([Arrived(event, event.at, n % 2, n) for n, event in enumerate(events)]))
        online = Folded(events, NOW)
        assert {"all", "category:A", "category:A/B", "country:FR", "country:DE"} <= expected_scopes(lake, NOW).keys()
        found += scopes(lake, online, NOW)
    assert bool(found) == bool(wrong), "\n".join(map(str, found[:9]))
