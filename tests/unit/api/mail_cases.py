"""Cases of mails: all that the blocks of one mail are made from, at random.

A case is made of one string of bytes, each a choice, and zeros choose the simplest: Hypothesis draws and shrinks one
string far faster than a thousand small values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from api import resolve
from api.answer import Block
from api.blocks import KINDS
from api.known import CatalogueRow, Known, ScopeFeatures, UserFeatures, nearest
from api.plans import (
    BlockPlan,
    Boost,
    Content,
    Diversity,
    Filters,
    FrequencyCap,
    Hidden,
    Layout,
    OnlyFor,
    PriceRange,
    Rules,
)
from tests.unit.api.oracle_mail import DAY, Expected, Oracle

T = TypeVar("T")
NOW = 1_700_000_000
WHOLE = CatalogueRow(
    title="Lamp", url="https://shop.example/p", image_url="https://shop.example/i", price=9.5, list_price=12.0,
    currency="EUR", category="A/B", brand="Ours", in_stock=True, added_at=NOW - DAY, price_dropped_at=NOW - 31 * DAY,
)  # fmt: skip
CHANGES: tuple[dict[str, Any], ...] = (
    {"title": None}, {"title": ""}, {"url": None}, {"url": ""}, {"image_url": None}, {"image_url": ""},
    {"price": None}, {"in_stock": False}, {"in_stock": False}, {"in_stock": None, "restocked_at": NOW},
    {"price": 0.0}, {"price": 30.0}, {"price": 11.5}, {"list_price": None, "brand": "Theirs"}, {"category": "A"},
    {"category": "C", "brand": "Theirs"}, {"category": "C"}, {"category": "Cars"}, {"category": None, "brand": None},
    {"price_dropped_at": NOW - DAY}, {"price_dropped_at": NOW - 30 * DAY, "category": "C"}, {"restocked_at": NOW - DAY},
    {"restocked_at": NOW - 5 * DAY, "price_dropped_at": None}, {"added_at": None}, {"added_at": NOW - 40 * DAY},
    {"in_stock": None},
)  # fmt: skip
ROWS = (*[WHOLE] * 10, None, *(replace(WHOLE, **change) for change in CHANGES))
IDS = [f"i{number}" for number in range(12)]
LIKED = ("A/B", "C", "D/{}", "E")
MOMENTS = ("added_at", "price_dropped_at", "restocked_at")
PRODUCTS = [name for name, kind in KINDS.items() if not kind.content]


class Case(NamedTuple):
    """Everything that the blocks of one mail are made from."""

    layout: Layout
    known: Known
    catalogue: dict[str, CatalogueRow]
    excluded: frozenset[str]

    @property
    def user(self) -> UserFeatures:
        return self.known.user

    def mail(self) -> resolve.Mail:
        return resolve.prepare(self.layout, self.known, self.excluded)

    def blocks(self) -> tuple[Block, ...]:
        return resolve.fill(self.mail(), self.catalogue)

    def expected(self) -> list[Expected]:
        return Oracle(self.layout, self.known, self.catalogue, self.excluded).blocks()

    def products(self, blocks: tuple[Block, ...]) -> Iterator[tuple[str, CatalogueRow]]:
        """Every product shown, with its row."""
        for plan, block in zip(self.layout.blocks, blocks, strict=True):
            for item in block.items if not plan.content else ():
                yield item.item_id, self.catalogue[item.item_id]


def cases(*always: str) -> st.SearchStrategy[Case]:
    """Cases; the options named are always there, others seldom."""
    return st.binary(min_size=480, max_size=480).map(lambda drawn: _Maker(drawn, always).case())


class _Maker:
    """Makes a case of bytes."""

    def __init__(self, drawn: bytes, always: Sequence[str]) -> None:
        self._drawn, self._always = iter(drawn), always

    def of(self, choices: Sequence[T]) -> T:
        return choices[next(self._drawn, 0) % len(choices)]

    def some(self, choices: Sequence[T], most: int) -> list[T]:
        """Some of the choices, each once, in an order that says nothing."""
        left = list(choices)
        many = min(self.of(range(most + 1)), len(left))
        return [left.pop(next(self._drawn, 0) % len(left)) for _ in range(many)]

    def seldom(self, name: str) -> bool:
        return self.of((False, False, True)) or name in self._always

    def case(self) -> Case:
        known = self.known()
        rows = {item_id: self.of(ROWS) for item_id in IDS}
        catalogue = {
            item_id: replace(row, title=row.title and f"{row.title} {item_id}") for item_id, row in rows.items() if row
        }
        blocks = tuple(self.plan() for _ in range(self.of((1, 2, 3, 4))))
        excluded = frozenset(self.some(IDS, 2)) if self.seldom("excluded") else frozenset()
        return Case(Layout("mail", blocks, rules=self.rules()), known, catalogue, excluded)

    def known(self) -> Known:
        user = UserFeatures(
            recent_items=self.some(IDS, 6), cart_items=self.some(IDS, 3), purchased_items=self.some(IDS, 2),
            wishlist_items=self.some(IDS, 3), top_categories=self.some(LIKED, 4),
            country=self.of((None, "FR", "FR", "fr", "", "Narnia")), first_name=self.of((None, "Ada", "{category}")),
        )  # fmt: skip
        scopes = {
            name: ScopeFeatures(self.some(IDS, 7), self.some(IDS, 7))
            for name in self.some(("all", "country:FR", "category:A/B", "category:C", "category:D/{}"), 5)
        }
        near = {
            item_id: nearest((other, self.of((0.5, 0.1, 1.0, 0.0))) for other in self.some(IDS, 4))
            for item_id in self.some(IDS, 6)
        }
        lately: Mapping[str, Mapping[str, list[str]]] = {
            moment: {scope: self.some(IDS, 5) for scope in self.some(("all", "category:A/B", "category:C"), 3)}
            for moment in self.some(MOMENTS, 3)
        }
        served = {item_id: [NOW - self.of((0, 1, 3)) * DAY for _ in range(2)] for item_id in self.some(IDS, 4)}
        return Known(user, scopes, near, tuple(self.some(IDS, 7)), lately, NOW, served)

    def plan(self) -> BlockPlan:
        if self.of((False,) * 7 + (True,)):
            return self.story()
        names = [*self.some(PRODUCTS, 2), *self.of(((), ("static",)))]
        return BlockPlan(
            block=self.of(PRODUCTS),
            title=self.of(("ours", "ours", "of {category}", "for {first_name}")),
            fallback_title=self.of((None, "theirs", "theirs")),
            count=self.of((1, 2, 3, 4)),
            filters=self.filters() if self.seldom("filters") else None,
            pins=tuple(self.some(IDS, 3)) if self.seldom("pins") else (),
            boosts=(self.boost(), self.boost()) if self.seldom("boosts") else (),
            diversity=Diversity(self.of((1, 2, None)), self.of((1, 2, None))) if self.seldom("diversity") else None,
            frequency_cap=FrequencyCap(self.of((1, 2)), self.of((1, 2, 3, 4))) if self.seldom("caps") else None,
            fallback=tuple(names) if self.seldom("fallback") else None,
            within_days=self.of((1, 30, 50)) if self.seldom("within_days") else None,
            template="list" if self.seldom("template") else None,
        )

    def story(self) -> BlockPlan:
        pieces = tuple(Content(each, f"On {each}", f"All of {each}") for each in ("x", *self.some(("y", "i0"), 2)))
        filters = Filters(countries=self.countries()) if self.seldom("countries") else None
        kind = self.of(("editorial", "message"))
        return BlockPlan(kind, "ours", count=self.of((1, 2)), content=pieces, filters=filters)

    def filters(self) -> Filters:
        return Filters(
            category=tuple(self.some(("A", "A/B", "C"), 2)) if self.seldom("category") else (),
            brand=(self.of(("Ours", "Theirs")),) if self.seldom("brand") else (),
            price=PriceRange(self.of((0.0, 9.5, 10.0)), self.of((None, 9.5, 11.5))) if self.seldom("price") else None,
            in_stock=self.seldom("in_stock"),
            min_discount=self.of((1.0, 20.0)) if self.seldom("min_discount") else 0.0,
            countries=self.countries() if self.seldom("countries") else (),
        )

    def countries(self) -> tuple[str, ...]:
        return self.of((("FR",), ("DE",), ("FR", "DE")))

    def boost(self) -> Boost:
        by = self.of((3.0, 0.4))
        return self.of(
            (
                Boost(by, brand="Theirs"), Boost(by, category="A"), Boost(by, category="C"), Boost(by, discounted=True),
                Boost(by, item=self.of(IDS)),
            )
        )  # fmt: skip

    def rules(self) -> Rules:
        hidden, only = Hidden(), None
        if self.seldom("hidden"):
            hidden = self.of(
                (
                    Hidden(items=tuple(self.some(IDS, 3))), Hidden(categories=("C",)), Hidden(categories=("A",)),
                    Hidden(brands=("Theirs",)),
                )
            )  # fmt: skip
        if self.seldom("only_for"):
            for_ = self.countries()
            only = self.of(
                (
                    OnlyFor(for_, category="A"), OnlyFor(for_, category="C"), OnlyFor(for_, brand="Theirs"),
                    OnlyFor(for_, brand="Ours", item="i1"), OnlyFor(for_, item=self.of(IDS)),
                )
            )  # fmt: skip
        return Rules(hidden, (only,) if only else ())
