"""The small parts of a user's state: the ring of ids, the cart, orders, what is kept and what came last."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.aggregates.baskets import EVERYTHING, MOST_CHANGES, MOST_ITEMS, Cart
from dataflows.aggregates.orders import MONEY, MOST_ORDERS, Orders
from dataflows.aggregates.packing import Writer
from dataflows.aggregates.recency import RECENT, Kept, Recent, taste
from dataflows.aggregates.seen import EARLY_WIDTH, WIDTH, Seen, SeenByUser, hash_id
from dataflows.events import DAY
from tests.given import NOW, lists_of, seeds
from tests.unit.dataflows.proofs import fails, for_all, holds
from tests.unit.dataflows.storing import read_again

ITEM = ("a", "b", "c")
AT = range(1, 7)
CHANGES = lists_of(MOST_CHANGES, ITEM, AT, (1.0, 2.0, 0.5, -1.0, -2.0, EVERYTHING))


@for_all(ids=st.lists(st.integers(0, 12)), capacity=st.integers(1, 8), cut=st.integers(0, 50))
def remembers_the_newest_ids(ring: type[Seen], ids: list[int], capacity: int, cut: int) -> None:
    seen, model = ring(capacity), OrderedDict[int, None]()
    for place, number in enumerate(ids):
        if place == cut:
            seen = ring.unpack(seen.pack(), capacity)
        assert seen.add(f"e{number}") == (number not in model)
        model.setdefault(number)
        if len(model) > capacity:
            model.popitem(last=False)
        assert list(seen) == [hash_id(f"e{known}") for known in model]
        assert len(seen) == len(model) <= capacity


class NewestFirstOut(Seen):
    def add_hash(self, hashed: int) -> bool:
        if hashed in self._ids:
            return False
        if len(self._ids) >= self.capacity:
            self._ids.popitem()
        self._ids[hashed] = None
        return True


class Unbounded(Seen):
    def add_hash(self, hashed: int) -> bool:
        new = hashed not in self._ids
        self._ids[hashed] = None
        return new


def test_the_ring_remembers_the_newest_ids() -> None:
    holds(remembers_the_newest_ids, Seen)


@pytest.mark.parametrize("mutant", [NewestFirstOut, Unbounded])
def test_a_ring_that_forgets_wrongly_is_caught(mutant: type[Seen]) -> None:
    assert fails(remembers_the_newest_ids, mutant)


@for_all(
    ids=st.lists(st.integers(0, 12)), others=st.integers(1, 6), early=st.integers(0, 4), cut=st.integers(0, 50),
    many=st.integers(1, 8),
)  # fmt: skip
def remembers_the_newest_of_a_user(
    ring: type[SeenByUser], ids: list[int], others: int, early: int, cut: int, many: int
) -> None:
    """The oldest ones are a set, from which the smallest goes first; the others go there in order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dataflows.aggregates.seen.INDEXED", many)
        patch.setattr("dataflows.aggregates.seen.FEW", 1)
        capacity = early + others
        seen, oldest, later = ring(capacity, most_early=early), set[int](), list[int]()
        for place, number in enumerate(ids):
            if place == cut:
                seen = ring(capacity, seen.pack(), early)
            hashed = hash_id(f"e{number}")
            is_new = hashed not in oldest and hashed not in later
            assert seen.add_hash(hashed) == is_new
            assert not seen.add(f"e{number}")
            if is_new:
                later.append(hashed)
            if len(oldest) + len(later) > capacity and oldest:
                oldest.remove(min(oldest, key=lambda each: each & 0xFFFFFFFF))
            while len(oldest) < early and later:
                oldest.add(later.pop(0))
            del later[: max(0, len(oldest) + len(later) - capacity)]
            assert len(seen) == len(oldest) + len(later) <= capacity
            known = {*oldest, *later}
            assert [hash_id(f"e{each}") in seen for each in range(13)] == [
                hash_id(f"e{each}") in known for each in range(13)
            ]


class BytesOfTwoIds(SeenByUser):
    """Finds an id across the border of two others."""

    def _has(self, digest: bytes) -> bool:
        return digest[:EARLY_WIDTH] in self._early or digest in self._later


class NeverFull(SeenByUser):
    def _add(self, digest: bytes) -> bool:
        self.capacity = 10**6
        return super()._add(digest)


