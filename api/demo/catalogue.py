"""The sample shop's catalogue: 120 products in 10 categories, read from `catalogue.json`.

The shop, its brands and its products are invented. A product there carries what the shop sells and, beside it, how
its picture is drawn (`kind`, `colours`, `style`), so that a new product is one line in one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

SHOP_NAME = "Harbour & Pine"
CURRENCY = "EUR"
PICTURES = Path(__file__).parent / "pictures"
"""The folder with one `<item_id>.jpg` a product."""


class Product(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the catalogue; `list_price` is the price before a reduction, `added_days_ago` counts from now."""

    item_id: str
    title: str
    brand: str
    category: str
    kind: str
    price: float
    added_days_ago: int
    colours: tuple[str, ...]
    style: str = ""
    list_price: float | None = None
    in_stock: bool = True


@cache
def shelf() -> tuple[Product, ...]:
    """Every product, in the order of its `item_id`."""
    return msgspec.json.decode(Path(__file__).with_name("catalogue.json").read_bytes(), type=tuple[Product, ...])


def products(now: datetime, public_url: str) -> list[dict[str, Any]]:
    """The catalogue as the fields of `item` events, with links and pictures under `public_url`.

    Raises:
        ValueError: `now` has no time zone.
    """
    address = public_url.rstrip("/")
    return [_row(product, now, address) for product in shelf()]


def item_events(now: datetime, public_url: str) -> Iterator[dict[str, Any]]:
    """One `item` event a product, as of `now`; the same product always has the same `event_id`.

    Raises:
        ValueError: `now` has no time zone.
    """
    for row in products(now, public_url):
        yield {"event_id": f"sample-item-{row['item_id']}", "type": "item", "occurred_at": rfc3339(now), **row}


def rfc3339(moment: datetime) -> str:
    """A moment in UTC with milliseconds, as `2026-03-01T09:30:00.000Z`.

    Raises:
        ValueError: the moment has no time zone, so that nobody knows when it is.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: give one, such as timezone.utc")
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(product: Product, now: datetime, address: str) -> dict[str, Any]:
    reduced = {} if product.list_price is None else {"list_price": product.list_price}
    return {
        "item_id": product.item_id,
        "title": product.title,
        "url": f"{address}/demo#/p/{product.item_id}",
        "image_url": f"{address}/demo/pictures/{product.item_id}.jpg",
        "price": product.price,
        **reduced,
        "currency": CURRENCY,
        "category": product.category,
        "brand": product.brand,
        "in_stock": product.in_stock,
        "added_at": rfc3339(now - timedelta(days=product.added_days_ago)),
    }
