"""Who may call: keys from INLAY_API_KEYS, as `Authorization: Bearer …` or `X-Api-Key`.

Keys from INLAY_WRITE_KEYS may collect and nothing else: they stand in pages that everybody can read.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Header, Request

from api.problems import Problem

CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Keys:
    """The keys that are accepted, kept as digests.

    Args:
        keys: as set.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    async def __call__(
        self, authorization: Annotated[str, Header()] = "", x_api_key: Annotated[str, Header()] = ""
    ) -> None:
        """Let a caller with a key pass; a dependency of every route under /v1.

        Raises:
            Problem: 401, without a key or with one that is not known.
        """
        self.check((x_api_key or bearer(authorization)).encode("latin-1", "replace"))  # as headers are read

    def check(self, given: bytes) -> None:
        """Let a caller with this key pass.

        Raises:
            Problem: 401, the key is empty or not known.
        """
        if not given:
            say = "send your key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`"
            raise Problem(HTTPStatus.UNAUTHORIZED, say, CHALLENGE)
        digest = _digest(given)
        # Every key is compared, so that the time taken tells nothing.
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            say = "this key is not known; check it against INLAY_API_KEYS of the service"
            raise Problem(HTTPStatus.UNAUTHORIZED, say, CHALLENGE)


def key_of(request: Request) -> bytes:
    """The key that a request carries in its headers; empty if it carries none."""
    if key := header(request, b"x-api-key"):
        return key
    authorization = header(request, b"authorization").decode("latin-1")
    return (bearer(authorization) or basic(authorization)).encode("latin-1")


def header(request: Request, name: bytes) -> bytes:
    """A header by its name in lower case; empty if it is not there."""
    for key, value in request.scope["headers"]:  # a fraction of the time of `request.headers`
        if key == name:
            return bytes(value)
    return b""


def bearer(authorization: str) -> str:
    """The key of `Authorization: Bearer <key>`; empty if it is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(authorization: str) -> str:
    """The user name of `Authorization: Basic …`, which is where Segment's clients put their write key."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(token.strip(), validate=True).decode("latin-1").partition(":")[0]
    except ValueError:
        return ""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
