"""From a platform's webhook to a user's features: what is posted at the door, folded by the flow."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from dataflows.events import Event, parse
from tests.unit.api.senders import NOW, PAYLOADS, SEALS, SECRETS
from tests.unit.api.test_webhooks import Door
from tests.unit.dataflows.test_identity_rules import Shop

ADA = "Ada@Example.com"
ADA_BY_ADDRESS = f"email:{hashlib.sha256(b'ada@example.com').hexdigest()}"


class Mailed:
    """A door, and the people flow behind it."""

    def __init__(self) -> None:
        self.door, self.shop = Door(), Shop()
        self.shop.clock.now = self.door.now

    def posts(self, platform: str, case: str, content: Any) -> Mailed:
        """A platform posts, and what is in the stream is folded."""
        body = content if isinstance(content, bytes) else msgspec.json.encode(content)
        answer = self.door.post(platform, SEALS[platform](case, body, SECRETS[platform][0]))
        assert answer.status_code == 200
        events = [parse(raw, self.door.now) for _, raw in self.door.stream.records]
        self.door.stream.records.clear()
        self.shop.happens(*(event for event in events if isinstance(event, Event))).ticks(4)
        return self

    def sends(self, *happened: tuple[str, int, dict[str, Any]]) -> Mailed:
        """SendGrid tells what happened to one mail to Ada: what, seconds ago, and more."""
        events = [
            {"email": ADA, "event": kind, "timestamp": NOW - ago, "sg_event_id": f"{kind}{ago}", "sg_message_id": "m1"}
            | more
            for kind, ago, more in happened
        ]
        return self.posts("sendgrid", "", events)

    def row(self, user_id: str) -> dict[str, Any]:
        """The features of a user."""
        return self.shop.row(user_id)


def recorded(platform: str, name: str, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.json.decode((PAYLOADS / platform / f"{name}.json").read_bytes())
    return content | changes


def test_opens_and_clicks_count_people_only() -> None:
    mailed = Mailed().sends(
        ("delivered", 3600, {}),
        ("open", 3599, {}),
        ("open", 3000, {"sg_machine_open": True}),
        ("open", 2000, {"useragent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"}),
        ("open", 1000, {"useragent": "Thunderbird"}),
        *(("click", 3590, {"url": f"https://shop.example/{page}", "sg_event_id": page}) for page in "abc"),
        ("click", 900, {"url": "https://shop.example/a"}),
    )
    row = mailed.row(ADA_BY_ADDRESS)
    assert (row["email_opens_24h"], row["email_clicks_24h"]) == (1, 1)
    assert (row["last_email_open_at"], row["last_email_click_at"]) == (NOW - 1000, NOW - 900)


def test_mails_count_for_the_customer_whenever_the_shop_names_the_address() -> None:
    mailed = Mailed().sends(("click", 900, {}))
    mailed.posts("shopify", "customers_create", recorded("shopify", "customers_create", email="ada@example.com "))
    customer = "706405506930370085"
    assert mailed.row(customer)["email_clicks_24h"] == 1
    assert mailed.row(customer)["email_allowed"] is True
    mailed.sends(("click", 800, {}), ("unsubscribe", 700, {}))
    assert mailed.row(customer)["email_clicks_24h"] == 2
    assert mailed.row(customer)["email_allowed"] is False


def test_consent_goes_at_once_with_an_unsubscribe_a_complaint_and_a_bounce_for_good() -> None:
    for kind, more, allowed in (
        ("unsubscribe", {}, False),
        ("group_unsubscribe", {}, False),
        ("spamreport", {}, False),
        ("bounce", {"type": "bounce"}, False),
        ("bounce", {"type": "blocked"}, None),
        ("deferred", {}, None),
    ):
        mailed = Mailed().sends(("delivered", 100, {}), (kind, 50, more))
        assert mailed.row(ADA_BY_ADDRESS)["email_allowed"] is allowed, (kind, more)
        mailed.sends(("group_resubscribe", 20, {}))
        assert mailed.row(ADA_BY_ADDRESS)["email_allowed"] is True


def test_an_address_that_mailchimp_cleaned_gets_no_more_mails() -> None:
    body = (PAYLOADS / "mailchimp/cleaned.txt").read_bytes().replace(b"api%40example.com", b"ada%40example.com")
    assert Mailed().posts("mailchimp", "cleaned", body).row(ADA_BY_ADDRESS)["email_allowed"] is False


def test_an_order_counts_once_however_many_of_its_topics_are_switched_on() -> None:
    mailed, customer = Mailed(), "115310627314723954"
    for name in ("orders_create", "orders_paid", "orders_paid", "orders_updated", "orders_create"):
        mailed.posts("shopify", name, recorded("shopify", name))
    row = mailed.row(customer)
    assert (row["orders_90d"], row["purchases_30d"]) == (1, 1)
    assert row["spend_90d"] == 388.0 - 89.5 - 5.0
    mailed.posts("shopify", "orders_cancelled", recorded("shopify", "orders_cancelled"))
    row = mailed.row(customer)
    assert (row["orders_90d"], row["spend_90d"], row["purchased_items"]) == (0, 0.0, [])


def test_a_checkout_is_a_cart_until_the_order_comes() -> None:
    checkout = recorded("shopify", "checkouts_update")
    mailed = Mailed().posts("shopify", "checkouts_update", checkout).posts("shopify", "checkouts_update", checkout)
    customer = "603851970716743426"
    assert sorted(mailed.row(customer)["cart_items"]) == ["29", "30"]
    order = recorded(
        "shopify", "orders_create", customer={"id": int(customer)}, created_at="2026-02-01T21:00:00Z",
        line_items=[{"id": 1, "product_id": 29, "quantity": 2, "price": "9.99"}],
    )  # fmt: skip
    assert mailed.posts("shopify", "orders_create", order).row(customer)["cart_items"] == ["30"]


def test_a_contact_of_the_crm_becomes_the_customer_through_the_address() -> None:
    contact: dict[str, Any] = {"subscriptionType": "contact.propertyChange", "objectId": 5, "eventId": 1}
    changes = [
        contact | {"propertyName": "firstname", "propertyValue": "Ada", "occurredAt": (NOW - 600) * 1000},
        contact | {"propertyName": "email", "propertyValue": ADA, "occurredAt": (NOW - 500) * 1000},
        contact | {"propertyName": "hs_email_optout", "propertyValue": "true", "occurredAt": (NOW - 400) * 1000},
    ]
    mailed = Mailed().posts("hubspot", "", changes)
    mailed.posts("shopify", "customers_create", recorded("shopify", "customers_create", email=ADA))
    row = mailed.row("706405506930370085")
    assert (row["first_name"], row["email_allowed"]) == ("Ada", False)
