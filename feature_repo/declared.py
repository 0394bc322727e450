"""The features as plain tables: entities, their views, and the fields of each with the field of Feast's Value it is in.

`features.py` declares them to Feast, `layout.py` reads and writes their bytes; both are made of these tables. Feast's
package takes more to import than the whole service, so whoever only reads and writes bytes goes without.
Inside one entity every feature has a name of its own, so that a row of an entity is one flat record.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

INT: Final = "int64_val"
FLOAT: Final = "double_val"
TEXT: Final = "string_val"
BOOL: Final = "bool_val"
BYTES: Final = "bytes_val"
TIME: Final = "unix_timestamp_val"
INTS: Final = "int64_list_val"
FLOATS: Final = "double_list_val"
TEXTS: Final = "string_list_val"
TIMES: Final = "unix_timestamp_list_val"

WINDOWS: Final = ("1h", "24h", "7d", "30d")
KINDS: Final = ("views", "clicks", "carts", "purchases", "email_opens", "email_clicks")
ITEM_WINDOWS: Final = ("1h", "24h", "7d")
ITEM_KINDS: Final = ("views", "carts", "purchases")


class View(NamedTuple):
    """Features that are of one time.

    Attributes:
        days: how long a row is good.
        description: for people.
        fields: by name, the field of Value that holds it.
    """

    name: str
    days: int
    description: str
    fields: Mapping[str, str]


class Entity(NamedTuple):
    """What features are of.

    Attributes:
        join_key: what the name of one is called.
        description: for people.
    """

    name: str
    join_key: str
    description: str
    views: tuple[View, ...]


def _view(name: str, days: int, description: str, **fields: str) -> View:
    return View(name, days, description, fields)


USER: Final = Entity("user", "user_id", "a shopper", (
    _view(
        "user_activity", 90, "how often, how lately, how much: rolling windows of a shopper",
        **{f"{kind}_{window}": INT for kind in KINDS for window in WINDOWS},
        spend_30d=FLOAT, spend_90d=FLOAT, orders_90d=INT,
        last_view_at=TIME, last_cart_at=TIME, last_purchase_at=TIME,
        last_email_open_at=TIME, last_email_click_at=TIME, first_seen_at=TIME,
    ),
    _view(
        "user_items", 90, "what a shopper looked at, holds in the cart, wishes for and bought",
        recent_items=TEXTS, recent_at=TIMES,
        cart_items=TEXTS, cart_updated_at=TIME,
        wishlist_items=TEXTS, purchased_items=TEXTS,
        top_categories=TEXTS, top_category_weights=FLOATS, typical_price=FLOAT,
    ),
    _view(
        "user_profile", 3650, "what a shopper told about themselves",
        country=TEXT, locale=TEXT, timezone=TEXT, first_name=TEXT, email_allowed=BOOL, profile_allowed=BOOL,
    ),
    _view(
        "user_segment", 90, "how good a customer a shopper is among all, and how long away",
        rfm_recency=INT, rfm_frequency=INT, rfm_monetary=INT, segment=TEXT, lifecycle=TEXT,
    ),
    _view("user_state", 90, "what the people flow needs to go on; opaque to readers", state=BYTES),
))  # fmt: skip

ITEM: Final = Entity("item", "item_id", "a product of the catalogue", (
    _view(
        "item_catalogue", 3650, "the product as the shop describes it",
        title=TEXT, url=TEXT, image_url=TEXT, price=FLOAT, list_price=FLOAT, currency=TEXT, category=TEXT,
        brand=TEXT, in_stock=BOOL, added_at=TIME, price_dropped_at=TIME, restocked_at=TIME,
    ),
    _view(
        "item_stats", 7, "how often a product was viewed, put into carts and bought",
        **{f"{kind}_{window}": INT for kind in ITEM_KINDS for window in ITEM_WINDOWS},
        trend=FLOAT,
    ),
    _view(
        "item_neighbours", 90, "what goes with a product, best first", neighbours=TEXTS, neighbour_weights=FLOATS,
    ),
    _view("item_state", 90, "what the items flow needs to go on; opaque to readers", state=BYTES),
))  # fmt: skip

SCOPE: Final = Entity("scope", "scope", "where something is popular: `all`, `category:A/B`, `country:FR`", (
    _view("scope_popular", 7, "what is trending in a scope, best first", items=TEXTS, scores=FLOATS),
    _view(
        "scope_bestsellers", 7, "what was bought most in a scope over seven days, best first",
        bestsellers=TEXTS, bestseller_purchases=INTS,
    ),
    _view("scope_state", 90, "what the items flow needs to go on; opaque to readers", state=BYTES),
))  # fmt: skip
