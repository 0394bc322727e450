"""HubSpot's webhooks of contacts: an array of changes, each of one property."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.platforms import Delivery, Platform, Told, Unread
from api.signatures import base64_of, hmac_of
from api.translate import event_id, fingerprint, moment, read_each, several_of, text_at, user_of_email, value_at

MILLISECOND: Final = 1000
CONTACT: Final = "0-1"
EVENTS: Final = {
    "contact.creation": "profile",
    "contact.propertyChange": "profile, identify, consent",
    "contact.merge": "identify",
    "contact.privacyDeletion": "consent",
}
"""Those of the newer subscriptions, `object.…`, are read alike where they are about contacts."""
TRAITS: Final = {"firstname": "first_name", "country": "country", "hs_language": "locale", "hs_timezone": "timezone"}
CONSENTS: Final = {"hs_email_optout": False, "hs_email_bad_address": False, "hs_email_hard_bounce_reason_enum": False}
"""Properties that withdraw the consent to mails when they are set; `hs_email_optout` gives it back with `false`."""
IDS: Final = frozenset({"user_id", "external_id", "customer_id"})
"""Properties of the shop's own that hold its id of the user."""


def read(delivery: Delivery) -> list[Told | Unread]:
    """The events of contacts. A contact is `hubspot:<id>` until an address or an id of the shop's is known."""
    return read_each(several_of(delivery.body), _read_change)


def _read_change(change: Mapping[str, Any]) -> list[Told]:
    kind = (text_at(change, "subscriptionType") or "").replace("object.", "contact.")
    number = text_at(change, "newObjectId|objectId")
    if kind not in EVENTS or number is None or (text_at(change, "objectTypeId") or CONTACT) != CONTACT:
        return []
    # HubSpot's own ids of events are not unique, and the number of the attempt differs when it comes again.
    name = event_id("hubspot", fingerprint({key: change[key] for key in change if key != "attemptNumber"}))
    at = moment(value_at(change, "occurredAt"))
    return _read(kind, change, {"event_id": name, "occurred_at": at, "user_id": f"hubspot:{number}"})


def _read(kind: str, change: Mapping[str, Any], event: Told) -> list[Told]:
    if kind == "contact.creation":
        return [{**event, "type": "profile"}]
    if kind == "contact.privacyDeletion":
        return [{**event, "type": "consent", "properties": {"email_allowed": False, "profile_allowed": False}}]
    if kind == "contact.merge":
        merged = change.get("mergedObjectIds")
        ids = [f"hubspot:{number}" for number in merged] if isinstance(merged, list) else []
        return [
            {**event, "event_id": f"{event['event_id']}:{before}", "type": "identify", "previous_id": before}
            for before in ids
            if before != event["user_id"]
        ]
    return _property(text_at(change, "propertyName") or "", text_at(change, "propertyValue") or "", event)


def _property(name: str, value: str, event: Told) -> list[Told]:
    if name in TRAITS and value:
        said = value.replace("_slash_", "/").title() if name == "hs_timezone" else value
        return [{**event, "type": "profile", "traits": {TRAITS[name]: said}}]
    if name in CONSENTS and (value or name == "hs_email_optout"):
        allowed = name == "hs_email_optout" and value.lower() != "true"
        return [{**event, "type": "consent", "properties": {"email_allowed": allowed, "reason": name}}]
    if name in IDS and value:
        return [{**event, "type": "identify", "user_id": value, "previous_id": event["user_id"]}]
    if name == "email" and value:
        return [{**event, "type": "identify", "user_id": user_of_email(value), "previous_id": event["user_id"]}]
    return []


def _signed(delivery: Delivery) -> bytes:
    """Method, URL, body and time. HubSpot delivers to https only, whatever a proxy makes of it."""
    stamp = delivery.headers.get("x-hubspot-request-timestamp", "")
    head, tail = (part.encode("utf-8", "surrogateescape") for part in (f"POSThttps://{delivery.url}", stamp))
    return head + delivery.body + tail


PLATFORM: Final = Platform(
    hmac_of(
        "x-hubspot-signature-v3", _signed, write=base64_of, stamp="x-hubspot-request-timestamp", unit=MILLISECOND
    ),
    read, EVENTS,
    proof="HMAC-SHA256 (version 3) over the URL, the body and `X-HubSpot-Request-Timestamp` (5 minutes)",
    asks_for="the client secret of the app; a proxy in front must hand on the `Host` header",
)  # fmt: skip
