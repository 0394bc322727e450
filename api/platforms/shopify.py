"""Shopify's webhooks: orders with their refunds, checkouts, customers and products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from api.orders import address_known, line, lines_with
from api.platforms import Delivery, Platform, Told, Unreadable
from api.signatures import base64_of, hmac_of
from api.translate import event_id, list_at, moment, number_at, object_of, text_at, user_of_email, value_at

EVENTS: Final = {
    "orders/create": "purchase, identify",
    "orders/paid": "purchase, identify",
    "orders/updated": "purchase, identify, refund",
    "orders/cancelled": "purchase, identify, refund",
    "checkouts/create": "remove_from_cart, add_to_cart, checkout",
    "checkouts/update": "remove_from_cart, add_to_cart, checkout",
    "customers/create": "identify, consent",
    "customers/update": "identify, consent",
    "customers/redact": "consent",
    "products/create": "item",
    "products/update": "item",
    "products/delete": "item",
}
CONSENTS: Final = {"subscribed": True, "unsubscribed": False}
"""What a state of the consent to mails comes to; a person who was never asked is left open."""


def read(delivery: Delivery) -> list[Told]:
    """The events of a topic; none of one that we know nothing to do with."""
    topic = delivery.headers.get("x-shopify-topic", "")
    content = object_of(delivery.body)
    if topic == "refunds/create":
        raise Unreadable("a refund names no customer; switch on orders/updated instead, which brings it with its order")
    reader = _READERS.get(topic.partition("/")[0]) if topic in EVENTS else None
    return reader(content, topic, delivery) if reader else []


def _order(order: Mapping[str, Any], topic: str, delivery: Delivery) -> list[Told]:
    """All that an order says by now, under ids of its own, so that no topic and no update counts it again."""
    if order.get("test") is True:
        return []
    number = _needed(order, "id")
    shared = {**_owner(order, number), "order_id": number, "currency": text_at(order, "currency")}
    country = text_at(order, "shipping_address.country_code|billing_address.country_code")
    at = moment(value_at(order, "created_at"))
    told = address_known("shopify", order.get("customer") or order, shared.get("user_id"), at)
    told.append({
        "event_id": event_id("shopify", "purchase", number), "type": "purchase",
        "occurred_at": at, **shared, "country": country,
        **lines_with(_lines(order), number_at(order, "total_price")),
    })  # fmt: skip
    told += [_refund(refund, shared) for refund in list_at(order, "refunds")]
    if value_at(order, "cancelled_at"):
        told.append({
            "event_id": event_id("shopify", "cancel", number), "type": "refund",
            "occurred_at": moment(order["cancelled_at"]), **shared,
        })  # fmt: skip
    return told


def _refund(refund: Mapping[str, Any], shared: Told) -> Told:
    lines = [
        line(_item(each.get("line_item")), number_at(each, "quantity"), number_at(each, "subtotal"))
        for each in list_at(refund, "refund_line_items")
    ]
    amount = sum(
        number_at(each, "amount") or 0
        for each in list_at(refund, "transactions")
        if each.get("kind") == "refund" and each.get("status") in (None, "success")
    )
    return {
        "event_id": event_id("shopify", "refund", _needed(refund, "id")), "type": "refund",
        "occurred_at": moment(value_at(refund, "processed_at|created_at")), **shared, **lines_with(lines, amount),
    }  # fmt: skip


def _checkout(checkout: Mapping[str, Any], topic: str, delivery: Delivery) -> list[Told]:
    """What lies in the cart by now: each line as it is, told once for each quantity that it ever had."""
    token, at = _needed(checkout, "token|id"), moment(value_at(checkout, "updated_at|created_at"))
    shared = _owner(checkout, token)
    told: list[Told] = []
    lines = _lines(checkout)
    for each in lines:
        name = event_id("shopify", "cart", token, each["item_id"], f"{each['quantity']:g}")
        gone = {"type": "remove_from_cart", "occurred_at": at, "item_id": each["item_id"]}
        told.append({"event_id": f"{name}:0", **gone, **shared})
        told.append({"event_id": name, "type": "add_to_cart", "occurred_at": at + 1, **shared, **each})
    if lines:
        told.append({
            "event_id": event_id("shopify", "checkout", token, at), "type": "checkout", "occurred_at": at, **shared,
            "items": lines,
        })  # fmt: skip
    return told


def _customer(customer: Mapping[str, Any], topic: str, delivery: Delivery) -> list[Told]:
    if topic == "customers/redact":
        number = _needed(customer, "customer.id")
        return [{
            "event_id": event_id("shopify", "redact", number), "type": "consent", "user_id": number,
            "occurred_at": delivery.received_at, "properties": {"email_allowed": False, "profile_allowed": False},
        }]  # fmt: skip
    number = _needed(customer, "id")
    told = address_known("shopify", customer, number, moment(value_at(customer, "updated_at|created_at")))
    allowed = CONSENTS.get(text_at(customer, "email_marketing_consent.state") or "")
    if allowed is not None:
        at = moment(value_at(customer, "email_marketing_consent.consent_updated_at|updated_at"))
        told.append({
            "event_id": event_id("shopify", "consent", number, at, allowed), "type": "consent", "occurred_at": at,
            "user_id": number, "properties": {"email_allowed": allowed},
        })  # fmt: skip
    return told


def _product(product: Mapping[str, Any], topic: str, delivery: Delivery) -> list[Told]:
    number = _needed(product, "id")
    if topic == "products/delete":
        return [{
            "event_id": event_id("shopify", "product", number, "deleted"), "type": "item", "item_id": number,
            "occurred_at": delivery.received_at, "in_stock": False,
        }]  # fmt: skip
    variants = [each for each in list_at(product, "variants") if number_at(each, "price") is not None]
    cheapest = min(variants, key=lambda each: number_at(each, "price") or 0, default={})
    price, before = number_at(cheapest, "price"), number_at(cheapest, "compare_at_price")
    shop, handle = delivery.headers.get("x-shopify-shop-domain", ""), text_at(product, "handle")
    at = moment(value_at(product, "updated_at|created_at"))
    told: Told = {
        "event_id": event_id("shopify", "product", number, at), "type": "item", "occurred_at": at, "item_id": number,
        "title": text_at(product, "title"), "category": text_at(product, "product_type"),
        "brand": text_at(product, "vendor"), "image_url": text_at(product, "image.src|images.0.src"),
        "url": f"https://{shop}/products/{handle}" if shop and handle else None, "price": price,
        "list_price": before if before and price is not None and before > price else None,
        "in_stock": product.get("status", "active") == "active" and any(map(_is_sold, variants)),
    }  # fmt: skip
    if added := value_at(product, "published_at|created_at"):
        told["added_at"] = moment(added)
    return [told]


def _is_sold(variant: Mapping[str, Any]) -> bool:
    """Whether a variant can be bought: it is there, or is sold whether it is there or not."""
    counted = variant.get("inventory_management") is not None and variant.get("inventory_policy") != "continue"
    return not counted or (number_at(variant, "inventory_quantity") or 0) > 0


def _lines(order: Mapping[str, Any]) -> list[Told]:
    """The lines, each at the price that was paid for it after discounts."""
    lines = []
    for each in list_at(order, "line_items"):
        quantity, price = number_at(each, "quantity"), number_at(each, "price")
        off = sum(number_at(given, "amount") or 0 for given in list_at(each, "discount_allocations"))
        paid = None if price is None or quantity is None else max(0.0, price * quantity - off)
        lines.append(line(_item(each), quantity, paid))
    return [each for each in lines if each]


def _item(each: Any) -> str | None:
    """Products are items; what is on an order without being one is known by its line."""
    return text_at(each, "product_id") or (f"line:{number}" if (number := text_at(each, "id")) else None)


def _owner(order: Mapping[str, Any], number: str) -> Told:
    """The customer, else the address, else nobody but the order itself, whose items count for what is popular."""
    if named := text_at(order, "customer.id"):
        return {"user_id": named}
    if address := text_at(order, "email|contact_email|customer.email"):
        return {"user_id": user_of_email(address)}
    return {"anonymous_id": f"shopify:{number}"}


def _needed(content: Mapping[str, Any], path: str) -> str:
    found = text_at(content, path)
    if found is None:
        raise Unreadable(f"there is no {path.partition('|')[0]}")
    return found


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str, Delivery], list[Told]]]] = {
    "orders": _order,
    "checkouts": _checkout,
    "customers": _customer,
    "products": _product,
}

PLATFORM: Final = Platform(
    hmac_of("x-shopify-hmac-sha256", write=base64_of), read, EVENTS,
    proof="HMAC-SHA256 of the body in `X-Shopify-Hmac-Sha256`",
    asks_for="the key that *Notifications → Webhooks* shows, or the app's client secret",
)  # fmt: skip
