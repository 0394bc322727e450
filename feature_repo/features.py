"""The features: entities, views and services. Declarations only, and the only file that `feast apply` may run.

A second file that imported this one would register every entity twice: Feast executes each under a top-level name.
Inside one entity every feature has a name of its own, so that a row of an entity is one flat record.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Array, Bool, Bytes, Float64, Int64, String, UnixTimestamp

WINDOWS = ("1h", "24h", "7d", "30d")
KINDS = ("views", "clicks", "carts", "purchases", "email_opens", "email_clicks")
ITEM_WINDOWS = ("1h", "24h", "7d")
ITEM_KINDS = ("views", "carts", "purchases")

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING, description="a shopper")
item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING, description="a product of the catalogue")
scope = Entity(
    name="scope",
    join_keys=["scope"],
    value_type=ValueType.STRING,
    description="where something is popular: `all`, `category:A/B`, `country:FR`",
)


def _view(name: str, entity: Entity, ttl: timedelta, description: str, **fields: object) -> FeatureView:
    """A view that is pushed to; its batch source is the lake's folder of its entity, in which all of its views are.

    The offline store looks for that folder in the lake of INLAY_LAKE_URL, wherever that is.
    """
    lake = FileSource(
        name=f"{name}_lake",
        path=f"../var/lake/features/entity={entity.name}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    return FeatureView(
        name=name,
        entities=[entity],
        ttl=ttl,
        schema=[Field(name=field, dtype=kind) for field, kind in fields.items()],
        source=PushSource(name=f"{name}_push", batch_source=lake),
        online=True,
        description=description,
    )


user_activity = _view(
    "user_activity", user, timedelta(days=90), "how often, how lately, how much: rolling windows of a shopper",
    **{f"{kind}_{window}": Int64 for kind in KINDS for window in WINDOWS},
    spend_30d=Float64, spend_90d=Float64, orders_90d=Int64,
    last_view_at=UnixTimestamp, last_cart_at=UnixTimestamp, last_purchase_at=UnixTimestamp,
    last_email_open_at=UnixTimestamp, last_email_click_at=UnixTimestamp, first_seen_at=UnixTimestamp,
)  # fmt: skip

user_items = _view(
    "user_items", user, timedelta(days=90), "what a shopper looked at, holds in the cart, wishes for and bought",
    recent_items=Array(String), recent_at=Array(UnixTimestamp),
    cart_items=Array(String), cart_updated_at=UnixTimestamp,
    wishlist_items=Array(String), purchased_items=Array(String),
    top_categories=Array(String), top_category_weights=Array(Float64), typical_price=Float64,
)  # fmt: skip

user_profile = _view(
    "user_profile", user, timedelta(days=3650), "what a shopper told about themselves",
    country=String, locale=String, timezone=String, first_name=String, email_allowed=Bool, profile_allowed=Bool,
)  # fmt: skip

user_segment = _view(
    "user_segment", user, timedelta(days=90), "how good a customer a shopper is among all, and how long away",
    rfm_recency=Int64, rfm_frequency=Int64, rfm_monetary=Int64, segment=String, lifecycle=String,
)  # fmt: skip

user_state = _view(
    "user_state", user, timedelta(days=90), "what the people flow needs to go on; opaque to readers", state=Bytes
)

item_catalogue = _view(
    "item_catalogue", item, timedelta(days=3650), "the product as the shop describes it",
    title=String, url=String, image_url=String, price=Float64, list_price=Float64, currency=String, category=String,
    brand=String, in_stock=Bool, added_at=UnixTimestamp, price_dropped_at=UnixTimestamp, restocked_at=UnixTimestamp,
)  # fmt: skip

item_stats = _view(
    "item_stats", item, timedelta(days=7), "how often a product was viewed, put into carts and bought",
    **{f"{kind}_{window}": Int64 for kind in ITEM_KINDS for window in ITEM_WINDOWS},
    trend=Float64,
)  # fmt: skip

item_neighbours = _view(
    "item_neighbours", item, timedelta(days=90), "what goes with a product, best first",
    neighbours=Array(String), neighbour_weights=Array(Float64),
)  # fmt: skip

item_state = _view(
    "item_state", item, timedelta(days=90), "what the items flow needs to go on; opaque to readers", state=Bytes
)

scope_popular = _view(
    "scope_popular", scope, timedelta(days=7), "what is trending in a scope, best first",
    items=Array(String), scores=Array(Float64),
)  # fmt: skip

scope_bestsellers = _view(
    "scope_bestsellers", scope, timedelta(days=7), "what was bought most in a scope over seven days, best first",
    bestsellers=Array(String), bestseller_purchases=Array(Int64),
)  # fmt: skip

scope_state = _view(
    "scope_state", scope, timedelta(days=90), "what the items flow needs to go on; opaque to readers", state=Bytes
)

blocks_user = FeatureService(name="blocks_user", features=[user_activity, user_items, user_profile, user_segment])
blocks_item = FeatureService(name="blocks_item", features=[item_catalogue, item_stats, item_neighbours])
blocks_scope = FeatureService(name="blocks_scope", features=[scope_popular, scope_bestsellers])
