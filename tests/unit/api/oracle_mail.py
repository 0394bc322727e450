"""The blocks of a mail once more, by brute force: from the words of the manual, sharing no code with the product.

Everything is looked at, nothing is cut, every rule is asked of every item anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from api.known import CatalogueRow, Known
from api.plans import BlockPlan, Layout

DAY = 24 * 60 * 60


class Step(NamedTuple):
    """A rung: who answers, whether it is what the kind is about, and items, each with its reason in words."""

    source: str
    own: bool
    items: list[tuple[str, str]]
    fits: Callable[[str], bool] = lambda item_id: True


class Expected(NamedTuple):
    """A block as it must be."""

    block: str
    title: str
    source: str
    items: list[tuple[str, str]]


class Oracle:
    """What the mail to one user must be."""

    def __init__(
        self, layout: Layout, known: Known, catalogue: Mapping[str, CatalogueRow], excluded: Collection[str]
    ) -> None:
        self.layout, self.known, self.rows, self.excluded = layout, known, catalogue, excluded
        self.user = known.user
        self.country = self.user.country.upper() if self.user.country else None
        self.likes = [each for each in self.user.top_categories if not self.is_unmentionable(None, None, each)]
        self.taken: list[str] = []

    def blocks(self) -> list[Expected]:
        return [self.block(plan) for plan in self.layout.blocks]

    def block(self, plan: BlockPlan) -> Expected:
        here = not (plan.filters and plan.filters.countries) or self.country in plan.filters.countries
        if plan.block in ("editorial", "message"):
            return self.content(plan, here)
        chosen: list[tuple[str, str]] = []
        source, own = None, False
        for item_id in plan.pins if here else ():
            if len(chosen) < plan.count and self.may_stand(item_id, plan) and item_id not in self.taken:
                chosen.append((item_id, "our choice"))
                self.taken.append(item_id)
        for step in self.ladder(plan) if here else ():
            if source and plan.block in ("abandoned_cart", "recently_viewed", "wishlist"):
                break
            right = [
                (item_id, reason)
                for item_id, reason in dict(reversed(step.items)).items()
                if self.may_stand(item_id, plan) and item_id not in self.taken and self.is_asked_for(item_id, plan)
            ]
            right = [each for each in right if step.fits(each[0])]
            right.sort(key=lambda each: [item_id for item_id, _ in step.items].index(each[0]))
            placed = [((place + 1) / self.lift(each[0], plan), -place, each) for place, each in enumerate(right)]
            for _, _, each in sorted(placed):
                if len(chosen) < plan.count and self.leaves_room(each[0], [item_id for item_id, _ in chosen], plan):
                    chosen.append(each)
                    self.taken.append(each[0])
                    if not source:
                        source, own = step.source, step.own
        return Expected(plan.block, self.title(plan, own), source or "static", chosen)

    def content(self, plan: BlockPlan, here: bool) -> Expected:
        pieces = [
            piece
            for piece in plan.content
            if here and piece.id not in self.taken and piece.id not in self.excluded
            and piece.id not in self.user.purchased_items and piece.id not in self.layout.rules.hidden.items
            and piece.id not in self.user.cart_items and not self.went_too_often(piece.id, plan)
        ][: plan.count]  # fmt: skip
        self.taken += [piece.id for piece in pieces]
        return Expected(plan.block, self.title(plan, True), "static", [(piece.id, str(piece.text)) for piece in pieces])

    def title(self, plan: BlockPlan, own: bool) -> str:
        title = str(plan.title)
        if plan.fallback_title and not own:
            return str(plan.fallback_title)
        liked = self.likes
        for name, value in (
            ("category", liked[0].split("/")[-1] if liked else None), ("first_name", self.user.first_name),
        ):  # fmt: skip
            if f"{{{name}}}" in title:
                if not value and plan.fallback_title:
                    return str(plan.fallback_title)
                title = title.replace(f"{{{name}}}", value or "")
        return title

    # Which items may stand anywhere, and which in this block.

    def may_stand(self, item_id: str, plan: BlockPlan) -> bool:
        row = self.rows.get(item_id)
        if row is None or not row.title or not row.url or not row.image_url or row.price is None:
            return False
        if row.in_stock is False or item_id in self.user.purchased_items or item_id in self.excluded:
            return False
        if item_id in self.user.cart_items and plan.block not in ("abandoned_cart", "price_drop", "back_in_stock"):
            return False
        if self.is_unmentionable(item_id, row.brand, row.category):
            return False
        return not self.went_too_often(item_id, plan)

    def went_too_often(self, item_id: str, plan: BlockPlan) -> bool:
        cap = plan.frequency_cap
        if cap is None:
            return False
        ages = [self.known.now - at for at in self.known.served.get(item_id, ())]
        return len([age for age in ages if age < cap.days * DAY]) >= cap.times

    def is_asked_for(self, item_id: str, plan: BlockPlan) -> bool:
        filters, row = plan.filters, self.rows[item_id]
        if filters is None:
            return True
        assert row.price is not None
        reduced = row.list_price is not None and row.list_price > row.price
        percent = (row.list_price - row.price) / row.list_price * 100 if reduced and row.list_price else 0
        return (
            (not filters.category or any(below(row.category, path) for path in filters.category))
            and (not filters.brand or row.brand in filters.brand)
            and (not filters.in_stock or row.in_stock is True)
            and (filters.price is None or row.price >= filters.price.min)
            and (filters.price is None or filters.price.max is None or row.price <= filters.price.max)
            and percent >= filters.min_discount
        )

    def lift(self, item_id: str, plan: BlockPlan) -> float:
        row, lift = self.rows[item_id], 1.0
        for boost in plan.boosts:
            if boost.item is not None and boost.item != item_id:
                continue
            if boost.brand is not None and boost.brand != row.brand:
                continue
            if boost.category is not None and not below(row.category, boost.category):
                continue
            if boost.discounted and not (row.list_price and row.price is not None and row.list_price > row.price):
                continue
            lift *= boost.by
        return lift

    def leaves_room(self, item_id: str, chosen: list[str], plan: BlockPlan) -> bool:
        if plan.diversity is None:
            return True
        row = self.rows[item_id]
        for field, most in (("category", plan.diversity.category), ("brand", plan.diversity.brand)):
            value = getattr(row, field)
            if most and value and [getattr(self.rows[each], field) for each in chosen].count(value) >= most:
                return False
        return True

    # The ladders.

    def ladder(self, plan: BlockPlan) -> Iterable[Step]:
        yield from self.own(plan.block, plan)
        if plan.filters and plan.fallback is None:
            for path in plan.filters.category:
                if scope := self.known.scopes.get(f"category:{path}"):
                    yield Step("popular", False, told(scope.items, f"popular in {path.split('/')[-1]}"))
        stand_ins = STAND_INS[plan.block] if plan.fallback is None else plan.fallback
        for name in stand_ins:
            if name == "static":
                yield Step("static", False, told(self.known.fallback, "worth a look"))
            else:
                for step in self.own(name, plan):
                    yield step._replace(own=False)

    def own(self, kind: str, plan: BlockPlan) -> list[Step]:
        user = self.user
        if kind == "recently_viewed":
            return [Step("personal", True, told(user.recent_items, "you viewed it"))]
        if kind == "abandoned_cart":
            return [Step("personal", True, told(user.cart_items, "still in your cart"))]
        if kind == "wishlist":
            return [Step("personal", True, told(user.wishlist_items, "on your wishlist"))]
        if kind == "recommended":
            weights = self.weights(
                (user.cart_items, 2.0, 10), (user.recent_items, 1.0, 10), (user.purchased_items, 1.0, 5)
            )
            return [Step("personal", True, self.near(weights, None)), *self.liked("items", "popular in", False)]
        if kind == "similar":
            weights = self.weights((user.recent_items, 1.0, 10))
            found, seeds = self.near(weights, "similar to"), self.best(weights)
            return [
                Step("personal", True, found, lambda item_id: self.alike(item_id, seeds[item_id])),
                *self.liked("items", "popular in", False),
            ]
        if kind == "bought_together":
            weights = self.weights((user.purchased_items, 1.0, 10), (user.cart_items, 1.0, 10))
            return [Step("personal", True, self.near(weights, "goes with"))]
        if kind == "trending":
            return self.popular("items", "trending now")
        if kind == "bestsellers":
            return [*self.liked("bestsellers", "bestseller in", True), *self.popular("bestsellers", "bestseller")]
        if kind == "category_picks":
            lists = [step.items for step in self.liked("items", "popular in", True)]
            turns = [
                each[turn] for turn in range(max(map(len, lists), default=0)) for each in lists if turn < len(each)
            ]
            return [Step("segment", True, turns)]
        return self.lately(kind, plan)

    def lately(self, kind: str, plan: BlockPlan) -> list[Step]:
        moment, words = {
            "new_arrivals": ("added_at", "new since"), "price_drop": ("price_dropped_at", "cheaper since"),
            "back_in_stock": ("restocked_at", "back since"),
        }[kind]  # fmt: skip
        user, since = self.user, self.known.now - (plan.within_days or 30) * DAY

        def fits(item_id: str) -> bool:
            at = getattr(self.rows[item_id], moment)
            return at is not None and at >= since and (kind != "back_in_stock" or bool(self.rows[item_id].in_stock))

        def dated(ids: Iterable[str]) -> list[tuple[str, str]]:
            return [(item_id, f"{words} {day(getattr(self.rows.get(item_id), moment, None))}") for item_id in ids]

        own = [] if kind == "new_arrivals" else [*user.cart_items, *user.wishlist_items, *user.recent_items]
        lists = self.known.lately.get(moment, {})
        steps = [("personal", own)]
        steps += [("segment", list(lists.get(f"category:{liked}", ()))) for liked in self.likes]
        steps += [("popular", list(lists.get("all", ())))]
        return [Step(source, True, dated(ids), fits) for source, ids in steps]

    def popular(self, of: str, words: str) -> list[Step]:
        names = [f"country:{self.country}", "all"]
        return [
            Step("popular", True, told(getattr(self.known.scopes[name], of), words))
            for name in names
            if name in self.known.scopes
        ]

    def liked(self, of: str, words: str, own: bool) -> list[Step]:
        return [
            Step(
                "segment",
                own,
                told(getattr(self.known.scopes[f"category:{liked}"], of), f"{words} {liked.split('/')[-1]}"),
            )
            for liked in self.likes
            if f"category:{liked}" in self.known.scopes
        ]

    # What goes with what.

    def weights(self, *lists: tuple[Any, float, int]) -> dict[str, float]:
        found: dict[str, float] = {}
        for ids, weight, most in lists:
            for rank, item_id in enumerate(ids):
                if rank < most:
                    found[item_id] = found.get(item_id, 0) + weight * 0.8**rank
        return found

    def shares(self, weights: dict[str, float]) -> dict[str, list[tuple[float, str]]]:
        """What each seed gives to each neighbour, in the order of the seeds."""
        found: dict[str, list[tuple[float, str]]] = {}
        for seed, weight in weights.items():
            for item_id, nearness in self.known.neighbours.get(seed, {}).items():
                if nearness > 0 and item_id not in weights:
                    found.setdefault(item_id, []).append((weight * nearness, seed))
        return found

    def best(self, weights: dict[str, float]) -> dict[str, str]:
        return {item_id: max(given, key=lambda each: each[0])[1] for item_id, given in self.shares(weights).items()}

    def near(self, weights: dict[str, float], words: str | None) -> list[tuple[str, str]]:
        shares, best = self.shares(weights), self.best(weights)
        ranked = sorted(shares, key=lambda item_id: (-sum(share for share, _ in shares[item_id]), item_id))
        return [(item_id, self.why(best[item_id], words)) for item_id in ranked]

    def why(self, seed: str, words: str | None) -> str:
        bought = seed in self.user.purchased_items
        words = words or ("because you viewed" if seed in self.user.recent_items and not bought else "goes with")
        row = self.rows.get(seed)
        if row is None or not row.title or self.is_unmentionable(seed, row.brand, row.category):
            return "picked for you"
        return f"{words} {row.title}"

    def is_unmentionable(self, item_id: str | None, brand: str | None, category: str | None) -> bool:
        """Whether the shop hides something, from everybody or from this reader."""
        hidden = self.layout.rules.hidden
        if (
            item_id in hidden.items
            or brand in hidden.brands
            or any(below(category, path) for path in hidden.categories)
        ):
            return True
        for only in self.layout.rules.only_for:
            concerned = [
                only.item in (None, item_id), only.brand in (None, brand),
                only.category is None or below(category, only.category),
            ]  # fmt: skip
            if all(concerned) and self.country not in only.countries:
                return True
        return False

    def alike(self, item_id: str, seed: str) -> bool:
        row, other = self.rows[item_id], self.rows.get(seed)
        return row.category is not None and other is not None and row.category == other.category


STAND_INS: dict[str, tuple[str, ...]] = {
    "recently_viewed": ("trending", "static"),
    "abandoned_cart": ("recently_viewed", "trending", "static"),
    "recommended": ("trending", "static"),
    "similar": ("trending", "static"),
    "bought_together": ("category_picks", "bestsellers", "static"),
    "trending": ("static",),
    "bestsellers": ("trending", "static"),
    "category_picks": ("bestsellers", "trending", "static"),
    "new_arrivals": ("trending", "static"),
    "price_drop": ("trending", "static"),
    "back_in_stock": ("trending", "static"),
    "wishlist": ("recently_viewed", "trending", "static"),
}


def told(ids: Iterable[str], words: str) -> list[tuple[str, str]]:
    return [(item_id, words) for item_id in ids]


def below(category: str | None, path: str) -> bool:
    return category is not None and category.split("/")[: len(path.split("/"))] == path.split("/")


def day(at: int | None) -> str:
    return f"{datetime.fromtimestamp(at, timezone.utc):%b %-d}" if at is not None else "never"
