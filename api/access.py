"""Who may call: keys and tokens, as `Authorization: Bearer …` or `X-Api-Key`, what each may do, and from where.

A key is looked up by its digest in memory, which costs a microsecond and no other process: while Redis is away, whoever
was known stays known.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Final, Literal, Protocol, TypeAlias

from fastapi import Request
from msgspec import Struct

from api.metrics import DENIED
from api.networks import Network, lies_in
from api.problems import Problem

Scope: TypeAlias = Literal["collect", "read", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("collect", "read", "admin")
"""Events in; blocks and what is known of users out; keys, erasures, the audit log. None of them holds another."""
CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
SEND: Final = "send your key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`"


class Caller(Struct, frozen=True):
    """Who calls.

    Attributes:
        name: for people, and for the audit log; never the key.
        scopes: what they may do.
        networks: from where; empty: from anywhere.
        ends_at: when it is over, in seconds since 1970; 0: never.
        rate: how often, such as `600/minute`; empty: as the settings say.
        key_id: of a key that is stored; empty for one from the environment.
    """

    name: str
    scopes: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    ends_at: float = 0.0
    rate: str = ""
    key_id: str = ""


class Tokens(Protocol):
    """What knows tokens that were signed."""

    async def caller(self, token: bytes) -> Caller:
        """Whose it is.

        Raises:
            Problem: 401, it is forged, over, or not for us; 503, that cannot be found out now.
        """


class Limit(Protocol):
    """What counts calls."""

    def over(self, caller: Caller, address: str) -> float:
        """Count a call; the seconds to wait before the next one is taken, 0 if this one is."""


class Access:
    """Everybody who may call.

    Args:
        callers: by the SHA-256 of their keys, those that are always known.
        tokens: knows tokens; none: no token is taken.
        limit: counts calls; none: nobody is limited.
        clock: seconds since 1970, now.
    """

    def __init__(
        self,
        callers: Mapping[bytes, Caller],
        tokens: Tokens | None = None,
        limit: Limit | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._fixed, self._callers = dict(callers), dict(callers)
        self._ids: dict[str, Caller] = {}
        self._tokens, self.limit, self._clock = tokens, limit, clock
        self.used: dict[str, int] = {}
        self.complete = True

    def learn(self, stored: Mapping[bytes, Caller]) -> None:
        """These, and nobody else, are stored now."""
        self._callers = {**stored, **self._fixed}
        self._ids = {caller.key_id: caller for caller in stored.values()}
        self.complete = True

    def find(self, key: bytes) -> Caller | None:
        """Whose a key is, if it is one that is good now."""
        caller = self._good(self._callers.get(digest_of(key)))
        if caller is None:
            return None
        if caller.key_id:
            self.used[caller.key_id] = int(self._clock())
        return caller

    def of_id(self, key_id: str) -> Caller | None:
        """Whose the key of an id is, if it is one that is good now."""
        return self._good(self._ids.get(key_id))

    def _good(self, caller: Caller | None) -> Caller | None:
        return None if caller is None or (caller.ends_at and caller.ends_at <= self._clock()) else caller

    def check(self, given: bytes, scope: Scope, address: str) -> Caller:
        """Let a key pass.

        Args:
            given: the key.
            scope: what it is wanted for.
            address: where it comes from.

        Raises:
            Problem: 401, it is empty or not known; 403, it is not good for that, or not from there; 503, keys that are
                stored were never read.
        """
        if not given:
            DENIED.labels("no key").inc()
            raise Problem(HTTPStatus.UNAUTHORIZED, SEND, CHALLENGE)
        caller = self.find(given)
        if caller is None:
            raise self._unknown()
        return self._permit(caller, scope, address)

    async def allow(self, given: bytes, scope: Scope, address: str) -> Caller:
        """As `check`, for a key or a token."""
        if is_token(given) and self._tokens is not None and self.find(given) is None:
            return self._permit(await self._tokens.caller(given), scope, address)
        return self.check(given, scope, address)

    def _permit(self, caller: Caller, scope: Scope, address: str) -> Caller:
        if scope not in caller.scopes:
            DENIED.labels("scope").inc()
            say = f"this needs the scope {scope!r}; yours has {', '.join(sorted(caller.scopes)) or 'none'}"
            raise Problem(HTTPStatus.FORBIDDEN, say, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
        if caller.networks and not lies_in(address, caller.networks):
            DENIED.labels("network").inc()
            say = f"this key may not be used from {address or 'there'}; see INLAY_TRUSTED_PROXIES if that is a proxy"
            raise Problem(HTTPStatus.FORBIDDEN, say)
        return caller

    def _unknown(self) -> Problem:
        if not self.complete:
            say = "this key cannot be checked right now: keys that are stored could not be read yet; try again"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"})
        DENIED.labels("unknown").inc()
        say = "this key is not known, or it is over; `api.keys list` tells which there are"
        return Problem(HTTPStatus.UNAUTHORIZED, say, CHALLENGE)


class Keys:
    """The keys that are good for one thing; a dependency of every route that needs them.

    Args:
        access: everybody who may call; or keys that may do everything.
        scope: what they are wanted for.
        plain: whether a route can give a plain answer to who calls too often: it finds `request.state.plain` set.
    """

    def __init__(self, access: Access | Iterable[str], scope: Scope = "collect", *, plain: bool = False) -> None:
        self.access = access if isinstance(access, Access) else Access(fixed(access, SCOPES))
        self.scope, self._plain = scope, plain

    async def __call__(self, request: Request) -> None:
        """Let a caller with a key or a token pass; who it is stands in `request.state.caller`.

        Raises:
            Problem: as `Access.check`; or 429, too many calls.
        """
        await self.allow(request, given_in(request))

    async def allow(self, request: Request, given: bytes) -> None:
        """As calling it, with a key or a token that was found elsewhere."""
        address = address_of(request)
        caller = await self.access.allow(given, self.scope, address)
        request.state.caller = caller
        request.state.plain = self._count(caller, address)

    def check(self, request: Request, given: bytes) -> None:
        """As `allow`, for a key alone."""
        address = address_of(request)
        caller = self.access.check(given, self.scope, address)
        request.state.plain = self._count(caller, address)

    def _count(self, caller: Caller, address: str) -> bool:
        """Count a call; whether it is one too many.

        Raises:
            Problem: 429, it is, and the route has no plain answer.
        """
        limit = self.access.limit
        wait = limit.over(caller, address) if limit is not None else 0.0
        if wait and not self._plain:
            say = f"too many calls; the next one is taken in {wait:.0f} s"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, say, {"Retry-After": f"{max(1, wait):.0f}"})
        return wait > 0


def fixed(keys: Iterable[str], scopes: Iterable[Scope], name: str = "environment") -> dict[bytes, Caller]:
    """Callers from keys that are set, by digest."""
    return {
        digest_of(key.encode()): Caller(f"{name} key {number}", frozenset(scopes)) for number, key in enumerate(keys, 1)
    }


def address_of(request: Request) -> str:
    """Where a request comes from; see `api.networks`."""
    client = request.scope.get("client")
    return client[0] if client else ""


def key_of(request: Request) -> bytes:
    """The key that a request carries in its headers; empty if it carries none."""
    if key := header(request, b"x-api-key"):
        return key
    authorization = header(request, b"authorization").decode("latin-1")
    return (bearer(authorization) or basic(authorization)).encode("latin-1")


def given_in(request: Request) -> bytes:
    """The key or token that a request carries in its headers; empty if it carries none."""
    return header(request, b"x-api-key") or bearer_of(request)


def is_token(given: bytes) -> bool:
    """Whether it has the form of a token, which only who knows tokens can tell from a key of that form."""
    return given.count(b".") == 2


def header(request: Request, name: bytes) -> bytes:
    """A header by its name in lower case; empty if it is not there."""
    for key, value in request.scope["headers"]:  # a fraction of the time of `request.headers`
        if key == name:
            return bytes(value)
    return b""


def bearer_of(request: Request) -> bytes:
    """The key of `Authorization: Bearer <key>`; empty if there is none."""
    return bearer(header(request, b"authorization").decode("latin-1")).encode("latin-1")


def bearer(authorization: str) -> str:
    """The key of `Authorization: Bearer <key>`; empty if it is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(authorization: str) -> str:
    """The user name of `Authorization: Basic …`, which is where Segment's clients put their write key."""
    return credentials(authorization)[0]


def credentials(authorization: str) -> tuple[str, str]:
    """User name and password of `Authorization: Basic …`; both empty if it is none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(token.strip(), validate=True).decode("latin-1").partition(":")
    except ValueError:
        return "", ""
    return name, password


def digest_of(key: bytes) -> bytes:
    """What a key is kept as: of 256 random bits nobody finds the key again. Nor does the time of a look-up tell any."""
    return sha256(key).digest()
