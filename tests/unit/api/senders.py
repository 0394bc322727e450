"""The platforms as they post: each seals a body as its documentation says, sharing no code with what checks it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

PAYLOADS: Final = Path(__file__).parents[2] / "payloads/webhooks"
NOW: Final = 1_770_050_000
"""2026-02-02 16:33:20 UTC, in seconds; all recorded deliveries are of the days before."""
TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:mail"
CERTIFICATE_URL: Final = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"


class Posted(NamedTuple):
    """A sealed delivery."""

    body: bytes
    headers: Mapping[str, str] = {}
    query: str = ""


class Case(NamedTuple):
    """A recorded delivery and what is expected to come of it."""

    platform: str
    name: str
    body: bytes

    @property
    def expected(self) -> list[dict[str, object]]:
        """The events."""
        told: list[dict[str, object]] = json.loads((PAYLOADS / self.platform / f"{self.name}.events.json").read_text())
        return told


def cases() -> list[Case]:
    """All recorded deliveries."""
    files = sorted(path for path in PAYLOADS.glob("*/*") if not path.name.endswith(".events.json"))
    return [Case(path.parent.name, path.stem, path.read_bytes()) for path in files]


def mac(secret: str, *parts: bytes) -> bytes:
    """HMAC-SHA256 of the parts."""
    return hmac.new(secret.encode(), b"".join(parts), hashlib.sha256).digest()


def seal_with_header(name: str, write: Callable[[bytes], str], topic: str = "", joint: str = "") -> Seal:
    """A platform that signs the body in a header, and names the topic in another one."""

    def seal(case: str, body: bytes, secret: str) -> Posted:
        first, second = [*case.split("_"), ""][:2]
        headers = {name: write(mac(secret, body)), "X-Shopify-Shop-Domain": "shop.example"}
        return Posted(body, headers | ({topic: f"{first}{joint}{second}"} if topic else {}))

    return seal


def b64(content: bytes) -> str:
    """Base64 as text."""
    return base64.b64encode(content).decode()


def seal_sendgrid(case: str, body: bytes, secret: str) -> Posted:
    """ECDSA over time and body; the secret here is which key is used."""
    stamp = str(NOW - 60)
    signature = key_of(secret).sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    head = "X-Twilio-Email-Event-Webhook-"
    return Posted(body, {f"{head}Signature": b64(signature), f"{head}Timestamp": stamp})


@cache
def key_of(secret: str) -> ec.EllipticCurvePrivateKey:
    """A key for each name."""
    return ec.derive_private_key(int.from_bytes(secret.encode()[:16], "big"), ec.SECP256R1())


def public_of(secret: str) -> str:
    """What SendGrid shows as verification key."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return b64(key_of(secret).public_key().public_bytes(serialization.Encoding.DER, spki))


def seal_mailgun(case: str, body: bytes, secret: str) -> Posted:
    """The signature lies in the body, beside the event."""
    stamp, token = str(NOW - 60), "ae7a0c4e2e4f4f0d9e1a8d3e1f6c7b7c"
    signature = {
        "timestamp": stamp,
        "token": token,
        "signature": mac(secret, stamp.encode(), token.encode()).hex(),
    }
    return Posted(b'{"signature": ' + json.dumps(signature).encode() + b"," + body.lstrip()[1:])


def seal_customerio(case: str, body: bytes, secret: str) -> Posted:
    """`v0:time:body`, in hexadecimal."""
    stamp = str(NOW - 2)
    signature = mac(secret, b"v0:", stamp.encode(), b":", body).hex()
    return Posted(body, {"X-CIO-Timestamp": stamp, "X-CIO-Signature": signature})


def seal_klaviyo(case: str, body: bytes, secret: str) -> Posted:
    """The body, then the time."""
    stamp = "2026-02-02T16:33:00+00:00"
    return Posted(body, {"Klaviyo-Timestamp": stamp, "Klaviyo-Signature": mac(secret, body, stamp.encode()).hex()})


