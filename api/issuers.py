"""Foreign issuers: whose tokens are taken too, and the keys that they publish.

    https://login.example.com audience=inlay jwks=https://login.example.com/keys mails.read=read events.write=collect

is one entry of INLAY_OAUTH_ISSUERS. Without `jwks` the issuer's own description says where its keys are; without a
scope of theirs, theirs are called as ours.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import jwt
import msgspec
from msgspec import Struct

from api.access import SCOPES
from api.fetch import fetch

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]

ALGORITHMS: Final[Mapping[tuple[str, str], str]] = {
    ("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA",
}  # fmt: skip
"""What a key proves follows from the key; what a token says of that is never asked."""
SHORTEST_RSA: Final = 2048
FRESH_SECONDS: Final = 3600.0
"""Keys older than that are fetched anew; while they cannot be, those that are known go on."""
FETCH_AT_MOST_EVERY: Final = 30.0
"""Seconds between fetches, however many tokens name a key that is not known."""
MOST_KEYS: Final = 50
DESCRIPTION: Final = "/.well-known/openid-configuration"

_log: Final = logging.getLogger(__name__)


class Issuer(Struct, frozen=True):
    """Whose tokens are taken.

    Attributes:
        url: what they say as `iss`.
        audience: what they say as `aud`.
        jwks: where the keys are; empty: the description of the issuer says it.
        scopes: by theirs, ours.
    """

    url: str
    audience: str
    jwks: str
    scopes: Mapping[str, str]

    def ours(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """The scopes of ours that a token of theirs carries."""
        theirs: set[str] = set()
        for name in ("scope", "scp", "permissions", "roles"):
            said = claims.get(name)
            theirs.update(said.split() if isinstance(said, str) else filter(_is_text, said or ()))
        return frozenset(self.scopes[each] for each in theirs if each in self.scopes)


def read_issuers(entries: Iterable[str]) -> tuple[Issuer, ...]:
    """The issuers of the setting.

    Raises:
        ValueError: an entry cannot be used; the message says what to write.
    """
    found: list[Issuer] = []
    for entry in entries:
        url, *words = entry.split()
        said = dict(word.partition("=")[::2] for word in words)
        audience, jwks = said.pop("audience", ""), said.pop("jwks", "")
        if not url.startswith("https://") or (jwks and not jwks.startswith("https://")):
            raise ValueError(f"{entry!r}: an issuer and its keys are at https://…")
        if not audience:
            raise ValueError(f"{entry!r}: write audience=…, so that tokens for others are not taken")
        if unknown := set(said.values()) - set(SCOPES):
            raise ValueError(f"{entry!r}: {min(unknown)!r} is no scope; write theirs=ours, and ours is {SCOPES}")
        if url in {each.url for each in found}:
            raise ValueError(f"{url} is there twice")
        found.append(Issuer(url, audience, jwks, said or {scope: scope for scope in SCOPES}))
    return tuple(found)


class ProvingKey(NamedTuple):
    """A key of an issuer, and the one algorithm it proves."""

    key: Any
    algorithm: str


class IssuerKeys:
    """The keys that an issuer publishes.

    Args:
        issuer: whose they are.
        fetch: what gets a page.
        monotonic: the clock, in seconds.
    """

    def __init__(self, issuer: Issuer, fetch: Fetch = fetch, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._fetch, self._monotonic = issuer, fetch, monotonic
        self._keys: dict[str, ProvingKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def find(self, kid: str) -> ProvingKey | None:
        """A key; none if the issuer has no such key.

        Raises:
            OSError: the keys cannot be had, and none was ever.
        """
        if not self._is_good(kid):
            async with self._one_at_a_time:
                if not self._is_good(kid) and self._monotonic() >= self._tried_at + FETCH_AT_MOST_EVERY:
                    await self._refresh()
        if self._fetched_at == float("-inf"):
            raise OSError(f"the keys of {self._issuer.url} cannot be had")
        return self._keys.get(kid)

    def _is_good(self, kid: str) -> bool:
        return kid in self._keys and self._monotonic() < self._fetched_at + FRESH_SECONDS

    async def _refresh(self) -> None:
        self._tried_at = self._monotonic()
        try:
            url = self._issuer.jwks or await self._described()
            self._keys = read_keys(await self._fetch(url))
            self._fetched_at = self._monotonic()
        except (OSError, ValueError) as error:
            _log.warning("the keys of %s were not fetched: %s", self._issuer.url, error)

    async def _described(self) -> str:
        said = msgspec.json.decode(await self._fetch(self._issuer.url.rstrip("/") + DESCRIPTION))
        if not isinstance(said, dict) or said.get("issuer") != self._issuer.url:
            raise ValueError("the description there is of another issuer")
        return str(said.get("jwks_uri"))


def read_keys(jwks: bytes) -> dict[str, ProvingKey]:
    """The keys of a JWK set that prove tokens, by their id; others are left out.

    Raises:
        ValueError: it is no JWK set.
    """
    content = msgspec.json.decode(jwks)
    keys = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(keys, list):
        raise ValueError("what is there is no JWK set")  # noqa: TRY004  # a fault of the text
    found: dict[str, ProvingKey] = {}
    for each in keys[:MOST_KEYS]:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig" or not isinstance(each.get("kid"), str):
            continue
        algorithm = ALGORITHMS.get((str(each.get("kty")), str(each.get("crv", ""))))
        if algorithm is None or each.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(each, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            _log.warning("a published key cannot be read: %s", error)
            continue
        if getattr(key, "key_size", SHORTEST_RSA) >= SHORTEST_RSA or algorithm != "RS256":
            found[each["kid"]] = ProvingKey(key, algorithm)
    return found


def _is_text(said: Any) -> bool:
    return isinstance(said, str)
