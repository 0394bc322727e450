"""Errors as RFC 9457 `application/problem+json`: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException


class Problem(Exception):
    """A request that cannot be answered as asked.

    Args:
        status: the HTTP status.
        detail: one sentence that says what to do.
        headers: such as Retry-After.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers

    def response(self) -> Response:
        """The problem as it is sent."""
        body = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        return Response(msgspec.json.encode(body), self.status, self.headers, "application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""

    @app.exception_handler(Problem)
    async def answer_problem(request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(HTTPException)
    async def answer_http(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if error.status_code == HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {request.url.path}; the routes are listed at /docs"
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            detail = f"{request.url.path} does not answer {request.method}; /docs says what it does answer"
        return Problem(error.status_code, detail, error.headers).response()

    @app.exception_handler(Exception)
    async def answer_unexpected(request: Request, error: Exception) -> Response:
        # Whatever went wrong, the caller gets an answer of the agreed form; the server logs the traceback itself.
        say = "something went wrong here, not in your request; it is in the log of the service"
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, say).response()

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{each['loc'][-1]}: {each['msg'][:1].lower()}{each['msg'][1:]}" for each in error.errors())
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, said).response()