def seal_hubspot(case: str, body: bytes, secret: str) -> Posted:
    """Method, URL, body and time in milliseconds."""
    stamp = str(NOW * 1000 - 1500)
    signature = mac(secret, b"POST", b"https://api/v1/webhooks/hubspot", body, stamp.encode())
    return Posted(body, {"X-HubSpot-Signature-v3": b64(signature), "X-HubSpot-Request-Timestamp": stamp})


def seal_standard(case: str, body: bytes, secret: str) -> Posted:
    """`id.time.body`, the secret in Base64."""
    stamp, message = str(NOW - 3), f"msg_{case}"
    signed = f"{message}.{stamp}.".encode() + body
    signature = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    headers = {"webhook-id": message, "webhook-timestamp": stamp, "webhook-signature": f"v1,{b64(signature)}"}
    return Posted(body, headers)


def seal_bearer(case: str, body: bytes, secret: str) -> Posted:
    """The secret in a header."""
    return Posted(body, {"Authorization": f"Bearer {secret}"})


def seal_basic(case: str, body: bytes, secret: str) -> Posted:
    """The secret as password."""
    return Posted(body, {"Authorization": f"Basic {b64(b'inlay:' + secret.encode())}"})


def seal_query(case: str, body: bytes, secret: str) -> Posted:
    """The secret in the URL."""
    return Posted(body, {"Content-Type": "application/x-www-form-urlencoded"}, f"?secret={secret}")


@cache
def sns_key() -> rsa.RSAPrivateKey:
    """What SNS signs with."""
    return rsa.generate_private_key(65537, 2048)


@cache
def sns_certificate() -> bytes:
    """What lies at the certificate's URL."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    today = datetime.fromtimestamp(NOW, timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(sns_key().public_key())
        .serial_number(1).not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=1))
    )  # fmt: skip
    return builder.sign(sns_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def seal_ses(case: str, body: bytes, secret: str, url: str = CERTIFICATE_URL) -> Posted:
    """RSA over chosen keys of the envelope, each with its value on lines of their own."""
    envelope = json.loads(body) | {"TopicArn": secret}
    keys = ["Message", "MessageId"]
    if envelope["Type"] == "Notification":
        keys += ["Subject"] * ("Subject" in envelope) + ["Timestamp", "TopicArn", "Type"]
    else:
        keys += ["SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{key}\n{envelope[key]}\n" for key in keys).encode()
    method = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()  # noqa: S303  # as SNS does
    signature = sns_key().sign(text, padding.PKCS1v15(), method)
    sealed = envelope | {"Signature": b64(signature), "SigningCertURL": url}
    return Posted(json.dumps(sealed).encode(), {"x-amz-sns-message-type": str(envelope["Type"])})


Seal = Callable[[str, bytes, str], Posted]
SEALS: Final[Mapping[str, Seal]] = {
    "braze": seal_bearer,
    "customerio": seal_customerio,
    "hubspot": seal_hubspot,
    "iterable": seal_bearer,
    "klaviyo": seal_klaviyo,
    "mailchimp": seal_query,
    "mailgun": seal_mailgun,
    "postmark": seal_basic,
    "sendgrid": seal_sendgrid,
    "ses": seal_ses,
    "shopify": seal_with_header("X-Shopify-Hmac-Sha256", b64, "X-Shopify-Topic", "/"),
    "standard": seal_standard,
    "woocommerce": seal_with_header("X-WC-Webhook-Signature", b64, "X-WC-Webhook-Topic", "."),
}
SECRETS: Final[Mapping[str, tuple[str, str, str]]] = {
    name: {
        "ses": (TOPIC, f"{TOPIC}-new", f"{TOPIC}-of-others"),
        "standard": tuple(f"whsec_{b64(word * 3)}" for word in (b"old-word", b"new-word", b"no-word!")),
    }.get(name, ("a-secret-word", "the-next-secret", "somebody-elses"))
    for name in SEALS
}  # type: ignore[assignment]
"""Of each platform two secrets that are set, as while one gives way to the other, and one that is not."""


def setting() -> tuple[str, ...]:
    """`INLAY_WEBHOOKS` with both secrets of every platform."""
    return tuple(
        f"{name}={public_of(secret) if name == 'sendgrid' else secret}"
        for name, secrets in SECRETS.items()
        for secret in secrets[:2]
    )
