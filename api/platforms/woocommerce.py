"""WooCommerce's webhooks: orders with their refunds, customers and products, as its REST API shows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from api.orders import address_known, line, lines_with
from api.platforms import Delivery, Platform, Told, Unreadable
from api.signatures import base64_of, hmac_of
from api.translate import event_id, list_at, moment, number_at, object_of, text_at, user_of_email, value_at

EVENTS: Final = {
    "order.created": "purchase, identify, refund",
    "order.updated": "purchase, identify, refund",
    "customer.created": "identify",
    "customer.updated": "identify",
    "product.created": "item",
    "product.updated": "item",
    "product.restored": "item",
    "product.deleted": "item",
}
BOUGHT: Final = frozenset({"processing", "completed", "on-hold", "refunded"})
"""Statuses of an order that was placed; before, it is a draft or waits for its payment."""
UNDONE: Final = frozenset({"cancelled", "refunded", "failed"})
PING: Final = re.compile(rb"webhook_id=[0-9]{1,20}")


def read(delivery: Delivery) -> list[Told]:
    """The events of a topic; none of one that we know nothing to do with."""
    topic = delivery.headers.get("x-wc-webhook-topic", "")
    reader = _READERS.get(topic.partition(".")[0]) if topic in EVENTS else None
    return reader(object_of(delivery.body), topic, delivery) if reader else []


def _order(order: Mapping[str, Any], topic: str, delivery: Delivery) -> list[Told]:
    number, status = _needed(order, "id"), text_at(order, "status") or ""
    customer = text_at(order, "customer_id")
    user_id = customer if customer not in (None, "0") else None
    email = text_at(order, "billing.email")
    owner = {"anonymous_id": f"woocommerce:{number}"}
    if user_id or email:
        owner = {"user_id": user_id or user_of_email(email)}
    shared: Told = {**owner, "order_id": number, "currency": text_at(order, "currency")}
    created = moment(value_at(order, "date_created_gmt"))
    changed = moment(value_at(order, "date_modified_gmt|date_created_gmt"))
    told = address_known("woocommerce", {**order, "email": email}, user_id, created)
    if status in BOUGHT:
        lines = [
            line(text_at(each, "product_id"), number_at(each, "quantity"), number_at(each, "total"))
            for each in list_at(order, "line_items")
        ]
        told.append({
            "event_id": event_id("woocommerce", "purchase", number), "type": "purchase", "occurred_at": created,
            **shared, "country": text_at(order, "shipping.country|billing.country"),
            **lines_with(lines, number_at(order, "total")),
        })  # fmt: skip
    if status in UNDONE:
        told.append({
            "event_id": event_id("woocommerce", "cancel", number), "type": "refund", "occurred_at": changed, **shared,
        })  # fmt: skip
    else:
        told += [
            {
                "event_id": event_id("woocommerce", "refund", _needed(refund, "id")), "type": "refund",
                "occurred_at": changed, **shared, "price": abs(number_at(refund, "total") or 0),
            }
            for refund in list_at(order, "refunds")
        ]  # fmt: skip
    return told


def _customer(customer: Mapping[str, Any], topic: str, delivery: Delivery) -> list[Told]:
    at = moment(value_at(customer, "date_modified_gmt|date_created_gmt"))
    return address_known("woocommerce", customer, _needed(customer, "id"), at)


def _product(product: Mapping[str, Any], topic: str, delivery: Delivery) -> list[Told]:
    number = _needed(product, "id")
    if topic == "product.deleted":
        return [{
            "event_id": event_id("woocommerce", "product", number, "deleted"), "type": "item", "item_id": number,
            "occurred_at": delivery.received_at, "in_stock": False,
        }]  # fmt: skip
    price, before = number_at(product, "price"), number_at(product, "regular_price")
    at = moment(value_at(product, "date_modified_gmt|date_created_gmt"))
    told: Told = {
        "event_id": event_id("woocommerce", "product", number, at), "type": "item", "occurred_at": at,
        "item_id": number, "title": text_at(product, "name"), "url": text_at(product, "permalink"),
        "image_url": text_at(product, "images.0.src"), "price": price,
        "list_price": before if before and price is not None and before > price else None,
        "category": text_at(product, "categories.0.name"), "brand": text_at(product, "brands.0.name"),
        "in_stock": product.get("status", "publish") == "publish" and product.get("stock_status") != "outofstock",
    }  # fmt: skip
    if added := value_at(product, "date_created_gmt"):
        told["added_at"] = moment(added)
    return [told]


def _needed(content: Mapping[str, Any], path: str) -> str:
    found = text_at(content, path)
    if found is None:
        raise Unreadable(f"there is no {path}")
    return found


def is_ping(delivery: Delivery) -> bool:
    """WooCommerce tries a new URL with a form that names the webhook, unsigned."""
    return PING.fullmatch(delivery.body) is not None


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str, Delivery], list[Told]]]] = {
    "order": _order,
    "customer": _customer,
    "product": _product,
}

PLATFORM: Final = Platform(
    hmac_of("x-wc-webhook-signature", write=base64_of), read, EVENTS,
    proof="HMAC-SHA256 of the body in `X-WC-Webhook-Signature`",
    asks_for="the secret of the webhook",
    is_greeting=is_ping,
)  # fmt: skip
