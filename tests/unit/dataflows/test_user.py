"""A user's row as a whole: against the oracle, and whatever the order, the repeats, the cuts and the time."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from dataflows.aggregates.effects import COUNTED
from dataflows.aggregates.orders import MONEY, MOST_MONEY
from dataflows.aggregates.people import KINDS, User
from dataflows.aggregates.seen import EARLY, hash_id
from dataflows.aggregates.versions import UnknownVersion
from dataflows.events import DAY, HOUR, MINUTE, SECOND, Event, Line
from feature_repo.layout import USER
from tests.given import FACTS, NOW, an_event, histories, nows, seeds
from tests.unit.dataflows.oracle import Arrival, user_row
from tests.unit.dataflows.proofs import fails, for_all, holds

Row = dict[str, Any]


def a_user(events: Iterable[Event], now: int = NOW, user: type[User] = User) -> User:
    made = user()
    for event in events:
        made.apply(event, FACTS, now)
    return made


def row_of(events: Iterable[Event], now: int = NOW, user: type[User] = User) -> Row:
    return a_user(events, now, user).row(now)[0]


def rearranged(events: list[Event], chance: random.Random) -> list[Event]:
    """In another order, some of them repeated."""
    repeated = [event for event in events for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    return chance.sample(repeated, len(repeated))


@for_all(events=histories(), now=nows())
def a_row_equals_the_oracle(user: type[User], events: list[Event], now: int) -> None:
    assert row_of(events, now, user) == user_row([Arrival(event, now) for event in events], FACTS, now)


@for_all(events=histories(), now=nows(), seed=seeds())
def order_repeats_and_packing_change_nothing(user: type[User], events: list[Event], now: int, seed: int) -> None:
    chance = random.Random(seed)
    made = user()
    for event in rearranged(events, chance):
        if chance.random() < 0.2:
            made = user.unpack(made.pack())
        made.apply(event, FACTS, now)
    assert user.unpack(made.pack()).row(now) == a_user(events, now, user).row(now)


@for_all(events=histories(), now=nows(), seed=seeds())
def time_that_passes_in_between_changes_nothing(user: type[User], events: list[Event], now: int, seed: int) -> None:
    """Events arrive over months, some long after they happened; rows are read, and states stored, on the way."""
    chance = random.Random(seed)
    end = now + chance.choice((0, 0, DAY, 40 * DAY, 120 * DAY))
    lags = (0, 0, HOUR, 3 * DAY, 60 * DAY, 95 * DAY)
    arrivals = sorted(
        (max(event.at, min(event.at + chance.choice(lags), end)), number, event) for number, event in enumerate(events)
    )
    made = user()
    for arrived, _, event in arrivals:
        made.apply(event, FACTS, arrived)
        if chance.random() < 0.3:
            made.row(arrived)
        if chance.random() < 0.2:
            made = user.unpack(made.pack())
    end = max([end, *(arrived for arrived, _, _ in arrivals)])
    assert made.row(end)[0] == user_row([Arrival(event, arrived) for arrived, _, event in arrivals], FACTS, end)


@for_all(events=histories(), now=nows(), seed=seeds())
def a_row_stays_as_it_is_until_it_is_due(user: type[User], events: list[Event], now: int, seed: int) -> None:
    packed = a_user(events, now, user).pack()
    row, due = user.unpack(packed).row(now)
    chance = random.Random(seed)
    until = now + 200 * DAY if due is None else due
    assert until > now
    for moment in (until - 1, chance.randrange(now, until), chance.randrange(now, until)):
        later, due_then = user.unpack(packed).row(moment)
        assert later == row
        assert due_then == due


@for_all(events=histories(), now=nows())
def every_number_falls_in_the_end(user: type[User], events: list[Event], now: int) -> None:
    """From due to due, until none is left."""
    made = a_user(events, now, user)
    row, due = made.row(now)
    for _ in range(500):
        if due is None:
            break
        assert due > now
        now = due
        row, due = made.row(now)
    assert due is None
    windows = [name for name in row if name.rpartition("_")[2] in ("1h", "24h", "7d", "30d", "90d")]
    assert len(windows) == 4 * len(KINDS) + 3
    assert not any(row[name] for name in windows)


@for_all(events=histories(kinds=tuple(kind for kind in COUNTED if kind != "purchase")), now=nows())
def a_count_changes_when_it_is_due(user: type[User], events: list[Event], now: int) -> None:
    made = a_user(events, now, user)
    row, due = made.row(now)
    if due is not None:
        assert made.row(due)[0] != row


class WithoutSeenRing(User):
    def apply(self, event: Event, facts: Any, now: int) -> Any:
        self.seen = type(self.seen)()
        return super().apply(event, facts, now)


class ForgetsWhatItSawWhenStored(User):
    @classmethod
    def unpack(cls, packed: bytes) -> User:
        user = super().unpack(packed)
        user.seen = type(user.seen)()
        return user


class LateByWatermark(User):
    """An event behind the newest one is late, as an engine's event clock has it."""

    newest = 0

    def apply(self, event: Event, facts: Any, now: int) -> Any:
        if event.at < self.newest - DAY:
            return "late"
        self.newest = max(self.newest, event.at)
        return super().apply(event, facts, now)


