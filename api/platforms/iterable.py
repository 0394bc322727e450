"""Iterable's system webhooks: an event a delivery, unsigned; the proof is a header that Iterable is told to send."""

from __future__ import annotations

from typing import Final

from api.platforms import Delivery, Platform, Told, Unread
from api.signatures import knows_secret
from api.translate import Mail, object_of, read_mails

TABLE: Final = Mail(
    kind="eventName",
    types={
        "emailSend": "email_delivered",
        "emailOpen": "email_open",
        "emailClick": "email_click",
        "emailBounce": "email_bounce",
        "emailComplaint": "email_complaint",
        "emailUnSubscribe": "email_unsubscribe",
        "hostedUnsubscribeClick": "email_unsubscribe",
        "emailSubscribe": "consent+",
    },
    event_id="",
    at="dataFields.createdAt",
    email="email",
    user_id="userId|dataFields.userId",
    fields={
        "send_id": "dataFields.messageId", "campaign_id": "dataFields.campaignId", "url": "dataFields.url",
    },
    properties={
        "user_agent": "dataFields.userAgent", "ip": "dataFields.ip", "reason": "dataFields.recipientState",
    },
    hard=("dataFields.recipientState", ("HardBounce",)),
    machine="dataFields.isBot|dataFields.proxySource",
)  # fmt: skip


def read(delivery: Delivery) -> list[Told | Unread]:
    """The event, if the table names it."""
    return read_mails("iterable", [object_of(delivery.body)], TABLE)


PLATFORM: Final = Platform(
    knows_secret, read, TABLE.types,
    proof="the secret as bearer token, as Basic's password, or as `?secret=` in the URL",
    asks_for="a word of your own; in Iterable a header `Authorization: Bearer <secret>`",
    covers_body=False,
)  # fmt: skip
