"""Every kind of block and its ladder, rung by rung: who answers, with which items, for which reason."""

from __future__ import annotations

import pytest

from api.blocks import KINDS
from api.blocks.back_in_stock import is_back
from api.blocks.ladder import Because, Rung
from api.blocks.new_arrivals import is_new
from api.blocks.price_drop import is_cheaper
from api.blocks.recommended import seeds
from api.blocks.similar import alike
from api.known import CatalogueRow, Known, ScopeFeatures, UserFeatures, nearest

SHOPPER = UserFeatures(
    recent_items=["seen1", "seen2"], cart_items=["cart1", "cart2"], purchased_items=["had1"], wishlist_items=["wish1"],
    top_categories=["A/B", "C"], country="fr",
)  # fmt: skip
KNOWN = Known(
    SHOPPER,
    {
        "all": ScopeFeatures(["hot1", "hot2"], ["best1", "best2"]),
        "country:FR": ScopeFeatures(["chaud"], ["mieux"]),
        "category:A/B": ScopeFeatures(["hotAB", "hotAB2"], ["bestAB"]),
        "category:C": ScopeFeatures(["hotC"], ["bestC"]),
    },
    {"seen1": {"near": 0.5, "cart2": 0.9}, "had1": {"with": 0.5}},
    ("first", "second"),
    {
        moment: {"all": [f"{word}1", f"{word}2"], "category:C": [f"{word}C"]}
        for moment, word in (("added_at", "new"), ("price_dropped_at", "less"), ("restocked_at", "back"))
    },
)
OWN = ["cart1", "cart2", "wish1", "seen1", "seen2"]


def ladder(kind: str, known: Known) -> list[tuple[str, list[str], str]]:
    """The rungs that hold something, as plain values: who answers, the items, and why the first of them."""
    return [
        (rung.source, list(rung.ids), rung.because(rung.ids[0]).phrase if rung.because else rung.phrase)
        for rung in KINDS[kind].rungs(known)
        if rung.ids
    ]


def lately(word: str, phrase: str) -> list[tuple[str, list[str], str]]:
    return [("segment", [f"{word}C"], phrase), ("popular", [f"{word}1", f"{word}2"], phrase)]


LADDERS = {
    "recently_viewed": [("personal", ["seen1", "seen2"], "viewed")],
    "abandoned_cart": [("personal", ["cart1", "cart2"], "in_cart")],
    "recommended": [
        ("personal", ["near", "with"], "because_viewed"),
        ("segment", ["hotAB", "hotAB2"], "popular_in"),
        ("segment", ["hotC"], "popular_in"),
    ],
    "similar": [
        ("personal", ["cart2", "near"], "similar_to"),
        ("segment", ["hotAB", "hotAB2"], "popular_in"),
        ("segment", ["hotC"], "popular_in"),
    ],
    "bought_together": [("personal", ["with"], "goes_with")],
    "trending": [("popular", ["chaud"], "trending"), ("popular", ["hot1", "hot2"], "trending")],
    "bestsellers": [
        ("segment", ["bestAB"], "bestseller_in"),
        ("segment", ["bestC"], "bestseller_in"),
        ("popular", ["mieux"], "bestseller"),
        ("popular", ["best1", "best2"], "bestseller"),
    ],
    "category_picks": [("segment", ["hotAB", "hotC", "hotAB2"], "popular_in")],
    "new_arrivals": lately("new", "new"),
    "price_drop": [("personal", OWN, "price_dropped"), *lately("less", "price_dropped")],
    "back_in_stock": [("personal", OWN, "back_in_stock"), *lately("back", "back_in_stock")],
    "wishlist": [("personal", ["wish1"], "wished")],
    "editorial": [],
    "message": [],
}
ABOUT_THE_SHOP = {"trending", "bestsellers", "new_arrivals", "price_drop", "back_in_stock"}
"""What these offer needs no user."""


def test_every_kind_has_its_ladder_here() -> None:
    assert LADDERS.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", LADDERS)
def test_the_ladder_of_somebody_well_known(kind: str) -> None:
    assert ladder(kind, KNOWN) == LADDERS[kind]


@pytest.mark.parametrize("kind", LADDERS)
def test_a_stranger_is_offered_what_the_shop_as_a_whole_has_or_nothing(kind: str) -> None:
    known = Known(UserFeatures(), {"all": KNOWN.scopes["all"]}, {}, KNOWN.fallback, KNOWN.lately)
    assert ladder(kind, known) == (LADDERS[kind][-1:] if kind in ABOUT_THE_SHOP else [])


@pytest.mark.parametrize("kind", LADDERS)
def test_with_nothing_known_at_all_a_ladder_is_empty(kind: str) -> None:
    assert ladder(kind, Known(UserFeatures(), {}, {})) == []


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not kind.content])
def test_every_kind_of_products_ends_on_what_needs_nobody(kind: str) -> None:
    *others, last = KINDS[kind].fallback
    assert last == "static"
    assert set(others) <= set(KINDS)


