"""Klaviyo's system webhooks: an array of topics, each with the event as Klaviyo's own API gives it."""

from __future__ import annotations

from typing import Any, Final

from api.platforms import Delivery, Platform, Told, Unread, Unreadable
from api.signatures import hmac_of
from api.translate import Mail, list_at, object_of, read_mails, text_at

TABLE: Final = Mail(
    kind="topic",
    types={
        "event:klaviyo.received_email": "email_delivered",
        "event:klaviyo.email_delivered": "email_delivered",
        "event:klaviyo.opened_email": "email_open",
        "event:klaviyo.clicked_email": "email_click",
        "event:klaviyo.bounced_email": "email_bounce",
        "event:klaviyo.marked_email_as_spam": "email_complaint",
        "event:klaviyo.unsubscribed_from_email_marketing": "email_unsubscribe",
        "event:klaviyo.subscribed_to_email_marketing": "consent+",
    },
    event_id="external_id",
    at="payload.data.attributes.datetime|payload.data.attributes.timestamp",
    email="profile.attributes.email|said.Recipient Email Address|said.email",
    user_id="profile.attributes.external_id|klaviyo_profile",
    fields={
        "send_id": "said.$message_interaction|said.$message", "campaign_id": "said.$message", "url": "said.URL",
    },
    properties={"user_agent": "said.User Agent", "ip": "said.IP Address", "reason": "said.Bounce Reason"},
    hard=("said.Bounce Type", ("Hard", "hard")),
    machine="said.machine_open|said.Bot Click|said.is_bot",
)  # fmt: skip


def _signed(delivery: Delivery) -> bytes | None:
    stamp = delivery.headers.get("klaviyo-timestamp", "")
    return delivery.body + stamp.encode("utf-8", "surrogateescape") if stamp else None


def read(delivery: Delivery) -> list[Told | Unread]:
    """The events that the table names."""
    content = object_of(delivery.body)
    if not isinstance(content.get("data"), list):
        raise Unreadable("there is no array data")
    return read_mails("klaviyo", content["data"], TABLE, _opened)


def _opened(told: dict[str, Any]) -> dict[str, Any]:
    """What is told with the profile and the properties of the event where the table finds them.

    Somebody of whom Klaviyo names neither the shop's id nor an address is known by the profile's own id.
    """
    payload = told.get("payload")
    profiles = [each for each in list_at(payload, "included") if each.get("type") == "profile"]
    profile = profiles[0] if profiles else {}
    event = payload.get("data") if isinstance(payload, dict) else None
    attributes = event.get("attributes") if isinstance(event, dict) else None
    said = attributes.get("event_properties") if isinstance(attributes, dict) else None
    opened = {**told, "profile": profile, "said": said}
    named = text_at(event, "relationships.profile.data.id")
    if named and not text_at(opened, TABLE.email):
        opened["klaviyo_profile"] = f"klaviyo:{named}"
    return opened


PLATFORM: Final = Platform(
    hmac_of("klaviyo-signature", _signed), read, TABLE.types,
    proof="HMAC-SHA256 in `Klaviyo-Signature`, over the body and `Klaviyo-Timestamp`",
    asks_for="the secret key that the webhook was made with",
)  # fmt: skip
