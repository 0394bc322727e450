"""The routes of administrators: keys and the audit log. Each call of them is in the log before it is carried out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

import msgspec
import redis
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.access import Caller, address_of
from api.audit import MOST_SHOWN, Audit, by
from api.keyring import OVERLAP, Key, KeyRefused, KeyRing
from api.once import AskedBefore, Keep, Once, once_of
from api.problems import Problem

_Make: TypeAlias = Callable[[Keep | None], Awaitable[tuple[Key, str]]]
Word: TypeAlias = Annotated[
    str | None, Header(description="a random word: who is not answered asks again with the same one")
]


class Wanted(BaseModel):
    """A key that is to be made."""

    name: str
    scopes: list[str]
    networks: list[str] = []
    ends_in_seconds: float = Field(0, ge=0, le=3_200_000_000)
    rate: str = ""


async def noted(audit: Audit, request: Request, what: str, about: str = "") -> None:
    """Write a call of an administrator down.

    Raises:
        Problem: 503, it cannot be.
    """
    caller: Caller = request.state.caller
    await audit.note(by(caller), address_of(request), what, about)


def routes(ring: KeyRing, audit: Audit) -> APIRouter:
    """The routes; whoever includes them asks for the scope `admin`."""
    router = APIRouter(prefix="/v1/admin", tags=["admin"])

    @router.get("/keys")
    async def list_keys(request: Request) -> Response:
        """Every key that is stored, as it is stored: without what lets anybody in."""
        await noted(audit, request, "keys list")
        keys, used = await _asked(ring.keys()), await _asked(ring.used())
        return JSONResponse({"keys": [_shown(key, used) for key in keys]})

    @router.post("/keys", status_code=HTTPStatus.CREATED)
    async def create_key(request: Request, wanted: Wanted, idempotency_key: Word = None) -> Response:
        """Make a key. The answer is the only place where it stands."""
        await noted(audit, request, "keys create", wanted.name[:100])
        asked = (wanted.name, wanted.scopes, wanted.networks, wanted.ends_in_seconds, wanted.rate)
        return await _once(
            ring, _word(request, idempotency_key, await request.body()),
            lambda keep: ring.create(*asked, keep=keep),
        )  # fmt: skip

    @router.post("/keys/{key_id}/rotate", status_code=HTTPStatus.CREATED)
    async def rotate_key(
        request: Request,
        key_id: str,
        overlap_seconds: Annotated[float, Query(ge=0, le=31_536_000)] = OVERLAP,
        idempotency_key: Word = None,
    ) -> Response:
        """Make another key of the same kind; the old one stays good for a while, or until it is revoked."""
        await noted(audit, request, "keys rotate", key_id[:100])
        return await _once(
            ring, _word(request, idempotency_key, repr(overlap_seconds).encode()),
            lambda keep: ring.rotate(key_id, overlap_seconds, keep),
        )  # fmt: skip

    @router.delete("/keys/{key_id}")
    async def revoke_key(request: Request, key_id: str) -> Response:
        """Let a key be over for good; every process knows within two seconds."""
        await noted(audit, request, "keys revoke", key_id[:100])
        return JSONResponse(_shown(await _asked(ring.revoke(key_id)), {}))

    @router.get("/audit")
    async def read_audit(request: Request, limit: Annotated[int, Query(ge=1, le=MOST_SHOWN)] = 100) -> Response:
        """The newest calls of administrators, newest first."""
        await noted(audit, request, "audit read")
        entries = await _asked(audit.entries(limit))
        return JSONResponse({"entries": msgspec.to_builtins(entries)})

    return router


async def _asked(question: Any) -> Any:
    """The answer of the stored keys.

    Raises:
        Problem: 422, it cannot be done as asked; 503, Redis does not answer.
    """
    try:
        return await question
    except KeyRefused as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    except (redis.RedisError, OSError):
        say = "the keys cannot be read or changed right now; try again"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, say, {"Retry-After": "1"}) from None


def _word(request: Request, word: str | None, body: bytes) -> Once | None:
    return once_of(
        word, by(request.state.caller), request.method.encode(), request.scope["path"].encode("utf-8", "replace"), body
    )


async def _once(ring: KeyRing, once: Once | None, make: _Make) -> Response:
    """The answer with a key that is made; where it was made before by the same request, the answer of then."""
    if once is None:
        return _answer(_made(*await _asked(make(None))))
    if (kept := await _asked(ring.kept(once.place))) is not None:
        return _answer(once.open(kept))
    try:
        key, shown = await _asked(make(Keep(once.place, lambda key, shown: once.seal(_made(key, shown)))))
    except AskedBefore as before:
        return _answer(once.open(before.kept))
    return _answer(_made(key, shown))


def _made(key: Key, shown: str) -> bytes:
    return msgspec.json.encode({**_shown(key, {}), "key": shown})


def _answer(body: bytes) -> Response:
    return Response(body, HTTPStatus.CREATED, {"Cache-Control": "no-store"}, "application/json")


def _shown(key: Key, used: dict[str, int]) -> dict[str, Any]:
    content: dict[str, Any] = {name: getattr(key, name) for name in key.__struct_fields__ if name != "digest"}
    return {**content, "last_used_at": used.get(key.key_id, 0)}
