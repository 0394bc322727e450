"""Mailgun's webhooks: an event a delivery, beside a signature that covers a time and a token and not the event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.platforms import Delivery, Platform, Told, Unread, Unreadable, World
from api.signatures import any_of, digest, equal, is_recent
from api.translate import Mail, object_of, read_mails, text_at, value_at
from dataflows.events import HOUR

TABLE: Final = Mail(
    kind="event",
    types={
        "delivered": "email_delivered",
        "opened": "email_open",
        "clicked": "email_click",
        "failed": "email_bounce",
        "complained": "email_complaint",
        "unsubscribed": "email_unsubscribe",
    },
    event_id="id",
    at="timestamp",
    email="recipient",
    user_id="user-variables.user_id",
    fields={
        "send_id": "user-variables.send_id|message.headers.message-id", "url": "url", "country": "geolocation.country",
        "campaign_id": "user-variables.campaign_id|campaigns.0.id|tags.0",
    },
    properties={
        "user_agent": "client-info.user-agent", "ip": "ip", "message": "message.headers.message-id",
        "reason": "delivery-status.message|delivery-status.description|reason",
    },
    hard=("severity", ("permanent",)),
    machine="client-info.bot",
)  # fmt: skip
TRIED: Final = 9 * HOUR
"""For how long Mailgun tries a delivery again, and an hour."""


async def prove(delivery: Delivery, secrets: Sequence[str], world: World) -> bool:
    """HMAC-SHA256 over time and token. Neither covers the event: use https, and nobody sees a token to send again."""
    try:
        signature = value_at(object_of(delivery.body), "signature")
    except Unreadable:
        return False
    stamp, token, given = (text_at(signature, name) or "" for name in ("timestamp", "token", "signature"))
    if not token or not is_recent(stamp, world.now, TRIED):
        return False
    signed = (stamp + token).encode("utf-8", "replace")
    return any_of(secrets, lambda secret: equal(digest(secret.encode(), signed).hex(), given))


def read(delivery: Delivery) -> list[Told | Unread]:
    """The event, if the table names it."""
    event = value_at(object_of(delivery.body), "event-data")
    if not isinstance(event, dict):
        raise Unreadable("there is no object event-data")
    return read_mails("mailgun", [event], TABLE)


PLATFORM: Final = Platform(
    prove, read, TABLE.types,
    proof="HMAC-SHA256 over `timestamp` (9 hours) and `token` of `signature` in the body; the event is not signed",
    asks_for="the HTTP webhook signing key",
    covers_body=False,
)  # fmt: skip
