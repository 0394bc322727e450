"""The whole service on a real Redis, in this process: as `create` wires it, called without a socket.

async with service(server, INLAY_RATE_KEY="2/minute") as api:
    await api.get("/v1/users/u1", headers=api.key)
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
from fastapi import FastAPI

from api.app import create
from api.keyring import Key, KeyRing, KnownKeys
from api.settings import api_settings
from dataflows.connectors.letters import connect_keeper
from tests.contract.redis_server import RedisServer

ALL = "env-secret-0123456789"
WRITE = "write-secret-0123456789"


class Service:
    """The service, and what a test does to it."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, ring: KeyRing) -> None:
        self.app, self.client, self.ring = app, client, ring

    async def call(self, method: str, path: str, key: str = ALL, **how: Any) -> httpx.Response:
        headers = {**({"X-Api-Key": key} if key else {}), **how.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **how)

    async def made(self, *scopes: str, **how: Any) -> tuple[Key, str]:
        """A stored key, which the service knows of."""
        key, shown = await self.ring.create("made", scopes, **how)
        await self.learn()
        return key, shown

    async def learn(self) -> None:
        """What a second would bring: the service looks at the stored keys."""
        known: KnownKeys = self.app.state.known_keys
        await known.look()

    async def token(self, key: Key, shown: str, scope: str = "") -> str:
        form = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": shown, "scope": scope}
        answer = await self.client.post("/v1/oauth/token", data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


@contextlib.asynccontextmanager
async def service(
    server: RedisServer, *, client: tuple[str, int] = ("198.51.100.7", 9), **settings: str
) -> AsyncIterator[Service]:
    """The service, started, and its end."""
    environ = {"INLAY_REDIS_URL": server.url, "INLAY_API_KEYS": ALL, "INLAY_WRITE_KEYS": WRITE, **settings}
    app = create(api_settings(environ))
    keeper = connect_keeper(server.url)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as caller,
    ):
        try:
            yield Service(app, caller, KeyRing(keeper))
        finally:
            await keeper.aclose(close_connection_pool=True)


def stored(server: RedisServer) -> Iterable[bytes]:
    """Everything that a Redis holds, as bytes."""
    for key in server.client.scan_iter("*", count=1000):
        yield key
        yield server.client.dump(key) or b""