def test_only_some_kinds_show_the_cart_and_what_is_the_users_own_is_never_filled_up() -> None:
    assert {name for name, kind in KINDS.items() if kind.shows_cart} == {
        "abandoned_cart", "price_drop", "back_in_stock",
    }  # fmt: skip
    assert {name for name, kind in KINDS.items() if not kind.mixes} == {"abandoned_cart", "recently_viewed", "wishlist"}


DAY = 86_400
ROW = CatalogueRow(in_stock=True)


@pytest.mark.parametrize(("at", "suits"), [(None, False), (9 * DAY - 1, False), (9 * DAY, True), (10 * DAY, True)])
def test_a_moment_counts_from_a_day_on(at: int | None, suits: bool) -> None:
    assert is_new(CatalogueRow(added_at=at), None, 9 * DAY) == suits
    assert is_cheaper(CatalogueRow(price_dropped_at=at), None, 9 * DAY) == suits
    assert is_back(CatalogueRow(restocked_at=at, in_stock=True), None, 9 * DAY) == suits


@pytest.mark.parametrize("in_stock", [None, False])
def test_what_is_not_in_stock_is_not_back(in_stock: bool | None) -> None:
    assert not is_back(CatalogueRow(restocked_at=DAY, in_stock=in_stock), None, 0)


@pytest.mark.parametrize(
    ("category", "seed", "suits"), [("A", "A", True), ("A", "A/B", False), (None, None, False), ("A", None, False)]
)
def test_alike_is_what_shares_the_category(category: str | None, seed: str | None, suits: bool) -> None:
    assert alike(CatalogueRow(category=category), CatalogueRow(category=seed), 0) == suits
    assert not alike(CatalogueRow(category=category), None, 0)


def test_a_country_counts_however_it_is_written_and_only_if_it_is_known() -> None:
    for country, first in (("fr", "chaud"), ("FR", "chaud"), ("DE", "hot1"), (None, "hot1")):
        known = Known(UserFeatures(country=country), KNOWN.scopes, {}, ())
        assert ladder("trending", known)[0][1][0] == first


class TestRecommended:
    """Neighbours of what the user did, the closest to the weightiest first."""

    def first_rung(self, user: UserFeatures, **neighbours: dict[str, float]) -> Rung:
        first, *_ = KINDS["recommended"].rungs(
            Known(user, {}, {seed: nearest(its.items()) for seed, its in neighbours.items()}, ())
        )
        return first

    def why(self, rung: Rung) -> Because:
        assert rung.because
        return rung.because(rung.ids[0])

    def test_the_cart_weighs_more_than_a_view_and_a_new_view_more_than_an_old_one(self) -> None:
        weights = seeds(UserFeatures(cart_items=["c"], recent_items=["new", "old"], purchased_items=["p"]))
        assert weights["c"] > weights["new"] > weights["old"]
        assert weights["new"] == weights["p"]

    def test_what_was_viewed_and_lies_in_the_cart_weighs_both(self) -> None:
        assert seeds(UserFeatures(cart_items=["a"], recent_items=["a"])) == {"a": 3.0}

    def test_two_seeds_that_agree_outweigh_one(self) -> None:
        user = UserFeatures(recent_items=["a", "b"])
        found = self.first_rung(
            user, a={"alone": 0.6, "both": 0.4}, b={"both": 0.4}
        )  # fmt: skip
        assert found.ids == ["both", "alone"]

    def test_the_reason_is_the_seed_that_gave_most(self) -> None:
        user = UserFeatures(recent_items=["a", "b"])
        found = self.first_rung(user, a={"x": 0.2}, b={"x": 0.9})
        assert (found.ids, self.why(found)) == (["x"], Because("because_viewed", "b"))

    def test_what_goes_with_a_purchase_says_so(self) -> None:
        found = self.first_rung(UserFeatures(purchased_items=["p"]), p={"x": 0.5})
        assert (found.ids, self.why(found)) == (["x"], Because("goes_with", "p"))

    def test_what_lies_in_the_cart_and_was_not_viewed_is_not_said_to_have_been(self) -> None:
        for viewed, phrase in ((["c"], "because_viewed"), ([], "goes_with")):
            user = UserFeatures(cart_items=["c"], recent_items=viewed)
            assert self.why(self.first_rung(user, c={"x": 0.5})) == Because(phrase, "c")

    def test_a_seed_is_not_recommended(self) -> None:
        user = UserFeatures(recent_items=["a"], cart_items=["b"])
        assert self.first_rung(user, a={"b": 1.0}, b={"a": 1.0}).ids == []

    def test_equals_stand_in_the_order_of_their_ids(self) -> None:
        neighbours = {"z": 0.5, "m": 0.5, "a": 0.5}
        assert self.first_rung(UserFeatures(recent_items=["s"]), s=neighbours).ids == ["a", "m", "z"]

    @pytest.mark.parametrize("weight", [0.0, -0.5])
    def test_a_neighbour_that_weighs_nothing_spoils_nothing(self, weight: float) -> None:
        found = self.first_rung(UserFeatures(recent_items=["s"]), s={"good": 0.5, "odd": weight})
        assert found.ids == ["good"]