class ForgetsTheFirst(SeenByUser):
    """Of the early ids the one that stands first, which depends on when they were stored."""

    def _add(self, digest: bytes) -> bool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dataflows.aggregates.seen._by_size", bytes)
            return super()._add(digest)


def test_the_ring_of_a_user_remembers_the_newest_ids() -> None:
    holds(remembers_the_newest_of_a_user, SeenByUser)


@pytest.mark.parametrize("mutant", [NeverFull, ForgetsTheFirst])
def test_a_ring_of_a_user_that_forgets_wrongly_is_caught(mutant: type[SeenByUser]) -> None:
    assert fails(remembers_the_newest_of_a_user, mutant)


@pytest.mark.parametrize(("ring", "is_new"), [(SeenByUser, True), (BytesOfTwoIds, False)])
@pytest.mark.parametrize(("early", "width"), [(0, WIDTH), (2, EARLY_WIDTH)])
def test_an_id_is_not_found_across_the_border_of_two_others(
    ring: type[SeenByUser], is_new: bool, early: int, width: int
) -> None:
    seen = ring(most_early=early)
    for start in (0, width):
        assert seen.add_hash(int.from_bytes(bytes(range(start, start + width)), "little"))
    assert seen.add_hash(int.from_bytes(bytes(range(2, 2 + width)), "little")) is is_new


@given(st.lists(st.integers(0, 2**64 - 1), max_size=200, unique=True))
def test_ids_are_read_as_they_were_stored(hashes: list[int]) -> None:
    seen = SeenByUser()
    for hashed in hashes:
        seen.add_hash(hashed)
    again = SeenByUser(packed=seen.pack())
    assert again.pack() == seen.pack()
    assert len(again) == len(seen)
    assert all(hashed in again for hashed in hashes)


def test_the_ids_of_sixty_events_take_less_than_four_bytes_each() -> None:
    assert len(SeenByUser.of(hash_id(f"e{number}") for number in range(60)).pack()) < 60 * 4


def test_an_id_has_the_same_hash_for_ever() -> None:
    assert hash_id("e1") == 4837565179555459614
    assert hash_id("") == 0
    assert len(Seen.of(map(hash_id, ("a", "b", "a"))).pack()) == 16


def quantities(changes: list[tuple[str, int, float]]) -> dict[str, float]:
    """The fold as the page says it."""
    held: dict[str, float] = {}
    for item_id, _, by in sorted(changes, key=lambda change: (change[1], change[2] < 0)):
        held[item_id] = max(0.0, held.get(item_id, 0.0) + by)
    return {item_id: quantity for item_id, quantity in held.items() if quantity > 0}


@for_all(changes=CHANGES, seed=seeds())
def holds_the_fold_of_its_changes(cart: type[Cart], changes: list[tuple[str, int, float]], seed: int) -> None:
    chance = random.Random(seed)
    made = cart()
    for change in chance.sample(changes, len(changes)):
        if chance.random() < 0.2:
            made = read_again(made)
        made.change(*change)
    held = quantities(changes)
    added = {item_id: max(at for each, at, by in changes if each == item_id and by > 0) for item_id in held}
    assert made.items() == sorted(held, key=lambda item_id: (-added[item_id], item_id))
    assert made.updated_at == max((at for _, at, _ in changes), default=None)


class RemovalsFirst(Cart):
    def items(self) -> list[str]:
        return [item for item in super().items() if min(by for _, by in self.changes[item]) > EVERYTHING]


class RunningQuantity(Cart):
    def change(self, item_id: str, at: int, by: float) -> None:
        super().change(item_id, at, by)
        if item_id not in self.items():
            del self.changes[item_id]


def test_the_cart_holds_the_fold_of_its_changes_in_whatever_order_they_come() -> None:
    holds(holds_the_fold_of_its_changes, Cart)


@pytest.mark.parametrize("mutant", [RemovalsFirst, RunningQuantity])
def test_a_cart_that_folds_wrongly_is_caught(mutant: type[Cart]) -> None:
    assert fails(holds_the_fold_of_its_changes, mutant)


@given(steps=lists_of(120, (1.0, 3.0, -1.0, -2.0, EVERYTHING)))
def test_a_long_history_of_an_item_stays_short_and_right(steps: list[tuple[float]]) -> None:
    cart, held = Cart(), 0.0
    for at, (by,) in enumerate(steps):
        cart.change("a", at + 1, by)
        held = max(0.0, held + by)
        assert len(cart.changes["a"]) <= MOST_CHANGES
        assert cart.items() == (["a"] if held else [])


