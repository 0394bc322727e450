"""Who may call: keys from INLAY_API_KEYS, as `Authorization: Bearer …` or `X-Api-Key`."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated

from fastapi import Header

from api.problems import Problem


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
        scheme, _, token = authorization.partition(" ")
        given = x_api_key or (token.strip() if scheme.lower() == "bearer" else "")
        challenge = {"WWW-Authenticate": "Bearer"}
        if not given:
            say = "send your key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`"
            raise Problem(HTTPStatus.UNAUTHORIZED, say, challenge)
        digest = _digest(given.encode("latin-1", "replace"))  # headers come as bytes, read as Latin-1
        # Every key is compared, so that the time taken tells nothing.
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            say = "this key is not known; check it against INLAY_API_KEYS of the service"
            raise Problem(HTTPStatus.UNAUTHORIZED, say, challenge)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
