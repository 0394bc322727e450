"""The rules of the mail as properties over random users, catalogues, scopes, neighbours, layouts and exclusions.

Each rule is asked by itself, and the whole mail is held to an oracle that shares no code with the product. Beside each
stands a mutant, the product without the clause that keeps the rule: a property that no mutant can break would prove
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias
from unittest import mock

import pytest
from hypothesis import Phase, given, settings
from msgspec.structs import replace

from api import resolve
from api.answer import Answer, Block
from api.blocks import KINDS
from api.eligibility import Eligibility
from api.known import CatalogueRow, Known, ScopeFeatures, UserFeatures
from api.plans import BlockPlan, Boost, Filters, Hidden, Layout, OnlyFor, Rules
from api.render import render_html
from tests.unit.api.mail_cases import WHOLE, Case, cases
from tests.unit.api.oracle_mail import Expected

PROPERTY = settings(max_examples=max(500, settings().max_examples))
MUTANT = settings(
    max_examples=3000, database=None, derandomize=True, report_multiple_bugs=False, phases=[Phase.generate]
)  # fmt: skip
CASES = cases()

Rule: TypeAlias = Callable[[Case, tuple[Block, ...]], None]
Mutation: TypeAlias = Callable[[], AbstractContextManager[Any]]


def shown(blocks: tuple[Block, ...]) -> list[str]:
    return [item.item_id for block in blocks for item in block.items]


# The rules. Each is told a case and the blocks that were made of it.


def never_bought(case: Case, blocks: tuple[Block, ...]) -> None:
    assert not set(shown(blocks)) & set(case.user.purchased_items)


def never_sold_out(case: Case, blocks: tuple[Block, ...]) -> None:
    assert not any(row.in_stock is False for _, row in case.products(blocks))


def never_hidden(case: Case, blocks: tuple[Block, ...]) -> None:
    hidden = case.layout.rules.hidden
    for item_id, row in case.products(blocks):
        assert item_id not in hidden.items
        assert row.brand not in hidden.brands
        assert not any(f"{row.category}/".startswith(f"{path}/") for path in hidden.categories)


def never_in_so_many_words(case: Case, blocks: tuple[Block, ...]) -> None:
    """What is hidden is not named in a reason or a title either."""
    hidden = case.layout.rules.hidden
    names = {path.rpartition("/")[2] for path in hidden.categories}
    for item_id, row in case.catalogue.items():
        below = any(f"{row.category}/".startswith(f"{path}/") for path in hidden.categories)
        if row.title and (item_id in hidden.items or row.brand in hidden.brands or below):
            names.add(row.title)
    for plan, block in zip(case.layout.blocks, blocks, strict=True):
        for words in (block.title, *(item.reason or "" for item in block.items if not plan.content)):
            assert not any(words.endswith(f" {name}") for name in names), words


def never_in_a_country_it_is_not_for(case: Case, blocks: tuple[Block, ...]) -> None:
    for only in case.layout.rules.only_for:
        if (case.user.country or "").upper() not in only.countries:
            for item_id, row in case.products(blocks):
                said = {only.item: item_id, only.brand: row.brand, only.category: (row.category or "").split("/")[0]}
                assert not all(value == wanted for wanted, value in said.items() if wanted)


def never_what_the_caller_left_out(case: Case, blocks: tuple[Block, ...]) -> None:
    assert not set(shown(blocks)) & case.excluded


def never_unknown(case: Case, blocks: tuple[Block, ...]) -> None:
    assert {item_id for item_id, _ in case.products(blocks)} <= case.catalogue.keys()


def never_incomplete(case: Case, blocks: tuple[Block, ...]) -> None:
    for plan, block in zip(case.layout.blocks, blocks, strict=True):
        for item in block.items if not plan.content else ():
            assert item.title
            assert item.url
            assert item.image_url
            assert item.price is not None


def never_twice(case: Case, blocks: tuple[Block, ...]) -> None:
    assert len(shown(blocks)) == len(set(shown(blocks)))


def cart_only_where_the_cart_is_meant(case: Case, blocks: tuple[Block, ...]) -> None:
    meant = ("abandoned_cart", "price_drop", "back_in_stock")
    assert not set(shown(tuple(block for block in blocks if block.block not in meant))) & set(case.user.cart_items)


def always_with_a_reason(case: Case, blocks: tuple[Block, ...]) -> None:
    assert all(item.reason for block in blocks for item in block.items)


def as_the_layout_asks(case: Case, blocks: tuple[Block, ...]) -> None:
    assert [block.block for block in blocks] == [plan.block for plan in case.layout.blocks]
    for plan, block in zip(case.layout.blocks, blocks, strict=True):
        assert [item.position for item in block.items] == list(range(1, len(block.items) + 1))
        assert len(block.items) <= plan.count
        assert block.template == (plan.template or "") or (plan.block, block.template) == ("abandoned_cart", "list")


def as_the_catalogue_says(case: Case, blocks: tuple[Block, ...]) -> None:
    for plan, block in zip(case.layout.blocks, blocks, strict=True):
        for item in block.items if not plan.content else ():
            row = case.catalogue[item.item_id]
            names = ("title", "url", "image_url", "price", "list_price", "currency")
            assert [getattr(item, name) for name in names] == [getattr(row, name) for name in names]


def as_by_brute_force(case: Case, blocks: tuple[Block, ...]) -> None:
    made = [
        Expected(block.block, block.title, block.source, [(item.item_id, item.reason or "") for item in block.items])
        for block in blocks
    ]
    assert made == case.expected()


# The mutants. Each patches one thing of the product.

fill, prepare, boosted, ladder = resolve.fill, resolve.prepare, resolve.boosted, resolve._ladder
complete = Eligibility.complete


def blind_to_the_rows(**columns: Any) -> Mutation:
    """The rule without its clause on a column of the catalogue: whatever stands there passes."""

    def mutant(self: Eligibility, item_id: str, row: CatalogueRow | None) -> bool:
        return complete(self, item_id, row and replace(row, **columns))

    return lambda: mock.patch.object(Eligibility, "complete", mutant)


def prepared_by(mutant: Callable[..., resolve.Mail]) -> Mutation:
    return lambda: mock.patch.object(resolve, "prepare", mutant)


def filled_by(mutant: Callable[..., tuple[Block, ...]]) -> Mutation:
    return lambda: mock.patch.object(resolve, "fill", mutant)


def blind_to_the_users(**lists: Any) -> Mutation:
    """The rule without a list of the user's; their ladders stay."""

    class Blind(Eligibility):
        def __init__(self, user: UserFeatures, *rest: Any) -> None:
            super().__init__(replace(user, **lists), *rest)

    return lambda: mock.patch.object(resolve, "Eligibility", Blind)