def test_a_cart_lists_fifty_items_and_remembers_a_hundred() -> None:
    cart = Cart()
    for n in range(500):
        cart.change(f"i{n:03}", n, 1)
        assert len(cart.changes) <= 2 * MOST_ITEMS
    assert cart.items() == [f"i{n:03}" for n in range(499, 449, -1)]


def test_items_that_are_in_the_cart_outlive_those_that_are_not() -> None:
    cart = Cart()
    cart.change("wanted", 1, 1)
    for n in range(150):
        cart.change(f"i{n}", 10 * n, 1)
        cart.change(f"i{n}", 10 * n + 1, EVERYTHING)
    assert cart.items() == ["wanted"]


def test_shortening_a_history_does_not_move_its_item() -> None:
    cart = Cart()
    cart.change("a", 1, 100)
    for at in range(2, 40):
        cart.change("a", at, -1)
    cart.change("b", 10, 1)
    assert cart.items() == ["b", "a"]


KEEPING = lists_of(20, ITEM, AT, ("keep", "give up"), (1, 2, 3))


@for_all(changes=KEEPING, undone=st.sets(st.integers(1, 3)), seed=seeds())
def keeps_what_was_not_given_up(kept: type[Kept], changes: Any, undone: set[int], seed: int) -> None:
    made = kept(100)
    for item_id, at, what, label in random.Random(seed).sample(changes, len(changes)):
        if what == "keep":
            made.keep(item_id, at, label)
        else:
            made.give_up(item_id, at)
    newest: dict[str, tuple[int, int]] = {}
    for item_id, at, what, label in changes:
        if what == "keep":
            newest[item_id] = max((at, label), newest.get(item_id, (at, label)))
    held = {
        item_id: at
        for item_id, (at, label) in newest.items()
        if label not in undone and not any(c[0] == item_id and c[1] >= at and c[2] == "give up" for c in changes)
    }
    assert made.newest(without=undone) == sorted(held, key=lambda item_id: (-held[item_id], item_id))


class LastWordWins(Kept):
    def give_up(self, item_id: str, at: int) -> None:
        self.entries.pop(item_id, None)


class GivesUpTooLate(Kept):
    def give_up(self, item_id: str, at: int) -> None:
        super().give_up(item_id, at - 1)


def test_an_item_is_kept_until_it_is_given_up() -> None:
    holds(keeps_what_was_not_given_up, Kept)


@pytest.mark.parametrize("mutant", [LastWordWins, GivesUpTooLate])
def test_keeping_wrongly_is_caught(mutant: type[Kept]) -> None:
    assert fails(keeps_what_was_not_given_up, mutant)


def test_no_more_than_the_most_are_kept_and_the_oldest_go() -> None:
    kept = Kept(3)
    for n in range(50):
        kept.keep(f"i{n:02}", n + 1)
        assert len(kept.entries) <= 6
    assert kept.newest() == ["i49", "i48", "i47"]


def test_items_that_are_kept_outlive_those_that_were_given_up() -> None:
    kept = Kept(3)
    kept.keep("wanted", 1)
    for n in range(10):
        kept.keep(f"i{n}", 10 * n + 2)
        kept.give_up(f"i{n}", 10 * n + 3)
    assert kept.newest() == ["wanted"]


LOOKS = lists_of(100, range(60), range(1, 50), (None, 0.0, 5.0), (None, "A", "B"))


@for_all(looks=LOOKS, seed=seeds())
def has_the_newest_looks(recent: type[Recent], looks: Any, seed: int) -> None:
    chance = random.Random(seed)
    made = recent()
    for number, *look in chance.sample(looks, len(looks)):
        if chance.random() < 0.1:
            made = read_again(made)
        made.touch(f"i{number}", *look)
    newest: dict[str, tuple[int, float, str]] = {}
    for number, at, price, category in looks:
        look = (at, -1.0 if price is None else price, category or "")
        newest[f"i{number}"] = max(look, newest.get(f"i{number}", look))
    expected = sorted(newest.items(), key=lambda entry: (-entry[1][0], entry[0]))[:RECENT]
    assert made.newest() == expected
    assert len(made.entries) <= 2 * RECENT


class OneTooFew(Recent):
    def write(self, to: Writer) -> Any:
        self.entries = dict(self.newest()[: RECENT - 1])
        return super().write(to)


