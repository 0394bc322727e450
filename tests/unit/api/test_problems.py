from __future__ import annotations

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Query

from api import problems
from api.problems import Problem


def app() -> FastAPI:
    """A service whose routes fail in each way there is."""
    made = FastAPI()
    problems.install(made)

    @made.get("/busy")
    async def busy() -> None:
        raise Problem(503, "come back; we are full", {"Retry-After": "7"})

    @made.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret of the service")

    @made.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout", {"X-Spout": "yes"})

    @made.get("/number")
    async def number(
        number: Annotated[int, Query(ge=1)], word: Annotated[str, Query(max_length=3)] = "", size: float = 0
    ) -> None:
        return None

    return made


def ask(path: str, method: str = "GET") -> httpx.Response:
    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://api") as client:
            return await client.request(method, path)

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("method", "path", "status", "title", "detail"),
    [
        ("GET", "/busy", 503, "Service Unavailable", "come back; we are full"),
        ("GET", "/teapot", 418, "I'm a Teapot", "short and stout"),
        ("GET", "/nowhere", 404, "Not Found", "there is nothing at /nowhere; the routes are listed at /docs"),
        (
            "DELETE", "/busy", 405, "Method Not Allowed",
            "/busy does not answer DELETE; /docs says what it does answer",
        ),
        ("GET", "/number", 422, "Unprocessable Content", "number: field required"),
        (
            "GET", "/number?number=0&word=longer", 422, "Unprocessable Content",
            "number: input should be greater than or equal to 1; word: string should have at most 3 characters",
        ),
    ],
)  # fmt: skip
def test_every_error_is_a_problem_in_words(method: str, path: str, status: int, title: str, detail: str) -> None:
    answer = ask(path, method)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["title"] in (title, "Unprocessable Entity")  # Python 3.13 writes 422 anew
    assert {**body, "title": ""} == {"type": "about:blank", "title": "", "status": status, "detail": detail}


def test_headers_go_with_a_problem() -> None:
    assert ask("/busy").headers["retry-after"] == "7"
    assert ask("/teapot").headers["x-spout"] == "yes"
    assert ask("/busy", "POST").headers["allow"] == "GET"


def test_a_problem_says_its_detail_where_it_is_raised() -> None:
    assert str(Problem(400, "mend this")) == "mend this"


def test_what_nobody_expected_is_a_problem_that_tells_no_secret() -> None:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.get("/broken")

    answer = asyncio.run(call())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text
