from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import Depends, FastAPI

from api import problems
from api.access import Keys
from api.problems import Problem
from api.settings import api_settings
from dataflows.settings import SettingError


def ask(headers: dict[str, str] | list[tuple[bytes, bytes]], *keys: str) -> httpx.Response:
    """Call a route that needs one of `keys`."""
    app = FastAPI()
    problems.install(app)

    @app.get("/guarded", dependencies=[Depends(Keys(keys))])
    async def guarded(number: int = 0) -> str:
        return "in"

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.get("/guarded", headers=headers)

    return asyncio.run(call())


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer one"},
        {"Authorization": "bearer one"},
        {"Authorization": "BEARER  one "},
        {"X-Api-Key": "one"},
        {"X-Api-Key": "two"},
        {"X-Api-Key": "one", "Authorization": "Basic b3RoZXI6d29yZA=="},
    ],
)
def test_a_key_that_is_known_lets_in(headers: dict[str, str]) -> None:
    answer = ask(headers, "one", "two")
    assert (answer.status_code, answer.json()) == (200, "in")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "one"}, {"Authorization": "Basic one"}, {"Authorization": "Bearer "}, {"X-Api-Key": ""}],
)
def test_without_a_key_it_is_said_how_to_send_one(headers: dict[str, str]) -> None:
    answer = ask(headers, "one")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == {
        "type": "about:blank", "title": "Unauthorized", "status": 401,
        "detail": "send your key as `Authorization: Bearer <key>` or `X-Api-Key: <key>`",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["on", "one1", "ONE", "one,two", "õne"])
def test_a_key_that_is_not_known_does_not_let_in(key: str) -> None:
    answer = ask({"X-Api-Key": key.encode("latin-1")}, "one", "two")  # type: ignore[dict-item]
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    say = "this key is not known, or it is over; `api.keys list` tells which there are"
    assert answer.json()["detail"] == say
    assert key not in answer.text


def test_no_keys_let_nobody_in() -> None:
    assert ask({"X-Api-Key": "one"}).status_code == 401


def test_the_key_is_asked_for_before_anything_else_is_looked_at() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/guarded", dependencies=[Depends(Keys(["one"]))])
    async def guarded(number: int) -> str:
        return "in"

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
            return await client.get("/guarded?number=none")

    assert asyncio.run(call()).status_code == 401


def test_keys_are_not_kept_as_they_are() -> None:
    assert "secret" not in repr(vars(Keys(["secret"]).access))


def test_a_key_of_any_letters_is_recognised_as_it_is_sent() -> None:
    sent = "schlüssel".encode().decode("latin-1")  # how a server reads the bytes of a header
    access = Keys(["schlüssel"]).access
    assert access.check(sent.encode("latin-1"), "read", "").scopes == {"collect", "read", "admin"}
    with pytest.raises(Problem):
        access.check(b"schlussel", "read", "")


@pytest.mark.parametrize(
    ("name", "value", "say"),
    [
        ("INLAY_DEMO", "1", "needs a key"),
        ("INLAY_DEAD_LETTERS_URL", "redis://elsewhere:6379/0?stream=d", "must be in the Redis of INLAY_REDIS_URL"),
        ("INLAY_DERIVED_URL", "redis://127.0.0.1:6379/1?stream=d", "must be in the Redis of INLAY_REDIS_URL"),
        ("INLAY_TRUSTED_PROXIES", "10.0.0.1/8", "is no network"),
        ("INLAY_TRUSTED_PROXIES", "*", "is no network"),
        ("INLAY_RATE_KEY", "often", "is no rate"),
        ("INLAY_RATE_NETWORK", "0/minute", "lets nobody call"),
        ("INLAY_OAUTH_ISSUERS", "http://x.example audience=y", "https://"),
        ("INLAY_OAUTH_ISSUERS", "https://x.example", "audience="),
        ("INLAY_OAUTH_ISSUERS", "https://x.example audience=y theirs=root", "is no scope"),
        ("INLAY_OAUTH_ISSUERS", "https://x.example audience=y,https://x.example audience=z", "twice"),
    ],
)
def test_a_setting_of_access_that_cannot_be_used_says_what_to_write(name: str, value: str, say: str) -> None:
    with pytest.raises(SettingError, match=say) as refused:
        api_settings({name: value})
    assert str(refused.value).startswith(name)
