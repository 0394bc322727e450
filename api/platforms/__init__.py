"""The systems that post webhooks to us, one file each: how their word is proved, and what it means in our events.

A new platform is one file here, one line in `_PLATFORMS` and one recorded delivery in `tests/payloads/webhooks`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple, TypeAlias

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]
"""What gets the bytes at a URL; raises OSError where it cannot."""


class Delivery(NamedTuple):
    """A request as it came.

    Attributes:
        headers: by name in lower case.
        body: the bytes, untouched, since signatures are over bytes.
        query: of the URL.
        url: the host and what follows it, as `shop.example/v1/webhooks/hubspot`.
        received_at: microseconds since 1970; for what a platform tells without saying when.
    """

    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = {}
    url: str = ""
    received_at: int = 0


class World(NamedTuple):
    """What a platform may ask beyond the delivery: the time in microseconds since 1970, and a page of its own."""

    now: int
    fetch: Fetch


class Unreadable(ValueError):
    """A delivery whose proof is right and whose content makes no sense; the message says what is wrong with it."""


class Unread(NamedTuple):
    """One of several things of a delivery that makes no sense: why, and its bytes. Its neighbours go on."""

    reason: str
    original: bytes


Told: TypeAlias = dict[str, Any]
"""An event as it goes to the collector: the fields of `dataflows.events.Event`, before it is judged."""
Prove: TypeAlias = Callable[[Delivery, Sequence[str], World], Awaitable[bool]]
"""Whether a delivery comes from who knows one of the secrets; OSError where that cannot be found out now."""


class Platform(NamedTuple):
    """What is known of a platform.

    Attributes:
        prove: whether a delivery is genuine.
        read: the events of a delivery; an empty list where it is about something else. Raises Unreadable.
        events: their names for what happened → our types, for the reader of the documentation too.
        proof: what the proof is, in words.
        asks_for: what is to be set as the secret, in words.
        covers_body: whether the proof is spoilt by a change of the body.
        answer: done with a genuine delivery before it is read, such as the confirmation of a subscription.
        is_greeting: whether a delivery is the platform trying the URL, which carries no proof and no event.
    """

    prove: Prove
    read: Callable[[Delivery], Sequence[Told | Unread]]
    events: Mapping[str, str]
    proof: str
    asks_for: str
    covers_body: bool = True
    answer: Callable[[Delivery, World], Awaitable[None]] | None = None
    is_greeting: Callable[[Delivery], bool] = lambda delivery: False


_PLATFORMS: Final[Mapping[str, str]] = {
    name: f"api.platforms.{name}"
    for name in (
        "braze", "customerio", "hubspot", "iterable", "klaviyo", "mailchimp", "mailgun", "postmark", "sendgrid", "ses",
        "shopify", "standard", "woocommerce",
    )
}  # fmt: skip
NAMES: Final = tuple(sorted(_PLATFORMS))


def find_platform(name: str) -> Platform:
    """The platform of that name; KeyError if there is none."""
    platform: Platform = import_module(_PLATFORMS[name]).PLATFORM
    return platform


def secrets_by_platform(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """`INLAY_WEBHOOKS` as the secrets of each platform, in the order in which they are written.

    Raises:
        ValueError: a word that is not `platform=secret`, or names a platform that there is not. It never repeats
            the secret.
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, _, secret = (part.strip() for part in word.partition("="))
        if name not in _PLATFORMS:
            said = repr(name) if "=" in word else "a word without ="
            raise ValueError(f"{said} names no platform; write platform=secret, with one of {', '.join(NAMES)}")
        if not secret:
            raise ValueError(f"{name} has no secret; write {name}=<secret>, or leave it out")
        found[name] = (*found.get(name, ()), secret)
    return found
