"""How a platform proves that a delivery is its own. Every compare takes the same time whatever differs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from api.platforms import Delivery, Prove, World
from dataflows.events import HOUR, MINUTE, SECOND

REPLAY: Final = 5 * MINUTE
"""How old a signed time may be, and how far ahead; what Standard Webhooks and HubSpot ask for."""
RETRIES: Final = 26 * HOUR
"""The same where a platform tries again for a day and does not say that it signs anew."""


def is_recent(stamp: str, now: int, most: int = REPLAY, unit: int = SECOND) -> bool:
    """Whether a signed time, a number of `unit`, lies within `most` microseconds of `now`."""
    return stamp.isascii() and stamp.isdigit() and len(stamp) < 16 and abs(int(stamp) * unit - now) <= most


def equal(ours: str, theirs: str) -> bool:
    """Whether two words are the same, in constant time."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "surrogateescape"))


def digest(secret: bytes, content: bytes) -> bytes:
    """HMAC-SHA256."""
    return hmac.new(secret, content, hashlib.sha256).digest()


def any_of(secrets: Sequence[str], is_right: Callable[[str], bool]) -> bool:
    """Whether one of the secrets is right; all are tried, so that the time taken tells nothing."""
    return bool(sum(is_right(secret) for secret in secrets))


def hmac_of(
    header: str,
    content: Callable[[Delivery], bytes | None] = lambda delivery: delivery.body,
    *,
    write: Callable[[bytes], str] = bytes.hex,
    stamp: str = "",
    unit: int = SECOND,
    most: int = REPLAY,
) -> Prove:
    """A proof by HMAC-SHA256 in a header.

    Args:
        header: its name, in lower case.
        content: what is signed.
        write: how the digest is written.
        stamp: the header of a signed time, where there is one.
        unit: what that time counts, in microseconds.
        most: how far it may lie from now, in microseconds.
    """

    async def prove(delivery: Delivery, secrets: Sequence[str], world: World) -> bool:
        given = delivery.headers.get(header, "")
        signed = content(delivery)
        if stamp and not is_recent(delivery.headers.get(stamp, ""), world.now, most, unit):
            return False
        if not given or signed is None:
            return False
        return any_of(secrets, lambda secret: equal(write(digest(secret.encode(), signed)), given))

    return prove


async def knows_secret(delivery: Delivery, secrets: Sequence[str], world: World) -> bool:
    """A proof by the secret itself, for platforms that sign nothing: a bearer token, Basic's password, or in the URL.

    The last part of its path has come here as `secret` of the query too.
    """
    scheme, _, token = delivery.headers.get("authorization", "").partition(" ")
    given = [delivery.query.get("secret", "")]
    if scheme.lower() == "bearer":
        given.append(token.strip())
    if scheme.lower() == "basic":
        try:
            given.append(base64.b64decode(token, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            return False
    return any(any_of(secrets, lambda secret, word=word: equal(secret, word)) for word in given if word)  # type: ignore[misc]


def base64_of(content: bytes) -> str:
    """Bytes as Base64."""
    return base64.b64encode(content).decode()
