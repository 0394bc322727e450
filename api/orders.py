"""What shops tell in nearly the same way: the lines of an order, and which address is whose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.platforms import Told
from api.translate import event_id, fingerprint, text_at, user_of_email


def line(item_id: str | None, quantity: float | None, paid: float | None) -> Told:
    """A line of an order; empty if it is of nothing.

    Args:
        item_id: what was bought.
        quantity: how many.
        paid: for all of them.
    """
    if not item_id or not quantity or quantity <= 0:
        return {}
    told: Told = {"item_id": item_id, "quantity": int(quantity) if quantity.is_integer() else quantity}
    return told if paid is None else {**told, "price": round(abs(paid) / quantity, 4)}


def lines_with(lines: Sequence[Told], total: float | None) -> Told:
    """The lines that are of something; of an order or a refund without any, the amount."""
    found = [each for each in lines if each]
    if found:
        return {"items": found}
    return {} if total is None else {"price": abs(total)}


def address_known(platform: str, customer: Mapping[str, Any], user_id: str | None, at: int) -> list[Told]:
    """That a customer and an address are one person, so that what a mail platform tells of the address is theirs.

    Args:
        platform: which one.
        customer: with `email`, `first_name` and an address.
        user_id: the customer's id; None, or that of an address, if there is none.
        at: when it was said, in microseconds since 1970.
    """
    email = text_at(customer, "email")
    if user_id is None or user_id.startswith("email:"):
        return []
    traits = {
        name: found
        for name, path in (
            ("first_name", "first_name|billing.first_name|default_address.first_name"),
            ("country", "default_address.country_code|billing.country"),
            ("locale", "locale|customer_locale"),
        )
        if (found := text_at(customer, path))
    }
    event: Told = {"type": "identify", "occurred_at": at, "user_id": user_id}
    event |= {"previous_id": user_of_email(email)} if email else {}
    event |= {"traits": traits} if traits else {}
    return [{"event_id": event_id(platform, "identify", fingerprint(event)), **event}]
