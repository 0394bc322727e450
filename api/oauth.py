"""The token endpoint: OAuth 2 client credentials (RFC 6749, 4.4). A stored key is a client: its id, and the key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

import msgspec
import redis
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from limits import RateLimitItem

from api.access import Access, address_of, credentials, header
from api.networks import lies_in, network_of
from api.problems import Problem
from api.rates import Rates
from api.signing import SigningKeys, as_jwks

MOST_FORM: Final = 4096
FRESH: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"const": "client_credentials"}, "client_id": {"type": "string"},
                        "client_secret": {"type": "string"}, "scope": {"type": "string"},
                    },
                },
            }
        },
    }
}  # fmt: skip


class TokenRefused(Exception):
    """What RFC 6749 calls an error: its code, and what to do."""

    def __init__(self, status: int, code: str, say: str) -> None:
        super().__init__(say)
        self.status, self.code, self.say = status, code, say

    def response(self) -> Response:
        """A problem as all of ours, with the two words that clients of OAuth look for."""
        content = {
            "type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.say,
            "error": self.code, "error_description": self.say,
        }  # fmt: skip
        ask = {"WWW-Authenticate": 'Basic realm="inlay"'} if self.status == HTTPStatus.UNAUTHORIZED else {}
        return Response(msgspec.json.encode(content), self.status, {**FRESH, **ask}, "application/problem+json")


class TokenDesk:
    """Gives out tokens.

    Args:
        access: knows the keys.
        keys: sign the tokens.
        name: what the tokens say as `iss` and `aud`.
        rates: count who asks; without an answer of Redis nobody is given one.
        rate: how often a key, and a network, may ask; none: as often as they like.
        clock: seconds since 1970, now.
    """

    def __init__(
        self,
        access: Access,
        keys: SigningKeys,
        name: str,
        rates: Rates,
        rate: RateLimitItem | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access, self._keys, self._name = access, keys, name
        self._rates, self._rate, self._clock = rates, rate, clock

    async def give(self, client_id: str, secret: str, scope: str, address: str) -> dict[str, Any]:
        """A token for a client.

        Raises:
            TokenRefused: the client is not known, or may not do what it asks for.
            Problem: 429, it asks too often; 503, that cannot be found out.
            redis.RedisError: Redis does not answer.
        """
        await self._count(client_id, address)
        caller = self._access.find(secret.encode("latin-1", "replace")) if secret else None
        if caller is None or not caller.key_id or caller.key_id != client_id:
            if not self._access.complete:
                raise redis.ConnectionError("stored keys were never read")
            say = "no such client; client_id is the id of a key of `python -m api.keys`, client_secret the key itself"
            raise TokenRefused(HTTPStatus.UNAUTHORIZED, "invalid_client", say)
        if caller.networks and not lies_in(address, caller.networks):
            raise TokenRefused(HTTPStatus.UNAUTHORIZED, "invalid_client", "this key may not be used from there")
        wanted = frozenset(scope.split()) or caller.scopes
        if not wanted <= caller.scopes:
            say = f"this key has the scopes {' '.join(sorted(caller.scopes))}"
            raise TokenRefused(HTTPStatus.BAD_REQUEST, "invalid_scope", say)
        now = int(self._clock())
        seconds = int(min(self._keys.seconds, caller.ends_at - now) if caller.ends_at else self._keys.seconds)
        granted = " ".join(sorted(wanted))
        token = await self._keys.sign(
            {
                "iss": self._name, "aud": self._name, "sub": caller.key_id, "client_id": caller.key_id,
                "scope": granted, "iat": now, "nbf": now, "exp": now + seconds, "jti": token_hex(8),
            }
        )  # fmt: skip
        return {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": granted}

    async def jwks(self) -> dict[str, Any]:
        """What proves the tokens.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        return as_jwks(await self._keys.look())

    async def _count(self, client_id: str, address: str) -> None:
        if self._rate is None:
            return
        asking: Iterable[tuple[str, str]] = (("token", client_id[:100]), ("token of", network_of(address)))
        for who in asking:
            if not await self._rates.take(self._rate, *who):
                say = "too many tokens were asked for; use each until it is over"
                wait = str(self._rate.get_expiry())
                raise Problem(HTTPStatus.TOO_MANY_REQUESTS, say, {**FRESH, "Retry-After": wait})


def routes(desk: TokenDesk) -> APIRouter:
    """The endpoint, which asks for its own proof, and the keys, which everybody may read."""
    router = APIRouter(tags=["oauth"])

    @router.post("/v1/oauth/token", openapi_extra=_BODY)
    async def token(request: Request) -> Response:
        """Give a token for the id of a key and the key, in the form or as Basic authentication."""
        try:
            client, secret, scope = await _asked(request)
            given = await desk.give(client, secret, scope, address_of(request))
        except TokenRefused as refused:
            return refused.response()
        except (redis.RedisError, OSError):
            say = "no tokens are given out right now; try again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {**FRESH, "Retry-After": "1"}) from None
        return JSONResponse(given, headers=FRESH)

    @router.get("/.well-known/jwks.json")
    async def jwks() -> Response:
        """The public keys that prove our tokens."""
        try:
            return JSONResponse(await desk.jwks(), headers={"Cache-Control": "public, max-age=60"})
        except (redis.RedisError, OSError):
            say = "the keys cannot be read right now; try again"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"}) from None

    return router


async def _asked(request: Request) -> tuple[str, str, str]:
    """The client, its secret and the scope of a request for a token.

    Raises:
        TokenRefused: it is none.
    """
    form = await _form(request)
    if (asked := form.get("grant_type", "")) != "client_credentials":
        code = "unsupported_grant_type" if asked else "invalid_request"
        raise TokenRefused(HTTPStatus.BAD_REQUEST, code, "send grant_type=client_credentials")
    client, secret = map(unquote_plus, credentials(header(request, b"authorization").decode("latin-1")))
    if client and form.get("client_secret"):
        say = "send the key in the form or as Basic authentication, not both"
        raise TokenRefused(HTTPStatus.BAD_REQUEST, "invalid_request", say)
    return client or form.get("client_id", ""), secret or form.get("client_secret", ""), form.get("scope", "")


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM:
            raise TokenRefused(
                HTTPStatus.BAD_REQUEST, "invalid_request", f"the form is larger than {MOST_FORM:,} bytes"
            )
    pairs = parse_qsl(bytes(body).decode("latin-1"), keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise TokenRefused(HTTPStatus.BAD_REQUEST, "invalid_request", "a parameter is there twice")
    return dict(pairs)
