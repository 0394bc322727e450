"""The page at `/demo`: a small shop beside the mail of its visitor. It uses the public API like anybody else."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from api.demo.catalogue import PICTURES, SHOP_NAME, products, shelf

PAGE: Final = Path(__file__).parent / "page"
ASSETS: Final = {"demo.css": "text/css", "demo.js": "text/javascript", "shop.js": "text/javascript"}
SAFE: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' https: data:; style-src 'self' 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes(api_key: str) -> APIRouter:
    """The demo's routes; the page holds the API key, which is why the demo is for loopback only."""
    router = APIRouter(prefix="/demo", include_in_schema=False)
    pictures = {product.item_id: PICTURES / f"{product.item_id}.jpg" for product in shelf()}

    @router.get("", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        text = (PAGE / "index.html").read_text()
        return HTMLResponse(text.replace("{{API_KEY}}", api_key).replace("{{SHOP_NAME}}", SHOP_NAME), headers=SAFE)

    @router.get("/assets/{name}")
    async def asset(name: str) -> Response:
        if name not in ASSETS:
            return Response(status_code=404)
        return FileResponse(PAGE / name, media_type=ASSETS[name], headers={"Cache-Control": "no-cache"})

    @router.get("/pictures/{name}")
    async def picture(name: str) -> Response:
        path = pictures.get(name.removesuffix(".jpg"))
        if path is None:
            return Response(status_code=404)
        return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "public, max-age=86400"})

    @router.get("/products.json")
    async def shop(request: Request) -> list[dict[str, Any]]:
        return products(datetime.now(timezone.utc), str(request.base_url).rstrip("/"))

    return router
