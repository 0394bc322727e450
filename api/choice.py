"""Choice: what a block of a layout asks for beyond the one rule: filters, boosts, diversity, how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from api.eligibility import within
from api.known import CatalogueRow
from api.plans import Boost, Diversity, Filters, FrequencyCap

DAY: Final = 86_400


def passes(filters: Filters, row: CatalogueRow) -> bool:
    """Whether an item is what a block asks for."""
    if filters.category and not within(row.category, filters.category):
        return False
    if filters.brand and row.brand not in filters.brand:
        return False
    if filters.in_stock and not row.in_stock:
        return False
    price = row.price
    if filters.price is not None and (
        price is None or price < filters.price.min or (filters.price.max is not None and price > filters.price.max)
    ):
        return False
    return not filters.min_discount or discount(row) >= filters.min_discount


def discount(row: CatalogueRow) -> float:
    """How many percent an item is below its list price; 0 where that is not known or not higher."""
    if row.price is None or row.list_price is None or row.list_price <= max(row.price, 0):
        return 0.0
    return 100 * (1 - row.price / row.list_price)


def worn_out(served: Mapping[str, Sequence[int]], cap: FrequencyCap, now: int) -> set[str]:
    """The items that went to the user as often as the cap allows."""
    since = now - cap.days * DAY
    return {item_id for item_id, times in served.items() if sum(at > since for at in times) >= cap.times}


def boosted(boosts: tuple[Boost, ...], item_id: str, row: CatalogueRow) -> float:
    """By how much an item is moved up: all boosts that concern it, multiplied."""
    factor = 1.0
    for boost in boosts:
        if (
            (boost.item is None or boost.item == item_id)
            and (boost.brand is None or boost.brand == row.brand)
            and (boost.category is None or within(row.category, (boost.category,)))
            and (not boost.discounted or discount(row) > 0)
        ):
            factor *= boost.by
    return factor


def has_room(diversity: Diversity, row: CatalogueRow, crowd: Counter[tuple[str, str]]) -> bool:
    """Whether the block has room for one more of its category and brand; unknown ones are never too many."""
    return not (
        (diversity.category and row.category and crowd["category", row.category] >= diversity.category)
        or (diversity.brand and row.brand and crowd["brand", row.brand] >= diversity.brand)
    )
