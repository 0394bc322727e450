"""An envelope: words encrypted so that they tell nothing, fit into an address, and nobody else can make them.

A token is `name.…`: which key sealed it, then the words under AES-SIV (RFC 5297). That is deterministic: the same
words have the same token each time. It is opened before anything in it is read, and in its one spelling only; a token
that was changed anywhere is none.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

T = TypeVar("T")
MOST_CHARACTERS: Final = 2048
"""Of a token; a longer one is not looked at."""


class Envelope:
    """Seals and opens, for one purpose: what was sealed for another is no token here.

    Args:
        secrets: by name; the first seals, all of them open.
        purpose: what it is for.
    """

    def __init__(self, secrets: Mapping[str, str], purpose: bytes) -> None:
        self._purpose = purpose
        self._keys = {name: AESSIV(_derived(secret, purpose)) for name, secret in secrets.items()}
        self._first = next(iter(secrets), "")

    def __bool__(self) -> bool:
        return bool(self._keys)

    def seal(self, words: bytes) -> str:
        """The token of some words."""
        sealed = self._keys[self._first].encrypt(words, [self._purpose, self._first.encode()])
        return f"{self._first}.{_encoded(sealed)}"

    def open(self, token: str, read: Callable[[bytes], T]) -> T | None:
        """What is read from the words in a token; None if it is none of ours.

        Args:
            token: from anywhere.
            read: a decoder of msgspec.
        """
        name, dot, text = token.partition(".")
        key = self._keys.get(name)
        if key is None or not dot or len(token) > MOST_CHARACTERS or not token.isascii():
            return None
        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            if _encoded(sealed) != text:  # the last character could be written in several ways
                return None
            return read(key.decrypt(sealed, [self._purpose, name.encode()]))
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            return None


def _derived(secret: str, purpose: bytes) -> bytes:
    return HKDF(SHA512(), 64, None, purpose).derive(secret.encode())


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