def deaf_to_the_plan(**options: Any) -> Mutation:
    """The product without an option of blocks."""

    def mutant(layout: Layout, *rest: Any) -> resolve.Mail:
        return prepare(replace(layout, blocks=tuple(replace(plan, **options) for plan in layout.blocks)), *rest)

    return prepared_by(mutant)


def deaf_to_the_filter(**options: Any) -> Mutation:
    def mutant(layout: Layout, *rest: Any) -> resolve.Mail:
        blocks = tuple(
            replace(plan, filters=replace(plan.filters, **options)) if plan.filters else plan for plan in layout.blocks
        )
        return prepare(replace(layout, blocks=blocks), *rest)

    return prepared_by(mutant)


def deaf_to_the_rules(**rules: Any) -> Mutation:
    return prepared_by(lambda layout, *rest: prepare(replace(layout, rules=replace(layout.rules, **rules)), *rest))


def rungs_with(**changes: Any) -> Mutation:
    return lambda: mock.patch.object(
        resolve, "_ladder", lambda *given: (replace(rung, **changes) for rung in ladder(*given))
    )


def speaking_freely(name: str, mutant: Callable[..., Any]) -> Mutation:
    return lambda: mock.patch.object(Eligibility, name, mutant)


class Forgetful(set):  # type: ignore[type-arg]
    """A set that takes nothing in: `fill` with it keeps no list of what was shown."""

    def add(self, element: Any) -> None:
        pass

    def update(self, *others: Any) -> None:
        pass


@contextmanager
def every_kind(**changes: Any) -> Iterator[None]:
    mutants = {name: kind._replace(**changes) for name, kind in KINDS.items()}
    with mock.patch.object(resolve, "KINDS", mutants):
        yield


def instead(name: str, mutant: Callable[..., Any]) -> Mutation:
    return lambda: mock.patch.object(resolve, name, mutant)


def block_by_block(mail: resolve.Mail, rows: dict[str, CatalogueRow]) -> tuple[Block, ...]:
    return tuple(block for offer in mail.offers for block in fill(mail._replace(offers=[offer]), rows))


