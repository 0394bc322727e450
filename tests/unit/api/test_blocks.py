"""Every kind of block and its ladder, rung by rung: who answers, with which items, for which reason."""

from __future__ import annotations

import pytest

from api.blocks import KINDS
from api.blocks.ladder import Candidate, Rung
from api.blocks.recommended import seeds
from api.known import Known, Neighbour, ScopeFeatures, UserFeatures

SHOPPER = UserFeatures(
    recent_items=["seen1", "seen2"], cart_items=["cart1", "cart2"], purchased_items=["had1"],
    top_categories=["A/B", "C"], country="fr",
)  # fmt: skip
KNOWN = Known(
    SHOPPER,
    {
        "all": ScopeFeatures(["hot1", "hot2"], ["best1", "best2"]),
        "country:FR": ScopeFeatures(["chaud"], ["mieux"]),
        "category:A/B": ScopeFeatures(["hotAB"], ["bestAB"]),
        "category:C": ScopeFeatures(["hotC"], ["bestC"]),
    },
    {"seen1": [Neighbour("near", 0.5), Neighbour("cart2", 0.9)]},
    ("first", "second"),
)
STATIC = ("static", [("first", None), ("second", None)])
TREND = [
    ("popular", [("chaud", "trending now")]),
    ("popular", [("hot1", "trending now"), ("hot2", "trending now")]),
    STATIC,
]
SEEN = ("personal", [("seen1", "you viewed it"), ("seen2", "you viewed it")])


def ladder(kind: str, known: Known) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """The rungs that hold something, as plain values."""
    return [
        (rung.source, [(candidate.item_id, candidate.reason) for candidate in rung.candidates])
        for rung in KINDS[kind].rungs(known)
        if rung.candidates
    ]


LADDERS = {
    "recently_viewed": [SEEN, *TREND],
    "abandoned_cart": [("personal", [("cart1", "still in your cart"), ("cart2", "still in your cart")]), SEEN, *TREND],
    "recommended": [
        ("personal", [("near", "because you viewed")]),
        ("segment", [("hotAB", "popular in A/B")]),
        ("segment", [("hotC", "popular in C")]),
        *TREND,
    ],
    "trending": TREND,
    "bestsellers": [
        ("segment", [("bestAB", "bestseller in A/B")]),
        ("segment", [("bestC", "bestseller in C")]),
        ("popular", [("mieux", "bestseller")]),
        ("popular", [("best1", "bestseller"), ("best2", "bestseller")]),
        ("popular", [("hot1", "trending now"), ("hot2", "trending now")]),
        STATIC,
    ],
}


def test_every_kind_has_its_ladder_here() -> None:
    assert LADDERS.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", LADDERS)
def test_the_ladder_of_somebody_well_known(kind: str) -> None:
    assert ladder(kind, KNOWN) == LADDERS[kind]


@pytest.mark.parametrize("kind", LADDERS)
def test_a_stranger_is_shown_what_is_popular_everywhere(kind: str) -> None:
    known = Known(UserFeatures(), {"all": KNOWN.scopes["all"]}, {}, KNOWN.fallback)
    steps = ladder(kind, known)
    assert [source for source, _ in steps] == ["popular"] * (len(steps) - 1) + ["static"]
    assert len(steps) == (3 if kind == "bestsellers" else 2)


@pytest.mark.parametrize("kind", LADDERS)
def test_with_nothing_known_at_all_a_ladder_still_has_its_last_rung(kind: str) -> None:
    *upper, last = KINDS[kind].rungs(Known(UserFeatures(), {}, {}, ("first",)))
    assert last == Rung("static", [Candidate("first")])
    assert not any(rung.candidates for rung in upper)


def test_only_a_cart_shows_the_cart_and_what_is_the_users_own_is_never_filled_up() -> None:
    assert {name for name, kind in KINDS.items() if kind.shows_cart} == {"abandoned_cart"}
    assert {name for name, kind in KINDS.items() if not kind.mixes} == {"abandoned_cart", "recently_viewed"}


def test_a_country_counts_however_it_is_written_and_only_if_it_is_known() -> None:
    for country, first in (("fr", "chaud"), ("FR", "chaud"), ("DE", "hot1"), (None, "hot1")):
        known = Known(UserFeatures(country=country), KNOWN.scopes, {}, ())
        assert ladder("trending", known)[0][1][0][0] == first


def test_a_category_may_hold_any_sign() -> None:
    user = UserFeatures(top_categories=["{} {0} %s"])
    known = Known(user, {"category:{} {0} %s": ScopeFeatures(["odd"], [])}, {}, ())
    assert ladder("recommended", known) == [("segment", [("odd", "popular in {} {0} %s")])]


class TestRecommended:
    """Neighbours of what the user did, the closest to the weightiest first."""

    def first_rung(self, user: UserFeatures, **neighbours: list[Neighbour]) -> list[Candidate]:
        first, *_ = KINDS["recommended"].rungs(Known(user, {}, neighbours, ()))
        return first.candidates

    def test_the_cart_weighs_more_than_a_view_and_a_new_view_more_than_an_old_one(self) -> None:
        user = UserFeatures(cart_items=["c"], recent_items=["new", "old"], purchased_items=["p"])
        weights = seeds(Known(user, {}, {}))
        assert weights["c"] > weights["new"] > weights["old"]
        assert weights["new"] == weights["p"]

    def test_what_was_viewed_and_lies_in_the_cart_weighs_both(self) -> None:
        assert seeds(Known(UserFeatures(cart_items=["a"], recent_items=["a"]), {}, {})) == {"a": 3.0}

    def test_two_seeds_that_agree_outweigh_one(self) -> None:
        user = UserFeatures(recent_items=["a", "b"])
        found = self.first_rung(
            user, a=[Neighbour("alone", 0.6), Neighbour("both", 0.4)], b=[Neighbour("both", 0.4)]
        )  # fmt: skip
        assert [candidate.item_id for candidate in found] == ["both", "alone"]

    def test_the_reason_is_the_seed_that_gave_most(self) -> None:
        user = UserFeatures(recent_items=["a", "b"])
        (found,) = self.first_rung(user, a=[Neighbour("x", 0.2)], b=[Neighbour("x", 0.9)])
        assert found == Candidate("x", "because you viewed", "b")

    def test_what_goes_with_a_purchase_says_so(self) -> None:
        (found,) = self.first_rung(UserFeatures(purchased_items=["p"]), p=[Neighbour("x", 0.5)])
        assert found == Candidate("x", "goes with", "p")

    def test_a_seed_is_not_recommended(self) -> None:
        user = UserFeatures(recent_items=["a"], cart_items=["b"])
        assert self.first_rung(user, a=[Neighbour("b", 1.0)], b=[Neighbour("a", 1.0)]) == []

    def test_equals_stand_in_the_order_of_their_ids(self) -> None:
        neighbours = [Neighbour("z", 0.5), Neighbour("m", 0.5), Neighbour("a", 0.5)]
        found = self.first_rung(UserFeatures(recent_items=["s"]), s=neighbours)
        assert [candidate.item_id for candidate in found] == ["a", "m", "z"]

    @pytest.mark.parametrize("weight", [0.0, -0.5])
    def test_a_neighbour_that_weighs_nothing_spoils_nothing(self, weight: float) -> None:
        found = self.first_rung(UserFeatures(recent_items=["s"]), s=[Neighbour("good", 0.5), Neighbour("odd", weight)])
        assert found[0].item_id == "good"
