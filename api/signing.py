"""The keys that our tokens are signed with: each process makes its own, and publishes what proves them, nothing more.

What signs never leaves the process that made it, so that nothing stored can sign anything. A key signs for a day, and
proves until the last token that it signed is over.
"""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final

import jwt
import msgspec
import redis.asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

JWKS_KEY: Final = "inlay:oauth:jwks"
ALGORITHM: Final = "EdDSA"
SIGNS_FOR: Final = 86_400.0
LOOK_AT_MOST_EVERY: Final = 0.1
"""Seconds between looks for keys that are not known, however many ask for them."""


class Proof(Struct, frozen=True):
    """What proves the tokens of a key: the public half as JWK has it, and when the last of them is over."""

    x: str
    ends_at: float


class SigningKeys:
    """The keys of this process and of the others.

    Args:
        client: the Redis in which they are published.
        seconds: how long a token is good.
        clock: seconds since 1970, now.
    """

    def __init__(self, client: redis.asyncio.Redis, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._client, self.seconds, self._clock = client, seconds, clock
        self._private: Ed25519PrivateKey | None = None
        self._kid, self._made_at = "", 0.0
        self._proofs: dict[str, Proof] = {}
        self._looked_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def sign(self, claims: dict[str, Any]) -> str:
        """A token that says these things.

        Raises:
            redis.RedisError: the key is not published yet, and cannot be.
        """
        now = self._clock()
        if self._private is None or now >= self._made_at + SIGNS_FOR:
            await self._make(now)
        headers = {"kid": self._kid, "typ": "at+jwt"}
        return jwt.encode(claims, self._private, ALGORITHM, headers)  # type: ignore[arg-type]  # it is made by now

    async def find(self, kid: str) -> Ed25519PublicKey | None:
        """What proves the tokens of a key; none if there is no such key any more.

        Raises:
            redis.RedisError: it is not known, and Redis does not answer.
        """
        if kid not in self._proofs:
            async with self._one_at_a_time:
                if kid not in self._proofs:  # it may be a moment old, so that the last look says nothing of it
                    await asyncio.sleep(max(0.0, self._looked_at + LOOK_AT_MOST_EVERY - time.monotonic()))
                    self._looked_at = time.monotonic()
                    await self.look()
        proof = self._proofs.get(kid)
        if proof is None or proof.ends_at <= self._clock():
            return None
        return Ed25519PublicKey.from_public_bytes(urlsafe_b64decode(f"{proof.x}="))

    async def look(self) -> dict[str, Proof]:
        """The published keys that still prove something.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        found: Any = await self._client.hgetall(JWKS_KEY)
        now = self._clock()
        proofs = {kid.decode(): _decode(proof) for kid, proof in found.items()}
        self._proofs = {kid: proof for kid, proof in proofs.items() if proof.ends_at > now}
        return self._proofs

    async def _make(self, now: float) -> None:
        private, kid = Ed25519PrivateKey.generate(), token_hex(8)
        x = urlsafe_b64encode(private.public_key().public_bytes_raw()).decode().rstrip("=")
        proof = Proof(x, now + SIGNS_FOR + self.seconds + 60)
        over = [each for each in await self._client.hkeys(JWKS_KEY) if each.decode() not in await self.look()]
        pipeline = self._client.pipeline(transaction=True)
        if over:
            pipeline.hdel(JWKS_KEY, *over)
        pipeline.hset(JWKS_KEY, kid, msgspec.json.encode(proof).decode())
        await pipeline.execute()
        self._proofs[kid] = proof
        self._private, self._kid, self._made_at = private, kid, now


def as_jwks(proofs: dict[str, Proof]) -> dict[str, Any]:
    """Published keys as a JWK set (RFC 7517, RFC 8037)."""
    return {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": ALGORITHM, "kid": kid, "x": proof.x}
            for kid, proof in sorted(proofs.items())
        ]
    }


_decode: Final = msgspec.json.Decoder(Proof).decode