def prices_of_before(mail: resolve.Mail, rows: dict[str, CatalogueRow]) -> tuple[Block, ...]:
    return fill(mail, {name: replace(row, price=row.list_price) for name, row in rows.items()})


MUTANTS: list[tuple[Rule, str, Mutation]] = [
    (never_bought, "blind to purchases", blind_to_the_users(purchased_items=())),
    (never_sold_out, "blind to the stock", blind_to_the_rows(in_stock=True)),
    (never_hidden, "blind to hidden items", deaf_to_the_rules(hidden=Hidden())),
    (never_in_so_many_words, "reasons speak of all", speaking_freely("may_name", lambda *_: True)),
    (never_in_so_many_words, "titles speak of all", speaking_freely("likes", lambda _, user: user)),
    (never_in_a_country_it_is_not_for, "blind to countries", deaf_to_the_rules(only_for=())),
    (never_what_the_caller_left_out, "deaf to the caller", prepared_by(lambda *given: prepare(*given[:2]))),
    (never_unknown, "blind to unknown items", instead("_right", lambda rung, *_: iter(rung.ids))),
    (never_incomplete, "blind to titles", blind_to_the_rows(title="a")),
    (never_incomplete, "blind to links", blind_to_the_rows(url="a")),
    (never_incomplete, "blind to pictures", blind_to_the_rows(image_url="a")),
    (never_incomplete, "blind to prices", blind_to_the_rows(price=1.0)),
    (never_twice, "no list of what was shown", lambda: mock.patch.object(resolve, "set", Forgetful, create=True)),
    (never_twice, "a list a block", filled_by(block_by_block)),
    (cart_only_where_the_cart_is_meant, "blind to the cart", blind_to_the_users(cart_items=())),
    (cart_only_where_the_cart_is_meant, "every block shows the cart", lambda: every_kind(shows_cart=True)),
    (always_with_a_reason, "no reasons", instead("reason_of", lambda *_: "")),
    (as_the_layout_asks, "as many as there are", deaf_to_the_plan(count=30)),
    (as_the_layout_asks, "upside down", filled_by(lambda *given: fill(*given)[::-1])),
    (as_the_catalogue_says, "the prices of before", filled_by(prices_of_before)),
    (as_by_brute_force, "nothing at all", filled_by(lambda mail, rows: fill(mail, {}))),
    (as_by_brute_force, "nothing is filled up", lambda: every_kind(mixes=False)),
    (as_by_brute_force, "a cart is filled up", lambda: every_kind(mixes=True)),
    (as_by_brute_force, "the title is always the first", rungs_with(first_choice=True)),
    (as_by_brute_force, "what does not suit is shown", rungs_with(suits=None)),
    (as_by_brute_force, "reasons of another", rungs_with(because=None)),
    (as_by_brute_force, "deaf to fallbacks", deaf_to_the_plan(fallback=None)),
    (as_by_brute_force, "deaf to pins", deaf_to_the_plan(pins=())),
    (as_by_brute_force, "deaf to boosts", instead("boosted", lambda *_: 1.0)),
    (as_by_brute_force, "boosts turned over", instead("boosted", lambda *given: 1 / boosted(*given))),
    (as_by_brute_force, "deaf to diversity", instead("has_room", lambda *_: True)),
    (as_by_brute_force, "deaf to caps", instead("worn_out", lambda *_: set())),
    (as_by_brute_force, "deaf to days", deaf_to_the_plan(within_days=None)),
    (as_by_brute_force, "deaf to filters", instead("passes", lambda *_: True)),
    *(
        (as_by_brute_force, f"deaf to the filter of {name}", deaf_to_the_filter(**{name: nothing}))
        for name, nothing in {
            "category": (), "brand": (), "price": None, "in_stock": False, "min_discount": 0.0, "countries": (),
        }.items()
    ),
]  # fmt: skip
OPTIONS = {
    "blind to hidden items": ["hidden"], "reasons speak of all": ["hidden"], "titles speak of all": ["hidden"],
    "blind to countries": ["only_for"], "deaf to the caller": ["excluded"],
    "deaf to fallbacks": ["fallback"], "deaf to pins": ["pins"], "deaf to boosts": ["boosts"],
    "boosts turned over": ["boosts"], "deaf to diversity": ["diversity"], "deaf to caps": ["caps"],
    "deaf to days": ["within_days"], "deaf to filters": ["filters"],
    **{f"deaf to the filter of {name}": ["filters", name] for name in Filters.__struct_fields__},
}  # fmt: skip
"""What the cases that show a mutant always have."""
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
    @given(cases(*OPTIONS.get(name, ())))
    def holds(case: Case) -> None:
        with mutation():
            blocks = case.blocks()
        rule(case, blocks)

    # An unknown item that is let through fails where its row is looked up.
    with pytest.raises((KeyError, AttributeError) if name == "blind to unknown items" else AssertionError):
        holds()