class ByEventTime(User):
    """Its now is the newest event."""

    def apply(self, event: Event, facts: Any, now: int) -> Any:
        self.row_at = max(self.row_at, event.at)
        return super().apply(event, facts, now)

    def row(self, now: int) -> Any:
        return super().row(self.row_at or now)


class LateOneDayEarly(User):
    def apply(self, event: Event, facts: Any, now: int) -> Any:
        return super().apply(event, facts, now + DAY)


class NeverLate(User):
    def apply(self, event: Event, facts: Any, now: int) -> Any:
        return super().apply(event, facts, min(now, event.at + 90 * DAY))


class CartByArrival(User):
    """The cart as a running quantity: what is taken out before it was put in is lost."""

    def apply(self, event: Event, facts: Any, now: int) -> Any:
        outcome = super().apply(event, facts, now)
        for item_id in list(self.cart.changes):
            if item_id not in self.cart.items():
                del self.cart.changes[item_id]
        return outcome


class RefundsOnlyWhatItKnows(User):
    def apply(self, event: Event, facts: Any, now: int) -> Any:
        if event.type == "refund" and not self.orders.entries:
            return "applied"
        return super().apply(event, facts, now)


class RecentByArrival(User):
    def apply(self, event: Event, facts: Any, now: int) -> Any:
        for line in event.lines() if event.type == "view" else ():
            self.recent.entries.pop(line.item_id, None)
        return super().apply(event, facts, now)


class NewestWordByArrival(User):
    def learn(self, name: str, value: Any, at: int) -> None:
        self.profile[name] = (at, value)


class CountsMachines(User):
    def apply(self, event: Event, facts: Any, now: int) -> Any:
        return super().apply(
            msgspec.structs.replace(event, properties={**event.properties, "machine": None}), facts, now
        )


class TakesAnyEventForAMachines(User):
    """The property alone decides, whatever the type."""

    def apply(self, event: Event, facts: Any, now: int) -> Any:
        if event.properties.get("machine"):
            return "applied"
        return super().apply(event, facts, now)


class DueWithoutOrders(User):
    def row(self, now: int) -> Any:
        values, _ = super().row(now)
        return values, self.tiles.totals(now).due


class NeverDue(User):
    def row(self, now: int) -> Any:
        return super().row(now)[0], None


