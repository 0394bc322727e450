"""What is known when blocks are resolved: features as values. A missing feature is a value too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct


class UserFeatures(Struct, frozen=True):
    """What blocks need to know of a user; one never seen has empty lists. `as_of` is in microseconds since 1970.

    `stale` names the views whose rows are there and too old: of these only what was bought is still told, since that
    is never to be shown.
    """

    recent_items: Sequence[str] = ()
    cart_items: Sequence[str] = ()
    purchased_items: Sequence[str] = ()
    wishlist_items: Sequence[str] = ()
    top_categories: Sequence[str] = ()
    country: str | None = None
    locale: str | None = None
    first_name: str | None = None
    profile_allowed: bool | None = None
    as_of: int | None = None
    stale: tuple[str, ...] = ()


class CatalogueRow(Struct, frozen=True, gc=False):
    """What a mail shows of an item, and what decides whether it may; times are seconds since 1970."""

    title: str | None = None
    url: str | None = None
    image_url: str | None = None
    price: float | None = None
    list_price: float | None = None
    currency: str | None = None
    category: str | None = None
    brand: str | None = None
    in_stock: bool | None = None
    added_at: int | None = None
    price_dropped_at: int | None = None
    restocked_at: int | None = None


class ScopeFeatures(Struct, frozen=True):
    """What is trending in a scope, and what was bought most; best first. `as_of` is in microseconds since 1970."""

    items: Sequence[str] = ()
    bestsellers: Sequence[str] = ()
    as_of: int | None = None


def nearest(near: Iterable[tuple[str, float]]) -> dict[str, float]:
    """What goes with an item and how well, as rungs take it: the nearest first, equal ones by their ids."""
    return dict(sorted([each for each in near if each[1] > 0], key=lambda each: (-each[1], each[0])))


class Known(Struct, frozen=True):
    """All that rungs are built from.

    Attributes:
        user: the reader of the mail.
        scopes: what is popular, by scope.
        neighbours: what goes with the user's items, each as `nearest` makes it.
        fallback: items that may stand in for anything.
        lately: of each moment (`added_at price_dropped_at restocked_at`) by scope the items it came to, newest first.
        now: the time of the mail, in seconds since 1970.
        served: when an item went into earlier mails to the user, in seconds since 1970.
    """

    user: UserFeatures
    scopes: Mapping[str, ScopeFeatures]
    neighbours: Mapping[str, Mapping[str, float]]
    fallback: tuple[str, ...] = ()
    lately: Mapping[str, Mapping[str, Sequence[str]]] = {}
    now: int = 0
    served: Mapping[str, Sequence[int]] = {}