@PROPERTY
@given(CASES)
def test_what_is_asked_of_the_catalogue_is_all_that_is_needed(case: Case) -> None:
    """The rows of what may stand in for anything are remembered; all others that matter are asked for."""
    wanted = {*resolve.items_wanted(case.mail()), *case.known.fallback}
    rest = {item_id: row for item_id, row in case.catalogue.items() if item_id in wanted}
    assert case._replace(catalogue=rest).blocks() == case.blocks()


@PROPERTY
@given(CASES)
def test_no_row_matters_that_was_not_looked_at(case: Case) -> None:
    """So a mail stands once the rows that it looked at were read; and all of these are asked for."""
    looked: set[str] = set()
    mail = case.mail()
    blocks = resolve.fill(mail, case.catalogue, looked)
    assert looked <= resolve.items_wanted(mail)
    known = {*looked, *case.known.fallback}
    rest = {item_id: row for item_id, row in case.catalogue.items() if item_id in known}
    assert case._replace(catalogue=rest).blocks() == blocks


@PROPERTY
@given(CASES)
def test_what_is_asked_of_the_store_is_all_that_the_ladders_use(case: Case) -> None:
    """Three categories are asked for, so only their scopes can matter; likewise the neighbours of the seeds."""
    user = replace(case.user, top_categories=case.user.top_categories[: resolve.CATEGORIES])
    known = replace(case.known, user=user)
    wanted = resolve.wanted(case.layout, user)
    assert len(set(wanted.scopes)) == len(wanted.scopes)
    read = replace(
        known,
        scopes={name: scope for name, scope in known.scopes.items() if name in wanted.scopes},
        neighbours={item_id: found for item_id, found in known.neighbours.items() if item_id in wanted.seeds},
    )
    assert case._replace(known=read).blocks() == case._replace(known=known).blocks()


@PROPERTY
@given(CASES)
def test_a_ladder_goes_down_and_ends_on_what_needs_nobody(case: Case) -> None:
    order = ["personal", "segment", "popular", "static"]
    plain = replace(
        case.layout, blocks=tuple(replace(plan, fallback=None, pins=(), filters=None) for plan in case.layout.blocks)
    )
    for offer in case._replace(layout=plain).mail().offers:
        if not offer.kind.content:
            rungs = list(offer.rungs)
            steps = [order.index(rung.source) for rung in rungs]
            assert steps == sorted(steps)
            assert (rungs[-1].source, rungs[-1].ids) == ("static", case.known.fallback)


ANY = Layout("mail", (BlockPlan("recommended", "ours"),))
LONG = tuple(f"n{number}" for number in range(100))


def mail(user: UserFeatures, excluded: tuple[str, ...], sold_out: tuple[str, ...] = ()) -> Block:
    """A mail with one block of what is trending, where a hundred items are."""
    known = Known(user, {"all": ScopeFeatures(LONG, LONG)}, {}, LONG)
    rows = {item_id: replace(WHOLE, in_stock=item_id not in sold_out) for item_id in LONG}
    layout = Layout("mail", (BlockPlan("trending", "ours", count=4),))
    (block,) = resolve.fill(resolve.prepare(layout, known, excluded), rows)
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
    ("cart", "title", "template"),
    [
        (["a"], "You left this behind", ""),
        ([], "Worth a look", "list"),
    ],
)
def test_the_title_and_the_button_of_a_cart_stand_with_a_cart_alone(cart: list[str], title: str, template: str) -> None:
    user = UserFeatures(cart_items=cart, recent_items=["a"])
    layout = Layout("mail", (BlockPlan("abandoned_cart", "You left this behind", "Worth a look"),))
    (block,) = resolve.fill(resolve.prepare(layout, Known(user, {}, {})), {"a": WHOLE})
    assert (shown((block,)), block.title, block.template) == (["a"], title, template)
    assert ("Back to your cart" in render_html(answer_of(block))) == bool(cart)


def answer_of(*blocks: Block) -> Answer:
    return Answer("mail", "u1", None, "2026-01-01T00:00:00Z", None, blocks, "en", ())


