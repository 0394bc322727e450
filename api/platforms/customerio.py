"""Customer.io's reporting webhooks: an event a delivery, its name split over `object_type` and `metric`."""

from __future__ import annotations

from typing import Any, Final

from api.platforms import Delivery, Platform, Told, Unread
from api.signatures import hmac_of
from api.translate import Mail, object_of, read_mails

TABLE: Final = Mail(
    kind="name",
    types={
        "email delivered": "email_delivered",
        "email opened": "email_open",
        "email clicked": "email_click",
        "email bounced": "email_bounce",
        "email spammed": "email_complaint",
        "email unsubscribed": "email_unsubscribe",
        "customer unsubscribed": "email_unsubscribe",
        "customer subscribed": "consent+",
    },
    event_id="event_id",
    at="timestamp",
    email="data.identifiers.email|data.recipient|data.email_address",
    user_id="data.identifiers.id|data.customer_id",
    fields={
        "send_id": "data.delivery_id", "url": "data.href|data.link_url",
        "campaign_id": "data.campaign_id|data.broadcast_id|data.newsletter_id",
    },
    properties={"user_agent": "data.user_agent", "ip": "data.ip", "reason": "data.failure_message"},
    hard=("metric", ("bounced",)),
    machine="data.prefetched|data.proxied|data.machine",
)  # fmt: skip


def _signed(delivery: Delivery) -> bytes:
    stamp = delivery.headers.get("x-cio-timestamp", "")
    return b":".join((b"v0", stamp.encode("utf-8", "surrogateescape"), delivery.body))


def read(delivery: Delivery) -> list[Told | Unread]:
    """The event, if the table names it."""
    return read_mails("customerio", [object_of(delivery.body)], TABLE, _named)


def _named(content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "name": f"{content.get('object_type')} {content.get('metric')}"}


PLATFORM: Final = Platform(
    hmac_of("x-cio-signature", _signed, stamp="x-cio-timestamp"), read, TABLE.types,
    proof="HMAC-SHA256 in `X-CIO-Signature`, over `X-CIO-Timestamp` (5 minutes) and the body",
    asks_for="the signing key of the reporting webhook",
)  # fmt: skip
