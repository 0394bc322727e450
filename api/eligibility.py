"""Eligibility: the one rule that says on every rung of every block whether an item may be shown at all."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from api.known import CatalogueRow, UserFeatures
from api.plans import OnlyFor, Rules


class Eligibility:
    """The rule for one mail to one user.

    An item is shown unless the user bought it, or has it in the cart where a block is about other things; it is sold
    out; the shop hides it, or sells it in other countries alone; it lacks a title, link, picture or price; or the
    caller left it out.

    Args:
        user: what is known of the reader.
        rules: what the shop hides, and what it sells where.
        excluded: what the caller leaves out.
    """

    def __init__(self, user: UserFeatures, rules: Rules, excluded: Collection[str]) -> None:
        self._gone = {*user.purchased_items, *excluded, *rules.hidden.items}
        self._gone_or_in_cart = self._gone.union(user.cart_items)
        hidden = rules.hidden
        self._hidden_categories, self._hidden_brands = hidden.categories, frozenset(hidden.brands)
        self._hidden_items = hidden.items
        self._elsewhere: Sequence[OnlyFor] = ()
        if rules.only_for:
            country = (user.country or "").upper()
            self._elsewhere = [only for only in rules.only_for if country not in only.countries]
        self._ruled = bool(hidden.items or self._hidden_categories or self._hidden_brands or self._elsewhere)

    def barred(self, shows_cart: bool) -> set[str]:
        """The items that are out, whatever their rows say, of a block that may show the cart or may not."""
        return self._gone if shows_cart else self._gone_or_in_cart

    def complete(self, item_id: str, row: CatalogueRow) -> bool:
        """Whether an item's row lets it be shown."""
        return (
            row.in_stock is not False
            and bool(row.title and row.url and row.image_url)
            and row.price is not None
            and not (self._ruled and self._ruled_out(item_id, row))
        )

    def may_name(self, item_id: str, row: CatalogueRow) -> bool:
        """Whether words of the mail, such as a reason, may speak of an item: not of what the shop hides."""
        return not self._ruled or not (item_id in self._hidden_items or self._ruled_out(item_id, row))

    def likes(self, user: UserFeatures) -> UserFeatures:
        """The user with such categories alone as the mail may speak of."""
        liked = user.top_categories
        told = [each for each in liked if self.may_name("", CatalogueRow(category=each))] if self._ruled else liked
        return user if len(told) == len(liked) else msgspec.structs.replace(user, top_categories=told)

    def _ruled_out(self, item_id: str, row: CatalogueRow) -> bool:
        return (
            row.brand in self._hidden_brands
            or within(row.category, self._hidden_categories)
            or any(_concerns(only, item_id, row) for only in self._elsewhere)
        )


def within(category: str | None, paths: Sequence[str]) -> bool:
    """Whether a category is one of some, or below one."""
    return category is not None and any(category == path or category.startswith(f"{path}/") for path in paths)


def _concerns(only: OnlyFor, item_id: str, row: CatalogueRow) -> bool:
    """Whether an item is among those that are sold in some countries alone: all that is said must hold."""
    return (
        (only.item is None or only.item == item_id)
        and (only.brand is None or only.brand == row.brand)
        and (only.category is None or within(row.category, (only.category,)))
    )
