"""Which scope each route asks for, in one place: it is asked for here, and the document of the API says it.

The document also says how every route answers what it cannot do: with a problem, whatever it is.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from api.access import SCOPES, Access, Keys, Scope

OPEN: Final[dict[str, str]] = {
    "/health/live": "machines ask",
    "/health/ready": "machines ask",
    "/metrics": "machines ask; counts, and nobody's",
    "/v1/open/{token}/{block}/{slot}.png": "the token in its address",
    "/v1/click/{token}/{block}/{slot}": "likewise",
    "/v1/schemas/event.json": "public",
    "/v1/schemas/event.avsc": "public",
    "/v1/track.js": "a page of the shop loads it",
    "/v1/oauth/token": "proves its caller itself",
    "/.well-known/jwks.json": "public",
    "/v1/webhooks/{platform}": "the platform proves itself",
    "/v1/webhooks/{platform}/{secret}": "the platform proves itself",
    "/v1/open/{rest}": "a picture of nothing comes whatever is asked for",
    "/v1/click/{rest}": "a page that says so",
    "/quality": "leads to /quality/",
    "/quality/{path}": "asks for the scope read itself, as a browser sends it; in the demo it does not",
    "/openapi.json": "public",
    "/docs": "public",
    "/docs/oauth2-redirect": "public",
    "/redoc": "public",
}
"""Routes that need no key, or ask for it themselves, and why. Every other route has a scope."""
SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key, or a token of /v1/oauth/token"},
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "oauth": {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/v1/oauth/token",
                "scopes": dict(zip(SCOPES, ("events in", "blocks out", "keys and erasures"), strict=True)),
            }
        },
    },
}


PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What is wrong, and what to do (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "one sentence that says what to do"},
    },
}
FAILED: Final[dict[str, Any]] = {
    "description": PROBLEM["description"],
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
PAGE: Final[dict[str, Any]] = {"description": "A page, since a person reads it.", "content": {"text/html": {}}}
READ_BY_PEOPLE: Final = "/v1/click/"


class Routes:
    """The routes of the service, each with the scope it asks for.

    Args:
        app: that they are part of.
        access: who may call.
    """

    def __init__(self, app: FastAPI, access: Access) -> None:
        self._app, self._access = app, access
        self.scopes: dict[tuple[str, str], Scope] = {}
        self._document = app.openapi
        app.openapi = self._openapi  # type: ignore[method-assign]  # FastAPI's own way

    def add(self, router: APIRouter, scope: Scope, *, plain: bool = False) -> None:
        """Include routes that ask for a scope; see `api.access.Keys`."""
        self.note(router, scope)
        self._app.include_router(router, dependencies=[Depends(Keys(self._access, scope, plain=plain))])

    def note(self, router: APIRouter, scope: Scope) -> None:
        """Routes that look for a key themselves, since it may be in the body, ask for a scope."""
        for route in router.routes:
            if isinstance(route, APIRoute):
                self.scopes |= dict.fromkeys(((method, route.path_format) for method in route.methods or ()), scope)

    def _openapi(self) -> dict[str, Any]:
        content = self._document()
        components = content.setdefault("components", {})
        components["securitySchemes"] = SCHEMES
        schemas = components.setdefault("schemas", {})
        schemas["Problem"] = PROBLEM
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which nobody is answered with
            schemas.pop(name, None)
        for path, operations in content["paths"].items():
            for method, operation in operations.items():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = PAGE if path.startswith(READ_BY_PEOPLE) else FAILED
                if scope := self.scopes.get((method.upper(), path)):
                    operation["security"] = [{"bearer": []}, {"key": []}, {"oauth": [scope]}]
        return content
