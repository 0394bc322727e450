"""Tokens that were signed, by us or by an issuer that we trust, and who carries them.

The key says how a token is proven, never the token itself. A token that was proven once is known by its digest until it
is over; ours end at once with the key that they were asked for with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import jwt
import redis

from api.access import Access, Caller, digest_of
from api.issuers import Issuer, IssuerKeys, ProvingKey
from api.metrics import DENIED
from api.problems import Problem
from api.signing import ALGORITHM, SigningKeys

REQUIRED: Final = ("exp", "iat", "aud", "iss", "sub")
LEEWAY: Final = 5.0
"""Seconds that clocks may differ."""
MOST_TOKEN: Final = 8192
MOST_TOKENS: Final = 10_000
"""Bytes of a token; tokens that are remembered."""


class _Proven(NamedTuple):
    caller: Caller
    key: Caller | None
    ends_at: float


class Bearers:
    """Who carries which token.

    Args:
        ours: the keys of our own tokens.
        name: what our own tokens say as `iss` and `aud`.
        foreign: the keys of each issuer that is trusted.
        clock: seconds since 1970, now.
    """

    def __init__(
        self,
        ours: SigningKeys,
        name: str,
        foreign: Iterable[tuple[Issuer, IssuerKeys]] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ours, self._name, self._clock = ours, name, clock
        self._foreign = {issuer.url: (issuer, keys) for issuer, keys in foreign}
        self._proven: dict[bytes, _Proven] = {}
        self.access: Access | None = None

    async def caller(self, token: bytes) -> Caller:
        """As `api.access.Tokens.caller`."""
        digest = digest_of(token)
        proven = self._proven.get(digest)
        if proven is None or proven.ends_at <= self._clock():
            proven = await self._prove(token)
            if len(self._proven) >= MOST_TOKENS:
                self._proven.clear()
            self._proven[digest] = proven
        if proven.key is not None and self._key(proven.key.key_id) is not proven.key:
            del self._proven[digest]  # the key changed, or is over: look again
            proven = await self._prove(token)
        return proven.caller

    async def _prove(self, token: bytes) -> _Proven:
        if len(token) > MOST_TOKEN:
            raise _refused("it is too long")
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            said = jwt.decode(token, options={"verify_signature": False})  # who is to be asked for the key, no more
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise _refused("it is none") from None
        if not isinstance(kid, str):
            raise _refused("it does not say which key proves it")
        issuer = said.get("iss")
        try:
            if issuer == self._name:
                return await self._prove_ours(token, kid)
            if issuer in self._foreign:
                return await self._prove_foreign(token, kid, *self._foreign[issuer])
        except (redis.RedisError, OSError):
            say = "the token cannot be checked right now; try again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"}) from None
        raise _refused("its issuer is not trusted here; see INLAY_OAUTH_ISSUERS")

    async def _prove_ours(self, token: bytes, kid: str) -> _Proven:
        key = await self._ours.find(kid)
        claims = self._decode(token, None if key is None else ProvingKey(key, ALGORITHM), self._name, self._name)
        caller = self._key(claims["sub"])
        if caller is None:
            raise _refused("the key that it was asked for with is over")
        scopes = frozenset(str(claims.get("scope", "")).split()) & caller.scopes
        ends_at = float(claims["exp"]) + LEEWAY
        return _Proven(
            Caller(caller.name, scopes, caller.networks, ends_at, caller.rate, caller.key_id), caller, ends_at
        )

    async def _prove_foreign(self, token: bytes, kid: str, issuer: Issuer, keys: IssuerKeys) -> _Proven:
        claims = self._decode(token, await keys.find(kid), issuer.url, issuer.audience)
        ends_at = float(claims["exp"]) + LEEWAY
        name = f"{claims['sub'][:100]} of {issuer.url}"
        return _Proven(Caller(name, issuer.ours(claims), ends_at=ends_at), None, ends_at)

    def _decode(self, token: bytes, key: ProvingKey | None, issuer: str, audience: str) -> Mapping[str, Any]:
        if key is None:
            raise _refused("the key that would prove it is not known")
        try:
            claims: dict[str, Any] = jwt.decode(
                token, key.key, algorithms=[key.algorithm], issuer=issuer, audience=audience, leeway=LEEWAY,
                options={"require": list(REQUIRED)},
            )  # fmt: skip
        except jwt.ExpiredSignatureError:
            raise _refused("it is over") from None
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _refused(f"{error}") from None
        if not claims["sub"]:
            raise _refused("it does not say whose it is")
        return claims

    def _key(self, key_id: str) -> Caller | None:
        return None if self.access is None else self.access.of_id(key_id)


def _refused(why: str) -> Problem:
    DENIED.labels("token").inc()
    say = f"this token is not taken: {why[:1].lower()}{why[1:]}"
    return Problem(HTTPStatus.UNAUTHORIZED, say, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
