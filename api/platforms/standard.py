"""Any system that signs as Standard Webhooks 1.0.0 says, and sends our own events: one, or an array of them."""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from api.platforms import Delivery, Platform, Told, Unread, World
from api.signatures import any_of, base64_of, digest, equal, is_recent
from api.translate import event_id, read_each, several_of

EVENTS: Final = {"any of ours": "the same"}


async def prove(delivery: Delivery, secrets: Sequence[str], world: World) -> bool:
    """`v1` (HMAC-SHA256, secret `whsec_…`) or `v1a` (Ed25519, public key `whpk_…`) over id, time and body.

    The library of the standard does the same; it takes no clock, knows one secret at a time and brings an HTTP client.
    """
    message, stamp = delivery.headers.get("webhook-id", ""), delivery.headers.get("webhook-timestamp", "")
    if not message or not is_recent(stamp, world.now):
        return False
    signed = b".".join((message.encode("utf-8", "surrogateescape"), stamp.encode(), delivery.body))
    given = [each.partition(",") for each in delivery.headers.get("webhook-signature", "").split()[:16]]
    return any_of(secrets, lambda secret: any(_is_right(secret, signed, how, word) for how, _, word in given))


def _is_right(secret: str, signed: bytes, how: str, given: str) -> bool:
    try:
        if how == "v1" and not secret.startswith("whpk_"):
            return equal(base64_of(digest(base64.b64decode(secret.removeprefix("whsec_")), signed)), given)
        if how == "v1a" and secret.startswith("whpk_"):
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix("whpk_")))
            key.verify(base64.b64decode(given, validate=True), signed)
            return True
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return False


def read(delivery: Delivery) -> list[Told | Unread]:
    """The events as they are; one without an `event_id` gets that of the message and its place in it."""
    places = itertools.count()
    message = delivery.headers["webhook-id"]
    return read_each(
        several_of(delivery.body), lambda event: [{"event_id": event_id("standard", message, next(places)), **event}]
    )


PLATFORM: Final = Platform(
    prove, read, EVENTS,
    proof="Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp` (5 minutes), `webhook-signature`",
    asks_for="the secret `whsec_…`, or the public key `whpk_…`",
)  # fmt: skip
