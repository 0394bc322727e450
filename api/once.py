"""Once: who was not answered asks again with the same `Idempotency-Key`, and it is done once and answered alike.

The answer is kept by the very command that does it, so that no kill comes in between. It is sealed with a key made of
the word that the caller chose, which is stored nowhere: an answer may be the only place where a secret stands.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from api.problems import Problem

ONCE_KEY: Final = "inlay:once:{}"
ONCE_SECONDS: Final = 86_400
"""How long an answer is kept."""
SHORTEST: Final = 16
LONGEST: Final = 200
_PURPOSE: Final = b"inlay once 1"
_DIGEST: Final = 32


class Once(NamedTuple):
    """A request that is to be carried out once.

    Attributes:
        place: where its answer is kept.
        asked: a digest of what is asked.
        word: what the caller chose.
    """

    place: str
    asked: bytes
    word: str

    def seal(self, answer: bytes) -> bytes:
        """What is kept of an answer."""
        return self.asked + self._cipher().encrypt(answer, [self.asked])

    def open(self, kept: bytes) -> bytes:
        """The answer in what is kept.

        Raises:
            Problem: 422, it was given to something else.
        """
        try:
            if compare_digest(kept[:_DIGEST], self.asked):
                return self._cipher().decrypt(kept[_DIGEST:], [self.asked])
        except InvalidTag:
            pass
        say = "this Idempotency-Key came with another request before; choose a new one for each thing that you ask"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, say)

    def _cipher(self) -> AESSIV:
        return AESSIV(HKDF(SHA512(), 64, None, _PURPOSE).derive(self.word.encode()))


def once_of(word: str | None, caller: str, *asked: bytes) -> Once | None:
    """A request that is to be carried out once; none where no word came with it.

    Args:
        word: the header `Idempotency-Key`.
        caller: whose words are nobody else's.
        asked: all that makes it another request if it is another.

    Raises:
        Problem: 422, the word cannot be used.
    """
    if word is None:
        return None
    if not (SHORTEST <= len(word) <= LONGEST and word.isascii() and word.isprintable()):
        say = f"an Idempotency-Key is a random word of {SHORTEST} to {LONGEST} letters, such as a UUID"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, say)
    place = sha256(b"\0".join((caller.encode(), word.encode()))).hexdigest()
    return Once(ONCE_KEY.format(place), sha256(b"".join(sha256(each).digest() for each in asked)).digest(), word)


class Keep(NamedTuple):
    """What a command keeps while it does something: where, and what is made of what it did."""

    place: str
    make: Callable[..., bytes]
    seconds: int = ONCE_SECONDS


class AskedBefore(Exception):  # it is no error
    """It was done before, by a request with the same word; `kept` is what was kept then."""

    def __init__(self, kept: bytes) -> None:
        super().__init__("it was done before")
        self.kept = kept
