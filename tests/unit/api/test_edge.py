"""What holds for every answer: headers that keep browsers from doing anything with it, and a body with an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from api import edge, problems
from api.edge import MOST_BODY, Edge
from api.networks import Proxies, read_networks

OURS = Proxies(read_networks(["10.0.0.0/8"]))


def app() -> FastAPI:
    service = FastAPI()
    problems.install(service)

    @service.get("/plain")
    async def plain() -> str:
        return "here"

    @service.get("/own")
    async def own() -> Response:
        return Response("<p>", headers={"Content-Security-Policy": "default-src 'self'"}, media_type="text/html")

    @service.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    @service.post("/bytes")
    async def take(request: Request) -> int:
        return len(await request.body())

    @service.post("/json")
    async def take_json(said: dict[str, Any]) -> int:
        return len(said)

    service.add_middleware(Edge, proxies=OURS)
    return service


def ask(method: str, path: str, peer: str = "10.0.0.1", **how: Any) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app(), raise_app_exceptions=False, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.request(method, path, **how)

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/plain", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/plain", 405),
        ("POST", "/json", 422),
        ("GET", "/docs", 200),
    ],
)
def test_every_answer_says_how_little_may_be_done_with_it(method: str, path: str, status: int) -> None:
    answer = ask(method, path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "strict-transport-security" not in answer.headers


def test_over_https_it_says_that_there_is_nothing_else() -> None:
    said = {"X-Forwarded-Proto": "https"}
    assert ask("GET", "/plain", headers=said).headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in ask("GET", "/plain", peer="6.6.6.6", headers=said).headers


def test_a_page_may_say_more_itself() -> None:
    assert ask("GET", "/own").headers.get_list("content-security-policy") == ["default-src 'self'"]


async def pieces(number: int, pause: float = 0) -> AsyncIterator[bytes]:
    for _ in range(number):
        await asyncio.sleep(pause)
        yield b" " * 1024 * 64


@pytest.mark.parametrize("path", ["/bytes", "/json"])
def test_a_body_has_an_end(path: str) -> None:
    for body in (b"x" * (MOST_BODY + 1), pieces(MOST_BODY // 65536 + 1)):
        answer = ask("POST", path, content=body)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert "send less at once" in answer.json()["detail"]
    assert ask("POST", "/bytes", content=pieces(MOST_BODY // 65536)).json() == MOST_BODY


@pytest.mark.parametrize("path", ["/bytes", "/json"])
def test_a_body_that_does_not_come_is_not_waited_for(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = ask("POST", path, content=never())
    assert (answer.status_code, answer.headers["content-type"]) == (408, "application/problem+json")