class FirstLookStays(Recent):
    def touch(self, item_id: str, at: int, price: float | None, category: str | None) -> None:
        if item_id not in self.entries:
            super().touch(item_id, at, price, category)


def test_the_newest_thirty_looks_are_exact_whatever_the_order() -> None:
    holds(has_the_newest_looks, Recent)


@pytest.mark.parametrize("mutant", [OneTooFew, FirstLookStays])
def test_looks_that_are_lost_are_caught(mutant: type[Recent]) -> None:
    assert fails(has_the_newest_looks, mutant)


def test_a_category_weighs_half_after_seven_days() -> None:
    recent = Recent()
    recent.touch("a", NOW, 10.0, "Lamps")
    recent.touch("b", NOW - 7 * DAY, None, "Toys")
    recent.touch("c", NOW - 7 * DAY, 30.0, "Toys")
    recent.touch("d", NOW - 14 * DAY, 0.0, None)
    assert taste(recent.newest()) == (["Lamps", "Toys"], [0.5, 0.5], 10.0)
    assert taste([]) == ([], [], None)


def test_the_best_five_categories_are_shares_of_all() -> None:
    recent = Recent()
    for n in range(8):
        recent.touch(f"i{n}", NOW, None, f"C{n}")
    known = taste(recent.newest())
    assert (known.categories, known.weights) == (["C0", "C1", "C2", "C3", "C4"], [0.125] * 5)


DEALS = lists_of(15, ("buy", "buy", "refund"), (1, 2, 3), range(91), (None, 0, 1, 5, 100, 250, 500))


@for_all(deals=DEALS, seed=seeds(), later=st.integers(0, 30))
def spends_what_was_not_given_back(orders: type[Orders], deals: Any, seed: int, later: int) -> None:
    made = orders()
    for what, order, days, amount in random.Random(seed).sample(deals, len(deals)):
        if what == "buy":
            made.buy(order, NOW - days * DAY, amount or 0)
        else:
            made.refund(order, amount)
    whole = {order for what, order, _, amount in deals if what == "refund" and amount is None}
    assert made.refunded() == whole
    for tiles in (30, 90):
        spent = counted = 0
        for order in {1, 2, 3} - whole:
            bought = [deal for deal in deals if deal[:2] == ("buy", order) and deal[2] + later <= tiles]
            back = sum(deal[3] for deal in deals if deal[:2] == ("refund", order))
            spent += max(0, sum(deal[3] or 0 for deal in bought) - back)
            counted += bool(bought)
        assert made.spend(NOW + later * DAY, tiles) == spent / MONEY
        assert made.count(NOW + later * DAY, tiles) == counted


class RefundsOnlyWhatItKnows(Orders):
    def refund(self, order: int, amount: int | None) -> None:
        if order in self.entries:
            super().refund(order, amount)


class BelowZero(Orders):
    def spend(self, now: int, tiles: int) -> float:
        return super().spend(now, tiles) - sum(refunded for days, refunded, _ in self.entries.values() if not days)


def test_what_was_given_back_was_not_spent_whichever_is_known_first() -> None:
    holds(spends_what_was_not_given_back, Orders)


@pytest.mark.parametrize("mutant", [RefundsOnlyWhatItKnows, BelowZero])
def test_refunds_that_are_wrong_are_caught(mutant: type[Orders]) -> None:
    assert fails(spends_what_was_not_given_back, mutant)


def test_an_order_is_due_when_its_day_leaves_thirty_and_then_ninety_days() -> None:
    orders = Orders()
    orders.buy(1, NOW, 5)
    midnight = NOW // DAY * DAY
    assert orders.due(NOW) == midnight + 31 * DAY
    assert orders.due(midnight + 31 * DAY) == midnight + 91 * DAY
    assert orders.entries
    assert orders.due(midnight + 91 * DAY) is None
    assert not orders.entries


def test_orders_take_bounded_memory_and_the_newest_stay() -> None:
    orders = Orders()
    for n in range(2 * MOST_ORDERS):
        orders.buy(n, NOW + n * DAY // 100, 1)
        assert len(orders.entries) <= MOST_ORDERS
    assert 2 * MOST_ORDERS - 1 in orders.entries
    assert 0 not in orders.entries


def test_refunds_alone_take_bounded_memory() -> None:
    orders = Orders()
    for n in range(2 * MOST_ORDERS):
        orders.refund(n, None)
    assert len(orders.entries) <= MOST_ORDERS