def test_a_reason_names_the_title_of_the_item_that_led_there() -> None:
    rows = {"seen": replace(WHOLE, title="A kettle", in_stock=False), "near": WHOLE}
    user = UserFeatures(recent_items=["seen"])
    known = Known(user, {}, {"seen": {"near": 0.5}})
    layout = Layout("mail", (BlockPlan("recommended", "ours"),))
    (block,) = resolve.fill(resolve.prepare(layout, known), rows)
    assert [(item.item_id, item.reason) for item in block.items] == [("near", "because you viewed A kettle")]


@pytest.mark.parametrize(
    ("by", "order"), [(3, ["a", "f", "b", "c", "d", "e"]), (6, ["f", "a", "b", "c", "d", "e"]), (1, [*"abcdef"])]
)
def test_a_boost_moves_an_item_to_where_its_page_says(by: float, order: list[str]) -> None:
    rows = {**dict.fromkeys("abcde", WHOLE), "f": replace(WHOLE, brand="Best")}
    known = Known(UserFeatures(), {"all": ScopeFeatures([*"abcdef"])}, {})
    plan = BlockPlan("trending", "ours", count=6, boosts=(Boost(by, brand="Best"),))
    assert shown(resolve.fill(resolve.prepare(Layout("mail", (plan,)), known), rows)) == order


def test_what_is_hidden_is_not_named_in_a_reason() -> None:
    rows = {"seen": replace(WHOLE, title="A whip", category="Adult/Whips"), "near": WHOLE}
    known = Known(UserFeatures(recent_items=["seen"]), {}, {"seen": {"near": 0.5}})
    for rules, reason in (
        (Rules(), "because you viewed A whip"),
        (Rules(Hidden(items=("seen",))), "picked for you"),
        (Rules(Hidden(categories=("Adult",))), "picked for you"),
        (Rules(only_for=(OnlyFor(("FR",), category="Adult"),)), "picked for you"),
    ):
        layout = Layout("mail", (BlockPlan("recommended", "ours"),), rules=rules)
        (block,) = resolve.fill(resolve.prepare(layout, known), rows)
        assert [item.reason for item in block.items] == [reason]


def test_a_category_that_is_hidden_is_liked_by_nobody() -> None:
    known = Known(UserFeatures(top_categories=["Adult/Whips", "Home"]), {"all": ScopeFeatures(["a"])}, {})
    layout = Layout("mail", (BlockPlan("trending", "More of {category}", "More"),), rules=Rules(Hidden((), ("Adult",))))
    (block,) = resolve.fill(resolve.prepare(layout, known), {"a": WHOLE})
    assert block.title == "More of Home"


@pytest.mark.parametrize(
    ("country", "locale", "title"),
    [
        ("FR", "en", "Trending in France"), ("de", "en", "Trending in Germany"), ("DE", "fr", "Trending in Allemagne"),
        ("Narnia", "en", "Trending"), ("ZZ", "en", "Trending"), (None, "en", "Trending"),
    ],
)  # fmt: skip
def test_a_title_calls_a_country_by_its_name(country: str | None, locale: str, title: str) -> None:
    known = Known(UserFeatures(country=country, locale=locale), {"all": ScopeFeatures(["a"])}, {})
    layout = Layout("mail", (BlockPlan("trending", "Trending in {country}", "Trending"),))
    (block,) = resolve.fill(resolve.prepare(layout, known), {"a": WHOLE})
    assert block.title == title


@pytest.mark.parametrize("untitled", [None, CatalogueRow(), CatalogueRow(title="")])
def test_a_reason_does_without_a_title_that_is_not_known(untitled: CatalogueRow | None) -> None:
    rows = {"near": WHOLE} | ({"seen": untitled} if untitled else {})
    user = UserFeatures(recent_items=["seen"])
    known = Known(user, {}, {"seen": {"near": 0.5}})
    layout = Layout("mail", (BlockPlan("recommended", "ours"),))
    (block,) = resolve.fill(resolve.prepare(layout, known), rows)
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
    assert resolve.wanted(ANY, user).scopes == wanted


def test_the_seeds_of_a_user_are_bounded_and_the_cart_comes_first() -> None:
    user = UserFeatures(
        cart_items=[f"c{n}" for n in range(50)], recent_items=[f"r{n}" for n in range(30)],
        purchased_items=[f"p{n}" for n in range(200)],
    )  # fmt: skip
    seeds = resolve.wanted(ANY, user).seeds
    assert seeds[:10] == [f"c{n}" for n in range(10)]
    assert len(seeds) == 25
