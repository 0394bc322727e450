"""SendGrid's Event Webhook: an array of flat objects, with custom arguments among their keys."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from api.platforms import Delivery, Platform, Told, Unread, World
from api.signatures import RETRIES, any_of, is_recent
from api.translate import Mail, read_mails, several_of

TABLE: Final = Mail(
    kind="event",
    types={
        "delivered": "email_delivered",
        "open": "email_open",
        "click": "email_click",
        "bounce": "email_bounce",
        "spamreport": "email_complaint",
        "unsubscribe": "email_unsubscribe",
        "group_unsubscribe": "email_unsubscribe",
        "group_resubscribe": "consent+",
    },
    event_id="sg_event_id",
    at="timestamp",
    email="email",
    user_id="user_id",
    fields={
        "send_id": "send_id|sg_message_id", "campaign_id": "campaign_id|singlesend_id|marketing_campaign_id",
        "url": "url", "layout": "layout", "block": "block", "item_id": "item_id",
    },
    properties={"user_agent": "useragent", "ip": "ip", "reason": "reason", "message": "sg_message_id"},
    hard=("type", ("bounce",)),
    machine="sg_machine_open",
)  # fmt: skip


async def prove(delivery: Delivery, secrets: Sequence[str], world: World) -> bool:
    """ECDSA P-256 over the time and the raw bytes; SendGrid tries again for a day, so the time may be that old."""
    stamp = delivery.headers.get("x-twilio-email-event-webhook-timestamp", "")
    if not is_recent(stamp, world.now, RETRIES):
        return False
    given = delivery.headers.get("x-twilio-email-event-webhook-signature", "")
    return any_of(secrets, lambda key: _is_signed(key, stamp.encode() + delivery.body, given))


def _is_signed(key: str, signed: bytes, given: str) -> bool:
    try:
        public = load_der_public_key(base64.b64decode(key))
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(base64.b64decode(given, validate=True), signed, ec.ECDSA(hashes.SHA256()))
            return True
    except (InvalidSignature, UnsupportedAlgorithm, binascii.Error, ValueError):
        return False
    return False


def read(delivery: Delivery) -> list[Told | Unread]:
    """The events that the table names."""
    return read_mails("sendgrid", several_of(delivery.body), TABLE)


PLATFORM: Final = Platform(
    prove, read, TABLE.types,
    proof="ECDSA P-256 over `X-Twilio-Email-Event-Webhook-Timestamp` (26 hours) and the body",
    asks_for="the verification key (Base64) that *Signature Verification* shows",
)  # fmt: skip
