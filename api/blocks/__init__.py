"""The kinds of blocks, one file each. A new kind is a file here and a line in `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.blocks import (
    abandoned_cart,
    back_in_stock,
    bestsellers,
    bought_together,
    category_picks,
    editorial,
    message,
    new_arrivals,
    price_drop,
    recently_viewed,
    recommended,
    similar,
    trending,
    wishlist,
)
from api.blocks.ladder import Kind

KINDS: Final[Mapping[str, Kind]] = {
    "recently_viewed": recently_viewed.KIND,
    "abandoned_cart": abandoned_cart.KIND,
    "recommended": recommended.KIND,
    "similar": similar.KIND,
    "bought_together": bought_together.KIND,
    "trending": trending.KIND,
    "bestsellers": bestsellers.KIND,
    "category_picks": category_picks.KIND,
    "new_arrivals": new_arrivals.KIND,
    "price_drop": price_drop.KIND,
    "back_in_stock": back_in_stock.KIND,
    "wishlist": wishlist.KIND,
    "editorial": editorial.KIND,
    "message": message.KIND,
}
