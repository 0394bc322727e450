"""Postmark's webhooks: an event a delivery, unsigned; the proof is in the URL."""

from __future__ import annotations

from typing import Any, Final

from api.platforms import Delivery, Platform, Told, Unread
from api.signatures import knows_secret
from api.translate import Mail, object_of, read_mails

TABLE: Final = Mail(
    kind="name",
    types={
        "Delivery": "email_delivered",
        "Open": "email_open",
        "Click": "email_click",
        "Bounce": "email_bounce",
        "SpamComplaint": "email_complaint",
        "SubscriptionChange off": "email_unsubscribe",
        "SubscriptionChange on": "consent+",
    },
    event_id="",
    at="DeliveredAt|ReceivedAt|BouncedAt|ChangedAt",
    email="Recipient|Email",
    user_id="Metadata.user_id",
    fields={
        "send_id": "Metadata.send_id|MessageID", "campaign_id": "Metadata.campaign_id|Tag", "url": "OriginalLink",
        "country": "Geo.CountryISOCode",
    },
    properties={
        "user_agent": "UserAgent", "ip": "Geo.IP", "reason": "Description|SuppressionReason", "message": "MessageID",
    },
    hard=("Type", ("HardBounce", "BadEmailAddress", "ManuallyDeactivated")),
)  # fmt: skip


def read(delivery: Delivery) -> list[Told | Unread]:
    """The event, if the table names it."""
    return read_mails("postmark", [object_of(delivery.body)], TABLE, _named)


def _named(content: dict[str, Any]) -> dict[str, Any]:
    name = str(content.get("RecordType"))
    if name == "SubscriptionChange":
        name += " off" if content.get("SuppressSending") else " on"
    return {**content, "name": name}


PLATFORM: Final = Platform(
    knows_secret, read, TABLE.types,
    proof="the secret as password of Basic authentication, or as `?secret=` in the URL",
    asks_for="a word of your own, also in the URL: `https://inlay:<secret>@…/v1/webhooks/postmark`",
    covers_body=False,
)  # fmt: skip