class DueAllTheTime(User):
    def row(self, now: int) -> Any:
        return super().row(now)[0], (now // MINUTE + 1) * MINUTE


def test_a_row_equals_the_oracle() -> None:
    holds(a_row_equals_the_oracle, User, examples=800)


def test_order_repeats_and_packing_change_no_row() -> None:
    holds(order_repeats_and_packing_change_nothing, User)


def test_time_that_passes_in_between_changes_no_row() -> None:
    holds(time_that_passes_in_between_changes_nothing, User)


def test_a_row_stays_as_it_is_until_it_is_due() -> None:
    holds(a_row_stays_as_it_is_until_it_is_due, User)


def test_every_number_falls_in_the_end() -> None:
    holds(every_number_falls_in_the_end, User)


def test_a_count_changes_when_it_is_due() -> None:
    holds(a_count_changes_when_it_is_due, User)


@pytest.mark.parametrize(
    ("claim", "mutant"),
    [
        (a_row_equals_the_oracle, LateByWatermark),
        (a_row_equals_the_oracle, ByEventTime),
        (a_row_equals_the_oracle, LateOneDayEarly),
        (a_row_equals_the_oracle, NeverLate),
        (a_row_equals_the_oracle, RefundsOnlyWhatItKnows),
        (a_row_equals_the_oracle, CountsMachines),
        (a_row_equals_the_oracle, TakesAnyEventForAMachines),
        (order_repeats_and_packing_change_nothing, WithoutSeenRing),
        (order_repeats_and_packing_change_nothing, ForgetsWhatItSawWhenStored),
        (order_repeats_and_packing_change_nothing, LateByWatermark),
        (order_repeats_and_packing_change_nothing, CartByArrival),
        (order_repeats_and_packing_change_nothing, RefundsOnlyWhatItKnows),
        (order_repeats_and_packing_change_nothing, RecentByArrival),
        (order_repeats_and_packing_change_nothing, NewestWordByArrival),
        (time_that_passes_in_between_changes_nothing, LateOneDayEarly),
        (time_that_passes_in_between_changes_nothing, NeverLate),
        (a_row_stays_as_it_is_until_it_is_due, DueWithoutOrders),
        (a_row_stays_as_it_is_until_it_is_due, NeverDue),
        (every_number_falls_in_the_end, NeverDue),
        (a_count_changes_when_it_is_due, DueAllTheTime),
    ],
)
def test_a_mutant_is_caught(claim: Any, mutant: type[User]) -> None:
    assert fails(claim, mutant)


def test_a_user_of_whom_nothing_is_known_has_a_row() -> None:
    row, due = User().row(NOW)
    assert row == user_row([], {}, NOW)
    assert due is None


def test_what_became_of_an_event_is_said() -> None:
    user = User()
    assert user.apply(an_event(), FACTS, NOW) == "applied"
    assert user.apply(an_event(), FACTS, NOW) == "duplicate"
    assert user.apply(an_event(event_id="e2", occurred_at=NOW - 91 * DAY), FACTS, NOW) == "late"
    assert user.apply(an_event(event_id="e3", type="consent", occurred_at=NOW - 91 * DAY), FACTS, NOW) == "applied"


def test_what_a_machine_opens_or_clicks_is_applied_once_and_counts_for_nobody() -> None:
    for kind in ("email_open", "email_click"):
        user = User()
        event = an_event(type=kind, country="IT", properties={"machine": True})
        assert user.apply(event, FACTS, NOW) == "applied"
        assert user.apply(event, FACTS, NOW) == "duplicate"
        assert user.row(NOW) == User().row(NOW)
        assert user.sessions.passed(NOW + DAY, [], None, DAY)[0] == []
        user.apply(an_event(event_id="e2", type=kind, properties={"machine": False}), FACTS, NOW)
        assert user.row(NOW)[0][f"{kind}s_24h"] == 1


def test_an_event_that_was_late_may_come_again_in_time_with_its_id() -> None:
    user = User()
    assert user.apply(an_event(occurred_at=NOW - 91 * DAY), FACTS, NOW) == "late"
    assert user.apply(an_event(), FACTS, NOW) == "applied"


def test_a_refund_undoes_its_order_whichever_comes_first() -> None:
    bought = an_event(type="purchase", order_id="o1", items=(Line("p1", 2, 10.0), Line("p2", 1, 5.0)))
    some = an_event(event_id="e2", type="refund", order_id="o1", items=(Line("p2", 1, 5.0),))
    whole = an_event(event_id="e3", type="refund", order_id="o1", occurred_at=NOW + SECOND)
    for events in ([bought, some], [some, bought]):
        row = row_of(events)
        assert (row["spend_30d"], row["orders_90d"], row["purchased_items"]) == (20.0, 1, ["p1"])
    for events in ([bought, some, whole], [whole, some, bought], [some, whole, bought]):
        row = row_of(events)
        assert (row["spend_90d"], row["orders_90d"], row["purchased_items"]) == (0.0, 0, [])
        assert row["purchases_30d"] == 1


def test_more_refunded_than_spent_is_nothing_spent() -> None:
    events = [
        an_event(type="purchase", order_id="o1", item_id="p1", price=5.0),
        an_event(event_id="e2", type="refund", order_id="o1", price=50.0),
        an_event(event_id="e3", type="purchase", order_id="o2", item_id="p2", price=7.0),
    ]
    assert row_of(events)["spend_30d"] == 7.0


def test_a_purchase_without_an_order_is_an_order_of_its_own() -> None:
    events = [an_event(event_id=f"e{n}", type="purchase", item_id="p1", price=0.1) for n in range(3)]
    row = row_of(events)
    assert row["orders_90d"] == 3
    assert row["spend_30d"] == pytest.approx(0.3, abs=1e-12)


def test_a_purchase_without_lines_spends_its_price_times_its_quantity() -> None:
    row = row_of(
        [an_event(type="purchase", price=5.0, quantity=3), an_event(event_id="e2", type="purchase", price=1.5)]
    )
    assert (row["spend_30d"], row["orders_90d"], row["purchased_items"]) == (16.5, 2, [])


def test_money_adds_up_the_same_in_any_order() -> None:
    events = [an_event(event_id=f"e{n}", type="purchase", item_id="p1", price=n / 7) for n in range(1, 40)]
    assert row_of(events)["spend_30d"] == row_of(reversed(events))["spend_30d"]


def test_what_is_dear_and_bought_by_the_million_is_still_counted_and_stored() -> None:
    event = an_event(type="purchase", item_id="p1", price=1e9, quantity=1e6)
    user = a_user([event])
    assert user.row(NOW)[0]["spend_30d"] == 1e15
    assert User.unpack(user.pack()).row(NOW) == user.row(NOW)


def test_the_largest_amounts_that_events_may_name_are_stored_and_come_to_the_same_in_any_order() -> None:
    lines = tuple(Line(f"p{n}", 1e6, 1e9) for n in range(9))
    dear = [an_event(event_id=f"e{n}", type="purchase", order_id="o1", items=lines) for n in range(3)]
    back = [an_event(event_id=f"r{n}", type="refund", order_id="o2", items=lines) for n in range(3)]
    cheap = an_event(event_id="e9", type="purchase", order_id="o1", price=1.0)
    some = an_event(event_id="r9", type="refund", order_id="o1", price=1.0)
    for events in ([*dear, cheap, some, *back], [some, cheap, *back, *dear]):
        row = row_of(events)
        assert row["spend_30d"] == (MOST_MONEY - MONEY) / MONEY
        user = User()
        for event in events:
            user.apply(event, FACTS, NOW)
        assert User.unpack(user.pack()).row(NOW)[0] == row
        assert USER.hset("u1", {name: row[name] for name in row}, NOW, state=user.pack())
    both = User()
    for _ in range(2):
        both.merge(user)
    assert User.unpack(both.pack()).row(NOW) == both.row(NOW)


def test_what_was_given_back_stays_given_back_when_its_order_has_left_every_window() -> None:
    user = a_user(
        [
            an_event(type="purchase", order_id="o1", item_id="p1", price=5.0, occurred_at=NOW - DAY),
            an_event(event_id="e2", type="refund", order_id="o1"),
        ]
    )
    assert user.row(NOW)[0]["purchased_items"] == []
    assert user.row(NOW + 100 * DAY)[0]["purchased_items"] == []


def test_looking_at_an_order_between_its_two_purchases_changes_nothing() -> None:
    first = an_event(type="purchase", order_id="o1", item_id="p1", price=5.0)
    back = an_event(event_id="e2", type="refund", order_id="o1", price=5.0)
    again = an_event(event_id="e3", type="purchase", order_id="o1", item_id="p1", price=7.0, occurred_at=NOW + 95 * DAY)
    rows = []
    for look in (False, True):
        user = a_user([first, back])
        if look:
            user.row(NOW + 94 * DAY)
        user.apply(again, FACTS, NOW + 95 * DAY)
        rows.append(user.row(NOW + 95 * DAY)[0])
    assert rows[0] == rows[1]


def test_repeats_are_known_as_far_back_as_the_ring_reaches() -> None:
    user = a_user(an_event(event_id=f"e{n}") for n in range(4096))
    assert user.apply(an_event(event_id="e0"), FACTS, NOW) == "duplicate"
    assert user.apply(an_event(event_id="e4096"), FACTS, NOW) == "applied"
    known = [hash_id(f"e{n}") in user.seen for n in range(4097)]
    assert known.count(False) == 1
    oldest = known.index(False)
    assert oldest < EARLY
    assert user.apply(an_event(event_id=f"e{oldest}"), FACTS, NOW) == "applied"


def test_a_state_of_another_version_is_refused_in_words() -> None:
    _, *content = msgspec.msgpack.decode(User().pack())
    with pytest.raises(UnknownVersion, match="a user's state has version 5, this release reads 4: run the release"):
        User.unpack(msgspec.msgpack.encode((5, *content)))


def test_a_state_carries_its_place_and_the_time_of_its_row() -> None:
    user = User()
    user.offset, user.row_at = 123 << 20, NOW
    again = User.unpack(user.pack())
    assert (again.offset, again.row_at) == (123 << 20, NOW)
