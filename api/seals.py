"""Seals: what a link in a mail carries, encrypted, so that it tells nothing and nobody else can make one.

A token is `name.…`: which key sealed it, then layout, user, mail and last day under AES-SIV (RFC 5297). That is
deterministic: the same link has the same address each time it is asked for. It is opened before anything in it is read,
and in its one spelling only; a token that was changed anywhere is none.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SHORTEST_SECRET: Final = 32
MOST_CHARACTERS: Final = 2048
"""Of a token; a longer one is not looked at."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
_PURPOSE: Final = b"inlay links 1"


class Pass(NamedTuple):
    """What a link carries: whose mail it is in, and until which day since 1970 it is good. `send_id` may be empty."""

    layout: str
    user_id: str
    send_id: str
    until: int


class Seals:
    """The keys that links are sealed with.

    Args:
        secrets: by name; the first seals, all of them open.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._keys = {name: AESSIV(_derived(secret)) for name, secret in secrets.items()}
        self._first = next(iter(secrets), "")

    def __bool__(self) -> bool:
        return bool(self._keys)

    def seal(self, what: Pass) -> str:
        """The token of a link; the same for the same."""
        words = msgspec.msgpack.encode(what)
        sealed = self._keys[self._first].encrypt(words, [_PURPOSE, self._first.encode()])
        return f"{self._first}.{_encoded(sealed)}"

    def open(self, token: str, today: int) -> Pass | None:
        """What a token carries; None if it is none of ours, or not good any more.

        Args:
            token: from an address.
            today: days since 1970.
        """
        name, dot, text = token.partition(".")
        key = self._keys.get(name)
        if key is None or not dot or len(token) > MOST_CHARACTERS or not token.isascii():
            return None
        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if _encoded(sealed) != text:  # the last character could be written in several ways
                return None
            what = _read(key.decrypt(sealed, [_PURPOSE, name.encode()]))
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None
        return what if what.until >= today else None


def read_link_keys(words: Sequence[str]) -> dict[str, str]:
    """The keys in `name=secret` words, in order.

    Raises:
        ValueError: one cannot be used; says what to write.
    """
    secrets: dict[str, str] = {}
    for number, word in enumerate(words, start=1):
        name, _, secret = word.partition("=")
        if not _NAME.fullmatch(name) or name in secrets:
            raise ValueError(f"key {number} has no name of its own; write name=secret, the name in up to 16 letters")
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"the secret of {name} has less than {SHORTEST_SECRET} characters; make it of random ones")
        secrets[name] = secret
    return secrets


_read: Final = msgspec.msgpack.Decoder(Pass).decode


def _derived(secret: str) -> bytes:
    return HKDF(SHA512(), 64, None, _PURPOSE).derive(secret.encode())


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
