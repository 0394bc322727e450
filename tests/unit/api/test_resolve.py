"""The rules of the mail as properties over random users, catalogues, scopes, neighbours, layouts and exclusions.

Beside each rule stands a mutant, the product without the clause that keeps the rule: a property that no mutant can
break would prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeAlias
from unittest import mock

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from api import resolve
from api.answer import Block
from api.blocks import KINDS
from api.known import CatalogueRow, Known, Neighbour, ScopeFeatures, UserFeatures
from api.layout import BlockPlan, Layout

PROPERTY = settings(max_examples=max(300, settings().max_examples))
MUTANT = settings(
    max_examples=1000, database=None, derandomize=True, report_multiple_bugs=False, phases=[Phase.generate]
)  # fmt: skip

WHOLE = CatalogueRow(
    title="Lamp", url="https://shop.example/p", image_url="https://shop.example/i", price=9.5, list_price=12.0,
    currency="EUR", category="A/B", brand="Ours", in_stock=True, added_at=1_700_000_000,
)  # fmt: skip
SPOILT: tuple[dict[str, Any], ...] = (
    {"title": None}, {"title": ""}, {"url": None}, {"url": ""}, {"image_url": None}, {"image_url": ""},
    {"price": None}, {"in_stock": False}, {"in_stock": False},
)  # fmt: skip
ROWS = st.sampled_from(
    [None, *[WHOLE] * 8, *(replace(WHOLE, **change) for change in SPOILT),
     replace(WHOLE, in_stock=None), replace(WHOLE, price=0.0)],
)  # fmt: skip

IDS = [f"i{number}" for number in range(12)]
ITEMS = st.lists(st.sampled_from(IDS), max_size=8)
CATEGORIES = st.lists(st.sampled_from(["A/B", "C", "D/{}", "E"]), max_size=4, unique=True)
COUNTRIES = st.sampled_from([None, "FR", "fr", "", "Narnia"])
SCOPES = ("all", "country:FR", "category:A/B", "category:C", "category:D/{}")
USERS = st.builds(
    UserFeatures, recent_items=ITEMS, cart_items=ITEMS, purchased_items=ITEMS, top_categories=CATEGORIES,
    country=COUNTRIES,
)  # fmt: skip
NEIGHBOURS = st.builds(Neighbour, st.sampled_from(IDS), st.sampled_from([0.1, 0.5, 0.5, 1.0]))
KNOWN = st.builds(
    Known, USERS, st.dictionaries(st.sampled_from(SCOPES), st.builds(ScopeFeatures, ITEMS, ITEMS), max_size=4),
    st.dictionaries(st.sampled_from(IDS), st.lists(NEIGHBOURS, max_size=5), max_size=5), ITEMS.map(tuple),
)  # fmt: skip
PLANS = st.builds(
    BlockPlan, st.sampled_from(list(KINDS)), st.just("ours"), st.sampled_from([None, "theirs"]), st.integers(1, 4)
)
CATALOGUES = st.lists(ROWS, min_size=len(IDS), max_size=len(IDS)).map(
    lambda rows: {item_id: row for item_id, row in zip(IDS, rows, strict=True) if row}
)


class Case(NamedTuple):
    """Everything that the blocks of one mail are made from."""

    layout: Layout
    known: Known
    catalogue: dict[str, CatalogueRow]
    excluded: frozenset[str]

    @property
    def user(self) -> UserFeatures:
        return self.known.user

    def offers(self) -> list[resolve.Offer]:
        return resolve.offers(self.layout, self.known, self.excluded)

    def blocks(self) -> tuple[Block, ...]:
        return resolve.fill(self.offers(), self.user, self.catalogue, self.excluded)


CASES = st.builds(
    Case, st.builds(Layout, st.just("mail"), st.lists(PLANS, min_size=1, max_size=4).map(tuple)), KNOWN, CATALOGUES,
    st.frozensets(st.sampled_from(IDS), max_size=3),
)  # fmt: skip


Rule: TypeAlias = Callable[[Case, tuple[Block, ...]], None]
Mutation: TypeAlias = Callable[[], AbstractContextManager[Any]]


def shown(blocks: tuple[Block, ...]) -> list[str]:
    return [item.item_id for block in blocks for item in block.items]


# The rules. Each is told a case and the blocks that were made of it.


def never_bought(case: Case, blocks: tuple[Block, ...]) -> None:
    assert not set(shown(blocks)) & set(case.user.purchased_items)


def never_sold_out(case: Case, blocks: tuple[Block, ...]) -> None:
    assert not set(shown(blocks)) & {each for each, row in case.catalogue.items() if row.in_stock is False}


def never_what_the_caller_left_out(case: Case, blocks: tuple[Block, ...]) -> None:
    assert not set(shown(blocks)) & case.excluded


def never_unknown(case: Case, blocks: tuple[Block, ...]) -> None:
    assert set(shown(blocks)) <= case.catalogue.keys()


def never_incomplete(case: Case, blocks: tuple[Block, ...]) -> None:
    for block in blocks:
        for item in block.items:
            assert item.title
            assert item.url
            assert item.image_url
            assert item.price is not None


def never_twice(case: Case, blocks: tuple[Block, ...]) -> None:
    assert len(shown(blocks)) == len(set(shown(blocks)))


def cart_only_where_the_cart_is_meant(case: Case, blocks: tuple[Block, ...]) -> None:
    elsewhere = tuple(block for block in blocks if block.block != "abandoned_cart")
    assert not set(shown(elsewhere)) & set(case.user.cart_items)


def as_the_layout_asks(case: Case, blocks: tuple[Block, ...]) -> None:
    assert [block.block for block in blocks] == [plan.block for plan in case.layout.blocks]
    for plan, block in zip(case.layout.blocks, blocks, strict=True):
        assert [item.position for item in block.items] == list(range(1, len(block.items) + 1))
        assert len(block.items) <= plan.count
        if (block.block, block.source) != ("abandoned_cart", "personal"):  # what stands over a cart has its own test
            assert block.title == ("theirs" if plan.fallback_title and block.source != "personal" else "ours")


def the_best_first_and_none_left_out(case: Case, blocks: tuple[Block, ...]) -> None:
    """The rules once more as arithmetic of sets, and the ladder walked down one item at a time."""
    gone = {*case.user.purchased_items, *case.excluded}
    right = {
        item_id for item_id, row in case.catalogue.items()
        if row.title and row.url and row.image_url and row.price is not None and row.in_stock is not False
    } - gone  # fmt: skip
    taken: list[str] = []
    for offer, block in zip(case.offers(), blocks, strict=True):
        allowed = right if offer.plan.block == "abandoned_cart" else right - set(case.user.cart_items)
        chosen: list[tuple[str, str]] = []
        for rung in offer.rungs:
            if chosen and not offer.kind.mixes:
                break
            for candidate in rung.candidates:
                if candidate.item_id in allowed and candidate.item_id not in taken and len(chosen) < offer.plan.count:
                    chosen.append((candidate.item_id, rung.source))
                    taken.append(candidate.item_id)
        assert [item.item_id for item in block.items] == [item_id for item_id, _ in chosen]
        assert block.source == (chosen[0][1] if chosen else "static")


def as_the_catalogue_says(case: Case, blocks: tuple[Block, ...]) -> None:
    for block in blocks:
        for item in block.items:
            row = case.catalogue[item.item_id]
            names = ("title", "url", "image_url", "price", "list_price", "currency")
            assert [getattr(item, name) for name in names] == [getattr(row, name) for name in names]


# The mutants. Each patches one thing of the product.

fill, may_show = resolve.fill, resolve.may_show


def judged_by(mutant: Callable[..., bool]) -> Mutation:
    return lambda: mock.patch.object(resolve, "may_show", mutant)


def filled_by(mutant: Callable[..., tuple[Block, ...]]) -> Mutation:
    return lambda: mock.patch.object(resolve, "fill", mutant)


def picked_by(mutant: Callable[..., list[Any]]) -> Mutation:
    return lambda: mock.patch.object(resolve, "islice", mutant)


def blind_to_the_rows(**columns: Any) -> Mutation:
    """`may_show` without its clause on a column of the catalogue: whatever stands there passes."""
    return judged_by(lambda item_id, row, *rest: may_show(item_id, row and replace(row, **columns), *rest))


def blind_to_the_users(**lists: Any) -> Mutation:
    return judged_by(lambda item_id, row, user, *rest: may_show(item_id, row, replace(user, **lists), *rest))


class Forgetful(set):  # type: ignore[type-arg]
    """A set that takes nothing in: `fill` with it keeps no list of what was shown."""

    def update(self, *others: Any) -> None:
        pass


@contextmanager
def every_kind(**changes: Any) -> Iterator[None]:
    mutants = {name: kind._replace(**changes) for name, kind in KINDS.items()}
    with mock.patch.object(resolve, "KINDS", mutants):
        yield


MUTANTS: list[tuple[Rule, str, Mutation]] = [
    (never_bought, "blind to purchases", blind_to_the_users(purchased_items=())),
    (never_sold_out, "blind to the stock", blind_to_the_rows(in_stock=True)),
    (never_what_the_caller_left_out, "blind to exclusions", judged_by(lambda a, b, c, d, e: may_show(a, b, c, (), e))),
    (never_unknown, "blind to unknown items", judged_by(lambda a, b, *rest: may_show(a, b or WHOLE, *rest))),
    (never_incomplete, "blind to titles", blind_to_the_rows(title="a")),
    (never_incomplete, "blind to links", blind_to_the_rows(url="a")),
    (never_incomplete, "blind to pictures", blind_to_the_rows(image_url="a")),
    (never_incomplete, "blind to prices", blind_to_the_rows(price=1.0)),
    (never_twice, "no list of what was shown", lambda: mock.patch.object(resolve, "set", Forgetful, create=True)),
    (never_twice, "a list a block", filled_by(lambda found, *rest: sum((fill([each], *rest) for each in found), ()))),
    (cart_only_where_the_cart_is_meant, "blind to the cart", blind_to_the_users(cart_items=())),
    (cart_only_where_the_cart_is_meant, "every block shows the cart", lambda: every_kind(shows_cart=True)),
    (as_the_layout_asks, "as many as there are", picked_by(lambda items, most: list(items))),
    (as_the_layout_asks, "upside down", filled_by(lambda *given: fill(*given)[::-1])),
    (the_best_first_and_none_left_out, "nothing at all", filled_by(lambda a, b, rows, d: fill(a, b, {}, d))),
    (the_best_first_and_none_left_out, "the worst first", picked_by(lambda items, most: list(items)[::-1][:most])),
    (the_best_first_and_none_left_out, "nothing is filled up", lambda: every_kind(mixes=False)),
    (the_best_first_and_none_left_out, "a cart is filled up", lambda: every_kind(mixes=True)),
    (
        as_the_catalogue_says,
        "the prices of before",
        filled_by(
            lambda found, user, rows, excluded: fill(
                found, user, {name: replace(row, price=row.list_price) for name, row in rows.items()}, excluded
            )
        ),
    ),
]
RULES = list(dict.fromkeys(rule for rule, _, _ in MUTANTS))


@PROPERTY
@given(CASES)
def test_every_mail_keeps_every_rule(case: Case) -> None:
    blocks = case.blocks()
    for rule in RULES:
        rule(case, blocks)


@pytest.mark.parametrize(
    ("rule", "name", "mutation"), [pytest.param(*each, id=f"{each[0].__name__}-{each[1]}") for each in MUTANTS]
)
def test_a_mutant_breaks_the_rule(rule: Rule, name: str, mutation: Mutation) -> None:
    @MUTANT
    @given(CASES)
    def holds(case: Case) -> None:
        with mutation():
            blocks = case.blocks()
        rule(case, blocks)

    # An unknown item that is let through fails where its row is looked up.
    with pytest.raises(KeyError if name == "blind to unknown items" else AssertionError):
        holds()


@PROPERTY
@given(CASES)
def test_what_is_asked_of_the_catalogue_is_all_that_is_needed(case: Case) -> None:
    wanted = resolve.items_wanted(case.offers())
    rest = {item_id: row for item_id, row in case.catalogue.items() if item_id in wanted}
    assert case._replace(catalogue=rest).blocks() == case.blocks()


@PROPERTY
@given(CASES)
def test_what_is_asked_of_the_store_is_all_that_the_ladders_use(case: Case) -> None:
    """Three categories are asked for, so only their scopes can matter; likewise the neighbours of the seeds."""
    user = replace(case.user, top_categories=case.user.top_categories[: resolve.CATEGORIES])
    known = replace(case.known, user=user)
    wanted, seeds = resolve.scopes_wanted(user), resolve.seeds_wanted(user)
    assert len(set(wanted)) == len(wanted)
    read = replace(
        known,
        scopes={name: scope for name, scope in known.scopes.items() if name in wanted},
        neighbours={item_id: found for item_id, found in known.neighbours.items() if item_id in seeds},
    )
    assert resolve.offers(case.layout, read) == resolve.offers(case.layout, known)


@PROPERTY
@given(CASES)
def test_a_ladder_goes_down_and_ends_on_what_needs_nobody(case: Case) -> None:
    order = ["personal", "segment", "popular", "static"]
    for offer in case.offers():
        steps = [order.index(rung.source) for rung in offer.rungs]
        assert steps == sorted(steps)
        assert offer.rungs[-1].source == "static"
        assert [candidate.item_id for candidate in offer.rungs[-1].candidates] == list(case.known.fallback)


LONG = tuple(f"n{number}" for number in range(100))


def mail(user: UserFeatures, excluded: tuple[str, ...], sold_out: tuple[str, ...] = ()) -> Block:
    """A mail with one block of what is trending, where a hundred items are."""
    known = Known(user, {"all": ScopeFeatures(LONG, LONG)}, {}, LONG)
    rows = {item_id: replace(WHOLE, in_stock=item_id not in sold_out) for item_id in LONG}
    layout = Layout("mail", (BlockPlan("trending", "ours", count=4),))
    (block,) = resolve.fill(resolve.offers(layout, known, excluded), user, rows, excluded)
    return block


def test_a_buyer_of_everything_popular_is_shown_what_comes_after_it() -> None:
    assert shown((mail(UserFeatures(purchased_items=LONG[:90]), ()),)) == list(LONG[90:94])


def test_a_long_exclusion_leaves_what_comes_after_it() -> None:
    assert shown((mail(UserFeatures(), LONG[:90]),)) == list(LONG[90:94])


def test_a_full_cart_leaves_what_comes_after_it() -> None:
    assert shown((mail(UserFeatures(cart_items=LONG[:90]), ()),)) == list(LONG[90:94])


def test_some_sold_out_items_do_not_empty_a_block() -> None:
    assert shown((mail(UserFeatures(), (), sold_out=LONG[: resolve.LOOKED_AT]),)) == list(LONG[24:28])


@pytest.mark.parametrize(
    ("cart", "title"),
    [
        (["a"], "You left this behind"),
        ([], "Worth a look"),
    ],
)
def test_the_title_of_a_cart_stands_over_a_cart_alone(cart: list[str], title: str) -> None:
    user = UserFeatures(cart_items=cart, recent_items=["a"])
    layout = Layout("mail", (BlockPlan("abandoned_cart", "You left this behind", "Worth a look"),))
    (block,) = resolve.fill(resolve.offers(layout, Known(user, {}, {})), user, {"a": WHOLE})
    assert (shown((block,)), block.title) == (["a"], title)


def test_a_reason_names_the_title_of_the_item_that_led_there() -> None:
    rows = {"seen": replace(WHOLE, title="A kettle", in_stock=False), "near": WHOLE}
    user = UserFeatures(recent_items=["seen"])
    known = Known(user, {}, {"seen": [Neighbour("near", 0.5)]})
    layout = Layout("mail", (BlockPlan("recommended", "ours"),))
    (block,) = resolve.fill(resolve.offers(layout, known), user, rows)
    assert [(item.item_id, item.reason) for item in block.items] == [("near", "because you viewed A kettle")]


@pytest.mark.parametrize("untitled", [None, CatalogueRow(), CatalogueRow(title="")])
def test_a_reason_does_without_a_title_that_is_not_known(untitled: CatalogueRow | None) -> None:
    rows = {"near": WHOLE} | ({"seen": untitled} if untitled else {})
    user = UserFeatures(recent_items=["seen"])
    known = Known(user, {}, {"seen": [Neighbour("near", 0.5)]})
    layout = Layout("mail", (BlockPlan("recommended", "ours"),))
    (block,) = resolve.fill(resolve.offers(layout, known), user, rows)
    assert [(item.item_id, item.reason) for item in block.items] == [("near", "picked for you")]


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        (UserFeatures(), ["all"]),
        (UserFeatures(country="fr"), ["all", "country:FR"]),
        (UserFeatures(country="Narnia"), ["all"]),
        (UserFeatures(country=""), ["all"]),
        (UserFeatures(country="DE", top_categories=["A", "B/C"]), ["all", "country:DE", "category:A", "category:B/C"]),
        (UserFeatures(top_categories=["A", "B", "C", "D"]), ["all", "category:A", "category:B", "category:C"]),
    ],
)
def test_the_scopes_of_a_user(user: UserFeatures, wanted: list[str]) -> None:
    assert resolve.scopes_wanted(user) == wanted


def test_the_seeds_of_a_user_are_bounded_and_the_cart_comes_first() -> None:
    user = UserFeatures(
        cart_items=[f"c{n}" for n in range(50)], recent_items=[f"r{n}" for n in range(30)],
        purchased_items=[f"p{n}" for n in range(200)],
    )  # fmt: skip
    seeds = resolve.seeds_wanted(user)
    assert seeds[:10] == [f"c{n}" for n in range(10)]
    assert len(seeds) == 25
