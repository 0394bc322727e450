"""Amazon SES through SNS: a notification in an envelope that SNS signs; a new subscription is confirmed by itself."""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import Certificate, load_pem_x509_certificate

from api.platforms import Delivery, Fetch, Platform, Told, Unread, Unreadable, World
from api.signatures import any_of, equal
from api.translate import Mail, list_at, object_of, read_mails, text_at, value_at

TABLE: Final = Mail(
    kind="name",
    types={
        "Delivery": "email_delivered",
        "Open": "email_open",
        "Click": "email_click",
        "Bounce": "email_bounce",
        "Complaint": "email_complaint",
        "Subscription unsubscribe": "email_unsubscribe",
        "Subscription subscribe": "consent+",
    },
    event_id="id",
    at="about.timestamp|mail.timestamp",
    email="recipient",
    user_id="mail.tags.user_id.0",
    fields={
        "send_id": "mail.tags.send_id.0|mail.messageId", "url": "about.link",
        "campaign_id": "mail.tags.campaign_id.0|mail.tags.ses:configuration-set.0",
    },
    properties={
        "user_agent": "about.userAgent", "ip": "about.ipAddress", "message": "mail.messageId",
        "reason": "about.bounceSubType|about.complaintFeedbackType",
    },
    hard=("about.bounceType", ("Permanent",)),
)  # fmt: skip
SIGNED: Final[Mapping[str, Sequence[str]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""What of an envelope is signed, in this order."""
DIGESTS: Final = {"1": hashes.SHA1, "2": hashes.SHA256}
HOST: Final = re.compile(r"sns\.[a-z0-9-]{3,32}\.amazonaws\.com(\.cn)?")
CERTIFICATE: Final = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
MOST_CERTIFICATES: Final = 8
_certificates: OrderedDict[str, Certificate] = OrderedDict()
"""Those fetched lately; a host of Amazon's own signs with one for months."""


async def prove(delivery: Delivery, secrets: Sequence[str], world: World) -> bool:
    """The signature of SNS, with the certificate that lies at a host of SNS, over the envelope of a known topic."""
    try:
        envelope = object_of(delivery.body)
    except Unreadable:
        return False
    signed = SIGNED.get(str(envelope.get("Type")))
    topic, method = text_at(envelope, "TopicArn") or "", DIGESTS.get(str(envelope.get("SignatureVersion")))
    url = text_at(envelope, "SigningCertURL") or ""
    # Only what is for our topic makes us fetch anything, and only from SNS.
    if not any_of(secrets, lambda arn: equal(arn, topic)) or signed is None or method is None:
        return False
    if not is_of_sns(url, CERTIFICATE):
        return False
    text = "".join(f"{name}\n{envelope[name]}\n" for name in signed if envelope.get(name) is not None)
    try:
        key = (await _certificate(url, world.fetch, world.now)).public_key()
        if isinstance(key, rsa.RSAPublicKey):
            signature = base64.b64decode(str(envelope.get("Signature")), validate=True)
            key.verify(signature, text.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), method())
            return True
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return False


async def _certificate(url: str, fetch: Fetch, now: int) -> Certificate:
    if url not in _certificates:
        _certificates[url] = load_pem_x509_certificate(await fetch(url))
        if len(_certificates) > MOST_CERTIFICATES:
            _certificates.popitem(last=False)
    certificate = _certificates[url]
    moment = datetime.fromtimestamp(now / 1_000_000, timezone.utc)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise ValueError("the certificate is of another time")
    return certificate


def is_of_sns(url: str, path: re.Pattern[str] | None = None) -> bool:
    """Whether a URL lies at SNS itself, over https."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = parts.scheme == "https" and port in (None, 443) and parts.username is None
    return plain and bool(HOST.fullmatch(parts.hostname or "")) and (path is None or bool(path.fullmatch(parts.path)))


async def answer(delivery: Delivery, world: World) -> None:
    """Confirm a subscription, by a look at the page at SNS that its envelope names."""
    envelope = object_of(delivery.body)
    url = text_at(envelope, "SubscribeURL") or ""
    if envelope.get("Type") == "SubscriptionConfirmation" and is_of_sns(url):
        await world.fetch(url)


def read(delivery: Delivery) -> list[Told | Unread]:
    """The event, once for each recipient that it is about."""
    envelope = object_of(delivery.body)
    if envelope.get("Type") != "Notification":
        return []
    content = object_of((text_at_full(envelope, "Message")).encode("utf-8", "surrogatepass"))
    kind = str(content.get("eventType") or content.get("notificationType"))
    about = content.get(kind.lower())
    name = kind
    if kind == "Subscription":
        gone = value_at(about, "newTopicPreferences.unsubscribeAll") is True
        name += " unsubscribe" if gone else " subscribe"
    found = [
        {**content, "name": name, "about": about, "recipient": recipient, "id": f"{envelope.get('MessageId')}:{place}"}
        for place, recipient in enumerate(_recipients(content, about))
    ]
    read = read_mails("ses", found, TABLE)
    return [Unread(each.reason, delivery.body) if isinstance(each, Unread) else each for each in read]


def text_at_full(content: Mapping[str, Any], name: str) -> str:
    """A text of any length."""
    found = content.get(name)
    return found if isinstance(found, str) else ""


def _recipients(content: Mapping[str, Any], about: Any) -> list[str]:
    """Whom it is about: those that bounced or complained, else all to whom the mail went."""
    for path in ("bouncedRecipients", "complainedRecipients"):
        if found := [address for each in list_at(about, path) if (address := text_at(each, "emailAddress"))]:
            return found
    told = value_at(about, "recipients") or value_at(content, "mail.destination")
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []


PLATFORM: Final = Platform(
    prove, read, TABLE.types,
    proof="the signature of SNS (version 1 or 2), with a certificate from `sns.<region>.amazonaws.com`",
    asks_for="the ARN of the topic; its subscription is confirmed when it is made",
    answer=answer,
)  # fmt: skip
