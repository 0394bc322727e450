"""Braze Currents through its custom HTTP connector: a batch of events, unsigned; the proof is a bearer token."""

from __future__ import annotations

from typing import Final

from api.platforms import Delivery, Platform, Told, Unread, Unreadable
from api.signatures import knows_secret
from api.translate import Mail, object_of, read_mails

TABLE: Final = Mail(
    kind="event_type",
    types={
        "users.messages.email.Delivery": "email_delivered",
        "users.messages.email.Open": "email_open",
        "users.messages.email.Click": "email_click",
        "users.messages.email.Bounce": "email_bounce",
        "users.messages.email.SoftBounce": "email_bounce",
        "users.messages.email.MarkAsSpam": "email_complaint",
        "users.messages.email.Unsubscribe": "email_unsubscribe",
    },
    event_id="id",
    at="time",
    email="properties.email_address",
    user_id="user.external_user_id",
    fields={
        "send_id": "properties.send_id|properties.dispatch_id", "url": "properties.url|properties.link_url",
        "campaign_id": "properties.campaign_id|properties.canvas_id",
    },
    properties={
        "user_agent": "properties.user_agent", "ip": "properties.ip_address", "reason": "properties.bounce_reason",
        "message": "properties.dispatch_id",
    },
    hard=("event_type", ("users.messages.email.Bounce",)),
    machine="properties.machine_open|properties.is_bot|properties.bot_click",
)  # fmt: skip


def read(delivery: Delivery) -> list[Told | Unread]:
    """The events that the table names."""
    content = object_of(delivery.body)
    if not isinstance(content.get("events"), list):
        raise Unreadable("there is no array events")
    return read_mails("braze", content["events"], TABLE)


PLATFORM: Final = Platform(
    knows_secret, read, TABLE.types,
    proof="the secret as bearer token",
    asks_for="a word of your own; in Braze the authentication token of the connector",
    covers_body=False,
)  # fmt: skip
