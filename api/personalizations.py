"""SendGrid's `personalizations`: a mail's blocks as what a dynamic template repeats over. Pure.

The recipient's address passes through from the request into the answer and is kept nowhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from api.answer import Answer, Item
from api.dress import format_price, web_link
from api.render import render_html

MOST_RECIPIENTS: Final = 1_000
"""What SendGrid takes in one call."""

ADDRESS: Final = r"^[^@\s\x00-\x1f<>,;]+@[^@\s\x00-\x1f<>,;]+$"
"""One address, and nothing that could become a second one, or a header."""


class Recipient(Struct, frozen=True, forbid_unknown_fields=True):
    """Who a mail goes to: whose features, and at which address."""

    user_id: Annotated[str, Meta(min_length=1)]
    email: Annotated[str, Meta(max_length=320, pattern=ADDRESS)]
    name: Annotated[str, Meta(max_length=200)] | None = None


def personalization(answer: Answer, recipient: Recipient, *, html: bool) -> dict[str, Any]:
    """One entry of `personalizations`, ready to be posted to `/v3/mail/send`.

    Every block is an array under the name of its kind (`trending`, and `trending_2` for a second one), with its title
    beside it; `html`, if asked for, is all of them as they are drawn, for a triple-stash.
    """
    data: dict[str, Any] = {}
    for block in answer.blocks:
        name, number = block.block, 1
        while name in data:
            number += 1
            name = f"{block.block}_{number}"
        data[name] = [_item(item, answer.locale) for item in block.items]
        data[f"{name}_title"] = block.title
    if html:
        data["html"] = render_html(answer, locale=answer.locale)
    to = {"email": recipient.email} | ({"name": recipient.name} if recipient.name else {})
    return {"to": [to], "dynamic_template_data": data, "custom_args": custom_args(answer)}


def custom_args(answer: Answer) -> dict[str, str]:
    """What comes back with every event of the mail, by the names that the webhook reads."""
    told = {"user_id": answer.user_id, "layout": answer.layout, "send_id": answer.send_id}
    return {name: value for name, value in told.items() if value}


def encoded(answer: Answer, recipient: Recipient, *, html: bool) -> bytes:
    """Likewise as JSON."""
    return msgspec.json.encode(personalization(answer, recipient, html=html))


def _item(item: Item, locale: str) -> dict[str, Any]:
    """An item by the names that templates use; what is not known is empty, as Handlebars asks for it."""
    reduced = item.price is not None and item.list_price is not None and item.list_price > item.price
    return {
        "id": item.item_id,
        "name": item.title,
        "url": web_link(item.url) or "",
        "image": web_link(item.image_url) or "",
        "price": format_price(item.price, item.currency, locale),
        "list_price": format_price(item.list_price, item.currency, locale) if reduced else "",
        "amount": item.price,
        "currency": item.currency or "",
        "reason": item.reason or "",
        "position": item.position,
    }
